"""Settings: what is read from where, and that every mistake is told in words."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from xds.config import ConfigurationError, DatabaseURL, Settings, StoreURL, checked, hide, load, zone
from xds.config.describe import describe

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch):
    import os

    for name in [name for name in os.environ if name.startswith("XDS_")]:
        monkeypatch.delenv(name)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "xds.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path | None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return caught.value.problems


def test_without_file_and_environment_there_are_defaults():
    settings = load(None)
    assert settings.server.port == 8443
    assert settings.server.host == "127.0.0.1"
    assert settings.tls is None


def test_paths_are_relative_to_the_file(tmp_path):
    settings = load(
        write(
            tmp_path,
            """
            [tls]
            certificate = "certs/server.pem"
            key = "/etc/xds/server.key"
            ca = "../ca.pem"
            [registry]
            database = "sqlite:///registry.db"
            [repository]
            store = "documents"
            database = "sqlite:////var/lib/xds/r.db?timeout=5"
            """,
        )
    )
    assert settings.tls.certificate == tmp_path / "certs/server.pem"
    assert settings.tls.key == Path("/etc/xds/server.key")
    assert settings.registry.database.get_secret_value() == f"sqlite:///{tmp_path}/registry.db"
    assert settings.repository.database.get_secret_value() == "sqlite:////var/lib/xds/r.db?timeout=5"
    assert settings.repository.store.get_secret_value() == str(tmp_path / "documents")


def test_the_environment_comes_before_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDS_SERVER__PORT", "9443")
    monkeypatch.setenv("XDS_SERVER__TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    monkeypatch.setenv("XDS_AFFINITY__OPEN", "eventCodeList,typeCode")
    monkeypatch.setenv("XDS_TEST_POSTGRES", "no setting, so it is passed over")
    settings = load(write(tmp_path, "[server]\nport = 1\nname = 'xds.example.org'\n"))
    assert (settings.server.port, settings.server.name) == (9443, "xds.example.org")
    assert [str(network) for network in settings.server.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert settings.affinity.open == ("eventCodeList", "typeCode")


def test_an_empty_variable_counts_as_none(monkeypatch):
    monkeypatch.setenv("XDS_SERVER__PORT", "")
    assert load(None).server.port == 8443


def test_settings_never_change():
    with pytest.raises(ValueError, match="frozen"):
        load(None).server.port = 1


MISTAKES = {
    "port out of range": ("[server]\nport = 99999", "[server] port = 99999: expected a port, 1 to 65535"),
    "port in words": ("[server]\nport = 'https'", "[server] port = 'https': expected a port, 1 to 65535"),
    "unknown key": ("[server]\nprot = 1", "[server] prot: unknown key; expected one of host, port, name"),
    "unknown section": ("[sever]\nport = 1", "[sever]: unknown key; expected one of [server], [tls], [registry]"),
    "section as value": ("server = 1", "[server] = 1: expected a section with keys"),
    "missing key": ("[tls]\nkey = 'a'\nca = 'b'", "[tls] certificate: missing; expected the path of a file"),
    "other database": (
        "[registry]\ndatabase = 'mysql://u:secret@h/x'",
        "database = 'mysql://u:***@h/x': expected sqlite",
    ),
    "database in memory": ("[registry]\ndatabase = 'sqlite:///:memory:'", "expected sqlite:///FILE"),
    "store of another kind": (
        "[repository]\nstore = 'ftp://h/x'",
        "[repository] store = 'ftp://h/x': expected a directory",
    ),
    "no OID": ("[repository]\nunique_id = '1.2.x'", "unique_id = '1.2.x': expected an OID such as"),
    "one bad network of two": (
        "[server]\ntrusted_proxies = ['::1', 'nginx']",
        "trusted_proxies = 'nginx': expected a list of",
    ),
    "no fingerprint": (
        "[server]\nproxy_certificates = ['AB:CD']",
        "= 'AB:CD': expected a list of SHA-256 fingerprints",
    ),
    "unknown kind of code": (
        "[affinity]\nopen = ['typecode']",
        "[affinity] open = 'typecode': expected a list of some of",
    ),
    "no code": ("[defaults]\ntype_code = '18842-5'", "type_code = '18842-5': expected code^^codingScheme"),
    "no URL": ("[client]\nregistry = 'localhost:8443'", "[client] registry = 'localhost:8443': expected a URL such as"),
    "no zone": ("[defaults]\nzone = 'Europe/Wien'", "[defaults] zone = 'Europe/Wien': expected a time zone such as"),
    "size without unit": ("[server]\nmax_body = 'lots'", "max_body = 'lots': expected a size such as 64KiB or 4GiB"),
    "plain HTTP for all": (
        "[server]\nplain_http = true\nhost = '0.0.0.0'",
        "[server] plain_http with host 0.0.0.0: expected",
    ),
    "no TOML": ("[server\nport = 1", "(at line 1, column 8); expected TOML"),
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_file_key_value_and_what_is_expected(tmp_path, text, expected):
    path = write(tmp_path, text)
    (problem,) = problems(path)
    assert problem.startswith(f"{path}: ")
    assert expected in problem
    assert "secret" not in problem


def test_every_mistake_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDS_SERVER__THREADS", "many")
    monkeypatch.setenv("XDS_SERVER__THRAEDS", "8")
    path = write(tmp_path, "[server]\nport = 0\n[registry]\nurl = 'x'\n")
    found = problems(path)
    assert len(found) == 4
    assert f"{path}: [registry] url = 'x': expected a URL such as https://xds.example.org:8443/registry" in found
    variable = "environment variable XDS_SERVER__THREADS: [server] threads = 'many': expected a whole number, 1 or more"
    assert variable in found
    assert any(problem.startswith("environment variable XDS_SERVER__THRAEDS: ") for problem in found)


def test_a_variable_that_is_no_section_is_explained(monkeypatch):
    monkeypatch.setenv("XDS_SERVER", "localhost")
    (problem,) = problems(None)
    assert "XDS_SECTION__KEY" in problem


@pytest.mark.parametrize("name", ["none.toml", "directory"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    (tmp_path / "directory").mkdir()
    (problem,) = problems(tmp_path / name)
    assert problem.startswith(f"{tmp_path / name}: ")


URLS = {
    "postgresql+psycopg://xds:p%40ss@db/xds": "postgresql+psycopg://xds:***@db/xds",
    "s3+http://KEY:SECRET@127.0.0.1:9000/bucket": "s3+http://KEY:***@127.0.0.1:9000/bucket",
    "postgresql://xds@db/xds": "postgresql://xds@db/xds",
    "https://localhost:8443/registry": "https://localhost:8443/registry",
    "sqlite:////var/lib/xds.db": "sqlite:////var/lib/xds.db",
    "s3+http://KEY:SECRETwithout.at/bucket": "s3+http://KEY:***",
}


@pytest.mark.parametrize(("url", "shown"), URLS.items())
def test_no_output_shows_a_password(url, shown):
    assert hide(url) == shown


def test_a_password_stays_out_of_every_form_of_the_settings(tmp_path):
    path = write(
        tmp_path, "[registry]\ndatabase = 'postgres://xds:geheim@db/xds'\n[repository]\nstore='s3+http://K:geheim@h/b'"
    )
    settings = load(path)
    assert settings.registry.database.get_secret_value() == "postgresql+psycopg://xds:geheim@db/xds"
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "geheim" not in text


def test_a_url_of_the_command_line_is_taken_as_in_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checked(DatabaseURL, "sqlite:///a.db") == f"sqlite:///{tmp_path}/a.db"
    assert checked(DatabaseURL, "postgresql://h/x") == "postgresql+psycopg://h/x"
    assert checked(StoreURL, "docs") == str(tmp_path / "docs")
    with pytest.raises(ValueError, match=re.escape("oracle://u:***@h: expected sqlite:///FILE or")):
        checked(DatabaseURL, "oracle://u:p@h")


def test_zones_are_names_or_offsets():
    assert zone("-03:30").utcoffset(None) == -timedelta(hours=3, minutes=30)
    with pytest.raises(ValueError):  # noqa: PT011 - it has no text: the type's words are told
        zone("+25:00")


def test_the_page_about_the_settings_is_current():
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == describe()


def test_the_page_is_made_by_the_command_it_names():
    made = subprocess.run(
        [sys.executable, "-m", "xds.config.describe"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert made.stdout == describe()


def test_every_setting_has_words():
    page = describe()
    assert all(f"## [{name}]" in page for name in Settings.model_fields)
    assert " |  |\n" not in page
