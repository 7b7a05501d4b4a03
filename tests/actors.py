"""A Document Registry in this process, as tests work with it: submit from the model, look at what queries return."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, select

from registry import patients
from registry.models import tables
from registry.query import QuerySettings
from registry.service import Registry
from tests.samples import OTHER_PATIENT, PATIENT
from xds import database
from xds.ebxml.rim import decode_served
from xds.ebxml.rs import encode_submit
from xds.ebxml.xml import Element, parse
from xds.errors import Status
from xds.messages import AdhocQuery, AdhocQueryResponse, Caller, RegistryResponse, ReturnType, SubmitObjectsRequest
from xds.metadata import affinity
from xds.metadata.model import Association, DocumentEntry, Folder, RegistryObject, Submission, SubmissionSet
from xds.queries.table import TABLE

CALLER = Caller("CN=test", message_id="urn:uuid:00000000-0000-4000-8000-000000000001")
STORED = {stored.name: stored for stored in TABLE}


@dataclass(frozen=True)
class Found:
    """What a query returned, by kind."""

    objects: tuple[RegistryObject, ...]

    def of(self, kind: type[RegistryObject]) -> list[RegistryObject]:
        return [obj for obj in self.objects if isinstance(obj, kind)]

    @property
    def entries(self) -> list[DocumentEntry]:
        return self.of(DocumentEntry)

    @property
    def sets(self) -> list[SubmissionSet]:
        return self.of(SubmissionSet)

    @property
    def folders(self) -> list[Folder]:
        return self.of(Folder)

    @property
    def links(self) -> list[Association]:
        return self.of(Association)


@dataclass
class Bench:
    """A registry and what a test asks of it."""

    registry: Registry
    patients: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, engine: Engine, known: Iterable[str] = (PATIENT, OTHER_PATIENT)) -> Bench:
        """A registry on an empty database, in which these patients are known."""
        tables.create_all(engine)
        return cls.on(engine, known)

    @classmethod
    def on(cls, engine: Engine, known: Iterable[str] = ()) -> Bench:
        """A registry on a database that has its tables."""
        listed = list(known)
        if listed:
            database.write(engine, lambda conn: patients.add(conn, listed))
        return cls(Registry(engine, affinity.default(), QuerySettings()), listed)

    @property
    def engine(self) -> Engine:
        return self.registry.engine

    def register(self, what: Submission | Element | bytes) -> RegistryResponse:
        """Send ITI-42."""
        if isinstance(what, Submission):
            what = encode_submit(what)
        element = parse(what) if isinstance(what, bytes) else what
        return self.registry.register(SubmitObjectsRequest(element), CALLER)

    def accept(self, what: Submission | Element | bytes) -> None:
        """Send ITI-42, which must succeed."""
        response = self.register(what)
        assert response.errors == ()
        assert response.status is Status.SUCCESS

    def query(self, name: str, return_type: str = ReturnType.LEAF_CLASS, **parameters: str) -> AdhocQueryResponse:
        """Send ITI-18: `query("GetDocuments", XDSDocumentEntryUniqueId="1.2")`; lists are made of single values."""
        stored = STORED[name]
        many = {row.name for row in stored.parameters if row.many}
        slots = tuple(
            (f"${key}", (f"('{value}')" if f"${key}" in many else f"'{value}'",)) for key, value in parameters.items()
        )
        return self.registry.query(AdhocQuery(stored.id, slots, return_type), CALLER)

    def find(self, name: str, **parameters: str) -> Found:
        """As `query`, with the objects decoded."""
        response = self.query(name, **parameters)
        assert response.errors == ()
        return Found(tuple(decode_served(served.body) for served in response.objects))

    def entry(self, unique_id: str) -> DocumentEntry:
        """The one DocumentEntry with a uniqueId."""
        [entry] = self.find("GetDocuments", XDSDocumentEntryUniqueId=unique_id).entries
        return entry

    def folder(self, unique_id: str) -> Folder:
        """The one Folder with a uniqueId."""
        [folder] = self.find("GetFolders", XDSFolderUniqueId=unique_id).folders
        return folder

    def links(self, id_: str) -> list[Association]:
        """Associations from or to an object."""
        return self.find("GetAssociations", uuid=id_).links

    def state(self) -> dict[str, tuple[int, str]]:
        """Number of rows and a digest of each table: equal only if nothing was changed."""
        return database.read(
            self.engine, lambda conn: {table.name: _digest(conn, table) for table in tables.sorted_tables}
        )

    def refused(self, what: Submission | Element | bytes) -> RegistryResponse:
        """Send ITI-42, which must be refused and leave nothing behind."""
        before = self.state()
        response = self.register(what)
        assert response.status is Status.FAILURE, "accepted"
        assert self.state() == before
        for error in response.errors:
            assert error.context.strip(), "an empty codeContext"
        return response


def _digest(conn: Connection, table) -> tuple[int, str]:
    rows = sorted(repr(tuple(row)) for row in conn.execute(select(table)))
    return len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest()


Change = Callable[[Submission], Submission]
