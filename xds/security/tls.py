"""Authenticate Node: TLS contexts and the peer's identity (ITI-19, ITI TF-2 3.19; BCP 195).

Both ends show a certificate. TLS 1.2 is the floor ("STX: TLS 1.2 Floor using BCP195"). Both trust models of the
transaction work through one file: the certificates in it are trusted authorities, or, where one is no authority,
the peers themselves. The operating system's own list of authorities is never used.

A context is costly to make and holds the keys of session tickets: make it once, before workers are forked, and
share it; a peer then resumes its session with any worker. A resumed session is not verified again for up to two
hours, so after a change of the revocation list make a new context, which ends every old session.
"""

from __future__ import annotations

import binascii
import os
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

CIPHERS = (
    "ECDHE-RSA-AES128-GCM-SHA256",  # the four of ITI TF-2 3.19; those with elliptic curves first, they cost less
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",  # for EC certificates (RFC 9325 4.2)
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "@SECLEVEL=2",  # no RSA or DH below 2048 bits, no SHA-1 signature (RFC 9325 4.5)
)
MINIMUM_RSA_BITS = 2048
FFDHE2048 = b"""\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""  # RFC 7919 appendix A.1

_DER_SEQUENCE = b"\x30"
_PEM_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_CRL_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
_MAXIMUM_HEADER = 16_384
_RFC9440 = re.compile(r":([A-Za-z0-9+/=]+):")
_PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*", re.ASCII)
_NAME_KINDS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "DNS",
    x509.IPAddress: "IP",
    x509.UniformResourceIdentifier: "URI",
    x509.RFC822Name: "email",
    x509.DirectoryName: "DirName",
    x509.RegisteredID: "RID",
}


class TLSConfigurationError(Exception):
    """A certificate, key or list cannot be used; the text names the file, what is wrong and what is expected."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


@dataclass(frozen=True)
class TLSSettings:
    """The files of one node.

    Attributes:
        certificate: PEM; the node's certificate first, then the intermediate ones, if any.
        key: PEM, without password; the key of the first certificate.
        ca: PEM or DER; every certificate in it is trusted, as an authority or as that very peer.
        crl: PEM; a revocation list of every authority that issues to peers. None: revocation is not checked.
    """

    certificate: Path
    key: Path
    ca: Path
    crl: Path | None = None


def server_context(settings: TLSSettings) -> ssl.SSLContext:
    """Make the context of a listening node: no connection without a trusted client certificate.

    Raises:
        TLSConfigurationError: a file cannot be used.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, settings)
    context.verify_mode = ssl.CERT_REQUIRED
    _load_dh_parameters(context)
    return context


def client_context(settings: TLSSettings, *, check_hostname: bool = True) -> ssl.SSLContext:
    """Make the context of a calling node.

    Args:
        settings: its files.
        check_hostname: the server's subjectAltName must name the host called (option "FQDN Validation of Server
            Certificate"). Without it any trusted server will do, which is all the base profile asks.

    Raises:
        TLSConfigurationError: a file cannot be used.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, settings)
    context.check_hostname = check_hostname
    return context


def _context(protocol: int, settings: TLSSettings) -> ssl.SSLContext:
    """What both ends have in common."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(CIPHERS))
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # whatever stands in the file is trusted for itself: a peer's own certificate, or an intermediate authority
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _load_identity(context, settings)
    context.load_verify_locations(cadata=_trusted(settings.ca))
    if settings.crl:
        _load_crl(context, settings.crl)
    return context


def _load_identity(context: ssl.SSLContext, settings: TLSSettings) -> None:
    """Check the node's certificate and key, so that a mistake is told in words, and load them."""
    certificate = _certificates(settings.certificate)[0]
    key = _private_key(settings.key)
    if key.public_key() != certificate.public_key():
        raise TLSConfigurationError(
            settings.key, f"this is not the key of the (first) certificate in {settings.certificate}; expected its key"
        )
    _check_usable(settings.certificate, certificate)
    try:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
    except (OSError, ValueError) as error:
        raise TLSConfigurationError(
            settings.certificate, f"OpenSSL refuses this certificate or its key: {error}"
        ) from None


def _no_password() -> bytes:
    """Stand where OpenSSL would otherwise ask on the terminal."""
    raise ValueError("the key is protected by a password")


def _check_usable(path: Path, certificate: x509.Certificate) -> None:
    """The node's own certificate must be valid today and strong enough."""
    now = datetime.now(UTC)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise TLSConfigurationError(
            path, f"the certificate expired on {end:%Y-%m-%d}; expected one that is valid today"
        )
    if now < start:
        raise TLSConfigurationError(
            path, f"the certificate is valid only from {start:%Y-%m-%d %H:%M} UTC; wait, or set this machine's clock"
        )
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MINIMUM_RSA_BITS:
        raise TLSConfigurationError(path, f"the RSA key has {key.key_size} bits; expected at least {MINIMUM_RSA_BITS}")


def _trusted(path: Path) -> bytes:
    """The trusted certificates, DER one after the other; at least one of them must be valid today."""
    certificates = _certificates(path, der=True)
    end = max(certificate.not_valid_after_utc for certificate in certificates)
    if end < datetime.now(UTC):
        raise TLSConfigurationError(path, f"every certificate in it has expired, the last on {end:%Y-%m-%d}")
    return b"".join(certificate.public_bytes(Encoding.DER) for certificate in certificates)


def _load_crl(context: ssl.SSLContext, path: Path) -> None:
    """Refuse revoked peers from now on, and peers whose authority has no list in the file."""
    data, expected = _read(path), "revocation lists in PEM form (-----BEGIN X509 CRL-----)"
    if set(_PEM_LABEL.findall(data)) != {b"X509 CRL"}:  # a certificate among them would become trusted
        raise TLSConfigurationError(path, f"{_found(data)}; expected only {expected}")
    try:
        for block in _CRL_BLOCK.findall(data):
            _check_current(path, x509.load_pem_x509_crl(block))
        context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:
        raise TLSConfigurationError(path, f"a damaged revocation list ({error}); expected {expected}") from None
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _check_current(path: Path, crl: x509.CertificateRevocationList) -> None:
    end = crl.next_update_utc
    if end and end < datetime.now(UTC):
        issuer = crl.issuer.rfc4514_string()
        raise TLSConfigurationError(
            path,
            f"the revocation list of {issuer} ended on {end:%Y-%m-%d}; expected its current one, or no peer gets in",
        )


def _load_dh_parameters(context: ssl.SSLContext) -> None:
    """Make the DHE suites available; OpenSSL reads the parameters from a file only, and a pipe needs no disk."""
    reader, writer = os.pipe()
    try:
        os.write(writer, FFDHE2048)
        os.close(writer)
        context.load_dh_params(str(Path("/dev/fd", str(reader))))
    finally:
        os.close(reader)


def _certificates(path: Path, *, der: bool = False) -> list[x509.Certificate]:
    """Read the certificates of a file, at least one.

    Args:
        path: PEM file.
        der: accept a DER file too.
    """
    data = _read(path)
    try:
        if der and data[:1] == _DER_SEQUENCE:
            return [x509.load_der_x509_certificate(data)]
        return x509.load_pem_x509_certificates(data)
    except (ValueError, x509.InvalidVersion):
        expected = "a certificate in PEM form (-----BEGIN CERTIFICATE-----)"
        raise TLSConfigurationError(path, f"{_found(data)}; expected {expected}") from None


def _private_key(path: Path) -> PrivateKeyTypes:
    """Read a private key."""
    data, expected = _read(path), "a private key in PEM form without password (-----BEGIN PRIVATE KEY-----)"
    try:
        return load_pem_private_key(data, password=None)
    except TypeError:
        raise TLSConfigurationError(path, f"the key is protected by a password; expected {expected}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise TLSConfigurationError(path, f"{_found(data)}; expected {expected}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise TLSConfigurationError(path, "the file does not exist") from None
    except IsADirectoryError:
        raise TLSConfigurationError(path, "this is a directory; expected a file") from None
    except PermissionError:
        raise TLSConfigurationError(path, "the user who runs this program may not read the file") from None
    except OSError as error:
        raise TLSConfigurationError(path, f"the file cannot be read: {error.strerror}") from None


def _found(data: bytes) -> str:
    """Say what a file holds that was expected to hold something else."""
    if not data.strip():
        return "the file is empty"
    labels = sorted({label.decode() for label in _PEM_LABEL.findall(data)})
    if labels:
        return f"the file holds {' and '.join(labels)}, unsuited or damaged"
    return "the file is binary (DER or PKCS#12?)" if data[:1] == _DER_SEQUENCE else "the file holds no PEM block"


@dataclass(frozen=True)
class PeerCertificate:
    """Who is at the other end.

    Attributes:
        subject: RFC 4514, such as `CN=clinic,O=Example`.
        issuer: the same.
        serial: hexadecimal, lower-case, without leading zeros.
        fingerprint: SHA-256 of the certificate, 64 lower-case hexadecimal digits.
        not_after: end of validity, UTC.
        san: subjectAltName, each with its kind: `DNS:xds.example.org`, `IP:10.0.0.1`, `URI:...`, `email:...`.
    """

    subject: str
    issuer: str
    serial: str
    fingerprint: str
    not_after: datetime
    san: tuple[str, ...]

    @staticmethod
    def from_der(der: bytes) -> PeerCertificate:
        """Read what `SSLSocket.getpeercert(binary_form=True)` gives; remembered by content, for every request asks.

        Raises:
            ValueError: this is no X.509 certificate.
        """
        return _peer(der)

    @staticmethod
    def from_header(value: str) -> PeerCertificate:
        """Read the header in which a TLS-terminating proxy passes the certificate; only a trusted one may be believed.

        Args:
            value: RFC 9440 `Client-Cert` (`:base64:`), URL-encoded PEM (nginx `$ssl_client_escaped_cert`), or PEM with
                spaces or tabs for its line ends (Apache `SSL_CLIENT_CERT`, nginx `$ssl_client_cert`).

        Raises:
            ValueError: none of these, not exactly one certificate, or longer than 16 KiB.
        """
        return _peer(_header_der(value))


@lru_cache(maxsize=1024)
def _peer(der: bytes) -> PeerCertificate:
    try:
        return _describe(x509.load_der_x509_certificate(der))
    except (ValueError, x509.InvalidVersion) as error:
        raise ValueError(f"not an X.509 certificate: {error}") from None


def _describe(certificate: x509.Certificate) -> PeerCertificate:
    return PeerCertificate(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificate.fingerprint(SHA256()).hex(),
        not_after=certificate.not_valid_after_utc,
        san=_alternative_names(certificate),
    )


def _alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The subjectAltName; empty if unreadable too: no peer is refused for its extensions (ITI TF-2 3.19)."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ()
    return tuple(f"{_NAME_KINDS.get(type(name), 'other')}:{_name_text(name)}" for name in extension.value)


def _name_text(name: x509.GeneralName) -> str:
    if isinstance(name, x509.OtherName):
        return name.type_id.dotted_string
    if isinstance(name.value, x509.Name):
        return name.value.rfc4514_string()
    return name.value.dotted_string if isinstance(name.value, x509.ObjectIdentifier) else str(name.value)


@lru_cache(maxsize=256)
def _header_der(value: str) -> bytes:
    """Find the DER certificate in a proxy's header."""
    if len(value) > _MAXIMUM_HEADER:
        raise ValueError(f"client certificate header of {len(value)} characters; expected at most {_MAXIMUM_HEADER}")
    match = _RFC9440.fullmatch(value) or _PEM_CERTIFICATE.fullmatch(unquote(value) if "%" in value else value)
    if not match:
        raise ValueError("client certificate header: expected :base64: (RFC 9440), PEM or URL-encoded PEM of one")
    try:
        return binascii.a2b_base64("".join(match[1].split()), strict_mode=True)
    except binascii.Error as error:
        raise ValueError(f"client certificate header: {error}") from None


@dataclass(frozen=True)
class CertificateReport:
    """What an operator wants to know of a certificate file.

    Attributes:
        path: the file.
        subject: RFC 4514.
        issuer: RFC 4514.
        not_after: end of validity, UTC.
        days_left: whole days until then; negative once it has expired.
        fingerprint: SHA-256 as openssl and keytool print it, `AB:CD:...`.
        san: as in `PeerCertificate`.
    """

    path: Path
    subject: str
    issuer: str
    not_after: datetime
    days_left: int
    fingerprint: str
    san: tuple[str, ...]


def certificate_report(path: Path, *, now: datetime | None = None) -> CertificateReport:
    """Describe the first certificate of a PEM or DER file, valid or not.

    Args:
        path: the file.
        now: reference for `days_left`, with zone; the present if None.

    Raises:
        TLSConfigurationError: the file cannot be read or holds no certificate.
    """
    seen = _describe(_certificates(path, der=True)[0])
    days_left = (seen.not_after - (now or datetime.now(UTC))).days
    fingerprint = bytes.fromhex(seen.fingerprint).hex(":").upper()
    return CertificateReport(path, seen.subject, seen.issuer, seen.not_after, days_left, fingerprint, seen.san)
