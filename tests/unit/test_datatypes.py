"""The data types of ITI TF-3 Table 4.2.3.1.7-2: wire forms, messages, patterns against parsers, normal forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds.metadata.datatypes import DATATYPES, repeated_pid_fields
from xds.metadata.text import shown

GOOD = {
    "CX": [
        "p1^^^&1.2.3.4&ISO",
        r"a\T\b\S\c^^^&1.2.3&ISO",
        "p1^^^&1.2.3&ISO^^^",  # trailing empty components are ignored
        "p1^^^&1.2.3&ISO&",
        "患者 7^^^&2.16.156.10011&ISO",
        f"p^^^&1.{'9' * 62}&ISO",  # an OID of 64 characters
    ],
    "CXi": [
        "1^^^^urn:ihe:iti:xdw:2013:workflowInstanceId",
        "2^^^NS^urn:ihe:iti:xds:2013:order",
        "2^^^&1.2.3&ISO^local^^",
        "2^^^&^local",
    ],
    "DTM": ["2025", "202511", "20251117", "2025111709", "202511170930", "20240229", "20000229235959"],
    "OID": ["1.2", "0.0", "2.25.329800735698586629295641978511506172918", "1.99.0.1"],
    "UUID": ["urn:uuid:10B545EA-725C-446D-9B95-8AEB444EDDF3"],
    "URI": ["http://", "a%20b", "file:///x/y?z#f", "DIR/X.TXT"],
    "SHA1": ["DA39A3EE5E6B4B0D3255BFEF95601890AFD80709"],
    "Integer": ["0", "007", "9" * 30],
    "MimeType": ["application/fhir+json", "application/vnd.hl7-sda+xml", "Text/XML"],
    "LanguageCode": [
        *("en", "de-CH", "zh-Hans-CN", "zh-cmn-Hant", "es-419", "sl-rozaj-biske", "de-1996", "en-u-co-phonebk"),
        *("x-local", "i-klingon", "en-GB-oed", "sgn-BE-FR", "DE-ch", "art", "en-a-bbb-x-a-ccc"),
    ],
    "CodedString": ["Attending", "Ear, Nose & Throat", "D^^^&1.2.3&ISO^^"],
    "String": ["x", "Zeile 1\nZeile 2"],
    "XCN": [
        "^Welby",
        "11375",
        "11375^^^^^^^^&1.2&ISO",
        "^Welby^Marcus^^^^^^^^^^^^^^^^^^^^MD",
        "1^a&van&b^^^^^^^NS&1.2.3&ISO^L^^^NPI",
        "1^^^^^^^^NS",
        "^李^四^^^主任",
    ],
    "XON": [
        "Some Hospital",
        "H^^^^",
        "H^^^^^^^^^1.2.3.4",
        "H^^^^^&1.2&ISO",
        "H^^^^^&1.2&ISO&^^^^45^^",
        r"A \T\ B",
    ],
    "XTN": ["^NET^Internet^a@b", "^PRN^PH^^49^30^1234567^12", "^^CP^^^^555-1212", "^^Internet^a@b^^^"],
    "IntendedRecipient": ["H", "|^Welby", "||^^Internet^a@b", "H||^^PH^^^^1", "H|", "H||"],
    "SourcePatientInfo": [
        "PID-3|a^^^&1.2&ISO~b^^^&1.3&ISO^",
        "PID-5|Doe^John^^^",
        "PID-5|Doe^Jo~Roe^Jo",
        "PID-7|19560527",
        "PID-7|1956^",
        "PID-8|U",
        "PID-11|100 Main St^^Metropolis^Il^44130^USA&x",
        "PID-5|",
        "PID-7|",
        "PID-3|",
        "PID-39|x",
    ],
    "HomeCommunityId": ["urn:oid:1.2.3"],
    "Identifier": [
        "1.2.3",
        "1.2.3^x y|z^&",
        "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3",
        "http://a/b",
        "urn:oid:1.2",
        "doc-1",
    ],
    "AvailabilityStatus": ["urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated"],
    "DocumentAvailability": ["urn:ihe:iti:2010:DocumentAvailability:Offline"],
}

BAD = {
    "CX": {
        "p1": "component 4 (assigning authority) is empty; expected id^^^&oid&ISO",
        "p1^^^&": "component 4.2 (OID of the assigning authority) is empty",
        "^^^&1.2.3&ISO": "component 1 (id) is empty",
        "p1^^^NS&1.2.3&ISO": "component 4.1 (namespace id) is 'NS' and must be empty",
        "p1^^^NS": "component 4.1 (namespace id) is 'NS'",
        "p1^^^&1.2.3&ISO^MR": "component 5 is 'MR' and must be empty",
        "p1^x^^&1.2.3&ISO": "component 2 is 'x' and must be empty",
        "p1^^^&1.2.3&DNS": "component 4 (assigning authority) is '&1.2.3&DNS', not &oid&ISO",
        "p1^^^&1.2.3": "not &oid&ISO",
        "p1^^^&&ISO": "component 4.2 is '', no OID: an arc is empty",
        "p1^^^&1.02&ISO": "component 4.2 is '1.02', no OID: the arc '02' has a leading zero",
        "p1^^^&urn:oid:1.2&ISO": "'urn:oid:1' is no number",
        "p1^^^&1.2.3&ISO&x": "not &oid&ISO",
        f"p^^^&1.{'9' * 63}&ISO": "it has 65 characters, at most 64",
        "a&b^^^&1.2.3&ISO": r"in which & is written \T\ ",
        "a~b^^^&1.2.3&ISO": r"the character '~' is written \R\ inside a component",
        "a|b^^^&1.2.3&ISO": r"the character '|' is written \F\ ",
        r"a\b^^^&1.2.3&ISO": r"the character '\' is written \E\ ",
        r"a\X0D\b^^^&1.2.3&ISO": r"the character '\' is written \E\ ",
        "a\nb^^^&1.2.3&ISO": r"the character '\x0a' is not allowed",
        f"{'a' * 300}^^^&1.2.3&ISO": "it has 313 characters; expected at most 256",
    },
    "CXi": {
        "1^^^&1.2&ISO": "component 5 (type code) is empty",
        "^^^&1.2&ISO^t": "component 1 (id) is empty",
        "1^x^^&1.2&ISO^t": "component 2 is 'x'",
        "1^^^NS&1.2&ISO^t": "must be a namespace id or &oid&ISO, not both",
        "1^^^&1.2&ISO^t^x": "component 6 is 'x'",
        "1^^^&1.2&ISO^urn:ihe:iti:xdw:2013:workflowInstanceId": "component 4 is '&1.2&ISO' and must be empty",
        "1^^^N^urn:ihe:iti:xds:2016:studyInstanceUID": "component 4 is 'N' and must be empty",
    },
    "DTM": {
        "": "it is empty",
        "2025-11-17": "only digits may be there: UTC, no time zone, no fraction",
        "20251117093045.123": "only digits",
        "20251117093045+0800": "only digits",
        "２０２５": "only digits",  # noqa: RUF001 - digits of another script
        "202": "it has 3 digits, not 4, 6, 8, 10, 12 or 14",
        "2025111": "it has 7 digits",
        "2025111709304500": "it has 16 digits",
        "0000": "the year 0000",
        "202513": "there is no month 13",
        "20250229": "there is no day 29",
        "20250431": "there is no day 31",
        "2025010124": "there is no hour 24",
        "202501012360": "there is no minute 60",
        "20250101235960": "there is no second 60",
    },
    "OID": {
        "urn:oid:1.2": "'urn:oid:1' is no number",
        "3.1": "the first arc is '3'",
        "1": "it has a single arc",
        "1..2": "an arc is empty",
        "1.2.": "an arc is empty",
        "1.01": "leading zero",
        "1.2 ": "'2 ' is no number",
        "1.2\n": r"'2\x0a' is no number",
        "1." + "2" * 63: "it has 65 characters",
    },
    "UUID": {
        "10b545ea-725c-446d-9b95-8aeb444eddf3": "it does not start with urn:uuid:",
        "urn:uuid:10b545ea725c446d9b958aeb444eddf3": "the digits are not of this form",
        "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddfg": "the digits",
    },
    "URI": {
        "a b": "does not allow the character ' '",
        "a%2": "the character '%'",
        "ü": "the character 'ü'",
        "": "it is empty",
    },
    "SHA1": {"da39": "it has 4 characters", "g" * 40: "others than 0-9 and a-f"},
    "Integer": {"-1": "decimal digits", "1.5": "decimal digits", "": "it is empty", "１": "decimal digits"},  # noqa: RUF001
    "MimeType": {"xml": "type/subtype", "text/xml; charset=utf-8": "without parameters", "text/": "type/subtype"},
    "LanguageCode": {
        "e": "a language tag",
        "de_CH": "a language tag",
        "en-": "a language tag",
        "deutschsprachig": "tag",
    },
    "CodedString": {
        "": "it is empty",
        "c^d": "component 2 is 'd'",
        "c^^^&1": "not &oid&ISO",
        "^^^&1.2&ISO": "component 1 (code)",
    },
    "String": {"": "it is empty", "x" * 257: "it has 257 characters; expected at most 256"},
    "XCN": {
        "": "components 1 (id) and 2 (family name) are both empty",
        "^^Marcus": "are both empty",
        "^&van": "are both empty",
        "1^a^^^^^^^&1.2.x&ISO": "component 9.2 is '1.2.x', no OID",
        "1^a^^^^^^^&1.2": "component 9 (assigning authority)",
        "1~2^a": "the character '~'",
        "a&b^c": "component 1 (id)",
        "1" + "^a" * 23: "it has 24 components, at most 23 exist",
    },
    "XON": {
        "^^^^^&1.2&ISO^^^^45": "component 1 (name) is empty",
        "H^^^^^^^^^45": "component 10 (id) is '45', no OID, and component 6 (its authority) is empty",
        "H^^^^^NS&1.2&ISO^^^^45": "component 6.1 (namespace id) is 'NS'",
        "H^L": "component 2 is 'L'",
        "H^^^^^&^^^^45": "component 6.2 (OID of the assigning authority) is empty",
        "H^^^^^^^^^1.2.3^x": "component 11 is 'x'",
        "A & B": r"in which & is written \T\ ",
    },
    "XTN": {
        "": "component 3 (equipment type) is empty",
        "+49 30 123": "component 3 (equipment type) is empty",
        "^^Internet": "component 4 (e-mail address) is empty",
        "^PRN^Internet^a@b": "component 2 (use code) is 'PRN', for an e-mail address NET or empty",
        "^^Internet^a@b^49": "component 5 is '49'",
        "^^PH": "component 7 (local number) is empty",
        "^^PH^a@b^^^1": "component 4 is 'a@b'",
        "x^^PH^^^^1": "component 1 is 'x'",
        "^^PH^^^^1^^^^^+491": "component 12 is '+491'",
    },
    "IntendedRecipient": {
        "": "0 of 1 parts are filled",
        "||": "0 of 3 parts are filled",
        "H|^a|^^PH^^^^1|x": "4 of 4 parts are filled",
        "|^^x": "'^^x' is no XCN: components 1 (id) and 2 (family name) are both empty; expected id^family",
        "^x": "is no XON",
        "H|1|a@b": "is no XTN",
    },
    "SourcePatientInfo": {
        "Doe": "it does not start with PID-1| to PID-39|",
        "PID-5": "it does not start with PID-1|",
        "PID-40|x": "it does not start",
        "PID-0|x": "it does not start",
        "PID-05|x": "it does not start",
        "PD1-3|x": "it does not start",
        "PID-3|a^^^NS": "is no CX",
        "PID-3|a^^^&1.2&ISO^MR": "component 5 is 'MR'",
        "PID-5|a|b": "the character '|'",
        "PID-5|a\\b": "the character '\\'",
        "PID-7|1956-05-27": "is no DTM",
        "PID-7|19560230": "there is no day 30",
        "PID-7|1956~1957": "PID-7 repeats",
        "PID-8|X": "'X' is no administrative sex F, M, O, U, A or N (HL7 table 0001)",
        "PID-8|m": "'m' is no administrative sex",
    },
    "HomeCommunityId": {
        "1.2.3": "it does not start with urn:oid:",
        "urn:oid:1": "it has a single arc",
        "urn:oid:1." + "2" * 60: "it has 70 characters; expected at most 64",
    },
    "Identifier": {
        "": "it is empty",
        "1.2.3^": "the extension is ''",
        "1.2.3^\t": "the extension is '\\x09'",
        "x^1": "'x' is no OID",
        "1.02": "leading zero",
        "129.6.58": "the first arc is '129'",
        "urn:uuid:7": "'urn:uuid:7' is no UUID",
        "a b": "'a b' is no URI",
        "1.2^" + "x" * 253: "it has 257 characters; expected at most 256",
    },
    "AvailabilityStatus": {
        "Approved": "StatusType:Approved",
        "urn:oasis:names:tc:ebxml-regrep:StatusType:Submitted": "expected",
    },
    "DocumentAvailability": {"Online": "urn:ihe:iti:2010:DocumentAvailability:Online or"},
}

_good = [(name, value) for name, values in GOOD.items() for value in values]
_bad = [(name, value, fragment) for name, values in BAD.items() for value, fragment in values.items()]


def test_every_row_has_good_and_bad_wire_forms():
    assert set(GOOD) == set(BAD) == set(DATATYPES)


@pytest.mark.parametrize("row", DATATYPES.values(), ids=lambda row: row.name)
def test_the_example_of_a_row_is_good(row):
    assert row.check(row.example) is None
    assert str(row.parse(row.example)) == row.example
    assert row.normal(row.example) == row.normal(row.normal(row.example))
    assert row.citation
    assert row.form


@pytest.mark.parametrize(("name", "value"), _good)
def test_a_good_wire_form_passes_and_is_read(name, value):
    assert DATATYPES[name].check(value) is None
    DATATYPES[name].parse(value)


@pytest.mark.parametrize(("name", "value", "fragment"), _bad)
def test_a_bad_wire_form_is_described_with_what_was_found_and_expected(name, value, fragment):
    found = DATATYPES[name].check(value)
    assert found is not None
    assert found.startswith(f"{shown(value)} is no {name}: ")
    assert fragment in found
    assert "; expected " in found


def test_a_long_value_is_cut_in_messages():
    """No message repeats more than 80 characters of a value."""
    found = DATATYPES["OID"].check("x" * 100_000)
    assert found is not None
    assert len(found) < 400
    assert shown("a" * 81) == f"'{'a' * 80}…'"
    assert shown("a" * 80) == f"'{'a' * 80}'"


# --- patterns and parsers agree ---------------------------------------------------------------------------------------

# The delimiters of HL7 v2 and what the types are made of, so that random texts come near the wire forms.
_PIECES = r"""^ ^ ^^^ ^^^^ ^^^^^ & | ~ \ \T\ \E\ &1.2.3&ISO 1.2 45 a ü Internet NET PH PID-3| PID-7| PID-8| M 2025
urn:uuid: urn:oid: urn:ihe:iti:xds:2016:studyInstanceUID"""
_pieces = st.sampled_from([*_PIECES.split(), " ", "\n"])
_near_misses = st.lists(_pieces, max_size=14).map("".join)


@given(st.sampled_from(sorted(DATATYPES)), _near_misses | st.text(max_size=20))
def test_the_fast_pattern_accepts_exactly_what_the_parser_reads(name, value):
    row = DATATYPES[name]
    try:
        row.parse(value)
    except ValueError:
        readable = False
    else:
        readable = len(value) <= row.limit
    assert bool(row.matches(value) and len(value) <= row.limit) == readable
    assert (row.check(value) is None) == readable


@given(st.sampled_from(sorted(DATATYPES)), _near_misses)
def test_what_is_read_is_written_so_that_it_reads_the_same(name, value):
    """Formatting drops trailing empty components and nothing else; the normal form is stable."""
    row = DATATYPES[name]
    if row.check(value) is not None:
        return
    parsed = row.parse(value)
    assert row.parse(str(parsed)) == parsed
    assert row.check(str(parsed)) is None
    assert row.normal(row.normal(value)) == row.normal(value)


@pytest.mark.parametrize("name", sorted(DATATYPES))
@pytest.mark.parametrize("piece", ["a", "\\", "\\T\\", "^", "&", "1.", "a-", "%20", "~", "|", "^&1.2&ISO"])
@pytest.mark.timeout(10)
def test_a_check_takes_no_exponential_time(name, piece):
    assert DATATYPES[name].check(piece * 20_000 + "\x00") is not None


# --- normal forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("UUID", "urn:uuid:10B545EA-725C-446D-9B95-8AEB444EDDF3", "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3"),
        ("SHA1", "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("CX", "p^^^&1.2&ISO^^", "p^^^&1.2&ISO"),
        ("CX", "e\u0301^^^&1.2&ISO", "\u00e9^^^&1.2&ISO"),
        ("Integer", "007", "7"),
        ("Integer", "00", "0"),
        ("MimeType", "Text/XML", "text/xml"),
        ("LanguageCode", "DE-ch", "de-CH"),
    ],
)
def test_values_that_mean_the_same_have_one_normal_form(name, one, other):
    assert DATATYPES[name].normal(one) == DATATYPES[name].normal(other)


def test_identifiers_are_compared_exactly():
    """uniqueId is an opaque string, the id of a CX is case-sensitive (ITI TF-2 Appendix F)."""
    assert DATATYPES["Identifier"].normal("1.2^A") != DATATYPES["Identifier"].normal("1.2^a")
    assert DATATYPES["CX"].normal("A^^^&1.2&ISO") != DATATYPES["CX"].normal("a^^^&1.2&ISO")


# --- sourcePatientInfo ------------------------------------------------------------------------------------------------


def test_fields_of_the_source_patient_may_repeat_but_birth_and_sex():
    """PID-7 and PID-8 at most once (ITI TF-3 4.2.3.2.23)."""
    assert list(repeated_pid_fields(["PID-3|a^^^&1.2&ISO", "PID-3|b^^^&1.2&ISO", "PID-7|1956", "PID-8|M"])) == []
    faults = list(repeated_pid_fields(["PID-7|1956", "PID-8|X", "PID-7|1957"]))
    assert faults == ["PID-7 is given more than once: 'PID-7|1956', 'PID-7|1957'; expected one value"]
