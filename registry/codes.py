"""Interned codes: the number of `code^^codingScheme` in table `code`, remembered per process.

Rows of `code` are never changed or deleted, so that a number once committed holds for ever. New pairs get theirs in a
transaction of its own, before the one that uses it: a number that is read is a committed one and may be remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, Engine, Insert
from sqlalchemy.dialects import postgresql, sqlite

from registry.models import code
from xds import database
from xds.database import AnyConnection

Pair = tuple[str, str]
"""The attribute's name and `code^^codingScheme`."""

_READ = {
    dialect: f"SELECT attribute, value, id FROM code WHERE attribute {among} AND value {among}"  # noqa: S608 - our own
    for dialect, among in database.AMONG.items()
}
_INSERTS: Mapping[str, Insert] = {
    "postgresql": postgresql.insert(code).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(code).on_conflict_do_nothing(),
}


class CodeCache:
    """Numbers of codes in one database; shared by the threads of a process."""

    def __init__(self) -> None:
        self._ids: dict[Pair, int] = {}

    def ids(self, conn: AnyConnection, attribute: str, values: Iterable[str]) -> list[int]:
        """Give the numbers of an attribute's codes; unknown codes have none, and no object has them."""
        pairs = [(attribute, value) for value in values]
        missing = [pair for pair in pairs if pair not in self._ids]
        if missing:
            self._ids |= _read(conn, missing)
        return [self._ids[pair] for pair in pairs if pair in self._ids]

    def numbers(self, engine: Engine, pairs: Iterable[Pair]) -> dict[Pair, int]:
        """Give the number of each pair that has one."""
        missing = [pair for pair in pairs if pair not in self._ids]
        if missing:
            self._ids |= database.read_at_once(engine, lambda conn: _read(conn, missing))
        return {pair: self._ids[pair] for pair in pairs if pair in self._ids}


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


def _read(conn: AnyConnection, pairs: Iterable[Pair]) -> dict[Pair, int]:
    wanted = set(pairs)
    lists = [database.listed(conn, set(names)) for names in zip(*wanted, strict=True)]
    found = database.rows(conn, _READ[conn.dialect.name], lists) if wanted else ()
    return {(attribute, value): number for attribute, value, number in found if (attribute, value) in wanted}
