"""ITI-18 and ITI-51: a Query becomes one SELECT, its rows become the answer (ITI TF-2 3.18.4.1.2.3.7, 3.18.4.1.2.6).

What is returned was made when the object was registered; nothing is parsed here. Which objects: `query_sql`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, select

from registry.bodies import unpack
from registry.codes import CodeCache
from registry.models import ASSOCIATION_TYPE_NUMBER, STATUS_NUMBER, Kind, patient
from registry.query_sql import LIMIT, key, statement
from registry.rows import ON_DEMAND_NUMBER
from xds.errors import Code, XDSError
from xds.messages import AdhocQueryResponse, ReturnType, ServedObject
from xds.queries.parse import Criterion, Group, Query
from xds.queries.table import Compare, Parameter
from xds.queries.text import exact_pattern, like_pattern


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """What the affinity domain decides about queries.

    Attributes:
        max_results: greatest number of objects in a LeafClass answer; more is XDSTooManyResults.
        max_refs: the same for ObjectRef.
        unknown_patient: a patientId that was never fed, or was merged away, finds nothing (`empty`) or is
            XDSUnknownPatientId (`error`).
        home: homeCommunityId of what is returned; None where there is none.
    """

    max_results: int = 1000
    max_refs: int = 100_000
    unknown_patient: Literal["empty", "error"] = "empty"
    home: str | None = None


def run(conn: Connection, query: Query, settings: QuerySettings, codes: CodeCache) -> AdhocQueryResponse:
    """Answer a stored query from the database.

    Args:
        conn: within a database transaction; one SELECT is made, one more for codes this process has not seen yet,
            and one more to tell whether patients are known, if that is an error.
        query: right in form.
        settings: bounds and policy.
        codes: numbers of codes in this database.

    Returns:
        The objects or their ids; or Failure with XDSTooManyResults, XDSResultNotSinglePatient or XDSUnknownPatientId.
    """
    limit = settings.max_refs if query.return_type is ReturnType.OBJECT_REF else settings.max_results
    shape = tuple((criterion.parameter.name, len(criterion.groups)) for criterion in query.criteria)
    values = _values(conn, query, codes) | {LIMIT: limit + 1}
    rows = conn.execute(statement(query.stored.id, query.return_type, shape), values).fetchall()
    error = _too_many(query, rows, limit) or _not_single_patient(query, rows) or _unknown_patient(conn, query, settings)
    if error:
        return AdhocQueryResponse(errors=(error,))
    if query.return_type is ReturnType.OBJECT_REF:
        return AdhocQueryResponse(refs=tuple(row[0].urn for row in rows), home=settings.home)
    return AdhocQueryResponse(
        objects=tuple(ServedObject(row[0].urn, _at_home(unpack(row[1]), settings.home)) for row in rows)
    )


def _at_home(body: bytes, home: str | None) -> bytes:
    """The object with the domain's homeCommunityId, unless it came with one of its own (ITI TF-3 4.2.3.2.12)."""
    opening = None if home is None else _OPENING.match(body)
    if home is None or opening is None or b' home="' in opening[0]:
        return body
    end = opening.end("tag")
    return b'%b home="%b"%b' % (body[:end], home.encode(), body[end:])


_OPENING = re.compile(rb"(?P<tag><[^\s/>]+)[^>]*")


def _too_many(query: Query, rows: Sequence[Any], limit: int) -> XDSError | None:
    if len(rows) <= limit:
        return None
    hint = "" if query.return_type is ReturnType.OBJECT_REF else ", ask for ObjectRef and get the objects in portions"
    return XDSError(Code.XDSTooManyResults, f"{query.stored.name}: more than {limit} results{hint}")


def _not_single_patient(query: Query, rows: Sequence[Any]) -> XDSError | None:
    """Compare patients as merged; associations have none (ITI TF-2 3.18.4.1.2.3.7, notes)."""
    if query.return_type is ReturnType.OBJECT_REF or not query.stored.single_patient:
        return None
    patients = {number for _, _, kind, number in rows if kind != Kind.ASSOCIATION}
    if len(patients) <= 1:
        return None
    what = f"{query.stored.name}: the answer holds objects of {len(patients)} patients, LeafClass allows one"
    return XDSError(Code.XDSResultNotSinglePatient, what)


_KNOWN = select(patient.c.value).where(
    patient.c.survivor.is_(None), patient.c.value.in_(bindparam("values", expanding=True))
)


def _unknown_patient(conn: Connection, query: Query, settings: QuerySettings) -> XDSError | None:
    criterion = query.find(Compare.PATIENT)
    if settings.unknown_patient == "empty" or criterion is None:
        return None
    values = criterion.groups[0]
    known = set(conn.execute(_KNOWN, {"values": values}).scalars())
    unknown = [value for value in values if value not in known]
    if not unknown:
        return None
    what = f"{query.stored.name}: {criterion.parameter.name}: {len(unknown)} unknown, the first is {unknown[0]}"
    return XDSError(Code.XDSUnknownPatientId, what, criterion.parameter.name)


# Values as the columns hold them


def _values(conn: Connection, query: Query, codes: CodeCache) -> dict[str, Any]:
    values = {}
    for criterion in query.criteria:
        for number, group in enumerate(criterion.groups):
            values[key(criterion.parameter.name, number)] = _value(conn, criterion, group, codes)
    return values


def _value(conn: Connection, criterion: Criterion, group: Group, codes: CodeCache) -> Any:
    parameter = criterion.parameter
    match parameter.compare:
        case Compare.CODE | Compare.CODES:
            return codes.ids(conn, parameter.attribute, group)
        case Compare.LIKE:
            return like_pattern(group, backtracking=conn.dialect.name == "sqlite")
    return _CONVERSIONS.get(parameter.compare, _as_sent)(parameter, group)


def _as_sent(parameter: Parameter, group: Group) -> Any:
    return group if parameter.many or parameter.compare in _LISTS else group[0]


def _numbers(table: Mapping[Any, int], group: Group) -> list[int]:
    return [table[value] for value in group if value in table]


def _uuids(_: Parameter, group: Group) -> list[uuid.UUID]:
    return [uuid.UUID(value) for value in group]


_LISTS = frozenset({Compare.UNIQUE_ID, Compare.EXACT})
_CONVERSIONS: Mapping[Compare, Callable[[Parameter, Group], Any]] = {
    Compare.STATUS: lambda _, group: _numbers(STATUS_NUMBER, group),
    Compare.OBJECT_TYPE: lambda _, group: _numbers(ON_DEMAND_NUMBER, group),
    Compare.ASSOCIATION_TYPE: lambda _, group: _numbers(ASSOCIATION_TYPE_NUMBER, group),
    Compare.REFERENCE: lambda _, group: exact_pattern(group),
    Compare.UUID: _uuids,
    Compare.ENDS: _uuids,
}
