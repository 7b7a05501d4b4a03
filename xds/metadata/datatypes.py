r"""Data types of the metadata: parse, format, check (ITI TF-3 4.2.3.1.2, Table 4.2.3.1.7-2; ITI TF-2 Appendix B and F).

The model keeps values as on the wire. `DATATYPES` has a row per type: one compiled pattern decides the good case,
`parse` says in words what is wrong with a bad one. HL7 v2 values use `| ^ & ~ \` and the escapes \F\ \S\ \T\ \R\ \E\;
trailing empty components are ignored on reading and never written.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from xds.metadata.vocabulary import AvailabilityStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

# --- text ---------------------------------------------------------------------------------------------------------

SHOWN = 80  # characters of a bad value repeated in a message

_LETTERS = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\"}
_ESCAPES = {char: f"\\{letter}\\" for letter, char in _LETTERS.items()}
_TRANSLATION = {ord(char): written for char, written in _ESCAPES.items()}
_ESCAPE = re.compile(r"\\([FSTRE])\\")
_STRAY = re.compile(r"[|~\\\x00-\x1f\x7f]")


def shown(value: str) -> str:
    """Quote a value for a message: control characters visible, at most 80 characters of it."""
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in value[: SHOWN + 1])
    return f"'{text}'" if len(text) <= SHOWN else f"'{text[:SHOWN]}…'"


def escape(text: str) -> str:
    r"""Write the HL7 v2 delimiters in a text as \F\ \S\ \T\ \R\ \E\ (HL7 v2.5 2.7.1)."""
    return text.translate(_TRANSLATION)


def unescape(text: str) -> str:
    """Read the HL7 v2 escapes of a component; the inverse of `escape`."""
    return _ESCAPE.sub(lambda match: _LETTERS[match[1]], text) if "\\" in text else text


def nfc(text: str) -> str:
    """Give the form in which texts are compared: Unicode NFC (ITI TF-2 Appendix F)."""
    return unicodedata.normalize("NFC", text)


def same_text(one: str, other: str) -> bool:
    """Compare two identifiers, codes or texts: case-sensitive, Unicode NFC (ITI TF-2 Appendix F)."""
    return one == other or nfc(one) == nfc(other)


# --- patterns; possessive quantifiers keep them linear on hostile input ---------------------------------------------

_UNIT = r"(?:[^|^&~\\\x00-\x1f\x7f]++|\\[FSTRE]\\)"
_TEXT, _OPTIONAL = _UNIT + "++", _UNIT + "*+"
_COMPOSITE = rf"(?:{_UNIT}|&)*+"
_FIELD = re.compile(rf"(?:{_UNIT}|[&^~])*+")
_OID = r"(?![0-9.]{65})[0-2](?:\.(?:0|[1-9][0-9]*+))++"
_AUTHORITY = rf"&{_OID}&ISO&*+"
_HD = rf"{_OPTIONAL}(?:{_AUTHORITY})?+&*+"
_CX = rf"{_TEXT}\^\^\^{_AUTHORITY}\^*+"
_XON = rf"{_TEXT}(?:\^{{5}}{_AUTHORITY}(?:\^{{4}}{_TEXT})?+|\^{{9}}{_OID})?+\^*+"
_XCN = rf"(?=[^|^&~]|\^[^|^&~]){_OPTIONAL}(?:\^{_COMPOSITE}){{0,7}}+(?:\^{_HD}(?:\^{_COMPOSITE}){{0,14}}+)?+\^*+"
_CXI = (
    rf"{_TEXT}\^\^\^(?:\^{_TEXT}|(?:{_AUTHORITY}|{_TEXT}&*+|&++)"
    rf"\^(?!urn:ihe:iti:(?:xdw:2013:workflowInstanceId|xds:2016:studyInstanceUID)(?:\^|\Z)){_TEXT})\^*+"
)
_XTN = (
    rf"(?:\^(?:NET)?\^Internet\^{_TEXT}\^*+"
    rf"|\^{_OPTIONAL}\^(?!Internet\^){_TEXT}\^\^{_OPTIONAL}\^{_OPTIONAL}\^{_TEXT}(?:\^{_OPTIONAL})?\^*+)"
)
_UUID = r"urn:uuid:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_URI = r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]++|%[0-9A-Fa-f]{2})++"
_TOKEN = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"  # noqa: S105 - RFC 6838 4.2 restricted-name
_EXTENSION = re.compile(r"[^\x00-\x1f\x7f]++")
_LANGUAGE = (  # RFC 5646 2.1; the irregular tags need no subtag registry
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-[0-9a-wyz](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?"
    r"|x(?:-[a-z0-9]{1,8})+|en-gb-oed|sgn-(?:be-fr|be-nl|ch-de)"
    r"|i-(?:ami|bnn|default|enochian|hak|klingon|lux|mingo|navajo|pwn|tao|tay|tsu)"
)
_DTM = re.compile(
    r"(?!0000)[0-9]{4}(?:(?:0[1-9]|1[0-2])(?:(?:0[1-9]|[12][0-9]|3[01])(?:(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){0,2})?)?)?"
)
_TS = re.compile(r"([0-9]{4}(?:[0-9]{2}){0,4}|([0-9]{14})(?:\.[0-9]+)?)(?:([+-])([0-9]{2})([0-5][0-9]))?")


# --- reading HL7 v2 values ------------------------------------------------------------------------------------------


class DataTypeError(ValueError):
    """A value is not of its data type; the text says what was found and what is expected."""


@contextmanager
def _reading(kind: str, text: str) -> Iterator[None]:
    try:
        yield
    except DataTypeError as fault:  # a part of this value: it names its own form
        raise DataTypeError(f"{shown(text)} is no {kind}: {fault}") from None
    except ValueError as fault:
        raise DataTypeError(f"{shown(text)} is no {kind}: {fault}; expected {DATATYPES[kind].form}") from None


def _components(text: str) -> list[str]:
    """Split into components, still escaped, without the trailing empty ones; component 1 has index 0."""
    stray = _STRAY.search(_ESCAPE.sub("", text))
    if stray:
        wanted = f"is written {_ESCAPES[stray[0]]}" if stray[0] in _ESCAPES else "is not allowed"
        raise ValueError(f"the character {shown(stray[0])} {wanted} inside a component")
    return text.rstrip("^").split("^")


def _component(parts: Sequence[str], number: int) -> str:
    return parts[number - 1] if number <= len(parts) else ""


def _only(parts: Sequence[str], allowed: Collection[int]) -> None:
    for number, part in enumerate(parts, 1):
        if part and number not in allowed:
            raise ValueError(f"component {number} is {shown(part)} and must be empty")


def _text(parts: Sequence[str], number: int, what: str, *, required: bool = True) -> str:
    part = _component(parts, number)
    if required and not part:
        raise ValueError(f"component {number} ({what}) is empty")
    if "&" in part:
        raise ValueError(rf"component {number} ({what}) is {shown(part)}, in which & is written \T\ ")
    return unescape(part)


def _hd(part: str, number: int) -> tuple[str, str]:
    """Read an assigning authority `namespace&oid&ISO`: namespace id and OID, either may be empty."""
    namespace, oid, kind, *rest = [*part.rstrip("&").split("&"), "", ""]
    if not (oid or kind) and not any(rest):
        return unescape(namespace), ""
    if kind != "ISO" or any(rest):
        raise ValueError(f"component {number} (assigning authority) is {shown(part)}, not &oid&ISO")
    if not _is_oid(oid):
        raise ValueError(f"component {number}.2 is {shown(oid)}, no OID: {_oid_fault(oid)}")
    return unescape(namespace), oid


def _authority(parts: Sequence[str], number: int) -> str:
    part = _component(parts, number)
    if not part:
        raise ValueError(f"component {number} (assigning authority) is empty")
    namespace, oid = _hd(part, number)
    if namespace:
        raise ValueError(f"component {number}.1 (namespace id) is {shown(namespace)} and must be empty")
    if not oid:
        raise ValueError(f"component {number}.2 (OID of the assigning authority) is empty")
    return oid


def _joined(parts: Sequence[str]) -> str:
    return "^".join(parts).rstrip("^")


# --- composite types ------------------------------------------------------------------------------------------------


class _Hl7:
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        raise NotImplementedError

    def format(self) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        return self.format()


@dataclass(frozen=True, slots=True)
class CX(_Hl7):
    """Patient identifier `id^^^&oid&ISO` (ITI TF-3 Table 4.2.3.1.7-2).

    Attributes:
        id: CX.1, unescaped.
        authority: CX.4.2, OID of the assigning authority.
    """

    id: str
    authority: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CX; ValueError if anything but CX.1, CX.4.2 and CX.4.3 is there, or one of them is not."""
        with _reading("CX", text):
            parts = _components(text)
            _only(parts, {1, 4})
            return cls(_text(parts, 1, "id"), _authority(parts, 4))

    def format(self) -> str:
        """Write it, without trailing empty components."""
        return f"{escape(self.id)}^^^&{self.authority}&ISO"


LOCAL_ID_ONLY = frozenset({"urn:ihe:iti:xdw:2013:workflowInstanceId", "urn:ihe:iti:xds:2016:studyInstanceUID"})
"""Reference types whose ids are globally unique, so that CXi.4 must be empty."""


@dataclass(frozen=True, slots=True)
class CXi(_Hl7):
    """Entry of referenceIdList `id^^^&oid&ISO^type` (ITI TF-3 Table 4.2.3.1.7-2, 4.2.3.2.28).

    Attributes:
        id: CXi.1, unescaped.
        type_code: CXi.5, a URN of 4.2.3.2.28 or a local string.
        authority: OID of CXi.4; empty if there is a namespace instead, or the id is globally unique.
        namespace: namespace id of CXi.4.
    """

    id: str
    type_code: str
    authority: str = ""
    namespace: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CXi; ValueError if id or type is missing, or a component is there that must not."""
        with _reading("CXi", text):
            parts = _components(text)
            type_code = _text(parts, 5, "type code")
            _only(parts, {1, 5} if type_code in LOCAL_ID_ONLY else {1, 4, 5})
            namespace, oid = _hd(_component(parts, 4), 4)
            if namespace and oid:
                raise ValueError(f"component 4 is {shown(parts[3])} and must be a namespace id or &oid&ISO, not both")
            return cls(_text(parts, 1, "id"), type_code, oid, namespace)

    def format(self) -> str:
        """Write it, without trailing empty components."""
        authority = f"&{self.authority}&ISO" if self.authority else escape(self.namespace)
        return f"{escape(self.id)}^^^{authority}^{escape(self.type_code)}"


XCN_COMPONENTS = 23


@dataclass(frozen=True, slots=True)
class XCN(_Hl7):
    """Person, with or without an id (ITI TF-3 Table 4.2.3.1.7-2).

    Attributes:
        components: XCN.1 to at most XCN.23 as on the wire, so that nothing HL7 allows is lost; the properties unescape.
    """

    components: tuple[str, ...]

    @classmethod
    def of(cls, id: str = "", family: str = "", given: str = "", *, prefix: str = "", authority: str = "") -> Self:  # noqa: A002
        """Make one from plain texts; `authority` is the OID that makes `id` unique."""
        parts = [*map(escape, (id, family, given, "", "", prefix)), "", "", authority and f"&{authority}&ISO"]
        return cls(tuple(_joined(parts).split("^")))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an XCN; ValueError if neither id nor family name is there, or the authority is no OID."""
        with _reading("XCN", text):
            parts = _components(text)
            if not _text(parts, 1, "id", required=False) and not _component(parts, 2).split("&")[0]:
                raise ValueError("components 1 (id) and 2 (family name) are both empty")
            if len(parts) > XCN_COMPONENTS:
                raise ValueError(f"it has {len(parts)} components, at most {XCN_COMPONENTS} exist")
            _hd(_component(parts, 9), 9)
            return cls(tuple(parts))

    def _plain(self, number: int) -> str:
        return unescape(_component(self.components, number).split("&")[0])

    @property
    def id(self) -> str:
        """XCN.1."""
        return self._plain(1)

    @property
    def family(self) -> str:
        """XCN.2.1, family name."""
        return self._plain(2)

    @property
    def given(self) -> str:
        """XCN.3, given name."""
        return self._plain(3)

    @property
    def prefix(self) -> str:
        """XCN.6, such as Dr."""
        return self._plain(6)

    @property
    def authority(self) -> str:
        """OID of XCN.9, or empty."""
        return _hd(_component(self.components, 9), 9)[1]

    def format(self) -> str:
        """Write it, without trailing empty components."""
        return _joined(self.components)


@dataclass(frozen=True, slots=True)
class XON(_Hl7):
    """Organisation (ITI TF-3 Table 4.2.3.1.7-2).

    Attributes:
        name: XON.1.
        id: XON.10; an OID, or an id in the domain of `authority`.
        authority: XON.6.2, OID.
    """

    name: str
    id: str = ""
    authority: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an XON; ValueError if the name is missing, a local id has no authority, or another part is there."""
        with _reading("XON", text):
            parts = _components(text)
            _only(parts, {1, 6, 10})
            name, id_ = _text(parts, 1, "name"), _text(parts, 10, "id", required=False)
            authority = _authority(parts, 6) if _component(parts, 6) else ""
            if id_ and not authority and not _is_oid(id_):
                raise ValueError(f"component 10 (id) is {shown(id_)}, no OID, and component 6 (its authority) is empty")
            return cls(name, id_, authority)

    def format(self) -> str:
        """Write it, without trailing empty components."""
        authority = f"&{self.authority}&ISO" if self.authority else ""
        return _joined([escape(self.name), "", "", "", "", authority, "", "", "", escape(self.id)])


INTERNET = "Internet"


@dataclass(frozen=True, slots=True)
class XTN(_Hl7):
    """Telephone number or e-mail address (ITI TF-3 Table 4.2.3.1.7-2).

    Attributes:
        equipment: XTN.3, such as PH, CP or FX of HL7 table 0202; `Internet` for an e-mail address.
        number: XTN.7, the local number; empty for an e-mail address.
        address: XTN.4, the e-mail address; empty for a telephone number.
        use: XTN.2, such as WPN or PRN of HL7 table 0201; NET or empty for an e-mail address.
        country: XTN.5, area: XTN.6, extension: XTN.8.
    """

    equipment: str
    number: str = ""
    address: str = ""
    use: str = ""
    country: str = ""
    area: str = ""
    extension: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an XTN; ValueError if it is neither of the two forms."""
        with _reading("XTN", text):
            parts = _components(text)
            equipment, use = _text(parts, 3, "equipment type"), _text(parts, 2, "use code", required=False)
            if equipment != INTERNET:
                _only(parts, {2, 3, 5, 6, 7, 8})
                country, area, extension = (_text(parts, n, "number", required=False) for n in (5, 6, 8))
                number = _text(parts, 7, "local number")
                return cls(equipment, number, use=use, country=country, area=area, extension=extension)
            _only(parts, {2, 3, 4})
            if use not in ("", "NET"):
                raise ValueError(f"component 2 (use code) is {shown(use)}, for an e-mail address NET or empty")
            return cls(equipment, address=_text(parts, 4, "e-mail address"), use=use)

    def format(self) -> str:
        """Write it, without trailing empty components."""
        parts = ("", self.use, self.equipment, self.address, self.country, self.area, self.number, self.extension)
        return _joined([escape(part) for part in parts])


@dataclass(frozen=True, slots=True)
class IntendedRecipient(_Hl7):
    """intendedRecipient `XON|XCN|XTN`: each part optional, at least one there (ITI TF-3 4.2.3.3.7)."""

    organization: XON | None = None
    person: XCN | None = None
    telecommunication: XTN | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an intendedRecipient; ValueError if no part is there, or one of them is wrong."""
        with _reading("IntendedRecipient", text):
            parts = text.split("|")
            if len(parts) > 3 or not any(parts):  # noqa: PLR2004 - organisation, person, telecommunication
                raise ValueError(f"{sum(map(bool, parts))} of {len(parts)} parts are filled")
            xon, xcn, xtn = [*parts, "", ""][:3]
            return cls(
                XON.parse(xon) if xon else None,
                XCN.parse(xcn) if xcn else None,
                XTN.parse(xtn) if xtn else None,
            )

    def format(self) -> str:
        """Write it, without trailing empty components."""
        parts = (self.organization, self.person, self.telecommunication)
        return "|".join(str(part or "") for part in parts).rstrip("|")


@dataclass(frozen=True, slots=True)
class CodedString(_Hl7):
    """authorRole, authorSpecialty: `code^^^&schemeOid&ISO`, or any text (ITI TF-3 Table 4.2.3.1.7-2).

    Attributes:
        code: the code, or the whole text where there is no scheme.
        scheme: OID of the coding scheme; empty for plain text, which then has no `^`.
    """

    code: str
    scheme: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a Coded String; ValueError if the text is empty, or has a `^` and is not of the coded form."""
        with _reading("CodedString", text):
            if not text:
                raise ValueError("it is empty")
            if "^" not in text:
                return cls(text)
            parts = _components(text)
            _only(parts, {1, 4})
            return cls(_text(parts, 1, "code"), _authority(parts, 4))

    def format(self) -> str:
        """Write it, without trailing empty components."""
        return f"{escape(self.code)}^^^&{self.scheme}&ISO" if self.scheme else self.code


@dataclass(frozen=True, slots=True)
class Identifier(_Hl7):
    """DocumentEntry.uniqueId: OID, `OID^extension` or URI, compared as an exact string (ITI TF-3 4.2.3.2.26).

    Attributes:
        root: the OID or the URI; the root of a CDA document id.
        extension: what follows the `^`, as on the wire; empty if there is none.
    """

    root: str
    extension: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a uniqueId; ValueError if it is of none of the forms."""
        with _reading("Identifier", text):
            root, caret, extension = text.partition("^")
            if caret and not _EXTENSION.fullmatch(extension):
                raise ValueError(f"the extension is {shown(extension)}")
            if caret or not root.strip("0123456789."):
                return cls(parse_oid(root), extension)
            return cls(parse_uuid(root) if root.startswith("urn:uuid:") else parse_uri(root))

    def format(self) -> str:
        """Write it, without trailing empty components."""
        return f"{self.root}^{self.extension}" if self.extension else self.root


# --- simple types ---------------------------------------------------------------------------------------------------


def _simple(kind: str, matches: Callable[[str], object], fault: Callable[[str], str]) -> Callable[[str], str]:
    """Make the parser of a type that is one token: it gives the text back, or says why not."""

    def parse(text: str) -> str:
        with _reading(kind, text):
            if not matches(text):
                raise ValueError(fault(text) if text else "it is empty")
            return text

    return parse


def _oid_fault(text: str) -> str:
    arcs = text.split(".")
    if "" in arcs:
        return "an arc is empty"
    if bad := next((arc for arc in arcs if not (arc.isascii() and arc.isdigit())), None):
        return f"{shown(bad)} is no number"
    if bad := next((arc for arc in arcs if arc[0] == "0" and arc != "0"), None):
        return f"the arc {shown(bad)} has a leading zero"
    if arcs[0] not in ("0", "1", "2"):
        return f"the first arc is {shown(arcs[0])}, not 0, 1 or 2"
    return "it has a single arc" if len(arcs) == 1 else f"it has {len(text)} characters, at most 64"


def _uri_fault(text: str) -> str:
    stray = re.search(r"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]|%(?![0-9A-Fa-f]{2})", text)
    return f"RFC 3986 does not allow the character {shown(stray[0]) if stray else ''}"


def _home_fault(text: str) -> str:
    if not text.startswith("urn:oid:"):
        return "it does not start with urn:oid:"
    return _oid_fault(text.removeprefix("urn:oid:"))


def _dtm_fault(text: str) -> str:
    """Say why a text is no DTM; empty if it is one."""
    if not (text.isascii() and text.isdigit()):
        return "only digits may be there: UTC, no time zone, no fraction" if text else "it is empty"
    if len(text) not in (4, 6, 8, 10, 12, 14):
        return f"it has {len(text)} digits, not 4, 6, 8, 10, 12 or 14"
    year, month, *rest = (
        int(text[at : at + size] or 1) for at, size in ((0, 4), (4, 2), (6, 2), (8, 2), (10, 2), (12, 2))
    )
    if not (year and 1 <= month <= 12):  # noqa: PLR2004 - months
        return f"there is no month {month:02} in the year {year:04}"
    ranges = (("day", 1, monthrange(year, month)[1]), ("hour", 0, 23), ("minute", 0, 59), ("second", 0, 59))
    bad = (
        f"there is no {name} {part:02}"
        for part, (name, low, high) in zip(rest, ranges, strict=True)
        if not low <= part <= high
    )
    return next(bad, "")


def _is_dtm(text: str) -> bool:
    return bool(_DTM.fullmatch(text)) and (text[6:8] < "29" or not _dtm_fault(text))


def _uuid_fault(text: str) -> str:
    return "it does not start with urn:uuid:" if not text.startswith("urn:uuid:") else "the digits are not of this form"


_is_oid, _is_uuid, _is_uri = (re.compile(pattern).fullmatch for pattern in (_OID, _UUID, _URI))
parse_oid = _simple("OID", _is_oid, _oid_fault)
parse_uuid = _simple("UUID", _is_uuid, _uuid_fault)
parse_uri = _simple("URI", _is_uri, _uri_fault)


def parse_dtm(text: str) -> str:
    """Check a DTM and give it back.

    Raises:
        ValueError: if it is no UTC time of 4, 6, 8, 10, 12 or 14 digits, or is not in the calendar.
    """
    with _reading("DTM", text):
        if fault := _dtm_fault(text):
            raise ValueError(fault)
        return text


def dtm_now() -> str:
    """Give the present time as a DTM of 14 digits, UTC."""
    return f"{datetime.now(UTC):%Y%m%d%H%M%S}"


def dtm_not_after(one: str, other: str) -> bool:
    """Tell whether `one` is not after `other` in the digits both have: 2025 is not after 202503, nor before it."""
    digits = min(len(one), len(other))
    return one[:digits] <= other[:digits]


def to_utc(time: str, default_zone: tzinfo) -> str:
    """Convert an HL7 TS with zone and fraction, as in CDA headers, to a DTM (ITI TF-3 Table 4.2.3.1.7-2).

    Args:
        time: such as `20251117093045.123+0800`.
        default_zone: zone of times that name none.

    Returns:
        The DTM in UTC with the precision of `time`, fraction cut off. Year, month and day alone are not shifted, and
        hours are cut to the hour where the zone has half hours.

    Raises:
        ValueError: if `time` is no such time.
    """
    match = _TS.fullmatch(time)
    if not match:
        raise ValueError(f"{shown(time)} is no time: expected YYYY[MM[DD[hh[mm[ss[.f]]]]]][+hhmm|-hhmm]")
    digits = parse_dtm(match[2] or match[1])
    if len(digits) <= len("YYYYMMDD"):
        return digits
    try:
        zone = (
            timezone(int(f"{match[3]}1") * timedelta(hours=int(match[4]), minutes=int(match[5])))
            if match[3]
            else default_zone
        )
        moment = datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{shown(time)} cannot be converted to UTC: {error}") from None
    return f"{moment.year:04}{moment:%m%d%H%M%S}"[: len(digits)]


# --- sourcePatientInfo ----------------------------------------------------------------------------------------------

LAST_PID_FIELD = 39
ONCE = (7, 8)  # date of birth, sex


@dataclass(frozen=True, slots=True)
class SourcePatientField(_Hl7):
    """One value of sourcePatientInfo, `PID-n|field` (ITI TF-3 4.2.3.2.23).

    Attributes:
        number: n, from 1 to 39.
        field: the HL7 field as on the wire; may be empty, may repeat with `~`.
    """

    number: int
    field: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one value; PID-3 must be CX, PID-7 DTM, PID-8 of HL7 table 0001.

        Raises:
            ValueError: if the name is no PID field or the content is not of its type.
        """
        with _reading("SourcePatientInfo", text):
            name, bar, field = text.partition("|")
            number = _PID_NUMBERS.get(name)
            if number is None or not bar:
                raise ValueError(f"it does not start with PID-1| to PID-{LAST_PID_FIELD}|")
            if not _FIELD.fullmatch(field):
                _components(field.replace("~", "^"))
            if number in ONCE and "~" in field:
                raise ValueError(f"{name} repeats")
            if field and number in _PID_PARSERS:
                for repetition in field.split("~"):
                    _PID_PARSERS[number](repetition)
            return cls(number, field)

    def format(self) -> str:
        """Write it, without trailing empty components."""
        return f"PID-{self.number}|{self.field}"


def _parse_sex(text: str) -> str:
    if text.rstrip("^") not in {"F", "M", "O", "U", "A", "N"}:
        raise ValueError(f"{shown(text)} is no administrative sex F, M, O, U, A or N (HL7 table 0001)")
    return text


_PID_NUMBERS = {f"PID-{number}": number for number in range(1, LAST_PID_FIELD + 1)}
_PID_PARSERS: dict[int, Callable[[str], object]] = {
    3: CX.parse,
    7: lambda text: parse_dtm(text.rstrip("^")),
    8: _parse_sex,
}
_PID = re.compile(
    rf"PID-(?:3\|(?:{_CX}(?:~{_CX})*+)?+|8\|(?:[FMOUAN]\^*+)?+"
    rf"|(?![378]\|)(?:[1-9]|[12][0-9]|3[0-9])\|{_FIELD.pattern})"
)


def _is_pid(text: str) -> bool:
    if text.startswith("PID-7|"):
        return text == "PID-7|" or _is_dtm(text[len("PID-7|") :].rstrip("^"))
    return bool(_PID.fullmatch(text))


def source_patient_info_faults(values: Sequence[str]) -> Iterator[str]:
    """Check all values of one sourcePatientInfo slot together (ITI TF-3 4.2.3.2.23).

    Args:
        values: in the order sent.

    Yields:
        What is wrong with a value, then which of PID-7 and PID-8 is given more than once.
    """
    check = DATATYPES["SourcePatientInfo"].check
    yield from filter(None, map(check, values))
    for number in ONCE:
        found = [value for value in values if value.startswith(f"PID-{number}|")]
        if len(found) > 1:
            yield f"PID-{number} is given more than once: {', '.join(map(shown, found))}; expected one value"


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


def _composite(kind: type[_Hl7], form: str, example: str, pattern: str) -> DataType:
    def normal(text: str) -> str:
        return nfc(kind.parse(text).format())

    return DataType(kind.__name__, _TABLE, form, example, LONG_NAME, re.compile(pattern).fullmatch, kind.parse, normal)


def _token(
    name: str, citation: str, form: str, example: str, *, pattern: str, limit: int = LONG_NAME, **more: Any
) -> DataType:
    matches = re.compile(pattern, more.pop("flags", re.NOFLAG)).fullmatch
    fault = more.pop("fault", lambda _: "it is not of this form")
    return DataType(name, citation, form, example, limit, matches, _simple(name, matches, fault), **more)


_ANY_CASE = re.IGNORECASE | re.ASCII
_ONLINE = "urn:ihe:iti:2010:DocumentAvailability:"
_RECIPIENT = rf"(?=\|{{0,2}}[^|])(?:{_XON})?(?:\|(?:{_XCN})?(?:\|(?:{_XTN})?)?)?"
_UNIQUE_ID = rf"{_OID}(?:\^{_EXTENSION.pattern})?|{_UUID}|(?![0-9.]*+\Z)(?!urn:uuid:){_URI}"

# fmt: off
_ROWS = (
    _composite(CX, "id^^^&oid&ISO", "6578946^^^&1.3.6.1.4.1.21367.2005.3.7&ISO", _CX),
    _composite(CXi, "id^^^&oid&ISO^type", "2013001^^^&1.2.3.4&ISO^urn:ihe:iti:xds:2013:accession", _CXI),
    _composite(CodedString, "code^^^&oid&ISO or a text without ^", "394579002^^^&2.16.840.1.113883.6.96&ISO",
               rf"[^^]+|{_CX}"),
    _composite(XCN, "id^family^given^middle^suffix^prefix^^^&oid&ISO with at least id or family",
               "11375^Welby^Marcus^J^Jr. MD^Dr^^^&1.2.840.113619.6.197&ISO", _XCN),
    _composite(XON, "name^^^^^&oid&ISO^^^^id or name^^^^^^^^^oid", "Some Hospital^^^^^&1.2.3.4.5&ISO^^^^45", _XON),
    _composite(XTN, "^^Internet^address or ^use^equipment^^country^area^number^extension", "^^Internet^a@example.org",
               _XTN),
    _composite(IntendedRecipient, "XON|XCN|XTN with at least one of them",
               "Some Hospital^^^^^&1.2.3&ISO^^^^45|^Welby^Marcus|^^Internet^mwelby@example.org", _RECIPIENT),
    DataType("SourcePatientInfo", "ITI TF-3 4.2.3.2.23", "PID-n|HL7 field", "PID-8|M", LONG_NAME,
             _is_pid, SourcePatientField.parse, nfc),
    DataType("DTM", _TABLE, "YYYY[MM[DD[hh[mm[ss]]]]] in UTC", "20251117093045", 14, _is_dtm, parse_dtm),
    DataType("OID", "ITI TF-2 Appendix B", "numbers and dots such as 1.2.840.113619", "1.2.840.113619", 64,
             _is_oid, parse_oid),
    DataType("UUID", _TABLE, "urn:uuid: and 8-4-4-4-12 hexadecimal digits",
             "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3", 45, _is_uuid, parse_uuid, str.lower),
    DataType("URI", "RFC 3986", "characters of RFC 3986", "DIR00000/TP00000/D0000000.TXT", LONG_NAME,
             _is_uri, parse_uri),
    DataType("Identifier", "ITI TF-3 4.2.3.2.26", "oid, oid^extension, urn:uuid:... or another URI", "1.2.3.4^ab-7",
             LONG_NAME, re.compile(_UNIQUE_ID).fullmatch, Identifier.parse),
    _token("HomeCommunityId", "ITI TF-3 4.2.3.2.12", "urn:oid: and an OID", "urn:oid:1.2.3", limit=64,
           pattern=f"urn:oid:{_OID}", fault=_home_fault),
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
