"""A development certificate authority: keys, certificates and key stores for ITI-19 (ITI TF-2 3.19; RFC 5280).

For trying the system out and for its tests. A hospital brings the certificates of its own authority.

RSA 2048 is the default although a P-256 signature costs a fifth of the time (0.04 against 0.2 ms): the four
TLS 1.2 suites that IHE names are `*_RSA_*`, which need an RSA certificate, and every tool of a Connectathon
reads one. Kept-alive connections and session resumption make the difference small.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=730)  # "recommended life <= 2 years" (ITI TF-2 3.19)
CRL_LIFE = timedelta(days=30)
CLOCK_SKEW = timedelta(minutes=5)  # a peer whose clock is a little late must not find the certificate not yet valid
STORE_PASSWORD = "changeit"  # noqa: S105 - Java's own default; the files are for development only

AUTHORITY_NAME = "XDS development CA"
ORGANIZATION = "XDS development"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?![\d.]+\Z)(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_FILE_STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class KeyType(StrEnum):
    """Kind of key: RSA 2048, or EC on curve P-256."""

    RSA = "rsa"
    EC = "ec"


class Usage(StrEnum):
    """What a leaf certificate may prove (RFC 5280 4.2.1.12): who listens, who calls, or both."""

    SERVER = "server"
    CLIENT = "client"
    BOTH = "both"


_KEY_USAGE_BITS = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
_PURPOSES = {
    Usage.SERVER: [ExtendedKeyUsageOID.SERVER_AUTH],
    Usage.CLIENT: [ExtendedKeyUsageOID.CLIENT_AUTH],
    Usage.BOTH: [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
}


def generate_key(key_type: KeyType = KeyType.RSA) -> PrivateKey:
    """Make a private key."""
    if key_type is KeyType.EC:
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class Issued:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True)
class Authority(Issued):
    """A certificate authority without intermediates."""

    @classmethod
    def create(cls, name: str = AUTHORITY_NAME, *, key_type: KeyType = KeyType.RSA) -> Authority:
        """Make a new authority, valid for ten years.

        Args:
            name: common name, 1 to 64 characters.
            key_type: its own key, and the default for the certificates it issues.
        """
        key, start = generate_key(key_type), _now() - CLOCK_SKEW
        builder = _builder(_name(name), _name(name), key, start, start + AUTHORITY_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """Read `ca.pem` and `ca.key`.

        Raises:
            OSError: one of them cannot be read.
            ValueError: one of them is not PEM, or they do not belong together.
        """
        certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        key = load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
        if not isinstance(key, PrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError(f"{directory / 'ca.key'} is not the key of {directory / 'ca.pem'}")
        return cls(certificate, key)

    def issue(
        self,
        common_name: str,
        *,
        san: Sequence[str] = (),
        usage: Usage = Usage.BOTH,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        key: PrivateKey | None = None,
    ) -> Issued:
        """Issue a leaf certificate.

        Args:
            common_name: subject's CN, 1 to 64 characters.
            san: DNS names and IP addresses for subjectAltName; repetitions are dropped.
            usage: extended key usage.
            not_before: start of validity, with zone; five minutes ago if None.
            not_after: end of validity, with zone; two years after the start, or the authority's own end, if None.
            key: the subject's key; a new one of the authority's kind if None.

        Raises:
            ValueError: a name is malformed, or the validity is empty, longer than two years or outlives the authority.
        """
        key = key or generate_key(KeyType.EC if isinstance(self.key, ec.EllipticCurvePrivateKey) else KeyType.RSA)
        start, end = self._validity(not_before, not_after)
        builder = _builder(_name(common_name), self.certificate.subject, key, start, end)
        builder = _leaf_extensions(builder, key, usage, san)
        builder = builder.add_extension(self._authority_key_id(), critical=False)
        return Issued(builder.sign(self.key, hashes.SHA256()), key)

    def crl(self, revoked: Iterable[x509.Certificate], *, next_update: datetime | None = None) -> bytes:
        """Sign the complete list of revoked certificates (RFC 5280 5), as PEM.

        Args:
            revoked: every certificate that is revoked, not only the new ones.
            next_update: end of the list's validity, with zone; in thirty days if None. After it,
                peers refuse every certificate of the authority.
        """
        now = _now()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now - CLOCK_SKEW).next_update(next_update or now + CRL_LIFE)
        builder = builder.add_extension(self._authority_key_id(), critical=False)
        builder = builder.add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        for certificate in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def trust_store(self) -> bytes:
        """The authority as PKCS#12 in which Java sees a trustedCertEntry (password `changeit`)."""
        entry = pkcs12.PKCS12Certificate(self.certificate, b"xds-ca")
        return pkcs12.serialize_java_truststore([entry], BestAvailableEncryption(STORE_PASSWORD.encode()))

    def key_store(self, issued: Issued, alias: str) -> bytes:
        """A certificate, its key and the authority as PKCS#12 (password `changeit`).

        The encryption (PBES2, AES-256, HMAC-SHA-256) is what Java writes since 16, and reads since 8u301 and 11.0.12.
        """
        encryption = BestAvailableEncryption(STORE_PASSWORD.encode())
        return pkcs12.serialize_key_and_certificates(
            alias.encode(), issued.key, issued.certificate, [self.certificate], encryption
        )

    def _validity(self, not_before: datetime | None, not_after: datetime | None) -> tuple[datetime, datetime]:
        """Complete and check a leaf's validity."""
        limit = self.certificate.not_valid_after_utc
        start = not_before or _now() - CLOCK_SKEW
        end = not_after or min(start + LEAF_LIFE, limit)
        if not timedelta(0) < end - start <= LEAF_LIFE or end > limit:
            raise ValueError(
                f"validity from {start:%Y-%m-%d} to {end:%Y-%m-%d}: expected 1 to {LEAF_LIFE.days} days (ITI TF-2"
                f" 3.19), and to end no later than the authority's certificate ({limit:%Y-%m-%d})"
            )
        return start, end

    def _authority_key_id(self) -> x509.AuthorityKeyIdentifier:
        subject_key_id = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key_id)


def write_development_pki(directory: Path, hosts: Sequence[str], *, key_type: KeyType = KeyType.RSA) -> None:
    """Write a new authority with one server and one client certificate.

    Files: `ca.pem`, `server.pem`, `client.pem`, `ca.p12` for all; `ca.key`, `server.key`, `client.key`, `client.p12`
    for the owner alone. The server's certificate names localhost, 127.0.0.1, ::1 and the hosts, and is a client's
    too: a repository calls the registry with it.

    Args:
        directory: made if absent.
        hosts: further DNS names and IP addresses of the server.
        key_type: of all keys.

    Raises:
        FileExistsError: one of the files exists; nothing is written.
        ValueError: a host is neither a DNS name nor an IP address; nothing is written.
    """
    write_new(directory, _pki_files(Authority.create(key_type=key_type), hosts))


def issue_client(directory: Path, name: str) -> list[Path]:
    """Issue one more client certificate from the authority in a directory.

    Args:
        directory: holds `ca.pem` and `ca.key`; `NAME.pem`, `NAME.key` and `NAME.p12` are added.
        name: common name and file name: letters, digits, `.`, `_`, `-`.

    Returns:
        The files written.

    Raises:
        FileExistsError: one of the files exists; nothing is written.
        OSError: the authority's files cannot be read.
        ValueError: the name or the authority's files are malformed.
    """
    if not _FILE_STEM.fullmatch(name):
        raise ValueError(f"client name {name!r}: expected 1 to 64 letters, digits, dots, hyphens or underscores")
    authority = Authority.load(directory)
    return write_new(directory, _client_files(authority, name))


def write_test_material(directory: Path, hosts: Sequence[str] = (), *, key_type: KeyType = KeyType.RSA) -> list[Path]:
    """Write a development PKI and one leaf certificate for each reason to accept or refuse a peer.

    Beside the files of `write_development_pki`: `ca.crl`, the revocation list; `foreign-ca.pem`, another authority of
    the same name; and `KIND.pem` with `KIND.key` for good, expired, future (not yet valid), foreign, revoked and
    selfsigned. These six are for clients and for servers on localhost, and share one key to be made quickly.

    Returns:
        The files written.

    Raises:
        FileExistsError: one of the files exists; nothing is written.
        ValueError: a host is neither a DNS name nor an IP address; nothing is written.
    """
    authority, foreign = Authority.create(key_type=key_type), Authority.create(key_type=key_type)
    leaves = _test_leaves(authority, foreign, generate_key(key_type))
    files = _pki_files(authority, hosts)
    files["ca.crl"] = _File(authority.crl([leaves["revoked"].certificate]))
    files["foreign-ca.pem"] = _File(foreign.certificate_pem)
    for kind, leaf in leaves.items():
        files |= _pem_files(kind, leaf)
    return write_new(directory, files)


class _File(NamedTuple):
    """Content of a file to be written, and whether it holds a private key."""

    content: bytes
    secret: bool = False


def write_new(directory: Path, files: Mapping[str, _File]) -> list[Path]:
    """Write files that must not exist yet, all or none.

    Secret ones are created with mode 0600, so that at no moment another user can read them; the rest with 0644
    (less the umask).

    Args:
        directory: made if absent.
        files: file name -> what it holds.

    Returns:
        The files written.

    Raises:
        FileExistsError: one of them exists.
    """
    for path in map(directory.joinpath, files):
        if path.exists() or path.is_symlink():
            raise FileExistsError(f"{path} exists already; keys and certificates are never overwritten")
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for name, file in files.items():
            descriptor = os.open(
                directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if file.secret else 0o644
            )
            written.append(directory / name)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(file.content)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written


def _pki_files(authority: Authority, hosts: Sequence[str]) -> dict[str, _File]:
    """The files of `write_development_pki`."""
    server = authority.issue("XDS server", san=[*LOCAL_HOSTS, *hosts])
    files = _pem_files("ca", authority) | _pem_files("server", server) | _client_files(authority, "client")
    files["ca.p12"] = _File(authority.trust_store())
    return files


def _client_files(authority: Authority, name: str) -> dict[str, _File]:
    """Issue a client certificate: the files of `issue_client`."""
    issued = authority.issue(name, usage=Usage.CLIENT)
    return _pem_files(name, issued) | {f"{name}.p12": _File(authority.key_store(issued, name), secret=True)}


def _pem_files(name: str, issued: Issued) -> dict[str, _File]:
    return {f"{name}.pem": _File(issued.certificate_pem), f"{name}.key": _File(issued.key_pem, secret=True)}


def _test_leaves(authority: Authority, foreign: Authority, key: PrivateKey) -> dict[str, Issued]:
    """One leaf for each kind of `write_test_material`."""
    now, day = _now(), timedelta(days=1)
    past: _Validity = {"not_before": now - 30 * day, "not_after": now - day}
    future: _Validity = {"not_before": now + 30 * day, "not_after": now + 60 * day}
    return {
        "good": authority.issue("good", san=LOCAL_HOSTS, key=key),
        "expired": authority.issue("expired", san=LOCAL_HOSTS, key=key, **past),
        "future": authority.issue("future", san=LOCAL_HOSTS, key=key, **future),
        "foreign": foreign.issue("foreign", san=LOCAL_HOSTS, key=key),
        "revoked": authority.issue("revoked", san=LOCAL_HOSTS, key=key),
        "selfsigned": _self_signed("selfsigned", key),
    }


class _Validity(TypedDict):
    not_before: datetime
    not_after: datetime


def _self_signed(common_name: str, key: PrivateKey) -> Issued:
    """Make a leaf certificate that no authority vouches for."""
    name, start = _name(common_name), _now() - CLOCK_SKEW
    builder = _builder(name, name, key, start, start + LEAF_LIFE)
    builder = _leaf_extensions(builder, key, Usage.BOTH, LOCAL_HOSTS)
    return Issued(builder.sign(key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    """What every certificate has: names, a random serial number, validity, key and its identifier (RFC 5280 4.1)."""
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _leaf_extensions(
    builder: x509.CertificateBuilder, key: PrivateKey, usage: Usage, san: Sequence[str]
) -> x509.CertificateBuilder:
    """Say that it is no authority, what its key is for and whose it is (RFC 5280 4.2.1)."""
    bits = ["digital_signature", "key_encipherment"] if isinstance(key, rsa.RSAPrivateKey) else ["digital_signature"]
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(*bits), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(_PURPOSES[usage]), critical=False)
    if not san:
        return builder
    names = x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys(san)])
    return builder.add_extension(names, critical=False)


def _key_usage(*bits: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{bit: bit in bits for bit in _KEY_USAGE_BITS})


def _name(common_name: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION)
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    """Turn a host into an iPAddress or dNSName (RFC 5280 4.2.1.6; 7.2 for letters other than ASCII)."""
    with suppress(ValueError):
        return x509.IPAddress(ip_address(host))
    with suppress(UnicodeError):
        ascii_name = host.encode("idna").decode()
        if _HOST.fullmatch(ascii_name):
            return x509.DNSName(ascii_name)
    raise ValueError(f"host {host!r}: expected a DNS name such as xds.example.org, or an IP address, without port")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
