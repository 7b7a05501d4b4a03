#!/usr/bin/env python3
"""Create the bucket that an object store URL names, unless it exists; the last step of starting an S3 server.

The URL is read from standard input, so that its secret stands in no process list.
"""

from __future__ import annotations

import sys
from urllib.parse import unquote, urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException
from urllib3.exceptions import HTTPError


def client(url: str) -> tuple[Minio, str]:
    """Read `s3+http[s]://KEY:SECRET@HOST:PORT/BUCKET`.

    Returns:
        A client that gives up at the first refused connection, and the bucket's name.
    """
    parts = urlsplit(url)
    endpoint = f"{parts.hostname}:{parts.port}"
    key, secret = unquote(parts.username or ""), unquote(parts.password or "")
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(5), retries=False)
    secure = parts.scheme.endswith("https")
    return Minio(endpoint, access_key=key, secret_key=secret, secure=secure, http_client=pool), parts.path.strip("/")


def main() -> int:
    """Create the bucket; exit code 1 with one line on standard error if the server cannot be used (yet)."""
    s3, bucket = client(sys.stdin.readline().strip())
    try:
        if not s3.bucket_exists(bucket):
            s3.make_bucket(bucket)
    except (HTTPError, MinioException) as error:
        print(f"bucket {bucket}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
