"""Write docs/conformance.md: what the standard demands, row by row, and the tests that show it.

    python -m tools.conformance > docs/conformance.md

The rows come from docs/conformance.toml, xds/queries/table.py and xds/errors.py, the tests from pytest itself. A test
shows a row if it bears the marker `rule("G24")`, or is called after it: `test_g24_...`, or a case `G24 ...` of a table.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from xds.errors import Code
from xds.queries.table import TABLE, StoredQuery
from xds.transactions import TRANSACTIONS

ROOT = Path(__file__).resolve().parents[1]
CALLED_AFTER = re.compile(r"(?:^test_|\[(?:.*-)?)([PGE]\d{1,2})[ _]", re.IGNORECASE)
SERVED = frozenset(row.number for row in TRANSACTIONS)
MOST_CASES = 3

Tests = Mapping[str, Iterable[str]]


@dataclass(frozen=True)
class Row:
    """One demand: its name, what must hold, the code it is refused with."""

    name: str
    text: str
    code: str = ""


@dataclass(frozen=True)
class Group:
    """Rows of one section; `planned` says where the project has what nothing serves yet."""

    title: str
    section: str
    rows: tuple[Row, ...]
    planned: str = ""


def groups() -> Iterator[Group]:
    """All groups, in the order of the page."""
    for each in tomllib.loads((ROOT / "docs" / "conformance.toml").read_text(encoding="utf-8"))["group"]:
        rows = tuple(Row(*row) for row in each["rows"])
        yield Group(each["title"], each["section"], rows, each.get("planned", ""))
    for stored in TABLE:
        yield from _query(stored)
    codes = tuple(Row(str(code), "can be the answer") for code in Code)
    yield Group("Error codes", "ITI TF-3 Table 4.2.4.1-2", codes)


def _query(stored: StoredQuery) -> Iterator[Group]:
    planned = "" if stored.transaction in SERVED else "read and matched, not yet offered as a transaction"
    rows = (
        Row(stored.name, f"returns {stored.answer.value}"),
        *(Row(f"{stored.name} {row.name}", row.compare.value) for row in stored.enabled),
    )
    yield Group(f"{stored.transaction}: {stored.name}", f"ITI TF-2 {stored.section}", rows, planned)
    later = tuple(Row(f"{stored.name} {row.name}", row.compare.value) for row in stored.parameters if row.option)
    if later and not planned:
        title = f"{stored.transaction}: {stored.name}, Metadata Update option"
        yield Group(title, "Metadata Update 3.18.4.1.2.3.5.1", later, "roadmap, life of a record")


# The tests


class _Collector:
    """A pytest plugin that notes which rows each test shows."""

    def __init__(self) -> None:
        self.found: dict[str, set[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Called once, with all tests."""
        for item in items:
            name, bracket, case = item.nodeid.removeprefix("tests/").partition("[")
            own = set(_marked(item.callspec.marks)) if isinstance(item, pytest.Function) and bracket else set()
            for row in rows_of(item):
                self.found.setdefault(row, set()).add(f"{name}[{case}" if row in own and row not in case else name)


def rows_of(item: pytest.Item) -> Iterator[str]:
    """The rows a test shows, by marker and by name."""
    yield from _marked(item.iter_markers())
    if match := CALLED_AFTER.search(item.name):
        yield match[1].upper()


def _marked(markers: Iterable[pytest.Mark | pytest.MarkDecorator]) -> Iterator[str]:
    """The rows of the markers `rule`."""
    for marker in markers:
        if marker.name == "rule":
            yield from map(str, marker.args)


def collect() -> dict[str, list[str]]:
    """Ask pytest for all tests, in a process of its own.

    Returns:
        Row -> names of the tests; with the case, where only some cases of a test show the row.

    Raises:
        RuntimeError: a test module cannot be read.
    """
    command = [sys.executable, "-m", "tools.conformance", "--collect"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - ourselves
    if done.returncode:
        raise RuntimeError(f"the tests cannot be collected:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _collect_here() -> int:
    collector = _Collector()
    options = ["--collect-only", "-qq", "-p", "no:cacheprovider", "tests"]
    code = pytest.main(options, plugins=[collector])
    print("\n" + json.dumps({row: sorted(names) for row, names in sorted(collector.found.items())}))
    return int(code)


# The page


def without_test(tests: Tests) -> list[str]:
    """Rows that nothing shows although they are served."""
    return [row.name for group in groups() if not group.planned for row in group.rows if not tests.get(row.name)]


def unknown(tests: Tests) -> list[str]:
    """Rows that tests name and the page does not have."""
    known = {row.name for group in groups() for row in group.rows}
    return sorted(set(tests) - known)


def page(tests: Tests) -> str:
    """The whole page."""
    return "\n".join(_lines(tests)) + "\n"


def _lines(tests: Tests) -> Iterator[str]:
    yield "# Conformance"
    yield ""
    yield "What the standard demands of a Document Registry and a Document Repository, row by row, and the tests that"
    yield "show it. Generated by `tools/conformance.py`; paths are below `tests/`. A row nothing serves yet says so."
    for group in groups():
        yield from ("", f"## {group.title}", "", f"{group.section}.{_planned(group)}", "")
        yield from ("| row | what must hold | error | shown by |", "|---|---|---|---|")
        for row in group.rows:
            yield f"| `{row.name}` | {_cell(row.text)} | {row.code} | {_shown(group, tests.get(row.name, ()))} |"


def _planned(group: Group) -> str:
    return f" **Not served yet**: {group.planned}." if group.planned else ""


def _shown(group: Group, names: Iterable[str]) -> str:
    cases: dict[str, list[str]] = {}
    for name in names:
        test, _, case = name.partition("[")
        cases.setdefault(test, []).append(case.removesuffix("]"))
    listed = "<br>".join(f"`{test}`{_cases(list(filter(None, found)))}" for test, found in cases.items())
    return listed or ("not served yet" if group.planned else "**nothing**")


def _cases(names: list[str]) -> str:
    """The first of a test's cases; the others are found by the row's name in the test's tables."""
    if not names:
        return ""
    more = f", and {len(names) - MOST_CASES} more" if len(names) > MOST_CASES else ""
    return ": " + "; ".join(map(_cell, names[:MOST_CASES])) + more


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    if sys.argv[1:] == ["--collect"]:
        raise SystemExit(_collect_here())
    print(page(collect()), end="")
