"""ITI-42: a wrong submission is refused in the standard's words, and nothing of it stays (ITI TF-2 3.42.4.1.3)."""

from __future__ import annotations

import re

import pytest

from tests.actors import Bench
from tests.samples import OTHER_PATIENT, code, entry, folder, link, new_oid, submission, submission_set
from tests.wrong import APND, ME, NOBODY, OTHER, OTHER_SHA1, RPLC, TAKEN, UNRESOLVED, Wrong, also, known_set, unknown
from tests.wrong_registered import PATIENT_RULES, REGISTRY_STATE, UNIQUENESS
from tests.wrong_structure import STRUCTURE
from tests.wrong_values import REQUIRED, VALUES
from xds.errors import Code
from xds.metadata.model import Identifier, Slot
from xds.metadata.vocabulary import ON_DEMAND

TABLE = (*STRUCTURE, *REQUIRED, *VALUES, *UNIQUENESS, *PATIENT_RULES, *REGISTRY_STATE)


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_a_wrong_submission_is_refused_in_the_standards_words(row: Wrong, bench: Bench) -> None:
    message = row.make(bench)
    errors = bench.refused(message).errors
    found = [error for error in errors if error.code == row.code and all(part in error.context for part in row.says)]
    assert found, [str(error) for error in errors]
    if row.at != "":
        assert row.at in {error.location for error in found}, [str(error) for error in found]
    if row.only:
        assert {error.code for error in errors} == {row.code}, [str(error) for error in errors]
    texts = [error.context for error in errors]
    assert len(texts) == len(set(texts)), "the same is said twice"


def test_no_name_stands_twice() -> None:
    names = [row.name for row in TABLE]
    assert sorted(set(names)) == sorted(names)


def test_every_rule_of_the_digest_has_a_row() -> None:
    """G26, G32, G39 and G41 are permissions: test_register_effects."""
    rules = {int(found[1]) for row in TABLE if (found := re.match(r"G(\d+) ", row.name))}
    assert rules == set(range(1, 41)) - {26, 32, 39}


def test_all_faults_of_a_message_are_named(bench: Bench) -> None:
    wrong = submission(
        entry(id="doc", hash="x", size="y", class_code=code("x", "x", "1.2"), patient_id=OTHER, language_code=None),
        folders=(folder(id="folder", title=None, patient_id=NOBODY),),
        sset=submission_set(id="set", unique_id=known_set(bench), submission_time="yesterday"),
        links=(link("doc", unknown(bench), RPLC, id="rplc"),),
    )
    errors = bench.refused(wrong).errors
    for what, code_, where in (
        ("hash", ME, "doc"),
        ("size", ME, "doc"),
        ("classCode", ME, "doc"),
        ("languageCode", ME, "doc"),
        ("title", ME, "folder"),
        ("submissionTime", ME, "set"),
        (TAKEN["set"], Code.XDSDuplicateUniqueIdInRegistry, "set"),
        (OTHER_PATIENT, Code.XDSPatientIdDoesNotMatch, "doc"),
        (NOBODY.value, Code.XDSUnknownPatientId, "folder"),
        (NOBODY.value, Code.XDSPatientIdDoesNotMatch, "folder"),
        ("targetObject", UNRESOLVED, "rplc"),
    ):
        assert any(what in e.context and e.code == code_ and e.location == where for e in errors), (what, code_)


def test_all_faults_of_the_structure_are_named(bench: Bench) -> None:
    wrong = also(
        link("doc", "ghost", RPLC, id="rplc"),
        link("set", "doc", APND, id="apnd"),
        submission_sets=(submission_set(id="set"), submission_set(id="set2")),
        entries=(entry(id="doc"), entry(id="doc2", object_type=ON_DEMAND)),
    )(bench)
    codes = [(error.code, error.location) for error in bench.refused(wrong).errors]
    for expected in ((UNRESOLVED, "rplc"), (ME, "apnd"), (ME, "set2"), (ME, "doc2")):
        assert expected in codes


def test_what_one_message_holds_twice_of_the_same_hash_is_told_once(bench: Bench) -> None:
    """Three registered entries of one uniqueId, one complaint."""
    taken = Identifier(new_oid())
    for _ in range(3):
        bench.accept(submission(entry(unique_id=taken)))
    errors = bench.refused(submission(entry(unique_id=taken, hash=OTHER_SHA1, size="3"))).errors
    assert [error.code for error in errors] == [Code.XDSNonIdenticalHash, Code.XDSNonIdenticalSize]


def test_the_table_of_slots_is_refused_beyond_the_standard_only(bench: Bench) -> None:
    """Extra metadata is no fault (TF-3 4.2.3.1.6)."""
    bench.accept(submission(entry(extra_slots=(Slot("urn:example:colour", ("red", "blue")), Slot("urn:empty", ())))))


def test_an_object_that_bears_the_nil_uuid_is_one_like_any_other(bench: Bench) -> None:
    other = Identifier(OTHER_PATIENT)
    bench.accept(submission(entry(id="urn:uuid:00000000-0000-0000-0000-000000000000")))
    bench.accept(submission(entry()))
    bench.accept(submission(entry(patient_id=other), sset=submission_set(patient_id=other)))
