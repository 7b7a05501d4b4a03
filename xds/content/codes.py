"""From the codes of a document to those of an affinity domain (PCC TF-2 4.1 "mapped"; ITI TF-2 3.42.4.1.3.3.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xds.content import formats
from xds.metadata.affinity import CodeType
from xds.metadata.hl7 import CodedString

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from xds.content.cda import CDAHeader
    from xds.content.draft import CodeMap
    from xds.metadata.affinity import AffinityDomain
    from xds.metadata.model import Author, Code


@dataclass(frozen=True, slots=True)
class Codes:
    """Finds for a code of a document the one an affinity domain has.

    Attributes:
        affinity: legal codes; without it any code is known and none is listed.
        maps: `Defaults.maps`.
        notes: gets a sentence where another code is used than the document's.
    """

    affinity: AffinityDomain | None
    maps: Mapping[str, CodeMap]
    notes: list[str]

    def mapped(self, kind: str, code: Code) -> Code:
        """The code the settings' map has for this one, else the same."""
        return self.maps.get(kind, {}).get(code.key, code)

    def is_known(self, kind: str, code: Code) -> bool:
        """Whether a registry will take it."""
        return self.affinity is None or self.affinity.is_known(kind, code.code, code.scheme)

    def is_listed(self, kind: str, code: Code) -> bool:
        """Whether the table has it, which says more than that anything is legal."""
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

    def choose_each(self, kind: str, items: Iterable[tuple[Code, ...]]) -> tuple[Code, ...]:
        """Choose for several coded things, each with its translations; what comes twice is named once."""
        return tuple(dict.fromkeys(filter(None, (self.choose(kind, each) for each in items))))

    def type_of(self, candidates: tuple[Code, ...]) -> Code | None:
        """Choose the typeCode, if need be a more general one (`formats.GENERAL_TYPES`)."""
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
        """Derive the classCode: by the settings' map, the IHE class where the domain has these, or the same code."""
        kind = CodeType.CLASS_CODE
        for code in types:
            if mapped := self.maps.get(kind, {}).get(code.key):
                return mapped
            general = formats.GENERAL_TYPES.get(code.key, code)
            for found in (formats.CLASSES.get(general.key), code):
                if found and self.is_listed(kind, found):
                    return found
        return None

    def format_of(self, header: CDAHeader) -> Code | None:
        """Choose the formatCode by templates and kind of body."""
        proposals = formats.format_codes(header.template_ids, header.embedded)
        return self.choose(CodeType.FORMAT_CODE, tuple(map(self._with_scheme_of_domain, proposals)))

    def _with_scheme_of_domain(self, code: Code) -> Code:
        """Affinity domains put HL7's format codes under different OIDs, so the code alone is looked for."""
        listed = self.affinity.codes.get(CodeType.FORMAT_CODE, {}) if self.affinity else {}
        schemes = [scheme for known, scheme in listed if known == code.code]
        return code if code.scheme in schemes or not schemes else replace(code, scheme=schemes[0])

    def author(self, author: Author) -> Author:
        """Map the roles and specialties of an author."""
        return replace(
            author,
            roles=tuple(self._text(CodeType.AUTHOR_ROLE, each) for each in author.roles),
            specialties=tuple(self._text(CodeType.AUTHOR_SPECIALTY, each) for each in author.specialties),
        )

    def _text(self, kind: str, text: str) -> str:
        read = CodedString.parse(text)
        mapped = self.maps.get(kind, {}).get(f"{read.code}^^{read.scheme}" if read.scheme else read.code)
        return CodedString(mapped.code, mapped.scheme).format() if mapped else text
