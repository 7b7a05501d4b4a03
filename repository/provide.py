"""Provide and Register Document Set-b, ITI-41 (ITI TF-2 3.41.4.1.3).

    1  pair documents and DocumentEntries by id
    2  each document from the socket into the store, under a fresh key, hashed on the way
    3  hash and size as sent, if sent, must be those of the octets
    4  claim the uniqueIds: whoever was first decides the octets
    5  fill in hash, size and repositoryUniqueId; nothing else is touched
    6  register (ITI-42)
    7  confirm the claims, or withdraw them and remove what nobody relies on

What is stored is durable before step 6, so no registered entry is ever without its octets. If the outcome of step 4
or 6 is unknown, the octets stay; `gc` asks the registry later. A submission that outlives its claim, which was given up
as left behind, finds out in step 7: then the source is told that it failed, since it alone has the octets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection, Engine

from repository import claims
from repository.claims import Document
from repository.failures import attempt, call_registry, connection_lost, store_error
from repository.lookup import Lookup
from repository.storage import ObjectStore, SpareThreads, StoredObject, StoreError, put_soon
from xds import database
from xds.actors import DocumentRegistry
from xds.ebxml.xdsb import ProvidedEntry, provided_entries
from xds.errors import Code, Refused, Status, XDSError
from xds.messages import Caller, ProvideAndRegister, RegistryResponse, SubmittedDocument
from xds.validation.provide import fill_in, octets_are_as_described, octets_arrived, pair

T = TypeVar("T")
log = logging.getLogger(__name__)

HOLD_SECONDS = 600
"""So long may the first document of a message be stored but not claimed; `gc` takes what is older for an orphan."""
STALE_SECONDS = 900
"""A pending claim older than this is of no running submission: registering is given up within minutes."""


@dataclass
class Provision:
    """One ITI-41 request on its way.

    Attributes:
        storing: id of the ExtrinsicObject -> the object being written for it.
        stored: id of the ExtrinsicObject -> the object written for it.
        claimed: uniqueId -> the document it means, for those this submission relies on.
        unreadable: id of the ExtrinsicObject -> why the octets of its part cannot be decoded.
        in_doubt: a claim was not answered and may still be carried out.
        since: `time.monotonic()` when the first document had arrived.
    """

    engine: Engine
    store: ObjectStore
    spare: SpareThreads
    registry: DocumentRegistry
    lookup: Lookup
    repository_unique_id: str
    request: ProvideAndRegister
    caller: Caller
    limit: int | None = None
    storing: dict[str, Future[StoredObject]] = field(default_factory=dict)
    stored: dict[str, StoredObject] = field(default_factory=dict)
    claimed: dict[str, Document] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    in_doubt: bool = False
    since: float | None = None

    def run(self) -> RegistryResponse:
        """Do the steps.

        Raises:
            Refused: with what the sender has to be told; nothing is left behind.
        """
        listed = tuple(provided_entries(self.request.submission))
        entries = {entry.id: entry for entry in listed}
        try:
            _refuse(pair(listed, self.request.document_ids))
            self._store(entries)
            broken = {**self.unreadable, **self.request.broken}
            _refuse([*octets_arrived(entries, self.stored, broken), *self._differing(entries)])
            self._claim(entries)
        except BaseException:
            self._undo()
            raise
        self._fill_in(entries)
        return self._register()

    # Steps 2 and 3

    def _store(self, entries: dict[str, ProvidedEntry]) -> None:
        """Small documents are stored side by side, while the next is read."""
        for submitted in self.request.documents:
            if submitted.id in entries and submitted.id not in self.stored and submitted.id not in self.storing:
                self._put(submitted, more=len(self.stored) + len(self.storing) + 1 < len(entries))
            while self.storing and next(iter(self.storing.values())).done():
                self._settle_first()
        while self.storing:
            self._settle_first()

    def _put(self, submitted: SubmittedDocument, *, more: bool) -> None:
        try:
            with self._naming(submitted.id):
                self.storing[submitted.id] = put_soon(
                    self.store, submitted.content, self.spare, more=more, limit=self.limit
                )
            self.since = self.since or time.monotonic()
        except XDSError as error:  # what the part holds cannot be decoded: it counts as a missing document
            self.unreadable[submitted.id] = error.context

    def _settle_first(self) -> None:
        id_ = next(iter(self.storing))
        with self._naming(id_):
            self.stored[id_] = self.storing.pop(id_).result()

    @contextmanager
    def _naming(self, id_: str) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            raise Refused([store_error(error, f"the Document {id_!r}", id_, self.caller)]) from error

    def _differing(self, entries: dict[str, ProvidedEntry]) -> Iterator[XDSError]:
        for id_, stored in self.stored.items():
            yield from octets_are_as_described(entries[id_], stored.hash, stored.size)

    # Step 4

    def _claim(self, entries: dict[str, ProvidedEntry]) -> None:
        wanted = [_document(entries[id_], stored) for id_, stored in self.stored.items()]
        if not wanted:
            return
        self._refuse_slow()
        self.claimed = {doc.unique_id: doc for doc in wanted}  # until we know better
        try:
            meant = attempt(lambda: claims.claim(self.engine, wanted), self.caller)
        except Refused as refused:
            self.in_doubt = connection_lost(refused)
            raise
        same = {value for value, doc in self.claimed.items() if claims.same_octets(doc, meant[value])}
        self.claimed = {value: meant[value] for value in same}
        faults = [fault for doc in wanted if doc.unique_id not in same for fault in self._contest(meant, doc)]
        _refuse(faults)
        self._remove_doubles()

    def _contest(self, meant: dict[str, Document], doc: Document) -> Iterator[XDSError]:
        """The uniqueId means other octets already; unless a crashed submission left it behind, that is final."""
        found = meant[doc.unique_id]
        if self._take_over(found, doc):
            self.claimed[doc.unique_id] = doc
        else:
            yield from _not_identical(doc, found)

    def _take_over(self, found: Document, doc: Document) -> bool:
        """Free a uniqueId whose claim a crashed submission left behind; only the registry knows whether it did."""
        if found.registered or found.claimed > time.time() - STALE_SECONDS:
            return False
        if self.lookup.is_registered(found, self.caller):
            return False
        taken = self._write(lambda connection: claims.take_over(connection, found, doc))
        if taken:
            self._remove([found.key])
        return taken

    def _remove_doubles(self) -> None:
        """Of equal octets that were there before, one copy is kept."""
        kept = {doc.key for doc in self.claimed.values()}
        doubles = {id_: stored for id_, stored in self.stored.items() if stored.key not in kept}
        self._remove(stored.key for stored in doubles.values())
        self.stored = {id_: stored for id_, stored in self.stored.items() if id_ not in doubles}

    def _refuse_slow(self) -> None:
        """What a message brought first may be taken for an orphan by `gc` if the rest is too long in coming."""
        if self.since is not None and time.monotonic() - self.since > HOLD_SECONDS:
            _refuse([_TOO_SLOW])

    # Steps 5 to 7

    def _fill_in(self, entries: dict[str, ProvidedEntry]) -> None:
        for entry in entries.values():
            doc = self.claimed[entry.unique_id or ""]
            fill_in(entry, doc.hash, doc.size, self.repository_unique_id)

    def _register(self) -> RegistryResponse:
        response = call_registry(lambda: self.registry.register(self.request.submission, self.caller), self.caller)
        if response.status is not Status.FAILURE:
            lost = tuple(self._confirm())
            return RegistryResponse((*response.errors, *lost)) if lost else response
        if not response.errors:
            return RegistryResponse((_UNEXPLAINED,))
        if not _outcome_unknown(response):
            self._undo()
        return response

    def _confirm(self) -> Iterator[XDSError]:
        """A claim that was given up meanwhile is an error: its document is registered, but no longer stored."""
        pending = [doc for doc in self.claimed.values() if not doc.registered]
        if not pending:
            return
        try:
            confirmed = attempt(lambda: self._confirmed(pending), self.caller)
        except Refused as refused:
            # A claim left pending is still served: `Lookup` asks the registry and confirms it then.
            log.warning("message %s: registered, not yet confirmed: %s", self.caller.message_id, refused)
            return
        for doc in pending:
            if doc.unique_id not in confirmed:
                log.critical("message %s: %s", self.caller.message_id, lost := _lost(doc))
                yield lost

    def _confirmed(self, pending: list[Document]) -> set[str]:
        """Confirm the claims; for one that was given up meanwhile, that which means the same octets now."""
        confirmed = claims.confirm(self.engine, pending)
        lost = [doc for doc in pending if doc.unique_id not in confirmed]
        if not lost:
            return confirmed
        ids = [doc.unique_id for doc in lost]
        meant = database.read_at_once(self.engine, lambda connection: claims.find(connection, ids))
        anew = [(doc, meant[doc.unique_id]) for doc in lost if doc.unique_id in meant]
        same = [found for doc, found in anew if claims.same_octets(doc, found)]
        return confirmed | claims.confirm(self.engine, same)

    def _undo(self) -> None:
        """Remove what this submission brought and nobody else relies on; what fails here is found by `gc`."""
        if self.in_doubt:  # octets that were removed now might be claimed a moment later
            log.warning("message %s: the claim was not answered: its documents stay until gc", self.caller.message_id)
            return
        brought = [stored.key for stored in self._all_stored()]
        if self.claimed:
            try:
                brought = self._write(lambda connection: self._withdraw(connection, brought))
            except Refused as refused:
                log.warning("message %s: claims not withdrawn: %s", self.caller.message_id, refused)
                return
        self._remove(brought)

    def _all_stored(self) -> Iterator[StoredObject]:
        yield from self.stored.values()
        for future in self.storing.values():
            if not future.exception():
                yield future.result()

    def _withdraw(self, connection: Connection, brought: list[str]) -> list[str]:
        released = claims.withdraw(connection, list(self.claimed.values()))
        named = {entry.unique_id for entry in provided_entries(self.request.submission)}
        meant = {doc.key for doc in claims.find(connection, [value for value in named if value]).values()}
        return list(dict.fromkeys([*released, *(key for key in brought if key not in meant)]))

    def _remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            try:
                self.store.delete(key)
            except StoreError as error:
                log.warning("message %s: object %s not removed: %s", self.caller.message_id, key, error.detail)

    def _write(self, work: Callable[[Connection], T]) -> T:
        return attempt(lambda: database.write(self.engine, work), self.caller)


# Codes after which the registry may have registered all the same: the answer was lost, or came from an inner failure.
_UNKNOWN_OUTCOME = frozenset(
    {
        Code.XDSRegistryNotAvailable,
        Code.XDSRegistryError,
        Code.XDSRegistryBusy,
        Code.XDSRegistryOutOfResources,
    },
)

_TOO_SLOW = XDSError(
    Code.XDSRepositoryError,
    f"the last document of the message arrived more than {HOLD_SECONDS} seconds after the first: "
    "send large documents in messages of their own",
)
_UNEXPLAINED = XDSError(Code.XDSRegistryError, "the Document Registry answered Failure and gave no error")


def _lost(doc: Document) -> XDSError:
    """It is registered, and its octets were removed; stored anew under its uniqueId, they serve that entry, too."""
    problem = f"is registered but no longer stored, since registering it took more than {STALE_SECONDS} seconds"
    context = f"the document {doc.unique_id} {problem}: send it again in a new submission"
    return XDSError(Code.XDSRepositoryError, context, doc.unique_id)


def _outcome_unknown(response: RegistryResponse) -> bool:
    return any(error.code in _UNKNOWN_OUTCOME for error in response.errors)


def _refuse(faults: Iterable[XDSError]) -> None:
    found = tuple(faults)
    if found:
        raise Refused(found)


def _document(entry: ProvidedEntry, stored: StoredObject) -> Document:
    mime_type = entry.mime_type or "application/octet-stream"
    return Document(entry.unique_id or "", stored.key, stored.hash, stored.size, mime_type)


def _not_identical(doc: Document, found: Document) -> Iterator[XDSError]:
    """This repository already keeps other octets under the uniqueId (TF-3 Table 4.2.4.1-2)."""
    known = f"the uniqueId {doc.unique_id} is already that of a document with the"
    if doc.hash != found.hash:
        yield XDSError(Code.XDSNonIdenticalHash, f"{known} hash {found.hash}, found {doc.hash}", doc.unique_id)
    if doc.size != found.size:
        yield XDSError(Code.XDSNonIdenticalSize, f"{known} size {found.size}, found {doc.size}", doc.unique_id)
