"""The stored queries, a row each, and a row for each of their parameters (ITI TF-2 3.18.4.1.2.3.7, 3.51.4.1.2.3).

Parsing, the match in memory, the Registry's SQL and the documentation read these rows. Those of the Metadata Update
option are there with `option="MU"`; a Registry without it ignores such parameters like any unknown one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from xds.metadata import attributes
from xds.metadata.model import Association, DocumentEntry, Folder, PatientObject, RegistryObject, SubmissionSet
from xds.metadata.vocabulary import STABLE
from xds.transactions import ITI_18, ITI_51


class Compare(StrEnum):
    """How a parameter's values are compared (ITI TF-2 3.18.4.1.2.3.4, .5); the member's value is for people."""

    PATIENT = "equal as full CX, after merges"
    STATUS = "equal to a status URN; unknown URNs are ignored"
    CODE = "equal in code and coding scheme"
    CODES = "any of the codes equal in code and coding scheme"
    LIKE = "any author's authorPerson is LIKE the pattern"
    FROM = "not before the time, digit by digit; absent times pass"
    TO = "before the time, digit by digit; absent times pass"
    EXACT = "equal, case counts"
    REFERENCE = "any of the CXi values equal, case counts"
    OBJECT_TYPE = "equal to the UUID for Stable or On-Demand"
    ASSOCIATION_TYPE = "equal to the association's URN"
    UUID = "equal as UUID, in any case"
    UNIQUE_ID = "equal to the uniqueId"
    ENDS = "source or target equal as UUID, in any case"
    LEVEL = "a number, the metadata level"


class Need(StrEnum):
    """Whether a parameter must be there; the letters of ITI TF-2 3.18.4.1.2.3.7, and `A` for ITI-51's groups."""

    REQUIRED = "R"
    OPTIONAL = "O"
    ONE_OF = "E"
    ANY_OF = "A"


class Answer(StrEnum):
    """What a query returns, given the objects it selects; the value is for people."""

    SELECTED = "the objects selected"
    EVERYTHING = "the objects selected and every association with one of them as source or target"
    SUBMISSION_SETS = "the SubmissionSets that hold the given objects, and their HasMember associations to them"
    SUBMISSION_SET_CONTENTS = (
        "the SubmissionSet; its entries that pass the filters; its Folders; its associations with both ends among "
        "these; the HasMember associations that join each of them to it"
    )
    FOLDER_CONTENTS = "the Folder, its entries that pass the filters, and the HasMember associations between them"
    FOLDERS = "the Folders that hold the entry"
    RELATED = "associations of the given types between the entry and others, and the entries at both ends"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a stored query.

    Attributes:
        name: slot name, `$...`; case counts.
        of: the object it speaks of.
        field: the attribute's field of `of`.
        compare: how values are compared with it.
        need: required, optional, or one of a group.
        many: several values are allowed, as alternatives (OR).
        conjunctive: the slot may be repeated, and every one must hold (AND).
        default: values when it is absent.
        option: the option of the actor it belongs to; None for what every Registry knows.
    """

    name: str
    of: type[RegistryObject]
    field: str
    compare: Compare
    need: Need = Need.OPTIONAL
    many: bool = False
    conjunctive: bool = False
    default: tuple[str, ...] = ()
    option: str | None = None

    @property
    def attribute(self) -> str:
        """The standard's name of a coded attribute, as in `classCode`."""
        return _ATTRIBUTE_NAMES[self.of, self.field]


_ATTRIBUTE_NAMES: dict[tuple[type[RegistryObject], str], str] = {
    (row.of, row.field): row.name for row in attributes.TABLE
}


@dataclass(frozen=True)
class StoredQuery:
    """One stored query.

    Attributes:
        name: as in `FindDocuments`.
        id: `urn:uuid:...` as sent in AdhocQuery/@id.
        selects: the kind of object its criteria select.
        answer: what is returned for these.
        returns: kinds of objects in the answer.
        section: of ITI TF-2.
        parameters: its rows.
        transaction: number of the transaction that carries it.
        single_patient: LeafClass answers must not mix patients (ITI TF-2 3.18.4.1.2.3.7): queries by identifier, except
            GetAssociations, whose objects have no patientId.
    """

    name: str
    id: str
    selects: type[RegistryObject]
    answer: Answer
    returns: tuple[type[RegistryObject], ...]
    section: str
    parameters: tuple[Parameter, ...]
    transaction: str = ITI_18.number
    single_patient: bool = False

    @cached_property
    def enabled(self) -> tuple[Parameter, ...]:
        """The parameters known without any option."""
        return tuple(row for row in self.parameters if row.option is None)

    @cached_property
    def groups(self) -> dict[Need, tuple[str, ...]]:
        """Names of the parameters known without any option, by need."""
        return {need: tuple(row.name for row in self.enabled if row.need is need) for need in Need}


DE, SS, FD = DocumentEntry, SubmissionSet, Folder


def _of_entry(name: str, field: str, compare: Compare, **more: object) -> Parameter:
    return Parameter(f"$XDSDocumentEntry{name}", DE, field, compare, **more)  # type: ignore[arg-type]


def _of_set(name: str, field: str, compare: Compare, **more: object) -> Parameter:
    return Parameter(f"$XDSSubmissionSet{name}", SS, field, compare, **more)  # type: ignore[arg-type]


def _of_folder(name: str, field: str, compare: Compare, **more: object) -> Parameter:
    return Parameter(f"$XDSFolder{name}", FD, field, compare, **more)  # type: ignore[arg-type]


def _at_least_one(parameters: tuple[Parameter, ...], *names: str) -> tuple[Parameter, ...]:
    """Make a group of parameters of which one must be there, patients being several (ITI-51)."""
    changed = {name: {"need": Need.ANY_OF, "many": True} for name in names}
    return tuple(replace(row, **changed.get(row.name, {})) for row in parameters)  # type: ignore[arg-type]


# fmt: off
_LEVEL = Parameter("$MetadataLevel", RegistryObject, "version", Compare.LEVEL, option="MU")
_LINK_STATUS = Parameter("$XDSAssociationStatus", Association, "status", Compare.STATUS, many=True, option="MU")

_ENTRY_STATUS = _of_entry("Status", "status", Compare.STATUS, need=Need.REQUIRED, many=True)
_SET_STATUS = _of_set("Status", "status", Compare.STATUS, need=Need.REQUIRED, many=True)
_FOLDER_STATUS = _of_folder("Status", "status", Compare.STATUS, need=Need.REQUIRED, many=True)
_FORMAT_CODE = _of_entry("FormatCode", "format_code", Compare.CODE, many=True)
_CONFIDENTIALITY = _of_entry("ConfidentialityCode", "confidentiality_code", Compare.CODES, many=True, conjunctive=True)
_TYPE = _of_entry("Type", "object_type", Compare.OBJECT_TYPE, many=True, default=(STABLE,))
_ENTRY_FILTERS = (_FORMAT_CODE, _CONFIDENTIALITY, _TYPE)

_ENTRY_CRITERIA = (
    _of_entry("PatientId", "patient_id", Compare.PATIENT, need=Need.REQUIRED),
    _ENTRY_STATUS,
    _of_entry("ClassCode", "class_code", Compare.CODE, many=True),
    _of_entry("TypeCode", "type_code", Compare.CODE, many=True),
    _of_entry("PracticeSettingCode", "practice_setting_code", Compare.CODE, many=True),
    _of_entry("CreationTimeFrom", "creation_time", Compare.FROM),
    _of_entry("CreationTimeTo", "creation_time", Compare.TO),
    _of_entry("ServiceStartTimeFrom", "service_start_time", Compare.FROM),
    _of_entry("ServiceStartTimeTo", "service_start_time", Compare.TO),
    _of_entry("ServiceStopTimeFrom", "service_stop_time", Compare.FROM),
    _of_entry("ServiceStopTimeTo", "service_stop_time", Compare.TO),
    _of_entry("HealthcareFacilityTypeCode", "healthcare_facility_type_code", Compare.CODE, many=True),
    _of_entry("EventCodeList", "event_code_list", Compare.CODES, many=True, conjunctive=True),
    _CONFIDENTIALITY,
    _of_entry("AuthorPerson", "author", Compare.LIKE, many=True),
    _FORMAT_CODE,
    _TYPE,
    _of_entry("DocumentAvailability", "document_availability", Compare.EXACT, many=True, option="MU"),
)
_FIND_DOCUMENTS = (*_ENTRY_CRITERIA, _LEVEL)
_FIND_FOLDERS = (
    _of_folder("PatientId", "patient_id", Compare.PATIENT, need=Need.REQUIRED),
    _FOLDER_STATUS,
    _of_folder("LastUpdateTimeFrom", "last_update_time", Compare.FROM),
    _of_folder("LastUpdateTimeTo", "last_update_time", Compare.TO),
    _of_folder("CodeList", "code_list", Compare.CODES, many=True, conjunctive=True),
)
_ENTRIES_BY_ID = (
    _of_entry("EntryUUID", "id", Compare.UUID, need=Need.ONE_OF, many=True),
    _of_entry("UniqueId", "unique_id", Compare.UNIQUE_ID, need=Need.ONE_OF, many=True),
)
_FOLDERS_BY_ID = (
    _of_folder("EntryUUID", "id", Compare.UUID, need=Need.ONE_OF, many=True),
    _of_folder("UniqueId", "unique_id", Compare.UNIQUE_ID, need=Need.ONE_OF, many=True),
)
_ENTRY_BY_ID = tuple(replace(row, many=False) for row in _ENTRIES_BY_ID)
_FOLDER_BY_ID = tuple(replace(row, many=False) for row in _FOLDERS_BY_ID)

TABLE: tuple[StoredQuery, ...] = (
    StoredQuery(
        "FindDocuments", "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d",
        DE, Answer.SELECTED, (DE,), "3.18.4.1.2.3.7.1", _FIND_DOCUMENTS,
    ),
    StoredQuery(
        "FindSubmissionSets", "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9",
        SS, Answer.SELECTED, (SS,), "3.18.4.1.2.3.7.2",
        (
            _of_set("PatientId", "patient_id", Compare.PATIENT, need=Need.REQUIRED),
            _SET_STATUS,
            _of_set("SourceId", "source_id", Compare.EXACT, many=True),
            _of_set("SubmissionTimeFrom", "submission_time", Compare.FROM),
            _of_set("SubmissionTimeTo", "submission_time", Compare.TO),
            _of_set("AuthorPerson", "author", Compare.LIKE),
            _of_set("ContentType", "content_type_code", Compare.CODE, many=True),
        ),
    ),
    StoredQuery(
        "FindFolders", "urn:uuid:958f3006-baad-4929-a4de-ff1114824431",
        FD, Answer.SELECTED, (FD,), "3.18.4.1.2.3.7.3", (*_FIND_FOLDERS, _LEVEL),
    ),
    StoredQuery(
        "GetAll", "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3",
        PatientObject, Answer.EVERYTHING, (DE, SS, FD, Association), "3.18.4.1.2.3.7.4",
        (
            Parameter("$patientId", PatientObject, "patient_id", Compare.PATIENT, need=Need.REQUIRED),
            _ENTRY_STATUS, _SET_STATUS, _FOLDER_STATUS, *_ENTRY_FILTERS, _LINK_STATUS, _LEVEL,
        ),
    ),
    StoredQuery(
        "GetDocuments", "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4",
        DE, Answer.SELECTED, (DE,), "3.18.4.1.2.3.7.5",
        (
            *_ENTRIES_BY_ID,
            _of_entry("LogicalID", "lid", Compare.UUID, need=Need.ONE_OF, many=True, option="MU"),
            _LEVEL,
        ),
        single_patient=True,
    ),
    StoredQuery(
        "GetFolders", "urn:uuid:5737b14c-8a1a-4539-b659-e03a34a5e1e4",
        FD, Answer.SELECTED, (FD,), "3.18.4.1.2.3.7.6",
        (
            *_FOLDERS_BY_ID,
            _of_folder("LogicalID", "lid", Compare.UUID, need=Need.ONE_OF, many=True, option="MU"),
            _LEVEL,
        ),
        single_patient=True,
    ),
    StoredQuery(
        "GetAssociations", "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155",
        Association, Answer.SELECTED, (Association,), "3.18.4.1.2.3.7.7",
        (Parameter("$uuid", Association, "source", Compare.ENDS, need=Need.REQUIRED, many=True), _LINK_STATUS, _LEVEL),
    ),
    StoredQuery(
        "GetDocumentsAndAssociations", "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a",
        DE, Answer.EVERYTHING, (DE, Association), "3.18.4.1.2.3.7.8",
        (*_ENTRIES_BY_ID, _LINK_STATUS, _LEVEL), single_patient=True,
    ),
    StoredQuery(
        "GetSubmissionSets", "urn:uuid:51224314-5390-4169-9b91-b1980040715a",
        SS, Answer.SUBMISSION_SETS, (SS, Association), "3.18.4.1.2.3.7.9",
        (Parameter("$uuid", Association, "target", Compare.UUID, need=Need.REQUIRED, many=True), _LEVEL),
        single_patient=True,
    ),
    StoredQuery(
        "GetSubmissionSetAndContents", "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83",
        SS, Answer.SUBMISSION_SET_CONTENTS, (SS, DE, FD, Association), "3.18.4.1.2.3.7.10",
        (
            _of_set("EntryUUID", "id", Compare.UUID, need=Need.ONE_OF),
            _of_set("UniqueId", "unique_id", Compare.UNIQUE_ID, need=Need.ONE_OF),
            *_ENTRY_FILTERS, _LEVEL,
        ),
        single_patient=True,
    ),
    StoredQuery(
        "GetFolderAndContents", "urn:uuid:b909a503-523d-4517-8acf-8e5834dfc4c7",
        FD, Answer.FOLDER_CONTENTS, (FD, DE, Association), "3.18.4.1.2.3.7.11",
        (*_FOLDER_BY_ID, *_ENTRY_FILTERS, _LINK_STATUS, _LEVEL), single_patient=True,
    ),
    StoredQuery(
        "GetFoldersForDocument", "urn:uuid:10cae35a-c7f9-4cf5-b61e-fc3278ffb578",
        DE, Answer.FOLDERS, (FD,), "3.18.4.1.2.3.7.12",
        (*_ENTRY_BY_ID, _LINK_STATUS, _LEVEL), single_patient=True,
    ),
    StoredQuery(
        "GetRelatedDocuments", "urn:uuid:d90e5407-b356-4d91-a89f-873917b4b0e6",
        DE, Answer.RELATED, (DE, Association), "3.18.4.1.2.3.7.13",
        (
            *_ENTRY_BY_ID,
            Parameter(
                "$AssociationTypes", Association, "type", Compare.ASSOCIATION_TYPE, need=Need.REQUIRED, many=True,
            ),
            _TYPE, _LINK_STATUS, _LEVEL,
        ),
        single_patient=True,
    ),
    StoredQuery(
        "FindDocumentsByReferenceId", "urn:uuid:12941a89-e02e-4be5-967c-ce4bfc8fe492",
        DE, Answer.SELECTED, (DE,), "3.18.4.1.2.3.7.14",
        (
            *_FIND_DOCUMENTS,
            _of_entry(
                "ReferenceIdList", "reference_id_list", Compare.REFERENCE,
                need=Need.REQUIRED, many=True, conjunctive=True,
            ),
        ),
    ),
    StoredQuery(
        "FindDocumentsForMultiplePatients", "urn:uuid:3d1bdb10-39a2-11de-89c2-2f44d94eaa9f",
        DE, Answer.SELECTED, (DE,), "3.51.4.1.2.3",
        _at_least_one(
            _ENTRY_CRITERIA,
            "$XDSDocumentEntryPatientId", "$XDSDocumentEntryClassCode", "$XDSDocumentEntryEventCodeList",
            "$XDSDocumentEntryHealthcareFacilityTypeCode",
        ),
        ITI_51.number,
    ),
    StoredQuery(
        "FindFoldersForMultiplePatients", "urn:uuid:50d3f5ac-39a2-11de-a1ca-b366239e58df",
        FD, Answer.SELECTED, (FD,), "3.51.4.1.2.3",
        _at_least_one(_FIND_FOLDERS, "$XDSFolderPatientId", "$XDSFolderCodeList"), ITI_51.number,
    ),
)
# fmt: on

BY_ID = {(row.transaction, row.id): row for row in TABLE}
"""Rows by transaction number and AdhocQuery/@id."""
