"""A Document Repository in this process, with a registry that follows a script, and what a source does with them."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from repository.models import document
from repository.provide import STALE_SECONDS
from repository.retrieve import SMALL
from repository.service import Repository
from repository.storage import ObjectStore
from tests.actors import CALLER, Bench
from tests.samples import entry, submission
from xds.actors import PeerUnavailable
from xds.ebxml.rs import submit_request
from xds.errors import Status, XDSError
from xds.messages import (
    AdhocQuery,
    AdhocQueryResponse,
    Caller,
    DocumentRequest,
    ProvideAndRegister,
    RegistryResponse,
    SubmitObjectsRequest,
    SubmittedDocument,
)
from xds.metadata.model import DocumentEntry, Submission

OWN = "2.999.1.77"
OCTETS = b"%PDF-1.7 \x00\xff\r\n--boundary\r\n"
LARGE = random.Random(1).randbytes(3 * SMALL + 17)


def sha1(octets: bytes) -> str:
    return hashlib.sha1(octets, usedforsecurity=False).hexdigest()


class Scripted:
    """A registry in front of a real one: loses answers, refuses, is down.

    Attributes:
        script: what to do with the next registrations; then the real registry answers.
        down: queries get no answer.
        seen: the submissions received.
    """

    def __init__(self, real: Bench) -> None:
        self.real = real.registry
        self.script: list[Callable[[SubmitObjectsRequest, Caller], RegistryResponse]] = []
        self.down = False
        self.seen: list[SubmitObjectsRequest] = []
        self.asked = 0

    def register(self, request: SubmitObjectsRequest, caller: Caller) -> RegistryResponse:
        self.seen.append(request)
        act = self.script.pop(0) if self.script else self.real.register
        return act(request, caller)

    def query(self, query: AdhocQuery, caller: Caller) -> AdhocQueryResponse:
        self.asked += 1
        if self.down:
            raise PeerUnavailable("https://registry.example:8443 does not answer")
        return self.real.query(query, caller)

    def lose_answer(self) -> None:
        def act(request: SubmitObjectsRequest, caller: Caller) -> RegistryResponse:
            assert self.real.register(request, caller).status is Status.SUCCESS
            raise PeerUnavailable("https://registry.example:8443: the connection was closed")

        self.script.append(act)

    def fail(self, error: Exception) -> None:
        def act(_request: SubmitObjectsRequest, _caller: Caller) -> RegistryResponse:
            raise error

        self.script.append(act)

    def answer(self, *errors: XDSError, received: Status | None = None) -> None:
        self.script.append(lambda _request, _caller: RegistryResponse(errors, received))


@dataclass
class Desk:
    """A repository, its store, its registry, and what a source does with them."""

    repository: Repository
    registry: Scripted
    bench: Bench
    store: ObjectStore

    def provide(self, sent: Submission, documents: dict[str, Any], **more: Any) -> RegistryResponse:
        return self.repository.provide_and_register(message(sent, documents, **more), CALLER)

    def accept(self, sent: Submission, documents: dict[str, Any]) -> None:
        response = self.provide(sent, documents)
        assert response == RegistryResponse()

    def submit(self, octets: bytes = OCTETS, **changes: Any) -> DocumentEntry:
        """Submit one new document."""
        made = unhashed(**changes)
        self.accept(submission(made), {made.id: octets})
        return made

    def refuse(self, sent: Submission, documents: dict[str, Any], **more: Any) -> tuple[XDSError, ...]:
        """Submit what must be refused; nothing may stay, here or in the registry."""
        before, kept = self.bench.state(), self.rows()
        keys = self.keys()
        response = self.provide(sent, documents, **more)
        assert response.status is Status.FAILURE
        assert self.bench.state() == before
        assert self.rows() == kept
        assert self.keys() == keys
        return response.errors

    def retrieve(self, *unique_ids: str, repository: str = OWN, home: str | None = None):
        return self.ask(*(DocumentRequest(repository, value, home) for value in unique_ids))

    def ask(self, *requests: DocumentRequest):
        return self.repository.retrieve(requests, CALLER)

    def octets(self, unique_id: str) -> bytes:
        response = self.retrieve(unique_id)
        assert response.errors == ()
        return read(response.documents[0].content)

    def rows(self) -> dict[str, tuple[Any, ...]]:
        with self.repository.engine.connect() as conn:
            columns = document.c
            found = conn.execute(select(columns.unique_id, columns.key, columns.state, columns.holders, columns.hash))
            return {row.unique_id: (row.key, row.state, row.holders, row.hash.hex()) for row in found}

    def row(self, unique_id: str) -> tuple[str, int, int, str]:
        return self.rows()[unique_id]

    def keys(self) -> set[str]:
        return {info.key for info in self.store.list()}

    def age(self, unique_id: str, seconds: float = STALE_SECONDS + 60) -> None:
        """Let a claim be older."""
        with self.repository.engine.begin() as conn:
            claimed = document.c.claimed - int(seconds)
            conn.execute(update(document).where(document.c.unique_id == unique_id).values(claimed=claimed))


def read(stream: Any) -> bytes:
    pieces = iter(lambda: stream.read(65536), b"")
    try:
        return b"".join(pieces)
    finally:
        if hasattr(stream, "close"):
            stream.close()


def unhashed(**changes: Any) -> DocumentEntry:
    """The canonical entry as a source sends it that leaves hash, size and repository to us."""
    return entry(**{"hash": None, "size": None, "repository_unique_id": None, **changes})


def message(
    sent: Submission,
    documents: dict[str, Any],
    *,
    ids: Sequence[str] | None = None,
    broken: dict[str, str] | None = None,
    arrived: Sequence[str] | None = None,
) -> ProvideAndRegister:
    """An ITI-41 message.

    Args:
        sent: its submission.
        documents: id -> octets or a stream, in the order in which they arrive.
        ids: of the xds:Document elements, if not those of the documents.
        broken: as in ProvideAndRegister.
        arrived: ids of the documents that arrive, if not all.
    """

    def arriving() -> Iterator[SubmittedDocument]:
        for id_ in documents if arrived is None else arrived:
            octets = documents[id_]
            yield SubmittedDocument(id_, io.BytesIO(octets) if isinstance(octets, bytes) else octets)

    return ProvideAndRegister(submit_request(sent), tuple(documents if ids is None else ids), arriving(), broken or {})


def said(errors: Sequence[XDSError]) -> list[tuple[str, str | None]]:
    return [(error.code, error.location) for error in errors]
