"""From options and `[defaults]` to values of metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, tzinfo
from types import MappingProxyType
from typing import Any

from xds.commands.common import USAGE, CommandError
from xds.config import Defaults as DefaultSettings
from xds.config import zone
from xds.content.draft import CodeMap, Defaults
from xds.metadata.affinity import AffinityDomain, CodeType
from xds.metadata.datatypes import DATATYPES
from xds.metadata.hl7 import CX
from xds.metadata.model import Author, Code

CODED: Mapping[str, CodeType] = MappingProxyType(
    {
        "class_code": CodeType.CLASS_CODE,
        "type_code": CodeType.TYPE_CODE,
        "format_code": CodeType.FORMAT_CODE,
        "confidentiality_code": CodeType.CONFIDENTIALITY_CODE,
        "event_code_list": CodeType.EVENT_CODE_LIST,
        "healthcare_facility_type_code": CodeType.HEALTHCARE_FACILITY_TYPE_CODE,
        "practice_setting_code": CodeType.PRACTICE_SETTING_CODE,
        "content_type_code": CodeType.CONTENT_TYPE_CODE,
    }
)
"""Field of `draft.Defaults` -> whose codes it holds."""
MANY = frozenset({"confidentiality_code", "event_code_list"})
AUTHOR = {
    "author_person": "person",
    "author_institution": "institutions",
    "author_role": "roles",
    "author_specialty": "specialties",
}
"""Option -> field of `model.Author`."""
_TEXTS = frozenset(Defaults.__dataclass_fields__) - {*CODED, "author", "zone", "maps"}
_TIME = re.compile(r"(\d{4})(?:-?(\d\d)(?:-?(\d\d)(?:[T ]?(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)?)?)?")


def code(option: str, text: str, kind: CodeType, affinity: AffinityDomain | None) -> Code:
    """A code as `code^^codingScheme`, or the code alone if the affinity domain has just one of that name.

    Raises:
        CommandError: it is neither.
    """
    value, separator, scheme = text.partition("^^")
    if separator and value and scheme:
        return Code(value, scheme)
    listed = affinity.codes.get(kind, {}) if affinity and not separator else {}
    schemes = [scheme for known, scheme in listed if known == value]
    if len(schemes) == 1:
        return Code(value, schemes[0])
    found = (
        f"there is {value} of {' and of '.join(schemes)}"
        if schemes
        else f"codes.xml has no {kind} {value}"
        if affinity
        else "without -c FILE there is no codes.xml to look its scheme up in"
    )
    raise CommandError(f"{option} {text}: {found}; expected code^^codingScheme", USAGE)


def time(option: str, text: str) -> str:
    """A point in time as people write it (`2026-01-31`, `2026-01-31T14:05`) or as DTM, in UTC.

    Raises:
        CommandError: it is neither.
    """
    match = _TIME.fullmatch(text.strip())
    dtm = "".join(part or "" for part in match.groups()) if match else ""
    if not dtm or DATATYPES["DTM"].check(dtm):
        raise CommandError(f"{option} {text}: expected a time such as 2026-01-31 or 2026-01-31T14:05 (UTC)", USAGE)
    return dtm


def patient(option: str, text: str, defaults: DefaultSettings) -> str:
    """A patientId; a bare number is one of `[defaults] assigning_authority`.

    Raises:
        CommandError: it is no CX.
    """
    if "^" not in text and defaults.assigning_authority:
        return CX(text, defaults.assigning_authority).format()
    if fault := DATATYPES["CX"].check(text):
        raise CommandError(f"{option}: {fault}", USAGE)
    return text


def from_options(given: Mapping[str, Any], affinity: AffinityDomain | None, defaults: DefaultSettings) -> Defaults:
    """Values of options, named like the fields of `draft.Defaults` and like `AUTHOR`; others are passed over."""
    values: dict[str, Any] = {name: given[name] for name in _TEXTS if given.get(name)}
    for name, kind in CODED.items():
        texts = given.get(name) or ()
        codes = tuple(
            code(_option(name), text, kind, affinity) for text in ([texts] if isinstance(texts, str) else texts)
        )
        if codes:
            values[name] = codes if name in MANY else codes[0]
    for name in ("creation_time", "service_start_time", "service_stop_time"):
        if name in values:
            values[name] = time(_option(name), values[name])
    for name in ("patient_id", "source_patient_id"):
        if name in values:
            values[name] = patient(_option(name), values[name], defaults)
    return Defaults(**values, author=_author(given))


def from_settings(settings: DefaultSettings) -> Defaults:
    """Values of `[defaults]`."""
    made = from_options(settings.model_dump(exclude_none=True), None, settings)
    where: tzinfo = zone(settings.zone) if settings.zone else UTC
    return replace(made, zone=where, maps=_maps(settings.maps))


def _maps(given: Mapping[str, Mapping[str, str]]) -> Mapping[str, CodeMap]:
    return {kind: {key: _pair(value) for key, value in pairs.items()} for kind, pairs in given.items()}


def _pair(text: str) -> Code:
    value, _, scheme = text.partition("^^")
    return Code(value, scheme)


def _author(given: Mapping[str, Any]) -> tuple[Author, ...]:
    values: dict[str, Any] = {}
    for option, name in AUTHOR.items():
        value = given.get(option)
        if value:
            values[name] = value if name == "person" else (value,) if isinstance(value, str) else tuple(value)
    return (Author(**values),) if values else ()


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"
