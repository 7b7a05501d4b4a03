"""What the header of a CDA document says for its DocumentEntry (PCC TF-2 4.1; HL7 CDA R2 4.2).

Facts only: codes are not yet those of an affinity domain and times keep their zone. `entry` makes metadata of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from xds.content import v3
from xds.content.formats import CONFIDENTIALITY, SEXES
from xds.content.header import parse_header
from xds.metadata.hl7 import XCN, XON, XTN, IntendedRecipient
from xds.metadata.model import Author, Code
from xds.metadata.vocabulary import AssociationType

if TYPE_CHECKING:
    from pathlib import Path

    from lxml.etree import _Element as Element

CONSENT = "1.3.6.1.4.1.19376.1.5.3.1.2.5"
RELATIONS = {
    "RPLC": AssociationType.RPLC,
    "APND": AssociationType.APND,
    "XFRM": AssociationType.XFRM,
}
"""ClinicalDocument/relatedDocument/@typeCode -> association type (HL7 CDA R2 4.2.3.1)."""


@dataclass(frozen=True, slots=True)
class Related:
    """One relatedDocument: how this document relates to an earlier one, and that one's uniqueId."""

    type: AssociationType
    unique_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CDAHeader:
    """The header in the terms of XDS.

    Attributes:
        id: ClinicalDocument/id.
        template_ids: root and extension of each templateId.
        embedded: media type of a nonXMLBody, empty if it names none; None for a structured body.
        codes: ClinicalDocument/code, then its translations.
        title: ClinicalDocument/title.
        time: effectiveTime as written.
        confidentiality: confidentialityCode, then the codes of consents (BPPC).
        language: languageCode/@code.
        patient_ids: recordTarget/patientRole/id.
        patient_info: values of sourcePatientInfo.
        authors: one Author for each author.
        legal_authenticator: XCN.
        event_codes: for each serviceEvent its code and translations.
        services: low and high of each serviceEvent, as written.
        encounter: low and high of the encompassingEncounter, as written.
        facility_codes: healthCareFacility/code, then its translations.
        recipients: values of SubmissionSet.intendedRecipient.
        related: documents this one replaces, adds to or was made of.
    """

    id: v3.II | None = None
    template_ids: tuple[tuple[str, str], ...] = ()
    embedded: str | None = None
    codes: tuple[Code, ...] = ()
    title: str | None = None
    time: str | None = None
    confidentiality: tuple[Code, ...] = ()
    language: str | None = None
    patient_ids: tuple[v3.II, ...] = ()
    patient_info: tuple[str, ...] = ()
    authors: tuple[Author, ...] = ()
    legal_authenticator: str | None = None
    event_codes: tuple[tuple[Code, ...], ...] = ()
    services: tuple[tuple[str | None, str | None], ...] = ()
    encounter: tuple[str | None, str | None] = (None, None)
    facility_codes: tuple[Code, ...] = ()
    recipients: tuple[str, ...] = ()
    related: tuple[Related, ...] = ()


def read_header(source: BinaryIO | Path) -> CDAHeader:
    """Read a CDA document's header; the body is not read.

    Args:
        source: a file, or a stream at its beginning.

    Raises:
        ContentError: if it is no CDA document, or not one that is safe to read.
        OSError: if the file cannot be read.
    """
    doc = parse_header(source)
    events = v3.all_at(doc, "documentationOf/serviceEvent")
    encounter = v3.at(doc, "componentOf/encompassingEncounter")
    facility = v3.at(doc, "componentOf/encompassingEncounter/location/healthCareFacility")
    patient = v3.at(doc, "recordTarget/patientRole")
    return CDAHeader(
        id=next(iter(v3.ids(doc)), None),
        template_ids=tuple((template.root, template.extension) for template in v3.ids(doc, "templateId")),
        embedded=_embedded(doc),
        codes=v3.codes(doc, "code"),
        title=v3.text_of(v3.at(doc, "title")) or None,
        time=v3.value_at(doc, "effectiveTime"),
        confidentiality=_confidentiality(doc),
        language=v3.value_at(doc, "languageCode", "code"),
        patient_ids=v3.ids(patient) if patient is not None else (),
        patient_info=_patient_info(patient) if patient is not None else (),
        authors=tuple(filter(None, map(_author, v3.all_at(doc, "author")))),
        legal_authenticator=_legal_authenticator(doc),
        event_codes=tuple(filter(None, (v3.codes(event, "code") for event in events))),
        services=tuple(v3.interval(event) for event in events),
        encounter=v3.interval(encounter) if encounter is not None else (None, None),
        facility_codes=v3.codes(facility, "code") if facility is not None else (),
        recipients=tuple(filter(None, map(_recipient, v3.all_at(doc, "informationRecipient/intendedRecipient")))),
        related=tuple(each for el in v3.all_at(doc, "relatedDocument") for each in _related(el)),
    )


def _embedded(doc: Element) -> str | None:
    if v3.at(doc, "component/nonXMLBody") is None:
        return None
    return (v3.value_at(doc, "component/nonXMLBody/text", "mediaType") or "").lower()


def _confidentiality(doc: Element) -> tuple[Code, ...]:
    own = v3.codes(doc, "confidentialityCode", CONFIDENTIALITY)  # the schema lets codeSystem be left out
    consents = [
        code
        for consent in v3.all_at(doc, "authorization/consent")
        if any(template.root == CONSENT for template in v3.ids(consent, "templateId"))
        for code in v3.codes(consent, "code")
    ]
    return (*own, *consents)


def _patient_info(role: Element) -> tuple[str, ...]:
    """Give PID-3, 5, 7, 8 and 11; the day of birth is no instant and is not moved by a zone (ITI TF-3 4.2.3.2.23)."""
    patient = v3.at(role, "patient")
    fields: list[tuple[int, str | None]] = [(3, each.cx) for each in v3.ids(role)]
    if patient is not None:
        named = v3.name(patient)
        born = v3.value_at(patient, "birthTime")
        fields += [(5, named.xpn if named else None), (7, born[:8] if born else None), (8, _sex(patient))]
    fields += [(11, v3.address(each)) for each in v3.all_at(role, "addr")[:1]]
    return tuple(f"PID-{number}|{field}" for number, field in fields if field)


def _sex(patient: Element) -> str | None:
    found = v3.at(patient, "administrativeGenderCode")
    if found is None:
        return None
    code, scheme = v3.clean(found.get("code")), v3.clean(found.get("codeSystem"))
    return SEXES.get((scheme or "2.16.840.1.113883.5.1", code), "U" if code else None)


def _author(participation: Element) -> Author | None:
    role = v3.at(participation, "assignedAuthor")
    if role is None:
        return None
    institution = v3.organization(v3.at(role, "representedOrganization"))
    made = Author(
        person=v3.device(role) or v3.person(role, "assignedPerson/name"),
        institutions=(institution,) if institution else (),
        roles=_one(v3.coded_string(v3.at(participation, "functionCode"))),
        specialties=_one(v3.coded_string(v3.at(role, "code"))),
        telecommunications=v3.telecoms(role),
    )
    return made if made.person or made.institutions or made.telecommunications else None


def _one(value: str | None) -> tuple[str, ...]:
    return (value,) if value else ()


def _legal_authenticator(doc: Element) -> str | None:
    entity = v3.at(doc, "legalAuthenticator/assignedEntity")
    return v3.person(entity, "assignedPerson/name") if entity is not None else None


def _recipient(role: Element) -> str | None:
    """Write an intendedRecipient `XON|XCN|XTN` (ITI TF-3 4.2.3.3.7)."""
    organization = v3.organization(v3.at(role, "receivedOrganization"))
    person = v3.person(role, "informationRecipient/name")
    telecom = next(iter(v3.telecoms(role)), None)
    if not (organization or person or telecom):
        return None
    return IntendedRecipient(
        XON.parse(organization) if organization else None,
        XCN.parse(person) if person else None,
        XTN.parse(telecom) if telecom else None,
    ).format()


def _related(el: Element) -> tuple[Related, ...]:
    kind = RELATIONS.get(el.get("typeCode", ""))
    return tuple(Related(kind, each.unique_id) for each in v3.ids(el, "parentDocument/id")) if kind else ()
