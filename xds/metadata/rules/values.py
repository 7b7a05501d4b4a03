"""Values: what the tables say of each attribute (ITI TF-3 4.2.3, 4.3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from xds.errors import Code, XDSError
from xds.metadata.affinity import PLAIN, AffinityDomain, CodeType
from xds.metadata.attributes import AUTHOR_SLOTS, OF, Attribute, Carrier, Optionality
from xds.metadata.datatypes import DATATYPES, repeated_pid_fields
from xds.metadata.dtm import dtm_not_after
from xds.metadata.hl7 import CodedString
from xds.metadata.model import Author, PatientObject
from xds.metadata.model import Code as CodedValue
from xds.metadata.rules.message import Facts, Message, Rule, association_error, metadata_error

MAX_SIZE = (1 << 63) - 1
"""Octets; what the registry and everybody's file systems can count."""
_MAX_DIGITS = len(str(MAX_SIZE))


def attributes_are_valid(message: Message, facts: Facts) -> Iterator[XDSError]:
    """What the table says of each attribute: presence, data type, length, code (TF-3 4.3.1, 4.2.3.1.7)."""
    for obj in message.submission.packages:
        for row, problem in _problems(obj, facts):
            yield metadata_error(obj, f"{row.name} {problem}")


def _problems(obj: PatientObject, facts: Facts) -> Iterator[tuple[Attribute, str]]:
    affinity = facts.affinity
    for row, optionality, check in _CHECKS[type(obj), facts.on_demand]:
        value = getattr(obj, row.field)
        values = value if row.many else () if value is None else (value,)
        if not values:
            if optionality is _REQUIRED:
                yield row, "is missing; it is required"
            continue
        if optionality is _PROHIBITED:
            yield row, "must not be given"
            continue
        for item in values:
            for problem in check(item, affinity):
                yield row, problem


_REQUIRED, _PROHIBITED = Optionality.REQUIRED, Optionality.PROHIBITED

_Check = Callable[[Any, AffinityDomain], Iterable[str]]
"""What is wrong with one value of an attribute."""


def _text(row: Attribute) -> _Check:
    check = DATATYPES[row.datatype].check if row.datatype is not None else lambda _: None
    may_be_empty = row.carrier in _TEXTS and row.stable is not _REQUIRED
    is_plain = row.name in PLAIN

    def problems(text: str, affinity: AffinityDomain) -> Iterable[str]:
        if not text:
            return () if may_be_empty else ("is empty",)
        found = []
        if row.limit is not None and len(text) > row.limit:
            found.append(f"has {len(text)} characters, at most {row.limit} are allowed: {text[:60]!r}...")
        elif problem := check(text):
            found.append(f"is not valid: {problem}")
        if is_plain and not affinity.is_known(row.name, text):
            found.append(f"{text!r} is not in the affinity domain's codes")
        return found

    return problems


_TEXTS = frozenset({Carrier.NAME, Carrier.DESCRIPTION})  # sources that have no title or comments send empty ones


def _text_inside(row: Attribute) -> _Check:
    problems = _text(row)
    return lambda part, affinity: problems(part.value, affinity)


def _code(row: Attribute) -> _Check:
    def problems(code: CodedValue, affinity: AffinityDomain) -> Iterable[str]:
        if not code.code or not code.scheme:
            return ()  # the codec has said so
        if not row.codes or affinity.is_known(row.codes, code.code, code.scheme):
            return ()
        return (f"({code.code!r}, codingScheme {code.scheme!r}) is not in the affinity domain's codes",)

    return problems


def _author_problems(author: Author, affinity: AffinityDomain) -> Iterator[str]:
    if author.person is None and not author.institutions and not author.telecommunications:
        yield "needs at least one of authorPerson, authorInstitution, authorTelecommunication"
    for slot, (field_, datatype, _many) in AUTHOR_SLOTS.items():
        value = getattr(author, field_)
        for item in value if isinstance(value, tuple) else (value,) if value is not None else ():
            if problem := DATATYPES[datatype].check(item):
                yield f"{slot} is not valid: {problem}"
            elif slot in _CODED_SLOTS and not _is_known(affinity, slot, item):
                yield f"{slot} {item!r} is not in the affinity domain's codes"


_CODED_SLOTS = frozenset({CodeType.AUTHOR_ROLE, CodeType.AUTHOR_SPECIALTY})  # open unless they are listed


def _is_known(affinity: AffinityDomain, kind: str, text: str) -> bool:
    if not affinity.is_checked(kind):
        return True
    try:
        coded = CodedString.parse(text)
    except ValueError:
        return False
    return affinity.is_known(kind, coded.code, coded.scheme)


_CHECK_OF: Mapping[Carrier, Callable[[Attribute], _Check]] = {
    Carrier.SLOT: _text,
    Carrier.XML_ATTRIBUTE: _text,
    Carrier.NAME: _text_inside,
    Carrier.DESCRIPTION: _text_inside,
    Carrier.EXTERNAL_IDENTIFIER: _text_inside,
    Carrier.CLASSIFICATION: _code,
    Carrier.AUTHOR: lambda _row: _author_problems,
}
_CHECKS = {
    (kind, on_demand): tuple(
        (row, row.on_demand if on_demand else row.stable, _CHECK_OF[row.carrier](row)) for row in rows
    )
    for kind, rows in OF.items()
    for on_demand in (False, True)
}


def service_times_agree(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """ServiceStartTime is not after serviceStopTime, as far as their precision tells (TF-3 4.2.3.2.19, 4.2.3.2.20)."""
    for entry in message.submission.entries:
        start, stop = entry.service_start_time, entry.service_stop_time
        if start and stop and not dtm_not_after(start, stop):
            yield metadata_error(entry, f"serviceStartTime {start} is after serviceStopTime {stop}")


def source_patient_info(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """PID-7 and PID-8 stand at most once (TF-3 4.2.3.2.23); each value alone is looked at by its row of the table."""
    for entry in message.submission.entries:
        for problem in repeated_pid_fields(entry.source_patient_info):
            yield metadata_error(entry, f"sourcePatientInfo: {problem}")


def sizes_are_possible(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """A size is one that octets can be counted with (TF-3 4.2.3.2.21)."""
    for entry in message.submission.entries:
        size = entry.size or ""
        if len(size) >= _MAX_DIGITS and DATATYPES["Integer"].check(size) is None and int(size) > MAX_SIZE:
            yield metadata_error(entry, f"size is {size[:40]}, no document is larger than {MAX_SIZE} octets")


def home_communities_are_valid(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """HomeCommunityId, where given, is `urn:oid:` and an OID (TF-3 4.2.3.2.12)."""
    for obj in message.submission.objects:
        if obj.home is not None and (problem := DATATYPES["HomeCommunityId"].check(obj.home)):
            yield metadata_error(obj, f"homeCommunityId (home) is not valid: {problem}")


def metadata_is_complete(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """The limitedMetadata flag belongs to XDR, not to XDS (TF-3 4.2.3.1.8)."""
    for obj in message.submission.packages:
        if obj.limited_metadata:  # type: ignore[attr-defined]
            yield metadata_error(obj, "limitedMetadata is not allowed in an XDS submission")


def logical_ids_are_first(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """Lid is absent or equals id: other versions come by ITI-57 only (Metadata Update 4.2.3.2.31)."""
    for obj in message.submission.objects:
        if obj.lid is not None and obj.lid != obj.id:
            yield metadata_error(obj, f"logicalID (lid) {obj.lid!r} must be absent or equal to the id")


def association_codes_are_known(message: Message, facts: Facts) -> Iterator[XDSError]:
    """Association documentation is coded from the affinity domain (TF-3 4.2.2.2.6)."""
    for assoc in message.submission.associations:
        code = assoc.documentation
        if (
            code
            and code.code
            and code.scheme
            and not facts.affinity.is_known("associationDocumentation", code.code, code.scheme)
        ):
            yield association_error(
                Code.XDSRegistryMetadataError,
                assoc,
                f"documentation ({code.code!r}, codingScheme {code.scheme!r}) is not in the affinity domain's codes",
            )


VALUES: tuple[Rule, ...] = (
    attributes_are_valid,
    service_times_agree,
    source_patient_info,
    sizes_are_possible,
    home_communities_are_valid,
    metadata_is_complete,
    logical_ids_are_first,
    association_codes_are_known,
)
