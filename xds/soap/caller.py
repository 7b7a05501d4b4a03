"""Who sent a request: the certificate of the TLS peer, or the one a trusted proxy passes on (ITI-19; RFC 9440).

A header is believed only from a peer that is configured as the TLS-terminating proxy. From anyone else it is refused,
not passed over: it is an attempt to be somebody else, or a proxy that was forgotten in the settings and whose callers
would all be taken for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from xds.errors import SoapFault
from xds.messages import Caller
from xds.security.tls import PeerCertificate

log = logging.getLogger(__name__)

_FORBIDDEN = 403
UNIX_SOCKET = "unix"
"""Among a proxy's addresses: whoever connects through a local socket."""


@dataclass(frozen=True)
class TrustedProxy:
    """A proxy that terminates TLS for this server and passes the client's certificate in a header.

    Attributes:
        header: name of the header, such as `X-Client-Cert`; forms as in `PeerCertificate.from_header`. The proxy must
            set it or remove it on every request.
        addresses: where the proxy connects from: addresses, networks (`10.0.0.0/28`) or `unix`. Empty: any, if there
            are fingerprints.
        fingerprints: SHA-256 of the proxy's own certificate in hex, if it speaks TLS to this server. Empty: not asked
            for.
    """

    header: str
    addresses: tuple[str, ...] = ()
    fingerprints: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a proxy that would be anybody."""
        if not self.addresses and not self.fingerprints:
            raise ValueError("a trusted proxy needs addresses or fingerprints by which it is known")
        _ = self._networks

    @cached_property
    def key(self) -> str:
        """The header's name in a WSGI environ."""
        return "HTTP_" + self.header.upper().replace("-", "_")

    @cached_property
    def _networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(value) for value in self.addresses if value != UNIX_SOCKET)

    @cached_property
    def _fingerprints(self) -> frozenset[str]:
        return frozenset(value.replace(":", "").lower() for value in self.fingerprints)

    def is_peer(self, address: str, certificate: PeerCertificate | None) -> bool:
        """Whether the immediate peer is this proxy; what is configured of address and certificate must both agree."""
        if self.addresses and not self._has_address(address):
            return False
        return not self.fingerprints or (certificate is not None and certificate.fingerprint in self._fingerprints)

    def _has_address(self, address: str) -> bool:
        if not address:
            return UNIX_SOCKET in self.addresses
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)  # a dual-stack socket shows ::ffff:10.0.0.1
        return any((mapped or found) in network for network in self._networks)


def identify(
    environ: Mapping[str, Any], message_id: str, proxy: TrustedProxy | None, *, require_certificate: bool
) -> Caller:
    """Say who sent a request.

    Args:
        environ: of WSGI; `gunicorn.socket` is the connection.
        message_id: for `Caller.message_id`.
        proxy: the TLS-terminating proxy, if there is one.
        require_certificate: refuse who has shown none.

    Raises:
        SoapFault: Sender with HTTP 403: no certificate, an unreadable one, or a header from someone who may not set it.
    """
    address = environ.get("REMOTE_ADDR") or ""
    certificate = _own(environ)
    if proxy is not None:
        passed_on = environ.get(proxy.key)
        if proxy.is_peer(address, certificate):
            certificate = _passed_on(passed_on, proxy)
        elif passed_on is not None:
            log.warning("header %s from %s, which is not the trusted proxy", proxy.header, address or "a local socket")
            raise _refused(f"the header {proxy.header} is accepted from the trusted proxy only")
    if certificate is None:
        if require_certificate:
            raise _refused("no client certificate was shown")
        return Caller("anonymous", "", address, message_id)
    return Caller(certificate.subject, certificate.fingerprint, address, message_id)


def _own(environ: Mapping[str, Any]) -> PeerCertificate | None:
    get = getattr(environ.get("gunicorn.socket"), "getpeercert", None)
    try:
        der = get(binary_form=True) if get else None
    except ValueError as error:  # OpenSSL's state after an error that ended the connection
        raise _refused("the connection broke off") from error
    return PeerCertificate.from_der(der) if der else None


def _passed_on(value: str | None, proxy: TrustedProxy) -> PeerCertificate | None:
    if not value or not value.strip():
        return None
    try:
        return PeerCertificate.from_header(value.strip())
    except ValueError as error:
        log.warning("header %s: %s", proxy.header, error)
        raise _refused(f"the header {proxy.header} does not hold a certificate") from error


def _refused(reason: str) -> SoapFault:
    return SoapFault("Sender", reason, status=_FORBIDDEN)
