"""Stored queries as SELECT statements, one per query (ITI TF-2 3.18.4.1.2.3.7).

A statement depends on the *shape* of a query: which parameters it has and how many groups of each, never on the
values. It is built once per shape, with named values, and kept; SQLAlchemy then finds its compiled form. One statement
also means one snapshot: an answer never mixes the states before and after a registration.

Finding by patient reads the index (patient, kind). Everything that follows associations first collects ids in common
table expressions, through the indexes on source and target, and reads the objects by primary key in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    exists,
    literal_column,
    or_,
    select,
    union,
    union_all,
)

from registry.models import ASSOCIATION_TYPE_NUMBER, Kind, object_code, patient, registry_object, unique_identifier
from registry.rows import KIND
from xds.messages import ReturnType
from xds.metadata.model import Association, DocumentEntry, Folder, RegistryObject, SubmissionSet
from xds.metadata.vocabulary import AssociationType
from xds.queries.table import BY_ID, Answer, Compare, Need, Parameter, StoredQuery

Shape = tuple[tuple[str, int], ...]
"""Parameter names in the order of the row, each with its number of groups."""
Ids = Select[Any] | CompoundSelect[Any]

LIMIT = "limit"
_KEPT = 1024
_COLUMN_OF_FIELD = {"patient_id": "patient", "author": "author_person", "object_type": "on_demand"}
_STORED = {stored.id: stored for stored in BY_ID.values()}


def key(name: str, group: int) -> str:
    """Name of the bound value of one group of a parameter."""
    return f"{name.removeprefix('$')}{group}"


@lru_cache(maxsize=_KEPT)
def statement(stored_id: str, return_type: ReturnType, shape: Shape) -> Select[Any]:
    """Build the SELECT of a stored query.

    Args:
        stored_id: the query's UUID.
        return_type: ObjectRef gives rows of id; LeafClass of id and body; LeafClass under the single-patient rule of
            id, body, kind and patient number.
        shape: see `Shape`; the values are bound as `key(name, group)`, and the greatest number of rows as `LIMIT`.
    """
    stored = _STORED[stored_id]
    criteria = _Criteria(stored, dict(shape))
    columns = [registry_object.c.id]
    if return_type is ReturnType.LEAF_CLASS:
        columns += [registry_object.c.body]
        columns += [registry_object.c.kind, registry_object.c.patient] if stored.single_patient else []
    answer = select(*columns).limit(bindparam(LIMIT, type_=Integer))
    if stored.answer is Answer.SELECTED:
        return answer.where(*criteria.of(stored.selects, registry_object))
    return answer.where(registry_object.c.id.in_(_ANSWERS[stored.answer](criteria)))


@dataclass(frozen=True, slots=True)
class _Criteria:
    """The parameters of one shape, as conditions."""

    stored: StoredQuery
    groups: Mapping[str, int]

    def of(self, kind: type[RegistryObject], objects: FromClause) -> list[ColumnElement[bool]]:
        """What an object of a kind must meet to be selected; its kind first."""
        return self._conditions(kind, objects, self.stored.enabled)

    def filters(self, kind: type[RegistryObject], objects: FromClause) -> list[ColumnElement[bool]]:
        """What an object of a kind must meet when it is reached by an association."""
        return self._conditions(kind, objects, [row for row in self.stored.enabled if row.need is not Need.ONE_OF])

    def ids(self, kind: type[RegistryObject]) -> Select[Any]:
        """The ids of the objects of a kind that are selected."""
        return select(registry_object.c.id).where(*self.of(kind, registry_object))

    def _conditions(
        self, kind: type[RegistryObject], objects: FromClause, parameters: list[Parameter] | tuple[Parameter, ...]
    ) -> list[ColumnElement[bool]]:
        rows = [row for row in parameters if issubclass(kind, row.of) and row.name in self.groups]
        by_patient = any(row.compare is Compare.PATIENT for row in rows)
        conditions = [is_kind(objects, KIND[kind])]
        for row in rows:
            build = (
                _has_code if row.compare is Compare.CODES and not by_patient else _CONDITIONS.get(row.compare, _is_in)
            )
            conditions += [build(objects, row, key(row.name, group)) for group in range(self.groups[row.name])]
        return conditions


# Conditions


def is_kind(objects: FromClause, kind: Kind) -> ColumnElement[bool]:
    """Compare the kind as a literal: only so do partial indexes apply."""
    return objects.c.kind == literal_column(str(int(kind)))


def _column(objects: FromClause, parameter: Parameter) -> ColumnElement[Any]:
    return objects.c[_COLUMN_OF_FIELD.get(parameter.field, parameter.field)]


def _is_in(objects: FromClause, parameter: Parameter, name: str) -> ColumnElement[bool]:
    return _column(objects, parameter).in_(bindparam(name, expanding=True))


def _is_patient(objects: FromClause, parameter: Parameter, name: str) -> ColumnElement[bool]:
    """A patient who was merged away has no objects, even for the moment in which a merge runs."""
    current = select(patient.c.id).where(patient.c.survivor.is_(None))
    if parameter.many:
        return objects.c.patient.in_(current.where(patient.c.value.in_(bindparam(name, expanding=True))))
    return objects.c.patient == current.where(patient.c.value == bindparam(name)).scalar_subquery()


def _exists_code(objects: FromClause, _: Parameter, name: str) -> ColumnElement[bool]:
    """One of the codes, looked up per object: right where a patient has few objects and a code has many."""
    code = object_code.alias()
    return exists().where(code.c.object == objects.c.id, code.c.code.in_(bindparam(name, expanding=True)))


def _has_code(objects: FromClause, _: Parameter, name: str) -> ColumnElement[bool]:
    """One of the codes, starting from the code: right where nothing else narrows the search (ITI-51)."""
    return objects.c.id.in_(select(object_code.c.object).where(object_code.c.code.in_(bindparam(name, expanding=True))))


def _matches(objects: FromClause, parameter: Parameter, name: str) -> ColumnElement[bool]:
    return _column(objects, parameter).regexp_match(bindparam(name))


def _not_before(objects: FromClause, parameter: Parameter, name: str) -> ColumnElement[bool]:
    time = _column(objects, parameter)
    return or_(time.is_(None), time >= bindparam(name))


def _before(objects: FromClause, parameter: Parameter, name: str) -> ColumnElement[bool]:
    time = _column(objects, parameter)
    return or_(time.is_(None), time < bindparam(name))


def _has_unique_id(objects: FromClause, _: Parameter, name: str) -> ColumnElement[bool]:
    known = unique_identifier.c
    return objects.c.id.in_(select(known.object).where(known.value.in_(bindparam(name, expanding=True))))


def _touches(objects: FromClause, _: Parameter, name: str) -> ColumnElement[bool]:
    """The kind is said again in each branch: SQLite does not see it outside, and would not use the partial indexes."""
    ends = (objects.c[end].in_(bindparam(name, expanding=True)) for end in ("source", "target"))
    return or_(*(and_(is_kind(objects, Kind.ASSOCIATION), end) for end in ends))


_CONDITIONS: Mapping[Compare, Callable[[FromClause, Parameter, str], ColumnElement[bool]]] = {
    Compare.PATIENT: _is_patient,
    Compare.CODES: _exists_code,
    Compare.LIKE: _matches,
    Compare.REFERENCE: _matches,
    Compare.FROM: _not_before,
    Compare.TO: _before,
    Compare.UNIQUE_ID: _has_unique_id,
    Compare.ENDS: _touches,
}


# Answers: the ids of all objects returned

_HAS_MEMBER: ColumnElement[int] = literal_column(str(ASSOCIATION_TYPE_NUMBER[AssociationType.HAS_MEMBER]))


def _touching(found: CTE, *conditions: ColumnElement[bool], columns: tuple[str, ...] = ("id",)) -> list[Select[Any]]:
    """Associations from, and associations to what was found: apart, so that each uses its index."""
    assoc = registry_object.alias()
    chosen = select(*(assoc.c[name] for name in columns)).where(is_kind(assoc, Kind.ASSOCIATION), *conditions)
    return [chosen.join(found, found.c.id == assoc.c[end]) for end in ("source", "target")]


def _members(of: CTE) -> CTE:
    """HasMember associations from what was found: `link` and `target`."""
    assoc = registry_object.alias()
    joined = select(assoc.c.id.label("link"), assoc.c.target).join(of, of.c.id == assoc.c.source)
    return joined.where(is_kind(assoc, Kind.ASSOCIATION), assoc.c.type == _HAS_MEMBER).cte("member")


def _everything(criteria: _Criteria) -> Ids:
    kinds = [kind for kind in KIND if issubclass(kind, criteria.stored.selects)]
    found = union_all(*(criteria.ids(kind) for kind in kinds)).cte("found")
    return union(select(found.c.id), *_touching(found))


def _submission_sets(criteria: _Criteria) -> Ids:
    assoc, sset = registry_object.alias(), registry_object.alias()
    links = (
        select(assoc.c.id, assoc.c.source)
        .join(sset, sset.c.id == assoc.c.source)
        .where(*criteria.of(Association, assoc), assoc.c.type == _HAS_MEMBER, is_kind(sset, Kind.SUBMISSION_SET))
        .cte("link")
    )
    return union(select(links.c.id), select(links.c.source))


def _submission_set_contents(criteria: _Criteria) -> Ids:
    found = criteria.ids(SubmissionSet).cte("found")
    members = _members(found)
    entry, folder, assoc = registry_object.alias(), registry_object.alias(), registry_object.alias()
    reached = select(members.c.link, members.c.target.label("id"))
    held = union_all(
        reached.join(entry, entry.c.id == members.c.target).where(*criteria.filters(DocumentEntry, entry)),
        reached.join(folder, folder.c.id == members.c.target).where(*criteria.filters(Folder, folder)),
    ).cte("held")
    objects = union(select(found.c.id), select(held.c.id)).cte("objects")
    joined = reached.join(assoc, assoc.c.id == members.c.target).where(
        is_kind(assoc, Kind.ASSOCIATION),
        assoc.c.source.in_(select(objects.c.id)),
        assoc.c.target.in_(select(objects.c.id)),
    )
    between = joined.cte("between_them")
    return union(select(objects.c.id), select(held.c.link), select(between.c.id), select(between.c.link))


def _folder_contents(criteria: _Criteria) -> Ids:
    found = criteria.ids(Folder).cte("found")
    members = _members(found)
    entry = registry_object.alias()
    reached = select(members.c.link, members.c.target.label("id")).join(entry, entry.c.id == members.c.target)
    held = reached.where(*criteria.filters(DocumentEntry, entry)).cte("held")
    return union(select(found.c.id), select(held.c.id), select(held.c.link))


def _folders(criteria: _Criteria) -> Ids:
    found = criteria.ids(DocumentEntry).cte("found")
    assoc, folder = registry_object.alias(), registry_object.alias()
    return (
        select(folder.c.id)
        .join(assoc, assoc.c.source == folder.c.id)
        .join(found, found.c.id == assoc.c.target)
        .where(is_kind(assoc, Kind.ASSOCIATION), assoc.c.type == _HAS_MEMBER, is_kind(folder, Kind.FOLDER))
    )


def _related(criteria: _Criteria) -> Ids:
    found = criteria.ids(DocumentEntry).cte("found")
    assoc, source, target = registry_object.alias(), registry_object.alias(), registry_object.alias()
    ids = union(*_touching(found)).cte("touching")
    related = (
        select(assoc.c.id, assoc.c.source, assoc.c.target)
        .join(ids, ids.c.id == assoc.c.id)
        .join(source, source.c.id == assoc.c.source)
        .join(target, target.c.id == assoc.c.target)
        .where(*criteria.of(Association, assoc))
        .where(*criteria.filters(DocumentEntry, source), *criteria.filters(DocumentEntry, target))
        .cte("related")
    )
    return union(select(related.c.id), select(related.c.source), select(related.c.target))


_ANSWERS: Mapping[Answer, Callable[[_Criteria], Ids]] = {
    Answer.EVERYTHING: _everything,
    Answer.SUBMISSION_SETS: _submission_sets,
    Answer.SUBMISSION_SET_CONTENTS: _submission_set_contents,
    Answer.FOLDER_CONTENTS: _folder_contents,
    Answer.FOLDERS: _folders,
    Answer.RELATED: _related,
}
