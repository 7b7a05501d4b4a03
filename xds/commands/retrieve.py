"""`xds retrieve`: fetch documents (ITI-43), checked against the hash and size that the registry has."""

from __future__ import annotations

import hashlib
import mimetypes
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, BinaryIO, cast

import typer

from xds.commands import ask
from xds.commands.common import REFUSED, USAGE, AsJson, CommandError, OptionalConfigFile, Verbose, terminal
from xds.commands.peers import (
    CALLER,
    Authorities,
    Certificate,
    Key,
    Peers,
    RegistryURL,
    RepositoryURL,
    connect,
)
from xds.errors import Refused, XDSError
from xds.messages import DocumentRequest, Readable, RetrievedDocument

_CHUNK = 1 << 20
_SUFFIXES = {
    "text/xml": ".xml",
    "application/xml": ".xml",
    "text/plain": ".txt",
    "application/dicom": ".dcm",
    "image/jpeg": ".jpg",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH = 120


@dataclass(frozen=True)
class Wanted:
    """A document to fetch.

    Attributes:
        unique_id: its uniqueId.
        repository: repositoryUniqueId.
        hash: SHA-1 that the registry has; None where it was not asked.
        size: octets, as text; None likewise.
    """

    unique_id: str
    repository: str
    hash: str | None = None
    size: str | None = None


def retrieve(
    unique_ids: Annotated[list[str], typer.Argument(metavar="UNIQUEID...", help="DocumentEntry.uniqueId.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where to; made if absent.")] = Path(),
    to_stdout: Annotated[bool, typer.Option("--stdout", help="One document, to stdout.")] = False,
    repository_id: Annotated[
        str | None,
        typer.Option(
            metavar="OID", help="repositoryUniqueId; then the registry is not asked, and hash and size are not checked."
        ),
    ] = None,
    as_json: AsJson = False,
    config: OptionalConfigFile = None,
    registry: RegistryURL = None,
    repository: RepositoryURL = None,
    cert: Certificate = None,
    key: Key = None,
    cacert: Authorities = None,
    verbose: Verbose = False,
) -> None:
    """Fetch documents by uniqueId, each into a file of its own."""
    if to_stdout and (len(unique_ids) > 1 or as_json):
        raise CommandError("--stdout takes one document, and no --json", USAGE)
    directory = None if to_stdout else output
    with connect(config, registry=registry, repository=repository, cert=cert, key=key, cacert=cacert) as peers:
        results = [_fetch(peers, unique_id, repository_id, directory) for unique_id in dict.fromkeys(unique_ids)]
    if as_json:
        terminal.json(results)
    if any("errors" in result for result in results):
        raise typer.Exit(REFUSED)


def _fetch(peers: Peers, unique_id: str, repository_id: str | None, output: Path | None) -> dict[str, object]:
    """Fetch one document; what goes wrong with it does not keep the others from being fetched."""
    try:
        wanted = Wanted(unique_id, repository_id) if repository_id else look_up(peers, unique_id)
        return to_file(peers, wanted, output) if output else _to_stdout(peers, wanted)
    except (Refused, CommandError) as error:
        errors = error.errors if isinstance(error, Refused) else (XDSError("", str(error)),)
        for each in errors:
            terminal.say(f"xds: {unique_id}: {each}" if each.code else f"xds: {each.context}")
        return {"uniqueId": unique_id, "errors": [error_json(each) for each in errors]}


def error_json(error: XDSError) -> dict[str, str | None]:
    """A RegistryError for machines."""
    return {"errorCode": str(error.code), "codeContext": error.context, "location": error.location}


def look_up(peers: Peers, unique_id: str) -> Wanted:
    """Ask the registry where a document is.

    Raises:
        CommandError: it knows none of this uniqueId.
        Refused: the registry's errors.
    """
    entries = ask.by_unique_id(peers.registry, [unique_id])
    found = next((entry for entry in entries if entry.repository_unique_id), None)
    if found is None:
        raise CommandError(f"{unique_id}: the registry knows no document of this uniqueId")
    return Wanted(unique_id, found.repository_unique_id or "", found.hash, found.size)


@contextmanager
def fetched(peers: Peers, wanted: Wanted) -> Iterator[RetrievedDocument]:
    """A document on its way in.

    Raises:
        Refused: the repository's errors.
    """
    answer = peers.repository.retrieve([DocumentRequest(wanted.repository, wanted.unique_id)], CALLER)
    if not answer.documents:
        raise Refused(answer.errors)
    document = answer.documents[0]
    with closing(cast("Any", document.content)):
        yield document


def to_file(peers: Peers, wanted: Wanted, directory: Path) -> dict[str, object]:
    """Fetch a document into a file; the file appears whole and checked, or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    with fetched(peers, wanted) as document, _temporary(directory) as file:
        size, sha1 = copy(document.content, cast("BinaryIO", file))
        check(wanted, size, sha1)
        path = directory / file_name(wanted.unique_id, document.mime_type)
        Path(file.name).replace(path)
    terminal.say(f"{path}  {size} bytes  SHA-1 {sha1}  {document.mime_type}")
    return {"uniqueId": wanted.unique_id, "file": str(path), "mimeType": document.mime_type, "size": size, "hash": sha1}


@contextmanager
def _temporary(directory: Path) -> Iterator[IO[bytes]]:
    file = tempfile.NamedTemporaryFile(dir=directory, prefix=".xds-", delete=False)  # noqa: SIM115 - renamed when it is whole
    try:
        with file:
            yield file
    finally:
        Path(file.name).unlink(missing_ok=True)


def _to_stdout(peers: Peers, wanted: Wanted) -> dict[str, object]:
    with fetched(peers, wanted) as document:
        size, sha1 = copy(document.content, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        check(wanted, size, sha1)
    return {}


def copy(source: Readable, sink: BinaryIO) -> tuple[int, str]:
    """Copy a document.

    Returns:
        Octets, and SHA-1 as hexadecimal digits.
    """
    digest, size = hashlib.sha1(usedforsecurity=False), 0
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        sink.write(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def check(wanted: Wanted, size: int, sha1: str) -> None:
    """Compare with what the registry has.

    Raises:
        CommandError: these are other octets.
    """
    if wanted.size is not None and wanted.size != str(size):
        raise CommandError(f"{wanted.unique_id}: got {size} bytes, the registry says {wanted.size}; nothing was kept")
    if wanted.hash is not None and wanted.hash.lower() != sha1:
        raise CommandError(f"{wanted.unique_id}: SHA-1 is {sha1}, the registry says {wanted.hash}; nothing was kept")


def file_name(unique_id: str, mime_type: str) -> str:
    """A name for a document: its uniqueId, as far as file systems like it, and the type's suffix."""
    kind = mime_type.partition(";")[0].strip().lower()
    suffix = _SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ".bin"
    return _UNSAFE.sub("_", unique_id).strip("._")[:_NAME_LENGTH] + suffix
