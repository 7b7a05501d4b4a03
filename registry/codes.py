"""Interned codes: the number of `code^^codingScheme` in table `code`, remembered per process.

Rows of `code` are never changed or deleted, so that a number once committed holds for ever. New pairs get theirs in a
transaction of its own, before the one that uses it: a number that is read is a committed one and may be remembered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from sqlalchemy import Connection, Insert, bindparam, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

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


class NewCodes(Exception):  # noqa: N818 - what is the case
    """Pairs that have no number yet: `intern` them."""

    def __init__(self, pairs: AbstractSet[Pair]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


class CodeCache:
    """Numbers of codes in one database; shared by the threads of a process."""

    def __init__(self) -> None:
        self._ids: dict[Pair, int] = {}

    def ids(self, conn: Connection, attribute: str, values: Iterable[str]) -> list[int]:
        """Give the numbers of an attribute's codes; unknown codes have none, and no object has them."""
        pairs = [(attribute, value) for value in values]
        found = self._find(conn, pairs)
        return [found[pair] for pair in pairs if pair in found]

    def numbers(self, conn: Connection, pairs: AbstractSet[Pair]) -> dict[Pair, int]:
        """Give every pair its number.

        Raises:
            NewCodes: some have none.
        """
        found = self._find(conn, pairs)
        if len(found) < len(pairs):
            raise NewCodes(pairs - found.keys())
        return found

    def _find(self, conn: Connection, pairs: Collection[Pair]) -> dict[Pair, int]:
        known = {pair: self._ids[pair] for pair in pairs if pair in self._ids}
        missing = [pair for pair in pairs if pair not in known]
        if missing:
            read = _read(conn, missing)
            self._ids |= read
            known |= read
        return known


def intern(conn: Connection, pairs: Iterable[Pair]) -> dict[Pair, int]:
    """Number the pairs that have no number yet.

    Args:
        conn: a transaction that does nothing else.
        pairs: all that are needed: they are inserted in one order, so that two transactions never wait for each other.

    Returns:
        The number of each, once the transaction is committed.
    """
    wanted = sorted(set(pairs))
    rows = [{"attribute": attribute, "value": value} for attribute, value in wanted]
    conn.execute(_INSERTS[conn.dialect.name], rows)
    return _read(conn, wanted)


def _read(conn: Connection, pairs: Sequence[Pair]) -> dict[Pair, int]:
    found: dict[Pair, int] = {}
    for start in range(0, len(pairs), _PORTION):
        rows = conn.execute(_READ, {"pairs": pairs[start : start + _PORTION]})
        found |= {(attribute, value): number for attribute, value, number in rows}
    return found
