"""ITI-18 and ITI-51 on real databases: the SQL finds what the match in memory finds (ITI TF-2 3.18.4.1.2.3.7)."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text, update

from registry.bodies import pack
from registry.codes import CodeCache
from registry.models import code, object_code, patient, registry_object, tables, unique_identifier
from registry.query import QuerySettings, run
from registry.rows import code_keys, code_rows, identifier_row, row
from xds import database
from xds.errors import Code
from xds.messages import AdhocQuery, AdhocQueryResponse, ReturnType
from xds.metadata.model import (
    Association,
    Author,
    DocumentEntry,
    Folder,
    Identifier,
    PatientObject,
    RegistryObject,
    SubmissionSet,
)
from xds.metadata.model import Code as CodedValue
from xds.metadata.vocabulary import ON_DEMAND, STABLE, AssociationType, AvailabilityStatus
from xds.queries.match import Objects, match, single_patient_error
from xds.queries.parse import Query, parse
from xds.queries.table import TABLE, Compare, Need, Parameter, StoredQuery

LEAF, REF = ReturnType.LEAF_CLASS, ReturnType.OBJECT_REF
APPROVED, DEPRECATED = AvailabilityStatus
HAS_MEMBER, RPLC = AssociationType.HAS_MEMBER, AssociationType.RPLC
PATIENTS = tuple(f"p{number}^^^&1.2.3&ISO" for number in range(3))
SUBSUMED, NEVER_FED = "old^^^&1.2.3&ISO", "nobody^^^&1.2.3&ISO"
BY_NAME = {stored.name: stored for stored in TABLE}


# Databases


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def engine(request, tmp_path) -> Iterator[Engine]:
    if request.param == "sqlite":
        made = database.engine(f"sqlite:///{tmp_path}/registry.db")
        tables.create_all(made)
        yield made
        made.dispose()
    else:
        yield from _postgres()


def _postgres() -> Iterator[Engine]:
    url = os.environ.get("XDS_TEST_POSTGRES")
    if not url:
        pytest.skip("XDS_TEST_POSTGRES names no database")
    schema = f"query_{uuid.uuid4().hex}"
    made = create_engine(url, connect_args={"options": f"-c search_path={schema}"})
    with made.begin() as conn:
        conn.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        tables.create_all(made)
        yield made
    finally:
        with made.begin() as conn:
            conn.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        made.dispose()


@dataclass
class Registry:
    """A database with patients and objects, and the cache of its codes."""

    conn: Connection
    codes: CodeCache
    patients: dict[str, int]

    def fill(self, objects: Sequence[RegistryObject]) -> None:
        for table in (object_code, unique_identifier, registry_object):
            self.conn.execute(table.delete())
        if not objects:
            return
        code_ids = self.codes.intern(self.conn, {pair for obj in objects for pair in code_keys(obj)})
        rows, coded, identified = [], [], []
        for number, obj in enumerate(objects):
            owner = self.patients[obj.patient_id.value if isinstance(obj, PatientObject) else PATIENTS[number % 3]]
            rows.append(row(obj, patient=owner, code_ids=code_ids, body=pack(f"<{obj.id}/>")))
            coded += code_rows(obj, patient=owner, code_ids=code_ids)
            if isinstance(obj, PatientObject):
                identified.append(identifier_row(obj, patient=owner, ordinal=number))
        for table, made in ((registry_object, rows), (object_code, coded), (unique_identifier, identified)):
            if made:
                self.conn.execute(insert(table), made)

    def ask(self, query: Query, **settings) -> AdhocQueryResponse:
        return run(self.conn, query, QuerySettings(**settings), self.codes)


@pytest.fixture
def registry(engine) -> Iterator[Registry]:
    with engine.connect() as conn:
        conn.execute(insert(patient), [{"value": value} for value in PATIENTS])
        survivor = conn.scalar(select(patient.c.id).where(patient.c.value == PATIENTS[0]))
        conn.execute(insert(patient), [{"value": SUBSUMED, "survivor": survivor}])
        patients = {value: number for value, number in conn.execute(select(patient.c.value, patient.c.id))}
        conn.commit()
        yield Registry(conn, CodeCache(), patients)
        conn.rollback()


# Objects


def new_id(dice: random.Random) -> str:
    return uuid.UUID(int=dice.getrandbits(128), version=4).urn


def coded(values: Iterable[str]) -> tuple[CodedValue, ...]:
    return tuple(CodedValue(*value.split("^^")) for value in values)


CODES = ("a^^1.2", "b^^1.2", "a^^1.3", "b c'd^^1.3", "caf\u00e9^^1.2")
TIMES = ("2004", "200401", "20040101", "20040131235959", "20041224", "2005", "20050101")
PERSONS = (
    "11^Welby^Marcus^^^Dr^^^&1.2.3&ISO",
    "^Welby^Mary",
    "^O'Brien",
    "^100% sure_thing",
    "^a.b*c(d)[e]{f}|g\\h",
    "^M\u00fcller",
    "^Mu\u0308ller",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
)
PATTERNS = ("%Welby%", "%welby%", "^O'B%", "%", "_Welby^Mary", "%100_%", "%a.b*c(d)[e]{f}|g\\h", "%ü%", "^a_b%", "%a%b")
REFERENCES = ("1^^^&1.2&ISO^urn:x", "1%^^^&1.2&ISO^urn:x", "1_^^^&1.2&ISO^urn:x", "(2)^^^^urn:y")
SOURCES = ("1.2.3.4", "1.2.3.40")
UNIQUE = tuple(f"1.9.{number}" for number in range(6))


def some(dice: random.Random, values: Sequence, most: int, least: int = 0) -> tuple:
    return tuple(dice.choice(values) for _ in range(dice.randint(least, most)))


def authors(dice: random.Random) -> tuple[Author, ...]:
    return tuple(Author(person=dice.choice((*PERSONS, None))) for _ in range(dice.randint(0, 3)))


def common(dice: random.Random) -> dict:
    return {
        "id": new_id(dice),
        "patient_id": Identifier(dice.choice(PATIENTS)),
        "unique_id": Identifier(dice.choice(UNIQUE)),
        "status": dice.choice((APPROVED, APPROVED, DEPRECATED)),
    }


def random_entry(dice: random.Random) -> DocumentEntry:
    class_code, type_code, format_code, setting, facility = coded(dice.choice(CODES) for _ in range(5))
    return DocumentEntry(
        **common(dice),
        object_type=dice.choice((STABLE, STABLE, ON_DEMAND)),
        class_code=class_code,
        type_code=type_code,
        format_code=format_code,
        practice_setting_code=setting,
        healthcare_facility_type_code=facility,
        confidentiality_code=coded(some(dice, CODES, 3, 1)),
        event_code_list=coded(some(dice, CODES, 3)),
        author=authors(dice),
        creation_time=dice.choice(TIMES),
        service_start_time=dice.choice((*TIMES, None, None)),
        service_stop_time=dice.choice((*TIMES, None, None)),
        reference_id_list=some(dice, REFERENCES, 2),
        hash="da39a3ee5e6b4b0d3255bfef95601890afd80709",
        size="0",
    )


def random_set(dice: random.Random) -> SubmissionSet:
    return SubmissionSet(
        **common(dice),
        author=authors(dice),
        content_type_code=coded([dice.choice(CODES)])[0],
        source_id=Identifier(dice.choice(SOURCES)),
        submission_time=dice.choice(TIMES),
    )


def random_folder(dice: random.Random) -> Folder:
    return Folder(**common(dice), code_list=coded(some(dice, CODES, 3, 1)), last_update_time=dice.choice(TIMES))


def random_association(dice: random.Random, objects: Sequence[RegistryObject]) -> Association:
    source, target = dice.choice(objects), dice.choice(objects)
    return Association(
        id=new_id(dice),
        status=dice.choice((APPROVED, DEPRECATED)),
        type=dice.choice((HAS_MEMBER, HAS_MEMBER, HAS_MEMBER, *AssociationType)),
        source=source.id,
        target=target.id,
    )


def random_objects(dice: random.Random) -> list[RegistryObject]:
    """Any objects with any links, far beyond what registration lets in."""
    makers = [random_entry] * 5 + [random_set] * 2 + [random_folder] * 2
    objects: list[RegistryObject] = [dice.choice(makers)(dice) for _ in range(dice.randint(0, 14))]
    for _ in range(dice.randint(0, 24) if objects else 0):
        objects.append(random_association(dice, objects))
    return objects


# Queries


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def adhoc(name: str, return_type: str = LEAF, **parameters: str | Sequence[str]) -> Query:
    """A query in which a text is a single value, a sequence a list, of texts to be quoted."""
    stored = BY_NAME[name]
    slots = tuple(
        ("$" + slot, (quoted(value) if isinstance(value, str) else f"({','.join(map(quoted, value))})",))
        for slot, value in parameters.items()
    )
    return parse(AdhocQuery(stored.id, slots, return_type), stored.transaction)


def candidates(dice: random.Random, parameter: Parameter, objects: Sequence[RegistryObject]) -> Sequence[str]:
    """Values that may hit."""
    match parameter.compare:
        case Compare.PATIENT:
            return (*PATIENTS, *PATIENTS, SUBSUMED, NEVER_FED)
        case Compare.STATUS:
            return (APPROVED, APPROVED, DEPRECATED, "urn:unknown")
        case Compare.CODE | Compare.CODES:
            return (*CODES, *CODES, "z^^1.2", "cafe\u0301^^1.2")
        case Compare.LIKE:
            return PATTERNS
        case Compare.FROM | Compare.TO:
            return TIMES
        case Compare.REFERENCE:
            return REFERENCES
        case Compare.OBJECT_TYPE:
            return (STABLE, ON_DEMAND, "urn:uuid:00000000-0000-0000-0000-000000000000")
        case Compare.ASSOCIATION_TYPE:
            return (*AssociationType, "urn:none")
        case Compare.UNIQUE_ID:
            return (*UNIQUE, "9.9.9")
        case Compare.EXACT:
            return SOURCES
    return [obj.id.upper().replace("URN:UUID", "urn:uuid") for obj in objects] + [new_id(dice)]


def random_slots(
    dice: random.Random, parameter: Parameter, objects: Sequence[RegistryObject]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    values = candidates(dice, parameter, objects)
    for _ in range(dice.choice((1, 1, 2)) if parameter.conjunctive else 1):
        chosen = [quoted(value) for value in some(dice, values, 3 if parameter.many else 1, 1)]
        yield parameter.name, (f"({','.join(chosen)})" if parameter.many else chosen[0],)


def is_asked(dice: random.Random, stored: StoredQuery, parameter: Parameter, one_of: str, any_of: str) -> bool:
    match parameter.need:
        case Need.REQUIRED:
            return True
        case Need.ONE_OF:
            return parameter.name == one_of
        case Need.ANY_OF if parameter.name == any_of:
            return True
    return dice.random() < (0.15 if len(stored.enabled) > 8 else 0.4)


def random_query(dice: random.Random, objects: Sequence[RegistryObject]) -> AdhocQuery | None:
    stored = dice.choice(TABLE)
    one_of, any_of = (dice.choice(stored.groups[need] or ("",)) for need in (Need.ONE_OF, Need.ANY_OF))
    asked = [row for row in stored.enabled if is_asked(dice, stored, row, one_of, any_of)]
    slots = [slot for parameter in asked for slot in random_slots(dice, parameter, objects)]
    for index, (name, values) in enumerate(slots):
        if name.endswith("Status") and APPROVED not in values[0] and DEPRECATED not in values[0]:
            slots[index] = name, (f"('{APPROVED}')",)
    return AdhocQuery(stored.id, tuple(slots), dice.choice((LEAF, LEAF, REF)))


def ids(response: AdhocQueryResponse) -> list[str]:
    return sorted([*response.refs, *(served.id for served in response.objects)])


REGISTRIES, QUERIES = 1000, 8


def test_sql_finds_what_the_match_in_memory_finds(registry):
    """ITI TF-2 3.18.4.1.2.3.7 and 3.51: random registries, random queries."""
    dice = random.Random(20251117)
    asked, found = set(), 0
    for _ in range(REGISTRIES):
        objects = random_objects(dice)
        registry.fill(objects)
        for _ in range(QUERIES):
            sent = random_query(dice, objects)
            transaction = next(row.transaction for row in TABLE if row.id == sent.id)
            query = parse(sent, transaction)
            expected = match(query, Objects(objects))
            refusal = single_patient_error(query, expected)
            response = registry.ask(query)
            assert [error.code for error in response.errors] == ([refusal.code] if refusal else []), sent
            assert ids(response) == ([] if refusal else sorted(entry.id for entry in expected)), sent
            found += bool(expected) and not refusal
            asked |= {query.stored.name} if expected else set()
    assert asked == {stored.name for stored in TABLE}
    assert found > REGISTRIES
