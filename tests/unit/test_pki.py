import importlib.util
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from xds.security import pki
from xds.security.pki import Authority, KeyType, Usage

ROOT = Path(__file__).parents[2]
FILES = {"ca.pem", "ca.key", "ca.p12", "server.pem", "server.key", "client.pem", "client.key", "client.p12"}
KINDS = ("good", "expired", "future", "foreign", "revoked", "selfsigned")
SECRET = {"ca.key", "server.key", "client.key", "client.p12"}
HOSTS = ["xds.example.org", "10.0.0.1", "bücher.example", "localhost"]


@pytest.fixture(scope="session")
def authority():
    return Authority.create(key_type=KeyType.EC)


@pytest.fixture(scope="session")
def development(tmp_path_factory):
    """The real thing: RSA, as `xds init` writes it."""
    directory = tmp_path_factory.mktemp("pki") / "made" / "certs"
    pki.write_development_pki(directory, HOSTS)
    return directory


@pytest.fixture(scope="session")
def material(tmp_path_factory):
    directory = tmp_path_factory.mktemp("material")
    pki.write_test_material(directory, key_type=KeyType.EC)
    return directory


def certificate(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def extension(cert, kind):
    return cert.extensions.get_extension_for_class(kind).value


def test_development_pki_is_exactly_the_promised_files(development):
    assert {path.name for path in development.iterdir()} == FILES


def test_private_keys_are_for_the_owner_alone(development):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in development.iterdir()}
    assert {name for name, mode in modes.items() if mode == 0o600} == SECRET
    assert all(mode & 0o133 == 0 for mode in modes.values())


def test_private_key_is_never_readable_by_others_even_while_it_is_written(tmp_path, monkeypatch):
    modes = []

    def spy(descriptor, mode):
        modes.append(stat.S_IMODE(Path(f"/dev/fd/{descriptor}").stat().st_mode))
        return fdopen(descriptor, mode)

    fdopen = pki.os.fdopen
    monkeypatch.setattr(pki.os, "fdopen", spy)
    pki.write_new(tmp_path, {"a.key": pki._File(b"secret", secret=True)})
    assert modes == [0o600]


def test_every_key_belongs_to_its_certificate(development):
    for name in ("ca", "server", "client"):
        key = load_pem_private_key((development / f"{name}.key").read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        assert key.key_size == 2048
        assert key.public_key() == certificate(development / f"{name}.pem").public_key()


def test_server_certificate_names_loopback_and_the_hosts_once(development):
    """RFC 6125: DNS-ID and IP in subjectAltName; RFC 5280 7.2: A-labels."""
    names = extension(certificate(development / "server.pem"), x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "xds.example.org", "xn--bcher-kva.example"]
    addresses = [ip_address(host) for host in ("127.0.0.1", "::1", "10.0.0.1")]
    assert names.get_values_for_type(x509.IPAddress) == addresses


@pytest.mark.parametrize(
    ("name", "purposes"),
    [
        ("server", [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        ("client", [ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
)
def test_leaf_extensions(development, name, purposes):
    """RFC 5280 4.2.1."""
    leaf, ca = certificate(development / f"{name}.pem"), certificate(development / "ca.pem")
    assert extension(leaf, x509.BasicConstraints) == x509.BasicConstraints(ca=False, path_length=None)
    usage = extension(leaf, x509.KeyUsage)
    assert usage.digital_signature
    assert usage.key_encipherment
    assert not usage.key_cert_sign
    assert list(extension(leaf, x509.ExtendedKeyUsage)) == purposes
    authority_id = extension(leaf, x509.AuthorityKeyIdentifier).key_identifier
    assert authority_id == extension(ca, x509.SubjectKeyIdentifier).digest
    assert leaf.version is x509.Version.v3
    leaf.verify_directly_issued_by(ca)


def test_leaf_lives_two_years_and_the_authority_ten(development):
    """ITI TF-2 3.19: recommended life at most two years."""
    ca, now = certificate(development / "ca.pem"), datetime.now(UTC)
    assert ca.not_valid_after_utc - ca.not_valid_before_utc == timedelta(days=3650)
    assert extension(ca, x509.BasicConstraints).ca
    for name in ("server", "client"):
        leaf = certificate(development / f"{name}.pem")
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=730)
        assert leaf.not_valid_before_utc < now


def test_ec_keys_sign_but_do_not_encipher(authority):
    issued = authority.issue("leaf")
    assert isinstance(issued.key, ec.EllipticCurvePrivateKey)
    assert not extension(issued.certificate, x509.KeyUsage).key_encipherment
    assert x509.SubjectAlternativeName not in {type(item.value) for item in issued.certificate.extensions}


@pytest.mark.parametrize(
    "host", ["", "a b", "xds.example.org:8443", "https://x", "[::1]", "10.0.0.999", "-a", "a..b", "x" * 64]
)
def test_host_that_is_no_host_is_refused(authority, host):
    with pytest.raises(ValueError, match="expected a DNS name such as"):
        authority.issue("leaf", san=[host])


@pytest.mark.parametrize("usage", list(Usage))
def test_usage_decides_the_extended_key_usage(authority, usage):
    purposes = set(extension(authority.issue("leaf", usage=usage).certificate, x509.ExtendedKeyUsage))
    assert (ExtendedKeyUsageOID.SERVER_AUTH in purposes) == (usage is not Usage.CLIENT)
    assert (ExtendedKeyUsageOID.CLIENT_AUTH in purposes) == (usage is not Usage.SERVER)


@pytest.mark.parametrize(("start", "end"), [(0, 731), (0, 0), (10, 9), (3600, 3700)])
def test_leaf_validity_out_of_bounds_is_refused(authority, start, end):
    now = datetime.now(UTC)
    with pytest.raises(ValueError, match="expected 1 to 730 days"):
        authority.issue("leaf", not_before=now + timedelta(days=start), not_after=now + timedelta(days=end))


def test_existing_files_are_never_overwritten(tmp_path):
    (tmp_path / "client.key").write_text("mine")
    with pytest.raises(FileExistsError, match=r"client\.key exists already"):
        pki.write_development_pki(tmp_path, [], key_type=KeyType.EC)
    assert [path.name for path in tmp_path.iterdir()] == ["client.key"]
    assert (tmp_path / "client.key").read_text() == "mine"


def test_dangling_link_is_not_followed(tmp_path):
    (tmp_path / "ca.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        pki.write_development_pki(tmp_path, [], key_type=KeyType.EC)
    assert not (tmp_path / "elsewhere").exists()


def test_failure_half_way_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        pki.write_new(tmp_path, {"a.pem": pki._File(b"a"), "b.pem": pki._File(None)})
    assert not list(tmp_path.iterdir())


def test_further_client_comes_from_the_same_authority(development, tmp_path):
    for name in ("ca.pem", "ca.key"):
        shutil.copy(development / name, tmp_path / name)
    written = pki.issue_client(tmp_path, "clinic-2")
    assert [path.name for path in written] == ["clinic-2.pem", "clinic-2.key", "clinic-2.p12"]
    leaf = certificate(tmp_path / "clinic-2.pem")
    leaf.verify_directly_issued_by(certificate(development / "ca.pem"))
    assert "CN=clinic-2" in leaf.subject.rfc4514_string()
    with pytest.raises(FileExistsError):
        pki.issue_client(tmp_path, "clinic-2")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "a b"])
def test_client_name_that_is_no_file_name_is_refused(development, name):
    with pytest.raises(ValueError, match="client name"):
        pki.issue_client(development, name)


def test_authority_with_a_foreign_key_is_refused(material, tmp_path):
    shutil.copy(material / "ca.pem", tmp_path / "ca.pem")
    shutil.copy(material / "good.key", tmp_path / "ca.key")
    with pytest.raises(ValueError, match=r"ca\.key is not the key of"):
        Authority.load(tmp_path)


def test_revocation_list_names_the_revoked_certificate_only(material):
    """RFC 5280 5."""
    crl = x509.load_pem_x509_crl((material / "ca.crl").read_bytes())
    assert crl.is_signature_valid(certificate(material / "ca.pem").public_key())
    assert [entry.serial_number for entry in crl] == [certificate(material / "revoked.pem").serial_number]
    assert crl.next_update_utc - crl.last_update_utc >= timedelta(days=30)


def test_test_material_has_a_leaf_for_each_reason(material):
    now, leaves = datetime.now(UTC), {kind: certificate(material / f"{kind}.pem") for kind in KINDS}
    assert leaves["expired"].not_valid_after_utc < now < leaves["future"].not_valid_before_utc
    assert leaves["selfsigned"].issuer == leaves["selfsigned"].subject
    assert leaves["foreign"].issuer == leaves["good"].issuer
    leaves["foreign"].verify_directly_issued_by(certificate(material / "foreign-ca.pem"))
    assert {path.name for path in material.iterdir()} == (
        FILES | {"ca.crl", "foreign-ca.pem"} | {f"{kind}.{ext}" for kind in KINDS for ext in ("pem", "key")}
    )


def test_client_store_holds_key_certificate_and_authority(development):
    store = pkcs12.load_pkcs12((development / "client.p12").read_bytes(), b"changeit")
    assert store.cert.certificate == certificate(development / "client.pem")
    assert store.key.public_key() == store.cert.certificate.public_key()
    assert [extra.certificate for extra in store.additional_certs] == [certificate(development / "ca.pem")]


@pytest.mark.parametrize(("store", "entry"), [("client", "PrivateKeyEntry"), ("ca", "trustedCertEntry")])
def test_keytool_reads_the_stores(development, store, entry):
    """Issue 3: PKCS#12 for Java clients; a trust anchor needs Oracle's trusted-key-usage attribute."""
    keytool = shutil.which("keytool") or pytest.skip("keytool is not installed")
    command = [keytool, "-J-Duser.language=en", "-list", "-storetype", "PKCS12", "-storepass", "changeit"]
    answer = subprocess.run(
        [*command, "-keystore", development / f"{store}.p12"], capture_output=True, text=True, check=True
    )
    assert entry in answer.stdout
    assert "contains 1 entry" in answer.stdout


@pytest.mark.parametrize("store", ["client", "ca"])
def test_openssl_reads_the_stores(development, store):
    openssl = shutil.which("openssl") or pytest.skip("openssl is not installed")
    command = [openssl, "pkcs12", "-in", development / f"{store}.p12", "-passin", "pass:changeit", "-nodes"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.count("BEGIN CERTIFICATE") == {"client": 2, "ca": 1}[store]
    assert answer.stdout.count("BEGIN PRIVATE KEY") == {"client": 1, "ca": 0}[store]


def test_openssl_verifies_the_leaves_strictly(development):
    openssl = shutil.which("openssl") or pytest.skip("openssl is not installed")
    leaves = [development / "server.pem", development / "client.pem"]
    command = [openssl, "verify", "-x509_strict", "-CAfile", development / "ca.pem", *leaves]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.count(": OK") == 2


@pytest.fixture
def make():
    spec = importlib.util.spec_from_file_location("certs_make", ROOT / "certs" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_make_writes_the_material_and_hides_it_from_git(make, tmp_path, capsys):
    assert make.main([str(tmp_path), "--keys", "ec", "--host", "xds.example.org"]) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert FILES | {"revoked.key", ".gitignore"} <= written
    assert "changeit" in capsys.readouterr().out
    assert make.main([str(tmp_path), "--client", "clinic"]) == 0
    assert (tmp_path / "clinic.p12").exists()


@pytest.mark.parametrize("arguments", [["--client", "clinic"], ["--client", "a/b"], ["--keys", "ec", "--host", "a b"]])
def test_make_says_in_one_line_what_is_wrong(make, tmp_path, capsys, arguments):
    assert make.main([str(tmp_path), *arguments]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_make_runs_as_a_program():
    command = [sys.executable, "-m", "certs.make", "--help"]
    assert "--client" in subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
