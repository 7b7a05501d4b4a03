"""The attributes of the metadata objects: one row each (ITI TF-3 Tables 4.2.3.2-1, 4.2.3.3-1, 4.2.3.4-1 and 4.3.1-3).

The codec, the rules, the documentation and the submit command read these rows; a new attribute is a new row and a new
field in `model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from xds.metadata.model import DocumentEntry, Folder, PatientObject, SubmissionSet


class Carrier(StrEnum):
    """Where ebRIM 3.0 holds an attribute (ITI TF-3 4.2.3.1.1)."""

    SLOT = "Slot"
    CLASSIFICATION = "Classification"
    AUTHOR = "author Classification"
    EXTERNAL_IDENTIFIER = "ExternalIdentifier"
    XML_ATTRIBUTE = "XML attribute"
    NAME = "Name"
    DESCRIPTION = "Description"


class Optionality(StrEnum):
    """Optionality of Table 4.3.1-3 for what a Registry receives."""

    REQUIRED = "R"
    REQUIRED_IF_KNOWN = "R2"
    OPTIONAL = "O"
    PROHIBITED = "X"


R, R2, O, X = Optionality  # noqa: E741 - the standard's letters


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row.

    Attributes:
        of: the object it belongs to.
        name: the standard's name, as in `classCode`.
        field: the field of `of`.
        carrier: where ebRIM holds it.
        key: slot name, classification scheme, identification scheme or XML attribute name.
        datatype: row of `datatypes.DATATYPES`; None for free text and codes.
        many: whether several values are allowed.
        source: optionality for a Document Source (ITI-41).
        stable: optionality at the Registry for ITI-42.
        on_demand: optionality at the Registry for ITI-61.
        codes: CodeType of the affinity domain whose values are legal, if the attribute is coded so.
        limit: greatest length of a value in characters; None where the standard sets none.
    """

    of: type[PatientObject]
    name: str
    field: str
    carrier: Carrier
    key: str = ""
    datatype: str | None = None
    many: bool = False
    source: Optionality = O
    stable: Optionality = O
    on_demand: Optionality = O
    codes: str | None = None
    limit: int | None = 256

    @property
    def external_name(self) -> str:
        """The Name an ExternalIdentifier must carry, such as `XDSDocumentEntry.patientId` (ITI TF-3 4.2.5.1)."""
        return f"XDS{self.of.__name__}.{self.name}"


def _slot(of: type[PatientObject], name: str, field: str, datatype: str | None, rule: str, **more: object) -> Attribute:
    return _row(of, name, field, Carrier.SLOT, rule, **{"key": name, "datatype": datatype, **more})


def _code(of: type[PatientObject], name: str, field: str, scheme: str, rule: str, **more: object) -> Attribute:
    return _row(of, name, field, Carrier.CLASSIFICATION, rule, **{"key": f"urn:uuid:{scheme}", "codes": name, **more})


def _identifier(  # noqa: PLR0917 - the columns of the table
    of: type[PatientObject], name: str, field: str, scheme: str, datatype: str, limit: int
) -> Attribute:
    more = {"key": f"urn:uuid:{scheme}", "datatype": datatype, "limit": limit}
    return _row(of, name, field, Carrier.EXTERNAL_IDENTIFIER, "R R R", **more)


def _row(of: type[PatientObject], name: str, field: str, carrier: Carrier, rule: str, **more: object) -> Attribute:
    source, stable, on_demand = map(Optionality, rule.split())
    return Attribute(of, name, field, carrier, source=source, stable=stable, on_demand=on_demand, **more)  # type: ignore[arg-type]


DE, SS, FD = DocumentEntry, SubmissionSet, Folder

# fmt: off
TABLE: tuple[Attribute, ...] = (
    # DocumentEntry; the rule gives ITI-41, ITI-42, ITI-61. Slots stand in the order in which answers carry them.
    _slot(DE, "creationTime", "creation_time", "DTM", "R R X", limit=14),
    _slot(DE, "hash", "hash", "SHA1", "O R X", limit=40),
    _slot(DE, "languageCode", "language_code", "LanguageCode", "R R R"),
    _slot(DE, "legalAuthenticator", "legal_authenticator", "XCN", "O O O"),
    _slot(DE, "referenceIdList", "reference_id_list", "CXi", "O O O", many=True,
          key="urn:ihe:iti:xds:2013:referenceIdList"),
    _slot(DE, "repositoryUniqueId", "repository_unique_id", "OID", "O R R", limit=64),
    _slot(DE, "serviceStartTime", "service_start_time", "DTM", "R2 R2 O", limit=14),
    _slot(DE, "serviceStopTime", "service_stop_time", "DTM", "R2 R2 O", limit=14),
    _slot(DE, "size", "size", "Integer", "O R X"),
    _slot(DE, "sourcePatientId", "source_patient_id", "CX", "R R R"),
    _slot(DE, "sourcePatientInfo", "source_patient_info", "SourcePatientInfo", "O O O", many=True),
    _slot(DE, "URI", "uri", "URI", "O O O"),
    _slot(DE, "documentAvailability", "document_availability", "DocumentAvailability", "O O X"),
    _row(DE, "mimeType", "mime_type", Carrier.XML_ATTRIBUTE, "R R R", key="mimeType", datatype="MimeType"),
    _row(DE, "title", "title", Carrier.NAME, "O O O", limit=128),
    _row(DE, "comments", "comments", Carrier.DESCRIPTION, "O O O", limit=None),
    _row(DE, "author", "author", Carrier.AUTHOR, "R2 R2 R2", many=True,
         key="urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"),
    _code(DE, "classCode", "class_code", "41a5887f-8865-4c09-adf7-e362475b143a", "R R R"),
    _code(DE, "confidentialityCode", "confidentiality_code", "f4f85eac-e6cb-4883-b524-f2705394840f", "R R R",
          many=True),
    _code(DE, "eventCodeList", "event_code_list", "2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4", "O O O", many=True),
    _code(DE, "formatCode", "format_code", "a09d5840-386c-46f2-b5ad-9c3699a4309d", "R R R"),
    _code(DE, "healthcareFacilityTypeCode", "healthcare_facility_type_code", "f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1",
          "R R R"),
    _code(DE, "practiceSettingCode", "practice_setting_code", "cccf5598-8b07-4b77-a05e-ae952c785ead", "R R R"),
    _code(DE, "typeCode", "type_code", "f0306f51-975f-434e-a61c-c59651d33983", "R R R"),
    _identifier(DE, "patientId", "patient_id", "58a6f841-87b3-4a3e-92fd-a8ffeff98427", "CX", 256),
    _identifier(DE, "uniqueId", "unique_id", "2e82c1f6-a085-4c72-9da3-8640a32e42ab", "Identifier", 256),
    # SubmissionSet
    _slot(SS, "intendedRecipient", "intended_recipient", "IntendedRecipient", "O O O", many=True),
    _slot(SS, "submissionTime", "submission_time", "DTM", "R R R", limit=14),
    _row(SS, "title", "title", Carrier.NAME, "O O O"),
    _row(SS, "comments", "comments", Carrier.DESCRIPTION, "O O O", limit=None),
    _row(SS, "author", "author", Carrier.AUTHOR, "R2 R2 R2", many=True,
         key="urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"),
    _code(SS, "contentTypeCode", "content_type_code", "aa543740-bdda-424e-8c96-df4873be8500", "R R R"),
    _identifier(SS, "patientId", "patient_id", "6b5aea1a-874d-4603-a4bc-96a0a7b38446", "CX", 256),
    _identifier(SS, "sourceId", "source_id", "554ac39e-e3fe-47fe-b233-965d2a147832", "OID", 64),
    _identifier(SS, "uniqueId", "unique_id", "96fdda7c-d067-4183-912e-bf5ee74998a8", "OID", 64),
    # Folder; a submitted lastUpdateTime is discarded
    _slot(FD, "lastUpdateTime", "last_update_time", None, "O O O"),
    _row(FD, "title", "title", Carrier.NAME, "R R R"),
    _row(FD, "comments", "comments", Carrier.DESCRIPTION, "O O O", limit=None),
    _code(FD, "codeList", "code_list", "1ba97051-7806-41a8-a48b-8fce7af683c5", "R R R", many=True,
          codes="folderCodeList"),
    _identifier(FD, "patientId", "patient_id", "f64ffdf0-4b97-4e06-b79f-a52b38ec2f8a", "CX", 256),
    _identifier(FD, "uniqueId", "unique_id", "75df8f67-9973-4fbe-a900-df66cefecc5a", "OID", 64),
)
# fmt: on

AUTHOR_SLOTS = MappingProxyType(
    {
        "authorPerson": ("person", "XCN", False),
        "authorInstitution": ("institutions", "XON", True),
        "authorRole": ("roles", "CodedString", True),
        "authorSpecialty": ("specialties", "CodedString", True),
        "authorTelecommunication": ("telecommunications", "XTN", True),
    },
)
"""Slots of an author Classification: field of `model.Author`, data type, several values (ITI TF-3 4.2.3.1.4)."""

OF: Mapping[type[PatientObject], tuple[Attribute, ...]] = {
    kind: tuple(row for row in TABLE if row.of is kind) for kind in (DE, SS, FD)
}
"""The rows of one kind of object, in the order of the table."""


def find(of: type[PatientObject], name: str) -> Attribute:
    """Look a row up by the standard's name.

    Raises:
        KeyError: if there is no such attribute.
    """
    for row in OF[of]:
        if row.name == name:
            return row
    raise KeyError(name)
