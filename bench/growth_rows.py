"""Registered objects by the million: rows as the product would have written them, made fast.

Objects are drawn by `population`, encoded by the product's ebRIM codec and taken apart at what differs from one object
to the next (ids, patient, uniqueId, hash, size, creation time). Filling such a prototype gives the very text the codec
would give (`Prototype.check` compares), and the product packs it. So every body is one the product could have stored,
and the sizes are honest, at a tenth of the cost.

The registry so made has submissions of one to four entries in order of time, patients with a heavy tail of documents,
Folders whose members come in over time, and replacements with the replaced entry Deprecated.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from population import Population, patient_id
from sqlalchemy import Table

from registry import bodies
from registry.identity import new_uuids
from registry.models import object_code, registry_object, unique_identifier
from registry.rows import CodeIds, code_rows, row
from xds.ebxml import rim
from xds.metadata import affinity
from xds.metadata.attributes import OF, Carrier
from xds.metadata.model import Association, Code, DocumentEntry, Identifier, RegistryObject
from xds.metadata.text import nfc
from xds.metadata.vocabulary import AssociationType, AvailabilityStatus

TABLES = (registry_object, object_code, unique_identifier)
COLUMNS = {table.name: tuple(column.name for column in table.columns) for table in TABLES}
RARE = Code("rare", "2.999.1.8")
"""An eventCode that a fixed number of entries has, whatever the size of the registry."""
RARE_ENTRIES = 50
_PER_PATIENT = 10
_BATCH = 2000
_TAIL = 2.0  # the higher, the more the first patients have: patient x of P has N / (2 sqrt(x P)) documents
_REPLACED, _WITH_FOLDER, _IN_FOLDER, _LARGER = 0.05, 0.15, 0.3, 0.2
_HEX = tuple(f"{number:04x}" for number in range(1 << 16))
_ANY_ID = "urn:uuid:00000000-0000-7000-8000-000000000000"

# what a prototype leaves open, as characters no text has
_ID, _PART, _PATIENT, _UNIQUE_ID, _HASH, _SIZE, _CREATED, _SOURCE, _TARGET, _STATUS = (
    chr(0xE000 + n) for n in range(10)
)
_OPEN = re.compile("([\ue000-\ue00f])")


def patients_of(entries: int) -> int:
    """How many patients a registry of so many entries has."""
    return max(1, entries // _PER_PATIENT)


def code_pairs() -> set[tuple[str, str]]:
    """Attribute and `code^^codingScheme` of every code that may be drawn."""
    domain = affinity.default()
    pairs = {("eventCodeList", nfc(RARE.key))}
    for rows in OF.values():
        for attribute in rows:
            if attribute.carrier is Carrier.CLASSIFICATION and attribute.codes:
                known = domain.codes.get(attribute.codes, {})
                pairs |= {(attribute.name, nfc(Code(code, scheme).key)) for code, scheme in known}
    return pairs


class Block:
    """The UUIDs of one submission: the product's, all of one block."""

    def __init__(self) -> None:
        self._prefix = next(new_uuids())[:-4]
        self._number = count()

    def next(self) -> str:
        """One more."""
        return self._prefix + _HEX[next(self._number)]


@dataclass(frozen=True, slots=True)
class Values:
    """What differs from one object to the next."""

    id: str
    patient: int
    unique_id: str = ""
    hash: str = ""
    size: str = ""
    created: str = ""
    source: str = ""
    target: str = ""
    status: AvailabilityStatus = AvailabilityStatus.APPROVED


class Prototype:
    """An object taken apart.

    Args:
        obj: with any UUID as id.
        numbers: of its codes.
    """

    def __init__(self, obj: RegistryObject, numbers: CodeIds) -> None:
        self.obj = replace(obj, id=_ANY_ID, lid=_ANY_ID, version="1", status=AvailabilityStatus.APPROVED)
        written = row(self.obj, patient=0, code_ids=numbers, body=b"")
        self._row = [written[name] for name in COLUMNS[registry_object.name]]
        self._codes = [r["code"] for r in code_rows(self.obj, patient=0, code_ids=numbers)]
        self._kind = int(written["kind"])
        self._pieces = _OPEN.split(rim.encode(_opened(self.obj), lambda _: _PART))
        self._spots: dict[str, list[int]] = {}
        for place in range(1, len(self._pieces), 2):
            self._spots.setdefault(self._pieces[place], []).append(place)

    def text(self, values: Values, block: Block) -> str:
        """The object's ebRIM."""
        pieces = self._pieces.copy()
        cx = patient_id(values.patient).replace("&", "&amp;")
        said = {
            _ID: values.id, _PATIENT: cx, _UNIQUE_ID: values.unique_id, _HASH: values.hash, _SIZE: values.size,
            _CREATED: values.created, _SOURCE: values.source, _TARGET: values.target, _STATUS: values.status.value,
        }  # fmt: skip
        for mark, places in self._spots.items():
            if mark == _PART:
                for place in places:
                    pieces[place] = block.next()
            else:
                for place in places:
                    pieces[place] = said[mark]
        return "".join(pieces)

    def rows(self, values: Values, block: Block) -> tuple[list[Any], list[tuple[Any, ...]], tuple[Any, ...] | None]:
        """The rows of `registry_object`, `object_code` and `unique_identifier`; ids as 32 hex digits."""
        id_ = _digits(values.id)
        filled = self._row.copy()
        filled[0], filled[1], filled[2] = id_, values.patient, id_
        filled[5] = 1 if values.status is AvailabilityStatus.APPROVED else 2
        if values.created:
            filled[12] = values.created
        if values.source:
            filled[-3], filled[-2] = _digits(values.source), _digits(values.target)
        filled[-1] = bodies.pack(self.text(values, block))
        codes = [(code, id_, values.patient) for code in self._codes]
        if not values.unique_id:
            return filled, codes, None
        digest = bytes.fromhex(values.hash) if values.hash else None
        size = int(values.size) if values.size else None
        return filled, codes, (values.unique_id, 0, id_, values.patient, self._kind, digest, size)

    def check(self, values: Values) -> None:
        """Compare with what the codec and `registry.rows` give.

        Raises:
            ValueError: they differ.
        """
        block = Block()
        parts = iter([block.next() for _ in self._spots.get(_PART, [])])
        expected = rim.encode(_closed(self.obj, values), lambda _: next(parts))
        again = Block()
        again._prefix = block._prefix  # noqa: SLF001
        if self.text(values, again) != expected:
            raise ValueError(f"the prototype of a {type(self.obj).__name__} does not give what the codec gives")


def _digits(urn: str) -> str:
    return urn[9:].replace("-", "")


def _opened(obj: RegistryObject) -> RegistryObject:
    """The object with marks in place of what differs."""
    common: dict[str, Any] = {"id": _ID, "lid": _ID, "status": _STATUS}
    if isinstance(obj, Association):
        return replace(obj, **common, source=_SOURCE, target=_TARGET)
    common |= {"patient_id": Identifier(_PATIENT), "unique_id": Identifier(_UNIQUE_ID)}
    if isinstance(obj, DocumentEntry):
        common |= {"hash": _HASH, "size": _SIZE, "creation_time": _CREATED}
    return replace(obj, **common)


def _closed(obj: RegistryObject, values: Values) -> RegistryObject:
    """The object with the values themselves."""
    common: dict[str, Any] = {"id": values.id, "lid": values.id, "status": values.status}
    if isinstance(obj, Association):
        return replace(obj, **common, source=values.source, target=values.target)
    common |= {"patient_id": Identifier(patient_id(values.patient)), "unique_id": Identifier(values.unique_id)}
    if isinstance(obj, DocumentEntry):
        common |= {"hash": values.hash, "size": values.size, "creation_time": values.created}
    return replace(obj, **common)


@dataclass
class Batch:
    """Rows of each table, in the order of its columns; ids as 32 hex digits."""

    objects: list[list[Any]] = field(default_factory=list)
    codes: list[tuple[Any, ...]] = field(default_factory=list)
    identifiers: list[tuple[Any, ...]] = field(default_factory=list)

    def tables(self) -> list[tuple[Table, list[Any]]]:
        """Each table with its rows."""
        return list(zip(TABLES, (self.objects, self.codes, self.identifiers), strict=True))

    def add(self, rows: tuple[list[Any], list[tuple[Any, ...]], tuple[Any, ...] | None]) -> None:
        """Take the rows of one object."""
        self.objects.append(rows[0])
        self.codes.extend(rows[1])
        if rows[2] is not None:
            self.identifiers.append(rows[2])


class History:
    """What happens in a registry over the years, submission by submission.

    Args:
        seed: of this process.
        numbers: of the codes.
        patients: numbers of the patients are 1 to this.
    """

    def __init__(self, seed: int, numbers: Mapping[tuple[str, str], int], patients: int) -> None:
        self._population = Population(seed)
        self._random = random.Random(seed)
        self._patients = patients
        draw = self._population
        any_patient = patient_id(0)
        self._entries = [Prototype(draw.entry("e", any_patient), numbers) for _ in range(1500)]
        self._sets = [Prototype(draw.submission_set("s", any_patient), numbers) for _ in range(400)]
        self._folders = [Prototype(draw.folder("f", any_patient), numbers) for _ in range(60)]
        self._rare = [Prototype(replace(draw.entry("e", any_patient), event_code_list=(RARE,)), numbers)]
        self._member = _link(AssociationType.HAS_MEMBER, numbers, "Original")
        self._plain_member = _link(AssociationType.HAS_MEMBER, numbers)
        self._replacement = _link(AssociationType.RPLC, numbers)
        self._folder_of: dict[int, str] = {}
        self._doomed: dict[int, str] = {}

    def check(self) -> None:
        """Compare some prototypes with the codec."""
        block = Block()
        values = Values(
            block.next(),
            7,
            self._oid(),
            "0" * 40,
            "12",
            "2020",
            block.next(),
            block.next(),
            AvailabilityStatus.DEPRECATED,
        )
        for prototype in (*self._entries[:50], *self._sets[:50], *self._folders, self._member, self._replacement):
            prototype.check(values)

    def batch(self, entries: int, rare: int = 0) -> Batch:
        """Go on for so many entries.

        Args:
            entries: DocumentEntries, with what belongs to them.
            rare: how many of them have the rare code.
        """
        batch, made = Batch(), 0
        while made < entries:
            size = 1 if self._random.random() > _LARGER else self._random.randint(2, 4)
            size = min(size, entries - made)
            self._submission(batch, size, rare=made < rare)
            made += size
        return batch

    def _submission(self, batch: Batch, size: int, *, rare: bool) -> None:
        draw, block = self._random, Block()
        patient = 1 + int(self._patients * draw.random() ** _TAIL)
        sset = block.next()
        batch.add(draw.choice(self._sets).rows(Values(sset, patient, self._oid()), block))
        folder = self._folder(batch, block, sset, patient)
        for _ in range(size):
            entry = self._entry(batch, block, sset, patient, rare=rare)
            if folder and draw.random() < _IN_FOLDER:
                link = self._link(
                    batch, self._plain_member, block, Values(block.next(), patient, source=folder, target=entry)
                )
                self._link(batch, self._plain_member, block, Values(block.next(), patient, source=sset, target=link))

    def _entry(self, batch: Batch, block: Block, sset: str, patient: int, *, rare: bool) -> str:
        draw, id_ = self._random, block.next()
        replaced = self._doomed.pop(patient, None)
        status = AvailabilityStatus.APPROVED
        if replaced is None and draw.random() < _REPLACED:
            self._doomed[patient], status = id_, AvailabilityStatus.DEPRECATED
        values = Values(
            id_,
            patient,
            self._oid(),
            f"{draw.getrandbits(160):040x}",
            str(draw.randrange(2000, 900_000)),
            self._population.time(),
            status=status,
        )
        batch.add(draw.choice(self._rare if rare else self._entries).rows(values, block))
        self._link(batch, self._member, block, Values(block.next(), patient, source=sset, target=id_))
        if replaced is not None:
            self._link(batch, self._replacement, block, Values(block.next(), patient, source=id_, target=replaced))
        return id_

    def _folder(self, batch: Batch, block: Block, sset: str, patient: int) -> str | None:
        if patient not in self._folder_of and self._random.random() < _WITH_FOLDER:
            folder = self._folder_of[patient] = block.next()
            batch.add(self._random.choice(self._folders).rows(Values(folder, patient, self._oid()), block))
            self._link(batch, self._plain_member, block, Values(block.next(), patient, source=sset, target=folder))
        return self._folder_of.get(patient)

    def _link(self, batch: Batch, kind: Prototype, block: Block, ends: Values) -> str:
        batch.add(kind.rows(ends, block))
        return ends.id

    def _oid(self) -> str:
        return f"2.25.{self._random.randrange(10**38, 3 * 10**38)}"


def _link(type_: AssociationType, numbers: CodeIds, set_status: str | None = None) -> Prototype:
    link = Association(id=_ANY_ID, type=type_, source=_ANY_ID, target=_ANY_ID, submission_set_status=set_status)
    return Prototype(link, numbers)


def batches(history: History, entries: int, rare: int) -> Iterator[Batch]:
    """A process's share: so many entries in batches, some of them with the rare code."""
    history.check()
    while entries > 0:
        yield history.batch(min(_BATCH, entries), rare)
        entries -= _BATCH
        rare = 0
