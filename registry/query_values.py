"""The values of a query as the columns hold them and the drivers take them; ids as the drivers give them.

How many values a group has must not make a statement of its own for every number. For more than one PostgreSQL gets an
array. SQLite has no arrays and gets a place for each value; the number of places is rounded up to a power of two, and
the last value fills those left over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.codes import CodeCache
from registry.models import ASSOCIATION_TYPE_NUMBER, STATUS_NUMBER
from registry.query_sql import ARRAY, Shape, key
from registry.rows import ON_DEMAND_NUMBER
from xds.database import AnyConnection
from xds.queries.parse import MAX_VALUES, Group, Query
from xds.queries.table import Compare, Parameter
from xds.queries.text import exact_pattern, like_pattern

_PREFIX = "urn:uuid:"


@dataclass(frozen=True, slots=True)
class Driver:
    """What differs between the databases.

    Attributes:
        backtracking: whether its regular expressions go back, see `like_pattern`.
        arrays: whether several values are passed as an array.
        uuid: `urn:uuid:...` in lower case -> a value.
        urn: what a statement gives as an object's id -> `urn:uuid:...`.
    """

    backtracking: bool
    arrays: bool
    uuid: Callable[[str], Any]
    urn: Callable[[Any], str]

    def places(self, count: int) -> int:
        """How many places a statement has for so many values, at least one; or `ARRAY`."""
        return ARRAY if self.arrays and count > 1 else min(1 << (count - 1).bit_length(), MAX_VALUES)


def _urn(octets: bytes) -> str:
    text = octets.hex()
    return f"{_PREFIX}{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


DRIVERS: Mapping[str, Driver] = {
    "postgresql": Driver(
        backtracking=False,
        arrays=True,
        uuid=lambda urn: urn.removeprefix(_PREFIX),
        urn=str,
    ),
    "sqlite": Driver(
        backtracking=True,
        arrays=False,
        uuid=lambda urn: bytes.fromhex(urn.removeprefix(_PREFIX).replace("-", "")),
        urn=_urn,
    ),
}


def bind(conn: AnyConnection, query: Query, codes: CodeCache) -> tuple[Shape, dict[str, Sequence[Any]]]:
    """Give the shape of a query, and the values of each group by its `key`, one for each place.

    Args:
        conn: within a database transaction; codes this process has not seen yet are looked up.
        query: right in form.
        codes: numbers of codes in this database.
    """
    driver = DRIVERS[conn.dialect.name]
    shape: list[tuple[str, tuple[int, ...]]] = []
    bound: dict[str, Sequence[Any]] = {}
    for criterion in query.criteria:
        parameter, places = criterion.parameter, []
        for number, group in enumerate(criterion.groups):
            values = _values(conn, parameter, group, codes, driver) or [None]  # which nothing equals
            places.append(driver.places(len(values)))
            bound[key(parameter.name, number)] = _placed(values, places[-1])
        shape.append((parameter.name, tuple(places)))
    return tuple(shape), bound


def _placed(values: Sequence[Any], places: int) -> Sequence[Any]:
    return [_array(_filled(values, _LEAST))] if places == ARRAY else _filled(values, places)


def _filled(values: Sequence[Any], places: int) -> Sequence[Any]:
    return [*values, *[values[-1]] * (places - len(values))]


_LEAST = 10
"""PostgreSQL's guess for an array whose content it has not seen. It would think it worth while to look at a shorter
one, and plan every query anew."""


def _array(values: Sequence[Any]) -> str:
    """An array as PostgreSQL reads it; psycopg would take longer to write one than the database to answer."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: object) -> str:
    """In quotes, between which only they and the backslash need a backslash."""
    return '"' + str(value).replace("\\", r"\\").replace('"', r"\"") + '"'


def _values(conn: AnyConnection, parameter: Parameter, group: Group, codes: CodeCache, driver: Driver) -> Sequence[Any]:
    """The alternatives; none for those that no object can have."""
    match parameter.compare:
        case Compare.CODE | Compare.CODES:
            return codes.ids(conn, parameter.attribute, group)
        case Compare.LIKE:
            return [like_pattern(group, backtracking=driver.backtracking)]
        case Compare.REFERENCE:
            return [exact_pattern(group)]
        case Compare.UUID | Compare.ENDS:
            return [driver.uuid(value) for value in group]
    numbers = _NUMBERS.get(parameter.compare)
    return group if numbers is None else [numbers[value] for value in group if value in numbers]


_NUMBERS: Mapping[Compare, Mapping[Any, int]] = {
    Compare.STATUS: STATUS_NUMBER,
    Compare.OBJECT_TYPE: ON_DEMAND_NUMBER,
    Compare.ASSOCIATION_TYPE: ASSOCIATION_TYPE_NUMBER,
}
