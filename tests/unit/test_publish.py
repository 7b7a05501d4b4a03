"""What bench/publish.py makes of the JSON of runs: every kind of file, also those of old, and plots that are true."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]
MACHINE = {"date": "2026-01-02", "processor": "2 x Any", "memory": "1 GiB", "system": "Linux 6.1", "python": "3.11.7"}
SERVICES = {"sqlite": "SQLite 3.40.1"}
LEGEND = re.compile(r'<rect [^>]*width="10.0" height="10.0" fill="(#[0-9a-f]{6})"')


@pytest.fixture(scope="module")
def bench():
    """The modules of bench/ by name; they import each other as programs do."""
    known, path = set(sys.modules), str(ROOT / "bench")
    sys.path.insert(0, path)
    yield importlib.import_module
    sys.path.remove(path)
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(path):
            del sys.modules[name]


@pytest.fixture
def page(bench, tmp_path):
    """Publishes files into a page of its own and returns its text."""

    def make(*given):
        files = []
        for number, data in enumerate(given):
            files.append(tmp_path / f"{number}.json")
            files[-1].write_text(json.dumps(data))
        bench("publish").publish(files, tmp_path / "page.md")
        return (tmp_path / "page.md").read_text()

    return make


def cell(per_second, requests=500, turns=()):
    return {
        "requests": requests, "per_second": per_second, "median": 0.002, "p99": 0.009, "cpu": 0.001, "growth": 2e6,
        "peak": 9e7, "generator": 0.00004,
    } | ({"turns": turns} if turns else {})  # fmt: skip


def run(*rows, about=MACHINE):
    rows = [
        {"store": "SQLite + directory", "case": case, "connections": 1, "ours": ours, "floor": floor}
        for case, ours, floor in rows
    ]
    return {
        "kind": "bench", "machine": about, "command": "python bench/run.py --json /some/where", "workers": 2,
        "seconds": 2.0, "generator": 3e-5, "rows": rows, "first_answer": {"SQLite + directory": 0.8},
    }  # fmt: skip


def growth(*medians, relations=3):
    results = [
        {
            "entries": 10 ** (4 + power),
            "timings": {"GetRelatedDocuments": {"median": median, "p99": 0.003, "results": 31.9, "runs": 9}}
            if median
            else {},
            "relations": {f"table{number}": 10 ** (6 + power) * (20 - number) for number in range(relations)},
            "contents": {"DocumentEntry": {"rows": 10, "body": 700.0}},
        }
        for power, median in enumerate(medians)
    ]
    return {
        "kind": "growth",
        "store": "sqlite",
        "machine": MACHINE,
        "command": "python bench/grow.py",
        "results": results,
    }


def row_of(text, name):
    """The cells of a table's row."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [each.strip() for each in line.strip("|").split("|")]


def test_a_row_shows_the_generators_cost_and_how_far_the_rounds_differ(page):
    text = page(run(("ITI-42, 1 entry", cell(500, turns=[480, 520]), cell(1000, turns=[1000, 1000]))))
    assert row_of(text, "ITI-42, 1 entry")[6] == "0.040"
    assert row_of(text, "ITI-42, 1 entry")[-1] == "**0.50** (0.48-0.52)"


def test_a_ratio_that_reaches_its_target_is_not_bold(page):
    assert row_of(page(run(("ITI-42, 1 entry", cell(600), cell(1000)))), "ITI-42, 1 entry")[-1] == "0.60"


def test_few_requests_have_no_p99_and_a_median_that_says_so(page):
    figures = row_of(page(run(("ITI-41, 1 GB", cell(1, requests=3), cell(1, requests=3)))), "ITI-41, 1 GB")
    assert figures[3:5] == ["2.00 (of 3)", "\N{EN DASH}"]


def test_what_the_figures_depend_on_is_told_and_where_they_were_kept_is_not(page):
    text = page(run(("ITI-43, 10 KB", cell(1), cell(1)), about=MACHINE | SERVICES))
    assert "2026-01-02, 2 x Any, 1 GiB, Linux 6.1, Python 3.11.7, SQLite 3.40.1: `python bench/run.py`" in text


def test_several_files_of_a_kind_share_a_chapter_and_no_plot(page, tmp_path):
    text = page(run(("ITI-43, 10 KB", cell(1), cell(1))), run(("ITI-43, 10 KB", cell(1), cell(2))))
    assert text.count("## Against the floor\n") == 1
    plots = re.findall(r"\(page/(ratio-.*?)\)", text)
    assert plots == ["ratio-sqlite.svg", "ratio-sqlite-2.svg"]
    assert all((tmp_path / "page" / plot).exists() for plot in plots)


def test_growth_beyond_the_target_is_bold(page):
    assert row_of(page(growth(0.001, 0.0014)), "GetRelatedDocuments")[1:] == [
        "1.00",
        "1.40",
        "**1.40**",
        "3.00",
        "31.9",
    ]


def test_growth_from_a_size_that_was_not_measured_is_none(page):
    assert row_of(page(growth(None, 0.001)), "GetRelatedDocuments")[1:4] == ["\N{EN DASH}", "1.00", "\N{EN DASH}"]


def test_each_table_in_the_plot_of_space_has_a_colour_of_its_own(page, bench, tmp_path):
    page(growth(0.001, relations=20))
    legend = LEGEND.findall((tmp_path / "page" / "space-sqlite.svg").read_text())
    assert len(set(legend)) == len(legend) == len(bench("svg").PALETTE)


def test_more_series_than_colours_are_refused(bench):
    svg = bench("svg")
    with pytest.raises(ValueError, match="no more than 10"):
        svg.colours([str(number) for number in range(11)])


@pytest.mark.parametrize(
    ("most", "axis"),
    [(1.44, [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5]), (0.6, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), (7, [0, 2, 4, 6, 8])],
)
def test_an_axis_has_round_steps_and_holds_the_largest_value(bench, most, axis):
    assert bench("svg").steps(most) == pytest.approx(axis)


def test_bars_stay_within_the_plot(bench):
    plot = bench("svg").bars("t", {"a": {"x": 1.44}, "b": {"x": 0.3}}, {"a": 0.6, "elsewhere": 9.0}, "target")
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="[\d.]+" fill="#2f6fb3"', plot)]
    assert max(widths) == pytest.approx(500 * 1.44 / 1.5, abs=0.1)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "\N{EN DASH}"), (0, "0.00"), (0.0711, "0.071"), (0.227, "0.227"), (98.04, "98.0"), (1968.2, "1968")],
)
def test_numbers_have_three_digits_that_count(bench, value, text):
    assert bench("report").number(value) == text


def test_indexes_of_both_stores_and_what_is_not_known(page):
    row = {"index": "ix", "octets": 33.2, "insert": 1.2, "probe": None, "with_it": None, "without_it": 79.2}
    about = {"kind": "indexes", "machine": MACHINE, "command": "c", "entries": 1000}
    spread = row | {"insert_low": -0.1, "insert_high": 2.0}
    text = page(about | {"results": [row]}, about | {"store": "sqlite", "results": [spread | {"index": "key"}]})
    assert row_of(text, "`ix`")[1:] == ["33.2", "1.20", "\N{EN DASH}", "\N{EN DASH}", "79.2"]
    assert row_of(text, "`key`")[2] == "1.20 (-0.100 to 2.00)"
    assert re.findall(r"### 1,000 entries on (\w+)", text) == ["PostgreSQL", "SQLite"]


def test_stages_and_filing_have_their_chapters(page):
    stage = {"name": "XML", "cpu_us": 113.4, "waiting_us": 5.0, "calls": 1.0}
    case = {"case": "ITI-41, 10 KB CDA", "stages": [stage], "connections_opened": 0.5, "whole_us": 4100.0}
    about = {"machine": MACHINE, "command": "c", "store": "postgres"}
    text = page(
        about | {"kind": "submit", "rows": [["documents", "10,000"]]}, about | {"kind": "stages", "cases": [case]}
    )
    assert text.index("## Where the time of a request goes") < text.index("## Filing ten thousand files")
    assert "#### ITI-41, 10 KB CDA\n\n4100 us for a request; connections opened for it: 0.5." in text
    assert row_of(text, "XML")[1:] == ["113", "5.00", "1"]
    assert row_of(text, "documents")[1:] == ["10,000"]


@pytest.mark.parametrize("content", ["{}", "[]", '{"kind": "other"}', "no json"])
def test_a_file_of_another_kind_is_refused_and_the_page_left_alone(bench, tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(typer.BadParameter, match=r"x\.json is"):
        bench("publish").publish([tmp_path / "x.json"], tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()
