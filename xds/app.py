"""From settings to actors: the one place of wiring.

Only this module, `xds.serve` and the commands, which stand above everything else, know both actors and all of `xds`:
below them `registry` and `repository` never see each other, and nothing in `xds` sees either. A Repository is handed a
DocumentRegistry: the object itself when one process serves both, a client over mutual TLS when it is served alone.

What is made here holds connections and belongs to one process: a server makes it after the fork.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import registry.migrations
import repository.migrations
from registry.query import QuerySettings
from registry.service import Registry
from repository.service import Repository
from repository.storage import ObjectStore, open_store
from xds import database
from xds.actors import DocumentRegistry, DocumentRepository
from xds.client import RegistryClient
from xds.config import ConfigurationError, SecretURL, Settings
from xds.metadata import affinity
from xds.metadata.affinity import AffinityDomain, AffinityDomainError
from xds.migrate import Database, answers
from xds.security.tls import TLSSettings, certificate_report, client_context
from xds.soap.caller import TrustedProxy
from xds.soap.mime import Limits
from xds.soap.pages import ConnectionSheet
from xds.soap.server import ServerSettings, SoapApplication
from xds.soap.transport import SoapTransport
from xds.transactions import Actor

SCHEMAS = {Actor.REGISTRY: registry.migrations.SCHEMA, Actor.REPOSITORY: repository.migrations.SCHEMA}


class Choice(StrEnum):
    """What one server serves."""

    ALL = "all"
    REGISTRY = "registry"
    REPOSITORY = "repository"

    @property
    def actors(self) -> tuple[Actor, ...]:
        """The actors served."""
        return tuple(Actor) if self is Choice.ALL else (Actor(self.value),)


def required(value: SecretURL | str | None, key: str) -> str:
    """A setting that this command cannot do without.

    Raises:
        ConfigurationError: it is not given.
    """
    if value is None:
        raise ConfigurationError([f"{key}: missing; expected a value, since this command needs it"])
    return value.get_secret_value() if isinstance(value, SecretURL) else value


def domain(settings: Settings) -> AffinityDomain:
    """The affinity domain.

    Raises:
        ConfigurationError: codes.xml cannot be used.
    """
    chosen = settings.affinity
    try:
        found = affinity.load(chosen.codes, chosen.open) if chosen.codes else affinity.default()
    except AffinityDomainError as error:
        raise ConfigurationError([str(error)]) from None
    authorities = found.assigning_authorities | set(chosen.assigning_authorities)
    return replace(found, assigning_authorities=authorities, open=found.open | set(chosen.open))


def tls_settings(settings: Settings) -> TLSSettings | None:
    """The node's own certificates; None behind a proxy that does TLS."""
    tls = settings.tls
    return TLSSettings(tls.certificate, tls.key, tls.ca, tls.crl) if tls else None


def client_tls(settings: Settings) -> TLSSettings | None:
    """The certificate of [client]; None unless it is complete."""
    client = settings.client
    if client.certificate and client.key and client.ca:
        return TLSSettings(client.certificate, client.key, client.ca)
    return None


def database_url(settings: Settings, actor: Actor) -> str:
    """The database of an actor."""
    section = settings.registry if actor is Actor.REGISTRY else settings.repository
    return required(section.database, f"[{actor}] database")


def engine(settings: Settings, actor: Actor) -> Database:
    """The database of an actor, opened; both actors share one if the URL is the same."""
    return database.engine(database_url(settings, actor), settings.server.connections)


def store(settings: Settings) -> ObjectStore:
    """The document store, opened.

    Raises:
        ConfigurationError: its URL or credentials cannot be used.
        StoreError: its directory cannot be made.
    """
    url = required(settings.repository.store, "[repository] store")
    try:
        return open_store(url, connections=settings.server.threads)
    except ValueError as error:
        raise ConfigurationError([f"[repository] store: {error}"]) from None


def local_registry(settings: Settings) -> Registry:
    """The Document Registry itself."""
    chosen = settings.registry
    bounds = QuerySettings(
        max_results=chosen.max_results,
        max_refs=chosen.max_refs,
        unknown_patient=chosen.unknown_patient,
        home=settings.affinity.home_community_id,
    )
    return Registry(engine(settings, Actor.REGISTRY), domain(settings), bounds)


def check(settings: Settings, choice: Choice) -> None:
    """Find what would keep the actors from being made, before anything starts; connects to nothing.

    Raises:
        ConfigurationError: a setting is missing or does not fit.
        StoreError: the store's directory cannot be made.
    """
    check_protection(settings)
    for actor in choice.actors:
        database_url(settings, actor)
    if Actor.REGISTRY in choice.actors:
        domain(settings)
    if Actor.REPOSITORY in choice.actors:
        required(settings.repository.unique_id, "[repository] unique_id")
        store(settings).close()
    if choice is Choice.REPOSITORY:
        required(settings.registry.url, "[registry] url")


def check_protection(settings: Settings) -> None:
    """Refuse to serve patients' documents to anybody.

    Raises:
        ConfigurationError: there is neither TLS nor a proxy that does it, nor plain HTTP on this machine wanted.
    """
    server = settings.server
    if settings.tls is None and server.proxy_certificates:
        expected = "certificate, key and ca, since a proxy is known by a certificate only where it speaks TLS to us"
    elif not (settings.tls or server.trusted_proxies or server.plain_http):
        expected = "certificate, key and ca, or [server] trusted_proxies that do TLS"
    else:
        return
    raise ConfigurationError([f"[tls]: missing; expected {expected}"])


def endpoints(settings: Settings, choice: Choice) -> dict[Actor, str]:
    """The URL of each actor served, as clients reach it."""
    server = settings.server
    scheme = "http" if server.plain_http and settings.tls is None else "https"
    return {actor: f"{scheme}://{server.authority}/{actor}" for actor in choice.actors}


def remote_registry(settings: Settings) -> DocumentRegistry:
    """The Document Registry by SOAP, with this node's own certificate, or that of [client] behind a proxy.

    Raises:
        ConfigurationError: [registry] url is missing.
        TLSConfigurationError: the certificate cannot be used.
    """
    tls = tls_settings(settings) or client_tls(settings)
    transport = SoapTransport(client_context(tls) if tls else None, connections=settings.server.threads)
    return RegistryClient(transport, required(settings.registry.url, "[registry] url"))


def repository_with(settings: Settings, documents_registry: DocumentRegistry) -> Repository:
    """The Document Repository, registering with the given registry."""
    unique_id = required(settings.repository.unique_id, "[repository] unique_id")
    return Repository(engine(settings, Actor.REPOSITORY), store(settings), documents_registry, unique_id)


def actors(settings: Settings, choice: Choice) -> dict[Actor, DocumentRegistry | DocumentRepository]:
    """The actors that a server serves.

    Raises:
        ConfigurationError: a setting is missing or cannot be used.
    """
    if choice is Choice.REGISTRY:
        return {Actor.REGISTRY: local_registry(settings)}
    if choice is Choice.REPOSITORY:
        return {Actor.REPOSITORY: repository_with(settings, remote_registry(settings))}
    documents_registry = local_registry(settings)
    return {Actor.REGISTRY: documents_registry, Actor.REPOSITORY: repository_with(settings, documents_registry)}


def application(settings: Settings, choice: Choice) -> SoapApplication:
    """The actors behind HTTP."""
    server = settings.server
    proxy = None
    if server.trusted_proxies or server.proxy_certificates:
        addresses = tuple(map(str, server.trusted_proxies))
        proxy = TrustedProxy(server.certificate_header, addresses, frozenset(server.proxy_certificates))
    return SoapApplication(
        actors(settings, choice),
        ServerSettings(
            limits=Limits(message=server.max_body),
            require_certificate=settings.tls is not None or proxy is not None,
            proxy=proxy,
        ),
        sheet=connection_sheet(settings, choice),
        ready=partial(_obstacles, settings, choice),
    )


def connection_sheet(settings: Settings, choice: Choice) -> ConnectionSheet:
    """What an integrator needs to know."""
    tls = settings.tls
    authorities = domain(settings).assigning_authorities if Actor.REGISTRY in choice.actors else ()
    has_repository = Actor.REPOSITORY in choice.actors
    return ConnectionSheet(
        endpoints=endpoints(settings, choice),
        version=release(),
        repository_unique_id=settings.repository.unique_id if has_repository else None,
        home_community_id=settings.affinity.home_community_id,
        patient_authorities=tuple(f"&{oid}&ISO" for oid in sorted(authorities)),
        certificates={
            "server certificate": certificate_report(tls.certificate),
            "certificate authority": certificate_report(tls.ca),
        }
        if tls
        else {},
        limits={
            "size of a message": f"{settings.server.max_body.human_readable()}",
            "results of a query (LeafClass)": str(settings.registry.max_results),
            "results of a query (ObjectRef)": str(settings.registry.max_refs),
        },
    )


def release() -> str:
    """The version of this program; empty when it is not installed."""
    try:
        return version("open-xds")
    except PackageNotFoundError:
        return ""


def _obstacles(settings: Settings, choice: Choice) -> tuple[str, ...]:
    """What keeps the actors from serving, in words a peer may read."""
    return tuple(
        f"the database of the {actor} cannot be used" for actor in choice.actors if not answers(engine(settings, actor))
    )
