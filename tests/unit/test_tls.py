import base64
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID, ObjectIdentifier

from xds.security import pki, tls
from xds.security.tls import PeerCertificate, TLSConfigurationError, TLSSettings, certificate_report

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def pki_dir(tmp_path_factory):
    """RSA keys, because the suites of ITI TF-2 3.19 need them."""
    directory = tmp_path_factory.mktemp("tls")
    pki.write_test_material(directory)
    return directory


@pytest.fixture
def node(pki_dir):
    return lambda name: TLSSettings(pki_dir / f"{name}.pem", pki_dir / f"{name}.key", pki_dir / "ca.pem")


@pytest.fixture
def server(node, pki_dir):
    return tls.server_context(replace(node("server"), crl=pki_dir / "ca.crl"))


@pytest.fixture
def client(node):
    return tls.client_context(node("client"))


@dataclass
class Talk:
    """One exchange as each side saw it."""

    client_error: Exception | None = None
    server_error: Exception | None = None
    answer: bytes = b""
    peer: bytes | None = None
    version: str | None = None
    cipher: str | None = None
    alpn: str | None = None
    session: ssl.SSLSession | None = None
    resumed: bool = False


def talk(server, client, *, host="localhost", session=None):
    """Connect over loopback, send a byte and read one: TLS 1.3 tells of a refusal at the first read only."""
    seen = Talk()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, server, seen))
        thread.start()
        try:
            with socket.create_connection(listener.getsockname(), timeout=10) as plain:
                _call(plain, client, host, session, seen)
        except OSError as error:
            seen.client_error = error
        thread.join(10)
    return seen


def _serve(listener, context, seen):
    plain, _ = listener.accept()
    plain.settimeout(10)
    with plain.dup() as held:  # keeps the connection open after a refusal: a reset could overtake the alert
        try:
            with context.wrap_socket(plain, server_side=True) as secure:
                seen.peer = secure.getpeercert(binary_form=True)
                secure.sendall(secure.recv(1))
        except OSError as error:
            seen.server_error = error
        held.settimeout(10)
        with suppress(OSError):
            while held.recv(4096):
                pass


def _call(plain, context, host, session, seen):
    with context.wrap_socket(plain, server_hostname=host, session=session) as secure:
        secure.sendall(b"x")
        seen.answer = secure.recv(1)
        if not seen.answer:
            raise ConnectionError("closed without an answer")
        seen.version, seen.cipher, seen.alpn = secure.version(), secure.cipher()[0], secure.selected_alpn_protocol()
        seen.session, seen.resumed = secure.session, secure.session_reused


def stranger(pki_dir, name=None):
    """A client that shows any certificate, or none, and believes the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki_dir / "ca.pem")
    if name:
        context.load_cert_chain(pki_dir / f"{name}.pem", pki_dir / f"{name}.key")
    return context


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@VERSIONS
def test_trusted_peers_talk(server, client, pki_dir, version):
    """ITI TF-2 3.19: both ends authenticate."""
    client.maximum_version = client.minimum_version = version
    seen = talk(server, client)
    assert (seen.client_error, seen.server_error, seen.answer) == (None, None, b"x")
    assert seen.version == version.name.replace("_", ".")
    assert seen.alpn == "http/1.1"
    assert PeerCertificate.from_der(seen.peer).subject == "CN=client,O=XDS development"


REFUSALS = {  # certificate shown: the alert the client gets, what the server says
    None: ("certificate required|handshake failure", "peer did not return a certificate"),
    "expired": ("expired", "certificate has expired"),
    "future": ("bad certificate", "not yet valid"),
    "foreign": ("unknown ca", "unable to get local issuer|signature failure"),
    "revoked": ("revoked", "revoked"),
    "selfsigned": ("unknown ca", "self-signed"),
}


@VERSIONS
@pytest.mark.parametrize("name", REFUSALS)
def test_client_is_refused(server, pki_dir, version, name):
    """ITI TF-2 3.19: no connection; the client learns it by the alert, in TLS 1.3 at its first read."""
    alert, reason = REFUSALS[name]
    context = stranger(pki_dir, name)
    context.maximum_version = version
    seen = talk(server, context)
    assert seen.answer == b""
    with pytest.raises(ssl.SSLError, match=reason):
        raise seen.server_error
    with pytest.raises(ssl.SSLError, match=alert):
        raise seen.client_error


def test_revoked_client_is_accepted_without_a_list(node, pki_dir):
    assert talk(tls.server_context(node("server")), stranger(pki_dir, "revoked")).answer == b"x"


@pytest.mark.parametrize("name", ["expired", "future", "foreign", "selfsigned"])
def test_server_is_refused(client, pki_dir, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki_dir / f"{name}.pem", pki_dir / f"{name}.key")
    seen = talk(context, client)
    assert isinstance(seen.client_error, ssl.SSLCertVerificationError)
    assert seen.peer is None


def test_client_refuses_a_revoked_server(node, pki_dir):
    client = tls.client_context(replace(node("client"), crl=pki_dir / "ca.crl"))
    seen = talk(tls.server_context(node("revoked")), client)
    assert isinstance(seen.client_error, ssl.SSLCertVerificationError)


def test_client_certificate_does_not_serve(node, client):
    """RFC 5280 4.2.1.12: clientAuth alone."""
    assert isinstance(talk(tls.server_context(node("client")), client).client_error, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_certificate_names_the_host(server, client, host):
    assert talk(server, client, host=host).answer == b"x"


def test_other_host_is_refused_unless_names_are_not_checked(server, client, node):
    """ITI TF-2 3.19, option FQDN Validation of Server Certificate."""
    assert isinstance(talk(server, client, host="other.example").client_error, ssl.SSLCertVerificationError)
    lax = tls.client_context(node("client"), check_hostname=False)
    assert lax.verify_mode is ssl.CERT_REQUIRED
    assert talk(server, lax, host="other.example").answer == b"x"


def test_peer_itself_can_be_trusted(server, node, pki_dir, tmp_path):
    """ITI TF-2 3.19, trust model (b): direct comparison with a list of peers; and DER files."""
    listed = tmp_path / "peers.pem"
    listed.write_bytes((pki_dir / "foreign.pem").read_bytes() + (pki_dir / "selfsigned.pem").read_bytes())
    context = tls.server_context(replace(node("server"), ca=listed))
    assert talk(context, stranger(pki_dir, "foreign")).answer == b"x"
    assert talk(context, stranger(pki_dir, "selfsigned")).answer == b"x"
    assert talk(context, stranger(pki_dir, "client")).answer == b""
    der = tmp_path / "ca.der"
    der.write_bytes(x509.load_pem_x509_certificate((pki_dir / "ca.pem").read_bytes()).public_bytes(Encoding.DER))
    assert talk(server, tls.client_context(replace(node("client"), ca=der))).answer == b"x"


def test_directly_trusted_peer_vouches_for_nobody(node, pki_dir, tmp_path):
    """A listed leaf is no authority: what its key signs is refused (RFC 5280 4.2.1.9)."""
    leaf = pki.Authority(
        x509.load_pem_x509_certificate((pki_dir / "foreign.pem").read_bytes()),
        load_pem_private_key((pki_dir / "foreign.key").read_bytes(), None),
    )
    pki.write_new(
        tmp_path, pki._pem_files("forged", leaf.issue("forged", not_after=datetime.now(UTC) + timedelta(days=1)))
    )
    context = tls.server_context(replace(node("server"), ca=pki_dir / "foreign.pem"))
    forger = stranger(pki_dir)
    forger.load_cert_chain(tmp_path / "forged.pem", tmp_path / "forged.key")
    assert talk(context, forger).answer == b""


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_1_1_is_refused(server, pki_dir):
    """RFC 8996; option STX: TLS 1.2 Floor using BCP195."""
    old = stranger(pki_dir, "good")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    seen = talk(server, old)
    assert seen.answer == b""
    with pytest.raises(ssl.SSLError, match="unsupported protocol"):
        raise seen.server_error


@pytest.mark.parametrize(
    "suite",
    [
        "DHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "DHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
    ],
)
def test_suites_of_the_standard_are_offered_by_both_sides(server, client, pki_dir, suite):
    """ITI TF-2 3.19: the four that must be offered."""
    peer = stranger(pki_dir, "good")
    peer.maximum_version = ssl.TLSVersion.TLSv1_2
    peer.set_ciphers(suite)
    assert talk(server, peer).cipher == suite
    assert suite in {offered["name"] for offered in client.get_ciphers()}


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384"])
def test_weak_suites_are_refused(server, pki_dir, suite):
    peer = stranger(pki_dir, "good")
    peer.maximum_version = ssl.TLSVersion.TLSv1_2
    peer.set_ciphers(suite)
    assert talk(server, peer).answer == b""


def test_ec_certificates_talk_too(tmp_path):
    pki.write_development_pki(tmp_path, [], key_type=pki.KeyType.EC)
    server, client = (
        TLSSettings(tmp_path / f"{name}.pem", tmp_path / f"{name}.key", tmp_path / "ca.pem")
        for name in ("server", "client")
    )
    assert talk(tls.server_context(server), tls.client_context(client)).answer == b"x"


def test_system_authorities_are_not_trusted(node, server):
    assert [cert["subject"] for cert in server.get_ca_certs()] == [
        ((("organizationName", "XDS development"),), (("commonName", "XDS development CA"),))
    ]


@VERSIONS
def test_session_is_resumed_with_the_peer_still_known(server, client, version):
    client.maximum_version = version
    first = talk(server, client)
    second = talk(server, client, session=first.session)
    assert (first.resumed, second.resumed) == (False, True)
    assert second.peer == first.peer


def test_session_ends_with_its_context(node, client):
    """A new revocation list comes with a new context, and old sessions must not survive it."""
    first = talk(tls.server_context(node("server")), client)
    assert not talk(tls.server_context(node("server")), client, session=first.session).resumed


FORKED = """
import os, socket, sys
from pathlib import Path
from xds.security.tls import TLSSettings, client_context, server_context
d = Path(sys.argv[1])
server, client = (TLSSettings(d / f"{n}.pem", d / f"{n}.key", d / "ca.pem") for n in ("server", "client"))
context, listener = server_context(server), socket.create_server(("127.0.0.1", 0))
for _ in range(2):
    if os.fork() == 0:
        with context.wrap_socket(listener.accept()[0], server_side=True) as secure:
            secure.sendall(str(os.getpid()).encode())
            secure.recv(1)
        os._exit(0)
caller, session = client_context(client), None
for _ in range(2):
    plain = socket.create_connection(listener.getsockname(), timeout=10)
    with caller.wrap_socket(plain, server_hostname="localhost", session=session) as secure:
        print(secure.recv(20).decode(), secure.session_reused)
        session = secure.session
"""


def test_session_is_resumed_by_another_worker(pki_dir):
    """Pre-forked workers share the ticket keys of a context made before the fork."""
    command = [sys.executable, "-W", "error", "-c", FORKED, str(pki_dir)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    (first, first_resumed, second, second_resumed) = answer.stdout.split()
    assert first != second
    assert (first_resumed, second_resumed) == ("False", "True")


def encrypted(pki_dir, path):
    key = load_pem_private_key((pki_dir / "server.key").read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))


def short_key(path):
    """A certificate on RSA 1024, in one file with its key."""
    issued = pki._self_signed("short", rsa.generate_private_key(public_exponent=65537, key_size=1024))
    path.write_bytes(issued.certificate_pem + issued.key_pem)


def expired_authority(path):
    key, now = pki.generate_key(pki.KeyType.EC), datetime.now(UTC)
    builder = pki._builder(pki._name("old"), pki._name("old"), key, now - timedelta(days=9), now - timedelta(days=1))
    path.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))


def old_list(pki_dir, path):
    path.write_bytes(pki.Authority.load(pki_dir).crl([], next_update=datetime.now(UTC) - timedelta(seconds=1)))


MISTAKES = {
    "certificate missing": ("certificate", "absent.pem", "does not exist"),
    "certificate is a directory": ("certificate", ".", "this is a directory; expected a file"),
    "certificate empty": ("certificate", "empty", "the file is empty; expected a certificate in PEM form"),
    "certificate is a key": ("certificate", "server.key", "holds PRIVATE KEY, .*expected a certificate in PEM form"),
    "certificate is PKCS12": (
        "certificate",
        "client.p12",
        r"binary \(DER or PKCS#12\?\); expected a certificate in PEM",
    ),
    "certificate is prose": ("certificate", "prose", "no PEM block; expected a certificate in PEM form"),
    "certificate damaged": ("certificate", "damaged", "holds CERTIFICATE, unsuited or damaged"),
    "certificate expired": (
        "certificate",
        "expired.pem",
        r"expired on \d{4}-\d\d-\d\d; expected one that is valid today",
    ),
    "certificate not yet valid": (
        "certificate",
        "future.pem",
        "valid only from .* UTC; wait, or set this machine's clock",
    ),
    "certificate too weak": ("certificate", "short", "the RSA key has 1024 bits; expected at least 2048"),
    "key of another": ("key", "client.key", r"not the key of the \(first\) certificate in .*server\.pem"),
    "key missing": ("key", "absent.key", "does not exist"),
    "key is a certificate": ("key", "server.pem", "holds CERTIFICATE, .*expected a private key in PEM form without"),
    "key has a password": ("key", "encrypted", "protected by a password; expected a private key in PEM form without"),
    "authority missing": ("ca", "absent.pem", "does not exist"),
    "authority is a key": ("ca", "ca.key", "holds PRIVATE KEY, .*expected a certificate"),
    "authority expired": ("ca", "old", "every certificate in it has expired"),
    "authority is PKCS12": ("ca", "ca.p12", "binary .*expected a certificate in PEM form"),
    "list missing": ("crl", "absent.crl", "does not exist"),
    "list is a certificate": ("crl", "ca.pem", "holds CERTIFICATE, .*expected only revocation lists"),
    "list with a certificate": ("crl", "mixed", "holds CERTIFICATE and X509 CRL, .*expected only revocation lists"),
    "list damaged": ("crl", "damaged list", "damaged revocation list"),
    "list without end": ("crl", "cut list", "damaged revocation list"),
    "list out of date": (
        "crl",
        "old list",
        r"revocation list of CN=XDS development CA.* ended on .*; expected its current",
    ),
}


@pytest.fixture(scope="session")
def mistakes(pki_dir, tmp_path_factory):
    directory = tmp_path_factory.mktemp("mistakes")
    shutil.copytree(pki_dir, directory, dirs_exist_ok=True)
    good, crl = (directory / "server.pem").read_bytes(), (directory / "ca.crl").read_bytes()
    (directory / "empty").write_bytes(b"\n")
    (directory / "prose").write_bytes(b"certificate to follow")
    (directory / "damaged").write_bytes(good[:300] + good[340:])
    (directory / "mixed").write_bytes(crl + good)
    (directory / "damaged list").write_bytes(crl[:100] + crl[140:])
    (directory / "cut list").write_bytes(crl[:200])
    encrypted(pki_dir, directory / "encrypted")
    short_key(directory / "short")
    expired_authority(directory / "old")
    old_list(pki_dir, directory / "old list")
    return directory


@pytest.mark.parametrize("make", [tls.server_context, tls.client_context])
@pytest.mark.parametrize(("field", "name", "text"), MISTAKES.values(), ids=MISTAKES)
def test_configuration_mistake_names_the_file_and_what_is_expected(mistakes, make, field, name, text):
    settings = TLSSettings(mistakes / "server.pem", mistakes / "server.key", mistakes / "ca.pem")
    wrong = replace(settings, **{field: mistakes / name})
    if field == "certificate" and name not in {"absent.pem", "."}:
        key = (mistakes / name).with_suffix(".key")
        wrong = replace(wrong, key=next(path for path in (key, mistakes / name) if path.exists()))
    with pytest.raises(TLSConfigurationError, match=text) as error:
        make(wrong)
    assert str(error.value).startswith(f"{mistakes / name}: ")
    assert error.value.path == mistakes / name
    assert "\n" not in str(error.value)


def test_unreadable_file_is_told(monkeypatch, node):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(TLSConfigurationError, match="the user who runs this program may not read the file"):
        tls.server_context(node("server"))


def test_other_trouble_with_the_disk_is_told(monkeypatch, node):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(TLSConfigurationError, match="cannot be read: Input/output error"):
        tls.server_context(node("server"))


def test_file_changed_between_check_and_use_never_asks_for_a_password(pki_dir, tmp_path, monkeypatch):
    """OpenSSL would ask on the terminal and hang a service."""
    encrypted(pki_dir, tmp_path / "server.key")
    key = load_pem_private_key((pki_dir / "server.key").read_bytes(), None)
    monkeypatch.setattr(tls, "_private_key", lambda path: key)
    with pytest.raises(TLSConfigurationError, match="protected by a password"):
        tls.server_context(TLSSettings(pki_dir / "server.pem", tmp_path / "server.key", pki_dir / "ca.pem"))


def test_certificate_and_key_may_share_a_file(pki_dir, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes((pki_dir / "server.pem").read_bytes() + (pki_dir / "server.key").read_bytes())
    tls.server_context(TLSSettings(both, both, pki_dir / "ca.pem"))


@pytest.fixture
def good(pki_dir):
    return x509.load_pem_x509_certificate((pki_dir / "good.pem").read_bytes())


def test_peer_certificate_says_who_it_is(good):
    peer = PeerCertificate.from_der(good.public_bytes(Encoding.DER))
    assert peer == PeerCertificate(
        subject="CN=good,O=XDS development",
        issuer="CN=XDS development CA,O=XDS development",
        serial=f"{good.serial_number:x}",
        fingerprint=good.fingerprint(SHA256()).hex(),
        not_after=good.not_valid_after_utc,
        san=("DNS:localhost", "IP:127.0.0.1", "IP:::1"),
    )


def test_peer_certificate_is_parsed_once(good):
    der = good.public_bytes(Encoding.DER)
    assert PeerCertificate.from_der(der) is PeerCertificate.from_der(bytes(bytearray(der)))


def header_forms(pem, der):
    return {
        "RFC 9440": f":{base64.b64encode(der).decode()}:",
        "nginx escaped": quote(pem, safe="-"),
        "AWS escaped": quote(pem, safe="-+=/"),
        "Apache, spaces": pem.replace("\n", " "),
        "nginx, tabs": pem.strip().replace("\n", "\t"),
        "nginx, folded": pem.replace("\n", "\n\t").strip(),
        "one line of base64": f"-----BEGIN CERTIFICATE-----{base64.b64encode(der).decode()}-----END CERTIFICATE-----",
    }


@pytest.mark.parametrize("form", header_forms("", b""))
def test_proxy_header_is_read(good, form):
    der = good.public_bytes(Encoding.DER)
    value = header_forms(good.public_bytes(Encoding.PEM).decode(), der)[form]
    assert PeerCertificate.from_header(value) is PeerCertificate.from_der(der)


def bad_headers(pem, der):
    text = base64.b64encode(der).decode()
    return {
        "empty": "",
        "apache without certificate": "(null)",
        "bare base64": text,
        "open RFC 9440": f":{text}",
        "empty RFC 9440": "::",
        "RFC 9440 with space": f": {text}:",
        "RFC 9440 with parameters": f":{text}:;a=1",
        "RFC 9440 list": f":{text}:, :{text}:",
        "bad padding": f":{text}A:",
        "no DER": f":{base64.b64encode(b'hello world').decode()}:",
        "cut DER": f":{base64.b64encode(der[:-3]).decode()}:",
        "trailing bytes": f":{base64.b64encode(der + b'000').decode()}:",
        "two certificates": pem + pem,
        "twice escaped": quote(quote(pem)),
        "key": pem.replace("CERTIFICATE", "PRIVATE KEY"),
        "text before": f"Subject: x {pem}",
        "XFCC": f'Hash=00;Cert="{quote(pem)}"',
        "plus for space": quote(pem, safe="-").replace("%20", "+"),
        "other alphabet": pem.replace("M", "ä"),
        "huge": f":{'A' * 20_000}:",
    }


@pytest.mark.parametrize("form", bad_headers("", b""))
def test_other_header_is_refused(good, form):
    value = bad_headers(good.public_bytes(Encoding.PEM).decode(), good.public_bytes(Encoding.DER))[form]
    with pytest.raises(ValueError, match="certificate"):
        PeerCertificate.from_header(value)


def peculiar(key, *extensions):
    builder = pki._builder(
        pki._name("odd"), pki._name("odd"), key, datetime.now(UTC), datetime.now(UTC) + timedelta(days=1)
    )
    for item in extensions:
        builder = builder.add_extension(item, critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def test_every_kind_of_alternative_name_is_told():
    names = [
        x509.UniformResourceIdentifier("urn:oid:1.2.3"),
        x509.RFC822Name("it@example.org"),
        x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])),
        x509.RegisteredID(ObjectIdentifier("1.2.3")),
        x509.OtherName(ObjectIdentifier("1.2.4"), b"\x05\x00"),
    ]
    der = peculiar(pki.generate_key(pki.KeyType.EC), x509.SubjectAlternativeName(names))
    expected = ("URI:urn:oid:1.2.3", "email:it@example.org", "DirName:CN=a", "RID:1.2.3", "other:1.2.4")
    assert PeerCertificate.from_der(der).san == expected


@pytest.mark.parametrize("oid", ["2.5.29.17", "1.2.3.4"])
def test_unknown_or_unreadable_extension_is_no_reason_to_refuse(oid):
    """ITI TF-2 3.19: unknown attributes and extensions are not rejected."""
    odd = x509.UnrecognizedExtension(ObjectIdentifier(oid), b"\x04\x01x")
    peer = PeerCertificate.from_der(peculiar(pki.generate_key(pki.KeyType.EC), odd))
    assert peer.subject == "CN=odd,O=XDS development"
    assert peer.san == ()


def test_report_counts_the_days_left(pki_dir, good):
    end = good.not_valid_after_utc
    report = certificate_report(pki_dir / "good.pem", now=end - timedelta(days=10, hours=1))
    assert (report.days_left, report.not_after, report.subject) == (10, end, "CN=good,O=XDS development")
    assert certificate_report(pki_dir / "good.pem", now=end + timedelta(seconds=1)).days_left == -1
    assert certificate_report(pki_dir / "server.pem").days_left in {728, 729}


def test_report_prints_the_fingerprint_as_openssl_does(pki_dir):
    openssl = shutil.which("openssl") or pytest.skip("openssl is not installed")
    command = [openssl, "x509", "-in", pki_dir / "ca.pem", "-noout", "-fingerprint", "-sha256"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert certificate_report(pki_dir / "ca.pem").fingerprint == answer.stdout.strip().partition("=")[2]


def test_report_of_no_certificate_is_told(pki_dir):
    with pytest.raises(TLSConfigurationError, match="expected a certificate"):
        certificate_report(pki_dir / "ca.key")
