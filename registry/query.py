"""ITI-18 and ITI-51: a Query becomes one SELECT, its rows become the answer (ITI TF-2 3.18.4.1.2.3.7, 3.18.4.1.2.6).

What is returned was made when the object was registered; nothing is parsed here. Which objects: `query_sql`, by the
values of `query_values`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from registry.bodies import unpack
from registry.codes import CodeCache
from registry.models import Kind
from registry.query_sql import LIMIT, statement
from registry.query_values import DRIVERS, bind
from xds import database
from xds.database import AnyConnection
from xds.errors import Code, XDSError
from xds.messages import AdhocQueryResponse, ReturnType, ServedObject
from xds.queries.parse import Query
from xds.queries.table import Compare
from xds.transactions import ITI_51


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


def run(conn: AnyConnection, query: Query, settings: QuerySettings, codes: CodeCache) -> AdhocQueryResponse:
    """Answer a stored query from the database.

    Args:
        conn: within a database transaction; one SELECT is made, one more for codes this process has not seen yet,
            and one more to tell whether patients are known, if that is an error and the answer does not tell.
        query: right in form.
        settings: bounds and policy.
        codes: numbers of codes in this database.

    Returns:
        The objects or their ids; or Failure with XDSTooManyResults, XDSResultNotSinglePatient or XDSUnknownPatientId.
    """
    limit = settings.max_refs if query.return_type is ReturnType.OBJECT_REF else settings.max_results
    rows = _rows(conn, query, codes, limit + 1)
    error = _too_many(query, rows, limit) or _not_single_patient(query, rows)
    error = error or _unknown_patient(conn, query, rows, settings)
    if error:
        return AdhocQueryResponse(errors=(error,))
    urn = DRIVERS[conn.dialect.name].urn
    if query.return_type is ReturnType.OBJECT_REF:
        return AdhocQueryResponse(refs=tuple([urn(row[0]) for row in rows]), home=settings.home)
    return AdhocQueryResponse(
        objects=tuple([ServedObject(urn(row[0]), _at_home(unpack(row[1]), settings.home)) for row in rows])
    )


def _rows(conn: AnyConnection, query: Query, codes: CodeCache, most: int) -> Sequence[Any]:
    """The rows of the query's statement, as the driver gives them."""
    shape, values = bind(conn, query, codes)
    values[LIMIT] = [most]
    text, names = statement(conn.dialect.name, query.stored.id, query.return_type, shape)
    with database.planned_for_values(conn) if query.stored.transaction == ITI_51.number else nullcontext():
        return database.rows(conn, text, [value for name in names for value in values[name]])


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


_KNOWN = {
    dialect: f"SELECT value FROM patient WHERE survivor IS NULL AND value {among}"  # noqa: S608 - our own
    for dialect, among in database.AMONG.items()
}


def _unknown_patient(
    conn: AnyConnection, query: Query, rows: Sequence[Any], settings: QuerySettings
) -> XDSError | None:
    criterion = query.find(Compare.PATIENT)
    if settings.unknown_patient == "empty" or criterion is None:
        return None
    values = criterion.groups[0]
    if rows and len(values) == 1:
        return None  # it was found by its patient
    found = database.rows(conn, _KNOWN[conn.dialect.name], (database.listed(conn, values),))
    known = {value for (value,) in found}
    unknown = [value for value in values if value not in known]
    if not unknown:
        return None
    what = f"{query.stored.name}: {criterion.parameter.name}: {len(unknown)} unknown, the first is {unknown[0]}"
    return XDSError(Code.XDSUnknownPatientId, what, criterion.parameter.name)
