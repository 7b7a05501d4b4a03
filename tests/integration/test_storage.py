"""The object store's contract, on a directory, on two S3 servers and on the memory store that other tests use."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from minio.error import ServerError
from urllib3.exceptions import ProtocolError
from urllib3.util import Timeout

from repository.storage import (
    ObjectMissing,
    SpareThreads,
    StoreFull,
    StoreUnavailable,
    TooLarge,
    describe,
    open_store,
    put_soon,
)
from repository.storage import directory as directory_module
from repository.storage import s3 as s3_module
from repository.storage.s3url import parse
from tests.stores import MemoryStore, Source
from xds.errors import SoapFault

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
NOT_THERE = "aa/bbbbbbbbbbbbbbbbbbbbbb"
SERVERS = {"s3": "XDS_TEST_S3", "second": "XDS_TEST_S3_SECOND"}


def server(name):
    """URL of a test server, its bucket shared with other tests, so below a prefix of this test's own."""
    if not (url := os.environ.get(SERVERS[name])):
        pytest.skip(f"{SERVERS[name]} is not set")
    return f"{url.rstrip('/')}/storage-test-{os.urandom(4).hex()}"


SERVER_PARAMS = [pytest.param(name, marks=pytest.mark.service) for name in SERVERS]


@pytest.fixture(params=["directory", *SERVER_PARAMS])
def url(request, tmp_path):
    return str(tmp_path / "store") if request.param == "directory" else server(request.param)


@pytest.fixture
def persistent(url):
    """A store that other processes can open too."""
    store = open_store(url)
    yield store
    for found in store.list():
        store.delete(found.key)
    store.close()


@pytest.fixture(params=["memory", "directory", *SERVER_PARAMS])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryStore()
        return
    store = open_store(str(tmp_path / "store") if request.param == "directory" else server(request.param))
    yield store
    for found in store.list():
        store.delete(found.key)
    store.close()


def sha1(data):
    return hashlib.sha1(data).hexdigest()


def drain(reader, n=MIB):
    """Read to the end; returns size and SHA-1."""
    size, digest = 0, hashlib.sha1()
    while data := reader.read(n):
        size += len(data)
        digest.update(data)
    return size, digest.hexdigest()


def digest_of(size):
    source = Source(size)
    return drain(source)[1]


def listed(store):
    return {found.key: found.size for found in store.list()}


# --- the contract ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 10_240, 5 * MIB + 1, 8 * MIB, 8 * MIB + 1, 20 * MIB])
def test_what_is_put_comes_back_with_its_size_and_hash(store, size):
    """ITI TF-3 4.2.3.2.10 and .21; the length is not known beforehand."""
    stored = store.put(Source(size))
    assert (stored.size, stored.hash) == (size, digest_of(size))
    with store.open(stored.key) as reader:
        assert reader.size == size
        assert drain(reader) == (size, stored.hash)


def test_every_put_has_a_key_of_its_own(store):
    first, second = (store.put(io.BytesIO(b"the same")) for _ in range(2))
    assert first.key != second.key
    assert re.fullmatch("[a-z2-7]{2}/[a-z2-7]{22}", first.key)
    assert listed(store) == {first.key: 8, second.key: 8}


def test_stat_tells_size_and_time(store):
    before = datetime.now(UTC) - timedelta(seconds=2)
    stored = store.put(io.BytesIO(b"text"))
    found = store.stat(stored.key)
    assert (found.key, found.size) == (stored.key, 4)
    assert before <= found.modified <= datetime.now(UTC) + timedelta(seconds=2)


def test_a_deleted_object_is_gone_and_deleting_again_does_no_harm(store):
    stored = store.put(io.BytesIO(b"text"))
    store.delete(stored.key)
    store.delete(stored.key)
    assert listed(store) == {}
    with pytest.raises(ObjectMissing):
        store.open(stored.key)


def test_a_missing_object_is_said_to_be_missing(store):
    store.put(io.BytesIO(b"another"))
    for ask in store.open, store.stat:
        with pytest.raises(ObjectMissing) as caught:
            ask(NOT_THERE)
        assert NOT_THERE not in str(caught.value)
    store.delete(NOT_THERE)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "../../../etc/passwd",
        "aa/../../etc/passwd",
        "/etc/passwd",
        "aa",
        f"{NOT_THERE}\n",
        f"{NOT_THERE}/x",
        "aa/BBBB",
    ],
)
def test_what_is_no_key_is_refused(store, key):
    for ask in store.open, store.stat, store.delete:
        with pytest.raises(ValueError, match="not a key"):
            ask(key)


def test_the_rest_of_an_object_is_read_at_once_without_a_number(store):
    stored = store.put(io.BytesIO(b"one two"))
    with store.open(stored.key) as reader:
        assert reader.read(4) == b"one "
        assert reader.read() == b"two"
        assert reader.read() == b""
        assert reader.read(1) == b""


def test_a_reader_may_be_left_half_way_and_closed_twice(store):
    stored = store.put(Source(3 * MIB))
    for _ in range(3):
        reader = store.open(stored.key)
        assert len(reader.read(1000)) == 1000
        reader.close()
        reader.close()
    with store.open(stored.key) as reader:
        assert drain(reader)[1] == stored.hash


@pytest.mark.parametrize("limit", [1000, 9 * MIB])
def test_a_document_over_the_limit_is_refused_while_reading(store, limit):
    source = Source(100 * MIB)
    with pytest.raises(TooLarge, match=f"{limit} bytes") as caught:
        store.put(source, limit=limit)
    assert caught.value.limit == limit
    assert source.given < limit + 17 * MIB
    assert listed(store) == {}
    assert store.put(Source(limit), limit=limit).size == limit


@pytest.mark.parametrize(
    "failure", [SoapFault("Sender", "the message ends too early"), ConnectionResetError("gone"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("fail_at", [0, MIB, 30 * MIB])
def test_the_failure_of_a_source_passes_unchanged_and_leaves_nothing(store, failure, fail_at):
    threads = threading.active_count()
    with pytest.raises(type(failure)) as caught:
        store.put(Source(40 * MIB, fail_at=fail_at, failure=failure))
    assert caught.value is failure
    assert listed(store) == {}
    assert threading.active_count() <= threads


def test_check_describes_the_store_and_leaves_nothing(store):
    assert store.check()
    assert listed(store) == {}


def test_threads_put_at_once(store):
    def put(number):
        data = f"document {number}".encode() * 500
        return data, store.put(io.BytesIO(data))

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(put, range(60)))
    assert listed(store) == {stored.key: len(data) for data, stored in done}
    for data, stored in done:
        with store.open(stored.key) as reader:
            assert reader.read() == data


def test_sweep_leaves_the_young_alone(store):
    assert store.sweep(datetime.now(UTC) - timedelta(days=1)) == 0


# --- several at once -------------------------------------------------------------------------------------------------


@pytest.fixture
def spare():
    spare = SpareThreads(2)
    yield spare
    spare.close()


def test_several_documents_are_stored_side_by_side(store, spare):
    sizes = [10, 3 * MIB, 0, *range(100, 120), 9 * MIB, 7]
    under_way = []
    for size in sizes:
        source = Source(size)
        under_way.append(put_soon(store, source, spare, more=True))
        assert source.left == 0, "it is read to its end before the next one is asked for"
    stored = [future.result() for future in under_way]
    assert [one.size for one in stored] == sizes
    assert [one.hash for one in stored] == [digest_of(size) for size in sizes]
    assert listed(store) == {one.key: one.size for one in stored}


def test_the_failure_of_one_of_several_sources_passes_unchanged(store, spare):
    failure = SoapFault("Sender", "the message ends too early")
    for fail_at in (0, 2 * MIB):
        with pytest.raises(SoapFault) as caught:
            put_soon(store, Source(3 * MIB, fail_at=fail_at, failure=failure), spare, more=True)
        assert caught.value is failure
    assert listed(store) == {}


def test_a_refusal_of_the_store_is_told_whichever_thread_met_it(store, spare):
    hold = threading.Event()
    held = [spare.submit(hold.wait) for _ in range(2)]
    try:
        mine = put_soon(store, Source(2000), spare, more=True, limit=1000)
        assert mine.done(), "no thread is idle"
    finally:
        hold.set()
    wait(held)
    other = put_soon(store, Source(2000), spare, more=True, limit=1000)
    for future in (mine, other):
        with pytest.raises(TooLarge):
            future.result()
    with pytest.raises(TooLarge):
        put_soon(store, Source(2000), spare, more=False, limit=1000)
    assert listed(store) == {}


def test_a_lone_document_stays_in_its_thread(spare):
    class Strict(MemoryStore):
        def put(self, stream, *, limit=None):
            assert threading.current_thread() is threading.main_thread()
            return super().put(stream, limit=limit)

    assert put_soon(Strict(), Source(10), spare, more=False).result().size == 10


# --- several processes -----------------------------------------------------------------------------------------------

CHILD = """
import io, sys
from repository.storage import open_store
from tests.stores import Source
store = open_store(sys.argv[1])
for number in range(int(sys.argv[2])):
    stored = store.put(io.BytesIO(f"{sys.argv[3]} {number}".encode() * 1000))
    print(stored.key, stored.hash, flush=True)
"""


def child(code, *args, **options):
    options = {"stdout": subprocess.PIPE, "text": True} | options
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], cwd=ROOT, **options)


def test_processes_put_at_once(persistent, url):
    children = [child(CHILD, url, 25, name) for name in "abc"]
    lines = [line.split() for one in children for line in one.communicate(timeout=60)[0].splitlines()]
    assert [one.returncode for one in children] == [0, 0, 0]
    assert len(lines) == 75
    assert listed(persistent).keys() == {key for key, _ in lines}
    for key, digest in lines:
        with persistent.open(key) as reader:
            assert drain(reader)[1] == digest


KILLED = """
import os, signal, sys
from repository.storage import open_store
from tests.stores import Source
class Deadly(Source):
    def read(self, n):
        if self.given >= 20 * 1024 * 1024:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(n)
store = open_store(sys.argv[1])
print(store.put(Source(1000)).key, flush=True)
store.put(Deadly(40 * 1024 * 1024))
"""


def test_a_killed_writer_leaves_at_most_an_orphan(persistent, url):
    """What was acknowledged is whole; what was not is found by list or sweep, and goes by delete."""
    killed = child(KILLED, url)
    key = killed.communicate(timeout=60)[0].strip()
    assert killed.returncode == -signal.SIGKILL
    with persistent.open(key) as reader:
        assert drain(reader) == (1000, digest_of(1000))
    orphans = listed(persistent).keys() - {key}
    assert len(orphans) <= 1
    for orphan in orphans:
        persistent.delete(orphan)
    assert listed(persistent).keys() == {key}


@pytest.mark.service
def test_an_upload_that_a_killed_writer_began_is_swept():
    """On a server that lists uploads; MinIO lists none and drops them by itself after a day."""
    url = server("second")
    store = open_store(url)
    child(KILLED, url).communicate(timeout=60)
    assert store.sweep(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert store.sweep(datetime.now(UTC) + timedelta(minutes=1)) == 1
    assert store.sweep(datetime.now(UTC) + timedelta(minutes=1)) == 0


HUGE = """
import resource, sys
from repository.storage import open_store
from tests.stores import Source
size = 300 * 1024 * 1024
store = open_store(sys.argv[1])
store.put(Source(1000))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
stored = store.put(Source(size))
left = size
with store.open(stored.key) as reader:
    while data := reader.read(1024 * 1024):
        left -= len(data)
store.delete(stored.key)
print(left, stored.size == size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_huge_document_takes_little_memory(persistent, url):
    """300 MiB in and out in less than 64 MiB over what the process had before."""
    left, whole, kib = child(HUGE, url).communicate(timeout=240)[0].split()
    assert (left, whole) == ("0", "True")
    assert int(kib) < 64 * 1024


@pytest.mark.service
@pytest.mark.parametrize("name", SERVERS)
def test_a_document_of_one_part_is_in_memory_once(name):
    store = open_store(server(name))
    store.delete(store.put(Source(10)).key)
    tracemalloc.start()
    try:
        store.delete(store.put(Source(6 * MIB)).key)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB


# --- the directory ---------------------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path):
    return open_store((tmp_path / "new" / "store").as_uri())


@pytest.fixture
def root(directory, tmp_path):
    return tmp_path / "new" / "store"


def test_files_and_folders_are_for_their_owner_alone(directory, root):
    key = directory.put(io.BytesIO(b"text")).key
    modes = [(path.stat().st_mode & 0o777) for path in (root, (root / key).parent, root / key)]
    assert modes == [0o700, 0o700, 0o600]


def test_file_folder_and_root_are_synced_before_put_returns(directory, root, monkeypatch):
    """The file when it is complete, then the names that lead to it; the root once per folder."""
    synced = []

    def fsync(fd, real=os.fsync):
        path = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append((path, path.stat().st_size if path.is_file() else None))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(directory_module, "new_key", iter([NOT_THERE, NOT_THERE[:-1] + "c"]).__next__)
    key = directory.put(Source(MIB + 1)).key
    assert synced == [(root / key, MIB + 1), ((root / key).parent, None), (root, None)]
    synced.clear()
    second = directory.put(Source(5)).key
    assert synced == [(root / second, 5), ((root / key).parent, None)]


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_the_system_is_asked_to_sync_what_python_says_it_syncs(tmp_path):
    trace = tmp_path / "trace"
    run = [
        "strace",
        "-f",
        "-y",
        "-e",
        "trace=fsync",
        "-o",
        trace,
        sys.executable,
        "-c",
        CHILD,
        tmp_path / "store",
        "1",
        "x",
    ]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"strace may not trace here: {done.stderr.splitlines()[0]}")
    key = done.stdout.split()[0]
    synced = re.findall(r"fsync\(\d+<(.*?)>\)\s+= 0", trace.read_text())
    store = tmp_path / "store"
    assert synced == list(map(str, [tmp_path, store / key, store / key[:2], store]))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_to_be_full_and_nothing_stays(directory, monkeypatch, number):
    """Simulated: the second write fails."""
    writes = iter([lambda fd, data: len(data)])

    def write(fd, data):
        for one in writes:
            return one(fd, data)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StoreFull) as caught:
        directory.put(Source(MIB))
    monkeypatch.undo()
    assert str(caught.value) == "the document store is full"
    assert listed(directory) == {}
    assert directory.put(Source(MIB)).size == MIB


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_really_full(tmp_path):
    """A tmpfs of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("this root may not mount")
    try:
        store = open_store(str(disk))
        with pytest.raises(StoreFull):
            store.put(Source(3 * MIB))
        assert listed(store) == {}
        assert store.put(Source(MIB)).size == MIB
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_write_may_be_short(directory, monkeypatch):
    monkeypatch.setattr(os, "write", lambda fd, data, real=os.write: real(fd, data[:1000]))
    stored = directory.put(Source(10_240))
    with directory.open(stored.key) as reader:
        assert drain(reader) == (10_240, digest_of(10_240))


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_failing_disk_is_unavailable_and_nothing_stays(directory, monkeypatch, call):
    def fail(*args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StoreUnavailable, match="not available") as caught:
        directory.put(Source(10))
    monkeypatch.undo()
    assert "Input/output error" in caught.value.detail
    assert listed(directory) == {}


def test_a_directory_that_went_away_is_unavailable_and_works_again_when_back(directory, root):
    stored = directory.put(io.BytesIO(b"text"))
    root.rename(root.with_name("elsewhere"))
    for ask in (
        lambda: directory.put(io.BytesIO(b"text")),
        lambda: directory.open(stored.key),
        lambda: directory.stat(stored.key),
        lambda: directory.delete(stored.key),
        lambda: list(directory.list()),
        directory.check,
    ):
        with pytest.raises(StoreUnavailable) as caught:
            ask()
        assert str(root) not in str(caught.value)
        assert str(root) in caught.value.detail
    root.with_name("elsewhere").rename(root)
    assert directory.stat(stored.key).size == 4


def test_a_directory_that_is_not_to_be_made_must_be_there(tmp_path):
    with pytest.raises(StoreUnavailable):
        open_store(str(tmp_path / "none"), create=False)
    assert not (tmp_path / "none").exists()


def test_foreign_files_are_passed_over(directory, root):
    key = directory.put(io.BytesIO(b"text")).key
    (root / "lost+found").mkdir()
    (root / "README").write_text("hello")
    ((root / key).parent / ".nfs0001").write_text("x")
    assert listed(directory) == {key: 4}


# --- S3 --------------------------------------------------------------------------------------------------------------


def refused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_server_that_is_down_is_unavailable_within_seconds(caplog):
    store = open_store(f"s3+http://KEY:TOPSECRET@127.0.0.1:{refused_port()}/bucket")
    asks = [
        lambda: store.put(Source(10)),
        lambda: store.open(NOT_THERE),
        lambda: store.stat(NOT_THERE),
        lambda: store.delete(NOT_THERE),
        lambda: list(store.list()),
        lambda: store.sweep(datetime.now(UTC)),
        store.check,
    ]
    for ask in asks:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            ask()
        assert time.monotonic() - begun < 10
        assert str(caught.value) == "the document store is not available"
        assert "refused" in caught.value.detail
    assert "TOPSECRET" not in caplog.text + repr(store) + repr(caught.value)


@pytest.mark.service
@pytest.mark.parametrize("name", SERVERS)
def test_wrong_credentials_are_unavailable_and_the_operator_is_told(name, caplog):
    url = server(name)
    password = urlsplit(url).password
    store = open_store(url.replace(f":{password}@", ":WRONGSECRET@"))
    with caplog.at_level(logging.WARNING), pytest.raises(StoreUnavailable) as caught:
        store.put(Source(10))
    assert "SignatureDoesNotMatch" in caught.value.detail
    assert caught.value.detail in caplog.text
    assert "WRONGSECRET" not in caplog.text


@pytest.mark.service
@pytest.mark.parametrize("name", SERVERS)
def test_a_bucket_is_made_once_by_many(name):
    parts = urlsplit(server(name))
    bucket = f"made-{os.urandom(4).hex()}"
    url = parts._replace(path=f"/{bucket}").geturl()
    with pytest.raises(StoreUnavailable) as caught:
        open_store(url, create=False).put(Source(10))
    assert bucket in caught.value.detail
    stores = [open_store(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        keys = {stored.key for stored in threads.map(lambda store: store.put(Source(10)), stores)}
    assert listed(stores[0]).keys() == keys
    for key in keys:
        stores[0].delete(key)
    stores[0]._client.remove_bucket(bucket)


@pytest.mark.service
@pytest.mark.parametrize("name", SERVERS)
def test_a_small_document_is_one_request(name, monkeypatch):
    store = open_store(server(name))
    store.put(Source(10))
    asked = []
    real = store._pool.urlopen
    monkeypatch.setattr(store._pool, "urlopen", lambda method, *a, **k: asked.append(method) or real(method, *a, **k))
    key = store.put(Source(10_240)).key
    with store.open(key) as reader:
        reader.read()
    store.delete(key)
    assert asked == ["PUT", "GET", "DELETE"]


class Answer(threading.Thread):
    """A server that answers every request alike, then closes; a script, not a store."""

    def __init__(self, status, body, headers="", length=None):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        length = len(body) if length is None else length
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}"
        self.answer = f"{head}\r\n{body}".encode()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(self.answer)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join()


XML = "Content-Type: application/xml\r\n"


@pytest.mark.parametrize(
    ("status", "code", "headers", "expected"),
    [
        ("507 Insufficient Storage", "XMinioStorageFull", XML, StoreFull),
        ("507 Insufficient Storage", None, "Content-Type: text/html\r\n", StoreFull),
        ("403 Forbidden", "QuotaExceeded", XML, StoreFull),
        ("400 Bad Request", "XMinioAdminBucketQuotaExceeded", XML, StoreFull),
        ("403 Forbidden", "AccessDenied", XML, StoreUnavailable),
        ("503 Service Unavailable", "SlowDown", XML + "Retry-After: 600\r\n", StoreUnavailable),
        ("502 Bad Gateway", None, "Content-Type: text/html\r\n", StoreUnavailable),
        ("301 Moved Permanently", None, "Location: http://127.0.0.1:9/\r\n", StoreUnavailable),
        ("404 Not Found", "NoSuchBucket", XML, StoreUnavailable),
        ("500 Internal Server Error", "<<<", XML, StoreUnavailable),
    ],
)
def test_what_a_server_says_is_translated(status, code, headers, expected):
    body = f"<Error><Code>{code}</Code><Message>its own words</Message></Error>" if code else "<html>words</html>"
    with Answer(status, body, headers) as answer:
        store = open_store(f"s3+http://KEY:TOPSECRET@127.0.0.1:{answer.port}/bucket")
        store._bucket_seen = True
        with pytest.raises(expected) as caught:
            store.put(Source(10))
    assert "words" not in str(caught.value)
    assert "TOPSECRET" not in caught.value.detail


def test_a_document_cut_off_on_its_way_out_is_not_taken_as_complete():
    with Answer("200 OK", "half of", length=14) as answer:
        store = open_store(f"s3+http://KEY:SECRET@127.0.0.1:{answer.port}/bucket")
        with store.open(NOT_THERE) as reader, pytest.raises(StoreUnavailable):
            drain(reader)


@pytest.fixture
def scripted(monkeypatch):
    """An S3 store whose multipart steps are scripted; `.aborted` tells which uploads were given up."""
    store = open_store("s3+http://KEY:SECRET@127.0.0.1:9/bucket")
    store._bucket_seen = True
    store.aborted = []
    client = store._client
    monkeypatch.setattr(client, "_create_multipart_upload", lambda *args: "upload")
    monkeypatch.setattr(client, "_upload_part", lambda *args: "etag")
    monkeypatch.setattr(client, "_complete_multipart_upload", lambda *args: SimpleNamespace(etag="etag"))
    monkeypatch.setattr(client, "_abort_multipart_upload", lambda bucket, name, upload: store.aborted.append(upload))
    return store


def test_an_error_inside_an_answer_of_status_200_is_an_error(scripted, monkeypatch):
    """CompleteMultipartUpload of S3 may fail after its status was sent."""
    assert scripted.put(Source(9 * MIB)).size == 9 * MIB
    assert scripted.aborted == []
    monkeypatch.setattr(scripted._client, "_complete_multipart_upload", lambda *args: SimpleNamespace(etag=None))
    with pytest.raises(StoreUnavailable):
        scripted.put(Source(9 * MIB))
    assert scripted.aborted == ["upload"]


def test_a_refused_part_ends_the_reading(scripted, monkeypatch):
    def refuse(*args):
        raise ServerError("server failed with HTTP status code 507", 507)

    monkeypatch.setattr(scripted._client, "_upload_part", refuse)
    source = Source(200 * MIB)
    with pytest.raises(StoreFull):
        scripted.put(source)
    assert source.given < 50 * MIB
    assert scripted.aborted == ["upload"]


def test_a_server_that_fell_silent_is_not_asked_to_clean_up(scripted, monkeypatch):
    def drop(*args):
        raise ProtocolError("Connection aborted.")

    monkeypatch.setattr(scripted._client, "_upload_part", drop)
    with pytest.raises(StoreUnavailable):
        scripted.put(Source(20 * MIB))
    assert scripted.aborted == []


def test_a_failing_clean_up_does_not_hide_the_failure(scripted, monkeypatch):
    def refuse(*args):
        raise ServerError("no", 500)

    monkeypatch.setattr(scripted._client, "_abort_multipart_upload", refuse)
    failure = SoapFault("Sender", "the message ends too early")
    with pytest.raises(SoapFault) as caught:
        scripted.put(Source(40 * MIB, fail_at=30 * MIB, failure=failure))
    assert caught.value is failure


def test_more_parts_than_s3_takes_are_refused(scripted, monkeypatch):
    monkeypatch.setattr(s3_module, "PARTS", 3)
    with pytest.raises(TooLarge):
        scripted.put(Source(25 * MIB))
    assert scripted.aborted == ["upload"]
    assert scripted.put(Source(24 * MIB)).size == 24 * MIB


def test_who_may_not_look_for_the_bucket_may_still_write(scripted, monkeypatch):
    with Answer("403 Forbidden", "", "") as answer:
        store = open_store(f"s3+http://KEY:SECRET@127.0.0.1:{answer.port}/bucket")
        monkeypatch.setattr(store._client, "put", lambda *args: None)
        assert store.put(Source(10)).size == 10


def test_a_silent_server_is_asked_once():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        store = open_store(f"s3+http://KEY:SECRET@127.0.0.1:{listener.getsockname()[1]}/bucket")
        store._pool.connection_pool_kw["timeout"] = Timeout(connect=5, read=0.2)
        with pytest.raises(StoreUnavailable, match="not available"):
            store.put(Source(10))
        listener.accept()[0].close()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.service
@pytest.mark.parametrize("name", SERVERS)
def test_connections_the_server_closed_meanwhile_are_made_anew(name):
    store = open_store(server(name))
    key = store.put(Source(10)).key
    for pool in store._pool.pools._container.values():
        for connection in pool.pool.queue:
            if connection and connection.sock:
                connection.sock.shutdown(socket.SHUT_RDWR)
    store.delete(key)
    assert listed(store) == {}


# --- URLs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3+http://KEY:SECRET@host:9000/b", "s3+http://KEY:***@host:9000/b"),
        ("s3+https://KEY:SE/CR@ET@host/b?region=x", "s3+https://KEY:***@host/b?region=x"),
        ("s3+http://KEY:SECRET", "s3+http://KEY:***"),
        ("s3+http://host:9000/b?secret=SECRET&region=x", "s3+http://host:9000/b?secret=***&region=x"),
        ("s3+http://host:9000/b", "s3+http://host:9000/b"),
        ("file:///srv/store", "file:///srv/store"),
        ("/srv/store", "/srv/store"),
    ],
)
def test_a_url_is_shown_without_its_secret(url, shown):
    assert describe(url) == shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3+http://KEY:h1ddenh1dden@host:9000", "expected s3"),
        ("s3+http://KEY:h1ddenh1dden@/bucket", "expected s3"),
        ("s3+http://KEY:h1dden/h1dden@host:9000/bucket", "%2F"),
        ("s3+http://KEY:h1ddenh1dden@host:9000/bucket?zone=x", "unknown option zone"),
        ("s3+http://KEY:h1ddenh1dden@host:9000/B_", "bucket"),
        ("s3+https://KEY:h1ddenh1dden@host:9000/bucket?ca=/none.pem", "No such file"),
        ("s3+http://host:9000/bucket", "XDS_S3_ACCESS_KEY"),
        ("s3+http://host:9000/bucket?credentials=/none", "/none"),
        ("ftp://KEY:h1ddenh1dden@host/x", "expected file:"),
        ("file://host/x", "expected file:"),
    ],
)
def test_a_wrong_url_is_refused_in_words_without_its_secret(url, expected, monkeypatch):
    for name in "XDS_S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID":
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=expected) as caught:
        open_store(url)
    assert "h1dden" not in str(caught.value)


def test_credentials_are_sought_in_the_url_a_file_and_the_environment(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("FILEKEY\nfile/secret\n")
    environ = {"AWS_ACCESS_KEY_ID": "AWS", "AWS_SECRET_ACCESS_KEY": "aws", "AWS_SESSION_TOKEN": "token"}

    def found(url):
        found = parse(url, environ).credentials
        return found.access_key, found.secret_key, found.session_token

    assert found("s3+http://K%40Y:s%2Fc%2Br@h/bucket") == ("K@Y", "s/c+r", None)
    assert found(f"s3+http://h/bucket?credentials={secret}") == ("FILEKEY", "file/secret", None)
    assert found("s3+http://h/bucket") == ("AWS", "aws", "token")
    environ |= {"XDS_S3_ACCESS_KEY": "XDS", "XDS_S3_SECRET_KEY": "xds"}
    assert found("s3+http://h/bucket") == ("XDS", "xds", None)
    secret.write_text("only one")
    with pytest.raises(ValueError, match="two lines"):
        found(f"s3+http://h/bucket?credentials={secret}")


def test_a_url_is_read_in_its_parts():
    address = parse("s3+https://KEY:SECRET@[::1]:9000/bucket/a/b/?region=eu-1&ca=/ca.pem")
    assert (address.endpoint, address.secure, address.bucket, address.prefix) == ("[::1]:9000", True, "bucket", "a/b/")
    assert (address.region, address.ca) == ("eu-1", "/ca.pem")
    assert "SECRET" not in repr(address) + str(address)
    assert parse("s3+https://K:S@s3.eu-1.amazonaws.com/bucket").region == ""
    assert parse("s3+http://K:S@host/bucket").region == "us-east-1"
