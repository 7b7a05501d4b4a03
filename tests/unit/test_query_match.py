"""A Query on objects in memory: criteria, and the exact content of each answer (ITI TF-2 3.18.4.1.2.3.7).

NIST 11897, 12346 and 12368 are test plans of the NIST XDS Toolkit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from xds.errors import Code
from xds.messages import AdhocQuery, ReturnType
from xds.metadata.model import Association, Author, DocumentEntry, Folder, Identifier, RegistryObject, SubmissionSet
from xds.metadata.model import Code as CodedValue
from xds.metadata.vocabulary import ON_DEMAND, STABLE, AssociationType, AvailabilityStatus
from xds.queries.match import Objects, match, matches, single_patient_error
from xds.queries.parse import Query, parse
from xds.queries.table import TABLE

APPROVED, DEPRECATED = AvailabilityStatus
HAS_MEMBER, RPLC, SNAPSHOT = AssociationType.HAS_MEMBER, AssociationType.RPLC, AssociationType.IS_SNAPSHOT_OF
P1, P2 = "p1^^^&1.2.3&ISO", "p2^^^&1.2.3&ISO"
BY_NAME = {stored.name: stored for stored in TABLE}


def uuid(number: int) -> str:
    return f"urn:uuid:10000000-0000-4000-8000-{number:012}"


def code(key: str) -> CodedValue:
    return CodedValue(*key.split("^^"))


def entry(number: int, **changes) -> DocumentEntry:
    fixed = {
        "id": uuid(number),
        "patient_id": Identifier(P1),
        "unique_id": Identifier(f"1.2.{number}"),
        "status": APPROVED,
        "class_code": code("C^^1.2"),
        "type_code": code("T^^1.2"),
        "format_code": code("F^^1.2"),
        "practice_setting_code": code("S^^1.2"),
        "healthcare_facility_type_code": code("H^^1.2"),
        "confidentiality_code": (code("N^^1.2"), code("R^^1.2")),
        "event_code_list": (code("E1^^1.2"), code("E2^^1.2")),
        "creation_time": "20041224",
        "author": (Author(person="11^Welby^Marcus"), Author(person="^O'Brien"), Author()),
        "reference_id_list": ("7^^^&1.2&ISO^urn:x", "8^^^&1.2&ISO^urn:x"),
    }
    return DocumentEntry(**{**fixed, **changes})


def sset(number: int, **changes) -> SubmissionSet:
    fixed = {
        "id": uuid(number),
        "patient_id": Identifier(P1),
        "unique_id": Identifier(f"1.2.{number}"),
        "status": APPROVED,
        "author": (Author(person="11^Welby^Marcus"),),
        "content_type_code": code("T^^1.2"),
        "source_id": Identifier("1.2.3.4"),
        "submission_time": "20041225",
    }
    return SubmissionSet(**{**fixed, **changes})


def folder(number: int, **changes) -> Folder:
    fixed = {
        "id": uuid(number),
        "patient_id": Identifier(P1),
        "unique_id": Identifier(f"1.2.{number}"),
        "status": APPROVED,
        "code_list": (code("K1^^1.2"), code("K2^^1.2")),
        "last_update_time": "20041226",
    }
    return Folder(**{**fixed, **changes})


def link(number: int, source: RegistryObject, target: RegistryObject, type_: str = HAS_MEMBER) -> Association:
    return Association(id=uuid(number), status=APPROVED, type=type_, source=source.id, target=target.id)


def ask(name: str, return_type: str = ReturnType.LEAF_CLASS, **parameters: str | Sequence[str]) -> Query:
    """A text is a single value, a list a list; a list of lists are AND-ed slots."""
    stored = BY_NAME[name]
    slots = []
    for slot, value in parameters.items():
        repeated = value if value and isinstance(value[0], list) else [value]
        slots += [("$" + slot, (written(one),)) for one in repeated]
    return parse(AdhocQuery(stored.id, tuple(slots), return_type), stored.transaction)


def written(value: str | Sequence[str]) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"({','.join(map(written, value))})"


def find(**parameters) -> Query:
    fixed = {"PatientId": P1, "Status": [APPROVED]}
    return ask("FindDocuments", **{f"XDSDocumentEntry{name}": value for name, value in {**fixed, **parameters}.items()})


# Criteria of FindDocuments

CRITERIA = {
    # name: changes of the entry, parameters, is it found
    "patient and status": ({}, {}, True),
    "another patient": ({}, {"PatientId": P2}, False),
    "deprecated is not approved": ({"status": DEPRECATED}, {}, False),
    "either status": ({"status": DEPRECATED}, {"Status": [APPROVED, DEPRECATED]}, True),
    "class": ({}, {"ClassCode": ["C^^1.2"]}, True),
    "one of two classes": ({}, {"ClassCode": ["X^^1.2", "C^^1.2"]}, True),
    "class of another scheme": ({}, {"ClassCode": ["C^^1.3"]}, False),
    "class in other case": ({}, {"ClassCode": ["c^^1.2"]}, False),
    "type": ({}, {"TypeCode": ["T^^1.2"]}, True),
    "another type": ({}, {"TypeCode": ["C^^1.2"]}, False),
    "practice setting": ({}, {"PracticeSettingCode": ["S^^1.2"]}, True),
    "another practice setting": ({}, {"PracticeSettingCode": ["C^^1.2"]}, False),
    "facility": ({}, {"HealthcareFacilityTypeCode": ["H^^1.2"]}, True),
    "another facility": ({}, {"HealthcareFacilityTypeCode": ["C^^1.2"]}, False),
    "format": ({}, {"FormatCode": ["F^^1.2"]}, True),
    "another format": ({}, {"FormatCode": ["C^^1.2"]}, False),
    "no format": ({"format_code": None}, {"FormatCode": ["F^^1.2"]}, False),
    "one event": ({}, {"EventCodeList": ["E1^^1.2", "X^^1.2"]}, True),
    "both events": ({}, {"EventCodeList": [["E1^^1.2"], ["X^^1.2", "E2^^1.2"]]}, True),
    "one of both events": ({}, {"EventCodeList": [["E1^^1.2"], ["X^^1.2"]]}, False),
    "both confidentialities": ({}, {"ConfidentialityCode": [["N^^1.2"], ["R^^1.2"]]}, True),
    "one of both confidentialities": ({}, {"ConfidentialityCode": [["N^^1.2"], ["V^^1.2"]]}, False),
    "author": ({}, {"AuthorPerson": ["%Welby%"]}, True),
    "second author": ({}, {"AuthorPerson": ["%X%", "^O'Brien"]}, True),
    "part of an author": ({}, {"AuthorPerson": ["Welby"]}, False),
    "no author": ({"author": ()}, {"AuthorPerson": ["%"]}, False),
    "stable by default": ({"object_type": ON_DEMAND}, {}, False),
    "on-demand": ({"object_type": ON_DEMAND}, {"Type": [ON_DEMAND]}, True),
    "on-demand alone": ({}, {"Type": [ON_DEMAND]}, False),
    "both": ({"object_type": ON_DEMAND}, {"Type": [STABLE, ON_DEMAND]}, True),
    "left edge": ({}, {"CreationTimeFrom": "20041224"}, True),
    "after left edge": ({}, {"CreationTimeFrom": "20041225"}, False),
    "right edge": ({}, {"CreationTimeTo": "20041224"}, False),
    "before right edge": ({}, {"CreationTimeTo": "20041225"}, True),
    "both edges": ({}, {"CreationTimeFrom": "2004", "CreationTimeTo": "2005"}, True),
    "the year ends before its days": ({}, {"CreationTimeTo": "2004"}, False),
    "a year is before its months": ({"creation_time": "2004"}, {"CreationTimeTo": "200401"}, True),
    "a year is not after its months": ({"creation_time": "2004"}, {"CreationTimeFrom": "200401"}, False),
    "creation time of on-demand": (
        {"object_type": ON_DEMAND},
        {"Type": [ON_DEMAND], "CreationTimeFrom": "2030", "CreationTimeTo": "2000"},
        True,
    ),
    "start absent": ({}, {"ServiceStartTimeFrom": "2004", "ServiceStartTimeTo": "2005"}, True),
    "start": ({"service_start_time": "2004"}, {"ServiceStartTimeFrom": "2004", "ServiceStartTimeTo": "2005"}, True),
    "start too early": ({"service_start_time": "2003"}, {"ServiceStartTimeFrom": "2004"}, False),
    "stop absent": ({}, {"ServiceStopTimeFrom": "2004", "ServiceStopTimeTo": "2005"}, True),
    "stop too late": ({"service_stop_time": "2005"}, {"ServiceStopTimeTo": "2005"}, False),
}


@pytest.mark.parametrize(("changes", "parameters", "expected"), CRITERIA.values(), ids=CRITERIA)
def test_find_documents(changes, parameters, expected):
    """ITI TF-2 3.18.4.1.2.3.7.1; NIST 11897."""
    found, query = entry(1, **changes), find(**parameters)
    assert matches(query, found) is expected
    assert match(query, Objects([found, folder(2), sset(3)])) == ([found] if expected else [])


SETS = {
    "all": ({}, True),
    "source": ({"SourceId": ["1.2.3.4", "1.2"]}, True),
    "another source": ({"SourceId": ["1.2.3"]}, False),
    "time": ({"SubmissionTimeFrom": "20041225", "SubmissionTimeTo": "20041226"}, True),
    "later": ({"SubmissionTimeFrom": "20041226"}, False),
    "author": ({"AuthorPerson": "%Welby%"}, True),
    "another author": ({"AuthorPerson": "%Kildare%"}, False),
    "content type": ({"ContentType": ["T^^1.2"]}, True),
    "another content type": ({"ContentType": ["T^^1.3"]}, False),
    "deprecated": ({"Status": [DEPRECATED]}, False),
}


@pytest.mark.parametrize(("parameters", "expected"), SETS.values(), ids=SETS)
def test_find_submission_sets(parameters, expected):
    """ITI TF-2 3.18.4.1.2.3.7.2."""
    values = {"PatientId": P1, "Status": [APPROVED], **parameters}
    query = ask("FindSubmissionSets", **{f"XDSSubmissionSet{name}": value for name, value in values.items()})
    found = sset(1)
    assert match(query, Objects([found, entry(2), folder(3), link(4, found, entry(2))])) == [found] * expected


FOLDERS = {
    "all": ({}, True),
    "code": ({"CodeList": ["K1^^1.2", "X^^1.2"]}, True),
    "both codes": ({"CodeList": [["K1^^1.2"], ["K2^^1.2"]]}, True),
    "one of both codes": ({"CodeList": [["K1^^1.2"], ["X^^1.2"]]}, False),
    "time": ({"LastUpdateTimeFrom": "2004", "LastUpdateTimeTo": "2005"}, True),
    "earlier": ({"LastUpdateTimeTo": "2004"}, False),
}


@pytest.mark.parametrize("name", ["FindFolders", "FindFoldersForMultiplePatients"])
@pytest.mark.parametrize(("parameters", "expected"), FOLDERS.values(), ids=FOLDERS)
def test_find_folders(name, parameters, expected):
    """ITI TF-2 3.18.4.1.2.3.7.3; 3.51.4.1.2.3."""
    patient = P1 if name == "FindFolders" else [P1, P2]
    values = {"PatientId": patient, "Status": [APPROVED], **parameters}
    query = ask(name, **{f"XDSFolder{parameter}": value for parameter, value in values.items()})
    found = folder(1)
    assert match(query, Objects([found, entry(2), sset(3)])) == [found] * expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["7^^^&1.2&ISO^urn:x"], True),
        ([["7^^^&1.2&ISO^urn:x", "9^^^^urn:x"], ["8^^^&1.2&ISO^urn:x"]], True),
        ([["7^^^&1.2&ISO^urn:x"], ["9^^^^urn:x"]], False),
        (["%"], False),
        (["7^^^&1.2&ISO"], False),
    ],
)
def test_find_documents_by_reference_id(values, expected):
    """ITI TF-2 3.18.4.1.2.3.7.14; NIST 11897 refid: exact."""
    names = {"PatientId": P1, "Status": [APPROVED], "ReferenceIdList": values}
    query = ask("FindDocumentsByReferenceId", **{f"XDSDocumentEntry{name}": value for name, value in names.items()})
    assert matches(query, entry(1)) is expected


def test_find_documents_for_multiple_patients():
    """ITI TF-2 3.51.4.1.2.3: by patients, or without; patients may be mixed."""
    registry = Objects([entry(1), entry(2, patient_id=Identifier(P2)), entry(3, class_code=code("X^^1.2"))])

    def found(**values) -> list[str]:
        names = {f"XDSDocumentEntry{name}": value for name, value in {"Status": [APPROVED], **values}.items()}
        query = ask("FindDocumentsForMultiplePatients", **names)
        answer = match(query, registry)
        assert single_patient_error(query, answer) is None
        return [one.id for one in answer]

    assert found(PatientId=[P1, P2]) == [uuid(1), uuid(2), uuid(3)]
    assert found(PatientId=P2) == [uuid(2)]
    assert found(ClassCode=["C^^1.2"]) == [uuid(1), uuid(2)]
    assert found(EventCodeList=["E1^^1.2"], PatientId=[P2]) == [uuid(2)]
    assert found(HealthcareFacilityTypeCode=["none^^1.2"]) == []


# Answers, on the data of NIST 12346

SINGLE, SINGLE_SET = entry(1), sset(2)
A, B, FOLDER, SET = entry(11), entry(12, format_code=code("other^^1.2")), folder(13), sset(14)
IN_FOLDER, B_IN_FOLDER = link(21, FOLDER, A), link(22, FOLDER, B)
OLD, NEW = entry(31, status=DEPRECATED), entry(32)
OLD_SET, NEW_SET = sset(33), sset(34)
LONE, EMPTY = entry(41), folder(42)
REGISTRY = Objects(
    [
        # one document
        SINGLE,
        SINGLE_SET,
        link(3, SINGLE_SET, SINGLE),
        # two documents in a Folder
        *(A, B, FOLDER, SET, IN_FOLDER, B_IN_FOLDER),
        *(
            link(23, SET, A),
            link(24, SET, B),
            link(25, SET, FOLDER),
            link(26, SET, IN_FOLDER),
            link(27, SET, B_IN_FOLDER),
        ),
        # a document replaced
        *(OLD, NEW, OLD_SET, NEW_SET, link(35, OLD_SET, OLD), link(36, NEW_SET, NEW), link(37, NEW, OLD, RPLC)),
        *(LONE, EMPTY),
    ]
)
E_UUID, S_UUID, F_UUID = "XDSDocumentEntryEntryUUID", "XDSSubmissionSetEntryUUID", "XDSFolderEntryUUID"
E_FORMAT = {"XDSDocumentEntryFormatCode": ["F^^1.2"]}
UNKNOWN = uuid(99)
DE, SS, FD, AS = "DocumentEntry", "SubmissionSet", "Folder", "Association"

ANSWERS = {
    # name: query, parameters, numbers of objects
    "documents by uuid": ("GetDocuments", {E_UUID: [A.id, B.id, UNKNOWN]}, {DE: 2}),
    "documents of any status": ("GetDocuments", {E_UUID: [OLD.id]}, {DE: 1}),
    "documents by uniqueId": ("GetDocuments", {"XDSDocumentEntryUniqueId": ["1.2.11", "1.2.1", "1.9"]}, {DE: 2}),
    "a Folder is no document": ("GetDocuments", {E_UUID: [FOLDER.id]}, {}),
    "a Folder's uniqueId is no document's": ("GetDocuments", {"XDSDocumentEntryUniqueId": ["1.2.13"]}, {}),
    "folders by uuid": ("GetFolders", {F_UUID: [FOLDER.id, A.id, EMPTY.id]}, {FD: 2}),
    "folders by uniqueId": ("GetFolders", {"XDSFolderUniqueId": ["1.2.13", "1.2.11"]}, {FD: 1}),
    "associations of a document": ("GetAssociations", {"uuid": [SINGLE.id]}, {AS: 1}),
    "associations of a document in a Folder": ("GetAssociations", {"uuid": [A.id]}, {AS: 2}),
    "associations of a SubmissionSet": ("GetAssociations", {"uuid": [SINGLE_SET.id]}, {AS: 1}),
    "associations of an association": ("GetAssociations", {"uuid": [IN_FOLDER.id]}, {AS: 1}),
    "associations of several": ("GetAssociations", {"uuid": [A.id, FOLDER.id]}, {AS: 4}),
    "associations of none": ("GetAssociations", {"uuid": [LONE.id, UNKNOWN]}, {}),
    "documents and associations": ("GetDocumentsAndAssociations", {E_UUID: [A.id, B.id]}, {DE: 2, AS: 4}),
    "document and association to a document not returned": (
        "GetDocumentsAndAssociations",
        {"XDSDocumentEntryUniqueId": ["1.2.32"]},
        {DE: 1, AS: 2},
    ),
    "document without associations": ("GetDocumentsAndAssociations", {E_UUID: [LONE.id]}, {DE: 1}),
    "set of a document": ("GetSubmissionSets", {"uuid": [SINGLE.id]}, {SS: 1, AS: 1}),
    "set of two documents": ("GetSubmissionSets", {"uuid": [A.id, B.id]}, {SS: 1, AS: 2}),
    "set of a Folder": ("GetSubmissionSets", {"uuid": [FOLDER.id]}, {SS: 1, AS: 1}),
    "sets of documents of two submissions": ("GetSubmissionSets", {"uuid": [A.id, SINGLE.id]}, {SS: 2, AS: 2}),
    "set of none": ("GetSubmissionSets", {"uuid": [LONE.id]}, {}),
    "contents of a set with one document": (
        "GetSubmissionSetAndContents",
        {S_UUID: SINGLE_SET.id},
        {SS: 1, DE: 1, AS: 1},
    ),
    "contents by uniqueId": (
        "GetSubmissionSetAndContents",
        {"XDSSubmissionSetUniqueId": "1.2.2"},
        {SS: 1, DE: 1, AS: 1},
    ),
    "contents with a Folder": ("GetSubmissionSetAndContents", {S_UUID: SET.id}, {SS: 1, DE: 2, FD: 1, AS: 7}),
    "contents filtered": ("GetSubmissionSetAndContents", {S_UUID: SET.id, **E_FORMAT}, {SS: 1, DE: 1, FD: 1, AS: 4}),
    "contents filtered by confidentiality": (
        "GetSubmissionSetAndContents",
        {S_UUID: SET.id, "XDSDocumentEntryConfidentialityCode": [["N^^1.2"], ["V^^1.2"]]},
        {SS: 1, FD: 1, AS: 1},
    ),
    "contents of the other type": (
        "GetSubmissionSetAndContents",
        {S_UUID: SINGLE_SET.id, "XDSDocumentEntryType": [ON_DEMAND]},
        {SS: 1},
    ),
    "contents of no set": ("GetSubmissionSetAndContents", {S_UUID: A.id}, {}),
    "a Folder's contents": ("GetFolderAndContents", {F_UUID: FOLDER.id}, {FD: 1, DE: 2, AS: 2}),
    "a Folder's contents by uniqueId": ("GetFolderAndContents", {"XDSFolderUniqueId": "1.2.13"}, {FD: 1, DE: 2, AS: 2}),
    "a Folder's contents filtered": ("GetFolderAndContents", {F_UUID: FOLDER.id, **E_FORMAT}, {FD: 1, DE: 1, AS: 1}),
    "an empty Folder": ("GetFolderAndContents", {F_UUID: EMPTY.id}, {FD: 1}),
    "an unknown Folder": ("GetFolderAndContents", {F_UUID: UNKNOWN}, {}),
    "folders of a document": ("GetFoldersForDocument", {E_UUID: A.id}, {FD: 1}),
    "folders of a document by uniqueId": ("GetFoldersForDocument", {"XDSDocumentEntryUniqueId": "1.2.12"}, {FD: 1}),
    "folders of none": ("GetFoldersForDocument", {E_UUID: SINGLE.id}, {}),
    "related to the replaced": ("GetRelatedDocuments", {E_UUID: OLD.id, "AssociationTypes": [RPLC]}, {DE: 2, AS: 1}),
    "related to the new": (
        "GetRelatedDocuments",
        {"XDSDocumentEntryUniqueId": "1.2.32", "AssociationTypes": [RPLC]},
        {DE: 2, AS: 1},
    ),
    "related by another type": ("GetRelatedDocuments", {E_UUID: OLD.id, "AssociationTypes": ["urn:x", SNAPSHOT]}, {}),
    "members are not related": ("GetRelatedDocuments", {E_UUID: A.id, "AssociationTypes": [HAS_MEMBER]}, {}),
    "related to nothing": ("GetRelatedDocuments", {E_UUID: LONE.id, "AssociationTypes": [RPLC]}, {}),
    "related to the unknown": ("GetRelatedDocuments", {E_UUID: UNKNOWN, "AssociationTypes": [RPLC]}, {}),
}


@pytest.mark.parametrize(("name", "parameters", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_the_content_of_an_answer(name, parameters, expected):
    """ITI TF-2 3.18.4.1.2.3.7; NIST 12346."""
    answer = match(ask(name, **parameters), REGISTRY)
    assert Counter(type(one).__name__ for one in answer) == expected
    assert len({one.id for one in answer}) == len(answer)


def test_the_counts_of_nist_12346():
    """A SubmissionSet with one document in a Folder: SS-DE, SS-FD, SS-HM are the SubmissionSet's, FD-DE makes four."""
    one, box, submitted = entry(1), folder(2), sset(3)
    membership = link(4, box, one)
    links = [link(5, submitted, one), link(6, submitted, box), link(7, submitted, membership)]
    registry = Objects([one, box, submitted, membership, *links])
    assert len(match(ask("GetAssociations", uuid=[submitted.id]), registry)) == 3
    contents = match(ask("GetSubmissionSetAndContents", XDSSubmissionSetEntryUUID=submitted.id), registry)
    assert {found.id for found in contents} == {found.id for found in registry}


def get_all(**parameters) -> Query:
    statuses = {f"XDS{kind}Status": [APPROVED] for kind in ("DocumentEntry", "SubmissionSet", "Folder")}
    return ask("GetAll", **{"patientId": P1, **statuses, **parameters})


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, {DE: 5, SS: 4, FD: 2, AS: 11}),
        ({"XDSDocumentEntryStatus": [APPROVED, DEPRECATED]}, {DE: 6, SS: 4, FD: 2, AS: 11}),
        ({"XDSSubmissionSetStatus": [DEPRECATED], "XDSFolderStatus": [DEPRECATED]}, {DE: 5, AS: 7}),
        (E_FORMAT, {DE: 4, SS: 4, FD: 2, AS: 11}),
        ({"XDSDocumentEntryType": [ON_DEMAND]}, {SS: 4, FD: 2, AS: 10}),
        ({"patientId": P2}, {}),
    ],
)
def test_get_all_holds_every_association_that_touches_what_is_returned(parameters, expected):
    """ITI TF-2 3.18.4.1.2.3.7.4: they may point to objects that are not returned."""
    assert Counter(type(one).__name__ for one in match(get_all(**parameters), REGISTRY)) == expected


def test_related_documents_of_both_types_must_both_be_asked_for():
    """IsSnapshotOf joins a Stable to an On-Demand entry; one filtered away takes the association with it."""
    snapshot, source = entry(1), entry(2, object_type=ON_DEMAND)
    registry = Objects([snapshot, source, link(3, snapshot, source, SNAPSHOT)])
    parameters = {E_UUID: snapshot.id, "AssociationTypes": [SNAPSHOT]}
    assert match(ask("GetRelatedDocuments", **parameters), registry) == []
    both = ask("GetRelatedDocuments", **parameters, XDSDocumentEntryType=[STABLE, ON_DEMAND])
    assert len(match(both, registry)) == 3


def test_one_unique_id_may_name_several_entries():
    """ITI TF-3 4.2.3.2.26: a document may be registered twice."""
    first, second = entry(1), replace(entry(2), unique_id=Identifier("1.2.1"))
    query = ask("GetDocuments", XDSDocumentEntryUniqueId=["1.2.1"])
    assert match(query, Objects([first, second])) == [first, second]


def test_a_link_to_nothing_leads_nowhere():
    """Also in a registry that holds only a part of the objects, as a subscription sees them."""
    submitted = sset(1)
    dangling = Objects([submitted, link(2, submitted, entry(3)), link(4, entry(5), entry(6), RPLC)])
    assert match(ask("GetSubmissionSetAndContents", XDSSubmissionSetEntryUUID=submitted.id), dangling) == [submitted]
    assert match(ask("GetRelatedDocuments", **{E_UUID: uuid(5), "AssociationTypes": [RPLC]}), dangling) == []


# The single-patient rule

MIXED = [entry(1), entry(2, patient_id=Identifier(P2))]


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        (ask("GetDocuments", **{E_UUID: [uuid(1), uuid(2)]}), True),
        (ask("GetDocuments", ReturnType.OBJECT_REF, **{E_UUID: [uuid(1), uuid(2)]}), False),
        (ask("GetDocuments", **{E_UUID: [uuid(1)]}), False),
        (ask("GetDocumentsAndAssociations", **{E_UUID: [uuid(1), uuid(2)]}), True),
        (ask("GetAssociations", uuid=[uuid(1), uuid(2)]), False),
    ],
)
def test_leaf_class_by_identifier_has_one_patient(query, refused):
    """ITI TF-2 3.18.4.1.2.3.7 notes; NIST 12368."""
    registry = Objects([*MIXED, link(3, *MIXED)])
    error = single_patient_error(query, match(query, registry))
    assert (error.code if error else None) == (Code.XDSResultNotSinglePatient if refused else None)


def test_one_patient_written_with_empty_components_is_one_patient():
    query = ask("GetDocuments", **{E_UUID: [uuid(1), uuid(2)]})
    same = [entry(1), entry(2, patient_id=Identifier(P1 + "^"))]
    assert single_patient_error(query, same) is None
    assert matches(find(), same[1])
