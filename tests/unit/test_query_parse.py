"""Parameters of the stored queries: what is read, what is refused (ITI TF-2 3.18.4.1.2.3.4, .5, .7; 3.51.4.1.2.3)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds.errors import Code, Refused
from xds.messages import AdhocQuery, ReturnType
from xds.metadata.model import Association, DocumentEntry
from xds.metadata.vocabulary import ON_DEMAND, STABLE, AvailabilityStatus
from xds.queries.parse import MAX_ERRORS, MAX_PATTERNS, MAX_SLOTS, MAX_VALUES, Query, parse, tokens
from xds.queries.table import BY_ID, TABLE, Compare, Need

BY_NAME = {stored.name: stored for stored in TABLE}
APPROVED, DEPRECATED = AvailabilityStatus
LEAF = ReturnType.LEAF_CLASS
PATIENT = "p1^^^&1.2.3&ISO"
UUID = "urn:uuid:10000000-0000-4000-8000-00000000abcd"
OTHER = "urn:uuid:10000000-0000-4000-8000-00000000abce"
MISSING, NUMBER, MALFORMED = Code.XDSStoredQueryMissingParam, Code.XDSStoredQueryParamNumber, Code.XDSRegistryError

Slots = list[tuple[str, list[str]]]
FIND: Slots = [("$XDSDocumentEntryPatientId", [f"'{PATIENT}'"]), ("$XDSDocumentEntryStatus", [f"('{APPROVED}')"])]


def read(name: str, slots: Slots, return_type: str | None = LEAF) -> Query:
    stored = BY_NAME[name]
    sent = tuple((slot, tuple(values)) for slot, values in slots)
    return parse(AdhocQuery(stored.id, sent, return_type), stored.transaction)


def groups(query: Query, name: str) -> tuple[tuple[str, ...], ...]:
    return next(criterion.groups for criterion in query.criteria if criterion.parameter.name == name)


def errors(name: str, slots: Slots, return_type: str | None = LEAF) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as refused:
        read(name, slots, return_type)
    return [(error.code, error.context) for error in refused.value.errors]


# Tokens

GOOD = {
    "string": ("'a'", ["a"]),
    "number": ("20040101", ["20040101"]),
    "doubled quote": ("'O''Brien'", ["O'Brien"]),
    "only a quote": ("''''", ["'"]),
    "empty string": ("''", [""]),
    "list of one": ("('a')", ["a"]),
    "list": ("('a','b')", ["a", "b"]),
    "list with numbers": ("(1,'b', 3)", ["1", "b", "3"]),
    "white space": (" \n( 'a' ,\t'b' ) ", ["a", "b"]),
    "white space inside a string": ("(' a ')", [" a "]),
    "commas and parentheses inside": ("('a,b','(c)','d)')", ["a,b", "(c)", "d)"]),
    "a doubled quote at each end": ("('''a''','b')", ["'a'", "b"]),
}
BAD = {
    "empty": "",
    "white space only": "  ",
    "empty list": "()",
    "empty list with space": "( )",
    "open list": "('a'",
    "closed only": "'a')",
    "trailing comma": "('a',)",
    "leading comma": "(,'a')",
    "doubled comma": "('a',,'b')",
    "no comma": "('a' 'b')",
    "open string": "'a",
    "open string in list": "('a)",
    "no quotes": "a",
    "no quotes in list": "(a)",
    "double quotes": '"a"',
    "two lists": "('a')('b')",
    "nested": "(('a'))",
    "list without parentheses": "'a','b'",
    "words behind": "'a' b",
    "sign": "-1",
    "other digits": "\u0661\u0662\u0663\u0664",
    "single quote": "'",
    "lone parenthesis": "(",
}


@pytest.mark.parametrize(("value", "expected"), GOOD.values(), ids=GOOD)
def test_a_value_is_taken_apart(value, expected):
    """ITI TF-2 3.18.4.1.2.3.5."""
    assert [token.text for token in tokens(value)] == expected


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_a_malformed_value_is_refused_with_parameter_and_value(value):
    (code, context), *others = errors("FindDocuments", [*FIND, ("$XDSDocumentEntryClassCode", [value])])
    assert (code, others) == (MALFORMED, [])
    assert context.startswith("FindDocuments: $XDSDocumentEntryClassCode: ")
    assert value[:10] in context or not value.isascii()


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_what_is_quoted_is_read_back(values):
    written = "(" + " , ".join("'" + value.replace("'", "''") + "'" for value in values) + ")"
    assert [token.text for token in tokens(written)] == values


# What is read


def test_a_whole_query_is_read():
    """ITI TF-2 3.18.4.1.2.3: class in two, event E1 and one of E2 and E3, a time window, LIKE, both types."""
    query = read(
        "FindDocuments",
        [
            *FIND,
            ("$XDSDocumentEntryClassCode", ["('11488-4^^2.16.840.1.113883.6.1','18842-5^^2.16.840.1.113883.6.1')"]),
            ("$XDSDocumentEntryEventCodeList", ["('E1^^1.2.3.50')"]),
            ("$XDSDocumentEntryEventCodeList", ["('E2^^1.2.3.50','E3^^1.2.3.50')"]),
            ("$XDSDocumentEntryCreationTimeFrom", ["20250101"]),
            ("$XDSDocumentEntryCreationTimeTo", ["20260101"]),
            ("$XDSDocumentEntryAuthorPerson", ["('%O''Brien%')"]),
            ("$XDSDocumentEntryType", [f"('{STABLE}','{ON_DEMAND}')"]),
        ],
    )
    assert (query.stored.name, query.return_type) == ("FindDocuments", LEAF)
    assert {criterion.parameter.name: criterion.groups for criterion in query.criteria} == {
        "$XDSDocumentEntryPatientId": ((PATIENT,),),
        "$XDSDocumentEntryStatus": ((APPROVED,),),
        "$XDSDocumentEntryClassCode": (("11488-4^^2.16.840.1.113883.6.1", "18842-5^^2.16.840.1.113883.6.1"),),
        "$XDSDocumentEntryEventCodeList": (("E1^^1.2.3.50",), ("E2^^1.2.3.50", "E3^^1.2.3.50")),
        "$XDSDocumentEntryCreationTimeFrom": (("20250101",),),
        "$XDSDocumentEntryCreationTimeTo": (("20260101",),),
        "$XDSDocumentEntryAuthorPerson": (("%O'Brien%",),),
        "$XDSDocumentEntryType": ((STABLE, ON_DEMAND),),
    }
    assert query.find(Compare.PATIENT).value == PATIENT
    assert query.find(Compare.UUID) is None


READ = {
    "several Values are one list": ("$XDSDocumentEntryClassCode", ["('a^^1','b^^1')", "('c^^1')"], "a^^1 b^^1 c^^1"),
    "a value twice counts once": ("$XDSDocumentEntryClassCode", ["('a^^1','a^^1')", "'a^^1'"], "a^^1"),
    "a multiple without parentheses": ("$XDSDocumentEntryClassCode", ["'a^^1'"], "a^^1"),
    "a single in parentheses": ("$XDSDocumentEntryCreationTimeTo", ["(2004)"], "2004"),
    "a time in quotes": ("$XDSDocumentEntryCreationTimeTo", ["'200402'"], "200402"),
    "a leap day": ("$XDSDocumentEntryCreationTimeTo", ["20240229"], "20240229"),
    "all digits of a time": ("$XDSDocumentEntryCreationTimeTo", ["20240229235959"], "20240229235959"),
    "unknown status beside a known one": ("$XDSDocumentEntryStatus", [f"('x','{DEPRECATED}')"], DEPRECATED),
    "type in upper case": ("$XDSDocumentEntryType", [f"('{ON_DEMAND.upper()}')"], ON_DEMAND),
    "type unknown": ("$XDSDocumentEntryType", ["('x')"], "x"),
    "patient with empty components": ("$XDSDocumentEntryPatientId", [f"'{PATIENT}^^'"], PATIENT),
    "codes are composed": ("$XDSDocumentEntryClassCode", ["('e\u0301^^1')"], "\u00e9^^1"),
    "patterns are composed": ("$XDSDocumentEntryAuthorPerson", ["('%u\u0308%')"], "%\u00fc%"),
}


@pytest.mark.parametrize(("name", "values", "expected"), READ.values(), ids=READ)
def test_a_parameter_is_read(name, values, expected):
    slots = [slot for slot in FIND if slot[0] != name]
    assert groups(read("FindDocuments", [*slots, (name, values)]), name) == (tuple(expected.split()),)


def test_uuids_are_compared_in_lower_case():
    query = read("GetDocuments", [("$XDSDocumentEntryEntryUUID", [f"('{UUID.upper()}','{UUID}')"])])
    assert groups(query, "$XDSDocumentEntryEntryUUID") == ((UUID,),)


@pytest.mark.parametrize("stored", TABLE, ids=lambda stored: stored.name)
def test_the_type_is_stable_by_default_wherever_it_is_a_parameter(stored):
    """ITI TF-2 3.18.4.1.2.3.7.1, of every query with `$XDSDocumentEntryType`."""
    rows = [row for row in stored.parameters if row.name == "$XDSDocumentEntryType"]
    assert all(row.default == (STABLE,) for row in rows)
    assert groups(read("FindDocuments", FIND), "$XDSDocumentEntryType") == ((STABLE,),)


def test_unknown_parameters_and_those_of_options_are_ignored():
    """Also old `...Scheme` slots, names in other letter case, parameters of other queries; however they are filled."""
    strange = ["$XDSDocumentEntryClassCodeScheme", "$xdsdocumententryclasscode", "$MetadataLevel", "$uuid", "$x", ""]
    slots = [(name, values) for name in strange for values in (["("], [], ["'a'"])]
    assert read("FindDocuments", [*FIND, *slots]) == read("FindDocuments", FIND)


def test_the_order_of_slots_does_not_matter():
    assert read("FindDocuments", FIND[::-1]) == read("FindDocuments", FIND)


def test_the_query_id_and_home_are_taken_as_clients_write_them():
    stored = BY_NAME["FindDocuments"]
    slots = tuple((name, tuple(values)) for name, values in FIND)
    upper = stored.id.upper().replace("URN:UUID", "urn:uuid")
    assert parse(AdhocQuery(upper, slots, LEAF, home="urn:oid:1.2.3")).stored is stored


def test_criteria_are_told_apart_by_kind_and_from_identifiers():
    query = read(
        "GetRelatedDocuments",
        [("$XDSDocumentEntryEntryUUID", [f"'{UUID}'"]), ("$AssociationTypes", ["('urn:x','urn:y')"])],
    )
    names = [criterion.parameter.name for criterion in query.of(DocumentEntry)]
    assert names == ["$XDSDocumentEntryEntryUUID", "$XDSDocumentEntryType"]
    assert [criterion.parameter.name for criterion in query.filters(DocumentEntry)] == names[1:]
    assert [criterion.groups for criterion in query.of(Association)] == [(("urn:x", "urn:y"),)]


# What is refused

ENTRY_UUID, UNIQUE_ID = "$XDSDocumentEntryEntryUUID", "$XDSDocumentEntryUniqueId"
STATUS = "$XDSDocumentEntryStatus"
REFUSED = {
    # name: query, slots, [code and what the context says]
    "nothing at all": ("FindDocuments", [], [(MISSING, "PatientId is missing"), (MISSING, "Status is missing")]),
    "status unknown": ("FindDocuments", [FIND[0], (STATUS, ["('x')"])], [(MISSING, f"{STATUS} is missing")]),
    "status malformed": ("FindDocuments", [FIND[0], (STATUS, ["x"])], [(MALFORMED, STATUS)]),
    "slot without values": ("FindDocuments", [FIND[0], (STATUS, [])], [(MALFORMED, "no value")]),
    "status repeated": ("FindDocuments", [*FIND, FIND[1]], [(NUMBER, "stands 2 times")]),
    "patient repeated": ("FindDocuments", [*FIND, FIND[0]], [(NUMBER, "stands 2 times")]),
    "two patients": (
        "FindDocuments",
        [(FIND[0][0], ["('p1^^^&1.2.3&ISO','p2^^^&1.2.3&ISO')"]), FIND[1]],
        [(NUMBER, "2 values, expected one")],
    ),
    "two Values of one patient": ("FindDocuments", [(FIND[0][0], FIND[0][1] * 2), FIND[1]], [(NUMBER, "2 values")]),
    "class code repeated": (
        "FindDocuments",
        [*FIND, *[("$XDSDocumentEntryClassCode", ["('a^^1')"])] * 2],
        [(NUMBER, "$XDSDocumentEntryClassCode")],
    ),
    "author of a SubmissionSet twice": (
        "FindSubmissionSets",
        [
            ("$XDSSubmissionSetPatientId", [f"'{PATIENT}'"]),
            ("$XDSSubmissionSetStatus", [f"('{APPROVED}')"]),
            ("$XDSSubmissionSetAuthorPerson", ["('%a%','%b%')"]),
        ],
        [(NUMBER, "$XDSSubmissionSetAuthorPerson: 2 values")],
    ),
    "patient without authority": (
        "FindDocuments",
        [(FIND[0][0], ["'p1'"]), FIND[1]],
        [(MALFORMED, "$XDSDocumentEntryPatientId: 'p1' is no CX")],
    ),
    "patient without quotes": ("FindDocuments", [(FIND[0][0], [PATIENT]), FIND[1]], [(MALFORMED, "single quotes")]),
    "patient as a number": ("FindDocuments", [(FIND[0][0], ["1234"]), FIND[1]], [(MALFORMED, "1234 is a number")]),
    "code without scheme": (
        "FindDocuments",
        [*FIND, ("$XDSDocumentEntryClassCode", ["('Dialysis','a^^','^^1.2','a^^1.2')"])],
        [(MALFORMED, "'Dialysis'"), (MALFORMED, "'a^^'"), (MALFORMED, "'^^1.2'")],
    ),
    "empty code": ("FindDocuments", [*FIND, ("$XDSDocumentEntryTypeCode", ["('')"])], [(MALFORMED, "empty string")]),
    "times": (
        "FindDocuments",
        [
            *FIND,
            ("$XDSDocumentEntryCreationTimeFrom", ["20230229"]),
            ("$XDSDocumentEntryCreationTimeTo", ["200"]),
            ("$XDSDocumentEntryServiceStartTimeFrom", ["'2004-01-01'"]),
            ("$XDSDocumentEntryServiceStartTimeTo", ["20041301"]),
            ("$XDSDocumentEntryServiceStopTimeFrom", ["2004010124"]),
            ("$XDSDocumentEntryServiceStopTimeTo", ["(2004,2005)"]),
        ],
        [(MALFORMED, "is no DTM")] * 5 + [(NUMBER, "2 values")],
    ),
    "no identifier": ("GetDocuments", [], [(MISSING, f"one of {ENTRY_UUID}, {UNIQUE_ID} must be given")]),
    "logicalID without Metadata Update": (
        "GetDocuments",
        [("$XDSDocumentEntryLogicalID", [f"('{UUID}')"])],
        [(MISSING, f"one of {ENTRY_UUID}, {UNIQUE_ID} must be given")],
    ),
    "two of the group": (
        "GetDocuments",
        [(ENTRY_UUID, [f"('{UUID}')"]), (UNIQUE_ID, ["('1.2')"])],
        [(NUMBER, f"2 of {ENTRY_UUID}, {UNIQUE_ID} given, expected one")],
    ),
    "several where one is named": (
        "GetFoldersForDocument",
        [(ENTRY_UUID, [f"('{UUID}','{OTHER}')"])],
        [(NUMBER, f"{ENTRY_UUID}: 2 values, expected one")],
    ),
    "a malformed identifier is not also missing": (
        "GetDocuments",
        [(ENTRY_UUID, ["('doc1')"])],
        [(MALFORMED, f"{ENTRY_UUID}: 'doc1' is no UUID")],
    ),
    "uuid malformed": ("GetAssociations", [("$uuid", ["('urn:uuid:1')"])], [(MALFORMED, "$uuid: 'urn:uuid:1'")]),
    "uuid missing": ("GetSubmissionSets", [], [(MISSING, "$uuid is missing")]),
    "association types missing": (
        "GetRelatedDocuments",
        [(ENTRY_UUID, [f"'{UUID}'"]), ("$XDSAssociationTypes", ["('urn:x')"])],
        [(MISSING, "$AssociationTypes is missing")],
    ),
    "reference ids missing": ("FindDocumentsByReferenceId", FIND, [(MISSING, "ReferenceIdList is missing")]),
    "GetAll wants every status": (
        "GetAll",
        [("$patientId", [f"'{PATIENT}'"]), FIND[1]],
        [(MISSING, "$XDSSubmissionSetStatus is missing"), (MISSING, "$XDSFolderStatus is missing")],
    ),
    "several patients need a criterion": (
        "FindDocumentsForMultiplePatients",
        [FIND[1]],
        [(MISSING, "at least one of $XDSDocumentEntryPatientId, $XDSDocumentEntryClassCode")],
    ),
    "several patients' folders need a criterion": (
        "FindFoldersForMultiplePatients",
        [],
        [
            (MISSING, "$XDSFolderStatus is missing"),
            (MISSING, "at least one of $XDSFolderPatientId, $XDSFolderCodeList"),
        ],
    ),
    "too many AND-ed slots": (
        "FindDocuments",
        [*FIND, *[("$XDSDocumentEntryEventCodeList", ["('a^^1')"])] * (MAX_SLOTS + 1)],
        [(MALFORMED, f"at most {MAX_SLOTS}")],
    ),
    "too many patterns": (
        "FindDocuments",
        [*FIND, ("$XDSDocumentEntryAuthorPerson", ["'%'"] * (MAX_PATTERNS + 1))],
        [(MALFORMED, f"at most {MAX_PATTERNS}")],
    ),
    "too long": (
        "FindDocuments",
        [*FIND, ("$XDSDocumentEntryAuthorPerson", [f"('{'a' * 256}','{'b' * 257}')"])],
        [(MALFORMED, "has 257 characters, at most 256")],
    ),
    "too many values": (
        "GetDocuments",
        [(UNIQUE_ID, [f"'{number}'" for number in range(MAX_VALUES + 1)])],
        [(MALFORMED, f"at most {MAX_VALUES}")],
    ),
}


@pytest.mark.parametrize(("name", "slots", "expected"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_parameter_is_refused_with_code_and_context(name, slots, expected):
    """ITI TF-2 3.18.4.1.2.3.4, .7; ITI TF-3 Table 4.2.4.1-2; every fault is named."""
    found = errors(name, slots)
    assert [code for code, _ in found] == [code for code, _ in expected]
    for (_, context), (_, words) in zip(found, expected, strict=True):
        assert context.startswith(f"{name}: ")
        assert words in context


@pytest.mark.parametrize("return_type", [None, "", "RegistryObject", "LeafClassWithRepositoryItem", "leafclass"])
def test_other_return_types_are_refused_beside_the_other_errors(return_type):
    """ITI TF-2 3.18.4.1.2.2: ObjectRef or LeafClass; the schema's default is neither."""
    found = errors("FindDocuments", FIND[:1], return_type)
    assert [code for code, _ in found] == [MALFORMED, MISSING]
    assert re.match(r"returnType is (absent|'.*'), expected ObjectRef or LeafClass", found[0][1])


@pytest.mark.parametrize("stored", TABLE, ids=lambda stored: stored.name)
def test_a_query_is_unknown_to_the_other_transaction(stored):
    """ITI TF-2 3.18.4.1.3, 3.51.4.1.3: XDSUnknownStoredQuery."""
    other = "ITI-51" if stored.transaction == "ITI-18" else "ITI-18"
    with pytest.raises(Refused) as refused:
        parse(AdhocQuery(stored.id, (), LEAF), other)
    (error,) = refused.value.errors
    assert (error.code, stored.id in error.context) == (Code.XDSUnknownStoredQuery, True)


@pytest.mark.parametrize("id_", ["", "x", "14d4debf-8f97-4251-9a74-a90016b0af0d", "urn:uuid:" + "0" * 32])
def test_an_unknown_query_is_refused(id_):
    with pytest.raises(Refused) as refused:
        parse(AdhocQuery(id_, (), None))
    assert [error.code for error in refused.value.errors] == [Code.XDSUnknownStoredQuery, MALFORMED]


def test_errors_are_bounded_and_located():
    values = ["'x'"] * 5000
    with pytest.raises(Refused) as refused:
        read("FindDocuments", [*FIND, ("$XDSDocumentEntryTypeCode", values)])
    assert len(refused.value.errors) == MAX_ERRORS
    assert {error.location for error in refused.value.errors} == {"$XDSDocumentEntryTypeCode"}


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "value", ["'" * 1_000_001, "(" * 1_000_000, "('a'," * 200_000, " " * 1_000_000, "'a" * 500_000]
)
def test_hostile_values_are_read_in_linear_time(value):
    assert errors("FindDocuments", [*FIND, ("$XDSDocumentEntryTypeCode", [value])])


# The table


def test_the_table_holds_the_queries_of_both_transactions():
    """ITI TF-2 3.18.4.1.2.4 and 3.51.4.1.2.4."""
    assert len(BY_ID) == len(TABLE) == 16
    assert [row.name for row in TABLE if row.transaction == "ITI-51"] == [
        "FindDocumentsForMultiplePatients",
        "FindFoldersForMultiplePatients",
    ]
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", row.id) for row in TABLE)


@pytest.mark.parametrize("stored", TABLE, ids=lambda stored: stored.name)
def test_rows_are_sound(stored):
    """Names are unique, fields exist, AND needs OR, a group's rows all need it, coded rows name an attribute."""
    names = [row.name for row in stored.parameters]
    assert len(names) == len(set(names))
    for row in stored.parameters:
        assert row.name.startswith("$")
        assert row.field in row.of.__dataclass_fields__
        assert row.many or not row.conjunctive
        if row.compare in {Compare.CODE, Compare.CODES}:
            assert row.attribute
    assert any(stored.groups[need] for need in (Need.REQUIRED, Need.ONE_OF, Need.ANY_OF))
    assert {row.name for row in stored.parameters if row.conjunctive} <= {
        "$XDSDocumentEntryEventCodeList",
        "$XDSDocumentEntryConfidentialityCode",
        "$XDSDocumentEntryReferenceIdList",
        "$XDSFolderCodeList",
    }
