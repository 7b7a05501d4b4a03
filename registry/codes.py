"""Interned codes: the number of `code^^codingScheme` in table `code`, remembered per process.

Rows of `code` are never changed or deleted, so that a number once committed holds for ever. What must not happen is
that the cache remembers a number whose transaction is rolled back: PostgreSQL would leave objects with a number that
means nothing, SQLite would give it to another code. Therefore a pair this process inserted is marked with the
transaction that did so, and a number is remembered only when read by another transaction than that of the mark: under
READ COMMITTED or anything stricter another transaction sees committed rows only. The mark is set after the insert: an
insert of the same pair in another transaction waits for the first to end, so that no mark of a living transaction is
overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from sqlalchemy import Connection, Insert, bindparam, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Transaction

from registry.models import code

Pair = tuple[str, str]
"""The attribute's name and `code^^codingScheme`."""

_READ = select(code.c.attribute, code.c.value, code.c.id).where(
    tuple_(code.c.attribute, code.c.value).in_(bindparam("pairs", expanding=True)),
)
_INSERTS: Mapping[str, Insert] = {
    "postgresql": postgresql.insert(code).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(code).on_conflict_do_nothing(),
}
_PORTION = 1000  # pairs in one SELECT


class CodeCache:
    """Numbers of codes in one database; shared by the threads of a process."""

    def __init__(self) -> None:
        self._ids: dict[Pair, int] = {}
        self._marks: dict[Pair, Transaction | None] = {}

    def ids(self, conn: Connection, attribute: str, values: Iterable[str]) -> list[int]:
        """Give the numbers of an attribute's codes; unknown codes have none, and no object has them."""
        pairs = [(attribute, value) for value in values]
        found = self._find(conn, pairs)
        return [found[pair] for pair in pairs if pair in found]

    def intern(self, conn: Connection, pairs: Iterable[Pair]) -> dict[Pair, int]:
        """Give every pair its number, inserting those that are new.

        Call it once per database transaction, with all pairs: they are inserted in one order, so that two transactions
        never wait for each other.
        """
        wanted = set(pairs)
        found = self._find(conn, wanted)
        new = sorted(wanted - found.keys())
        if new:
            conn.execute(
                _INSERTS[conn.dialect.name], [{"attribute": attribute, "value": value} for attribute, value in new]
            )
            self._marks |= dict.fromkeys(new, conn.get_transaction())
            found |= self._read(conn, new)
        return found

    def _find(self, conn: Connection, pairs: list[Pair] | AbstractSet[Pair]) -> dict[Pair, int]:
        known = {pair: self._ids[pair] for pair in pairs if pair in self._ids}
        missing = [pair for pair in pairs if pair not in known]
        return known | self._read(conn, missing) if missing else known

    def _read(self, conn: Connection, pairs: list[Pair]) -> dict[Pair, int]:
        found: dict[Pair, int] = {}
        for start in range(0, len(pairs), _PORTION):
            rows = conn.execute(_READ, {"pairs": pairs[start : start + _PORTION]})
            found |= {(attribute, value): number for attribute, value, number in rows}
        for pair, number in found.items():
            self._remember(conn, pair, number)
        return found

    def _remember(self, conn: Connection, pair: Pair, number: int) -> None:
        if pair in self._marks and self._marks[pair] is conn.get_transaction():
            return
        self._ids[pair] = number
        self._marks.pop(pair, None)
