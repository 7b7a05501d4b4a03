"""Choose each attribute's value from several sources and check it as a registry will (ITI TF-3 4.2.3, Table 4.3.1-3).

A value of the document that does not pass is left out, never cut, and a note says so; what the standard requires and
nobody gives is `Missing`, by name, with how to give it. A bad value from a person is `Missing` too: it is to be mended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from xds.metadata.affinity import CodeType
from xds.metadata.attributes import AUTHOR_SLOTS, OF, Attribute, Carrier, Optionality
from xds.metadata.datatypes import DATATYPES
from xds.metadata.hl7 import CX, CodedString
from xds.metadata.model import Author, Code, DocumentEntry, Identifier, LocalizedString
from xds.metadata.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xds.metadata.affinity import AffinityDomain

CodeMap = Mapping[str, Code]
Facts = Mapping[str, Any]
OF_ONE_DOCUMENT = frozenset(
    {
        "comments",
        "creation_time",
        "event_code_list",
        "mime_type",
        "patient_id",
        "reference_id_list",
        "service_start_time",
        "service_stop_time",
        "source_patient_id",
        "source_patient_info",
        "title",
        "unique_id",
        "uri",
    }
)
"""Fields of which a default for every document makes no sense: options only."""
LONG_NAME = 256  # ebRIM LongName: codes, schemes and displays


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Values given by a person: options of a command, or the settings' defaults; named like the fields of the model.

    Attributes:
        content_type_code: for the SubmissionSet.
        source_id: for the SubmissionSet, OID of the sending system.
        maps: attribute name, such as `typeCode` or `authorRole` -> `code^^codingScheme` (or plain text) of the
            document -> code of the affinity domain. For `classCode` the keys are types of documents.
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
    """A DocumentEntry as far as it is known, what it still lacks, and what a person should know of its making."""

    entry: DocumentEntry
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]


def how_to_give(row: Attribute) -> str:
    """Say which option and which key of the settings give an attribute; both are named like the model's field."""
    option = f"give --{row.field.replace('_', '-')}"
    return option if row.field in OF_ONE_DOCUMENT else f"{option}, or {row.field} in [defaults] of the settings"


def settle(
    entry_id: str,
    sources: tuple[Defaults, Facts, Defaults],
    affinity: AffinityDomain | None,
    places: Mapping[str, str] = MappingProxyType({}),
) -> Draft:
    """Make an entry: for each attribute the first good value of options, facts of the document, and defaults.

    Args:
        entry_id: symbolic id of the entry.
        sources: options, facts (field -> value as on the wire, Code, Author, or a tuple of them) and defaults.
        affinity: legal codes; without it, codes are taken as they are.
        places: field -> where in a document it would have been, for `Missing`.
    """
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
            place = places.get(row.field)
            why = "; ".join(faults_found) or (f"the header has no {place}" if place else "the file does not say it")
            missing.append(Missing(row.name, why, how_to_give(row)))
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
        found = not isinstance(source, Defaults)
        offered = getattr(source, row.field, None) if isinstance(source, Defaults) else source.get(row.field)
        if not offered:
            continue
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
    return _domain_fault(row, value, affinity) if affinity else None


def _domain_fault(row: Attribute, value: str, affinity: AffinityDomain) -> str | None:
    if row.name in (CodeType.MIME_TYPE, CodeType.LANGUAGE_CODE) and not affinity.is_known(row.name, value):
        return f"{shown(value)} is not in the affinity domain"
    if row.name == "patientId" and not affinity.accepts_authority(CX.parse(value).authority):
        return f"{shown(value)} is not of an assigning authority of the affinity domain"
    return None


def _code_fault(kind: str, code: Code, affinity: AffinityDomain | None) -> str | None:
    texts = (code.code, code.scheme, code.display.value if code.display else "")
    if long := next((text for text in texts if len(text) > LONG_NAME), None):
        return f"{shown(long)} has {len(long)} characters, at most {LONG_NAME} are allowed"
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
    """Name a code as the affinity domain does, else as the document does: a name is required (ITI TF-3 4.2.3.1.2)."""
    text = affinity.display(kind, code.code, code.scheme) if affinity else None
    return replace(code, display=LocalizedString(text) if text else code.display or LocalizedString(code.code))
