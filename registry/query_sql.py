"""Stored queries as SELECT statements, one per query (ITI TF-2 3.18.4.1.2.3.7).

A statement depends on the *shape* of a query: which parameters it has, how many groups of each, and whether there are
one or several values in a group, never on the values. It is built and compiled once per shape, with named places for
the values, and its text is kept; the database then finds its prepared form. One statement also means one snapshot: an
answer never mixes the states before and after a registration.

Finding by patient reads the index (patient, kind). Everything that follows associations first collects ids in common
table expressions, through the indexes on source and target, and reads the objects by primary key in the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    exists,
    literal_column,
    or_,
    select,
    union,
    union_all,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import Dialect

from registry.models import ASSOCIATION_TYPE_NUMBER, Kind, object_code, patient, registry_object, unique_identifier
from registry.rows import KIND
from xds.messages import ReturnType
from xds.metadata.model import Association, DocumentEntry, Folder, RegistryObject, SubmissionSet
from xds.metadata.vocabulary import AssociationType
from xds.queries.table import BY_ID, Answer, Compare, Need, Parameter, StoredQuery

Shape = tuple[tuple[str, tuple[int, ...]], ...]
"""Parameter names in the order of the row, each with the number of places for the values of each of its groups."""
ARRAY = 0
"""Instead of a number of places: an array stands in one."""
Ids = Select[Any] | CompoundSelect[Any]

LIMIT = "limit"
_KEPT = 512
_COLUMN_OF_FIELD = {"patient_id": "patient", "author": "author_person", "object_type": "on_demand"}
_STORED = {stored.id: stored for stored in BY_ID.values()}

_DIALECT: Mapping[str, Dialect] = {
    "postgresql": PGDialect_psycopg(),  # type: ignore[no-untyped-call]
    "sqlite": sqlite.dialect(paramstyle="named"),
}
_MARKS = {"postgresql": (re.compile(r"%\((\w+)\)s"), "%s"), "sqlite": (re.compile(r":(\w+)"), "?")}
"""How SQLAlchemy writes a name of a bound value, and the driver's mark that takes its place."""


class Statement(NamedTuple):
    """A SELECT as the driver takes it.

    Attributes:
        text: with marks for the values.
        names: of the groups whose values the marks stand for, in order; see `key` and `LIMIT`.
    """

    text: str
    names: tuple[str, ...]


def key(parameter: str, group: int) -> str:
    """Name of one of a parameter's groups."""
    return f"{parameter.removeprefix('$')}_{group}"


@dataclass(frozen=True, slots=True)
class _Group:
    """The values of one of a parameter's groups."""

    name: str
    places: int

    @property
    def value(self) -> BindParameter[Any]:
        """The value where there is one."""
        return bindparam(self.name)

    def holds(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a column equals one of the values."""
        if self.places == ARRAY:
            return column == any_(bindparam(self.name, type_=postgresql.ARRAY(column.type)))
        return column.in_([bindparam(self.name, type_=column.type)])  # the other places: see `_marked`


@lru_cache(maxsize=_KEPT)
def statement(database: str, stored_id: str, return_type: ReturnType, shape: Shape) -> Statement:
    """Write the SELECT of a stored query for a database.

    Args:
        database: `postgresql` or `sqlite`.
        stored_id: the query's UUID.
        return_type: ObjectRef gives rows of id; LeafClass of id and body; LeafClass under the single-patient rule of
            id, body, kind and patient number. The id is text (`urn:uuid:...`) from PostgreSQL, 16 octets from SQLite.
        shape: see `Shape`. The greatest number of rows is a value too, `LIMIT`: PostgreSQL would otherwise plan for
            as many, and few are found.
    """
    stored = _STORED[stored_id]
    answer = select(*_columns(database, stored, return_type))
    answer = answer.limit(bindparam(LIMIT, type_=Integer)).offset(literal_column("0"))  # else SQLite's is a value
    criteria = _Criteria(stored, dict(shape))
    if stored.answer is Answer.SELECTED:
        answer = answer.where(*criteria.of(stored.selects, registry_object))
    else:
        answer = answer.where(registry_object.c.id.in_(_ANSWERS[stored.answer](criteria)))
    places = {key(name, number): count for name, groups in shape for number, count in enumerate(groups)}
    return _marked(database, str(answer.compile(dialect=_DIALECT[database])), places)


def _marked(database: str, text: str, places: Mapping[str, int]) -> Statement:
    """Write the driver's marks for the names of values, as many as each has places; arrays and LIMIT have one."""
    pattern, mark = _MARKS[database]
    names = tuple(pattern.findall(text))
    return Statement(pattern.sub(lambda found: ", ".join([mark] * (places.get(found[1]) or 1)), text), names)


def _columns(database: str, stored: StoredQuery, return_type: ReturnType) -> list[ColumnElement[Any]]:
    id_, body, kind, owner = (registry_object.c[name] for name in ("id", "body", "kind", "patient"))
    served = literal_column("'urn:uuid:'").concat(cast(id_, Text)) if database == "postgresql" else id_
    if return_type is ReturnType.OBJECT_REF:
        return [served]
    return [served, body, kind, owner] if stored.single_patient else [served, body]


@dataclass(frozen=True, slots=True)
class _Criteria:
    """The parameters of one shape, as conditions."""

    stored: StoredQuery
    places: Mapping[str, tuple[int, ...]]

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
        rows = [row for row in parameters if issubclass(kind, row.of) and row.name in self.places]
        by_patient = any(row.compare is Compare.PATIENT for row in rows)
        conditions = [is_kind(objects, KIND[kind])]
        found_by = _PATIENT_FIRST if by_patient else _CODE_FIRST
        for row in rows:
            build = found_by.get(row.compare) or _CONDITIONS.get(row.compare, _is_in)
            groups = [_Group(key(row.name, number), places) for number, places in enumerate(self.places[row.name])]
            conditions += [build(objects, row, group) for group in groups]
        return conditions


# Conditions


def is_kind(objects: FromClause, kind: Kind) -> ColumnElement[bool]:
    """Compare the kind as a literal: only so do partial indexes apply."""
    return objects.c.kind == literal_column(str(int(kind)))


def _column(objects: FromClause, parameter: Parameter) -> ColumnElement[Any]:
    return objects.c[_COLUMN_OF_FIELD.get(parameter.field, parameter.field)]


def _is_in(objects: FromClause, parameter: Parameter, group: _Group) -> ColumnElement[bool]:
    return group.holds(_column(objects, parameter))


def _is_patient(objects: FromClause, parameter: Parameter, group: _Group) -> ColumnElement[bool]:
    """A patient who was merged away has no objects, even for the moment in which a merge runs."""
    current = select(patient.c.id).where(patient.c.survivor.is_(None))
    if parameter.many:
        return objects.c.patient.in_(current.where(group.holds(patient.c.value)))
    return objects.c.patient == current.where(patient.c.value == group.value).scalar_subquery()


def _exists_code(objects: FromClause, _: Parameter, group: _Group) -> ColumnElement[bool]:
    """One of the codes, looked up per object: right where a patient has few objects and a code has many."""
    code = object_code.alias()
    return exists().where(code.c.object == objects.c.id, group.holds(code.c.code))


def _is_code_in(objects: FromClause, parameter: Parameter, group: _Group) -> ColumnElement[bool]:
    """As `_is_in`, beside a patient: a sum, since SQLite would go by an index of codes and read those of all."""
    return group.holds(_column(objects, parameter) + literal_column("0"))


def _has_code(objects: FromClause, _: Parameter, group: _Group) -> ColumnElement[bool]:
    """One of the codes, starting from the code: right where nothing else narrows the search (ITI-51)."""
    return objects.c.id.in_(select(object_code.c.object).where(group.holds(object_code.c.code)))


def _matches(objects: FromClause, parameter: Parameter, group: _Group) -> ColumnElement[bool]:
    return _column(objects, parameter).regexp_match(group.value)


def _not_before(objects: FromClause, parameter: Parameter, group: _Group) -> ColumnElement[bool]:
    time = _column(objects, parameter)
    return or_(time.is_(None), time >= group.value)


def _before(objects: FromClause, parameter: Parameter, group: _Group) -> ColumnElement[bool]:
    time = _column(objects, parameter)
    return or_(time.is_(None), time < group.value)


def _has_unique_id(objects: FromClause, _: Parameter, group: _Group) -> ColumnElement[bool]:
    known = unique_identifier.c
    return objects.c.id.in_(select(known.object).where(group.holds(known.value)))


def _touches(objects: FromClause, _: Parameter, group: _Group) -> ColumnElement[bool]:
    """The kind is said again in each branch: SQLite does not see it outside, and would not use the partial indexes."""
    ends = (group.holds(objects.c[end]) for end in ("source", "target"))
    return or_(*(and_(is_kind(objects, Kind.ASSOCIATION), end) for end in ends))


_CONDITIONS: Mapping[Compare, Callable[[FromClause, Parameter, _Group], ColumnElement[bool]]] = {
    Compare.PATIENT: _is_patient,
    Compare.LIKE: _matches,
    Compare.REFERENCE: _matches,
    Compare.FROM: _not_before,
    Compare.TO: _before,
    Compare.UNIQUE_ID: _has_unique_id,
    Compare.ENDS: _touches,
}


_Build = Callable[[FromClause, Parameter, _Group], ColumnElement[bool]]
_PATIENT_FIRST: Mapping[Compare, _Build] = {Compare.CODE: _is_code_in, Compare.CODES: _exists_code}
_CODE_FIRST: Mapping[Compare, _Build] = {Compare.CODE: _is_in, Compare.CODES: _has_code}


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
