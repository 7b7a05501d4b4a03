"""`xds submit`, `query` and `retrieve` as a clinic uses them, against a running server."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tests.stack import Arrangement, Stack, Stores, start
from xds.cli import main

SAMPLES = Path(__file__).parents[2] / "xds" / "data" / "samples"
PLACE = (
    "--content-type-code",
    "18842-5",
    "--healthcare-facility-type-code",
    "22232009",
    "--practice-setting-code",
    "419192003",
)
PLAIN = (
    *(*PLACE, "--type-code", "18842-5^^2.16.840.1.113883.6.1", "--language-code", "en", "--confidentiality-code", "N"),
    *("--creation-time", "2026-01-31T14:05"),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory, pki):
    stack = start(tmp_path_factory.mktemp("commands") / "stack", pki, Arrangement.ONE_PROCESS)
    yield stack
    stack.stop()


@pytest.fixture
def patient(served, request):
    """A patient of the test's own."""
    id_ = f"{abs(hash(request.node.nodeid))}^^^&1.2.3&ISO"
    served.add_patient(id_)
    return id_


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `xds`; in this process, which spares a second each time."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess([], end.value.code or 0, *texts)


def xds(stack: Stack, command: str, *arguments: str | Path, code: int = 0):
    ended = run(command, "-c", stack.config, *arguments)
    assert "Traceback" not in ended.stderr
    assert ended.returncode == code, ended.stderr
    return ended


def found(stack: Stack, *arguments: str) -> list[dict]:
    return json.loads(xds(stack, "query", *arguments, "--json").stdout)


def summary(directory: Path, number: int) -> Path:
    """A discharge summary with an id of its own."""
    path = directory / f"{number:03}.xml"
    own = f"2.999.{os.getpid()}.{number}.{abs(hash(str(directory)))}"
    path.write_text((SAMPLES / "discharge-us.xml").read_text().replace("2.999.840.1.1.20250822.1207", own))
    return path


def sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def test_the_way_of_a_document(served, patient, tmp_path):
    path = summary(tmp_path, 1)
    submitted = xds(served, "submit", path, "--patient", patient, *PLACE, "--json")
    (result,) = json.loads(submitted.stdout)
    assert result["outcome"] == "submitted"

    (entry,) = found(served, patient)
    assert entry["entryUUID"] == result["entryUUID"]
    assert entry["uniqueId"] == result["uniqueId"]
    assert entry["hash"] == sha1(path)
    assert entry["size"] == str(path.stat().st_size)
    assert entry["title"] == "Example Community Hospital: Discharge Summary"
    assert entry["typeCode"]["display"] == "Discharge summary"

    fetched = xds(served, "retrieve", entry["uniqueId"], "-o", tmp_path / "out", "--json")
    (document,) = json.loads(fetched.stdout)
    assert document["hash"] == sha1(path)
    assert Path(document["file"]).read_bytes() == path.read_bytes()
    assert [each.name for each in (tmp_path / "out").iterdir()] == [Path(document["file"]).name]

    printed = xds(served, "retrieve", entry["uniqueId"], "--stdout")
    assert printed.stdout == path.read_text()


def test_a_run_that_was_broken_off_is_started_again(served, patient, tmp_path):
    files = [summary(tmp_path, number) for number in range(6)]
    xds(served, "submit", *files[:3], "--patient", patient, *PLACE)
    again = xds(served, "submit", *files, files[5], "--patient", patient, *PLACE)
    assert "3 submitted, 3 already in." in again.stderr
    assert len(found(served, patient)) == 6


def test_a_directory_means_the_files_in_it_and_below_but_hidden_ones(served, patient, tmp_path):
    for directory in ("b", "b/deeper", ".cache"):
        (tmp_path / directory).mkdir()
    inner, outer, last = summary(tmp_path / "b/deeper", 2), summary(tmp_path / "b", 3), summary(tmp_path, 1)
    summary(tmp_path / ".cache", 4)
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / "z").symlink_to(tmp_path / "b", target_is_directory=True)
    os.mkfifo(tmp_path / "pipe")
    ended = xds(served, "submit", last, tmp_path, "--patient", patient, *PLACE, "--json")
    assert [(each["file"], each["outcome"]) for each in json.loads(ended.stdout)] == [
        (str(path), "submitted") for path in (last, outer, inner)
    ]


def test_a_name_the_system_does_not_take_is_one_file_that_fails(served, patient, tmp_path):
    good, long = summary(tmp_path, 1), tmp_path / ("x" * 300)
    ended = xds(served, "submit", long, good, "--patient", patient, *PLACE, code=2)
    assert f"{long}: incomplete\n  cannot be read: File name too long\n" in ended.stderr
    assert "1 submitted, 1 incomplete." in ended.stderr


def test_a_directory_without_files_is_wrong_usage(served, tmp_path):
    ended = xds(served, "submit", tmp_path, *PLACE, code=2)
    assert ended.stderr == f"xds: {tmp_path}: there is no file in this directory\n"


def test_the_same_document_twice_in_one_run_is_filed_once(served, patient, tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    for path in (first, second):
        path.write_text(f"the same words {tmp_path}")
    ended = xds(served, "submit", first, second, "--patient", patient, *PLAIN, "--jobs", "1")
    assert "1 submitted, 1 already in." in ended.stderr
    assert f"the same document as {first}" in ended.stderr


def test_a_file_that_fails_does_not_stop_the_others(served, patient, tmp_path):
    good, strange, broken = summary(tmp_path, 1), tmp_path / "strange", tmp_path / "broken.xml"
    strange.write_bytes(b"\x00\x01 nobody knows")
    broken.write_text('<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2"></ClinicalDocument>')
    ended = xds(
        served, "submit", broken, strange, tmp_path / "none", good, "--patient", patient, *PLACE, "--json", code=2
    )
    results = {Path(each["file"]).name: each for each in json.loads(ended.stdout)}
    assert {name: each["outcome"] for name, each in results.items()} == {
        "broken.xml": "incomplete",
        "strange": "incomplete",
        "none": "incomplete",
        good.name: "submitted",
    }
    assert "no well-formed XML" in results["broken.xml"]["problems"][0]
    assert any(problem.startswith("mimeType: ") for problem in results["strange"]["problems"])
    assert "No such file" in results["none"]["problems"][0]


def test_what_is_missing_is_said_by_name_and_how_to_give_it(served):
    ended = xds(served, "submit", SAMPLES / "discharge-note.pdf", code=2)
    for attribute in (
        "creationTime",
        "typeCode",
        "confidentialityCode",
        "contentTypeCode",
        "languageCode",
        "patientId",
    ):
        assert f"  {attribute}: " in ended.stderr
    assert "give --type-code, or type_code in [defaults] of the settings" in ended.stderr
    assert set(re.findall(r"give (--[a-z-]+)", ended.stderr)) <= set(
        re.findall(r"--[a-z-]+", run("submit", "--help").stdout)
    )


def test_a_refusal_comes_with_the_standards_code(served, tmp_path):
    nobody = "nobody^^^&1.2.3&ISO"
    ended = xds(served, "submit", summary(tmp_path, 1), "--patient", nobody, *PLACE, "--json", code=1)
    (result,) = json.loads(ended.stdout)
    assert result["outcome"] == "refused"
    assert result["errors"][0]["errorCode"] == "XDSUnknownPatientId"
    assert nobody in result["errors"][0]["codeContext"]
    assert "XDSUnknownPatientId" in ended.stderr


def test_other_content_under_a_uniqueid_that_is_taken_is_refused(served, patient, tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("first")
    xds(served, "submit", path, "--patient", patient, *PLAIN, "--unique-id", "2.999.77.1")
    path.write_text("second")
    ended = xds(served, "submit", path, "--patient", patient, *PLAIN, "--unique-id", "2.999.77.1", code=1)
    assert "a document with this uniqueId and other content is registered" in ended.stderr


def test_a_document_that_is_in_for_another_patient_is_refused(served, patient, tmp_path):
    path, other = summary(tmp_path, 1), "other^^^&1.2.3&ISO"
    served.add_patient(other)
    xds(served, "submit", path, "--patient", patient, *PLACE)
    ended = xds(served, "submit", path, "--patient", other, *PLACE, code=1)
    assert f"registered for another patient, {patient}" in ended.stderr
    assert found(served, other) == []


def test_replacing_deprecates_what_was_there(served, patient, tmp_path):
    first, second = summary(tmp_path, 1), summary(tmp_path, 2)
    xds(served, "submit", first, "--patient", patient, *PLACE)
    (old,) = found(served, patient)
    xds(served, "submit", second, "--patient", patient, *PLACE, "--replace", old["uniqueId"])
    (new,) = found(served, patient)
    assert new["uniqueId"] != old["uniqueId"]
    (deprecated,) = found(served, patient, "--status", "deprecated")
    assert deprecated["uniqueId"] == old["uniqueId"]
    assert len(found(served, patient, "--status", "all")) == 2


@pytest.mark.parametrize("option", ["--replace", "--append", "--transform"])
def test_a_relation_to_nothing_is_refused(served, patient, tmp_path, option):
    ended = xds(served, "submit", summary(tmp_path, 1), "--patient", patient, *PLACE, option, "2.999.404", code=1)
    assert "the registry knows no document 2.999.404" in ended.stderr


def test_finding_by_type_class_time_and_id(served, patient, tmp_path):
    note = tmp_path / "note.txt"
    note.write_text(f"a note {tmp_path}")
    xds(served, "submit", note, "--patient", patient, *PLAIN, "--title", "Notiz")
    xds(served, "submit", summary(tmp_path, 1), "--patient", patient, *PLACE)
    assert [entry["creationTime"] for entry in found(served, patient)] == ["202601311405", "20250822224510"]
    assert len(found(served, patient, "--type", "18842-5")) == 2
    assert found(served, patient, "--type", "11490-0") == []
    assert len(found(served, patient, "--type", "11490-0", "--type", "18842-5")) == 2
    assert len(found(served, patient, "--class", "SUMMARIES")) == 2
    (later,) = found(served, patient, "--from", "2026-01-01")
    assert later["title"] == "Notiz"
    (earlier,) = found(served, patient, "--to", "2026-01-01")
    assert earlier["mimeType"] == "text/xml"
    assert found(served, "--unique-id", later["uniqueId"]) == [later]
    assert found(served, "--uuid", later["entryUUID"]) == [later]
    refs = xds(served, "query", patient, "--object-refs")
    assert set(refs.stdout.split()) == {later["entryUUID"], earlier["entryUUID"]}


def test_the_table_for_people(served, patient, tmp_path):
    xds(served, "submit", summary(tmp_path, 1), "--patient", patient, *PLACE)
    ended = xds(served, "query", patient)
    head, row = ended.stdout.splitlines()
    assert head.split() == ["created", "type", "title", "by", "status", "bytes", "unique", "id"]
    assert "2025-08-22 22:45  Discharge summary  Example Community Hospital: Discharge Summary" in row
    assert ended.stderr == "1 document found.\n"
    assert xds(served, "query", "unknown^^^&1.2.3&ISO").stderr == "0 documents found.\n"


def test_check_knows_the_server_that_runs(served):
    assert "ok     port: the server is running on 127.0.0.1 port" in xds(served, "check").stdout


def test_more_documents_than_the_registry_gives_at_once(stack, tmp_path):
    running = stack(registry={"max_results": 3})
    running.add_patient("1^^^&1.2.3&ISO")
    files = [summary(tmp_path, number) for number in range(5)]
    xds(running, "submit", *files, "--patient", "1^^^&1.2.3&ISO", *PLACE)
    assert len(found(running, "1^^^&1.2.3&ISO")) == 5


def test_fetching_what_is_not_there(served, patient, tmp_path):
    path = summary(tmp_path, 1)
    xds(served, "submit", path, "--patient", patient, *PLACE)
    (entry,) = found(served, patient)
    ended = xds(served, "retrieve", "2.999.404", entry["uniqueId"], "-o", tmp_path / "out", "--json", code=1)
    missing, there = json.loads(ended.stdout)
    assert missing["errors"][0]["codeContext"] == "2.999.404: the registry knows no document of this uniqueId"
    assert Path(there["file"]).read_bytes() == path.read_bytes()
    repository = entry["repositoryUniqueId"]
    ended = xds(served, "retrieve", "2.999.404", "--repository-id", repository, "-o", tmp_path / "out", code=1)
    assert "XDSDocumentUniqueIdError" in ended.stderr
    ended = xds(served, "retrieve", entry["uniqueId"], "--repository-id", "1.2.3", "-o", tmp_path / "out", code=1)
    assert "XDSUnknownRepositoryId" in ended.stderr


def test_options_or_variables_in_place_of_a_file(served, patient, monkeypatch):
    files = {"cert": served.pki / "client.pem", "key": served.pki / "client.key", "cacert": served.pki / "ca.pem"}
    options = [text for name, path in files.items() for text in (f"--{name}", path)]
    ended = run("query", patient, "--registry", served.registry, *options)
    assert (ended.returncode, ended.stderr) == (0, "0 documents found.\n")
    for name, value in zip(("CERTIFICATE", "KEY", "CA"), files.values(), strict=True):
        monkeypatch.setenv(f"XDS_CLIENT__{name}", str(value))
    monkeypatch.setenv("XDS_CLIENT__REGISTRY", served.registry)
    assert run("query", patient).returncode == 0


def test_a_server_that_goes_away_is_told_once_and_the_rest_is_left(stack, tmp_path):
    running = stack()
    running.add_patient("1^^^&1.2.3&ISO")
    files = [summary(tmp_path, number) for number in range(3)]
    xds(running, "submit", files[0], "--patient", "1^^^&1.2.3&ISO", *PLACE)
    running.stop()
    ended = xds(running, "submit", *files, "--patient", "1^^^&1.2.3&ISO", *PLACE, code=1)
    assert running.registry in ended.stderr
    running.start()
    again = xds(running, "submit", *files, "--patient", "1^^^&1.2.3&ISO", *PLACE)
    assert "2 submitted, 1 already in." in again.stderr


@pytest.mark.parametrize(
    "stores",
    [Stores.EMBEDDED, pytest.param(Stores.SERVICES, marks=pytest.mark.service)],
    ids=lambda stores: stores.value,
)
def test_two_processes(stack, tmp_path, stores):
    running = stack(Arrangement.TWO_PROCESSES, stores)
    running.add_patient("1^^^&1.2.3&ISO")
    path = summary(tmp_path, 1)
    xds(running, "submit", path, "--patient", "1^^^&1.2.3&ISO", *PLACE)
    (entry,) = found(running, "1^^^&1.2.3&ISO")
    xds(running, "retrieve", entry["uniqueId"], "-o", tmp_path / "out")
    (fetched,) = (tmp_path / "out").iterdir()
    assert fetched.read_bytes() == path.read_bytes()
    checked = run("check", "-c", running.servers[1].config, "--actor", "repository")
    assert checked.returncode == 0, checked.stdout
    assert "ok     registry: " in checked.stdout
