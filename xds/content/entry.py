"""Make the DocumentEntry of a file: options first, then what the document says, then defaults (PCC TF-2 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xds.content import formats
from xds.content.codes import Codes
from xds.content.draft import NOTHING, Defaults, Draft, Facts, Missing, settle
from xds.metadata.affinity import CodeType
from xds.metadata.datatypes import DATATYPES
from xds.metadata.dtm import dtm_not_after, to_utc
from xds.metadata.hl7 import CX
from xds.metadata.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from xds.content.cda import CDAHeader
    from xds.metadata.affinity import AffinityDomain

_PLACES = {
    "creation_time": "effectiveTime",
    "language_code": "languageCode",
    "source_patient_id": "recordTarget/patientRole/id with an OID as root and an extension",
    "patient_id": "recordTarget/patientRole/id whose root is an assigning authority of the affinity domain",
    "unique_id": "id",
    "type_code": "code",
    "class_code": "code that implies a class of the affinity domain",
    "confidentiality_code": "confidentialityCode",
    "format_code": "templateId of a known format",
    "healthcare_facility_type_code": "code of a healthCareFacility that the affinity domain lists",
    "practice_setting_code": "code of a healthCareFacility that the affinity domain lists",
}


def to_entry(
    header: CDAHeader,
    defaults: Defaults = NOTHING,
    affinity: AffinityDomain | None = None,
    *,
    options: Defaults = NOTHING,
    entry_id: str = "Document01",
) -> Draft:
    """Describe a CDA document (PCC TF-2 4.1).

    Args:
        header: from `cda.read_header`.
        defaults: fill what the header lacks; also the zone of its times and the maps of its codes.
        affinity: legal codes; without it, codes are taken as they are.
        options: win over the header.
        entry_id: symbolic id of the entry in the message.
    """
    notes: list[str] = []
    codes = Codes(affinity, defaults.maps, notes)
    facts = _cda_facts(header, defaults, options, codes)
    wrong = tuple(_patient_conflict(header, options.patient_id or defaults.patient_id))
    draft = settle(entry_id, (options, facts, defaults), affinity, _PLACES)
    return Draft(draft.entry, wrong + draft.missing, (*notes, *draft.notes))


def plain_entry(
    unique_id: str,
    mime_type: str | None,
    defaults: Defaults = NOTHING,
    affinity: AffinityDomain | None = None,
    *,
    options: Defaults = NOTHING,
    entry_id: str = "Document01",
) -> Draft:
    """Describe a document that says nothing about itself: PDF, text, image.

    Args:
        unique_id: as `files.unique_id_of` derives it from the content.
        mime_type: as `files.describe_file` found it; None if it did not.
        defaults: fill what `options` lacks.
        affinity: legal codes.
        options: what is known of this document.
        entry_id: symbolic id of the entry in the message.
    """
    codes = Codes(affinity, defaults.maps, [])
    facts = {
        "unique_id": unique_id,
        "mime_type": mime_type,
        "format_code": codes.listed(CodeType.FORMAT_CODE, formats.MIME_TYPE_SUFFICIENT),
        "class_code": codes.class_of(filter(None, (options.type_code, defaults.type_code))),
        "source_patient_id": options.patient_id or defaults.patient_id,
    }
    return settle(entry_id, (options, facts, defaults), affinity)


# --- from the header --------------------------------------------------------------------------------------------------


def _cda_facts(header: CDAHeader, defaults: Defaults, options: Defaults, codes: Codes) -> Facts:
    types = (options.type_code,) if options.type_code else header.codes or (defaults.type_code,)
    start, stop = _service_times(header, defaults.zone, codes.notes)
    return {
        "author": tuple(codes.author(author) for author in header.authors),
        "class_code": codes.class_of(filter(None, types)),
        "confidentiality_code": tuple(
            codes.mapped(CodeType.CONFIDENTIALITY_CODE, each) for each in header.confidentiality
        ),
        "creation_time": _utc("creationTime", header.time, defaults.zone, codes.notes),
        "event_code_list": codes.choose_each(CodeType.EVENT_CODE_LIST, header.event_codes),
        "format_code": codes.format_of(header),
        "healthcare_facility_type_code": codes.known(CodeType.HEALTHCARE_FACILITY_TYPE_CODE, header.facility_codes),
        "language_code": header.language and header.language.replace("_", "-"),
        "legal_authenticator": header.legal_authenticator,
        "mime_type": "text/xml",
        "patient_id": _patient_id(header, codes.affinity),
        "practice_setting_code": codes.known(CodeType.PRACTICE_SETTING_CODE, header.facility_codes),
        "service_start_time": start,
        "service_stop_time": stop,
        "source_patient_id": _source_patient_id(header, codes.affinity) or options.patient_id or defaults.patient_id,
        "source_patient_info": header.patient_info,
        "title": header.title,
        "type_code": codes.type_of(header.codes),
        "unique_id": header.id.unique_id if header.id else None,
    }


def _patient_id(header: CDAHeader, affinity: AffinityDomain | None) -> str | None:
    authorities = affinity.assigning_authorities if affinity else ()
    return next((each.cx for each in header.patient_ids if each.root in authorities), None)


def _source_patient_id(header: CDAHeader, affinity: AffinityDomain | None) -> str | None:
    """Give the hospital's own id: the first that is not of the affinity domain, else the first."""
    of_domain = _patient_id(header, affinity)
    usable = [each.cx for each in header.patient_ids if each.cx]
    return next((each for each in usable if each != of_domain), of_domain)


def _patient_conflict(header: CDAHeader, given: str | None) -> Iterator[Missing]:
    """A document that names another patient of the same domain than the person who submits it must not be filed."""
    if not given or DATATYPES["CX"].check(given):
        return
    wanted = CX.parse(given)
    named = [each.extension for each in header.patient_ids if each.root == wanted.authority and each.extension]
    if named and wanted.id not in named:
        why = f"the document is about patient {shown(named[0])} of {wanted.authority}, given was {shown(wanted.id)}"
        yield Missing("patientId", why, "give the patient the document is about, or another document")


def _service_times(header: CDAHeader, zone: tzinfo, notes: list[str]) -> tuple[str | None, str | None]:
    """Give the earliest start and the latest end of the service events, else those of the encounter, in UTC."""
    spans = [each for each in header.services if any(each)] or [header.encounter]
    starts = [time for low, _ in spans if (time := _utc("serviceStartTime", low, zone, notes))]
    stops = [time for _, high in spans if (time := _utc("serviceStopTime", high, zone, notes))]
    start, stop = min(starts, default=None), max(stops, default=None)
    if start and stop and not dtm_not_after(start, stop):
        notes.append(f"serviceStartTime {start} is after serviceStopTime {stop}; both are left out")
        return None, None
    return start, stop


def _utc(what: str, time: str | None, zone: tzinfo, notes: list[str]) -> str | None:
    if not time:
        return None
    try:
        dtm = to_utc(time, zone)
    except ValueError as fault:
        notes.append(f"{what}: {fault}; left out")
        return None
    if len(dtm) > len("YYYYMMDD") and not {"+", "-"} & set(time):
        notes.append(f"{what}: {shown(time)} names no zone and is taken as {zone}")
    return dtm
