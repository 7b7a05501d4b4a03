"""The affinity domain read from codes.xml (ITI TF-2 3.42.4.1.3.3.3)."""

import os
import re
from pathlib import Path

import pytest

from xds.metadata import affinity
from xds.metadata.affinity import CLASS_SCHEMES, AffinityDomainError, CodeType, Concept
from xds.metadata.datatypes import DATATYPES

LOINC, SNOMED = "2.16.840.1.113883.6.1", "2.16.840.1.113883.6.96"
IHE_FORMATS, WST500 = "1.3.6.1.4.1.19376.1.2.3", "2.16.156.10011.2.4"
SHARED = Path(os.environ.get("XDS_SHARED") or Path(__file__).parents[2].parent / "shared")
PUBLISHED = SHARED / "data" / "codes.xml"

NEEDED = [kind for kind in CodeType if kind not in affinity.OPTIONAL]


def document(body: str = "", *, leave_out: str = "") -> bytes:
    """A codes.xml with every needed CodeType open, and what a test is about."""
    types = "".join(f'<CodeType name="{kind}" open="true"/>' for kind in NEEDED if kind != leave_out)
    return f"<Codes>{types}\n{body}</Codes>".encode()


def type_code(*codes: str) -> str:
    return f'<CodeType name="typeCode">{"".join(codes)}</CodeType>'


A = f'<Code code="18842-5" display="Discharge summary" codingScheme="{LOINC}" system="http://loinc.org"/>'
B = f'<Code code="C0053" display="出院小结" codingScheme="{WST500}"/>'


def test_a_listed_pair_of_code_and_scheme_is_known():
    """Exact match of the pair; the display is not compared."""
    domain = affinity.parse(document(type_code(A, B), leave_out="typeCode"))
    assert domain.is_known("typeCode", "18842-5", LOINC)
    assert domain.is_known(CodeType.TYPE_CODE, "18842-5", LOINC)
    assert not domain.is_known("typeCode", "18842-5", SNOMED)
    assert not domain.is_known("typeCode", "18842-6", LOINC)
    assert not domain.is_known("typeCode", "c0053", WST500)
    assert domain.is_checked("typeCode")


def test_a_code_has_a_display_and_a_system():
    domain = affinity.parse(document(type_code(A, B)))
    assert domain.display("typeCode", "C0053", WST500) == "出院小结"
    assert domain.concept("typeCode", "18842-5", LOINC) == Concept("Discharge summary", "http://loinc.org")
    assert domain.concept("typeCode", "C0053", WST500) == Concept("出院小结")
    assert domain.display("typeCode", "C0054", WST500) is None
    assert domain.concept("noCode", "x") is None


def test_an_open_code_type_accepts_any_code_and_keeps_its_displays():
    domain = affinity.parse(document('<CodeType name="typeCode" open="true">' + A + "</CodeType>"))
    assert not domain.is_checked("typeCode")
    assert domain.is_known("typeCode", "x", "1.2.3")
    assert domain.display("typeCode", "18842-5", LOINC) == "Discharge summary"


def test_a_setting_opens_a_code_type_the_file_lists():
    content = document(type_code(A), leave_out="typeCode")
    domain = affinity.parse(content, open_types=["typeCode"])
    assert domain.is_known("typeCode", "x", "1.2.3")
    assert not affinity.parse(content).is_known("typeCode", "x", "1.2.3")
    with pytest.raises(AffinityDomainError, match=r"no CodeType titleCode can be left open; expected .*typeCode"):
        affinity.parse(content, open_types=["titleCode"])


def test_roles_specialties_and_languages_are_open_until_listed():
    domain = affinity.parse(document())
    assert domain.is_known("authorRole", "Attending")
    assert domain.is_known("languageCode", "xx")
    body = '<CodeType name="languageCode"><Code code="de-CH"/></CodeType>'
    closed = affinity.parse(document(body))
    assert closed.is_known("languageCode", "DE-ch")
    assert not closed.is_known("languageCode", "en")


def test_an_empty_code_type_accepts_nothing():
    domain = affinity.parse(document('<CodeType name="typeCode"></CodeType>', leave_out="typeCode"))
    assert not domain.is_known("typeCode", "18842-5", LOINC)


def test_mime_types_are_compared_without_case():
    body = '<CodeType name="mimeType"><Code code="text/XML" ext="xml"/></CodeType>'
    domain = affinity.parse(document(body, leave_out="mimeType"))
    assert domain.is_known("mimeType", "Text/xml")
    assert not domain.is_known("mimeType", "text/plain")


def test_the_first_display_of_a_repeated_code_counts():
    """The published table names some anatomic regions twice."""
    again = A.replace("Discharge summary", "Other")
    assert affinity.parse(document(type_code(A, again))).display("typeCode", "18842-5", LOINC) == "Discharge summary"


def test_codes_are_compared_in_unicode_nfc():
    """ITI TF-2 Appendix F."""
    domain = affinity.parse(document(type_code(A.replace("18842-5", "e\u0301")), leave_out="typeCode"))
    assert domain.is_known("typeCode", "\u00e9", LOINC)


def test_assigning_authorities_limit_the_patients_accepted():
    assert affinity.parse(document()).accepts_authority("1.2.3")
    domain = affinity.parse(document('<AssigningAuthority id="&amp;1.2.3&amp;ISO" display="us"/>'))
    assert domain.assigning_authorities == {"1.2.3"}
    assert domain.accepts_authority("1.2.3")
    assert not domain.accepts_authority("1.2.3.4")


def test_the_table_is_immutable():
    domain = affinity.parse(document(type_code(A)))
    with pytest.raises(TypeError):
        domain.codes["typeCode"]["x", "y"] = Concept("z")


WRONG = {
    "no XML": (b"codes", "line 1: syntax error; expected well-formed XML"),
    "empty": (b"", "line 1: no element found"),
    "cut off": (b"<Codes>\n<CodeType", "line 2: unclosed token"),
    "unknown entity": (b"<Codes>&x;</Codes>", "line 1: undefined entity"),
    "doctype": (b'<!DOCTYPE Codes [<!ENTITY x "y">]><Codes/>', "line 1: found a DOCTYPE; expected none"),
    "external": (b'<!DOCTYPE Codes SYSTEM "file:///etc/passwd"><Codes/>', "found a DOCTYPE"),
    "other root": (b"<ValueSet/>", "line 1: found element ValueSet; expected Codes/CodeType/Code or"),
    "misplaced code": (document(A), "line 2: found element Codes/Code; expected Codes/CodeType/Code"),
    "nested": (document(type_code(A[:-2] + "><x/></Code>")), "line 2: found element Codes/CodeType/Code/x"),
    "no name": (document("<CodeType/>"), "line 2: found CodeType without name; expected CodeType/@name"),
    "wrong name": (document('<CodeType name="typecode"/>'), "found CodeType 'typecode'; expected associationDocum"),
    "scheme": (document('<CodeType name="typeCode" classScheme="urn:uuid:x"/>'), "expected urn:uuid:f0306f51-975f"),
    "switch": (document('<CodeType name="typeCode" open="yes"/>'), "with open 'yes'; expected true or false"),
    "no code": (document(type_code('<Code display="x" codingScheme="1.2"/>')), "Code without code"),
    "no display": (document(type_code('<Code code="x" codingScheme="1.2"/>')), "Code without display"),
    "no coding scheme": (document(type_code('<Code code="x" display="x"/>')), "Code without codingScheme"),
    "bare authority": (
        document('<AssigningAuthority id="1.2"/>'),
        "with id '1.2'; expected &oid&ISO, written &amp;oid",
    ),
    "bad authority": (document('<AssigningAuthority id="&amp;1.02&amp;ISO"/>'), "with id '&1.02&ISO'"),
    "no authority": (document("<AssigningAuthority/>"), "AssigningAuthority without id"),
    "missing": (
        document(leave_out="formatCode"),
        'CodeType formatCode missing; expected its codes, or <CodeType name="',
    ),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_a_malformed_table_is_refused_with_file_line_and_expectation(content, message):
    with pytest.raises(AffinityDomainError, match=re.escape(message)) as caught:
        affinity.parse(content, "our-codes.xml")
    assert str(caught.value).startswith("our-codes.xml")


def test_a_file_is_loaded_and_a_missing_one_named(tmp_path):
    path = tmp_path / "codes.xml"
    path.write_bytes(document(type_code(A), leave_out="typeCode"))
    assert affinity.load(path).is_checked("typeCode")
    assert not affinity.load(path, ["typeCode"]).is_checked("typeCode")
    with pytest.raises(AffinityDomainError, match=r"absent\.xml: No such file or directory; expected a codes.xml"):
        affinity.load(tmp_path / "absent.xml")


# --- the table that comes with the project ----------------------------------------------------------------------------


def test_the_default_table_lists_every_needed_code_type():
    domain = affinity.default()
    assert set(domain.codes) == set(NEEDED)
    assert all(domain.codes.values())
    assert domain.open == affinity.OPTIONAL | {"eventCodeList"}
    assert domain.accepts_authority("1.2.3")


def test_the_default_table_has_the_codes_of_a_small_affinity_domain():
    domain = affinity.default()
    for code in ("18842-5", "34133-9", "11488-4", "57016-8", "11502-2", "60591-5"):
        assert domain.is_known("typeCode", code, LOINC)
        assert domain.is_known("classCode", code, LOINC)
    assert domain.display("typeCode", "C0053", WST500) == "出院小结"
    assert sum(scheme == WST500 for _, scheme in domain.codes["typeCode"]) == 53
    assert domain.is_known("formatCode", "urn:ihe:iti:xds:2017:mimeTypeSufficient", IHE_FORMATS)
    assert {code for code, _ in domain.codes["confidentialityCode"]} == set("ULMNRV")
    mime_types = {code for code, _ in domain.codes["mimeType"]}
    assert mime_types >= {"text/xml", "application/pdf", "application/dicom", "text/plain"}


def test_the_default_table_is_well_formed_in_every_value():
    """Schemes are OIDs, displays are there, media types are media types, codes fit ebRIM's 256 characters."""
    domain = affinity.default()
    for kind, pairs in domain.codes.items():
        for (code, scheme), concept in pairs.items():
            assert DATATYPES["String"].check(code) is None
            assert concept.display.strip() == concept.display
            if kind in affinity.PLAIN:
                assert DATATYPES["MimeType"].check(code) is None
            else:
                assert DATATYPES["OID"].check(scheme) is None
                assert DATATYPES["URI"].check(concept.system) is None


def test_the_default_table_gives_each_coding_scheme_one_system():
    systems: dict[str, set[str | None]] = {}
    for pairs in affinity.default().codes.values():
        for (_, scheme), concept in pairs.items():
            systems.setdefault(scheme, set()).add(concept.system)
    assert all(len(found) == 1 for found in systems.values())


def test_the_advice_in_the_default_table_on_assigning_authorities_works():
    text = affinity.files("xds").joinpath("data", "codes.xml").read_text(encoding="utf-8")
    advice = re.search(r"<AssigningAuthority .*/>", text)
    assert advice
    content = text.replace("\n</Codes>", f"\n{advice[0]}\n</Codes>").encode()
    assert affinity.parse(content).assigning_authorities == {"1.2.3.4.5"}


def test_every_coded_attribute_has_its_classification_scheme():
    assert set(CLASS_SCHEMES) == set(NEEDED) - affinity.PLAIN


@pytest.mark.shared
def test_the_published_table_loads_unchanged():
    """NIST XDS Toolkit, version 2024.05: the numbers its description gives, repeated codes counted once."""
    if not PUBLISHED.exists():
        pytest.skip(f"no published codes.xml at {PUBLISHED}")
    domain = affinity.load(PUBLISHED)
    counts = {kind: len(pairs) for kind, pairs in domain.codes.items()}
    expected = {"classCode": 14, "typeCode": 43, "formatCode": 77, "practiceSettingCode": 17, "confidentialityCode": 6}
    expected |= {"healthcareFacilityTypeCode": 11, "contentTypeCode": 10, "folderCodeList": 2, "mimeType": 14}
    assert counts == expected | {"associationDocumentation": 2, "eventCodeList": counts["eventCodeList"]}
    assert counts["eventCodeList"] == 402  # 414 lines
    assert domain.open == affinity.OPTIONAL
    assert len(domain.assigning_authorities) == 3
    assert not domain.accepts_authority("1.2.3")
    assert domain.display("confidentialityCode", "N", "2.16.840.1.113883.5.25") == "normal"
