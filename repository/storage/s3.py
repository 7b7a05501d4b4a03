"""The object store in an S3 bucket; the only file that imports minio.

A document of up to 8 MiB is one request, PUT, and is in memory once. A longer one is a multipart upload in parts of
8 MiB, two of them under way while the next is read: 24 MiB of memory per document. The client's own `put_object` is not
used: it copies what it is given, and of unknown length it keeps 64 to 96 MiB, copies every part three times, reads on
to the end of the source after a part was refused, leaves its threads behind when the source fails, and lets an error of
its clean-up hide the source's.
"""

from __future__ import annotations

import logging
import ssl
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Self, cast
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.datatypes import Part
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, ReadTimeoutError

from repository.storage.contract import (
    CHUNK,
    Meter,
    ObjectInfo,
    ObjectMissing,
    ObjectReader,
    Readable,
    StoredObject,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TooLarge,
    checked,
    is_key,
    new_key,
    probe,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from types import TracebackType

    from minio.datatypes import Upload
    from urllib3.connectionpool import ConnectionPool
    from urllib3.response import BaseHTTPResponse

    from repository.storage.s3url import S3Address

PART = 8 * 1024 * 1024
"""Bytes of a part; S3 takes no less than 5 MiB."""
PARTS = 10_000
"""Parts of an upload that S3 takes; so a document may have 78 GiB."""
PARALLEL = 2

_FULL_CODES = {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage"}
_INSUFFICIENT_STORAGE = 507
_MADE_MEANWHILE = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists", "OperationAborted"}
_CONTENT_TYPE = "application/octet-stream"

log = logging.getLogger(__name__)


class S3Store:
    """An ObjectStore in a bucket, possibly shared with others below a prefix."""

    def __init__(self, address: S3Address, *, create: bool = True, connections: int = 32) -> None:
        """Prepare the client; the server is first spoken to when something is asked of the store.

        Args:
            address: bucket and credentials.
            create: make the bucket at the first `put` or `check` if it is not there.
            connections: kept alive at most; more threads than that work, but connect anew.
        """
        self._address = address
        self._bucket = address.bucket
        self._prefix = address.prefix
        self._create = create
        self._pool = _pool(address, connections)
        self._client = _Client(
            address.endpoint,
            access_key=address.credentials.access_key,
            secret_key=address.credentials.secret_key,
            session_token=address.credentials.session_token,
            secure=address.secure,
            region=address.region or None,
            http_client=self._pool,
        )
        self._bucket_seen = False

    def __repr__(self) -> str:
        return f"S3Store({self._address})"

    def put(self, stream: Readable, *, limit: int | None = None) -> StoredObject:
        """See `ObjectStore.put`."""
        self._see_bucket()
        key, meter = new_key(), Meter(stream, limit)
        parts = _parts(meter)
        head = deque(islice(parts, 2))
        if len(head) > 1:
            self._put_parts(self._prefix + key, _joined(head, parts))
        else:
            self._put_whole(self._prefix + key, head[0] if head else bytearray())
        return meter.stored(key)

    def open(self, key: str) -> ObjectReader:
        """See `ObjectStore.open`."""
        name = self._name(key)
        with self._translated("fetch an object", key):
            return _ResponseReader(self._client.get_object(self._bucket, name), self)

    def stat(self, key: str) -> ObjectInfo:
        """See `ObjectStore.stat`."""
        name = self._name(key)
        with self._translated("look at an object", key):
            found = self._client.stat_object(self._bucket, name)
            return ObjectInfo(key, cast("int", found.size), cast("datetime", found.last_modified))

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        name = self._name(key)
        with suppress(ObjectMissing), self._translated("remove an object", key):
            self._client.remove_object(self._bucket, name)

    def list(self) -> Iterator[ObjectInfo]:
        """See `ObjectStore.list`; what has no key of ours is passed over."""
        self._see_bucket()
        found = self._client.list_objects(self._bucket, prefix=self._prefix, recursive=True)
        while True:
            with self._translated("list the objects"):
                entry = next(found, None)
            if entry is None:
                return
            key = cast("str", entry.object_name).removeprefix(self._prefix)
            if is_key(key):
                yield ObjectInfo(key, cast("int", entry.size), cast("datetime", entry.last_modified))

    def sweep(self, before: datetime) -> int:
        """See `ObjectStore.sweep`; a MinIO server lists no uploads and drops them by itself after a day."""
        self._see_bucket()
        with self._translated("abort unfinished uploads"):
            stale = [
                upload
                for upload in self._client.uploads(self._bucket, self._prefix)
                if is_key(upload.object_name.removeprefix(self._prefix))
                and upload.initiated_time is not None
                and upload.initiated_time < before
            ]
            for upload in stale:
                self._client.abort(self._bucket, upload.object_name, cast("str", upload.upload_id))
        return len(stale)

    def check(self) -> str:
        """See `ObjectStore.check`."""
        probe(self)
        below = f" below {self._prefix}" if self._prefix else ""
        return f"S3 {self._address}{below}, access key {self._address.credentials.access_key}"

    def close(self) -> None:
        """See `ObjectStore.close`."""
        self._pool.clear()

    def _name(self, key: str) -> str:
        return self._prefix + checked(key)

    def _see_bucket(self) -> None:
        """Make sure once per process that the bucket is there."""
        if self._bucket_seen:
            return
        with self._translated("look for the bucket"):
            there = self._client.has_bucket(self._bucket)
        if not there:
            self._make_bucket()
        self._bucket_seen = True

    def _make_bucket(self) -> None:
        if not self._create:
            raise StoreUnavailable(f"there is no {self._address}, and we are not to make it")
        with self._translated("make the bucket"):
            self._client.ensure_bucket(self._bucket)

    def _put_whole(self, name: str, data: bytearray) -> None:
        with self._translated("store an object"):
            self._client.put(self._bucket, name, data)

    def _put_parts(self, name: str, parts: Iterator[bytearray]) -> None:
        with self._translated("begin an upload"):
            upload = self._client.begin(self._bucket, name)
        try:
            etags = self._send_parts(name, upload, parts)
            with self._translated("end an upload"):
                self._client.finish(self._bucket, name, upload, etags)
        except BaseException as error:
            self._abort(name, upload, error)
            raise

    def _send_parts(self, name: str, upload: str, parts: Iterator[bytearray]) -> deque[str]:
        """Send the parts, PARALLEL at a time; returns their ETags in order, or raises the first failure."""
        etags: deque[str] = deque()
        under_way: deque[Future[str]] = deque()
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="store-part") as threads:
            for number, part in enumerate(parts, start=1):
                if number > PARTS:
                    raise TooLarge(PART * PARTS)
                if len(under_way) == PARALLEL:
                    etags.append(under_way.popleft().result())
                under_way.append(threads.submit(self._send_part, name, upload, number, part))
            etags.extend(future.result() for future in under_way)
        return etags

    def _send_part(self, name: str, upload: str, number: int, part: bytearray) -> str:
        with self._translated("store a part"):
            return self._client.send(self._bucket, name, upload, number, part)

    def _abort(self, name: str, upload: str, error: BaseException) -> None:
        """Free the parts of a failed upload; not asked of a server that does not answer (`sweep` comes later)."""
        if isinstance(error.__cause__, HTTPError):
            return
        with suppress(StoreError), self._translated("abort an upload"):
            self._client.abort(self._bucket, name, upload)

    @contextmanager
    def _translated(self, doing: str, key: str | None = None) -> Iterator[None]:
        """Turn what the client raises into the store's words, and log what an operator needs to know."""
        try:
            yield
        except (MinioException, HTTPError, OSError, ParseError, ValueError) as error:
            if key and isinstance(error, S3Error) and error.code == "NoSuchKey":
                raise ObjectMissing(key) from error
            failure = _failure(error, f"{self._address}: cannot {doing}: {_words(error)}")
            log.warning("%s", failure.detail)
            raise failure from error


class _Client(Minio):
    """The minio client with its multipart steps, which it keeps to itself, under names of ours."""

    def has_bucket(self, bucket: str) -> bool:
        try:
            return self.bucket_exists(bucket)
        except S3Error as error:
            if error.code != "AccessDenied":
                raise
            return True  # we may be allowed to no more than write objects: the first put will tell

    def ensure_bucket(self, bucket: str) -> None:
        try:
            self.make_bucket(bucket)
        except S3Error as error:
            if error.code not in _MADE_MEANWHILE:
                raise

    def put(self, bucket: str, name: str, data: bytearray) -> None:
        # the client hashes and sends any buffer; its annotation is narrower than its code
        self._put_object(bucket, name, cast("bytes", data), {"Content-Type": _CONTENT_TYPE})

    def begin(self, bucket: str, name: str) -> str:
        return self._create_multipart_upload(bucket, name, {"Content-Type": _CONTENT_TYPE})

    def send(self, bucket: str, name: str, upload: str, number: int, part: bytearray) -> str:
        return self._upload_part(bucket, name, cast("bytes", part), None, upload, number)

    def finish(self, bucket: str, name: str, upload: str, etags: deque[str]) -> None:
        parts = [Part(number, etag) for number, etag in enumerate(etags, start=1)]
        if not self._complete_multipart_upload(bucket, name, upload, parts).etag:
            # S3 may find out after it sent status 200; the client takes the error document for a result
            raise MinioException("the server could not join the parts of the upload")

    def abort(self, bucket: str, name: str, upload: str) -> None:
        self._abort_multipart_upload(bucket, name, upload)

    def uploads(self, bucket: str, prefix: str) -> Iterator[Upload]:
        marker = None
        while True:
            page = self._list_multipart_uploads(bucket, prefix=prefix, key_marker=marker)
            yield from page.uploads
            if not page.is_truncated or not page.next_key_marker:
                return
            marker = page.next_key_marker


class _ResponseReader:
    """ObjectReader on an HTTP response."""

    def __init__(self, response: BaseHTTPResponse, store: S3Store) -> None:
        self.size = int(response.headers.get("content-length", ""))
        self._left = self.size
        self._response = response
        self._store = store

    def read(self, n: int = -1, /) -> bytes:
        with self._store._translated("read an object"):  # noqa: SLF001 - its store's own reader
            data = self._response.read(None if n < 0 else n, decode_content=False)
        self._left -= len(data)
        return data

    def close(self) -> None:
        if self._left:
            self._response.close()  # a connection with unread bytes is of no use to the next request
        self._response.release_conn()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Retry(urllib3.Retry):
    """Once more after a connection that was found closed, but not after a minute of silence."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


def _pool(address: S3Address, connections: int) -> urllib3.PoolManager:
    """Kept-alive connections; a server that is down is known at once, one that nobody reaches after 10 s."""
    retry = _Retry(
        total=2,
        connect=1,
        read=1,
        status=1,
        redirect=0,
        backoff_factor=0.2,
        status_forcelist=(500, 502, 503, 504),
        raise_on_status=False,  # the answer says more than "too many"
        raise_on_redirect=False,
        respect_retry_after_header=False,  # it could ask for minutes
    )
    return urllib3.PoolManager(
        maxsize=connections,
        timeout=urllib3.Timeout(connect=5, read=60),
        retries=retry,
        ssl_context=ssl.create_default_context(cafile=address.ca) if address.secure else None,
    )


def _parts(source: Readable) -> Iterator[bytearray]:
    """Cut a source into parts of PART bytes and a rest."""
    while part := _part(source):
        yield part


def _part(source: Readable) -> bytearray:
    part = bytearray()
    while len(part) < PART and (data := source.read(min(CHUNK, PART - len(part)))):
        part += data
    return part


def _joined(head: deque[bytearray], rest: Iterator[bytearray]) -> Iterator[bytearray]:
    """Yield all parts, and keep none that was yielded."""
    while head:
        yield head.popleft()
    yield from rest


def _failure(error: Exception, detail: str) -> StoreError:
    code, status = _code_and_status(error)
    if code in _FULL_CODES or status == _INSUFFICIENT_STORAGE:
        return StoreFull(detail)
    return StoreUnavailable(detail)


def _code_and_status(error: Exception) -> tuple[str | None, int | None]:
    if isinstance(error, S3Error):
        return error.code, error.response.status
    if isinstance(error, ServerError):
        return None, error.status_code
    return None, vars(error).get("_code") if isinstance(error, InvalidResponseError) else None


def _words(error: Exception) -> str:
    """Say what happened without the client's request ids and the peer's HTML."""
    if isinstance(error, S3Error):
        return f"{error.code}: {error.message}"
    if isinstance(error, HTTPError) and (reason := getattr(error, "reason", None)):
        return str(reason)
    return str(error)[:200]
