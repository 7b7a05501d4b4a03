"""Which objects of the store the table means, asked for all of them in few readings of the table.

The table has no index by key: documents are paid by the byte, and nobody else asks. One reading tells the keys of many
folders (the first two digits of a key), packed; a store that lists folder by folder is gone through with one reading
for each `SLICE` documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from sqlalchemy import Connection, Engine

from repository import statements
from repository.storage import FOLDERS
from xds import database, postgres

SLICE = 4_000_000
"""Documents whose keys are held in memory at a time, 22 octets each (twice while they arrive)."""

_NAME = 22  # digits of a key after its folder


class MeantKeys:
    """The keys that a uniqueId means, as a container: `key in meant`.

    Keys are drawn at random, so that each folder has as many as another. Asking in the order of the folders is what
    makes it cheap; in any order the answers are the same.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        slices = 1 + database.read(engine, _count) // SLICE
        self._width = ceil(len(FOLDERS) / slices)
        self._packed: dict[str, str] = {}
        self._folder = ""
        self._names: set[str] = set()

    def __contains__(self, key: str) -> bool:
        folder, _, name = key.partition("/")
        if folder != self._folder:
            self._turn_to(folder)
        return name in self._names

    def _turn_to(self, folder: str) -> None:
        if folder not in self._packed:
            self._read_from(folder)
        packed = self._packed[folder]
        self._folder = folder
        self._names = {packed[at : at + _NAME] for at in range(0, len(packed), _NAME)}

    def _read_from(self, folder: str) -> None:
        """Hold the keys of this folder and of those after it."""
        at = FOLDERS.index(folder)
        folders = FOLDERS[at : at + self._width]
        end = f"{folders[-1]}0"  # 0 is what comes after the slash
        self._packed = dict.fromkeys(folders, "")
        self._packed |= database.read(self._engine, lambda connection: _packed(connection, folder, end))


def among(engine: Engine, keys: list[str]) -> set[str]:
    """Those of some keys that a uniqueId means now; one reading of the table."""

    def work(connection: Connection) -> set[str]:
        with _unhurried(connection):
            return statements.meant_keys(connection, keys)

    return database.read(engine, work)


def _count(connection: Connection) -> int:
    with _unhurried(connection):
        return statements.count(connection)


def _packed(connection: Connection, first: str, end: str) -> dict[str, str]:
    with _unhurried(connection):
        return dict(statements.packed_keys(connection, first, end))


@contextmanager
def _unhurried(connection: Connection) -> Iterator[None]:
    """Reading the whole table may take longer than the statements of a submission may."""
    driver = connection.connection.driver_connection
    with database.setting(connection, "statement_timeout", "0"), postgres.unhurried(driver):
        yield
