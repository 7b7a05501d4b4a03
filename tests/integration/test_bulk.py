"""`xds submit` of many files, broken off and started again: nothing is doubled, nothing is lost."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from repository.storage import open_store
from tests.stack import SOURCE_ID, Arrangement, Stack, Stores, environment
from xds import database
from xds.cli import main
from xds.client import RegistryClient, RepositoryClient
from xds.commands import ask
from xds.errors import Code, SoapFault, XDSError
from xds.messages import AdhocQueryResponse, RegistryResponse

SAMPLE = Path(__file__).parents[2] / "xds" / "data" / "samples" / "cda-zh.xml"
FILES, PATIENTS, BROKEN_OFF_AFTER = 250, 25, 60
HEALTH_CARDS = "2.16.156.10011.1.19"
OPTIONS = (
    *("--content-type-code", "18842-5", "--type-code", "18842-5^^2.16.840.1.113883.6.1", "--class-code", "18842-5"),
    *("--format-code", "urn:ihe:iti:xds:2017:mimeTypeSufficient", "--confidentiality-code", "N", "--zone", "+08:00"),
    *("--healthcare-facility-type-code", "22232009", "--practice-setting-code", "419192003"),
)


def write_files(directory: Path) -> list[Path]:
    """Discharge summaries with ids of their own, of several patients."""
    sample = SAMPLE.read_text()
    paths = []
    for number in range(FILES):
        paths.append(directory / f"{number:04}.xml")
        own = sample.replace("YL20251013000053", f"YL2025{number:010}")
        paths[-1].write_text(own.replace("YL0000000000000053", f"YL{number % PATIENTS:016}"))
    return paths


def entries(stack: Stack) -> list[tuple[str, str]]:
    """uniqueId and hash of each DocumentEntry."""
    url = stack.database or f"sqlite:///{stack.directory}/registry.db"
    rows = database.read(
        database.engine(url),
        lambda conn: conn.execute(text("SELECT value, hash FROM unique_identifier WHERE kind = 1")).all(),
    )
    return [(value, bytes(digest).hex()) for value, digest in rows]


def start(stack: Stack, files: list[Path], log: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "xds", "submit", "-c", str(stack.config), *OPTIONS, *more, *map(str, files)]
    with log.open("wb") as stderr:
        return subprocess.Popen(command, stderr=stderr, env=environment(), preexec_fn=_hear_interrupts)  # noqa: PLW1509


def _hear_interrupts() -> None:
    """Whoever runs the tests in the background of a shell makes their children deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def break_off(stack: Stack, files: list[Path], log: Path, how: signal.Signals) -> int:
    """Start, let some more come in, and end it; returns the exit code."""
    enough = len(entries(stack)) + BROKEN_OFF_AFTER
    client = start(stack, files, log)
    deadline = time.monotonic() + 60
    while len(entries(stack)) < enough:
        assert client.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    client.send_signal(how)
    code = client.wait(30)
    while (now := len(entries(stack))) != enough:  # what the server has in hand comes to its end
        enough = now
        time.sleep(1)
    return code


@pytest.mark.parametrize(
    "stores",
    [Stores.EMBEDDED, pytest.param(Stores.SERVICES, marks=pytest.mark.service)],
    ids=lambda stores: stores.value,
)
def test_a_run_that_is_interrupted_and_killed_is_gone_on_with(stack, stores, tmp_path):
    running = stack(Arrangement.ONE_PROCESS, stores, affinity={"assigning_authorities": [HEALTH_CARDS]})
    running.add_patient(*(f"YL{number:016}^^^&{HEALTH_CARDS}&ISO" for number in range(PATIENTS)))
    files, log = write_files(tmp_path), tmp_path / "log"

    assert break_off(running, files, log, signal.SIGINT) == 130
    assert log.read_text().splitlines()[-1] == "Interrupted; run the command again to go on."
    assert break_off(running, files, log, signal.SIGKILL) == -signal.SIGKILL
    before = len(entries(running))
    assert before < FILES, "it was broken off"
    client = start(running, files, log)
    assert client.wait(120) == 0, log.read_text()

    assert f"{FILES - before} submitted, {before} already in" in log.read_text()
    found = entries(running)
    assert len(found) == len(dict(found)) == FILES
    assert {hash_ for _, hash_ in found} == {hashlib.sha1(path.read_bytes()).hexdigest() for path in files}
    store = open_store(running.store)
    assert len(list(store.list())) == FILES
    store.close()


def on_a_terminal(stack: Stack, files: list[Path]) -> tuple[int, str]:
    """Run with a terminal for stderr; returns the exit code and what went to the terminal."""
    ours, theirs = os.openpty()
    client = start(stack, files, Path(os.ttyname(theirs)))
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # nobody has the terminal open any more
        while piece := os.read(ours, 1 << 16):
            shown += piece
    os.close(ours)
    return client.wait(60), shown.decode()


def test_a_terminal_shows_a_bar_with_count_rate_and_time_remaining(stack, tmp_path):
    running = stack(Arrangement.ONE_PROCESS, affinity={"assigning_authorities": [HEALTH_CARDS]})
    running.add_patient(*(f"YL{number:016}^^^&{HEALTH_CARDS}&ISO" for number in range(PATIENTS)))
    files = write_files(tmp_path)
    files[7].write_text("<ClinicalDocument xmlns='urn:hl7-org:v3'>")
    code, shown = on_a_terminal(running, files)
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)
    assert re.search(r"━ +\d+/250 \d+/s \d:\d\d:\d\d", plain), plain[-500:]
    assert f"{files[7]}: incomplete" in plain
    assert f"{files[8]}" not in plain, "what went well is not listed"
    assert re.search(r"249 submitted, 1 incomplete; \d+ s, \d+/s\.", plain)
    assert code == 2


def test_ctrl_c_again_does_not_wait_for_a_peer_that_is_silent(stack, tmp_path):
    running = stack(Arrangement.ONE_PROCESS, affinity={"assigning_authorities": [HEALTH_CARDS]})
    log = tmp_path / "log"
    (tmp_path / "files").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        client = start(running, write_files(tmp_path / "files"), log, "--registry", url, "--repository", url)
        with silent.accept()[0]:
            client.send_signal(signal.SIGINT)
            deadline = time.monotonic() + 30
            while not log.read_text():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert client.poll() is None, "the query under way is waited for"
            client.send_signal(signal.SIGINT)
            assert client.wait(30) == -signal.SIGINT
    said = "Stopping as soon as what is under way has ended; Ctrl-C again does not wait for that.\n"
    assert log.read_text() == said


BUSY = XDSError(Code.XDSRegistryBusy, "too many transactions at once")


@pytest.fixture
def scripted(monkeypatch, tmp_path, capsys):
    """`xds submit --json` in this process; returns exit code, results and words.

    The registry's answers to the questions which files are in are those of a script, and then that none is.
    """
    monkeypatch.setattr(ask, "_PAUSES", (0.0, 0.0, 0.0))
    files, config = write_files(tmp_path), tmp_path / "xds.toml"
    config.write_text(
        f'[affinity]\nassigning_authorities = ["{HEALTH_CARDS}"]\n[defaults]\nsource_id = "{SOURCE_ID}"\n'
    )

    def run(script, provide=lambda *_: RegistryResponse()):
        def query(*_):
            answer = script.pop(0) if script else AdhocQueryResponse()
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(RegistryClient, "query", query)
        monkeypatch.setattr(RepositoryClient, "provide_and_register", provide)
        peers = ("--registry", "http://127.0.0.1:9/", "--repository", "http://127.0.0.1:9/")
        with pytest.raises(SystemExit) as end:
            main(["submit", "-c", str(config), *peers, "--json", *OPTIONS, *map(str, files)])
        out, err = capsys.readouterr()
        return end.value.code, json.loads(out), err

    return run


def test_a_registry_that_is_busy_is_asked_again(scripted):
    busy = AdhocQueryResponse(errors=(BUSY,))
    code, results, words = scripted([AdhocQueryResponse(), busy, busy, busy])
    assert (code, {each["outcome"] for each in results}) == (0, {"submitted"}), words


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([AdhocQueryResponse(errors=(BUSY,))] * 4, str(BUSY)),
        ([SoapFault("Receiver", "out of order")], "the peer takes this for no valid message: out of order"),
    ],
    ids=["busy", "fault"],
)
@pytest.mark.parametrize("before", [0, 1], ids=["first portion", "second portion"])
def test_a_portion_the_registry_refuses_to_tell_of_is_not_sent_and_the_others_are(scripted, before, answers, problem):
    code, results, words = scripted([AdhocQueryResponse()] * before + answers)
    unsent = results[100 * before : 100 * (before + 1)]
    assert [each["outcome"] for each in unsent] == ["not sent"] * 100
    assert {tuple(each["problems"]) for each in unsent} == {(problem,)}
    assert len(results) == FILES
    assert "150 submitted, 100 not sent; " in words
    assert code == 1


def test_what_ends_after_ctrl_c_is_counted_and_told(scripted):
    sent = []
    refusal = RegistryResponse(errors=(XDSError(Code.XDSUnknownPatientId, "no such patient"),))

    def provide(*_):
        sent.append(None)
        if len(sent) == BROKEN_OFF_AFTER:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        return refusal

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code, results, words = scripted([], provide)
    finally:
        signal.signal(signal.SIGINT, before)
    assert BROKEN_OFF_AFTER <= len(sent) < FILES
    assert [each["outcome"] for each in results] == ["refused"] * len(sent)
    assert words.count(": refused, uniqueId") >= len(sent) - 1, "all but the one whose line Ctrl-C may have cut"
    assert f"{len(sent)} refused" in words
    assert code == 130
