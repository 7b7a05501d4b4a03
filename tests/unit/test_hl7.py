"""HL7 v2 values: what is written is read again, escapes and trailing empty components."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds.metadata.datatypes import DATATYPES
from xds.metadata.hl7 import (
    CX,
    XCN,
    XON,
    XTN,
    CodedString,
    CXi,
    Hl7,
    Identifier,
    IntendedRecipient,
    escape,
    unescape,
)
from xds.metadata.source_patient import SourcePatientField

_text = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
_maybe = _text | st.just("")
_oid = st.lists(st.integers(0, 10**9), min_size=1, max_size=5).map(lambda arcs: ".".join(map(str, [2, *arcs])))
_maybe_oid = _oid | st.just("")
_xcn = st.builds(XCN.of, _text, _maybe, _maybe, prefix=_maybe, authority=_maybe_oid)
_xon = st.builds(XON, _text) | st.builds(XON, _text, _oid, _maybe_oid) | st.builds(XON, _text, _maybe, _oid)
_phone = st.builds(
    XTN, _text.filter(lambda kind: kind != "Internet"), _text, use=_maybe, country=_maybe, area=_maybe, extension=_maybe
)
_xtn = _phone | st.builds(XTN, st.just("Internet"), address=_text, use=st.sampled_from(["", "NET"]))
_recipient = st.builds(IntendedRecipient, st.none() | _xon, st.none() | _xcn, st.none() | _xtn)
VALUES = {
    CX: st.builds(CX, _text, _oid),
    CXi: st.builds(CXi, _text, _text, _oid) | st.builds(CXi, _text, _text, namespace=_maybe),
    XCN: _xcn,
    XON: _xon,
    XTN: _xtn,
    IntendedRecipient: _recipient.filter(lambda value: value != IntendedRecipient()),
    CodedString: st.builds(CodedString, _text, _oid)
    | st.builds(CodedString, _text.filter(lambda text: "^" not in text)),
    Identifier: st.builds(Identifier, _oid, _maybe),
}


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_parse_undoes_format(kind):
    @given(VALUES[kind])
    def check(value):
        assert kind.parse(value.format()) == value
        assert str(value) == value.format()
        assert DATATYPES[kind.__name__].matches(str(value))

    check()


@given(st.text())
def test_unescape_undoes_escape(text):
    assert unescape(escape(text)) == text
    assert not set("|^&~") & set(escape(text))


def test_trailing_empty_components_are_dropped_in_format():
    """NIST: PID-5|Doe^John^^^ is received, never sent."""
    assert CX.parse("p^^^&1.2&ISO^^^").format() == "p^^^&1.2&ISO"
    assert XCN.parse("^Doe^John^^^").format() == "^Doe^John"
    assert XON.parse("H^^^^^^").format() == "H"
    assert XTN.parse("^^PH^^^^1^^").format() == "^^PH^^^^1"
    assert IntendedRecipient.parse("H||").format() == "H"


def test_parts_are_unescaped():
    person = XCN.parse(r"7\S\1^O\T\Neil&van^Jo^^^Dr^^^NS&1.2.3&ISO^L")
    assert (person.id, person.family, person.given, person.prefix) == ("7^1", "O&Neil", "Jo", "Dr")
    assert person.authority == "1.2.3"
    assert XCN.of(family="Welby").authority == ""
    assert CX.parse(r"a\T\b^^^&1.2&ISO") == CX("a&b", "1.2")
    assert IntendedRecipient.parse("||^^Internet^a@b").telecommunication == XTN("Internet", address="a@b")
    assert Identifier.parse("1.2.3^a^b") == Identifier("1.2.3", "a^b")
    assert SourcePatientField.parse("PID-5|Doe^Jo") == SourcePatientField(5, "Doe^Jo")


def test_the_common_class_of_the_composite_types_is_no_type():
    with pytest.raises(NotImplementedError):
        str(Hl7())
    with pytest.raises(NotImplementedError):
        Hl7.parse("")
