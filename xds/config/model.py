"""The settings, a class for each section and a line for each key.

Settings
+-- server       where it listens, and how it works
+-- tls          whom it is and whom it trusts (ITI-19)
+-- registry     the Document Registry
+-- repository   the Document Repository
+-- affinity     codes and identifiers of the affinity domain
+-- defaults     what `xds submit` fills in where a document does not say it
+-- client       where `xds submit`, `query` and `retrieve` send

Forms and words stand with the types (`xds.config.types`); docs/configuration.md is made of both.
"""

from __future__ import annotations

import os

from pydantic import BaseModel, ByteSize, ConfigDict, Field, model_validator

from xds.config.types import (
    OID,
    CodeText,
    CodeTypes,
    Count,
    DatabaseURL,
    EndpointURL,
    FilePath,
    Fingerprints,
    Flag,
    HomeCommunityId,
    Host,
    LogLevel,
    Maps,
    Name,
    Networks,
    OIDs,
    Port,
    Seconds,
    Size,
    StoreURL,
    UnknownPatient,
    Zone,
)

DEFAULT_PORT = 8443
_FEWEST_WORKERS, _MOST_WORKERS = 2, 8


def default_workers() -> int:
    """Worker processes for this machine: one for each processor we may use, 2 to 8."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(_FEWEST_WORKERS, min(_MOST_WORKERS, mine))


class Section(BaseModel):
    """Common to all sections: nothing unknown, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Server(Section):
    """Where the server listens, and how it works."""

    host: Host = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=DEFAULT_PORT, description="TCP port of all endpoints.")
    name: Name = Field(
        default="localhost", description="Host name in the URLs that others are told; the certificate must name it."
    )
    workers: Count = Field(
        default_factory=default_workers, description="Processes. The default follows the processors, 2 to 8."
    )
    threads: Count = Field(default=16, description="Requests that one process serves at a time.")
    connections: Count = Field(default=10, description="Most connections of one process to each database.")
    max_body: Size = Field(default=ByteSize(4 << 30), description="Greatest size of a request with all its documents.")
    idle_seconds: Seconds = Field(
        default=60.0, description="A peer that is silent for so long in the midst of a request is cut off."
    )
    stop_seconds: Seconds = Field(
        default=30.0, description="Time that requests under way may take to end after SIGTERM."
    )
    trusted_proxies: Networks = Field(
        default=(), description="Where proxies connect from that do TLS and pass on the client's certificate."
    )
    proxy_certificates: Fingerprints = Field(
        default=(), description="If such a proxy speaks TLS to this server: the certificates that are its own."
    )
    certificate_header: Name = Field(
        default="Client-Cert", description="The header in which it passes on the certificate (RFC 9440, or PEM)."
    )
    plain_http: Flag = Field(
        default=False, description="Without [tls]: plain HTTP on a loopback address, without certificates, for tests."
    )
    log_level: LogLevel = Field(default="warning", description="What is written to stderr while serving.")

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can connect."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"

    @model_validator(mode="after")
    def _plain_http_stays_here(self) -> Server:
        if self.plain_http and not self.is_loopback:
            raise ValueError(f"plain_http with host {self.host}: expected a loopback address such as 127.0.0.1")
        return self


class TLS(Section):
    """Certificates of the node (ITI-19). Left out only behind a proxy that does TLS."""

    certificate: FilePath = Field(description="The node's certificate (PEM), intermediate ones after it.")
    key: FilePath = Field(description="Its private key (PEM, no password).")
    ca: FilePath = Field(description="Certificates of the authorities whose clients may connect (PEM).")
    crl: FilePath | None = Field(default=None, description="Revocation lists of all these authorities (PEM).")


class Registry(Section):
    """The Document Registry."""

    database: DatabaseURL | None = Field(default=None, description="Database of the registry.")
    url: EndpointURL | None = Field(
        default=None, description="Where the registry is, for `xds serve --actor repository`."
    )
    max_results: Count = Field(default=1000, description="Most objects that a query returns in full (LeafClass).")
    max_refs: Count = Field(default=100_000, description="Most references that a query returns (ObjectRef).")
    unknown_patient: UnknownPatient = Field(
        default="empty", description="Queries for an unknown patient find nothing, or get XDSUnknownPatientId."
    )


class Repository(Section):
    """The Document Repository."""

    database: DatabaseURL | None = Field(default=None, description="Database of the repository; may be the registry's.")
    store: StoreURL | None = Field(default=None, description="Where the documents lie.")
    unique_id: OID | None = Field(
        default=None, description="repositoryUniqueId; never changes once documents are registered."
    )


class Affinity(Section):
    """The affinity domain."""

    codes: FilePath | None = Field(
        default=None, description="codes.xml with the legal codes; without it, the table that comes with xds."
    )
    assigning_authorities: OIDs = Field(
        default=(), description="Whose patient ids are accepted, with those of codes.xml; none at all: any."
    )
    open: CodeTypes = Field(
        default=(), description="Kinds of code of which any value is legal, with those codes.xml leaves open."
    )
    home_community_id: HomeCommunityId | None = Field(
        default=None, description="homeCommunityId put on what queries return."
    )


class Defaults(Section):
    """What `xds submit` fills in where neither the document nor an option says it."""

    source_id: OID | None = Field(default=None, description="sourceId of submissions: names the sender.")
    assigning_authority: OID | None = Field(
        default=None, description="Domain of patient ids that are given as a bare number."
    )
    author_person: Name | None = Field(default=None, description="authorPerson (XCN).")
    author_institution: Name | None = Field(default=None, description="authorInstitution (XON).")
    author_role: Name | None = Field(default=None, description="authorRole.")
    author_specialty: Name | None = Field(default=None, description="authorSpecialty.")
    legal_authenticator: Name | None = Field(default=None, description="legalAuthenticator (XCN).")
    class_code: CodeText | None = Field(default=None, description="classCode.")
    type_code: CodeText | None = Field(default=None, description="typeCode.")
    format_code: CodeText | None = Field(default=None, description="formatCode.")
    confidentiality_code: CodeText | None = Field(default=None, description="confidentialityCode.")
    healthcare_facility_type_code: CodeText | None = Field(default=None, description="healthcareFacilityTypeCode.")
    practice_setting_code: CodeText | None = Field(default=None, description="practiceSettingCode.")
    content_type_code: CodeText | None = Field(default=None, description="contentTypeCode of the submission.")
    language_code: Name | None = Field(default=None, description="languageCode, such as de-AT.")
    zone: Zone | None = Field(default=None, description="Time zone of times that name none; UTC without it.")
    maps: Maps = Field(
        default_factory=dict, description="Codes that documents carry -> those of the affinity domain, by attribute."
    )


class Client(Section):
    """Where `xds submit`, `query` and `retrieve` send, and as whom; options come before these."""

    registry: EndpointURL | None = Field(default=None, description="Endpoint of the Document Registry.")
    repository: EndpointURL | None = Field(default=None, description="Endpoint of the Document Repository.")
    certificate: FilePath | None = Field(default=None, description="Client certificate (PEM).")
    key: FilePath | None = Field(default=None, description="Its private key (PEM, no password).")
    ca: FilePath | None = Field(default=None, description="Certificates of the authorities trusted for servers (PEM).")
