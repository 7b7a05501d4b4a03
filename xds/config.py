"""Settings of one node: a TOML file and the environment, checked as a whole before anything starts.

    Settings
    +-- server       where it listens
    +-- tls          whom it is and whom it trusts (ITI-19)
    +-- registry     the Document Registry
    +-- repository   the Document Repository
    +-- affinity     codes and identifiers of the affinity domain
    +-- defaults     what `xds submit` fills in where a document does not say it
    +-- client       where `xds submit`, `query` and `retrieve` send

A variable `XDS_SECTION__KEY` of the environment comes before the file. Paths are relative to the file's directory. Unknown keys are
refused; every mistake is told at once, each with file (or variable), key, what was found and what is expected. What may
hold a password is a `SecretURL`, which no output shows.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta, timezone
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    Secret,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from xds.metadata.affinity import CodeType
from xds.metadata.datatypes import DATATYPES

PREFIX = "XDS_"
DEFAULT_PORT = 8443
MAX_PORT = 65535
KINDS = tuple(kind.value for kind in CodeType)
_directory: ContextVar[Path] = ContextVar("_directory", default=Path())
_PASSWORD = re.compile(r"(://[^/?#@]*?:)[^/?#]*@|(://[^/?#@:]+:)(?!\d+(?:[/?#]|$))\S*")


class ConfigurationError(Exception):
    """The settings cannot be used.

    Attributes:
        problems: one line each: where, what was found, what is expected.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Expected:
    """What a setting must look like, in words; the messages and docs/configuration.md say it."""

    text: str


def hide(text: str) -> str:
    """A URL, or a text with one in it, without its password."""
    return _PASSWORD.sub(lambda match: f"{match[1]}***@" if match[1] else f"{match[2]}***", text)


class SecretURL(Secret[str]):
    """A URL that may hold a password; shown without it."""

    def _display(self) -> str:
        return hide(self.get_secret_value())


def _path(value: Path) -> Path:
    return (_directory.get() / value.expanduser()).absolute()


def _database(value: SecretURL) -> SecretURL:
    """Complete the driver's name, and a relative path of SQLite."""
    url = value.get_secret_value()
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        path, question, options = rest.removeprefix("/").partition("?")
        if rest[:1] != "/" or path in ("", ":memory:"):
            raise ValueError
        return SecretURL(f"sqlite:///{_path(Path(path))}{question}{options}")
    if scheme not in ("postgresql+psycopg", "postgresql", "postgres") or not urlsplit(url).hostname:
        raise ValueError
    return SecretURL(f"postgresql+psycopg://{rest}")


def _store(value: SecretURL) -> SecretURL:
    """Complete a relative path."""
    url = value.get_secret_value()
    scheme, separator, _ = url.partition("://")
    if url and not separator:
        return SecretURL(str(_path(Path(url))))
    if scheme not in ("file", "s3+http", "s3+https"):
        raise ValueError
    return value


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.port == 0:
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
    if match := re.fullmatch(r"([+-])(\d\d):?(\d\d)", value):
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(offset if match[1] == "+" else -offset)
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError from error


def _listed(value: Any) -> Any:
    """A list, or from the environment a text with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


FilePath = Annotated[Path, AfterValidator(_path), Expected("path of a file, relative to the directory of this one")]
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
Maps = Annotated[
    dict[Literal[KINDS], dict[str, CodeText]],  # type: ignore[misc]
    Expected('tables such as [defaults.maps.typeCode] with "code^^scheme" = "code^^codingScheme"'),
]
Zone = Annotated[str, AfterValidator(_zone), Expected("a time zone such as Europe/Vienna or +01:00")]
Port = Annotated[int, Field(ge=1, le=MAX_PORT), Expected("a port, 1 to 65535")]
Size = Annotated[ByteSize, Field(ge=1024), Expected("a size such as 64KiB or 4GiB")]
Count = Annotated[int, Field(ge=1), Expected("a whole number, 1 or more")]
Seconds = Annotated[float, Field(gt=0), Expected("seconds, more than 0")]
Flag = Annotated[bool, Expected("true or false")]
Name = Annotated[str, Field(min_length=1), Expected("a text")]
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
    Expected("a list of SHA-256 fingerprints, 64 hexadecimal digits with or without colons"),
]
CodeTypes = Annotated[
    tuple[CodeType, ...],
    NoDecode,
    BeforeValidator(_listed),
    Expected(f"a list of {', '.join(CodeType)}"),
]


def default_workers() -> int:
    """Worker processes for this machine: one for each processor we may use, 2 to 8."""
    return max(2, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


class Section(BaseModel):
    """Common to all sections: nothing unknown, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Server(Section):
    """Where the server listens, and how it works."""

    host: Annotated[str, Field(min_length=1), Expected("an address of this machine, 0.0.0.0 for all of them, or :: for IPv6 too")] = Field(
        "127.0.0.1", description="Address to listen on."
    )
    port: Port = Field(DEFAULT_PORT, description="TCP port of all endpoints.")
    name: Name = Field("localhost", description="Host name in the URLs that others are told; the certificate names it.")
    workers: Count = Field(default_factory=default_workers, description="Processes. The default follows the processors, 2 to 8.")
    threads: Count = Field(16, description="Requests that one process serves at a time.")
    connections: Count = Field(10, description="Most connections of one process to each database.")
    max_body: Size = Field(ByteSize(4 << 30), description="Greatest size of a request, all its documents included.")
    idle_seconds: Seconds = Field(60.0, description="A peer that sends or takes nothing for so long in the midst of a request is cut off.")
    stop_seconds: Seconds = Field(30.0, description="How long requests under way may take to end after SIGTERM.")
    trusted_proxies: Networks = Field((), description="Who may pass on a client's certificate in a header.")
    proxy_certificates: Fingerprints = Field((), description="If the proxy speaks TLS to this server: which certificates are its own.")
    certificate_header: Name = Field("Client-Cert", description="The header it stands in (RFC 9440; PEM too, see docs).")
    plain_http: Flag = Field(False, description="Without [tls]: allow plain HTTP on a loopback address, for trying things out.")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Expected("debug, info, warning or error")] = Field(
        "warning", description="What is written to stderr while serving."
    )

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can connect."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class TLS(Section):
    """Certificates of the node (ITI-19). Leave the section out only behind a proxy that does TLS."""

    certificate: FilePath = Field(description="The node's certificate (PEM), intermediate ones after it.")
    key: FilePath = Field(description="Its private key (PEM, no password).")
    ca: FilePath = Field(description="Certificates of the authorities whose clients may connect (PEM).")
    crl: FilePath | None = Field(None, description="Revocation lists of all these authorities (PEM).")


class Registry(Section):
    """The Document Registry."""

    database: DatabaseURL | None = Field(None, description="Database of the registry.")
    url: EndpointURL | None = Field(
        None, description="Endpoint of the registry when `xds serve --actor repository` runs apart from it."
    )
    max_results: Count = Field(1000, description="Greatest number of objects that a query returns in full (LeafClass).")
    max_refs: Count = Field(100_000, description="Greatest number of references that a query returns (ObjectRef).")
    unknown_patient: Annotated[Literal["empty", "error"], Expected("empty or error")] = Field(
        "empty", description="Answer to a query for an unknown patient: nothing found, or XDSUnknownPatientId."
    )


class Repository(Section):
    """The Document Repository."""

    database: DatabaseURL | None = Field(None, description="Database of the repository; may be the registry's.")
    store: StoreURL | None = Field(None, description="Where the documents lie.")
    unique_id: OID | None = Field(None, description="repositoryUniqueId; never changes once documents are registered.")


class Affinity(Section):
    """The affinity domain."""

    codes: FilePath | None = Field(None, description="codes.xml with the legal codes; without it the table that comes with xds.")
    assigning_authorities: OIDs = Field((), description="Accepted patient identification domains, with those of codes.xml; none at all: any.")
    open: CodeTypes = Field((), description="Kinds of code of which any value is legal, over those codes.xml leaves open.")
    home_community_id: HomeCommunityId | None = Field(None, description="homeCommunityId put on what queries return.")


class Defaults(Section):
    """What `xds submit` fills in where neither the document nor an option says it."""

    source_id: OID | None = Field(None, description="sourceId of submissions: names the sender.")
    assigning_authority: OID | None = Field(None, description="Domain of patient ids given as a bare number.")
    author_institution: Name | None = Field(None, description="authorInstitution (XON).")
    author_person: Name | None = Field(None, description="authorPerson (XCN).")
    author_role: Name | None = Field(None, description="authorRole.")
    author_specialty: Name | None = Field(None, description="authorSpecialty.")
    class_code: CodeText | None = Field(None, description="classCode.")
    type_code: CodeText | None = Field(None, description="typeCode.")
    format_code: CodeText | None = Field(None, description="formatCode.")
    confidentiality_code: CodeText | None = Field(None, description="confidentialityCode.")
    healthcare_facility_type_code: CodeText | None = Field(None, description="healthcareFacilityTypeCode.")
    practice_setting_code: CodeText | None = Field(None, description="practiceSettingCode.")
    content_type_code: CodeText | None = Field(None, description="contentTypeCode of the submission.")
    language_code: Name | None = Field(None, description="languageCode, such as de-AT.")
    mime_type: Name | None = Field(None, description="mimeType of files that do not show theirs.")
    patient_id: Name | None = Field(None, description="patientId (CX).")
    source_patient_id: Name | None = Field(None, description="sourcePatientId (CX).")
    creation_time: Name | None = Field(None, description="creationTime (DTM) of files that do not say theirs.")
    zone: Zone | None = Field(None, description="Time zone of times that name none; UTC without it.")
    maps: Maps = Field(
        default_factory=dict,
        description="Codes of documents that the affinity domain has otherwise: by attribute, from what stands in documents.",
    )


class Client(Section):
    """Where `xds submit`, `query` and `retrieve` send, and who they are; the options of the same names come first."""

    registry: EndpointURL | None = Field(None, description="Endpoint of the Document Registry.")
    repository: EndpointURL | None = Field(None, description="Endpoint of the Document Repository.")
    certificate: FilePath | None = Field(None, description="Client certificate (PEM).")
    key: FilePath | None = Field(None, description="Its private key (PEM, no password).")
    ca: FilePath | None = Field(None, description="Certificates of the authorities that servers are trusted by (PEM).")


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, extra="forbid", frozen=True
    )
    toml: ClassVar[ContextVar[Path | None]] = ContextVar("toml", default=None)

    server: Server = Server()  # pyright: ignore[reportCallIssue]
    tls: TLS | None = None
    registry: Registry = Registry()
    repository: Repository = Repository()
    affinity: Affinity = Affinity()
    defaults: Defaults = Defaults()
    client: Client = Client()

    @model_validator(mode="after")
    def _protected(self) -> Settings:
        server = self.server
        if self.tls or server.trusted_proxies or (server.plain_http and server.is_loopback):
            return self
        if server.plain_http:
            raise ValueError(
                "[server] plain_http: plain HTTP is for a loopback address only, and host is "
                f"{server.host}; expected [tls], or trusted_proxies that do TLS"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the file."""
        path = cls.toml.get()
        return (env_settings, TomlConfigSettingsSource(settings_cls, path)) if path else (env_settings,)


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Args:
        path: the TOML file; None for the environment alone.
        environ: to tell in messages where a value came from.

    Raises:
        ConfigurationError: every mistake.
    """
    if path is not None:
        _check_readable(path)
    in_directory = _directory.set((path.parent if path else Path()).absolute())
    in_file = Settings.toml.set(path)
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigurationError(_problems(error, path, environ)) from None
    except SettingsError as error:
        raise ConfigurationError([f"environment: {error}; expected {PREFIX}SECTION__KEY for each setting"]) from None
    finally:
        _directory.reset(in_directory)
        Settings.toml.reset(in_file)


def _check_readable(path: Path) -> None:
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError([f"{path}: the file does not exist; `xds init DIR` makes one"]) from None
    except OSError as error:
        raise ConfigurationError([f"{path}: the file cannot be read: {error.strerror}"]) from None
    except ValueError as error:  # TOMLDecodeError has line and column in its text
        raise ConfigurationError([f"{path}: {error}; expected TOML"]) from None


def _problems(error: ValidationError, path: Path | None, environ: Mapping[str, str]) -> Iterator[str]:
    seen: set[tuple[str, ...]] = set()
    for detail in error.errors(include_url=False):
        loc = tuple(map(str, detail["loc"]))
        key, field = find(loc)
        if key in seen and field is not None:
            continue  # one value of a list, or one branch of a union, is enough
        seen.add(key)
        yield f"{_source(key, path, environ)}: {_problem(key, field, detail)}"


def _source(key: tuple[str, ...], path: Path | None, environ: Mapping[str, str]) -> str:
    variable = PREFIX + "__".join(key).upper()
    names = {name.upper() for name in environ}
    return f"environment variable {variable}" if key and variable in names or path is None else str(path)


def _problem(key: tuple[str, ...], field: FieldInfo | None, detail: ErrorDetails) -> str:
    name = " ".join((f"[{key[0]}]", *key[1:])) if key else ""
    if not key:
        return str(detail["ctx"]["error"]) if "error" in detail.get("ctx", {}) else detail["msg"]
    if detail["type"] == "extra_forbidden":
        return f"{name}: unknown key; expected {_known(key)}"
    expected = expected_of(field) if field else detail["msg"]
    if detail["type"] == "missing":
        return f"{name}: missing; expected {expected}"
    return f"{name} = {hide(repr(detail['input']))}: expected {expected}"


def _known(key: tuple[str, ...]) -> str:
    return "one of " + ", ".join(f"[{name}]" for name in Settings.model_fields) if len(key) == 1 else (
        "one of " + ", ".join(section_of(Settings.model_fields[key[0]]).model_fields)
    )


def find(loc: tuple[str, ...]) -> tuple[tuple[str, ...], FieldInfo | None]:
    """The key (section, name) that a place in the settings belongs to, and its field if there is one."""
    section = Settings.model_fields.get(loc[0]) if loc else None
    if section is None or len(loc) == 1:
        return loc[:1], section
    return loc[:2], section_of(section).model_fields.get(loc[1])


def section_of(field: FieldInfo) -> type[Section]:
    """The class of a section."""
    annotation = field.annotation
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next(member for member in members if isinstance(member, type) and issubclass(member, Section))


def expected_of(field: FieldInfo) -> str:
    """What a setting must look like, in words."""
    return next(_expectations(field.metadata, field.annotation), "a section with keys")


def _expectations(metadata: Iterable[Any], annotation: Any) -> Iterator[str]:
    yield from (item.text for item in metadata if isinstance(item, Expected))
    for member in get_args(annotation):  # Annotated[...] | None keeps it inside
        yield from (item.text for item in getattr(member, "__metadata__", ()) if isinstance(item, Expected))
