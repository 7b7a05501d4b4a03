"""Orphans: what crashes, lost answers and failed clean-ups leave in the store, found and reclaimed by `xds gc`.

Three kinds: claims still pending long after their submission (the registry is asked, then they are confirmed or
removed), objects that no uniqueId means, and what the store itself had not finished writing. Nothing younger than the
grace period is touched, so that submissions under way are safe.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar

from sqlalchemy import Engine

from repository import claims
from repository.claims import Document
from repository.lookup import Lookup
from repository.meant import MeantKeys, among
from repository.provide import STALE_SECONDS
from repository.storage import ObjectInfo, ObjectStore
from xds import database
from xds.actors import DocumentRegistry
from xds.messages import Caller

T = TypeVar("T")
log = logging.getLogger(__name__)

GRACE = timedelta(hours=24)
_CALLER = Caller("xds gc")
_BATCH = 10_000  # orphans for one reading of the table; they are to be gone soon after it


@dataclass
class Report:
    """What was found, and reclaimed unless only looked for.

    Attributes:
        confirmed: pending claims the registry knew after all.
        withdrawn: pending claims it did not know.
        orphans: objects no uniqueId means.
        octets: their size.
        unfinished: writes the store had not finished.
    """

    confirmed: int = 0
    withdrawn: int = 0
    orphans: int = 0
    octets: int = 0
    unfinished: int = 0


def collect(
    engine: Engine,
    store: ObjectStore,
    registry: DocumentRegistry,
    *,
    grace: timedelta = GRACE,
    dry_run: bool = False,
) -> Report:
    """Find orphans and reclaim them.

    Args:
        engine: the repository's database.
        store: its store.
        registry: asked about pending claims.
        grace: what is younger is left alone; at least `STALE_SECONDS`.
        dry_run: only look.

    Raises:
        Refused: the registry gives no answer.
        StoreError: the store fails.
        ValueError: the grace period is too short to be safe.
    """
    if grace < timedelta(seconds=STALE_SECONDS):
        raise ValueError(
            f"the grace period must be at least {STALE_SECONDS} seconds, so that running submissions are safe"
        )
    before = datetime.now(UTC) - grace
    report = Report()
    _settle_claims(engine, store, Lookup(registry), before, report, dry_run=dry_run)
    _remove_orphans(engine, store, before, report, dry_run=dry_run)
    if not dry_run:
        report.unfinished = store.sweep(before)
    return report


def _settle_claims(
    engine: Engine, store: ObjectStore, lookup: Lookup, before: datetime, report: Report, *, dry_run: bool
) -> None:
    limit = int(before.timestamp())
    for doc in database.read(engine, lambda connection: claims.left_behind(connection, limit)):
        registered = lookup.is_registered(doc, _CALLER)
        if registered:
            report.confirmed += 1
        else:
            report.withdrawn += 1
        if not dry_run:
            _settle(engine, store, doc, registered=registered)


def _settle(engine: Engine, store: ObjectStore, doc: Document, *, registered: bool) -> None:
    if registered:
        claims.confirm(engine, [doc])
    elif database.write(engine, lambda connection: claims.discard(connection, doc)):
        store.delete(doc.key)


def _remove_orphans(engine: Engine, store: ObjectStore, before: datetime, report: Report, *, dry_run: bool) -> None:
    keys = MeantKeys(engine)
    suspects = (info for info in store.list() if info.modified < before and info.key not in keys)
    for batch in _batches(suspects):
        # Time has gone by, and a submission that arrived slowly may have claimed its first document meanwhile.
        meant = among(engine, [info.key for info in batch])
        for info in batch:
            if info.key not in meant:
                _remove_orphan(store, info, report, dry_run=dry_run)


def _remove_orphan(store: ObjectStore, info: ObjectInfo, report: Report, *, dry_run: bool) -> None:
    report.orphans += 1
    report.octets += info.size
    if not dry_run:
        log.info("orphan %s removed", info.key)
        store.delete(info.key)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(islice(source, _BATCH)):
        yield batch
