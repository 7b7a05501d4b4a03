"""Kinds of settings: how each is read, checked and completed, and what it must look like in words (`Expected`).

A validator that refuses raises ValueError without a text: the words stand in one place, next to the type.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta, timezone
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, Secret, TypeAdapter, ValidationError
from pydantic_settings import NoDecode

from xds.metadata.affinity import CodeType
from xds.metadata.datatypes import DATATYPES

MAX_PORT = 65535
LEAST_SIZE = 1024

directory: ContextVar[Path] = ContextVar("directory", default=Path())
"""What relative paths are relative to, while settings are read."""

_PASSWORD = re.compile(r"(://[^/?#@]*?:)[^/?#]*@|(://[^/?#@:]+:)(?!\d+(?:[/?#]|$))\S*")


@dataclass(frozen=True)
class Expected:
    """What a setting must look like; messages and docs/configuration.md say it."""

    text: str


def hide(text: str) -> str:
    """A URL, or a text with one in it, without its password."""
    return _PASSWORD.sub(lambda match: f"{match[1]}***@" if match[1] else f"{match[2]}***", text)


class SecretURL(Secret[str]):
    """A URL that may hold a password; shown without it."""

    def _display(self) -> str:
        return hide(self.get_secret_value())


# --- reading ----------------------------------------------------------------------------------------------------


def _path(value: Path) -> Path:
    return (directory.get() / value.expanduser()).absolute()


def _database(value: SecretURL) -> SecretURL:
    """Complete the driver's name, and a relative path of SQLite."""
    url = value.get_secret_value()
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        path, question, options = rest.removeprefix("/").partition("?")
        if rest[:1] != "/" or path in {"", ":memory:"}:
            raise ValueError
        return SecretURL(f"sqlite:///{_path(Path(path))}{question}{options}")
    if scheme not in {"postgresql+psycopg", "postgresql", "postgres"} or not urlsplit(url).hostname:
        raise ValueError
    return SecretURL(f"postgresql+psycopg://{rest}")


def _store(value: SecretURL) -> SecretURL:
    """Complete a relative path."""
    url = value.get_secret_value()
    scheme, separator, _ = url.partition("://")
    if url and not separator:
        return SecretURL(str(_path(Path(url))))
    if scheme not in {"file", "s3+http", "s3+https"}:
        raise ValueError
    return value


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.port == 0:
        raise ValueError
    return value


def _oid(value: str) -> str:
    if not DATATYPES["OID"].matches(value):
        raise ValueError
    return value


def _urn_oid(value: str) -> str:
    return f"urn:oid:{_oid(value.removeprefix('urn:oid:'))}"


def _code(value: str) -> str:
    code, _, scheme = value.partition("^^")
    if not code or not scheme or "^" in code + scheme:
        raise ValueError
    return value


def _fingerprint(value: str) -> str:
    digits = value.replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ValueError
    return digits


def _zone(value: str) -> str:
    zone(value)
    return value


def zone(value: str) -> timezone | ZoneInfo:
    """A time zone by name (`Europe/Vienna`) or offset (`+01:00`).

    Raises:
        ValueError: neither.
    """
    if match := re.fullmatch(r"([+-])(\d\d):?([0-5]\d)", value):
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(offset if match[1] == "+" else -offset)
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError from error


def _listed(value: Any) -> Any:
    """A list, or from the environment a text with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


# --- the types --------------------------------------------------------------------------------------------------

Flag = Annotated[bool, Expected("true or false")]
Name = Annotated[str, Field(min_length=1), Expected("a text")]
Host = Annotated[
    str,
    Field(min_length=1),
    Expected("an address of this machine; 0.0.0.0 for all of them, :: for those of IPv6 too"),
]
Port = Annotated[int, Field(ge=1, le=MAX_PORT), Expected("a port, 1 to 65535")]
Count = Annotated[int, Field(ge=1), Expected("a whole number, 1 or more")]
Seconds = Annotated[float, Field(gt=0), Expected("seconds, more than 0")]
Size = Annotated[ByteSize, Field(ge=LEAST_SIZE), Expected("a size such as 64KiB or 4GiB")]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], Expected("debug, info, warning or error")]
UnknownPatient = Annotated[Literal["empty", "error"], Expected("empty or error")]
FilePath = Annotated[
    Path, AfterValidator(_path), Expected("the path of a file, relative to the directory of the settings' file")
]
DatabaseURL = Annotated[
    SecretURL,
    AfterValidator(_database),
    Expected("sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"),
]
StoreURL = Annotated[
    SecretURL,
    AfterValidator(_store),
    Expected("a directory, or s3+http://KEY:SECRET@HOST:PORT/BUCKET (s3+https for TLS)"),
]
EndpointURL = Annotated[str, AfterValidator(_endpoint), Expected("a URL such as https://xds.example.org:8443/registry")]
OID = Annotated[str, AfterValidator(_oid), Expected("an OID such as 2.25.3291, at most 64 characters")]
HomeCommunityId = Annotated[str, AfterValidator(_urn_oid), Expected("urn:oid:OID")]
CodeText = Annotated[str, AfterValidator(_code), Expected("code^^codingScheme, such as 18842-5^^2.16.840.1.113883.6.1")]
Zone = Annotated[str, AfterValidator(_zone), Expected("a time zone such as Europe/Vienna or +01:00")]
Maps = Annotated[
    dict[str, dict[str, CodeText]],
    Expected('tables such as [defaults.maps.typeCode] with lines "code^^scheme" = "code^^codingScheme"'),
]
Networks = Annotated[
    tuple[IPv4Network | IPv6Network, ...],
    NoDecode,
    BeforeValidator(_listed),
    Expected('a list of addresses or networks, such as ["127.0.0.1", "10.1.0.0/16"]'),
]
OIDs = Annotated[
    tuple[Annotated[str, AfterValidator(_oid)], ...],
    NoDecode,
    BeforeValidator(_listed),
    Expected('a list of OIDs, such as ["1.2.40.0.10"]'),
]
Fingerprints = Annotated[
    tuple[Annotated[str, AfterValidator(_fingerprint)], ...],
    NoDecode,
    BeforeValidator(_listed),
    Expected("a list of SHA-256 fingerprints: 64 hexadecimal digits, with or without colons"),
]
CodeTypes = Annotated[
    tuple[CodeType, ...],
    NoDecode,
    BeforeValidator(_listed),
    Expected(f"a list of some of {', '.join(CodeType)}"),
]


def checked(kind: Any, text: str) -> str:
    """A URL from the command line as the settings would take it, a relative path made absolute.

    Args:
        kind: `DatabaseURL` or `StoreURL`.
        text: as given.

    Raises:
        ValueError: what was found, without a password, and what is expected.
    """
    try:
        url: SecretURL = TypeAdapter(kind).validate_python(text)
    except ValidationError:
        expected = next(item.text for item in kind.__metadata__ if isinstance(item, Expected))
        raise ValueError(f"{hide(text)}: expected {expected}") from None
    return url.get_secret_value()
