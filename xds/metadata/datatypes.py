"""The table of data types of the metadata: which values are good, what is wrong with a bad one (ITI TF-3 4.2.3.1.2).

The model keeps values as on the wire. `DATATYPES` has a row per type: one compiled pattern decides the good case,
`parse` says in words what is wrong with a bad one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from xds.metadata.dtm import DTM_FORM, is_dtm, parse_dtm
from xds.metadata.hl7 import CX, EXTENSION, XCN, XON, XTN, CodedString, CXi, Hl7, Identifier, IntendedRecipient
from xds.metadata.source_patient import ONCE, SourcePatientField
from xds.metadata.text import (
    OID,
    OID_FORM,
    URI,
    URI_FORM,
    UUID,
    UUID_FORM,
    is_oid,
    is_uri,
    is_uuid,
    nfc,
    oid_fault,
    parse_oid,
    parse_uri,
    parse_uuid,
    shown,
    token_parser,
)
from xds.metadata.vocabulary import AvailabilityStatus

# --- patterns; possessive quantifiers keep them linear on hostile input ---------------------------------------------

_UNIT = r"(?:[^|^&~\\\x00-\x1f\x7f]++|\\[FSTRE]\\)"
_TEXT, _OPTIONAL = _UNIT + "++", _UNIT + "*+"
_COMPOSITE = rf"(?:{_UNIT}|&)*+"
_FIELD = rf"(?:{_UNIT}|[&^~])*+"
_AUTHORITY = rf"&{OID}&ISO&*+"
_HD = rf"{_OPTIONAL}(?:{_AUTHORITY})?+&*+"
_CX = rf"{_TEXT}\^\^\^{_AUTHORITY}\^*+"
_XON = rf"{_TEXT}(?:\^{{5}}{_AUTHORITY}(?:\^{{4}}{_TEXT})?+|\^{{9}}{OID})?+\^*+"
_XCN = rf"(?=[^|^&~]|\^[^|^&~]){_OPTIONAL}(?:\^{_COMPOSITE}){{0,7}}+(?:\^{_HD}(?:\^{_COMPOSITE}){{0,14}}+)?+\^*+"
_CXI = (
    rf"{_TEXT}\^\^\^(?:\^{_TEXT}|(?:{_AUTHORITY}|{_TEXT}&*+|&++)"
    rf"\^(?!urn:ihe:iti:(?:xdw:2013:workflowInstanceId|xds:2016:studyInstanceUID)(?:\^|\Z)){_TEXT})\^*+"
)
_XTN = (
    rf"(?:\^(?:NET)?\^Internet\^{_TEXT}\^*+"
    rf"|\^{_OPTIONAL}\^(?!Internet\^){_TEXT}\^\^{_OPTIONAL}\^{_OPTIONAL}\^{_TEXT}(?:\^{_OPTIONAL})?\^*+)"
)
_TOKEN = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"  # noqa: S105 - RFC 6838 4.2 restricted-name
_LANGUAGE = (  # RFC 5646 2.1; the irregular tags need no subtag registry
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-[0-9a-wyz](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?"
    r"|x(?:-[a-z0-9]{1,8})+|en-gb-oed|sgn-(?:be-fr|be-nl|ch-de)"
    r"|i-(?:ami|bnn|default|enochian|hak|klingon|lux|mingo|navajo|pwn|tao|tay|tsu)"
)
_PID = re.compile(
    rf"PID-(?:3\|(?:{_CX}(?:~{_CX})*+)?+|8\|(?:[FMOUAN]\^*+)?+"
    rf"|(?![378]\|)(?:[1-9]|[12][0-9]|3[0-9])\|{_FIELD})"
)


def _is_pid(text: str) -> bool:
    if text.startswith("PID-7|"):
        return text == "PID-7|" or is_dtm(text[len("PID-7|") :].rstrip("^"))
    return bool(_PID.fullmatch(text))


# --- the table ------------------------------------------------------------------------------------------------------


def _same(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class DataType:
    """One row.

    Attributes:
        name: the standard's name, or the attribute's where it is the only one of its kind.
        citation: where the type is defined.
        form: the expected form in words, as messages give it.
        example: a good value.
        limit: greatest length in characters.
        matches: decides fast whether a value is good; true or false.
        parse: reads a value; raises ValueError with what was found and what is expected.
        normal: of a good value, the form to compare: letter case and trailing components do not count where the type
            says so.
    """

    name: str
    citation: str
    form: str
    example: str
    limit: int
    matches: Callable[[str], object]
    parse: Callable[[str], object]
    normal: Callable[[str], str] = _same

    def check(self, value: str) -> str | None:
        """Say what is wrong with a value: what was found, what is expected. None if nothing."""
        if len(value) <= self.limit and self.matches(value):
            return None
        try:
            self.parse(value)
        except ValueError as fault:
            return str(fault)
        return f"{shown(value)} is no {self.name}: it has {len(value)} characters; expected at most {self.limit}"


LONG_NAME = 256  # ebRIM LongName: Slot values, codes, ExternalIdentifier values
_TABLE = "ITI TF-3 Table 4.2.3.1.7-2"


def _composite(kind: type[Hl7], example: str, pattern: str) -> DataType:
    fullmatch = re.compile(pattern).fullmatch

    @lru_cache(maxsize=1024)  # the same authors, institutions and patients come again and again
    def matches(text: str) -> bool:
        return bool(fullmatch(text))

    def normal(text: str) -> str:
        return nfc(kind.parse(text).format())

    return DataType(kind.__name__, _TABLE, kind.FORM, example, LONG_NAME, matches, kind.parse, normal)


def _token(
    name: str, citation: str, form: str, example: str, *, pattern: str, limit: int = LONG_NAME, **more: Any
) -> DataType:
    matches = re.compile(pattern, more.pop("flags", re.NOFLAG)).fullmatch
    fault = more.pop("fault", lambda _: "it is not of this form")
    return DataType(name, citation, form, example, limit, matches, token_parser(name, form, matches, fault), **more)


def _home_fault(text: str) -> str:
    if not text.startswith("urn:oid:"):
        return "it does not start with urn:oid:"
    return oid_fault(text.removeprefix("urn:oid:"))


_ANY_CASE = re.IGNORECASE | re.ASCII
_ONLINE = "urn:ihe:iti:2010:DocumentAvailability:"
_RECIPIENT = rf"(?=\|{{0,2}}[^|])(?:{_XON})?(?:\|(?:{_XCN})?(?:\|(?:{_XTN})?)?)?"
_UNIQUE_ID = rf"{OID}(?:\^{EXTENSION.pattern})?|{UUID}|(?![0-9.]*+\Z)(?!urn:uuid:){URI}"

# fmt: off
_ROWS = (
    _composite(CX, "6578946^^^&1.3.6.1.4.1.21367.2005.3.7&ISO", _CX),
    _composite(CXi, "2013001^^^&1.2.3.4&ISO^urn:ihe:iti:xds:2013:accession", _CXI),
    _composite(CodedString, "394579002^^^&2.16.840.1.113883.6.96&ISO", rf"[^^]+|{_CX}"),
    _composite(XCN, "11375^Welby^Marcus^J^Jr. MD^Dr^^^&1.2.840.113619.6.197&ISO", _XCN),
    _composite(XON, "Some Hospital^^^^^&1.2.3.4.5&ISO^^^^45", _XON),
    _composite(XTN, "^^Internet^a@example.org", _XTN),
    _composite(IntendedRecipient, "Some Hospital^^^^^&1.2.3&ISO^^^^45|^Welby^Marcus|^^Internet^mwelby@example.org",
               _RECIPIENT),
    DataType("SourcePatientInfo", "ITI TF-3 4.2.3.2.23", SourcePatientField.FORM, "PID-8|M", LONG_NAME,
             _is_pid, SourcePatientField.parse, nfc),
    DataType("DTM", _TABLE, DTM_FORM, "20251117093045", 14, is_dtm, parse_dtm),
    DataType("OID", "ITI TF-2 Appendix B", OID_FORM, "1.2.840.113619", 64, is_oid, parse_oid),
    DataType("UUID", _TABLE, UUID_FORM, "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3", 45,
             is_uuid, parse_uuid, str.lower),
    DataType("URI", "RFC 3986", URI_FORM, "DIR00000/TP00000/D0000000.TXT", LONG_NAME, is_uri, parse_uri),
    DataType("Identifier", "ITI TF-3 4.2.3.2.26", Identifier.FORM, "1.2.3.4^ab-7",
             LONG_NAME, re.compile(_UNIQUE_ID).fullmatch, Identifier.parse),
    _token("HomeCommunityId", "ITI TF-3 4.2.3.2.12", "urn:oid: and an OID", "urn:oid:1.2.3", limit=64,
           pattern=f"urn:oid:{OID}", fault=_home_fault),
    _token("SHA1", "ITI TF-3 4.2.3.2.10", "40 hexadecimal digits", "da39a3ee5e6b4b0d3255bfef95601890afd80709", limit=40,
           pattern="[0-9a-f]{40}", flags=_ANY_CASE, normal=str.lower,
           fault=lambda text: f"it has {len(text)} characters or others than 0-9 and a-f"),
    _token("Integer", _TABLE, "decimal digits", "36017", pattern="[0-9]+",
           normal=lambda text: text.lstrip("0") or "0"),
    _token("MimeType", "RFC 6838 4.2", "type/subtype without parameters", "text/xml", pattern=f"{_TOKEN}/{_TOKEN}",
           normal=str.lower),
    _token("LanguageCode", "RFC 5646 2.1", "a language tag such as en or de-CH", "de-CH", pattern=_LANGUAGE,
           flags=_ANY_CASE, normal=str.lower),
    _token("String", _TABLE, "a text", "Attending", pattern="(?s:.+)", normal=nfc),
    _token("AvailabilityStatus", "ITI TF-3 4.2.3.2.2", " or ".join(AvailabilityStatus), AvailabilityStatus.APPROVED,
           pattern="|".join(AvailabilityStatus)),
    _token("DocumentAvailability", "XDS Metadata Update 4.2.3.2.30", f"{_ONLINE}Online or {_ONLINE}Offline",
           f"{_ONLINE}Online", pattern=f"{_ONLINE}(?:Online|Offline)"),
)
# fmt: on

DATATYPES: Mapping[str, DataType] = MappingProxyType({row.name: row for row in _ROWS})
"""The data types by name (ITI TF-3 Table 4.2.3.1.7-2)."""


def repeated_pid_fields(values: Sequence[str]) -> Iterator[str]:
    """Check all values of one sourcePatientInfo slot together (ITI TF-3 4.2.3.2.23).

    Args:
        values: in the order sent.

    Yields:
        Which of PID-7 and PID-8 is given more than once.
    """
    for name in _ONCE:
        found = [value for value in values if value.startswith(name)]
        if len(found) > 1:
            yield f"{name[:-1]} is given more than once: {', '.join(map(shown, found))}; expected one value"


_ONCE = tuple(f"PID-{number}|" for number in ONCE)
