"""A Query on objects in memory: subscriptions filter with it, and tests hold the Registry's SQL against it.

It is written for being read next to the standard (ITI TF-2 3.18.4.1.2.3.7), not for speed. Objects stand as a Registry
holds them: registered, ids in lower case, patientIds after merges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from xds.errors import Code, XDSError
from xds.messages import ReturnType
from xds.metadata.model import (
    Association,
    Author,
    DocumentEntry,
    Folder,
    Identifier,
    PatientObject,
    RegistryObject,
    SubmissionSet,
)
from xds.metadata.model import Code as CodedValue
from xds.metadata.rules import patient_key, patient_of
from xds.metadata.text import nfc
from xds.metadata.vocabulary import ON_DEMAND
from xds.queries.parse import Criterion, Group, Query
from xds.queries.table import Answer, Compare
from xds.queries.text import exact_pattern, like_pattern, line


class Objects:
    """The objects of a registry, found by id and by what they are linked to."""

    def __init__(self, objects: Iterable[RegistryObject]) -> None:
        self.by_id = {found.id: found for found in objects}
        self.associations = [found for found in self.by_id.values() if isinstance(found, Association)]

    def __iter__(self) -> Iterator[RegistryObject]:
        return iter(self.by_id.values())

    def touching(self, ids: set[str]) -> list[Association]:
        """The associations with one of these as source or target."""
        return [assoc for assoc in self.associations if assoc.source in ids or assoc.target in ids]

    def members(self, of: Iterable[RegistryObject]) -> Iterator[tuple[Association, RegistryObject]]:
        """HasMember associations from these, each with what it points to."""
        ids = {found.id for found in of}
        for assoc in self.associations:
            if assoc.is_membership and assoc.source in ids and assoc.target in self.by_id:
                yield assoc, self.by_id[assoc.target]


def match(query: Query, registry: Objects) -> list[RegistryObject]:
    """Give the objects a query returns in LeafClass, each once; ObjectRef returns their ids (ITI TF-2 3.18.4.1.2.3.7).

    Bounds, unknown patients and the single-patient rule are not applied: see `single_patient_error` for the last.
    """
    found = _ANSWERS[query.stored.answer](query, registry)
    return list({entry.id: entry for entry in found}.values())


def matches(query: Query, entry: RegistryObject) -> bool:
    """Tell whether the criteria of a query select an object."""
    return isinstance(entry, query.stored.selects) and _meets(entry, query.of(type(entry)))


def single_patient_error(query: Query, found: Iterable[RegistryObject]) -> XDSError | None:
    """Apply the single-patient rule to the LeafClass answer of a query by identifier (ITI TF-2 3.18.4.1.2.3.7)."""
    patients = {patient_of(entry) for entry in found if isinstance(entry, PatientObject)}
    if len(patients) < 2 or not query.stored.single_patient or query.return_type is ReturnType.OBJECT_REF:  # noqa: PLR2004
        return None
    return XDSError(
        Code.XDSResultNotSinglePatient,
        f"{query.stored.name}: the answer holds objects of {len(patients)} patients, LeafClass allows one",
    )


# Answers


def _selected(query: Query, registry: Objects) -> list[RegistryObject]:
    return [entry for entry in registry if matches(query, entry)]


def _everything(query: Query, registry: Objects) -> list[RegistryObject]:
    found = _selected(query, registry)
    return [*found, *registry.touching({entry.id for entry in found})]


def _submission_sets(query: Query, registry: Objects) -> Iterator[RegistryObject]:
    for assoc in registry.associations:
        source = registry.by_id.get(assoc.source)
        if assoc.is_membership and isinstance(source, SubmissionSet) and _meets(assoc, query.of(Association)):
            yield from (source, assoc)


def _submission_set_contents(query: Query, registry: Objects) -> list[RegistryObject]:
    found = _selected(query, registry)
    members = list(registry.members(found))
    for assoc, member in members:
        if _is_entry(member, query) or isinstance(member, Folder):
            found += (assoc, member)
    ids = {entry.id for entry in found if not isinstance(entry, Association)}
    for assoc, member in members:
        if isinstance(member, Association) and {member.source, member.target} <= ids:
            found += (assoc, member)
    return found


def _folder_contents(query: Query, registry: Objects) -> list[RegistryObject]:
    found = _selected(query, registry)
    for assoc, member in registry.members(found):
        if _is_entry(member, query):
            found += (assoc, member)
    return found


def _folders(query: Query, registry: Objects) -> list[RegistryObject]:
    ids = {entry.id for entry in _selected(query, registry)}
    folders = [entry for entry in registry if isinstance(entry, Folder)]
    return [folder for folder in folders if any(member.id in ids for _, member in registry.members([folder]))]


def _related(query: Query, registry: Objects) -> Iterator[RegistryObject]:
    for assoc in registry.touching({entry.id for entry in _selected(query, registry)}):
        ends = [registry.by_id.get(assoc.source), registry.by_id.get(assoc.target)]
        entries = [entry for entry in ends if _is_entry(entry, query)]
        if len(entries) == len(ends) and _meets(assoc, query.of(Association)):
            yield from (assoc, *filter(None, entries))


_ANSWERS: Mapping[Answer, Callable[[Query, Objects], Iterable[RegistryObject]]] = {
    Answer.SELECTED: _selected,
    Answer.EVERYTHING: _everything,
    Answer.SUBMISSION_SETS: _submission_sets,
    Answer.SUBMISSION_SET_CONTENTS: _submission_set_contents,
    Answer.FOLDER_CONTENTS: _folder_contents,
    Answer.FOLDERS: _folders,
    Answer.RELATED: _related,
}


# Criteria


def _is_entry(entry: RegistryObject | None, query: Query) -> bool:
    """Whether something reached by an association is a DocumentEntry that passes the query's filters."""
    return isinstance(entry, DocumentEntry) and _meets(entry, query.filters(DocumentEntry))


def _meets(entry: RegistryObject, criteria: Iterable[Criterion]) -> bool:
    return all(_holds(entry, criterion) for criterion in criteria)


def _holds(entry: RegistryObject, criterion: Criterion) -> bool:
    parameter = criterion.parameter
    value = getattr(entry, parameter.field)
    test = _TESTS.get(parameter.compare, _equal)
    if parameter.compare is Compare.ENDS and isinstance(entry, Association):
        value = (entry.source, entry.target)
    if parameter.field == "creation_time" and isinstance(entry, DocumentEntry) and entry.object_type == ON_DEMAND:
        value = None  # its documents do not exist yet
    return all(test(value, group) for group in criterion.groups)


def _plain(value: Any) -> str | None:
    match value:
        case Identifier():
            return value.value
        case CodedValue():
            return nfc(value.key)
    return None if value is None else nfc(value)


def _equal(value: Any, group: Group) -> bool:
    return _plain(value) in group


def _same_patient(value: Identifier | None, group: Group) -> bool:
    return value is not None and patient_key(value.value) in group


def _any_equal(values: Iterable[Any], group: Group) -> bool:
    return any(_plain(value) in group for value in values)


def _any_author_like(authors: Iterable[Author], group: Group) -> bool:
    return any(re.search(like_pattern(group), f"\n{line(author.person)}\n") for author in authors if author.person)


def _any_reference(values: Iterable[str], group: Group) -> bool:
    return any(re.search(exact_pattern(group), f"\n{line(value)}\n") for value in values)


def _not_before(time: str | None, group: Group) -> bool:
    return time is None or time >= group[0]


def _before(time: str | None, group: Group) -> bool:
    return time is None or time < group[0]


_TESTS: Mapping[Compare, Callable[[Any, Group], bool]] = {
    Compare.PATIENT: _same_patient,
    Compare.CODES: _any_equal,
    Compare.ENDS: _any_equal,
    Compare.LIKE: _any_author_like,
    Compare.REFERENCE: _any_reference,
    Compare.FROM: _not_before,
    Compare.TO: _before,
}
