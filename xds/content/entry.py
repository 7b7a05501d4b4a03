"""Make the DocumentEntry of a file: options first, then what the document says, then defaults (PCC TF-2 4.1; ITI TF-3 4.3.1).

Every value is checked as a registry will check it. A value of the document that does not pass is left out, never cut, and a
note says so; what the standard requires and nobody gives is `Missing`, by name, with how to give it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from xds.content import formats
from xds.metadata.affinity import CodeType
from xds.metadata.attributes import AUTHOR_SLOTS, OF, Attribute, Carrier, Optionality
from xds.metadata.datatypes import CX, DATATYPES, CodedString, dtm_not_after, shown, to_utc
from xds.metadata.model import Author, Code, DocumentEntry, Identifier, LocalizedString, SubmissionSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xds.content.cda import CDAHeader
    from xds.metadata.affinity import AffinityDomain

CodeMap = Mapping[str, Code]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Values given by a person: options of a command, or the settings' defaults. Fields are named like those of the model.

    Attributes:
        content_type_code: for the SubmissionSet.
        source_id: for the SubmissionSet, OID of the sending system.
        maps: attribute name, such as `typeCode` or `authorRole`, -> `code^^codingScheme` (or plain text) of the document ->
            code of the affinity domain. For `classCode` the keys are types of documents.
        zone: zone of times in documents that name none.
    """

    author: tuple[Author, ...] = ()
    class_code: Code | None = None
    comments: str | None = None
    confidentiality_code: tuple[Code, ...] = ()
    content_type_code: Code | None = None
    creation_time: str | None = None
    event_code_list: tuple[Code, ...] = ()
    format_code: Code | None = None
    healthcare_facility_type_code: Code | None = None
    language_code: str | None = None
    legal_authenticator: str | None = None
    mime_type: str | None = None
    patient_id: str | None = None
    practice_setting_code: Code | None = None
    reference_id_list: tuple[str, ...] = ()
    service_start_time: str | None = None
    service_stop_time: str | None = None
    source_id: str | None = None
    source_patient_id: str | None = None
    source_patient_info: tuple[str, ...] = ()
    title: str | None = None
    type_code: Code | None = None
    unique_id: str | None = None
    uri: str | None = None
    maps: Mapping[str, CodeMap] = field(default_factory=lambda: MappingProxyType({}))
    zone: tzinfo = UTC


NOTHING = Defaults()


@dataclass(frozen=True, slots=True)
class Missing:
    """What has to be given, or given otherwise, before the document can be submitted.

    Attributes:
        attribute: the standard's name, such as `typeCode`.
        why: what was looked for, or what is wrong with the value.
        how: the option and the key of the settings that give it.
    """

    attribute: str
    why: str
    how: str

    def __str__(self) -> str:
        return f"{self.attribute}: {self.why}; {self.how}"


class Draft(NamedTuple):
    """A DocumentEntry as far as it is known, what it still lacks, and what a person should know about how it was made."""

    entry: DocumentEntry
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]


Facts = Mapping[str, Any]
_PLACES = {
    "creation_time": "effectiveTime",
    "language_code": "languageCode",
    "source_patient_id": "recordTarget/patientRole/id with an OID as root and an extension",
    "patient_id": "recordTarget/patientRole/id whose root is an assigning authority of the affinity domain",
    "unique_id": "id",
    "type_code": "code",
    "class_code": "code that implies a class",
    "confidentiality_code": "confidentialityCode",
    "format_code": "templateId of a known format",
    "healthcare_facility_type_code": "componentOf/encompassingEncounter/location/healthCareFacility/code",
    "practice_setting_code": "componentOf/encompassingEncounter/location/healthCareFacility/code that is one",
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
    codes = _Codes(affinity, defaults.maps, notes)
    facts = _cda_facts(header, defaults, options, codes)
    wrong = tuple(_patient_conflict(header, options.patient_id or defaults.patient_id))
    draft = _settle(entry_id, (options, facts, defaults), affinity, "the header has no {}")
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
    codes = _Codes(affinity, defaults.maps, [])
    facts = {
        "unique_id": unique_id,
        "mime_type": mime_type,
        "format_code": codes.listed(CodeType.FORMAT_CODE, formats.MIME_TYPE_SUFFICIENT),
        "class_code": codes.class_of(filter(None, (options.type_code, defaults.type_code))),
        "source_patient_id": options.patient_id or defaults.patient_id,
    }
    return _settle(entry_id, (options, facts, defaults), affinity, "a file of this kind does not say it")


# --- from the header --------------------------------------------------------------------------------------------------


def _cda_facts(header: CDAHeader, defaults: Defaults, options: Defaults, codes: _Codes) -> Facts:
    types = (options.type_code,) if options.type_code else header.codes or (defaults.type_code,)
    start, stop = _service_times(header, defaults.zone, codes.notes)
    return {
        "author": tuple(codes.author(author) for author in header.authors),
        "class_code": codes.class_of(filter(None, types)),
        "confidentiality_code": tuple(
            codes.mapped(CodeType.CONFIDENTIALITY_CODE, each) for each in header.confidentiality
        ),
        "creation_time": _utc("creationTime", header.time, defaults.zone, codes.notes),
        "event_code_list": _distinct(codes.choose(CodeType.EVENT_CODE_LIST, each) for each in header.event_codes),
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


def _distinct[T](values: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))


@dataclass(frozen=True, slots=True)
class _Codes:
    """Finds for a code of the document the one the affinity domain has."""

    affinity: AffinityDomain | None
    maps: Mapping[str, CodeMap]
    notes: list[str]

    def mapped(self, kind: str, code: Code) -> Code:
        return self.maps.get(kind, {}).get(code.key, code)

    def is_known(self, kind: str, code: Code) -> bool:
        return self.affinity is None or self.affinity.is_known(kind, code.code, code.scheme)

    def is_listed(self, kind: str, code: Code) -> bool:
        return self.affinity is not None and self.affinity.concept(kind, code.code, code.scheme) is not None

    def listed(self, kind: str, code: Code | None) -> Code | None:
        """A proposal of our tables, where the domain has it or takes anything."""
        return code if code and self.is_known(kind, code) else None

    def known(self, kind: str, candidates: Iterable[Code]) -> Code | None:
        """The first candidate that the table lists; a facility's code may be of another kind altogether."""
        proposals = [self.mapped(kind, each) for each in candidates]
        if self.affinity is None and kind != CodeType.PRACTICE_SETTING_CODE:
            return next(iter(proposals), None)
        given = self.maps.get(kind, {}).values()
        return next((each for each in proposals if each in given or self.is_listed(kind, each)), None)

    def choose(self, kind: str, candidates: tuple[Code, ...]) -> Code | None:
        """The first candidate that is legal, else the first, so that the check can name it."""
        proposals = [self.mapped(kind, each) for each in candidates]
        return next((each for each in proposals if self.is_known(kind, each)), proposals[0] if proposals else None)

    def type_of(self, candidates: tuple[Code, ...]) -> Code | None:
        chosen = self.choose(CodeType.TYPE_CODE, candidates)
        if chosen is None or self.is_known(CodeType.TYPE_CODE, chosen):
            return chosen
        general = (formats.GENERAL_TYPES.get(each.key) for each in candidates)
        found = next((each for each in general if each and self.is_listed(CodeType.TYPE_CODE, each)), None)
        if found is None:
            return chosen
        self.notes.append(f"typeCode: {chosen.key} is not in the affinity domain; the general {found.key} is used")
        return found

    def class_of(self, types: Iterable[Code]) -> Code | None:
        """Derive the classCode: by the map of the settings, the same code, or the IHE classes if the domain has them."""
        kind = CodeType.CLASS_CODE
        for code in types:
            if mapped := self.maps.get(kind, {}).get(code.key):
                return mapped
            if self.is_listed(kind, code):
                return code
            for each in (code, formats.GENERAL_TYPES.get(code.key)):
                found = formats.CLASSES.get(each.key) if each else None
                if found and self.is_listed(kind, found):
                    return found
        return None

    def format_of(self, header: CDAHeader) -> Code | None:
        proposals = formats.format_codes(header.template_ids, header.embedded)
        return self.choose(CodeType.FORMAT_CODE, tuple(map(self._with_scheme_of_domain, proposals)))

    def _with_scheme_of_domain(self, code: Code) -> Code:
        """Affinity domains put HL7's format codes under different OIDs, so the code alone is looked for."""
        listed = self.affinity.codes.get(CodeType.FORMAT_CODE, {}) if self.affinity else {}
        return replace(code, scheme=next((scheme for known, scheme in listed if known == code.code), code.scheme))

    def author(self, author: Author) -> Author:
        return replace(
            author,
            roles=tuple(self._text(CodeType.AUTHOR_ROLE, each) for each in author.roles),
            specialties=tuple(self._text(CodeType.AUTHOR_SPECIALTY, each) for each in author.specialties),
        )

    def _text(self, kind: str, text: str) -> str:
        read = CodedString.parse(text)
        mapped = self.maps.get(kind, {}).get(f"{read.code}^^{read.scheme}" if read.scheme else read.code)
        return CodedString(mapped.code, mapped.scheme).format() if mapped else text


# --- choosing and checking --------------------------------------------------------------------------------------------


def how_to_give(row: Attribute) -> str:
    """Say which option and which key of the settings give an attribute; both are named like the model's field."""
    return f"give --{row.field.replace('_', '-')}, or {row.field} in [defaults] of the settings"


def _settle(
    entry_id: str,
    sources: tuple[Defaults, Facts, Defaults],
    affinity: AffinityDomain | None,
    why: str,
) -> Draft:
    values: dict[str, Any] = {}
    missing: list[Missing] = []
    notes: list[str] = []
    for row in OF[DocumentEntry]:
        value, faults_given, faults_found = _pick(row, sources, affinity)
        if value:
            values[row.field] = _in_model(row, value, affinity)
        missing += [Missing(row.name, fault, how_to_give(row)) for fault in faults_given]
        lacking = row.source is Optionality.REQUIRED and not value and not faults_given
        if lacking:
            place = why.format(_PLACES.get(row.field, row.name))
            missing.append(Missing(row.name, "; ".join(faults_found) or place, how_to_give(row)))
        else:
            notes += [f"{row.name}: {fault}; left out" for fault in faults_found]
    return Draft(DocumentEntry(id=entry_id, **values), tuple(missing), tuple(notes))


def _pick(
    row: Attribute,
    sources: tuple[Defaults, Facts, Defaults],
    affinity: AffinityDomain | None,
) -> tuple[Any, list[str], list[str]]:
    """Take the first source with a good value; faults of what a person gave stand apart from those of the document."""
    faults_given: list[str] = []
    faults_found: list[str] = []
    for source in sources:
        found = isinstance(source, Mapping)
        offered = source.get(row.field) if isinstance(source, Mapping) else getattr(source, row.field, None)
        good, faults = check(row, offered, affinity)
        (faults_found if found else faults_given).extend(faults)
        if good or (faults and not found):
            return good, faults_given, faults_found
    return None, faults_given, faults_found


def check(row: Attribute, offered: Any, affinity: AffinityDomain | None) -> tuple[Any, list[str]]:
    """Keep of a value, or of several, what a registry will take (ITI TF-2 3.42.4.1.3.3.3; ITI TF-3 4.2.3).

    Returns:
        The value or the tuple of good values, None or empty if there is none; and what is wrong with the rest.
    """
    if row.carrier is Carrier.AUTHOR:
        return _check_authors(offered or (), affinity)
    if not row.many:
        fault = _fault(row, offered, affinity) if offered else None
        return (None, [fault]) if fault else (offered, [])
    good, faults = [], []
    for each in filter(None, offered or ()):
        fault = _fault(row, each, affinity)
        faults += [fault] if fault else []
        good += [] if fault else [each]
    return tuple(good), faults


def _fault(row: Attribute, value: str | Code, affinity: AffinityDomain | None) -> str | None:
    if isinstance(value, Code):
        return _code_fault(row.codes or "", value, affinity)
    if row.limit and len(value) > row.limit:
        return f"{shown(value)} has {len(value)} characters, at most {row.limit} are allowed"
    if row.datatype and (fault := DATATYPES[row.datatype].check(value)):
        return fault
    if affinity is None:
        return None
    if row.name in (CodeType.MIME_TYPE, CodeType.LANGUAGE_CODE) and not affinity.is_known(row.name, value):
        return f"{shown(value)} is not in the affinity domain"
    if row.name == "patientId" and not affinity.accepts_authority(CX.parse(value).authority):
        return f"{shown(value)} is not of an assigning authority of the affinity domain"
    return None


def _code_fault(kind: str, code: Code, affinity: AffinityDomain | None) -> str | None:
    texts = (code.code, code.scheme, code.display.value if code.display else "")
    if long := next((text for text in texts if len(text) > 256), None):  # noqa: PLR2004 - ebRIM LongName
        return f"{shown(long)} has {len(long)} characters, at most 256 are allowed"
    if affinity and not affinity.is_known(kind, code.code, code.scheme):
        return f"code {shown(code.code)} of {shown(code.scheme)} is not in the affinity domain"
    return None


def _check_authors(authors: Iterable[Author], affinity: AffinityDomain | None) -> tuple[tuple[Author, ...], list[str]]:
    good: list[Author] = []
    faults: list[str] = []
    for author in authors:
        kept, wrong = _check_author(author, affinity)
        faults += wrong
        if kept.person or kept.institutions or kept.telecommunications:
            good.append(kept)
    return tuple(good), faults


def _check_author(author: Author, affinity: AffinityDomain | None) -> tuple[Author, list[str]]:
    faults: list[str] = []
    values: dict[str, Any] = {}
    for slot, (name, datatype, many) in AUTHOR_SLOTS.items():
        offered = getattr(author, name)
        good = []
        for each in offered if many else filter(None, (offered,)):
            fault = DATATYPES[datatype].check(each) or _vocabulary_fault(slot, each, affinity)
            faults += [f"{slot} {fault}"] if fault else []
            good += [] if fault else [each]
        values[name] = tuple(good) if many else next(iter(good), None)
    return replace(author, **values), faults


def _vocabulary_fault(slot: str, text: str, affinity: AffinityDomain | None) -> str | None:
    if affinity is None or slot not in (CodeType.AUTHOR_ROLE, CodeType.AUTHOR_SPECIALTY) or slot in affinity.open:
        return None
    read = CodedString.parse(text)
    return None if affinity.is_known(slot, read.code, read.scheme) else f"{shown(text)} is not in the affinity domain"


def _in_model(row: Attribute, value: Any, affinity: AffinityDomain | None) -> Any:
    """Put a checked value into the form the model has for it."""
    if row.carrier is Carrier.EXTERNAL_IDENTIFIER:
        return Identifier(value)
    if row.carrier in (Carrier.NAME, Carrier.DESCRIPTION):
        return LocalizedString(value)
    if row.carrier is Carrier.CLASSIFICATION:
        kind = row.codes or ""
        return (
            tuple(displayed(kind, each, affinity) for each in value) if row.many else displayed(kind, value, affinity)
        )
    return value


def displayed(kind: str, code: Code, affinity: AffinityDomain | None) -> Code:
    """Name a code as the affinity domain does, else as the document does; a display is required (ITI TF-3 4.2.3.1.2)."""
    text = affinity.display(kind, code.code, code.scheme) if affinity else None
    return replace(code, display=LocalizedString(text) if text else code.display or LocalizedString(code.code))
