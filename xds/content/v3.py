"""HL7 V3 data types as they stand in CDA, and how XDS writes them in HL7 v2 (HL7 V3 DT R1; ITI TF-3 4.2.3.1.7).

An element with `nullFlavor` counts as absent, with all below it. Texts lose control characters and runs of white space.
What HL7 v2 cannot express (an id whose root is no OID) gives None, so that the caller goes on without it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xds.content.header import V3
from xds.metadata.datatypes import DATATYPES
from xds.metadata.hl7 import CX, INTERNET, XCN, XON, XTN, CodedString, escape
from xds.metadata.model import Code, LocalizedString

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml.etree import _Element as Element

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")  # those that are no white space
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_is_oid = DATATYPES["OID"].matches


# --- finding ----------------------------------------------------------------------------------------------------------


def all_at(el: Element, path: str) -> list[Element]:
    """Give the elements at a path of local names such as `author/assignedAuthor`, those with a nullFlavor left out."""
    found = [el]
    for step in path.split("/"):
        found = [child for parent in found for child in parent.iterchildren(f"{{{V3}}}{step}") if not is_null(child)]
    return found


def at(el: Element, path: str) -> Element | None:
    """Give the first element at a path, or None."""
    return next(iter(all_at(el, path)), None)


def is_null(el: Element) -> bool:
    """Tell whether an element only says why a value is missing (HL7 V3 DT R1 2.1.1)."""
    return el.get("nullFlavor") is not None


def clean(text: str | None) -> str:
    """Take control characters out and make each run of white space one blank."""
    return " ".join(_CONTROL.sub("", text or "").split())


def text_of(el: Element | None) -> str:
    """Give the whole text of an element; empty for None."""
    return (
        clean(" ".join(map(str, el.itertext())))
        if el is not None and len(el)
        else clean(el.text if el is not None else "")
    )


def value_at(el: Element, path: str, attribute: str = "value") -> str | None:
    """Give an attribute of the first element at a path that has it; None if none does."""
    return next((value for found in all_at(el, path) if (value := clean(found.get(attribute)))), None)


# --- II: identifiers --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class II:
    """Instance identifier (HL7 V3 DT R1 2.16).

    Attributes:
        root: OID, UUID or another unique string, as written.
        extension: id in the domain of `root`; empty if `root` is the whole id.
    """

    root: str
    extension: str = ""

    @property
    def unique_id(self) -> str:
        """As DocumentEntry.uniqueId: `root^extension`, or the root alone (PCC TF-2 4.1; ITI TF-3 4.2.3.2.26)."""
        return f"{self.root}^{self.extension}" if self.extension else self.root

    @property
    def cx(self) -> str | None:
        """As CX; None without extension or with a root that is no OID."""
        return CX(self.extension, self.root).format() if self.extension and _is_oid(self.root) else None

    @property
    def parts(self) -> tuple[str, str] | None:
        """Id and OID of its authority, the latter empty if the id is unique by itself; None if HL7 v2 has no form."""
        if self.extension:
            return (self.extension, self.root) if _is_oid(self.root) else None
        return (self.root, "") if _is_oid(self.root) or _UUID.fullmatch(self.root) else None


def ids(el: Element, path: str = "id") -> tuple[II, ...]:
    """Read the identifiers at a path; one without a root is none."""
    found = (II(clean(each.get("root")), clean(each.get("extension"))) for each in all_at(el, path))
    return tuple(each for each in found if each.root)


def _parts(el: Element) -> tuple[str, str]:
    return next((each.parts for each in ids(el) if each.parts), ("", ""))


# --- CD, CE, CS: codes ------------------------------------------------------------------------------------------------


def codes(el: Element, name: str, scheme: str = "") -> tuple[Code, ...]:
    """Read a code and its translations, in this order; a code with nullFlavor may still have translations.

    Args:
        el: the parent.
        name: local name of the coded elements; several give one sequence.
        scheme: coding scheme of a code that names none; such a code is left out if this is empty.
    """
    return tuple(
        Code(code, system, _display(each))
        for each in _with_translations(el, name)
        if not is_null(each)
        and (code := clean(each.get("code")))
        and (system := clean(each.get("codeSystem")) or scheme)
    )


def _with_translations(el: Element, name: str) -> Iterator[Element]:
    for each in el.iterchildren(f"{{{V3}}}{name}"):
        yield each
        yield from each.iterchildren(f"{{{V3}}}translation")


def _display(el: Element) -> LocalizedString | None:
    text = clean(el.get("displayName")) or text_of(at(el, "originalText"))
    return LocalizedString(text) if text else None


def coded_string(el: Element | None) -> str | None:
    """Write a code as authorRole or authorSpecialty: `code^^^&scheme&ISO`, else its display as plain text."""
    if el is None:
        return None
    code, scheme, display = clean(el.get("code")), clean(el.get("codeSystem")), _display(el)
    if code and _is_oid(scheme):
        return CodedString(code, scheme).format()
    return (display.value if display else code).replace("^", " ") or None


# --- PN, ON: names ----------------------------------------------------------------------------------------------------

_OF_THE_FAMILY = {"VV", "NB"}  # voorvoegsel (von, de) and nobility: prefixes that belong to the family name
_SECONDARY = {"BR", "CL"}  # name at birth, name one is called by: used where there is no other


@dataclass(frozen=True, slots=True)
class Name:
    """Name of a person in the parts of XPN and XCN; empty where unknown, `family` never is."""

    family: str
    given: str = ""
    further: str = ""
    suffix: str = ""
    prefix: str = ""

    @property
    def components(self) -> tuple[str, ...]:
        """XPN.1 to XPN.5, XCN.2 to XCN.6, escaped."""
        return tuple(map(escape, (self.family, self.given, self.further, self.suffix, self.prefix)))

    @property
    def xpn(self) -> str:
        """As XPN, for PID-5."""
        return "^".join(self.components).rstrip("^")


def name(el: Element, path: str = "name") -> Name | None:
    """Read the name of a person: the legal one, else the one in ideographs or without a use, else the first.

    Parts may stand in any order. A name without parts (`<name>张伟</name>`) or of given names alone becomes the family
    name, which XPN and XCN cannot do without.
    """
    candidates = (_read_name(each) for each in sorted(all_at(el, path), key=_rank))
    return next(filter(None, candidates), None)


def _rank(el: Element) -> int:
    use = set(el.get("use", "").split())
    if use & {"P", "A", "SRCH", "PHON", "SNDX"}:
        return 4
    if use & {"ABC", "SYL"}:
        return 3
    return 0 if "L" in use else 2 if use - {"IDE"} else 1


def _read_name(el: Element) -> Name | None:
    if not len(el):
        return Name(whole) if (whole := text_of(el)) else None
    families, givens = _part(el, "family"), _part(el, "given")
    of_family = [text for text, qualifiers in _pairs(el, "prefix") if qualifiers & _OF_THE_FAMILY]
    prefixes = [text for text, qualifiers in _pairs(el, "prefix") if not qualifiers & _OF_THE_FAMILY]
    between = clean(" ".join([el.text or "", *(child.tail or "" for child in el)])).strip(" ,;")
    family = " ".join([*of_family, *families]) or between
    if not family:
        family, givens = " ".join(givens), []
    if not family:
        return None
    return Name(family, " ".join(givens[:1]), " ".join(givens[1:]), " ".join(_part(el, "suffix")), " ".join(prefixes))


def _pairs(el: Element, kind: str) -> list[tuple[str, set[str]]]:
    read = ((text_of(part), set(part.get("qualifier", "").split())) for part in all_at(el, kind))
    return [(text, qualifiers) for text, qualifiers in read if text]


def _part(el: Element, kind: str) -> list[str]:
    pairs = _pairs(el, kind)
    return [text for text, qualifiers in pairs if not qualifiers & _SECONDARY] or [text for text, _ in pairs]


def person(el: Element, path: str) -> str | None:
    """Write a role (assignedAuthor, assignedEntity, intendedRecipient) as XCN: its id and the name at `path`."""
    (id_, authority), named = _parts(el), name(el, path)
    return _xcn(id_, authority, named.components if named else ()) if id_ or named else None


def device(el: Element) -> str | None:
    """Write an assignedAuthor that is a device as XCN: its id, and its name in place of the family name."""
    found = at(el, "assignedAuthoringDevice")
    if found is None:
        return None
    called = text_of(at(found, "softwareName")) or text_of(at(found, "manufacturerModelName"))
    id_, authority = _parts(el)
    return _xcn(id_, authority, (escape(called),)) if id_ or called else None


def _xcn(id_: str, authority: str, names: tuple[str, ...]) -> str:
    parts = (escape(id_), *names, *[""] * (7 - len(names)), f"&{authority}&ISO" if authority else "")
    return XCN(parts).format()


def organization(el: Element | None) -> str | None:
    """Write an organisation as XON; one without a name takes that of the organisation it is part of, with its id."""
    while el is not None:
        called = next(filter(None, map(text_of, all_at(el, "name"))), "")
        if called:
            id_, authority = _parts(el)
            return XON(called, *((id_, authority) if authority or _is_oid(id_) else ())).format()
        el = at(el, "asOrganizationPartOf/wholeOrganization")
    return None


# --- TEL, AD, TS, IVL -------------------------------------------------------------------------------------------------

_USES = {"H": "PRN", "HP": "PRN", "HV": "VHN", "WP": "WPN", "DIR": "WPN", "PUB": "WPN", "EC": "EMR", "AS": "ASN"}
_EQUIPMENT = {"fax": "FX", "tel": "PH", "": "PH"}


def telecoms(el: Element, path: str = "telecom") -> tuple[str, ...]:
    """Write telephone, fax and e-mail addresses as XTN (HL7 tables 0201 and 0202); others XTN has no form for."""
    return tuple(filter(None, map(_xtn, all_at(el, path))))


def _xtn(el: Element) -> str | None:
    scheme, colon, address = clean(el.get("value")).partition(":")
    if not colon:  # seen in the field: a bare number, though TEL is a URL
        scheme, address = "", scheme
    scheme, address, use = scheme.lower(), address.removeprefix("//"), el.get("use", "").split()
    if scheme == "mailto" and address:
        return XTN(INTERNET, address=address, use="NET").format()
    if scheme not in _EQUIPMENT or not any(char.isdigit() for char in address):
        return None
    equipment = "CP" if "MC" in use and scheme != "fax" else _EQUIPMENT[scheme]
    return XTN(equipment, address, use=next((_USES[each] for each in use if each in _USES), "")).format()


_AFTER_STREET = ("city", "state", "postalCode", "country")  # XAD.3 to XAD.6


def address(el: Element) -> str | None:
    """Write an address as XAD: street, other designation, city, state, postal code, country, and county as XAD.9."""

    def part(kind: str) -> str:
        return " ".join(filter(None, map(text_of, all_at(el, kind))))

    if not len(el):
        return escape(text_of(el)) or None
    lines = [text_of(each) for kind in ("streetAddressLine", "deliveryAddressLine") for each in all_at(el, kind)]
    street_names = {
        f"{{{V3}}}{kind}" for kind in ("streetName", "houseNumber", "houseNumberNumeric", "additionalLocator")
    }
    lines = lines or [" ".join(text_of(each) for each in el if each.tag in street_names and not is_null(each))]
    parts = [lines[0], ", ".join(lines[1:]), *map(part, _AFTER_STREET), "", "", part("county")]
    return "^".join(map(escape, parts)).rstrip("^") or None


def interval(el: Element, path: str = "effectiveTime") -> tuple[str | None, str | None]:
    """Give low and high of an IVL_TS as written; a single time is both."""
    point = value_at(el, path)
    return value_at(el, f"{path}/low") or point, value_at(el, f"{path}/high") or point
