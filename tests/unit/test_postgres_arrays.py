"""Arrays in PostgreSQL's binary form, against psycopg's own reader; PostgreSQL itself: integration/test_database.py."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format

from xds.postgres import Array, array

TYPES = {
    "smallint": (1005, st.integers(-(2**15), 2**15 - 1)),
    "integer": (1007, st.integers(-(2**31), 2**31 - 1)),
    "bigint": (1016, st.integers(-(2**63), 2**63 - 1)),
    "text": (1009, st.text(st.characters(exclude_characters="\0", codec="utf-8"))),
    "bytea": (1001, st.binary()),
    "uuid": (2951, st.uuids()),
}


@pytest.mark.parametrize("type_", TYPES)
@given(data=st.data())
def test_what_is_sent_is_what_was_given(type_: str, data: Any) -> None:
    number, values = TYPES[type_]
    given_ = data.draw(st.lists(st.none() | values, max_size=20))
    load = Transformer().get_loader(number, Format.BINARY).load
    assert load(array(type_, given_).octets) == given_


@pytest.mark.parametrize(("type_", "value"), [("smallint", 2**15), ("integer", -(2**31) - 1), ("bigint", 2**63)])
def test_what_a_type_cannot_hold_is_not_cut(type_: str, value: int) -> None:
    with pytest.raises(struct.error):
        array(type_, [value])


def test_psycopg_hands_the_octets_over() -> None:
    sent = array("uuid", [uuid.UUID(int=1), None])
    assert isinstance(sent, Array)
    assert list(Transformer().dump_sequence([sent], [PyFormat.BINARY])) == [sent.octets]
    assert psycopg.adapters.get_dumper(Array, PyFormat.AUTO).oid == 0
