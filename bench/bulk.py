"""Filling the registry's tables by the million: PostgreSQL by COPY from several processes, SQLite by one writer.

Indexes and constraints are taken away first, as the database itself describes them, and made again in the end, so that
what is measured afterwards has exactly the migrations' schema.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from growth_rows import COLUMNS, RARE_ENTRIES, TABLES, Batch, History, batches, code_pairs, patients_of
from population import patient_id
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from registry.codes import intern
from xds import database

KEPT_FREE = 10 * 10**9
"""Octets of the disk that are left alone."""
EXPECTED = 3000
"""Octets of disk for an entry while loading: tables, indexes, journal, sorting."""
Say = Callable[[str], None]
_spawn = multiprocessing.get_context("spawn")


class DiskFull(Exception):  # noqa: N818
    """Going on would leave less of the disk free than must stay."""


class LoadFailed(Exception):  # noqa: N818
    """A process that makes rows gave up; the text says why."""


@dataclass(frozen=True)
class Share:
    """What one process makes.

    Attributes:
        seed: of its random numbers.
        entries: how many.
        patients: their numbers are 1 to this.
        rare: entries with the rare code.
    """

    seed: int
    entries: int
    patients: int
    rare: int


def check_disk(where: Path, entries: int) -> None:
    """Refuse to fill the disk.

    Raises:
        DiskFull: after so many more entries less than 10 GB would be free.
    """
    free = shutil.disk_usage(where).free
    if free - entries * EXPECTED < KEPT_FREE:
        needed = entries * EXPECTED / 1e9
        raise DiskFull(
            f"{free / 1e9:.1f} GB free at {where}; {entries:,} more entries may take {needed:.1f} GB, 10 GB must stay"
        )


def numbers(engine: Engine) -> dict[tuple[str, str], int]:
    """Give every code that may be drawn its number."""
    return dict(database.write(engine, lambda conn: intern(conn, code_pairs())))


def shares(entries: int, before: int, processes: int) -> list[Share]:
    """Divide what is to come among processes.

    Args:
        entries: to add.
        before: entries there already.
        processes: how many.
    """
    each = [entries // processes + (number < entries % processes) for number in range(processes)]
    rare = 0 if before else RARE_ENTRIES
    return [
        Share(before + number, part, patients_of(before + entries), rare if number == 0 else 0)
        for number, part in enumerate(each)
    ]


# --- PostgreSQL -----------------------------------------------------------------------------------------------------

_DEFINED = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype FROM pg_constraint
WHERE conrelid = ANY(%s::regclass[]) AND contype IN ('p', 'u', 'f') ORDER BY contype = 'f'
"""
_INDEXED = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
WHERE i.indrelid = ANY(%s::regclass[]) AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""


def raw_url(engine: Engine) -> str:
    """The engine's URL as psycopg wants it."""
    return make_url(engine.url).set(drivername="postgresql").render_as_string(hide_password=False)


def fill_postgres(engine: Engine, entries: int, before: int, processes: int, say: Say) -> float:
    """Add entries; returns the seconds it took to copy, without indexes.

    Raises:
        DiskFull: see `check_disk`.
    """
    check_disk(data_directory(engine), entries)
    known = numbers(engine)
    with psycopg.connect(raw_url(engine), autocommit=True) as conn, without_indexes(conn, say):
        _add_patients(conn, patients_of(before), patients_of(before + entries))
        began = time.perf_counter()
        _copy_in_parallel(raw_url(engine), shares(entries, before, processes), known, say)
        taken = time.perf_counter() - began
    with psycopg.connect(raw_url(engine), autocommit=True) as conn:
        say("VACUUM, ANALYZE, CHECKPOINT")
        conn.execute("VACUUM (ANALYZE)")
        conn.execute("CHECKPOINT")
    return taken


def data_directory(engine: Engine) -> Path:
    """Where the database lies, if that is on this machine; else the root."""
    with psycopg.connect(raw_url(engine)) as conn:
        row = conn.execute("SHOW data_directory").fetchone()
    path = Path(row[0]) if row else Path("/")
    while not _reachable(path):
        path = path.parent
    return path


def _reachable(path: Path) -> bool:
    try:
        os.statvfs(path)
    except OSError:
        return False
    return True


@contextmanager
def without_indexes(conn: psycopg.Connection[Any], say: Say) -> Iterator[None]:
    """Take constraints and indexes of the three large tables away, and make them again."""
    names = [table.name for table in TABLES]
    constraints = conn.execute(_DEFINED, (names,)).fetchall()
    indexes = conn.execute(_INDEXED, (names,)).fetchall()
    for table, name, _, _ in reversed(constraints):
        conn.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    for name, _ in indexes:
        conn.execute(f"DROP INDEX {name}")
    yield
    conn.execute("SET maintenance_work_mem = '1GB'")
    for table, name, definition, _ in constraints:
        say(f"constraint {name}")
        conn.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
    for name, definition in indexes:
        say(f"index {name}")
        conn.execute(definition)


def _add_patients(conn: psycopg.Connection[Any], first: int, last: int) -> None:
    suffix = patient_id(0)[10:]
    conn.execute(
        "INSERT INTO patient (id, value) SELECT n, lpad(n::text, 10, '0') || %s "
        "FROM generate_series(%s::bigint, %s::bigint) n ON CONFLICT DO NOTHING",
        (suffix, first or 1, last),
    )
    conn.execute("SELECT setval(pg_get_serial_sequence('patient', 'id'), %s)", (last,))


def _copy_in_parallel(url: str, todo: Sequence[Share], known: Mapping[tuple[str, str], int], say: Say) -> None:
    queue = _spawn.Queue()
    jobs = [_spawn.Process(target=_copy_share, args=(queue, url, share, dict(known))) for share in todo]
    for job in jobs:
        job.start()
    done, total, began = 0, sum(share.entries for share in todo), time.perf_counter()
    while done < total:
        told = queue.get()
        if isinstance(told, str):
            raise LoadFailed(told)
        done += told
        say(f"{done:,} of {total:,} entries, {done / (time.perf_counter() - began):,.0f} a second")
    for job in jobs:
        job.join()


def _copy_share(queue: Any, url: str, share: Share, known: Mapping[tuple[str, str], int]) -> None:
    try:
        with psycopg.connect(url) as conn:
            conn.execute("SET synchronous_commit = off")
            for batch in batches(History(share.seed, known, share.patients), share.entries, share.rare):
                _copy(conn, batch)
                conn.commit()
                queue.put(sum(row[3] == 1 for row in batch.objects))
    except Exception as error:  # noqa: BLE001 - told to the parent
        queue.put(f"{type(error).__name__}: {error}")


def _copy(conn: psycopg.Connection[Any], batch: Batch) -> None:
    for table, rows in batch.tables():
        columns = ", ".join(COLUMNS[table.name])
        with conn.cursor().copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
            copy.write("".join([_line(row) for row in rows]))


def _line(row: Sequence[Any]) -> str:
    return (
        "\t".join(
            [
                "\\N" if value is None else value if type(value) is str and "\n" not in value else _said(value)
                for value in row
            ]
        )
        + "\n"
    )


def _said(value: Any) -> str:
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    if isinstance(value, str):
        return value.replace("\\", "\\\\").replace("\n", "\\n")
    return str(int(value))


# --- SQLite ---------------------------------------------------------------------------------------------------------

_UUIDS = {
    "registry_object": ("id", "lid", "source", "target"),
    "object_code": ("object",),
    "unique_identifier": ("object",),
}


def fill_sqlite(engine: Engine, entries: int, before: int, processes: int, say: Say) -> float:
    """Add entries; returns the seconds it took, without indexes.

    Raises:
        DiskFull: see `check_disk`.
    """
    path = Path(make_url(engine.url).database or "")
    check_disk(path.parent, entries)
    known = numbers(engine)
    engine.dispose()
    conn = sqlite3.connect(path, isolation_level=None)
    for pragma in ("synchronous=OFF", "cache_size=-400000"):
        conn.execute(f"PRAGMA {pragma}")
    indexes = conn.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    for name, _ in indexes:
        conn.execute(f"DROP INDEX {name}")
    first, last = patients_of(before) or 1, patients_of(before + entries)
    rows = ((number, patient_id(number)) for number in range(first, last + 1))
    conn.execute("BEGIN")
    conn.executemany("INSERT OR IGNORE INTO patient (id, value) VALUES (?, ?)", rows)
    conn.execute("COMMIT")
    began = time.perf_counter()
    _insert_all(conn, shares(entries, before, processes), known, say)
    taken = time.perf_counter() - began
    for name, sql in indexes:
        say(f"index {name}")
        conn.execute(sql)
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.close()
    return taken


def _insert_all(
    conn: sqlite3.Connection, todo: Sequence[Share], known: Mapping[tuple[str, str], int], say: Say
) -> None:
    queue = _spawn.Queue(8)
    jobs = [_spawn.Process(target=_make_share, args=(queue, share, dict(known))) for share in todo]
    for job in jobs:
        job.start()
    done, total, began = 0, sum(share.entries for share in todo), time.perf_counter()
    while done < total:
        told = queue.get()
        if isinstance(told, str):
            raise LoadFailed(told)
        conn.execute("BEGIN")
        for table, rows in told.tables():
            names = COLUMNS[table.name]
            conn.executemany(
                f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", rows
            )
        conn.execute("COMMIT")
        done += sum(row[3] == 1 for row in told.objects)
        say(f"{done:,} of {total:,} entries, {done / (time.perf_counter() - began):,.0f} a second")
    for job in jobs:
        job.join()


def _make_share(queue: Any, share: Share, known: Mapping[tuple[str, str], int]) -> None:
    try:
        for batch in batches(History(share.seed, known, share.patients), share.entries, share.rare):
            for table, rows in batch.tables():
                places = [COLUMNS[table.name].index(name) for name in _UUIDS[table.name]]
                rows[:] = [_with_octets(row, places) for row in rows]
            queue.put(batch)
    except Exception as error:  # noqa: BLE001 - told to the parent
        queue.put(f"{type(error).__name__}: {error}")


def _with_octets(row: Sequence[Any], places: Sequence[int]) -> list[Any]:
    changed = list(row)
    for place in places:
        if changed[place] is not None:
            changed[place] = bytes.fromhex(changed[place])
    return changed
