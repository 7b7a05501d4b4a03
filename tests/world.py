"""Both actors behind the WSGI application, for tests that send octets and look at octets."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy
from lxml import etree

import registry.models
import repository.models
from registry.query import QuerySettings
from registry.service import Registry
from repository.service import Repository
from repository.storage import ObjectStore, open_store
from tests.corpus import Case
from tests.samples import REPOSITORY
from xds import database
from xds.ebxml import rs, xdsb
from xds.errors import Status, XDSError
from xds.metadata import affinity
from xds.metadata.vocabulary import SOAP
from xds.soap.mtom import read_message
from xds.soap.pages import ConnectionSheet
from xds.soap.server import ServerSettings, SoapApplication
from xds.transactions import ITI_18, ITI_43, ITI_51, Actor
from xds.validation.message import validate

AFFINITY = replace(affinity.default(), assigning_authorities=frozenset({"2.999.1.4"}))
TABLES = {Actor.REGISTRY: registry.models.tables, Actor.REPOSITORY: repository.models.tables}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    http_status: int
    content_type: str
    body: bytes

    @property
    def root(self) -> etree._Element:
        return etree.fromstring(read_message(io.BytesIO(self.body), self.content_type).root)

    @property
    def content(self) -> etree._Element:
        return self.root.find("{*}Body/*")

    @property
    def fault(self) -> str:
        """Codes of the fault, outermost first, as the corpus writes them."""
        in_1_1 = self.content.findtext("faultcode")
        codes = [value.text for value in self.content.iter(f"{{{SOAP}}}Value")]
        return "/".join(code.rpartition(":")[2] for code in ([in_1_1] if in_1_1 else codes))

    @property
    def reason(self) -> str:
        return "".join(self.content.itertext())


def read(case: Case, answer: Answer) -> tuple[Status, tuple[XDSError, ...], int | None]:
    """Status, errors and number of objects of a response."""
    if case.transaction in {ITI_18, ITI_51}:
        found = rs.decode_query_response(answer.content)
        return found.status, found.errors, len(found.objects) + len(found.refs)
    if case.transaction is ITI_43:
        retrieved = xdsb.decode_retrieve_response(answer.content)
        return retrieved.status, retrieved.errors, len(retrieved.documents)
    response = rs.decode_response(answer.content)
    return response.status, response.errors, None


class Trickle(io.BytesIO):
    """A body that arrives in small pieces."""

    def __init__(self, data: bytes, pieces: int | None) -> None:
        super().__init__(data)
        self._pieces = pieces

    def read(self, size: int = -1, /) -> bytes:
        return super().read(min(size, self._pieces) if self._pieces and size > 0 else size)


@dataclass
class World:
    """The actors of one test; what it changes on them holds for the next message.

    Attributes:
        registry: the Document Registry.
        repository: the Document Repository, which registers with it.
        documents: directory of the store.
    """

    registry: Registry
    repository: Repository
    documents: Path

    def __post_init__(self) -> None:
        actors = {Actor.REGISTRY: self.registry, Actor.REPOSITORY: self.repository}
        sheet = ConnectionSheet({actor: f"https://localhost/{actor}" for actor in Actor})
        self.application = SoapApplication(actors, ServerSettings(require_certificate=False), sheet=sheet)

    @classmethod
    def make(cls, directory: Path) -> World:
        """Both actors on `registry.db`, `repository.db` and `documents` of a directory."""
        engines = {actor: database.engine(f"sqlite:///{directory}/{actor}.db") for actor in Actor}
        store: ObjectStore = open_store(str(directory / "documents"))
        registry_ = Registry(engines[Actor.REGISTRY], AFFINITY, QuerySettings())
        repository_ = Repository(engines[Actor.REPOSITORY], store, registry_, REPOSITORY)
        return cls(registry_, repository_, directory / "documents")

    def close(self) -> None:
        self.repository.store.close()
        self.registry.engine.dispose()
        self.repository.engine.dispose()

    def send(self, case: Case) -> Answer:
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": f"/{case.transaction.actor}",
            "CONTENT_LENGTH": str(len(case.body)),
            "CONTENT_TYPE": case.headers.get("Content-Type", ""),
            "wsgi.input": Trickle(case.body, case.pieces),
            "REMOTE_ADDR": "127.0.0.1",
        }
        if "SOAPAction" in case.headers:
            environ["HTTP_SOAPACTION"] = case.headers["SOAPAction"]
        started: list = []
        chunks = self.application(environ, lambda status, headers: started.append((status, dict(headers))))
        body = b"".join(chunks)
        chunks.close()
        [(status, headers)] = started
        return Answer(int(status[:3]), headers["Content-Type"], body)

    def state(self) -> dict[str, object]:
        """All rows of all tables, and the objects of the store."""
        engines = {Actor.REGISTRY: self.registry.engine, Actor.REPOSITORY: self.repository.engine}
        found: dict[str, object] = {
            table.name: sorted(map(repr, database.read(engines[actor], _all(table))))
            for actor, metadata in TABLES.items()
            for table in metadata.sorted_tables
        }
        return found | {"documents": sorted(path.name for path in self.documents.rglob("*") if path.is_file())}


def _all(table: sqlalchemy.Table) -> Callable[[sqlalchemy.Connection], list]:
    return lambda conn: [tuple(row) for row in conn.execute(sqlalchemy.select(table))]


def check(case: Case, answer: Answer) -> None:
    """Hold an answer against what the corpus says of the case."""
    assert answer.http_status == case.http_status, answer.body
    if case.fault:
        assert answer.fault == case.fault
        assert all(fragment in answer.reason for fragment in case.context), answer.reason
        return
    status, errors, objects = read(case, answer)
    assert Counter(str(error.code) for error in errors) == Counter(case.codes), errors
    assert status is case.status
    assert all(any(part in error.context for error in errors) for part in case.context), errors
    assert case.objects is None or objects == case.objects
    assert validate(_capture(answer), AFFINITY).errors == ()


def _capture(answer: Answer) -> bytes:
    return f"Content-Type: {answer.content_type}\r\n\r\n".encode() + answer.body
