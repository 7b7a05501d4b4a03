"""The patients of the affinity domain, as the registry knows them (ITI TF-2 3.8, 3.44).

Until a feed is configured, an administrator adds patientIds by `xds patient add`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, insert, select

from registry.models import patient
from xds.metadata.affinity import AffinityDomain
from xds.metadata.hl7 import CX


def check(value: str, affinity: AffinityDomain) -> str:
    """A patientId in the form the registry stores.

    Args:
        value: CX text `ID^^^&OID&ISO`.
        affinity: whose assigning authorities are accepted.

    Raises:
        ValueError: if it is no CX, or its assigning authority is not the affinity domain's.
    """
    parsed = CX.parse(value)
    if not affinity.accepts_authority(parsed.authority):
        raise ValueError(f"{value}: the assigning authority {parsed.authority} is not one of the affinity domain's")
    return parsed.format()


def add(connection: Connection, values: Iterable[str]) -> list[str]:
    """Make patientIds known; those already known are left as they are.

    Returns:
        The ones that are new.
    """
    wanted = list(dict.fromkeys(values))
    known = set(connection.scalars(select(patient.c.value).where(patient.c.value.in_(wanted))))
    new = [value for value in wanted if value not in known]
    if new:
        connection.execute(insert(patient), [{"value": value} for value in new])
    return new


def active(connection: Connection, after: str = "", limit: int = 1000) -> Sequence[str]:
    """Active patientIds in order, a page at a time.

    Args:
        connection: where.
        after: the last one of the page before.
        limit: most to return.
    """
    query = select(patient.c.value).where(patient.c.survivor.is_(None), patient.c.value > after)
    return connection.scalars(query.order_by(patient.c.value).limit(limit)).all()
