r"""HL7 v2 values of the metadata: escapes, components, and the composite types (ITI TF-3 Table 4.2.3.1.7-2).

They use `| ^ & ~ \` and the escapes \F\ \S\ \T\ \R\ \E\; trailing empty components are ignored on reading and never
written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Self

from xds.metadata.text import is_oid, oid_fault, parse_oid, parse_uri, parse_uuid, reading, shown

_LETTERS = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\"}
_ESCAPES = {char: f"\\{letter}\\" for letter, char in _LETTERS.items()}
_TRANSLATION = {ord(char): written for char, written in _ESCAPES.items()}
_ESCAPE = re.compile(r"\\([FSTRE])\\")
_STRAY = re.compile(r"[|~\\\x00-\x1f\x7f]")
EXTENSION = re.compile(r"[^\x00-\x1f\x7f]++")


def escape(text: str) -> str:
    r"""Write the HL7 v2 delimiters in a text as \F\ \S\ \T\ \R\ \E\ (HL7 v2.5 2.7.1)."""
    return text.translate(_TRANSLATION)


def unescape(text: str) -> str:
    """Read the HL7 v2 escapes of a component; the inverse of `escape`."""
    return _ESCAPE.sub(lambda match: _LETTERS[match[1]], text) if "\\" in text else text


# --- components -----------------------------------------------------------------------------------------------------


def components(text: str) -> list[str]:
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
    if not is_oid(oid):
        raise ValueError(f"component {number}.2 is {shown(oid)}, no OID: {oid_fault(oid)}")
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


class Hl7:
    """What the composite types have in common: a form in words, `parse`, and `format`, which `str` gives."""

    __slots__ = ()
    FORM: ClassVar[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value; ValueError with what was found and what is expected."""
        raise NotImplementedError

    def format(self) -> str:
        """Write it, without trailing empty components."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.format()

    @classmethod
    def _reading(cls, text: str) -> AbstractContextManager[None]:
        return reading(cls.__name__, cls.FORM, text)


@dataclass(frozen=True, slots=True)
class CX(Hl7):
    """Patient identifier `id^^^&oid&ISO` (ITI TF-3 Table 4.2.3.1.7-2).

    Attributes:
        id: CX.1, unescaped.
        authority: CX.4.2, OID of the assigning authority.
    """

    FORM: ClassVar[str] = "id^^^&oid&ISO"

    id: str
    authority: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CX; ValueError if anything but CX.1, CX.4.2 and CX.4.3 is there, or one of them is not."""
        with cls._reading(text):
            parts = components(text)
            _only(parts, {1, 4})
            return cls(_text(parts, 1, "id"), _authority(parts, 4))

    def format(self) -> str:
        """Write it, without trailing empty components."""
        return f"{escape(self.id)}^^^&{self.authority}&ISO"


LOCAL_ID_ONLY = frozenset({"urn:ihe:iti:xdw:2013:workflowInstanceId", "urn:ihe:iti:xds:2016:studyInstanceUID"})
"""Reference types whose ids are globally unique, so that CXi.4 must be empty."""


@dataclass(frozen=True, slots=True)
class CXi(Hl7):
    """Entry of referenceIdList `id^^^&oid&ISO^type` (ITI TF-3 Table 4.2.3.1.7-2, 4.2.3.2.28).

    Attributes:
        id: CXi.1, unescaped.
        type_code: CXi.5, a URN of 4.2.3.2.28 or a local string.
        authority: OID of CXi.4; empty if there is a namespace instead, or the id is globally unique.
        namespace: namespace id of CXi.4.
    """

    FORM: ClassVar[str] = "id^^^&oid&ISO^type"

    id: str
    type_code: str
    authority: str = ""
    namespace: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CXi; ValueError if id or type is missing, or a component is there that must not."""
        with cls._reading(text):
            parts = components(text)
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
class XCN(Hl7):
    """Person, with or without an id (ITI TF-3 Table 4.2.3.1.7-2).

    Attributes:
        components: XCN.1 to at most XCN.23 as on the wire, so that nothing HL7 allows is lost; the properties unescape.
    """

    FORM: ClassVar[str] = "id^family^given^middle^suffix^prefix^^^&oid&ISO with at least id or family"

    components: tuple[str, ...]

    @classmethod
    def of(cls, id: str = "", family: str = "", given: str = "", *, prefix: str = "", authority: str = "") -> Self:  # noqa: A002
        """Make one from plain texts; `authority` is the OID that makes `id` unique."""
        parts = [*map(escape, (id, family, given, "", "", prefix)), "", "", authority and f"&{authority}&ISO"]
        return cls(tuple(_joined(parts).split("^")))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an XCN; ValueError if neither id nor family name is there, or the authority is no OID."""
        with cls._reading(text):
            parts = components(text)
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
class XON(Hl7):
    """Organisation (ITI TF-3 Table 4.2.3.1.7-2).

    Attributes:
        name: XON.1.
        id: XON.10; an OID, or an id in the domain of `authority`.
        authority: XON.6.2, OID.
    """

    FORM: ClassVar[str] = "name^^^^^&oid&ISO^^^^id or name^^^^^^^^^oid"

    name: str
    id: str = ""
    authority: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an XON; ValueError if the name is missing, a local id has no authority, or another part is there."""
        with cls._reading(text):
            parts = components(text)
            _only(parts, {1, 6, 10})
            name, id_ = _text(parts, 1, "name"), _text(parts, 10, "id", required=False)
            authority = _authority(parts, 6) if _component(parts, 6) else ""
            if id_ and not authority and not is_oid(id_):
                raise ValueError(f"component 10 (id) is {shown(id_)}, no OID, and component 6 (its authority) is empty")
            return cls(name, id_, authority)

    def format(self) -> str:
        """Write it, without trailing empty components."""
        authority = f"&{self.authority}&ISO" if self.authority else ""
        return _joined([escape(self.name), "", "", "", "", authority, "", "", "", escape(self.id)])


INTERNET = "Internet"


@dataclass(frozen=True, slots=True)
class XTN(Hl7):
    """Telephone number or e-mail address (ITI TF-3 Table 4.2.3.1.7-2).

    Attributes:
        equipment: XTN.3, such as PH, CP or FX of HL7 table 0202; `Internet` for an e-mail address.
        number: XTN.7, the local number; empty for an e-mail address.
        address: XTN.4, the e-mail address; empty for a telephone number.
        use: XTN.2, such as WPN or PRN of HL7 table 0201; NET or empty for an e-mail address.
        country: XTN.5, area: XTN.6, extension: XTN.8.
    """

    FORM: ClassVar[str] = "^^Internet^address or ^use^equipment^^country^area^number^extension"

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
        with cls._reading(text):
            parts = components(text)
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
class IntendedRecipient(Hl7):
    """intendedRecipient `XON|XCN|XTN`: each part optional, at least one there (ITI TF-3 4.2.3.3.7)."""

    FORM: ClassVar[str] = "XON|XCN|XTN with at least one of them"

    organization: XON | None = None
    person: XCN | None = None
    telecommunication: XTN | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an intendedRecipient; ValueError if no part is there, or one of them is wrong."""
        with cls._reading(text):
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
class CodedString(Hl7):
    """authorRole, authorSpecialty: `code^^^&schemeOid&ISO`, or any text (ITI TF-3 Table 4.2.3.1.7-2).

    Attributes:
        code: the code, or the whole text where there is no scheme.
        scheme: OID of the coding scheme; empty for plain text, which then has no `^`.
    """

    FORM: ClassVar[str] = "code^^^&oid&ISO or a text without ^"

    code: str
    scheme: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a Coded String; ValueError if the text is empty, or has a `^` and is not of the coded form."""
        with cls._reading(text):
            if not text:
                raise ValueError("it is empty")
            if "^" not in text:
                return cls(text)
            parts = components(text)
            _only(parts, {1, 4})
            return cls(_text(parts, 1, "code"), _authority(parts, 4))

    def format(self) -> str:
        """Write it, without trailing empty components."""
        return f"{escape(self.code)}^^^&{self.scheme}&ISO" if self.scheme else self.code


@dataclass(frozen=True, slots=True)
class Identifier(Hl7):
    """DocumentEntry.uniqueId: OID, `OID^extension` or URI, compared as an exact string (ITI TF-3 4.2.3.2.26).

    Attributes:
        root: the OID or the URI; the root of a CDA document id.
        extension: what follows the `^`, as on the wire; empty if there is none.
    """

    FORM: ClassVar[str] = "oid, oid^extension, urn:uuid:... or another URI"

    root: str
    extension: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a uniqueId; ValueError if it is of none of the forms."""
        with cls._reading(text):
            root, caret, extension = text.partition("^")
            if caret and not EXTENSION.fullmatch(extension):
                raise ValueError(f"the extension is {shown(extension)}")
            if caret or not root.strip("0123456789."):
                return cls(parse_oid(root), extension)
            return cls(parse_uuid(root) if root.startswith("urn:uuid:") else parse_uri(root))

    def format(self) -> str:
        """Write it, without trailing empty components."""
        return f"{self.root}^{self.extension}" if self.extension else self.root
