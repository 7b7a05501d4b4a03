"""The arithmetic of bench/sizing.py, and that docs/scaling.md shows what it prints."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sizing():
    spec = importlib.util.spec_from_file_location("bench_sizing", ROOT / "bench" / "sizing.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def small(sizing, **plan):
    """A region of round numbers: 1,000 people with 10 documents of 1,000 octets, 100 octets for an entry."""
    region = sizing.Region(
        people=1000, documents=10, octets=1000, yearly=sizing.YEAR / 1000, queries=5, retrievals=3, peak=2
    )
    measured = sizing.Measured(
        octets={100: 12_000, 1000: 100_000, 10_000: 1_250_000},
        added=sizing.Added(grown=20, key=10, code_key=5, look_up=114, patient=70, document=241),
        objects=3,
        key=32,
        slowest=("GetAll", 1.1),
        per_core={"ITI-41": 4, "ITI-18": 10, "ITI-43": 12},
    )
    chosen = {"shards": 10, "copies": 2, "fill": 0.5, "hot": 0.5, "overhead": 1.5, "distributed": 2, "cores": 4}
    sizes = {"memory": 1e6, "disk": 1e6, "store_disk": 1e7}
    return sizing.Sizes(region, measured, sizing.Plan(**(chosen | sizes | plan)))


def test_rates_are_the_busiest_hour(sizing):
    assert small(sizing).region.rates() == pytest.approx({"ITI-41": 2, "ITI-18": 10, "ITI-43": 6})


def test_disk_is_that_of_the_registry_it_is_calibrated_at_and_of_what_that_one_does_not_have(sizing):
    sizes = small(sizing)
    assert sizes.region.entries == 10_000
    assert sizes.tables() == {
        "registry, as the model says": 1_000_000,
        "indexes that grow row by row": 10_000 * 20,
        "patient in the primary keys": 10_000 * (3 * 10 + 5),
        "look-up from id to patient": 10_000 * 3 * 114,
        "look-up from patientId to patient": 1000 * 70,
        "repository": 10_000 * 241,
    }
    assert sizes.database == 1_000_000 + 200_000 + 350_000 + 3_420_000 + 70_000 + 2_410_000


def test_the_model_is_calibrated_at_one_size_and_compared_with_the_others(sizing):
    measured = small(sizing).measured
    assert measured.calibrated == 1000
    assert measured.errors() == pytest.approx({100: 10_000 / 12_000 - 1, 10_000: 1_000_000 / 1_250_000 - 1})


def test_what_is_predicted_and_what_was_measured_are_told_apart(sizing):
    said = list(sizing.lines(small(sizing)))
    assert "  calibrated at 1,000 entries           100 kB   100 octets for an entry, 3.00 objects" in said
    assert "  predicted for 10,000                    1 MB   measured 1.25 MB, the prediction is off by -20.00%" in said


def test_one_size_alone_is_compared_with_nothing(sizing):
    measured = sizing.Measured(octets={1000: 100_000})
    assert (measured.calibrated, measured.errors()) == (1000, {})
    assert "  no other size was measured: nothing to compare with" in list(
        sizing.lines(sizing.Sizes(sizing.Region(), measured, sizing.Plan()))
    )


def test_cores_follow_throughput_and_nodes_the_scarcest_of_disk_memory_and_cores(sizing):
    sizes = small(sizing)
    assert sizes.cores() == pytest.approx({"ITI-41": 2, "ITI-18": 4, "ITI-43": 2})
    assert sizes.nodes() == {"disk": 30, "memory": 4 * 2, "cores": 2 * 2}
    assert small(sizing, cores=64).nodes()["cores"] == 2


def test_objects_and_nodes_of_the_store(sizing):
    sizes = small(sizing)
    assert sizes.store == 15_000_000
    assert sizes.store_nodes == 3


def test_a_shard_and_the_levels_of_its_index(sizing):
    sizes = small(sizing)
    assert sizes.shard == 1000
    assert [sizes.levels(entries) for entries in (10, 85, 1000, 1_000_000)] == [1, 1, 2, 3]


@pytest.mark.parametrize(
    ("value", "said"),
    [(7, "7 "), (1500, "1.5 k"), (2.5e6, "2.5 M"), (1e10, "10 G"), (3.05e13, "30.5 T"), (1e15, "1 P")],
)
def test_numbers_have_three_digits(sizing, value, said):
    assert sizing.number(value) == said


def growth(**changes):
    def at(entries, octets, median, associations):
        kinds = {"DocumentEntry": 100, "SubmissionSet": 70, "Association": associations}
        return {
            "entries": entries,
            "relations": {"registry_object": octets - 30 * entries, "pk_registry_object": 30 * entries},
            "contents": {kind: {"rows": rows, "body": 1.0} for kind, rows in kinds.items()},
            "timings": {
                "GetAll": {"median": median},
                "FindFolders": {"median": 1.0},
                "ITI-42, 1 entry": {"median": median * 9},
            },
        }

    results = [at(1000, 200_000, 1.0, 130), at(10_000, 1_900_000, 1.25, 230)]
    return {"kind": "growth", "store": "postgres", "command": "grow", "results": results} | changes


def test_the_figures_of_the_benchmark_count_where_they_are_given(sizing, tmp_path):
    grown, run, sharded = (tmp_path / name for name in ("growth.json", "bench.json", "sharded.json"))
    grown.write_text(json.dumps(growth()))
    rows = [
        {"store": "PostgreSQL + S3", "case": "ITI-43, 10 KB", "ours": {"per_second": rate}} for rate in (500.0, 800.0)
    ] + [{"store": "SQLite + directory", "case": "ITI-41, 10 KB CDA", "ours": {"per_second": 1.0}}]
    machine = {"processor": "4 x some"}
    run.write_text(json.dumps({"kind": "bench", "command": "run", "machine": machine, "rows": rows}))
    added = {"grown": 1, "key": 2, "code_key": 3, "look_up": 4, "patient": 5, "document": 6}
    sharded.write_text(json.dumps({"kind": "sharded", "command": "shard", "added": added}))
    measured = sizing.from_files(grown, run, sharded)
    assert measured.octets == {1000: 200_000, 10_000: 1_900_000}
    assert (measured.objects, measured.key, measured.slowest) == (3, 10, ("GetAll", 1.25))
    assert measured.per_core == {**sizing.Measured().per_core, "ITI-43": 200}
    assert measured.added == sizing.Added(**added)
    assert measured.sources == ("grow", "run", "shard")


def test_what_no_file_gives_keeps_its_figure(sizing):
    assert sizing.from_files(None, None) == sizing.Measured()


@pytest.mark.parametrize("wrong", [{"kind": "bench"}, {"store": "sqlite"}])
def test_other_files_are_refused(sizing, tmp_path, wrong):
    path = tmp_path / "growth.json"
    path.write_text(json.dumps(growth(**wrong)))
    with pytest.raises(ValueError, match="expected a run of kind growth on PostgreSQL"):
        sizing.from_files(path, None)


def test_the_document_shows_what_the_program_prints(sizing):
    import typer

    app = typer.Typer()
    app.command()(sizing.main)
    printed = CliRunner().invoke(app, []).output
    assert f"```\n{printed}```" in (ROOT / "docs" / "scaling.md").read_text()
