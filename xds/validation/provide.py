"""Documents and the DocumentEntries that describe them (ITI TF-2 3.41.4.1.3).

The rules of a Document Repository that need neither store nor database; the Repository and the validator apply them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from xds.ebxml.xdsb import ProvidedEntry, set_slot
from xds.errors import Code, XDSError
from xds.metadata.attributes import OF
from xds.metadata.model import DocumentEntry


def documents_have_entries(entries: Sequence[ProvidedEntry], document_ids: Sequence[str]) -> Iterator[XDSError]:
    """Each Document has the id of a DocumentEntry, and no two have the same (ITI TF-2 3.41.4.1.2)."""
    known = {entry.id for entry in entries}
    for id_, count in Counter(document_ids).items():
        if id_ not in known:
            problem = f"the Document {id_!r} has no DocumentEntry (ExtrinsicObject) with this id"
            yield XDSError(Code.XDSMissingDocumentMetadata, problem, id_)
        elif count > 1:
            yield XDSError(Code.XDSMissingDocumentMetadata, f"{count} Documents have the id {id_!r}", id_)


def entries_have_documents(entries: Sequence[ProvidedEntry], document_ids: Sequence[str]) -> Iterator[XDSError]:
    """Each DocumentEntry has a Document (ITI TF-2 3.41.4.1.2)."""
    known = frozenset(document_ids)
    for entry in entries:
        if entry.id not in known:
            yield XDSError(Code.XDSMissingDocument, f"the DocumentEntry {entry.id!r} has no Document", entry.id)


def entries_are_identified(entries: Sequence[ProvidedEntry], _document_ids: Sequence[str]) -> Iterator[XDSError]:
    """A Repository needs the id and the uniqueId of each DocumentEntry (ITI TF-2 3.41.4.1.3)."""
    for entry in entries:
        if not entry.id:
            yield XDSError(Code.XDSRepositoryMetadataError, "a DocumentEntry (ExtrinsicObject) has no id")
        if entry.unique_id is None:
            problem = f"the DocumentEntry {entry.id!r} has no uniqueId (ExternalIdentifier XDSDocumentEntry.uniqueId)"
            yield XDSError(Code.XDSRepositoryMetadataError, problem, entry.id)
        elif len(entry.unique_id) > _LONGEST_UNIQUE_ID:
            problem = (
                f"the uniqueId of {entry.id!r} has {len(entry.unique_id)} characters, at most {_LONGEST_UNIQUE_ID}"
            )
            yield XDSError(Code.XDSRepositoryMetadataError, f"{problem} are allowed", entry.id)


_LONGEST_UNIQUE_ID = next(row.limit or 0 for row in OF[DocumentEntry] if row.field == "unique_id")


def unique_ids_differ(entries: Sequence[ProvidedEntry], _document_ids: Sequence[str]) -> Iterator[XDSError]:
    """No two DocumentEntries of a message share a uniqueId (ITI TF-3 Table 4.2.4.1-2)."""
    for value, count in Counter(entry.unique_id for entry in entries if entry.unique_id).items():
        if count > 1:
            problem = f"the uniqueId {value} is used by {count} DocumentEntries of the message"
            yield XDSError(Code.XDSRepositoryDuplicateUniqueIdInMessage, problem, value)


PAIRING = (documents_have_entries, entries_have_documents, entries_are_identified, unique_ids_differ)
"""What must be right before a document is stored."""


def pair(entries: Iterable[ProvidedEntry], document_ids: Sequence[str]) -> Iterator[XDSError]:
    """Apply the rules of `PAIRING`."""
    listed = list(entries)
    return (error for rule in PAIRING for error in rule(listed, document_ids))


def octets_arrived(ids: Iterable[str], arrived: Collection[str], broken: Mapping[str, str]) -> Iterator[XDSError]:
    """The octets of each document can be had (ITI TF-2 3.41.4.1.3, V.3.6).

    Args:
        ids: of the DocumentEntries.
        arrived: of those whose octets were read.
        broken: id -> why they could not.
    """
    for id_ in ids:
        if id_ not in arrived:
            reason = broken.get(id_, "its octets did not arrive with the message")
            yield XDSError(Code.XDSMissingDocument, f"the Document {id_!r} cannot be read: {reason}", id_)


def octets_are_as_described(entry: ProvidedEntry, hash_: str, size: int) -> Iterator[XDSError]:
    """Hash and size, if sent, are those of the octets (ITI TF-2 3.41.4.1.3).

    Args:
        entry: as sent.
        hash_: SHA-1 of the octets received, 40 lower-case hex digits.
        size: their number.
    """
    if entry.hash is not None and entry.hash.lower() != hash_:
        problem = f"hash of {entry.id!r} is {entry.hash}, the octets received have {hash_}"
        yield XDSError(Code.XDSRepositoryMetadataError, problem, entry.id)
    if entry.size is not None and entry.size.lstrip("0") != str(size).lstrip("0"):
        problem = f"size of {entry.id!r} is {entry.size}, {size} octets were received"
        yield XDSError(Code.XDSRepositoryMetadataError, problem, entry.id)


def fill_in(entry: ProvidedEntry, hash_: str, size: int, repository_unique_id: str) -> None:
    """Give an entry what the Repository knows better; nothing else is touched (ITI TF-2 3.41.4.1.3)."""
    if entry.size is None:
        set_slot(entry.element, "size", str(size))
    if entry.hash is None:
        set_slot(entry.element, "hash", hash_)
    set_slot(entry.element, "repositoryUniqueId", repository_unique_id)
