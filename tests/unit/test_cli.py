"""The command line without a server: forms, exit codes, words; `xds init`, `check`, `patient`, `gc`."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import DNSName, IPAddress, SubjectAlternativeName, load_pem_x509_certificate

from tests.stack import environment, free_port
from xds.cli import app, main
from xds.commands import common, describe, metadata, retrieve
from xds.commands.common import CommandError
from xds.config import Defaults
from xds.metadata import affinity
from xds.metadata.affinity import CodeType
from xds.metadata.model import Author, Code, DocumentEntry, Identifier, LocalizedString
from xds.metadata.vocabulary import AvailabilityStatus

FORMS = {
    "init": ["--port", "--host", "--database", "--store", "--codes"],
    "serve": ["-c", "--config", "--actor", "--workers"],
    "patient add": ["-c"],
    "patient list": ["-c", "--json"],
    "submit": ["-c", "--registry", "--repository", "--cert", "--key", "--cacert", "--patient", "--title", "--type-code",
               "--class-code", "--format-code", "--replace", "--append", "--transform", "--jobs", "--json", "-v"],
    "query": ["-c", "--registry", "--cert", "--key", "--cacert", "--type", "--class", "--from", "--to", "--status",
              "--uuid", "--unique-id", "--object-refs", "--json", "-v"],
    "retrieve": ["-c", "--registry", "--repository", "--cert", "--key", "--cacert", "-o", "--stdout", "--json", "-v"],
    "check": ["-c", "--json"],
    "gc": ["-c", "--dry-run", "--json"],
    "demo": ["--serve", "--dir"],
    "validate": ["--json"],
}  # fmt: skip
"""Forms that other people's automation relies on."""


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch):
    for name in [name for name in os.environ if name.startswith("XDS_")]:
        monkeypatch.delenv(name)


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    """Run a command; returns exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return end.value.code or 0, out, err


@pytest.fixture
def ready(tmp_path, capsys) -> Path:
    """Settings as `xds init` writes them, for a port that is free."""
    call(capsys, "init", tmp_path / "node", "--port", free_port())
    return tmp_path / "node" / "xds.toml"


# Forms


def commands():
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", each) for inner, each in command.commands.items())
        else:
            yield name, command


each_command = pytest.mark.parametrize(("name", "command"), list(commands()), ids=[name for name, _ in commands()])


def test_the_commands_are_those_of_the_issue():
    assert {name for name, _ in commands()} == set(FORMS)


@each_command
def test_the_options_that_others_rely_on_are_there(name, command):
    options = {option for parameter in command.params for option in parameter.opts}
    assert set(FORMS[name]) <= options
    assert command.help


@each_command
def test_every_option_has_words_and_a_variable(name, command):
    for parameter in command.params:
        if parameter.opts[0].startswith("-") and parameter.name != "help":
            assert parameter.help, parameter.name
            assert parameter.envvar or parameter.allow_from_autoenv


def test_an_option_may_come_from_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDS_SERVER__PORT", "9999")
    assert call(capsys, "init", tmp_path / "a")[0] == 0
    assert "port = 9999\n" in (tmp_path / "a/xds.toml").read_text()
    monkeypatch.setenv("XDS_GC_OLDER_THAN", "soon")
    code, _, words = call(capsys, "gc", "-c", tmp_path / "a/xds.toml")
    assert (code, "--older-than" in words) == (2, True)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["submit", "--help"], ["patient", "--help"]])
def test_help_goes_to_stdout(capsys, arguments):
    code, out, _ = call(capsys, *arguments)
    assert code == (0 if arguments else 2)
    assert "Usage: xds" in out or not arguments


USAGE = {
    "no such command": ["sumbit"],
    "no such option": ["query", "--hurry"],
    "no settings": ["patient", "list"],
    "no file": ["check", "-c", "none.toml"],
    "neither patient nor id": ["query", "--registry", "http://localhost/registry"],
    "no certificate": ["query", "1^^^&1.2&ISO", "--registry", "https://localhost/registry"],
    "no registry": ["query", "1^^^&1.2&ISO"],
    "no patient id": ["query", "4711", "--registry", "http://localhost/registry"],
    "no time": ["query", "1^^^&1.2&ISO", "--from", "yesterday", "--registry", "http://localhost/registry"],
    "two to stdout": ["retrieve", "1.2", "1.3", "--stdout", "--registry", "http://localhost/registry"],
    "two that replace": ["submit", "a", "b", "--replace", "1.2", "--registry", "http://localhost/registry"],
    "two relations": ["submit", "a", "--replace", "1", "--append", "2", "--registry", "http://localhost/registry"],
    "no zone": ["submit", "a", "--zone", "CET/Vienna", "--registry", "http://localhost/registry"],
}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE)
def test_wrong_usage_ends_with_2_and_words(capsys, arguments):
    code, out, words = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words.strip()
    assert "Traceback" not in words


def test_a_registry_that_is_not_there_ends_with_1(capsys):
    url = f"http://127.0.0.1:{free_port()}/registry"
    code, out, words = call(capsys, "query", "1^^^&1.2&ISO", "--registry", url)
    assert (code, out) == (1, "")
    assert words.startswith(f"xds: {url}: ")
    assert words.count("\n") == 1


def test_what_nobody_foresaw_is_one_line_and_all_of_it_with_v(ready, monkeypatch, capsys):
    def burst(*_: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("xds.migrate.Schema.upgrade", burst)
    code, out, words = call(capsys, "patient", "list", "-c", ready)
    assert (code, out, words) == (1, "", "xds: division by zero (-v shows more)\n")
    code, _, words = call(capsys, "patient", "list", "-c", ready, "-v")
    assert code == 1
    assert "Traceback" in words


def test_the_console_script_is_a_process_like_any_other(tmp_path):
    command = [sys.executable, "-m", "xds", "init", "a"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
    again = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert again.stderr == "xds: a/xds.toml is there already and is never overwritten; choose another DIR\n"


def test_ctrl_c_while_modules_are_loaded_ends_without_a_traceback(tmp_path):
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    command = [sys.executable, "-m", "xds", "--help"]
    ended = subprocess.run(
        command, env=environment(PYTHONPATH=path), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


# init


def test_init_writes_what_a_server_needs(tmp_path, capsys):
    code, out, words = call(capsys, "init", tmp_path / "a", "--host", "xds.example.org", "--port", "9443")
    assert (code, out) == (0, "")
    assert "Patient ids of any assigning authority are accepted until one is configured" in words
    written = {str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*") if path.is_file()}
    names = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key", "client.p12", "ca.p12")
    assert {"xds.toml", "codes.xml", *(f"certs/{name}" for name in names)} <= written
    settings = tomllib.loads((tmp_path / "a/xds.toml").read_text())
    assert settings["server"] == {"host": "0.0.0.0", "port": 9443, "name": "xds.example.org"}
    assert settings["registry"] == {"database": "sqlite:///registry.db"}
    assert settings["repository"]["unique_id"].startswith("2.25.")
    assert settings["client"]["registry"] == "https://xds.example.org:9443/registry"


def test_init_names_the_hosts_in_the_certificate(tmp_path, capsys):
    call(capsys, "init", tmp_path, "--host", "xds.example.org")
    certificate = load_pem_x509_certificate((tmp_path / "certs/server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    assert {"localhost", "xds.example.org"} <= set(names.get_values_for_type(DNSName))
    assert "127.0.0.1" in map(str, names.get_values_for_type(IPAddress))


LISTENING = {
    None: ("127.0.0.1", "https://localhost:8443/registry"),
    "127.0.0.1": ("127.0.0.1", "https://127.0.0.1:8443/registry"),
    "::1": ("::1", "https://[::1]:8443/registry"),
    "xds.example.org": ("0.0.0.0", "https://xds.example.org:8443/registry"),
    "2001:db8::7": ("::", "https://[2001:db8::7]:8443/registry"),
}


@pytest.mark.parametrize("host", LISTENING)
def test_init_listens_where_others_are_told_to_connect(tmp_path, capsys, host):
    call(capsys, "init", tmp_path, *(["--host", host] if host else []))
    settings = tomllib.loads((tmp_path / "xds.toml").read_text())
    assert (settings["server"]["host"], settings["client"]["registry"]) == LISTENING[host]


def test_init_keeps_secrets_to_their_owner(ready):
    for name in ("xds.toml", "certs/server.key", "certs/client.key", "certs/client.p12"):
        assert stat.S_IMODE((ready.parent / name).stat().st_mode) == 0o600, name
    pkcs12.load_key_and_certificates((ready.parent / "certs/client.p12").read_bytes(), b"changeit")


def test_init_makes_identifiers_of_its_own_each_time(tmp_path, capsys):
    ids = set()
    for name in "ab":
        call(capsys, "init", tmp_path / name)
        settings = tomllib.loads((tmp_path / name / "xds.toml").read_text())
        ids |= {settings["repository"]["unique_id"], settings["defaults"]["source_id"]}
    assert len(ids) == 4


def test_init_takes_urls_and_codes(tmp_path, capsys):
    table = tmp_path / "mine.xml"
    default = Path(affinity.__file__).parents[1] / "data" / "codes.xml"
    table.write_text(default.read_text().replace("</Codes>", '<AssigningAuthority id="&amp;1.2.3&amp;ISO"/></Codes>'))
    database, store = "postgresql+psycopg://xds:p@db/xds", "s3+http://KEY:SECRET@store:9000/bucket"
    code, _, words = call(capsys, "init", tmp_path / "a", "--database", database, "--store", store, "--codes", table)
    assert code == 0
    assert "any assigning authority" not in words
    settings = tomllib.loads((tmp_path / "a/xds.toml").read_text())
    assert settings["registry"]["database"] == settings["repository"]["database"] == database
    assert settings["repository"]["store"] == store
    assert (tmp_path / "a/codes.xml").read_bytes() == table.read_bytes()


REFUSED_OPTIONS = {
    "database": (["--database", "mysql://u:p@h/x"], "--database mysql://u:***@h/x: expected sqlite:///FILE or"),
    "store": (["--store", "ftp://h"], "--store ftp://h: expected a directory, or s3+http://"),
    "host": (["--host", "a b"], "--host: host 'a b': expected a DNS name"),
    "codes": (["--codes", "none.xml"], "--codes: none.xml: "),
    "port": (["--port", "70000"], "--port"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED_OPTIONS.values(), ids=REFUSED_OPTIONS)
def test_init_refuses_and_leaves_nothing(tmp_path, capsys, options, words):
    code, _, said = call(capsys, "init", tmp_path / "a", *options)
    assert code == 2
    assert words in said
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["xds.toml", "codes.xml", "certs/ca.pem"])
def test_init_never_overwrites(tmp_path, capsys, name):
    (tmp_path / "a/certs").mkdir(parents=True)
    (tmp_path / "a" / name).write_text("mine")
    code, _, words = call(capsys, "init", tmp_path / "a")
    assert code == 2
    assert name in words
    assert (tmp_path / "a" / name).read_text() == "mine"
    assert not (tmp_path / "a/certs/server.key").exists()


# patient


def test_patients_are_added_once_and_listed(ready, capsys):
    code, out, words = call(capsys, "patient", "add", "-c", ready, "1^^^&1.2&ISO", "2^^^&1.2&ISO", "1^^^&1.2&ISO")
    assert (code, out, words) == (0, "", "2 patients added.\n")
    words = call(capsys, "patient", "add", "-c", ready, "2^^^&1.2&ISO")[2]
    assert words == "0 patients added, 1 known already.\n"
    assert call(capsys, "patient", "list", "-c", ready)[1] == "1^^^&1.2&ISO\n2^^^&1.2&ISO\n"
    listed = json.loads(call(capsys, "patient", "list", "-c", ready, "--json")[1])
    assert listed == [{"patientId": "1^^^&1.2&ISO"}, {"patientId": "2^^^&1.2&ISO"}]


def test_a_patient_of_another_domain_is_refused(ready, monkeypatch, capsys):
    monkeypatch.setenv("XDS_AFFINITY__ASSIGNING_AUTHORITIES", "1.2.3")
    code, _, words = call(capsys, "patient", "add", "-c", ready, "1^^^&1.2.4&ISO")
    assert code == 2
    assert "1.2.4" in words
    assert call(capsys, "patient", "list", "-c", ready)[1] == ""


def test_a_bare_number_is_of_the_default_domain(ready, monkeypatch, capsys):
    assert call(capsys, "patient", "add", "-c", ready, "4711")[0] == 2
    monkeypatch.setenv("XDS_DEFAULTS__ASSIGNING_AUTHORITY", "1.2.3")
    assert call(capsys, "patient", "add", "-c", ready, "4711")[0] == 0
    assert call(capsys, "patient", "list", "-c", ready)[1] == "4711^^^&1.2.3&ISO\n"


# check


def test_check_finds_nothing_wrong_with_what_init_made(ready, capsys):
    code, out, words = call(capsys, "check", "-c", ready)
    assert (code, words) == (0, "")
    assert "WRONG" not in out
    for name in ("server certificate", "codes.xml", "database of the registry", "document store", "port"):
        assert f"ok     {name}: " in out


def test_check_tells_everything_that_is_wrong(ready, monkeypatch, capsys):
    for name, value in {
        "XDS_REGISTRY__DATABASE": f"postgresql+psycopg://xds:geheim@127.0.0.1:{free_port()}/xds",
        "XDS_REPOSITORY__STORE": "/proc/documents",
        "XDS_AFFINITY__CODES": "none.xml",
        "XDS_SERVER__NAME": "xds.example.org",
        "XDS_TLS__KEY": "certs/client.key",
    }.items():
        monkeypatch.setenv(name, value)
    code, out, words = call(capsys, "check", "-c", ready)
    assert code == 1
    wrong = [line.partition(": ")[0].removeprefix("WRONG").strip() for line in out.splitlines() if "WRONG" in line]
    assert wrong == ["server certificate", "TLS", "codes.xml", "database of the registry", "document store"]
    assert words == "xds: 5 things of 10 wrong.\n"
    assert "geheim" not in out
    assert "does not name xds.example.org" in out
    assert "this is not the key of the (first) certificate" in out
    assert "the database cannot be reached" in out


def test_check_tells_a_server_of_ours_from_another_program(ready, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("XDS_SERVER__PORT", str(other.getsockname()[1]))
        code, out, _ = call(capsys, "check", "-c", ready)
    assert code == 1
    assert "WRONG  port: cannot listen on 127.0.0.1 port" in out
    assert "another program listens there" in out


def test_check_for_machines(ready, capsys):
    found = json.loads(call(capsys, "check", "-c", ready, "--json")[1])
    assert found["settings"]["server"]["name"] == "localhost"
    assert all(each["ok"] for each in found["checks"])


def test_check_of_a_repository_asks_the_registry(ready, monkeypatch, capsys):
    monkeypatch.setenv("XDS_REGISTRY__URL", f"https://localhost:{free_port()}/registry")
    code, out, _ = call(capsys, "check", "-c", ready, "--actor", "repository")
    assert code == 1
    assert "WRONG  registry: https://localhost" in out


# gc


def test_gc_of_an_empty_store(ready, capsys):
    code, out, words = call(capsys, "gc", "-c", ready, "--dry-run")
    assert (code, out) == (0, "")
    assert "0 orphans found (0 bytes)." in words
    report = json.loads(call(capsys, "gc", "-c", ready, "--json")[1])
    assert (report["orphans"], report["dryRun"]) == (0, False)


def test_gc_keeps_its_distance_from_submissions_under_way(ready, capsys):
    code, _, words = call(capsys, "gc", "-c", ready, "--older-than", "0")
    assert code == 2
    assert words.startswith("xds: --older-than: the grace period must be at least")


# Values


def test_a_code_stands_with_its_scheme_or_is_looked_up():
    domain = affinity.default()
    loinc = "2.16.840.1.113883.6.1"
    assert metadata.code("--type", f"18842-5^^{loinc}", CodeType.TYPE_CODE, None) == Code("18842-5", loinc)
    assert metadata.code("--type", "11490-0", CodeType.TYPE_CODE, domain) == Code("11490-0", loinc)
    with pytest.raises(CommandError, match=r"--type 0-0: codes\.xml has no typeCode 0-0; expected code"):
        metadata.code("--type", "0-0", CodeType.TYPE_CODE, domain)
    with pytest.raises(CommandError, match=r"--type 18842-5: without -c FILE there is no codes\.xml"):
        metadata.code("--type", "18842-5", CodeType.TYPE_CODE, None)
    several = "urn:hl7-org:sdwg:ccda-structuredBody:2.1"
    with pytest.raises(CommandError, match=r"there is .* of .* and of "):
        metadata.code("--format-code", several, CodeType.FORMAT_CODE, domain)


TIMES = {
    "2026": "2026",
    "2026-01": "202601",
    "2026-01-31": "20260131",
    "2026-01-31T14:05": "202601311405",
    "2026-01-31 14:05:59": "20260131140559",
    "20260131140559": "20260131140559",
}


@pytest.mark.parametrize(("text", "dtm"), TIMES.items())
def test_times_as_people_write_them(text, dtm):
    assert metadata.time("--from", text) == dtm


@pytest.mark.parametrize("text", ["", "31.01.2026", "2026-13", "2026-02-30", "2026-01-31T25:00"])
def test_times_that_are_none(text):
    with pytest.raises(CommandError):
        metadata.time("--from", text)


def test_defaults_of_the_settings_become_metadata():
    settings = Defaults(
        author_institution="Klinik",
        author_person="^Muster",
        confidentiality_code="N^^1.2",
        zone="+01:00",
        maps={"typeCode": {"X^^1.2": "Y^^1.3"}},
    )
    made = metadata.from_settings(settings)
    assert made.author == (Author(person="^Muster", institutions=("Klinik",)),)
    assert made.confidentiality_code == (Code("N", "1.2"),)
    assert made.maps == {"typeCode": {"X^^1.2": Code("Y", "1.3")}}


def test_the_json_of_an_entry_has_the_standards_names():
    entry = DocumentEntry(
        id="urn:uuid:1",
        status=AvailabilityStatus.DEPRECATED,
        title=LocalizedString("Befund", "de"),
        creation_time="2026013114",
        type_code=Code("1", "1.2", LocalizedString("Art")),
        confidentiality_code=(Code("N", "1.3"),),
        author=(Author(person="^M", institutions=("K",)),),
        unique_id=Identifier("1.2.3"),
    )
    assert describe.as_json(entry) == {
        "entryUUID": "urn:uuid:1",
        "availabilityStatus": "Deprecated",
        "creationTime": "2026013114",
        "title": "Befund",
        "author": [{"authorPerson": "^M", "authorInstitution": ["K"]}],
        "confidentialityCode": [{"code": "N", "codingScheme": "1.3", "display": None}],
        "typeCode": {"code": "1", "codingScheme": "1.2", "display": "Art"},
        "uniqueId": "1.2.3",
    }
    assert describe.day(entry.creation_time) == "2026-01-31 14"


NAMES = {
    ("1.2.3", "text/xml"): "1.2.3.xml",
    ("1.2^a/../b", "application/pdf"): "1.2_a_.._b.pdf",
    ("../../etc/passwd", "text/plain; charset=utf-8"): "etc_passwd.txt",
    ("x" * 300, "application/x-nobody-knows"): "x" * 120 + ".bin",
}


@pytest.mark.parametrize(("given", "name"), NAMES.items())
def test_a_document_gets_a_harmless_file_name(given, name):
    assert retrieve.file_name(*given) == name


def test_words_count():
    assert common.counted(1, "entry", "entries") == "1 entry"
    assert common.counted(2, "entry", "entries") == "2 entries"
