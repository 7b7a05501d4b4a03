#!/usr/bin/env python3
"""Write constraints.txt: one version of every package that is installed, by whichever supported Python.

    tools/lock.py python3.11 python3.13

Each interpreter resolves pyproject.toml (dependencies, dev, build requirements) anew, and the answers are merged: a
package that one of them does not need is not installed there. Where they differ the older version stands; the CI run
shows whether it serves all.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# The versions that CI tried, for every supported Python. Written by `make lock`; pyproject.toml has the ranges.
"""


def requirements() -> list[str]:
    """All requirement strings of pyproject.toml, and `wheel`, which an old source distribution asks for to be built."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    return [
        *project["project"]["dependencies"],
        *(requirement for extra in extras for requirement in extra),
        *project["build-system"]["requires"],
        "wheel",
    ]


def resolve(python: str, wanted: list[str]) -> dict[str, str]:
    """Let pip of one interpreter decide, installing nothing.

    Returns:
        Normalised package name (PEP 503) to version.
    """
    with tempfile.TemporaryDirectory() as directory:
        run(python, "-m", "venv", directory)
        pip = [f"{directory}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        report = run(*pip, "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-", *wanted)
    chosen = [item["metadata"] for item in json.loads(report)["install"]]
    return {re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"] for one in chosen}


def run(*command: str) -> str:
    """Run a command and hand back its standard output; its standard error and its failure are the caller's."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - our own arguments


def older(first: str, second: str) -> str:
    """Of two version numbers the smaller, number by number."""
    return min(first, second, key=lambda version: [int(number) for number in re.findall(r"\d+", version)])


def main(pythons: list[str]) -> int:
    """Write the file; exit code 2 when no interpreter was named."""
    if not pythons:
        print(__doc__, file=sys.stderr)
        return 2
    locked: dict[str, str] = {}
    for python in pythons:
        for name, version in resolve(python, requirements()).items():
            locked[name] = older(version, locked.get(name, version))
    lines = [f"{name}=={version}\n" for name, version in sorted(locked.items())]
    (ROOT / "constraints.txt").write_text(HEADER + "".join(lines))
    print(f"constraints.txt: {len(lines)} packages, tried with {', '.join(pythons)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
