"""The values of a query as the columns hold them and the drivers take them; ids as the drivers give them.

How many values a group has must not make a statement of its own for every number. One value stands in one place. For
several, PostgreSQL takes an array. SQLite has none and gets a place for each; their number is rounded up to a power of
two, and those left over are NULL, which nothing equals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from registry.codes import CodeCache
from registry.models import ASSOCIATION_TYPE_NUMBER, STATUS_NUMBER
from registry.query_sql import ARRAY, Shape, place
from registry.rows import ON_DEMAND_NUMBER
from xds.queries.parse import Group, Query
from xds.queries.table import Compare, Parameter
from xds.queries.text import exact_pattern, like_pattern

_PREFIX = "urn:uuid:"


@dataclass(frozen=True, slots=True)
class Driver:
    """What differs between the databases.

    Attributes:
        backtracking: whether its regular expressions go back, see `like_pattern`.
        places: number of values -> places in the statement.
        uuid: `urn:uuid:...` in lower case -> a value.
        urn: what a statement gives as an object's id -> `urn:uuid:...`.
    """

    backtracking: bool
    places: Callable[[int], int]
    uuid: Callable[[str], Any]
    urn: Callable[[Any], str]


def _urn(octets: bytes) -> str:
    text = octets.hex()
    return f"{_PREFIX}{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


DRIVERS: Mapping[str, Driver] = {
    "postgresql": Driver(
        backtracking=False,
        places=lambda count: 1 if count == 1 else ARRAY,
        uuid=lambda urn: urn.removeprefix(_PREFIX),
        urn=str,
    ),
    "sqlite": Driver(
        backtracking=True,
        places=lambda count: 1 << (count - 1).bit_length(),
        uuid=lambda urn: bytes.fromhex(urn.removeprefix(_PREFIX).replace("-", "")),
        urn=_urn,
    ),
}


def bind(conn: Connection, query: Query, codes: CodeCache) -> tuple[Shape, dict[str, Any]]:
    """Give the shape of a query, and its values by their places in the statement.

    Args:
        conn: within a database transaction; codes this process has not seen yet are looked up.
        query: right in form.
        codes: numbers of codes in this database.
    """
    driver = DRIVERS[conn.dialect.name]
    shape: list[tuple[str, tuple[int, ...]]] = []
    bound: dict[str, Any] = {}
    for criterion in query.criteria:
        parameter, places = criterion.parameter, []
        for number, group in enumerate(criterion.groups):
            values = _values(conn, parameter, group, codes, driver)
            places.append(driver.places(max(1, len(values))))
            bound |= _placed(parameter.name, number, places[-1], values)
        shape.append((parameter.name, tuple(places)))
    return tuple(shape), bound


def _placed(parameter: str, group: int, places: int, values: Sequence[Any]) -> dict[str, Any]:
    if places == ARRAY:
        # psycopg would take longer to find out what is in a list than to run the query.
        return {place(parameter, group): "{" + ",".join(map(_element, values)) + "}"}
    filled = [*values, *[None] * (places - len(values))]
    return {place(parameter, group, number): value for number, value in enumerate(filled)}


def _element(value: object) -> str:
    """An element of an array as PostgreSQL reads it: in quotes only they and the backslash need a backslash."""
    return '"' + str(value).replace("\\", r"\\").replace('"', r"\"") + '"'


def _values(conn: Connection, parameter: Parameter, group: Group, codes: CodeCache, driver: Driver) -> Sequence[Any]:
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
