"""The affinity domain as data: which codes, mime types and assigning authorities are legal (ITI TF-2 3.42.4.1.3.3.3).

The file is a `codes.xml` in the format of the NIST XDS Toolkit:

    Codes
      CodeType @name @classScheme [@open]
        Code @code @display @codingScheme [@system]      mimeType and languageCode: @code alone
      AssigningAuthority @id="&OID&ISO"                  none: every assigning authority is accepted

`open="true"` is our addition: any code is legal, the listed ones only lend displays. Other attributes are ignored.
The file is read with expat, the standard library's streaming parser, which knows the line of each element and fetches
nothing; a DOCTYPE, and with it every entity, is refused.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn
from xml.parsers import expat

from xds.metadata import attributes
from xds.metadata.datatypes import DATATYPES
from xds.metadata.text import nfc, shown
from xds.metadata.vocabulary import ASSOCIATION_DOCUMENTATION_SCHEME

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path


class CodeType(StrEnum):
    """CodeType/@name: the attributes whose values an affinity domain lists."""

    CLASS_CODE = "classCode"
    TYPE_CODE = "typeCode"
    FORMAT_CODE = "formatCode"
    PRACTICE_SETTING_CODE = "practiceSettingCode"
    HEALTHCARE_FACILITY_TYPE_CODE = "healthcareFacilityTypeCode"
    CONFIDENTIALITY_CODE = "confidentialityCode"
    EVENT_CODE_LIST = "eventCodeList"
    CONTENT_TYPE_CODE = "contentTypeCode"
    FOLDER_CODE_LIST = "folderCodeList"
    ASSOCIATION_DOCUMENTATION = "associationDocumentation"
    MIME_TYPE = "mimeType"
    AUTHOR_ROLE = "authorRole"
    AUTHOR_SPECIALTY = "authorSpecialty"
    LANGUAGE_CODE = "languageCode"


PLAIN = frozenset({CodeType.MIME_TYPE, CodeType.LANGUAGE_CODE})  # values without a coding scheme, compared without case
OPTIONAL = frozenset({CodeType.AUTHOR_ROLE, CodeType.AUTHOR_SPECIALTY, CodeType.LANGUAGE_CODE})  # open if not listed
CLASS_SCHEMES: Mapping[str, str] = MappingProxyType(
    {row.codes: row.key for row in attributes.TABLE if row.codes}
    | {CodeType.ASSOCIATION_DOCUMENTATION: ASSOCIATION_DOCUMENTATION_SCHEME},
)
"""CodeType name -> classification scheme, where ebRIM has one (ITI TF-3 4.2.5.2)."""


class AffinityDomainError(ValueError):
    """A codes.xml cannot be used; the text gives file, line, what was found and what is expected."""


@dataclass(frozen=True, slots=True)
class Concept:
    """What the table knows of a code.

    Attributes:
        display: name for a person, in the language of the code system.
        system: FHIR system URI of the coding scheme; None if not given.
    """

    display: str
    system: str | None = None


@dataclass(frozen=True, slots=True)
class AffinityDomain:
    """The legal values.

    Attributes:
        codes: per CodeType the pairs (code, codingScheme); the scheme is empty for mimeType and languageCode.
        assigning_authorities: OIDs of the accepted patient identification domains; empty if any is accepted.
        open: CodeTypes of which any value is legal.
    """

    codes: Mapping[str, Mapping[tuple[str, str], Concept]]
    assigning_authorities: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()

    def is_checked(self, kind: str) -> bool:
        """Tell whether values of this CodeType are compared with the table at all."""
        return kind not in self.open

    def is_known(self, kind: str, code: str, scheme: str = "") -> bool:
        """Tell whether a value is legal: exact pair of code and scheme, the display does not count."""
        if kind in self.open:
            return True
        listed = self.codes.get(kind, {})
        return (code, scheme) in listed or _key(kind, code, scheme) in listed  # most come as they are listed

    def concept(self, kind: str, code: str, scheme: str = "") -> Concept | None:
        """Look a code up, whether its CodeType is open or not; None if it is not listed."""
        return self.codes.get(kind, {}).get(_key(kind, code, scheme))

    def display(self, kind: str, code: str, scheme: str = "") -> str | None:
        """Give the display name of a listed code."""
        concept = self.concept(kind, code, scheme)
        return concept.display if concept else None

    def accepts_authority(self, oid: str) -> bool:
        """Tell whether patients of this assigning authority belong to the affinity domain (ITI TF-2 3.42.4.1.3.3.3)."""
        return not self.assigning_authorities or oid in self.assigning_authorities


def load(path: Path, open_types: Collection[str] = ()) -> AffinityDomain:
    """Read a codes.xml.

    Args:
        path: the file.
        open_types: CodeTypes to leave open, over those the file says.

    Raises:
        AffinityDomainError: if it cannot be read, is not of the format, or lacks a CodeType.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AffinityDomainError(f"{path}: {error.strerror or error}; expected a codes.xml") from error
    return parse(content, str(path), open_types)


def default() -> AffinityDomain:
    """Read the table that comes with the project, `xds/data/codes.xml`."""
    source = files("xds").joinpath("data", "codes.xml")
    return parse(source.read_bytes(), str(source))


def parse(content: bytes, name: str = "codes.xml", open_types: Collection[str] = ()) -> AffinityDomain:
    """Read the content of a codes.xml; `name` stands in messages, the rest is as in `load`."""
    if unknown := set(open_types) - set(CodeType):
        raise AffinityDomainError(
            f"{name}: no CodeType {_listed(unknown)} can be left open; expected {_listed(CodeType)}"
        )
    reader = _Reader(name)
    reader.read(content)
    open_ = frozenset(open_types) | reader.open | (OPTIONAL - reader.codes.keys())
    if missing := set(CodeType) - open_ - reader.codes.keys():
        raise AffinityDomainError(
            f'{name}: CodeType {_listed(missing)} missing; expected its codes, or <CodeType name="..." open="true"/>',
        )
    codes = {kind: MappingProxyType(pairs) for kind, pairs in reader.codes.items()}
    return AffinityDomain(MappingProxyType(codes), frozenset(reader.authorities), open_)


def _key(kind: str, code: str, scheme: str) -> tuple[str, str]:
    return (code.lower(), "") if kind in PLAIN else (nfc(code), scheme)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


@dataclass
class _Reader:
    """Collects the content of one file, element by element."""

    name: str
    codes: defaultdict[str, dict[tuple[str, str], Concept]] = field(default_factory=lambda: defaultdict(dict))
    authorities: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    path: list[str] = field(default_factory=list)
    kind: str = ""
    parser: expat.XMLParserType = field(default_factory=expat.ParserCreate)

    def read(self, content: bytes) -> None:
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = lambda _: self.path.pop()
        self.parser.StartDoctypeDeclHandler = lambda *_: self.refuse("a DOCTYPE", "none")
        try:
            self.parser.Parse(content, True)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code)
            raise AffinityDomainError(f"{self.name}, line {error.lineno}: {what}; expected well-formed XML") from error

    def start(self, tag: str, given: dict[str, str]) -> None:
        """Take one element by its place in the file."""
        self.path.append(tag)
        match self.path:
            case ["Codes"]:
                pass
            case ["Codes", "CodeType"]:
                self.code_type(given)
            case ["Codes", "CodeType", "Code"]:
                self.code(given)
            case ["Codes", "AssigningAuthority"]:
                self.authority(given)
            case _:
                self.refuse(f"element {'/'.join(self.path)}", "Codes/CodeType/Code or Codes/AssigningAuthority")

    def code_type(self, given: dict[str, str]) -> None:
        self.kind = self.required(given, "CodeType", "name")
        if self.kind not in set(CodeType):
            self.refuse(f"CodeType {shown(self.kind)}", _listed(CodeType))
        scheme, wanted = given.get("classScheme"), CLASS_SCHEMES.get(self.kind)
        if scheme and wanted and scheme != wanted:
            self.refuse(f"CodeType {self.kind} with classScheme {shown(scheme)}", wanted)
        switch = given.get("open", "false")
        if switch not in ("true", "false"):
            self.refuse(f"CodeType {self.kind} with open {shown(switch)}", "true or false")
        if switch == "true":
            self.open.add(self.kind)
        _ = self.codes[self.kind]  # a CodeType without codes is listed: nothing is legal unless it is open

    def code(self, given: dict[str, str]) -> None:
        code = self.required(given, "Code", "code")
        if self.kind in PLAIN:
            self.codes[self.kind].setdefault(_key(self.kind, code, ""), Concept(given.get("display", code)))
            return
        scheme, display = self.required(given, "Code", "codingScheme"), self.required(given, "Code", "display")
        key = _key(self.kind, code, scheme)
        self.codes[self.kind].setdefault(key, Concept(display, given.get("system") or None))  # the first display counts

    def authority(self, given: dict[str, str]) -> None:
        text = self.required(given, "AssigningAuthority", "id")
        oid = text.removeprefix("&").removesuffix("&ISO")
        if text != f"&{oid}&ISO" or DATATYPES["OID"].check(oid):
            self.refuse(f"AssigningAuthority with id {shown(text)}", "&oid&ISO, written &amp;oid&amp;ISO")
        self.authorities.add(oid)

    def required(self, given: dict[str, str], element: str, attribute: str) -> str:
        value = given.get(attribute, "").strip()
        if not value:
            self.refuse(f"{element} without {attribute}", f"{element}/@{attribute}")
        return value

    def refuse(self, found: str, expected: str) -> NoReturn:
        line = self.parser.CurrentLineNumber
        raise AffinityDomainError(f"{self.name}, line {line}: found {found}; expected {expected}")
