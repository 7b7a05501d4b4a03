"""ITI-18 and ITI-51 on real databases: the SQL finds what the match in memory finds (ITI TF-2 3.18.4.1.2.3.7)."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import Connection, Engine, event, insert, select

from registry.bodies import pack
from registry.codes import CodeCache, intern
from registry.migrations import SCHEMA
from registry.models import Kind, code, object_code, patient, registry_object, tables, unique_identifier
from registry.query import QuerySettings, run
from registry.query_sql import statement
from registry.query_values import DRIVERS, bind
from registry.rows import code_keys, code_rows, identifier_row, kind_of, model_of, row
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
from xds.queries.parse import MAX_VALUES, Query, parse
from xds.queries.table import TABLE, Compare, Need, Parameter, StoredQuery

LEAF, REF = ReturnType.LEAF_CLASS, ReturnType.OBJECT_REF
APPROVED, DEPRECATED = AvailabilityStatus
HAS_MEMBER, RPLC = AssociationType.HAS_MEMBER, AssociationType.RPLC
PATIENTS = tuple(f"p{number}^^^&1.2.3&ISO" for number in range(3))
SUBSUMED, NEVER_FED = "old^^^&1.2.3&ISO", "nobody^^^&1.2.3&ISO"
BY_NAME = {stored.name: stored for stored in TABLE}


# Databases


@pytest.fixture
def engine(new_engine) -> Engine:
    made = new_engine()
    tables.create_all(made)
    return made


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
        code_ids = intern(self.conn, {pair for obj in objects for pair in code_keys(obj)})
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
        patients = dict(conn.execute(select(patient.c.value, patient.c.id)).all())
        conn.commit()
        yield Registry(conn, CodeCache(), patients)
        conn.rollback()


# Objects


def new_id(dice: random.Random) -> str:
    return uuid.UUID(int=dice.getrandbits(128), version=4).urn


def coded(values: Iterable[str]) -> tuple[CodedValue, ...]:
    return tuple(CodedValue(*value.split("^^")) for value in values)


CODES = ("a^^1.2", "b^^1.2", "a^^1.3", "b c'd^^1.3", "\u00e9^^1.2")
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
        "patient_id": Identifier(dice.choice((*PATIENTS, *PATIENTS[:1] * 3))),
        "unique_id": Identifier(dice.choice(UNIQUE)),
        "status": dice.choice((APPROVED, APPROVED, DEPRECATED)),
    }


def random_entry(dice: random.Random) -> DocumentEntry:
    class_code, type_code, format_code, setting, facility = coded(dice.choice(CODES) for _ in range(5))
    return DocumentEntry(
        **common(dice),
        object_type=dice.choice((STABLE, ON_DEMAND)),
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
    """Between any two; half of them from a package, and these often to an association, as SubmissionSets have them."""
    packages = [obj for obj in objects if isinstance(obj, (SubmissionSet, Folder))]
    links = [obj for obj in objects if isinstance(obj, Association)]
    member = dice.random() < 0.5
    return Association(
        id=new_id(dice),
        status=dice.choice((APPROVED, DEPRECATED)),
        type=HAS_MEMBER if member else dice.choice(list(AssociationType)),
        source=dice.choice((member and packages) or objects).id,
        target=dice.choice((member and dice.random() < 0.4 and links) or objects).id,
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


VALUES = {
    Compare.PATIENT: (*PATIENTS, *PATIENTS[:1] * 4, SUBSUMED, NEVER_FED),
    Compare.STATUS: (APPROVED, APPROVED, DEPRECATED, "urn:unknown"),
    Compare.CODE: (*CODES, *CODES, "z^^1.2", "e\u0301^^1.2"),
    Compare.CODES: (*CODES, *CODES, "z^^1.2", "e\u0301^^1.2"),
    Compare.LIKE: PATTERNS,
    Compare.FROM: TIMES,
    Compare.TO: TIMES,
    Compare.REFERENCE: REFERENCES,
    Compare.OBJECT_TYPE: (STABLE, ON_DEMAND, "urn:uuid:00000000-0000-0000-0000-000000000000"),
    Compare.ASSOCIATION_TYPE: (*AssociationType, "urn:none"),
    Compare.UNIQUE_ID: (*UNIQUE, "9.9.9"),
    Compare.EXACT: SOURCES,
}


def candidates(dice: random.Random, parameter: Parameter, objects: Sequence[RegistryObject]) -> Sequence[str]:
    """Values that may hit; UUIDs in upper case."""
    named = [obj.id.upper().replace("URN:UUID", "urn:uuid") for obj in objects]
    return VALUES.get(parameter.compare) or [*named, new_id(dice)]


def random_slots(
    dice: random.Random, parameter: Parameter, objects: Sequence[RegistryObject]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    values = candidates(dice, parameter, objects)
    for _ in range(dice.choice((1, 1, 2)) if parameter.conjunctive else 1):
        chosen = [quoted(value) for value in some(dice, values, dice.choice((3, 3, 20)) if parameter.many else 1, 1)]
        yield parameter.name, (f"({','.join(chosen)})" if parameter.many else chosen[0],)


def is_asked(dice: random.Random, stored: StoredQuery, parameter: Parameter, one_of: str, any_of: str) -> bool:
    match parameter.need:
        case Need.REQUIRED:
            return True
        case Need.ONE_OF:
            return parameter.name == one_of
        case Need.ANY_OF if parameter.name == any_of:
            return True
    return dice.random() < (0.2 if len(stored.enabled) > 8 else 0.4)


def random_query(dice: random.Random, objects: Sequence[RegistryObject]) -> AdhocQuery | None:
    stored = dice.choice(TABLE)
    one_of, any_of = (dice.choice(stored.groups[need] or ("",)) for need in (Need.ONE_OF, Need.ANY_OF))
    asked = [row for row in stored.enabled if is_asked(dice, stored, row, one_of, any_of)]
    slots = [slot for parameter in asked for slot in random_slots(dice, parameter, objects)]
    for index, (name, values) in enumerate(slots):
        if name.endswith("Status") and APPROVED not in values[0] and DEPRECATED not in values[0]:
            slots[index] = name, (f"('{APPROVED}')",)
    return AdhocQuery(stored.id, tuple(slots), dice.choice((LEAF, REF)))


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


# Single cases


def entry(seed: int = 1, **changes) -> DocumentEntry:
    found = random_entry(random.Random(seed))
    fixed = {"status": APPROVED, "object_type": STABLE, "patient_id": Identifier(PATIENTS[0])}
    return replace(found, **{**fixed, **changes})


def find(return_type: str = LEAF, patient_id: str = PATIENTS[0], **parameters) -> Query:
    return adhoc(
        "FindDocuments",
        return_type,
        XDSDocumentEntryPatientId=patient_id,
        XDSDocumentEntryStatus=[APPROVED],
        **parameters,
    )


def codes_of(response: AdhocQueryResponse) -> list[str]:
    return [error.code for error in response.errors]


def test_leaf_class_gives_the_body_as_stored_and_object_ref_only_ids(registry):
    found = entry()
    registry.fill([found])
    leaf, ref = registry.ask(find()), registry.ask(find(REF), home="urn:oid:1.2.3")
    assert [(served.id, served.body) for served in leaf.objects] == [(found.id, f"<{found.id}/>".encode())]
    assert (leaf.refs, leaf.home) == ((), None)
    assert (ref.refs, ref.objects, ref.home) == ((found.id,), (), "urn:oid:1.2.3")


def test_the_home_community_is_on_whole_objects_too(registry):
    registry.fill([entry()])
    (served,) = registry.ask(find(), home="urn:oid:1.2.3").objects
    assert served.body == f'<{served.id} home="urn:oid:1.2.3"/>'.encode()


@pytest.mark.parametrize("patient_id", [SUBSUMED, NEVER_FED])
@pytest.mark.parametrize("settings", [{}, {"unknown_patient": "error"}])
def test_a_patient_never_fed_or_merged_away_finds_nothing(registry, patient_id, settings):
    """Spec 3.18.4.1.2.3.7 with ITI TF-2 3.8, 3.44: empty, or XDSUnknownPatientId if the affinity domain wants it so."""
    registry.fill([entry()])
    response = registry.ask(find(patient_id=patient_id), **settings)
    assert codes_of(response) == ([Code.XDSUnknownPatientId] if settings else [])
    assert ids(response) == []
    assert all(patient_id in error.context for error in response.errors)


def test_a_merged_patient_has_no_data_even_where_rows_still_bear_its_number(registry):
    """A query in the middle of a merge never gives data under the id merged away."""
    registry.fill([entry(patient_id=Identifier(SUBSUMED))])
    assert ids(registry.ask(find(patient_id=SUBSUMED))) == []


def test_known_patients_without_objects_are_no_error(registry):
    registry.fill([])
    assert codes_of(registry.ask(find(), unknown_patient="error")) == []
    documents = adhoc("GetDocuments", XDSDocumentEntryUniqueId=["1.2"])
    assert codes_of(registry.ask(documents, unknown_patient="error")) == []


def test_several_patients_of_which_one_is_unknown(registry):
    """ITI-51 names the unknown patient if that is an error."""
    registry.fill([entry()])
    query = adhoc(
        "FindDocumentsForMultiplePatients",
        XDSDocumentEntryPatientId=[PATIENTS[0], NEVER_FED],
        XDSDocumentEntryStatus=[APPROVED],
    )
    assert len(ids(registry.ask(query))) == 1
    assert codes_of(registry.ask(query, unknown_patient="error")) == [Code.XDSUnknownPatientId]


@pytest.mark.parametrize(
    ("return_type", "settings", "refused"),
    [
        (LEAF, {"max_results": 3}, False),
        (LEAF, {"max_results": 2}, True),
        (REF, {"max_results": 2}, False),
        (REF, {"max_refs": 3}, False),
        (REF, {"max_refs": 2}, True),
    ],
)
def test_too_many_results_are_refused_with_an_empty_list(registry, return_type, settings, refused):
    """ITI TF-3 Table 4.2.4.1-2 XDSTooManyResults; ObjectRef has a bound of its own."""
    registry.fill([entry(seed) for seed in (1, 2, 3)])
    response = registry.ask(find(return_type), **settings)
    assert codes_of(response) == ([Code.XDSTooManyResults] if refused else [])
    assert len(ids(response)) == (0 if refused else 3)


def test_leaf_class_by_identifier_never_mixes_patients(registry):
    """ITI TF-2 3.18.4.1.2.3.7 notes: LeafClass refuses, ObjectRef answers; associations have no patientId."""
    mine, theirs = entry(1), entry(2, patient_id=Identifier(PATIENTS[1]))
    sset = replace(random_set(random.Random(3)), patient_id=Identifier(PATIENTS[0]))
    reference = Association(id=new_id(random.Random(4)), type=HAS_MEMBER, source=sset.id, target=theirs.id)
    registry.fill([mine, theirs, sset, reference])
    both = {"XDSDocumentEntryEntryUUID": [mine.id, theirs.id]}
    assert codes_of(registry.ask(adhoc("GetDocuments", LEAF, **both))) == [Code.XDSResultNotSinglePatient]
    assert ids(registry.ask(adhoc("GetDocuments", REF, **both))) == sorted([mine.id, theirs.id])
    related = adhoc("GetDocumentsAndAssociations", LEAF, XDSDocumentEntryEntryUUID=[theirs.id])
    assert ids(registry.ask(related)) == sorted([theirs.id, reference.id])
    contents = adhoc("GetSubmissionSetAndContents", LEAF, XDSSubmissionSetEntryUUID=sset.id)
    assert codes_of(registry.ask(contents)) == [Code.XDSResultNotSinglePatient]


@pytest.mark.parametrize("number", [1, 2, 3, 10, 11, 9_990])
def test_many_identifiers_fit_one_query(registry, number):
    found = entry()
    registry.fill([found])
    dice = random.Random(5)
    named = [found.id, *(new_id(dice) for _ in range(number - 1))]
    assert ids(registry.ask(adhoc("GetDocuments", XDSDocumentEntryEntryUUID=named))) == [found.id]
    assert ids(registry.ask(adhoc("GetAssociations", uuid=named))) == []
    unique = [found.unique_id.value, *(f"1.2.{n}" for n in range(number - 1))]
    assert ids(registry.ask(adhoc("GetDocuments", XDSDocumentEntryUniqueId=unique))) == [found.id]
    codes = [found.class_code.key, *(f"{n}^^1.2" for n in range(number - 1))]
    assert ids(registry.ask(find(XDSDocumentEntryClassCode=codes))) == [found.id]


def test_the_number_of_values_makes_few_statements(registry, statements):
    """A text of its own for every number would seldom be found prepared."""
    registry.fill([])
    dice = random.Random(8)
    for number in range(1, 41):
        named = [new_id(dice) for _ in range(number)]
        registry.ask(adhoc("GetDocuments", XDSDocumentEntryEntryUUID=named))
    asked = {sent for sent in statements if "SELECT" in sent}
    assert len(asked) == (2 if registry.conn.dialect.name == "postgresql" else 7)


HOSTILE = (*"\"'\\{}?", '\\"', '",', "{a,b}", "a,b", "NULL", "''", " ", "%s", ":a", "$1", "\u00e9", "\\'")


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_values_are_compared_as_they_are_whatever_stands_in_them(registry, number):
    """Alone, and in a list, which PostgreSQL gets as a text of ours."""
    entries = [entry(seed, unique_id=Identifier(f"x{value}x")) for seed, value in enumerate(HOSTILE)]
    registry.fill(entries)
    others = [f"{number}{value}" for value in HOSTILE]
    for values in ([f"x{HOSTILE[number]}x"], [*others, f"x{HOSTILE[number]}x"]):
        found = registry.ask(adhoc("GetDocuments", XDSDocumentEntryUniqueId=values))
        assert ids(found) == [entries[number].id]
    everything = registry.ask(adhoc("GetDocuments", REF, XDSDocumentEntryUniqueId=[f"x{value}x" for value in HOSTILE]))
    assert ids(everything) == sorted(found.id for found in entries)


@pytest.mark.parametrize("value", [*REFERENCES, "1.^^^&1.2&ISO^urn:x", "1^^^&1.2&ISO^urn:"])
def test_reference_ids_are_compared_exactly(registry, value):
    """ITI TF-2 3.18.4.1.2.3.7.14: wildcards and metacharacters are characters, a part of an id is not the id."""
    registry.fill([entry(seed, reference_id_list=REFERENCES[seed : seed + 2]) for seed in range(3)])
    query = adhoc(
        "FindDocumentsByReferenceId",
        XDSDocumentEntryPatientId=PATIENTS[0],
        XDSDocumentEntryStatus=[APPROVED],
        XDSDocumentEntryReferenceIdList=[value],
    )
    expected = sum(value in REFERENCES[seed : seed + 2] for seed in range(3))
    assert len(ids(registry.ask(query))) == expected


def test_a_hostile_like_pattern_does_not_stall(registry):
    """Neither engine goes back and forth over `%a%a%a...`."""
    registry.fill([entry(author=(Author(person="a" * 250),))])
    patterns = ["%a" * 120 + "b", "%" + "_" * 200 + "b", "%".join("_" * 120) + "b"]
    assert ids(registry.ask(find(XDSDocumentEntryAuthorPerson=patterns))) == []


@pytest.fixture
def statements(engine, monkeypatch) -> Iterator[list[str]]:
    sent: list[str] = []
    real = database.rows

    def record(_conn, _cursor, statement, *_):
        sent.append(statement)

    def rows(conn, statement, *parameters):
        sent.append(statement)
        return real(conn, statement, *parameters)

    monkeypatch.setattr(database, "rows", rows)
    event.listen(engine, "before_cursor_execute", record)
    yield sent
    event.remove(engine, "before_cursor_execute", record)


def typical(stored: StoredQuery) -> AdhocQuery:
    """Every parameter a query has, one of a group, with values that may exist."""
    dice = random.Random(6)
    one_of = stored.groups[Need.ONE_OF][:1]
    objects = [entry()]
    asked = [row for row in stored.enabled if row.need is not Need.ONE_OF or row.name in one_of]
    slots = [slot for row in asked for slot in random_slots(dice, row, objects)]
    approved = {name: (f"('{APPROVED}')",) for name, _ in slots if name.endswith("Status")}
    return AdhocQuery(stored.id, tuple((name, approved.get(name, values)) for name, values in slots), LEAF)


@pytest.mark.parametrize("stored", TABLE, ids=lambda stored: stored.name)
def test_one_statement_answers_a_query_and_none_reads_the_whole_table(registry, statements, stored):
    """The second time all codes are known; SQLite's plan must enter `registry_object` by an index."""
    registry.fill([entry(), *random_objects(random.Random(7))])
    registry.conn.commit()
    query = parse(typical(stored), stored.transaction)
    registry.ask(query)
    del statements[:]
    registry.ask(query)
    assert sum("registry_object" in sent for sent in statements) == 1
    if registry.conn.dialect.name == "sqlite":
        plan = explain(registry.conn, statements[-1])
        assert "SEARCH" in plan
        assert "SCAN registry_object" not in plan


@pytest.mark.parametrize("parameter", ["ClassCode", "HealthcareFacilityTypeCode"])
def test_beside_a_patient_no_code_is_searched_for(new_engine, parameter):
    """SQLite would take the index of codes, as the migrations make it, and read everybody's documents with the code."""
    made = new_engine()
    SCHEMA.upgrade(made)
    query = find(**{f"XDSDocumentEntry{parameter}": ["a^^1.2"]})
    with made.connect() as conn:
        shape, _ = bind(conn, query, CodeCache())
        text, _ = statement(conn.dialect.name, query.stored.id, query.return_type, shape)
        if conn.dialect.name == "sqlite":
            assert "ix_registry_object_patient_kind" in explain(conn, text)


def test_whether_a_patient_is_known_is_asked_only_if_nothing_was_found(registry, statements):
    """Where an unknown patient is an error: what was found was found by a patient who is known."""
    registry.fill([entry()])
    for patient_id, asked in ((PATIENTS[0], 1), (PATIENTS[1], 2)):
        del statements[:]
        assert codes_of(registry.ask(find(patient_id=patient_id), unknown_patient="error")) == []
        assert sum("SELECT" in sent for sent in statements) == asked


def explain(conn: Connection, statement: str) -> str:
    cursor = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (None,) * statement.count("?"))
    return "\n".join(str(detail) for *_, detail in cursor)


def test_as_many_values_as_are_accepted_fit_twice_into_a_statement_of_sqlite():
    """32,766 is what SQLite is built with by default."""
    assert [2 * DRIVERS["sqlite"].places(count) <= 32_766 for count in (1, 8192, 8193, MAX_VALUES)] == [True] * 4


# Interned codes

PAIR, OTHER = ("classCode", "new^^1.2"), ("typeCode", "new^^1.2")
PAIR_AS_QUERY = ("classCode", ["new^^1.2"])


def test_interned_codes_keep_their_number_and_unknown_ones_have_none(registry):
    first = intern(registry.conn, [PAIR, OTHER])
    assert first[PAIR] != first[OTHER]
    assert intern(registry.conn, {PAIR}) == {PAIR: first[PAIR]}
    assert registry.codes.ids(registry.conn, "classCode", ["new^^1.2", "none^^1.2"]) == [first[PAIR]]
    assert registry.codes.ids(registry.conn, "formatCode", ["new^^1.2"]) == []


def test_a_code_is_read_once(registry, engine, statements):
    stored = database.write(engine, lambda other: intern(other, [PAIR]))
    assert registry.codes.numbers(engine, {PAIR, OTHER}) == stored
    del statements[:]
    assert registry.codes.numbers(engine, {PAIR}) == stored
    assert registry.codes.ids(registry.conn, *PAIR_AS_QUERY) == [stored[PAIR]]
    assert statements == []


def test_a_code_another_process_inserted_meanwhile_is_taken_over(registry, engine):
    number = database.write(engine, lambda other: intern(other, [PAIR]))[PAIR]
    assert intern(registry.conn, [PAIR, OTHER])[PAIR] == number
    assert registry.conn.execute(select(code.c.id).where(code.c.attribute == "classCode")).scalars().all() == [number]


def test_two_writers_that_bring_one_code_agree_on_its_number(engine):
    """Each in its own thread and transaction, as two requests of one process are; one of the transactions fails."""
    barrier = threading.Barrier(4)

    def register(fails: bool) -> int:
        barrier.wait()
        with engine.connect().execution_options(writes=True) as conn:
            number = intern(conn, [PAIR, OTHER])[PAIR]
            conn.rollback() if fails else conn.commit()
        return number

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(register, (True, False, True, False)))
    with engine.connect() as conn:
        stored = conn.scalar(select(code.c.id).where(code.c.attribute == "classCode"))
        assert {numbers[1], numbers[3]} == {stored}
        assert CodeCache().ids(conn, *PAIR_AS_QUERY) == [stored]


# Rows


def test_a_row_has_every_column_and_keeps_text_in_nfc():
    found = entry(
        author=(Author(person="^Mu\u0308ller"), Author(person="a\nb")), event_code_list=coded(["e\u0301^^1.2"])
    )
    pairs = code_keys(found)
    assert ("eventCodeList", "\u00e9^^1.2") in pairs
    code_ids = {pair: number for number, pair in enumerate(sorted(pairs))}
    made = row(found, patient=7, code_ids=code_ids, body=b"packed")
    assert made.keys() == set(registry_object.c.keys())
    assert made["author_person"] == "\n^M\u00fcller\na b\n"
    assert (made["version"], made["patient"], made["body"], made["on_demand"]) == (1, 7, b"packed", 0)
    assert made["id"] == made["lid"] == uuid.UUID(found.id)
    assert made["class_code"] == code_ids["classCode", found.class_code.key]


def test_a_code_sent_twice_makes_one_row():
    found = entry(event_code_list=coded(["a^^1.2", "a^^1.2"]), confidentiality_code=())
    assert len(code_rows(found, patient=1, code_ids={("eventCodeList", "a^^1.2"): 5})) == 1


def test_an_on_demand_entry_has_no_creation_time_to_compare():
    """ITI TF-2 3.18.4.1.2.3.7.1: conditions on creationTime do not apply to it."""
    found = entry(object_type=ON_DEMAND, creation_time="2004")
    numbers = dict.fromkeys(code_keys(found), 1)
    assert row(found, patient=1, code_ids=numbers, body=b"")["creation_time"] is None
    assert (kind_of(found), model_of(1)) == (Kind.DOCUMENT_ENTRY, DocumentEntry)


def test_a_code_that_is_absent_has_no_number():
    found = entry(type_code=None, author=(), reference_id_list=())
    made = row(found, patient=1, code_ids=dict.fromkeys(code_keys(found), 1), body=b"")
    assert made["class_code"] == 1
    assert made["type_code"] is made["author_person"] is made["reference_id_list"] is None
