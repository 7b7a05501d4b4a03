"""ITI-18, ITI-51: every parameter of every stored query decides what is found (ITI TF-2 3.18.4.1.2.3.7, 3.51.4.1.2.3).

The corpus asks every query with all its parameters and finds something. Here one parameter after the other is given a
value that fits nothing, through the front door, and less is found.
"""

from __future__ import annotations

import io

import pytest

from tests import corpus
from tests.corpus import Case
from tests.world import World, check, read
from xds.ebxml import rs
from xds.errors import Status
from xds.messages import AdhocQuery
from xds.metadata.vocabulary import ON_DEMAND, AssociationType, AvailabilityStatus
from xds.queries.table import TABLE, Compare, Parameter
from xds.soap.envelope import encode_request
from xds.soap.mtom import read_message

NOTHING = {
    Compare.PATIENT: "'p2^^^&2.999.1.4&ISO'",
    Compare.STATUS: f"'{AvailabilityStatus.DEPRECATED}'",
    Compare.CODE: "'none^^2.999.1'",
    Compare.CODES: "'none^^2.999.1'",
    Compare.LIKE: "'%Nobody%'",
    Compare.FROM: "2999",
    Compare.TO: "1900",
    Compare.EXACT: "'2.999.9'",
    Compare.REFERENCE: "'none'",
    Compare.OBJECT_TYPE: f"'{ON_DEMAND}'",
    Compare.ASSOCIATION_TYPE: f"'{AssociationType.SIGNS}'",
    Compare.UUID: "'urn:uuid:00000000-0000-4000-8000-00000000dead'",
    Compare.ENDS: "'urn:uuid:00000000-0000-4000-8000-00000000dead'",
    Compare.UNIQUE_ID: "'2.999.9.9'",
}
PARAMETERS = {(stored.name, row.name): row for stored in TABLE for row in stored.enabled}


def _shown() -> list[tuple[Case, Parameter]]:
    """Each parameter once, in the first case of its query that gives it and finds something."""
    found: dict[tuple[str, str], Case] = {}
    for case in corpus.cases():
        for name in case.query[1:]:
            if case.objects and (case.query[0], name) in PARAMETERS:
                found.setdefault((case.query[0], name), case)
    return [(case, PARAMETERS[key]) for key, case in found.items()]


def _ask(world: World, case: Case, changed: dict[str, tuple[str, ...]]) -> int:
    """Number of objects the case's query finds with some of its slots changed."""
    message = read_message(io.BytesIO(case.body), case.headers["Content-Type"])
    query = rs.decode_query(corpus.body_of(message.root))
    slots = tuple((name, changed.get(name, values)) for name, values in query.slots)
    sent = AdhocQuery(query.id, slots, query.return_type)
    body = encode_request(case.transaction.action, "", "urn:uuid:1", rs.encode_query(sent))
    status, errors, count = read(case, world.send(corpus.plain(case.transaction, body)))
    assert status is Status.SUCCESS, errors
    return count or 0


@pytest.mark.parametrize(
    ("case", "parameter"),
    [
        pytest.param(case, row, id=f"{case.query[0]} {row.name}", marks=pytest.mark.rule(f"{case.query[0]} {row.name}"))
        for case, row in _shown()
    ],
)
def test_a_parameter_decides_what_is_found(case: Case, parameter: Parameter, world: World):
    for name in case.after:
        check(corpus.case(name), world.send(corpus.case(name)))
    assert _ask(world, case, {}) == case.objects
    value = NOTHING[parameter.compare]
    assert _ask(world, case, {parameter.name: (f"({value})" if parameter.many else value,)}) < case.objects


def test_every_parameter_is_asked():
    assert {(case.query[0], row.name) for case, row in _shown()} == PARAMETERS.keys()
