"""Where an S3 bucket is and who we are there, from one URL.

    s3+http://KEY:SECRET@host:9000/bucket[/prefix][?region=eu-central-1&credentials=/run/secrets/s3&ca=/etc/ca.pem]
    s3+https://...

What is reserved in a URL is percent-encoded in KEY and SECRET (`/` as %2F, `@` as %40). Credentials that the URL does
not hold come from the file named by `credentials` (first line the key, second line the secret), else from
XDS_S3_ACCESS_KEY and XDS_S3_SECRET_KEY, else from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTIONS = {"region", "credentials", "ca"}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SECRET = re.compile(r"(://[^/:@]*:).*@")
_STRAY_SECRET = re.compile(r"(://[^/:@]+:)(?!\d+([/?]|$))[^@]*$")  # the @ was forgotten
_STRAY_OPTION = re.compile(rf"([?&](?!(?:{'|'.join(sorted(OPTIONS))})=)[^=&]*=)[^&]*")
_PAIR = 2  # lines of a credentials file


@dataclass(frozen=True)
class Credentials:
    """An access key and its secret, which no repr shows."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class S3Address:
    """A bucket on a server.

    Attributes:
        endpoint: host, or host:port.
        secure: TLS.
        bucket: name of the bucket.
        prefix: what our keys begin with there: "", or a path that ends with a slash.
        region: given to spare each process a look-up; empty leaves it to the client (hosts of Amazon).
        ca: PEM file of the authorities to trust instead of the system's.
        credentials: who we are.
    """

    endpoint: str
    secure: bool
    bucket: str
    prefix: str
    region: str
    ca: str | None
    credentials: Credentials

    def __str__(self) -> str:
        scheme = "https" if self.secure else "http"
        return f"bucket {self.bucket} at {scheme}://{self.endpoint}"


def is_s3(url: str) -> bool:
    """Whether a store's URL means S3."""
    return url.startswith(("s3+http://", "s3+https://"))


def describe(url: str) -> str:
    """Return the URL with the secret hidden; fit for logs, even when the URL is malformed."""
    hidden = _STRAY_SECRET.sub(r"\1***", _SECRET.sub(r"\1***@", url))
    return _STRAY_OPTION.sub(r"\1***", hidden)


def parse(url: str, environ: Mapping[str, str] = os.environ) -> S3Address:
    """Read a URL of this module's form.

    Raises:
        ValueError: what is wrong and what is expected, without the secret.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # from None: the cause would quote a piece of the secret
        raise ValueError(
            f"{describe(url)}: host and port are not readable; characters such as / in the secret are written as %2F"
        ) from None
    bucket, _, prefix = parts.path.strip("/").partition("/")
    if not parts.hostname or not bucket:
        raise ValueError(f"{describe(url)}: expected s3+http://KEY:SECRET@host:port/bucket")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(
            f"{describe(url)}: a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens; found {bucket}"
        )
    options = _options(url, parts)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return S3Address(
        endpoint=f"{host}:{port}" if port else host,
        secure=parts.scheme == "s3+https",
        bucket=bucket,
        prefix=f"{prefix}/" if prefix else "",
        region=options.get("region") or ("" if host.endswith(".amazonaws.com") else "us-east-1"),
        ca=options.get("ca"),
        credentials=_credentials(url, parts, options.get("credentials"), environ),
    )


def _options(url: str, parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - OPTIONS:
        raise ValueError(f"{describe(url)}: unknown option {min(unknown)}, expected {', '.join(sorted(OPTIONS))}")
    return options


def _credentials(url: str, parts: SplitResult, file: str | None, environ: Mapping[str, str]) -> Credentials:
    if parts.username and parts.password:
        return Credentials(unquote(parts.username), unquote(parts.password))
    if file:
        return _from_file(Path(file))
    if environ.get("XDS_S3_ACCESS_KEY"):
        return Credentials(environ["XDS_S3_ACCESS_KEY"], environ.get("XDS_S3_SECRET_KEY", ""))
    if environ.get("AWS_ACCESS_KEY_ID"):
        token = environ.get("AWS_SESSION_TOKEN")
        return Credentials(environ["AWS_ACCESS_KEY_ID"], environ.get("AWS_SECRET_ACCESS_KEY", ""), token)
    raise ValueError(
        f"{describe(url)}: no credentials; expected KEY:SECRET@ in the URL, ?credentials=FILE, or the environment "
        "variables XDS_S3_ACCESS_KEY and XDS_S3_SECRET_KEY"
    )


def _from_file(file: Path) -> Credentials:
    try:
        lines = [line.strip() for line in file.read_text().strip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the credentials file {file}: {error}") from error
    if len(lines) != _PAIR:
        raise ValueError(f"{file}: expected two lines, the access key and the secret key; found {len(lines)}")
    return Credentials(*lines)
