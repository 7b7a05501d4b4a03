"""Realistic registry objects, drawn at random: what the benchmark submits, and what the growth loader fills tables of.

Codes come from the affinity domain that ships with xds, frequent ones more often; persons, institutions, titles and
times vary as they do between sources, so that packed bodies have an honest size. Everything follows from one seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from xds.metadata import affinity
from xds.metadata.affinity import AffinityDomain, CodeType
from xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    Identifier,
    LocalizedString,
    Submission,
    SubmissionSet,
)
from xds.metadata.vocabulary import AssociationType

AUTHORITY = "2.999.1.4"
REPOSITORY = "2.999.1.77"
HAS_MEMBER = AssociationType.HAS_MEMBER

_FAMILY = (
    "Müller", "Schmidt", "Schneider", "Fischer", "Weber", "Becker", "Garcia", "Martínez", "Rossi", "Novák",
    "Kowalska", "Öztürk", "王", "李", "张",
)  # fmt: skip
_GIVEN = (
    "Anna", "Änne", "Paul", "Marie", "Jonas", "Emma", "Luca", "Sofía", "Mehmet", "Jana", "Petr", "Giulia", "Olga",
    "Ivan", "伟", "芳", "敏",
)  # fmt: skip
_TOWNS = (
    "Nord", "Süd", "West", "Ost", "Altstadt", "Neustadt", "Seeblick", "Waldheim", "Marienhof", "Rosengarten",
)  # fmt: skip
_UNITS = (
    "Klinikum", "Krankenhaus", "Ambulanz", "Praxis", "Pflegeheim", "Labor", "Radiologie",
)  # fmt: skip
_ROLES = (
    "Attending", "Consultant", "Nurse", "Resident", "Radiologist",
)  # fmt: skip
_LANGUAGES = (
    "de-DE", "de-AT", "en-US", "es-ES", "it-IT", "zh-CN",
)  # fmt: skip
_SEXES = "MFO"
_WITH_EVENTS, _WITH_REFERENCE, _TWO_AUTHORS = 0.4, 0.3, 0.15  # shares of the entries


def patient_id(number: int) -> str:
    """The patientId (CX) of a patient by number; all have one length, so that a message keeps its length."""
    return f"{number:010d}^^^&{AUTHORITY}&ISO"


@dataclass
class Population:
    """A random source of objects.

    Attributes:
        seed: same seed, same objects.
        repository: repositoryUniqueId of the entries.
    """

    seed: int = 1
    repository: str = REPOSITORY
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._people = [self._xcn(number) for number in range(400)]
        self._institutions = [self._xon(number) for number in range(120)]

    @cached_property
    def _codes(self) -> dict[str, tuple[list[Code], list[float]]]:
        """Per CodeType the codes and their cumulated weights: the n-th is n times rarer than the first (Zipf)."""
        return {kind: _weighted(affinity.default(), kind) for kind in CodeType}

    def code(self, kind: CodeType) -> Code:
        """Draw a code, frequent ones more often."""
        codes, weights = self._codes[kind]
        return self.random.choices(codes, cum_weights=weights)[0]

    def codes(self, kind: CodeType, most: int) -> tuple[Code, ...]:
        """Draw up to so many different codes, at least one."""
        drawn = {code.key: code for code in (self.code(kind) for _ in range(self.random.randint(1, most)))}
        return tuple(drawn.values())

    def oid(self) -> str:
        """A fresh uniqueId, an OID of 44 characters."""
        return f"2.25.{self.random.randrange(10**38, 3 * 10**38)}"

    def time(self) -> str:
        """A DTM to the second within ten years."""
        pick = self.random.randrange
        return f"{pick(2016, 2026)}{pick(1, 13):02}{pick(1, 29):02}{pick(24):02}{pick(60):02}{pick(60):02}"

    def entry(self, id_: str, patient: str, unique_id: str | None = None) -> DocumentEntry:
        """Draw a DocumentEntry with every attribute a diligent source sends."""
        draw, created, local = self.random, self.time(), f"{self.random.randrange(10**7):07d}"
        family = draw.choice(_FAMILY)
        kind = self.code(CodeType.TYPE_CODE)
        return DocumentEntry(
            id=id_,
            mime_type="text/xml",
            author=self._authors(),
            class_code=self.code(CodeType.CLASS_CODE),
            confidentiality_code=self.codes(CodeType.CONFIDENTIALITY_CODE, 2),
            creation_time=created,
            event_code_list=self.codes(CodeType.EVENT_CODE_LIST, 3) if draw.random() < _WITH_EVENTS else (),
            format_code=self.code(CodeType.FORMAT_CODE),
            hash=f"{draw.getrandbits(160):040x}",
            healthcare_facility_type_code=self.code(CodeType.HEALTHCARE_FACILITY_TYPE_CODE),
            language_code=draw.choice(_LANGUAGES),
            legal_authenticator=draw.choice(self._people),
            patient_id=Identifier(patient),
            practice_setting_code=self.code(CodeType.PRACTICE_SETTING_CODE),
            reference_id_list=(self._reference(),) if draw.random() < _WITH_REFERENCE else (),
            repository_unique_id=self.repository,
            service_start_time=created[:8],
            service_stop_time=created[:12],
            size=str(draw.randrange(2_000, 900_000)),
            source_patient_id=f"{local}^^^&2.999.1.5&ISO",
            source_patient_info=(
                f"PID-3|{local}^^^&2.999.1.5&ISO",
                f"PID-5|{family}^{draw.choice(_GIVEN)}",
                f"PID-7|{draw.randrange(1925, 2025)}{draw.randrange(1, 13):02}{draw.randrange(1, 29):02}",
                f"PID-8|{draw.choice(_SEXES)}",
            ),
            title=LocalizedString(f"{kind.display.value if kind.display else kind.code} {created[:4]}", "en", "UTF-8"),
            type_code=kind,
            unique_id=Identifier(unique_id or self.oid()),
        )

    def submission_set(self, id_: str, patient: str, unique_id: str | None = None) -> SubmissionSet:
        """Draw a SubmissionSet."""
        return SubmissionSet(
            id=id_,
            author=self._authors(),
            content_type_code=self.code(CodeType.CONTENT_TYPE_CODE),
            patient_id=Identifier(patient),
            source_id=Identifier(f"2.999.1.3.{self.random.randrange(500)}"),
            submission_time=self.time(),
            unique_id=Identifier(unique_id or self.oid()),
        )

    def folder(self, id_: str, patient: str) -> Folder:
        """Draw a Folder as it is registered, with lastUpdateTime."""
        return Folder(
            id=id_,
            code_list=self.codes(CodeType.FOLDER_CODE_LIST, 2),
            last_update_time=self.time(),
            patient_id=Identifier(patient),
            title=LocalizedString(f"Episode {self.time()[:4]}"),
            unique_id=Identifier(self.oid()),
        )

    def submission(self, patient: str, unique_ids: Sequence[str], set_unique_id: str | None = None) -> Submission:
        """Draw a submission as a source sends it: symbolic ids, one entry for each uniqueId."""
        sset = self.submission_set("set", patient, set_unique_id)
        entries = tuple(self.entry(f"doc{number}", patient, value) for number, value in enumerate(unique_ids))
        links = tuple(
            Association(
                id=f"as{number}", type=HAS_MEMBER, source=sset.id, target=entry.id, submission_set_status="Original"
            )
            for number, entry in enumerate(entries)
        )
        return Submission(submission_sets=(sset,), entries=entries, associations=links)

    def _authors(self) -> tuple[Author, ...]:
        draw = self.random
        return tuple(
            Author(
                person=draw.choice(self._people),
                institutions=(draw.choice(self._institutions),),
                roles=(draw.choice(_ROLES),),
                specialties=(draw.choice(_UNITS),),
            )
            for _ in range(1 + (draw.random() < _TWO_AUTHORS))
        )

    def _reference(self) -> str:
        value = f"{self.random.randrange(10**9):09d}"
        return f"{value}^^^&2.999.1.6&ISO^urn:ihe:iti:xds:2013:accession"

    def _xcn(self, number: int) -> str:
        family, given = self.random.choice(_FAMILY), self.random.choice(_GIVEN)
        return f"{11000 + number}^{family}^{given}^^^Dr.^^^&2.999.1.9&ISO"

    def _xon(self, number: int) -> str:
        name = f"{self.random.choice(_UNITS)} {self.random.choice(_TOWNS)}"
        return f"{name}^^^^^&2.999.1.5&ISO^^^^{number}"


def _weighted(domain: AffinityDomain, kind: CodeType) -> tuple[list[Code], list[float]]:
    codes = [
        Code(value, scheme, LocalizedString(concept.display))
        for (value, scheme), concept in domain.codes.get(kind, {}).items()
    ]
    return codes, list(accumulate(1 / rank for rank in range(1, len(codes) + 1)))
