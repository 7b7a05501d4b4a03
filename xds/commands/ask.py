"""Stored queries as the commands ask them (ITI TF-2 3.18.4.1.2.3.7): FindDocuments, GetDocuments."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from xds.actors import DocumentRegistry
from xds.commands.peers import CALLER
from xds.ebxml import rim
from xds.ebxml.xml import parse
from xds.errors import Code, Refused, Severity
from xds.messages import AdhocQuery, AdhocQueryResponse, RegistryResponse, ReturnType
from xds.metadata.model import DocumentEntry
from xds.metadata.vocabulary import RIM, AvailabilityStatus
from xds.queries.table import TABLE, Compare, Parameter

T = TypeVar("T")
Answer = TypeVar("Answer", AdhocQueryResponse, RegistryResponse)

STORED = {stored.name: stored for stored in TABLE}
PORTION = 200
"""Objects asked for at once where there may be many."""
APPROVED = AvailabilityStatus.APPROVED.value
Parameters = Sequence[tuple[str, Sequence[str]]]
_NUMBERS = (Compare.FROM, Compare.TO, Compare.LEVEL)
_BUSY = frozenset({Code.XDSRegistryBusy, Code.XDSRepositoryBusy})
_PAUSES = (0.5, 2.0, 5.0)  # seconds before trying again what was refused for being busy


def query(name: str, parameters: Parameters, *, refs: bool = False) -> AdhocQuery:
    """A stored query by the standard's name; its rows say how values are written (ITI TF-2 3.18.4.1.2.3.5)."""
    stored = STORED[name]
    rows = {row.name: row for row in stored.parameters}
    slots = tuple((name, (_value(rows[name], values),)) for name, values in parameters if values)
    return AdhocQuery(stored.id, slots, ReturnType.OBJECT_REF if refs else ReturnType.LEAF_CLASS)


def _value(row: Parameter, values: Sequence[str]) -> str:
    literals = [value if row.compare in _NUMBERS else "'{}'".format(value.replace("'", "''")) for value in values]
    return f"({','.join(literals)})" if row.many else literals[0]


def documents(registry: DocumentRegistry, asked: AdhocQuery) -> list[DocumentEntry]:
    """The DocumentEntries of an answer.

    Raises:
        Refused: the registry's errors.
    """
    return decoded(answered(registry, asked))


def answered(registry: DocumentRegistry, asked: AdhocQuery) -> AdhocQueryResponse:
    """The answer, unless it has none but errors; a busy registry is asked again.

    Raises:
        Refused: the registry's errors.
    """
    answer = unless_busy(partial(registry.query, asked, CALLER))
    if answer.errors and not answer.objects and not answer.refs:
        raise Refused(answer.errors)
    return answer


def unless_busy(request: Callable[[], Answer]) -> Answer:
    """The answer to a request, made again after a pause while an actor refuses it for being busy."""
    for pause in _PAUSES:
        answer = request()
        if not any(error.code in _BUSY and error.severity is Severity.ERROR for error in answer.errors):
            return answer
        time.sleep(pause)
    return request()


def decoded(answer: AdhocQueryResponse) -> list[DocumentEntry]:
    """The DocumentEntries among the objects of an answer."""
    bodies = b"".join(obj.body for obj in answer.objects)
    element = parse(b'<rim:RegistryObjectList xmlns:rim="%b">%b</rim:RegistryObjectList>' % (RIM.encode(), bodies))
    return list(rim.decode_list(element)[0].entries)


def find_all(registry: DocumentRegistry, name: str, parameters: Parameters) -> Iterator[DocumentEntry]:
    """The entries a query finds; where there are more than the registry gives in full, by references and in portions.

    Raises:
        Refused: the registry's errors.
    """
    try:
        yield from documents(registry, query(name, parameters))
    except Refused as refused:
        if any(error.code != Code.XDSTooManyResults for error in refused.errors):
            raise
        refs = answered(registry, query(name, parameters, refs=True)).refs
        for portion in portions(refs, PORTION):
            yield from _by_halves(registry, portion)


def _by_halves(registry: DocumentRegistry, uuids: list[str]) -> Iterator[DocumentEntry]:
    """GetDocuments, in smaller portions where the registry gives fewer at once."""
    try:
        yield from by_uuid(registry, uuids)
    except Refused as refused:
        if len(uuids) == 1 or any(error.code != Code.XDSTooManyResults for error in refused.errors):
            raise
        middle = len(uuids) // 2
        yield from _by_halves(registry, uuids[:middle])
        yield from _by_halves(registry, uuids[middle:])


def by_uuid(registry: DocumentRegistry, uuids: Sequence[str]) -> list[DocumentEntry]:
    """GetDocuments by entryUUID; all of one patient."""
    return documents(registry, query("GetDocuments", [("$XDSDocumentEntryEntryUUID", uuids)]))


def by_unique_id(registry: DocumentRegistry, unique_ids: Sequence[str]) -> list[DocumentEntry]:
    """GetDocuments by uniqueId; all of one patient."""
    return documents(registry, query("GetDocuments", [("$XDSDocumentEntryUniqueId", unique_ids)]))


def any_known(registry: DocumentRegistry, unique_ids: Sequence[str]) -> bool:
    """Tell whether the registry knows one of these documents, of whichever patients they are."""
    parameters = [("$XDSDocumentEntryUniqueId", unique_ids)]
    return bool(answered(registry, query("GetDocuments", parameters, refs=True)).refs)


def portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut a sequence into lists of at most so many."""
    source = iter(items)
    while portion := list(islice(source, size)):
        yield portion
