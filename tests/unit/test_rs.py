"""ebRS messages: RegistryResponse and its errors (ITI TF-3 4.2.4; `rs.xsd`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds.ebxml.rs import MAX_ERRORS, MAX_LOCATION, decode_response, encode_response
from xds.ebxml.schema import validate
from xds.ebxml.xml import parse
from xds.errors import Code, Severity, SoapFault, Status, XDSError
from xds.messages import RegistryResponse
from xds.metadata.vocabulary import RS

CHARACTERS = st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff")
TEXTS = st.text(st.one_of(CHARACTERS, st.sampled_from("&<>\"'\t\n\r")), min_size=1)
ERRORS = st.builds(XDSError, st.sampled_from(Code), TEXTS, st.one_of(st.none(), TEXTS), st.sampled_from(Severity))


@given(st.lists(ERRORS, max_size=4).map(tuple))
def test_a_response_reads_as_it_was_written(errors: tuple[XDSError, ...]) -> None:
    response = RegistryResponse(errors)
    element = parse(encode_response(response))
    assert list(validate(element)) == []
    assert decode_response(element) == RegistryResponse(errors, response.status)


def test_success_has_no_error_list() -> None:
    assert encode_response(RegistryResponse()).decode() == (
        f'<rs:RegistryResponse xmlns:rs="{RS}" status="{Status.SUCCESS}"></rs:RegistryResponse>'
    )


def test_warnings_alone_are_a_success() -> None:
    warning = XDSError("XDSExtraMetadataNotSaved", "a slot", severity=Severity.WARNING)
    element = parse(encode_response(RegistryResponse((warning,))))
    assert element.get("status") == Status.SUCCESS
    assert element[0].get("highestSeverity") == Severity.WARNING


def test_the_list_of_errors_has_an_end() -> None:
    errors = tuple(XDSError(Code.XDSRegistryMetadataError, f"fault {n}", "x" * 2000) for n in range(MAX_ERRORS + 7))
    element = parse(encode_response(RegistryResponse(errors)))
    decoded = decode_response(element)
    assert decoded.status is Status.FAILURE
    assert len(decoded.errors) == MAX_ERRORS + 1
    assert decoded.errors[-1].context == "7 further errors are not listed"
    assert decoded.errors[0].location == "x" * MAX_LOCATION


def received(content: str) -> RegistryResponse:
    return decode_response(parse(f'<x:RegistryResponse xmlns:x="{RS}" {content}</x:RegistryResponse>'.encode()))


def test_errors_of_others_are_read_leniently() -> None:
    response = received(
        f'status="{Status.FAILURE}"><x:RegistryErrorList><x:RegistryError errorCode="XDSReplaceFailed" codeContext="" '
        'severity="Error"> in words </x:RegistryError><x:RegistryError severity="Warning"/></x:RegistryErrorList>'
    )
    assert response.errors == (
        XDSError("XDSReplaceFailed", "in words"),
        XDSError(Code.XDSRegistryError, "no codeContext was given", severity=Severity.WARNING),
    )


@pytest.mark.parametrize("status", ["", 'status="Success"', 'status="urn:x"'])
def test_an_answer_without_a_status_of_the_standard_is_none(status: str) -> None:
    with pytest.raises(SoapFault):
        received(f"{status}>")
