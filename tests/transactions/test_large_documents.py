"""Documents of 1 GB in and out: as streams, in constant memory (ITI TF-2 3.41, 3.43; nothing here is timed)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests import samples
from tests.stack import REPOSITORY_UNIQUE_ID, Stores
from xds.client import RepositoryClient
from xds.ebxml import rs
from xds.messages import Caller, DocumentRequest, ProvideAndRegister, SubmittedDocument
from xds.soap.transport import SoapTransport

GIGABYTE = 1 << 30
GROWTH = 64 << 20
BLOCK = hashlib.sha512(b"incompressible enough").digest() * 4096  # 256 KiB
CALLER = Caller("test")


class Generated:
    """Octets made as they are read; their SHA-1 is known in the end."""

    def __init__(self, size):
        self.left = size
        self.sha1 = hashlib.sha1(usedforsecurity=False)

    def read(self, size=-1, /):
        piece = BLOCK[: min(self.left, len(BLOCK) if size < 0 else min(size, len(BLOCK)))]
        self.left -= len(piece)
        self.sha1.update(piece)
        return piece


def peak(pid: int) -> int:
    """Most memory a process and its children have had, in octets, since it was last reset."""
    found = [pid, *children(pid)]
    return sum(field(each, "VmHWM") for each in found)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def field(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def exchange(repository: RepositoryClient, size: int) -> None:
    """Send a document and fetch it again."""
    entry = samples.entry(hash=None, size=None, repository_unique_id=None, mime_type="application/pdf")
    content = Generated(size)
    submission = rs.submit_request(samples.submission(entry))
    documents = (document for document in [SubmittedDocument(entry.id, content)])
    answer = repository.provide_and_register(ProvideAndRegister(submission, (entry.id,), documents), CALLER)
    assert answer.errors == ()
    fetched = hashlib.sha1(usedforsecurity=False)
    unique_id = entry.unique_id.value
    (document,) = repository.retrieve([DocumentRequest(REPOSITORY_UNIQUE_ID, unique_id)], CALLER).documents
    count = 0
    while piece := document.content.read(1 << 18):
        fetched.update(piece)
        count += len(piece)
    assert count == size
    assert fetched.digest() == content.sha1.digest()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="memory of processes is read from /proc")
@pytest.mark.parametrize(
    "stores",
    [Stores.EMBEDDED, pytest.param(Stores.SERVICES, marks=pytest.mark.service)],
    ids=lambda stores: stores.value,
)
def test_a_gigabyte_in_and_out_in_constant_memory(stack, stores):
    running = stack(stores=stores, server={"workers": 1, "threads": 8})
    running.add_patient(samples.PATIENT)
    transport = SoapTransport(running.client_context(), read_timeout=300)
    repository = RepositoryClient(transport, running.repository)
    exchange(repository, 1 << 20)  # what a first exchange costs anyway
    pid = running.servers[0].process.pid
    before = peak(pid)
    exchange(repository, GIGABYTE)
    assert peak(pid) - before < GROWTH
    transport.close()
