"""The floor: the least that any correct implementation must do for a message, behind the same TLS server.

The server is the product's own (`xds.serve`: gunicorn, its worker class, settings, TLS context); only the application
is another one, a bare WSGI function. Each handler's docstring says what is in its floor and what is not. In none of
them: identifying the caller, comparing wsa:Action and other headers, answering faults, logging, audit.

Common to all: the request is read from the socket and its envelope parsed by lxml with the product's parser; the answer
is a prepared text around what is served, with the request's message id, sent with its Content-Length.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol, cast
from urllib.parse import unquote, urlsplit

import typer
import urllib3
from cases import BOUNDARY
from floor_rows import Databases, Floor, Stored, Templates
from lxml import etree
from minio import Minio

from registry.bodies import unpack
from repository.storage import SpareThreads, s3url
from repository.storage.contract import new_key
from xds import app, serve
from xds.app import Choice
from xds.config import Settings, load
from xds.ebxml import xml
from xds.ebxml.schema import validate
from xds.errors import Status
from xds.metadata.attributes import find as attribute
from xds.metadata.model import DocumentEntry, SubmissionSet
from xds.metadata.vocabulary import QUERY, RIM, RS, WSA, XDSB
from xds.soap import envelope
from xds.transactions import ITI_18, ITI_41, ITI_42, ITI_43, Actor, Transaction

log = logging.getLogger(__name__)

CHUNK = 256 * 1024
"""Octets per read, and up to which a document is answered from memory: as in the product."""

Answer = tuple[str, int, Iterable[bytes]]
_PLAIN = "application/soap+xml; charset=UTF-8"
_RELATED = f'multipart/related; type="application/xop+xml"; boundary="{BOUNDARY.decode()}"'
_IDENTIFIER = f"{{{RIM}}}ExternalIdentifier"
_PATIENT = attribute(DocumentEntry, "patientId").key
_UNIQUE_IDS = {attribute(kind, "uniqueId").key for kind in (DocumentEntry, SubmissionSet)}
_SUCCESS = f'<rs:RegistryResponse xmlns:rs="{RS}" status="{Status.SUCCESS}"/>'.encode()
_LIST = (
    f'<query:AdhocQueryResponse xmlns:query="{QUERY}" xmlns:rim="{RIM}" xmlns:rs="{RS}" status="{Status.SUCCESS}">'
    "<rim:RegistryObjectList>"
).encode()
_LIST_END = b"</rim:RegistryObjectList></query:AdhocQueryResponse>"


class Input(Protocol):
    """wsgi.input."""

    def read(self, size: int) -> bytes:
        """Return at most so many octets."""


class Store(Protocol):
    """The raw object store."""

    def put(self, key: str, source: Hashed, size: int) -> None:
        """Store the source's octets durably."""

    def get(self, key: str) -> Iterator[bytes]:
        """The octets in pieces."""


class Hashed:
    """A source of known length, hashed as it is read (SHA-1, ITI TF-3 4.2.3.2.10)."""

    def __init__(self, head: bytes, source: Input, size: int) -> None:
        self.size = size
        self._head, self._source, self._left = memoryview(head), source, size
        self._sha1 = hashlib.sha1(usedforsecurity=False)

    def read(self, size: int = -1) -> bytes:
        """Return so many octets, fewer only at the document's end: as the minio client wants them."""
        wanted = self._left if size < 0 else min(size, self._left)
        pieces = []
        while wanted:
            pieces.append(self.read1(wanted))
            wanted -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, size: int) -> bytes:
        """Return at most so many octets of the document, as they come."""
        wanted = min(size, self._left)
        piece = bytes(self._head[:wanted]) or self._source.read(min(wanted, CHUNK))
        self._head = self._head[len(piece) :]
        self._left -= len(piece)
        self._sha1.update(piece)
        return piece

    def digest(self) -> bytes:
        """SHA-1 of what was read."""
        return self._sha1.digest()


class DirectoryFloor:
    """Files: created exclusively, written, synced, their folder synced."""

    def __init__(self, url: str) -> None:
        self._root = Path(unquote(urlsplit(url).path) if "://" in url else url)

    def put(self, key: str, source: Hashed, size: int) -> None:
        """See `Store`."""
        path = self._root / key
        path.parent.mkdir(exist_ok=True)
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        while size:
            size -= os.write(fd, source.read1(size))
        os.fsync(fd)
        os.close(fd)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def get(self, key: str) -> Iterator[bytes]:
        """See `Store`."""
        fd = os.open(self._root / key, os.O_RDONLY)
        try:
            while piece := os.read(fd, CHUNK):
                yield piece
        finally:
            os.close(fd)


class S3Floor:
    """The minio client's own `put_object` with the length known, and `get_object`; connections kept alive."""

    def __init__(self, url: str, connections: int) -> None:
        address = s3url.parse(url)
        self._bucket, self._prefix = address.bucket, address.prefix
        self._client = Minio(
            address.endpoint,
            access_key=address.credentials.access_key,
            secret_key=address.credentials.secret_key,
            secure=address.secure,
            region=address.region or None,
            http_client=urllib3.PoolManager(maxsize=connections),
        )

    def put(self, key: str, source: Hashed, size: int) -> None:
        """See `Store`."""
        self._client.put_object(self._bucket, self._prefix + key, cast("Any", source), size)

    def get(self, key: str) -> Iterator[bytes]:
        """See `Store`."""
        response = self._client.get_object(self._bucket, self._prefix + key)
        try:
            while piece := response.read(CHUNK):
                yield piece
        finally:
            response.release_conn()


class FloorApplication:
    """The bare WSGI application: a path for each handler."""

    def __init__(self, settings: Settings) -> None:
        urls = [app.database_url(settings, actor) for actor in Actor]
        self._databases = Databases(*urls)
        self._local = threading.local()
        self._templates: dict[int, Templates] = {}
        store = app.required(settings.repository.store, "[repository] store")
        threads = settings.server.threads
        self._spare = SpareThreads()
        self._store: Store = S3Floor(store, threads) if s3url.is_s3(store) else DirectoryFloor(store)
        self._repository = settings.repository.unique_id or ""
        self._handlers: dict[str, Callable[[Input, int], Answer]] = {
            "/register": self.register,
            "/provide": self.provide,
            "/find": partial(self.query, self.find),
            "/find-refs": partial(self.query, self.find_refs),
            "/get-documents": partial(self.query, self.get_documents),
            "/get-all": partial(self.query, self.get_all),
            "/retrieve": self.retrieve,
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        """Answer; a failure is logged and closes the connection."""
        if environ["REQUEST_METHOD"] == "GET":
            start_response("204 No Content", [])
            return []
        try:
            handler = self._handlers[environ["PATH_INFO"]]
            kind, length, chunks = handler(environ["wsgi.input"], int(environ["CONTENT_LENGTH"]))
        except Exception:
            log.exception("%s", environ["PATH_INFO"])
            raise
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(length))])
        return chunks

    @property
    def _db(self) -> Floor:
        if not hasattr(self._local, "db"):
            self._local.db = self._databases.open()
        return cast("Floor", self._local.db)

    def _rows(self, entries: int) -> Templates:
        if entries not in self._templates:
            self._templates[entries] = Templates(self._databases.engine, entries)
        return self._templates[entries]

    def register(self, source: Input, length: int) -> Answer:
        """ITI-42.

        In: parse; schema check of the SubmitObjectsRequest; patientId and uniqueIds taken from the tree; one durable
        transaction with the look-up of the patient and the very rows the product writes (its tables and indexes, fresh
        UUIDs; bodies and codes of the same size, ready made). PostgreSQL: one prepared statement, one round trip.

        Not in: reading the other attributes, the rules of content, encoding and packing bodies, interning codes,
        looking for earlier uniqueIds and UUIDs, locking the patient.
        """
        root = xml.parse(source.read(length))
        patient, unique_ids = _checked(root[1][0])
        self._db.register(self._rows(len(unique_ids) - 1), patient, unique_ids, [])
        return _answer(ITI_42, root, _SUCCESS)

    def provide(self, source: Input, length: int) -> Answer:
        """ITI-41, one document or several small ones.

        In: the root part parsed and schema-checked; each document's octets hashed (SHA-1) on their way from the socket
        to the store, written durably (directory: file and folder synced; S3: the minio client's put_object with the
        length known); then the rows of ITI-42 and a row for each document in the repository's table. PostgreSQL: all
        rows in one statement; SQLite: one in each of the two files. Several documents are stored side by side, by as
        many spare threads as the product has: over one connection that is twice as fast as in turn, over many as fast.

        Not in: looking for the MIME boundary in a document that is not in memory whole (its end follows from
        Content-Length); claiming the uniqueIds before and confirming them after the registration; and what is not in
        ITI-42.
        """
        data = source.read(min(length, CHUNK))
        root_part, start = _parts(data)
        root = xml.parse(root_part)
        documents = _documents(data[start:], source, length - start - len(b"\r\n--%b--\r\n" % BOUNDARY))
        kept = self._keep_all(documents)
        if len(data) < length:
            source.read(length)  # the closing boundary
        patient, unique_ids = _checked(root[1][0][0])
        *of_entries, _ = unique_ids
        described = zip(of_entries, kept, documents, strict=True)
        docs = [Stored(id_, key, doc.digest(), doc.size, "text/xml") for id_, key, doc in described]
        self._db.register(self._rows(len(docs)), patient, unique_ids, docs)
        return _multipart(_envelope(ITI_41, root, _SUCCESS), [])

    def _keep_all(self, documents: list[Hashed]) -> list[str]:
        """Keys of the documents in the store."""
        *others, last = documents
        beside = [self._spare.submit(partial(self._keep, doc)) for doc in others]
        key = self._keep(last)
        return [*(future.result() for future in beside), key]

    def _keep(self, document: Hashed) -> str:
        key = new_key()
        self._store.put(key, document, document.size)
        return key

    def query(self, select: Callable[[dict[str, str]], Sequence[bytes]], source: Input, length: int) -> Answer:
        """ITI-18.

        In: parse; the first value of each slot taken from the tree; one SELECT by the raw driver, prepared, binary,
        that returns the rows the product's returns; the bodies unpacked as they are stored (zstandard with the
        product's dictionary) and joined, or the references written.

        Not in: any check of the parameters, values other than those of the measured requests, the comparison of
        patients (XDSResultNotSinglePatient).
        """
        root = xml.parse(source.read(length))
        slots = {slot.get("name", ""): slot[0][0].text or "" for slot in root[1][0][1]}
        before, _, after = _envelope(ITI_18, root, _LIST + b"\0" + _LIST_END).partition(b"\0")
        written = b"".join([before, *select(slots), after])
        return _PLAIN, len(written), [written]

    def find(self, slots: dict[str, str]) -> Sequence[bytes]:
        """FindDocuments in full: see `query`."""
        return [unpack(body) for _, body in self._db.find(slots["$XDSDocumentEntryPatientId"][1:-1])]

    def find_refs(self, slots: dict[str, str]) -> Sequence[bytes]:
        """FindDocuments for references: see `query`."""
        found = self._db.find_refs(slots["$XDSDocumentEntryPatientId"][1:-1])
        return ["".join([f'<rim:ObjectRef id="{_urn(id_)}"/>' for (id_,) in found]).encode()]

    def get_documents(self, slots: dict[str, str]) -> Sequence[bytes]:
        """GetDocuments by entryUUIDs: see `query`."""
        ids = [uuid.UUID(value) for value in slots["$XDSDocumentEntryEntryUUID"][2:-2].split("','")]
        return [unpack(body) for _, body in self._db.get_documents(ids)]

    def get_all(self, slots: dict[str, str]) -> Sequence[bytes]:
        """GetAll: see `query`; associations are found by the patient they carry, then compared with their ends."""
        return [unpack(body) for _, body in self._db.get_all(slots["$patientId"][1:-1])]

    def retrieve(self, source: Input, length: int) -> Answer:
        """ITI-43.

        In: parse; the uniqueIds taken from the tree; one SELECT on the repository's table; each object read from the
        store (directory: the file; S3: the minio client's get_object) and hashed; answered as MTOM, small documents
        from memory, large ones as they come.

        Not in: comparing repositoryUniqueId, asking the store for an object's size first, breaking off a
        document whose hash is wrong.
        """
        root_part, _ = _parts(source.read(length))
        root = xml.parse(root_part)
        ids = [request.findtext(f"{{{XDSB}}}DocumentUniqueId") or "" for request in root[1][0]]
        found = self._db.documents(ids)
        documents = [found[id_] for id_ in ids]
        items = "".join(
            f"<xds:DocumentResponse><xds:RepositoryUniqueId>{self._repository}</xds:RepositoryUniqueId>"
            f"<xds:DocumentUniqueId>{doc.unique_id}</xds:DocumentUniqueId><xds:mimeType>{doc.mime_type}</xds:mimeType>"
            '<xds:Document><xop:Include xmlns:xop="http://www.w3.org/2004/08/xop/include" '
            f'href="cid:{number}@floor"/></xds:Document></xds:DocumentResponse>'
            for number, doc in enumerate(documents)
        )
        opening = f'<xds:RetrieveDocumentSetResponse xmlns:xds="{XDSB}">'.encode()
        body = opening + _SUCCESS + items.encode() + b"</xds:RetrieveDocumentSetResponse>"
        return _multipart(_envelope(ITI_43, root, body), [(doc.size, self._hashed(doc)) for doc in documents])

    def _hashed(self, doc: Stored) -> Iterable[bytes]:
        if doc.size > CHUNK:
            return self._stream(doc)
        data = b"".join(self._store.get(doc.key))
        if hashlib.sha1(data, usedforsecurity=False).digest() != doc.hash:
            raise ValueError(doc.key)
        return [data]

    def _stream(self, doc: Stored) -> Iterator[bytes]:
        sha1 = hashlib.sha1(usedforsecurity=False)
        for piece in self._store.get(doc.key):
            sha1.update(piece)
            yield piece
        if sha1.digest() != doc.hash:
            raise ValueError(doc.key)


def _checked(request: etree._Element) -> tuple[str, list[str]]:
    """Schema check; patientId, and the uniqueIds in the order of the message."""
    for violation in validate(request):
        raise ValueError(str(violation))
    patient, unique_ids = "", []
    for identifier in request.iter(_IDENTIFIER):
        scheme, value = identifier.get("identificationScheme"), identifier.get("value") or ""
        if scheme in _UNIQUE_IDS:
            unique_ids.append(value)
        elif scheme == _PATIENT:
            patient = value
    return patient, unique_ids


def _parts(data: bytes) -> tuple[bytes, int]:
    """The root part of a multipart message, and where the octets of the second part begin."""
    start = data.index(b"\r\n\r\n") + 4
    end = data.index(b"\r\n--" + BOUNDARY, start)
    following = data.find(b"\r\n\r\n", end)
    return data[start:end], following + 4


def _documents(data: bytes, source: Input, size: int) -> list[Hashed]:
    """The documents of a message: those in memory cut at the boundary, else the one that goes on in the socket.

    Args:
        data: octets after the header of the first document's part, as far as they were read.
        source: where the rest comes from.
        size: octets from there to the closing boundary.
    """
    if len(data) < size:
        return [Hashed(data, source, size)]
    first, *others = data[:size].split(b"\r\n--" + BOUNDARY)
    bodies = [first, *(part.partition(b"\r\n\r\n")[2] for part in others)]
    return [Hashed(body, source, len(body)) for body in bodies]


def _urn(id_: uuid.UUID | bytes) -> str:
    return (uuid.UUID(bytes=id_) if isinstance(id_, bytes) else id_).urn


def _envelope(row: Transaction, root: etree._Element, body: bytes) -> bytes:
    message_id = root[0].findtext(f"{{{WSA}}}MessageID")
    return envelope.encode_answer(row.response_action, message_id, body)


def _answer(row: Transaction, root: etree._Element, body: bytes) -> Answer:
    written = _envelope(row, root, body)
    return _PLAIN, len(written), [written]


def _multipart(root: bytes, documents: list[tuple[int, Iterable[bytes]]]) -> Answer:
    pieces: list[tuple[bytes, int, Iterable[bytes]]] = [
        (b"--%b\r\nContent-Type: application/xop+xml\r\nContent-ID: <root@floor>\r\n\r\n" % BOUNDARY, len(root), [root])
    ]
    for number, (size, chunks) in enumerate(documents):
        header = b"\r\n--%b\r\nContent-Type: text/xml\r\nContent-ID: <%d@floor>\r\n\r\n" % (BOUNDARY, number)
        pieces.append((header, size, chunks))
    end = b"\r\n--%b--\r\n" % BOUNDARY
    length = sum(len(header) + size for header, size, _ in pieces) + len(end)
    small = length <= 4 * CHUNK
    chunks = _joined(pieces, end)
    return _RELATED, length, [b"".join(chunks)] if small else chunks


def _joined(pieces: list[tuple[bytes, int, Iterable[bytes]]], end: bytes) -> Iterator[bytes]:
    for header, _, chunks in pieces:
        yield header
        yield from chunks
    yield end


class FloorServer(serve._Server):  # noqa: SLF001 - the same server by construction
    """The product's server with another application."""

    def load(self) -> Any:
        """Make the application, in a worker."""
        return FloorApplication(self._settings)


def main(
    settings_file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, metavar="SETTINGS", help="As `xds init` made it.")
    ],
    port: Annotated[int, typer.Argument(min=1, max=65535, help="Where to listen.")],
    workers: Annotated[int, typer.Argument(min=1, help="Processes.")] = 2,
) -> None:
    """Serve the floor, as `bench/run.py` does beside the server."""
    settings = load(settings_file)
    server = settings.server.model_copy(update={"port": port, "workers": workers})
    settings = settings.model_copy(update={"server": server})
    logging.basicConfig(level=logging.WARNING)
    context = serve._context(settings)  # noqa: SLF001
    FloorServer(settings, Choice.ALL, context, serve.listen(server.host, server.port)).run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    typer.run(main)
