"""What a region needs: disk, nodes, cores and objects, from measured octets and measured throughput. Arithmetic only.

    python bench/sizing.py
    python bench/sizing.py --people 5000000 --documents 40
    python bench/sizing.py --growth growth.json --bench bench.json --sharded sharded.json

The model of the disk is octets for an entry times entries. It is calibrated at one size of `bench/grow.py`, the
largest but one; what it predicts for the others, above all for ten times as many entries, is compared with what they
took. What that curve does not have comes from `bench/sharded.py`, throughput from `bench/run.py`. Without their JSON
the figures below count, and the commands that gave them are printed. What nobody measured is called assumed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

YEAR = 365.25 * 86400
PAGE = 8192
POSTGRES_CASES = {
    "ITI-41": "ITI-41, 10 KB CDA",
    "ITI-18": "ITI-18, FindDocuments, 10 in full",
    "ITI-43": "ITI-43, 10 KB",
}
"""Transaction -> case of `bench/run.py`. An ITI-41 contains its ITI-42."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Who is served, and what they do.

    Attributes:
        people: patients.
        documents: documents of one of them, in the end.
        octets: of a document on average.
        yearly: documents submitted for one of them in a year.
        queries: stored queries for each document submitted.
        retrievals: documents retrieved for each document submitted.
        peak: the busiest hour by the average.
    """

    people: float = 1e8
    documents: float = 100
    octets: float = 100e3
    yearly: float = 10
    queries: float = 5
    retrievals: float = 3
    peak: float = 5

    @property
    def entries(self) -> float:
        """DocumentEntries in the end."""
        return self.people * self.documents

    def rates(self) -> dict[str, float]:
        """Requests a second in the busiest hour."""
        submitted = self.people * self.yearly / YEAR * self.peak
        return {"ITI-41": submitted, "ITI-18": submitted * self.queries, "ITI-43": submitted * self.retrievals}


@dataclass(frozen=True, kw_only=True)
class Added:
    """Octets that the curve of `bench/grow.py` does not have, as `bench/sharded.py` measures them.

    Attributes:
        grown: for an entry, since indexes that grow row by row have emptier pages than those made at once.
        key: for an object, with the patient in the key of `registry_object`.
        code_key: for an entry, with the patient in the key of `object_code`.
        look_up: for an object, in `object_patient`.
        patient: for a patient, in `patient_value` instead of `patient`.
        document: for a document, in the repository's table.
    """

    grown: float = 117.7
    key: float = 9.0
    code_key: float = 35.7
    look_up: float = 101.0
    patient: float = 72.9
    document: float = 247.6


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured.

    Attributes:
        octets: entries in the registry -> octets of its tables and indexes.
        objects: registry objects for an entry, itself included.
        key: octets of the primary key's index for an object.
        slowest: a query, and its median at the largest size by that at the smallest, which is the greatest of all.
        per_core: requests a second of one core, actors, database and store together.
        added: what the octets do not have.
        sources: commands.
    """

    octets: Mapping[int, float] = field(
        default_factory=lambda: {
            10_000: 25_206_784,
            100_000: 247_848_960,
            1_000_000: 2_472_132_608,
            10_000_000: 24_731_951_104,
        }
    )
    objects: float = 3.12
    key: float = 31.8
    slowest: tuple[str, float] | None = ("FindDocuments, 100 refs", 1.35)
    per_core: Mapping[str, float] = field(default_factory=lambda: {"ITI-41": 209.0, "ITI-18": 1085.0, "ITI-43": 620.0})
    added: Added = Added()
    sources: tuple[str, ...] = (
        "python bench/grow.py --store postgres --to 7",
        "python bench/run.py",
        "python bench/sharded.py --to 5",
    )

    @property
    def largest(self) -> int:
        """The largest registry that was measured, in entries."""
        return max(self.octets)

    @property
    def calibrated(self) -> int:
        """The registry that the model is made from: the largest but one, if there are two."""
        return calibrated(self.octets)

    @property
    def per_entry(self) -> float:
        """Octets for an entry in that one; all that the model knows of the disk."""
        return self.octets[self.calibrated] / self.calibrated

    def errors(self) -> dict[int, float]:
        """What the model predicts for each of the other registries by what was measured, less one."""
        others = sorted(self.octets.keys() - {self.calibrated})
        return {entries: self.per_entry * entries / self.octets[entries] - 1 for entries in others}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How it is built; all of it chosen, none measured.

    Attributes:
        shards: of the tables sharded by patient.
        copies: of the database, the standby included.
        fill: share of a disk, and of a core, that is used.
        hot: share of the database that should stay in memory.
        overhead: octets of the S3 cluster for one of a document (8 data and 4 parity parts: 1.5).
        distributed: CPU of a request on the distributed engine by that on a single one.
        cores: of a database node.
        memory: of a database node, in octets.
        disk: of a database node, in octets.
        store_disk: of an S3 node, in octets.
    """

    shards: int = 1024
    copies: int = 2
    fill: float = 0.7
    hot: float = 0.1
    overhead: float = 1.5
    distributed: float = 2.0
    cores: int = 32
    memory: float = 256e9
    disk: float = 8e12
    store_disk: float = 200e12


@dataclass(frozen=True)
class Sizes:
    """What is needed."""

    region: Region
    measured: Measured
    plan: Plan

    def tables(self) -> dict[str, float]:
        """Octets of the database, one copy, by what they are for."""
        entries, objects = self.region.entries, self.region.entries * self.measured.objects
        added = self.measured.added
        return {
            "registry, as the model says": entries * self.measured.per_entry,
            "indexes that grow row by row": entries * added.grown,
            "patient in the primary keys": objects * added.key + entries * added.code_key,
            "look-up from id to patient": objects * added.look_up,
            "look-up from patientId to patient": self.region.people * added.patient,
            "repository": entries * added.document,
        }

    @property
    def database(self) -> float:
        """Octets of the database, one copy."""
        return sum(self.tables().values())

    def cores(self) -> dict[str, float]:
        """Cores in the busiest hour, used as far as `fill`."""
        plan = self.plan
        rates = self.region.rates().items()
        return {name: rate / self.measured.per_core[name] * plan.distributed / plan.fill for name, rate in rates}

    def nodes(self) -> dict[str, int]:
        """Database nodes, standbys included, that disk, memory and cores ask for; the greatest counts."""
        plan = self.plan
        return {
            "disk": math.ceil(self.database * plan.copies / plan.fill / plan.disk),
            "memory": math.ceil(self.database * plan.hot / plan.memory) * plan.copies,
            "cores": math.ceil(sum(self.cores().values()) / plan.cores) * plan.copies,
        }

    @property
    def store(self) -> float:
        """Octets of the S3 cluster, parity included."""
        return self.region.entries * self.region.octets * self.plan.overhead

    @property
    def store_nodes(self) -> int:
        """Nodes of the S3 cluster."""
        return math.ceil(self.store / self.plan.fill / self.plan.store_disk)

    @property
    def shard(self) -> float:
        """Entries of a shard."""
        return self.region.entries / self.plan.shards

    def levels(self, entries: float) -> int:
        """Pages read from the root of the primary key's index to a row's place in it, in so large a registry."""
        per_page = PAGE / self.measured.key
        pages, levels = entries * self.measured.objects / per_page, 1
        while pages > 1:
            pages, levels = pages / per_page, levels + 1
        return levels


# What was measured, from the files


def calibrated(sizes: Collection[int]) -> int:
    """The largest size but one, so that the largest is there to compare with; or the only one."""
    return sorted(sizes)[-2:][0]


def from_files(growth: Path | None, bench: Path | None, sharded: Path | None = None) -> Measured:
    """Read the JSON of `bench/grow.py`, `bench/run.py` and `bench/sharded.py`; what is not given keeps its default.

    Raises:
        ValueError: a file is of something else.
    """
    known = Measured()
    grown = _growth(_read(growth, "growth")) if growth else {}
    run = _read(bench, "bench") if bench else {}
    per_core = {**known.per_core, **dict(_per_core(run))} if run else known.per_core
    more = _read(sharded, "sharded") if sharded else {}
    added = Added(**more["added"]) if more else known.added
    commands = [grown.pop("command", known.sources[0])]
    commands += [found.get("command", source) for found, source in zip((run, more), known.sources[1:], strict=True)]
    return Measured(**grown, per_core=per_core, added=added, sources=tuple(commands))


def _read(path: Path, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    if found.get("kind") != kind or (kind == "growth" and found["store"] != "postgres"):
        raise ValueError(f"{path}: expected a run of kind {kind} on PostgreSQL, found {found.get('kind')!r}")
    return found


def _growth(found: Mapping[str, Any]) -> dict[str, Any]:
    first, last = found["results"][0], found["results"][-1]
    of_size = {each["entries"]: each for each in found["results"]}
    model = of_size[calibrated(of_size)]
    rows = {kind: each["rows"] for kind, each in model["contents"].items()}
    objects = sum(rows.values()) / rows["DocumentEntry"]
    slower = {
        name: timing["median"] / first["timings"][name]["median"]
        for name, timing in last["timings"].items()
        if name in first["timings"] and name.startswith(("Find", "Get", "ITI-51"))
    }
    slowest = max(slower, key=lambda name: slower[name])
    return {
        "octets": {entries: float(sum(each["relations"].values())) for entries, each in of_size.items()},
        "objects": objects,
        "key": model["relations"]["pk_registry_object"] / model["entries"] / objects,
        "slowest": (slowest, slower[slowest]),
        "command": found["command"],
    }


def _per_core(found: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The best throughput of each case on all cores, for one of them: the generator's share is ours, too."""
    cores = int(found["machine"]["processor"].split()[0])
    for name, case in POSTGRES_CASES.items():
        rows = [row for row in found["rows"] if row["case"] == case and row["store"].startswith("PostgreSQL")]
        if rows:
            yield name, max(row["ours"]["per_second"] for row in rows) / cores


# In words


def number(value: float) -> str:
    """Three digits, with a prefix."""
    for power, prefix in ((1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= power:
            return f"{value / power:.3g}{prefix}"
    return f"{value:.3g} "


def lines(sizes: Sizes) -> Iterator[str]:
    """The whole of it."""
    region, measured, plan = sizes.region, sizes.measured, sizes.plan
    yield f"{region.people:,.0f} people, {region.documents:g} documents each: {region.entries:,.0f} entries"
    yield ""
    yield from _check(measured)
    if measured.slowest:
        yield _line("  slowest growth of a query", f"{measured.slowest[1]:.2f}", measured.slowest[0])
    yield ""
    yield "database, one copy"
    for name, octets in sizes.tables().items():
        yield _line(f"  {name}", f"{number(octets)}B")
    yield _line("  together", f"{number(sizes.database)}B", f"{plan.copies} copies, disks {plan.fill:.0%} full")
    beyond = sizes.shard / measured.largest
    yield _line(
        f"  entries in each of {plan.shards} shards", number(sizes.shard), f"{beyond:.3g} x the largest measured"
    )
    levels = sizes.levels(measured.largest), sizes.levels(sizes.shard)
    yield _line("  levels of the primary key", f"{levels[1]}", f"{levels[0]} in the largest measured")
    yield ""
    yield "busiest hour"
    for name, rate in region.rates().items():
        about = f"{measured.per_core[name]:.0f}/s on a core, x {plan.distributed:g} distributed (assumed)"
        yield _line(f"  {name}", f"{number(rate)}/s", f"{sizes.cores()[name]:.1f} cores: {about}")
    yield ""
    yield "nodes"
    for reason, nodes in sizes.nodes().items():
        yield _line(f"  database, for its {reason}", f"{nodes}")
    yield _line("  S3", f"{sizes.store_nodes}", f"{number(sizes.store)}B with parity")
    yield _line("  objects in S3", number(region.entries))
    yield ""
    yield "measured by"
    for source in measured.sources:
        yield f"  {source}"


def _check(measured: Measured) -> Iterator[str]:
    """The model, and what it predicts beside what was measured."""
    model = f"{measured.per_entry:,.0f} octets for an entry, {measured.objects:.2f} objects"
    yield "model of the disk: octets for an entry x entries (PostgreSQL)"
    taken = measured.octets[measured.calibrated]
    yield _line(f"  calibrated at {measured.calibrated:,} entries", f"{number(taken)}B", model)
    for entries, error in measured.errors().items():
        octets = f"measured {number(measured.octets[entries])}B, the prediction is off by {error:+.2%}"
        yield _line(f"  predicted for {entries:,}", f"{number(measured.per_entry * entries)}B", octets)
    if not measured.errors():
        yield "  no other size was measured: nothing to compare with"


def _line(name: str, value: str, remark: str = "") -> str:
    return f"{name:<36}{value.strip():>10}   {remark}".rstrip()


def main(
    *,
    people: Annotated[float, typer.Option(help="Patients.")] = Region.people,
    documents: Annotated[float, typer.Option(help="Documents of one patient, in the end.")] = Region.documents,
    octets: Annotated[float, typer.Option(help="Octets of a document.")] = Region.octets,
    yearly: Annotated[float, typer.Option(help="Documents submitted for one patient in a year.")] = Region.yearly,
    queries: Annotated[float, typer.Option(help="Queries for each document submitted.")] = Region.queries,
    retrievals: Annotated[float, typer.Option(help="Documents retrieved for each one submitted.")] = Region.retrievals,
    peak: Annotated[float, typer.Option(help="The busiest hour by the average.")] = Region.peak,
    shards: Annotated[int, typer.Option(help="Of the tables sharded by patient.")] = Plan.shards,
    growth: Annotated[Path | None, typer.Option(help="JSON of bench/grow.py on PostgreSQL.")] = None,
    bench: Annotated[Path | None, typer.Option(help="JSON of bench/run.py.")] = None,
    sharded: Annotated[Path | None, typer.Option(help="JSON of bench/sharded.py.")] = None,
) -> None:
    """Print what a region needs."""
    region = Region(
        people=people,
        documents=documents,
        octets=octets,
        yearly=yearly,
        queries=queries,
        retrievals=retrievals,
        peak=peak,
    )
    try:
        measured = from_files(growth, bench, sharded)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo("\n".join(lines(Sizes(region, measured, Plan(shards=shards)))))


if __name__ == "__main__":
    typer.run(main)
