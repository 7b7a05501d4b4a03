"""`xds demo`: the README's first command."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.stack import environment, run

pytestmark = pytest.mark.xdist_group("demo")


def test_the_demo_ends_well_and_can_be_run_again(tmp_path):
    first = run("demo", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stderr.count("identical: ") == 4
    assert "Connection sheet" in first.stderr
    assert "repositoryUniqueId" in first.stderr
    assert "Entlassbrief" in first.stdout
    assert "出院小结" in first.stdout
    assert "Traceback" not in first.stderr + (tmp_path / "demo" / "server.log").read_text()

    second = run("demo", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "xds init" not in second.stderr
    assert second.stderr.count("already in") == 8  # a line for each file, and one that sums up
    assert second.stderr.count("identical: ") == 4


def test_the_demo_keeps_serving_until_it_is_stopped(tmp_path):
    command = [sys.executable, "-m", "xds", "demo", "--serve", "--dir", "here"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while "Serving until" not in (tmp_path / "log").read_text():
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    served = run("query", "-c", "here/xds.toml", "DEMO-1^^^&2.999.1.1&ISO", cwd=tmp_path)
    assert "1 document found." in served.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_the_demo_leaves_other_directories_alone(tmp_path):
    (tmp_path / "xds.toml").write_text("[server]\nport = 'mine'\n")
    refused = run("demo", "--dir", tmp_path, cwd=tmp_path)
    assert refused.returncode == 1
    assert "is no directory of an earlier demo" in refused.stderr
    assert (tmp_path / "xds.toml").read_text() == "[server]\nport = 'mine'\n"
