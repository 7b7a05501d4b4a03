"""The rules that need no database (ITI TF-3 4.1.4, 4.2.1.4, 4.2.2): what each finds, and what each lets pass.

How the registry words and places every refusal stands in tests/integration/test_register.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.samples import code, entry, folder, link, submission, submission_set
from xds.ebxml.rim import decode_submission
from xds.ebxml.rs import submit_request
from xds.ebxml.xml import parse
from xds.errors import Code
from xds.metadata import affinity, rules
from xds.metadata.attributes import OF
from xds.metadata.model import Author, DocumentEntry, Folder, Identifier, Submission, SubmissionSet
from xds.metadata.rules import CONTENT, STRUCTURE, Facts, Identified, Message, Registered, check, find
from xds.metadata.vocabulary import EMPTY_SHA1, ON_DEMAND, RIM, SUBMISSION_SET_NODE, AssociationType, AvailabilityStatus

APPROVED, DEPRECATED = AvailabilityStatus
HAS_MEMBER, RPLC, XFRM, APND, XFRM_RPLC, SIGNS, SNAPSHOT = AssociationType
FACTS = Facts(affinity.default())
KNOWN = "urn:uuid:0c6dc2a0-0f6c-4f0a-8b9a-6f0a3d3b0001"
PATIENT = "p1^^^&2.999.1.4&ISO"


def with_ids(sent: Submission) -> Submission:
    """As decoded: every part has an id."""
    return decode_submission(submit_request(sent).element)[0]


def structure(sent: Submission, facts: Facts = FACTS) -> list[str]:
    return [str(error) for error in check(STRUCTURE, Message(with_ids(sent)), facts)]


def content(sent: Submission, **facts) -> list[str]:
    known = {"patients": frozenset({PATIENT}), **facts}
    return [str(error) for error in check(CONTENT, Message(with_ids(sent)), replace(FACTS, **known))]


def test_the_canonical_submission_passes() -> None:
    sent = submission(entry(id="doc"), folders=(folder(id="fol"),), links=(link("fol", "doc"),))
    assert structure(sent) == []
    assert content(sent) == []


def test_every_rule_cites_the_standard() -> None:
    for rule in (*STRUCTURE, *CONTENT):
        assert rule.__doc__, rule
        assert rules.citation(rule), rule.__name__


def test_a_fault_is_named_once() -> None:
    doc = entry(id="doc")
    sent = replace(submission(doc), entries=(doc, doc))
    texts = [finding.error.context for finding in find(STRUCTURE, Message(with_ids(sent)), FACTS)]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize("source", ["set", "fol", "doc", KNOWN])
@pytest.mark.parametrize("target", ["set", "fol", "doc", "in", KNOWN])
@pytest.mark.parametrize("type_", AssociationType)
def test_only_the_links_of_the_standard_pass(source: str, target: str, type_: AssociationType) -> None:
    """Every source with every target and type (Table 4.2.2-1): what passes is what the table has."""
    extra = link(source, target, type_, id="extra")
    if source == "set":
        extra = replace(extra, submission_set_status="Reference" if target == KNOWN else None)
    sent = submission(
        entry(id="doc"),
        folders=(folder(id="fol"),),
        links=(link("fol", "doc", id="in"),),
        sset=submission_set(id="set"),
    )
    holding = (link("set", "extra"),) if type_ == AssociationType.HAS_MEMBER and source in ("fol", KNOWN) else ()
    sent = replace(sent, associations=(*sent.associations, extra, *holding))
    folder_of_registry = source == KNOWN and type_ == AssociationType.HAS_MEMBER
    known = Registered(Folder if folder_of_registry else DocumentEntry, PATIENT, APPROVED, on_demand=type_ == SNAPSHOT)
    faults = structure(sent) or content(sent, registered={KNOWN: known})
    member = type_ == AssociationType.HAS_MEMBER
    legal = (
        (member and source == "set" and target == KNOWN)
        or (member and source in ("fol", KNOWN) and target in ("doc", KNOWN) and source != target)
        or (not member and source == "doc" and target == KNOWN)
    )
    assert (faults == []) == legal, faults


@pytest.mark.parametrize("type_", [XFRM, APND, SIGNS])
def test_some_relationships_may_end_in_the_message(type_: AssociationType) -> None:
    sent = submission(entry(id="one"), entry(id="two"), links=(link("two", "one", type_),))
    assert structure(sent) == []
    assert content(sent) == []


@pytest.mark.parametrize("id_", ["urn:uuid:", "urn:uuid:x", KNOWN.replace("-", ""), f"{KNOWN} ", f"{KNOWN}x"])
def test_ids_and_references_are_well_formed_uuids(id_: str) -> None:
    """Without passing them to a parser that takes more (TF-3 4.2.3.1.5)."""
    message = Message(replace(submission(entry(id="doc"), sset=submission_set(id="set"))))
    message.submission = replace(
        message.submission,
        associations=(*message.submission.associations, link("doc", id_, APND, id="a"), link(id_, "doc", id="b")),
    )
    faults = [str(error) for error in rules.check(STRUCTURE, message, FACTS)]
    assert any("targetObject is no valid UUID" in fault for fault in faults)
    assert any("sourceObject is no valid UUID" in fault for fault in faults)


def test_on_demand_entries_belong_to_iti_61() -> None:
    sent = submission(
        entry(id="doc", object_type=ON_DEMAND, hash=None, size=None, creation_time=None), sset=submission_set(id="set")
    )
    facts = replace(FACTS, on_demand=True, patients=frozenset({PATIENT}))
    message = Message(with_ids(sent))
    assert check(STRUCTURE, message, facts) == []
    assert check(CONTENT, message, facts) == []
    assert [error.code for error in check(STRUCTURE, message, FACTS)] == [Code.XDSRegistryMetadataError]
    stable = Message(with_ids(submission(entry(id="doc"))))
    assert len(check(STRUCTURE, stable, facts)) == 1
    assert len(check(CONTENT, stable, facts)) == 3  # creationTime, hash and size must not be given


@pytest.mark.parametrize(
    ("bearer", "expected"),
    [
        (Identified(DocumentEntry, EMPTY_SHA1, 0), set()),
        (Identified(DocumentEntry, "0" * 40, 0), {Code.XDSNonIdenticalHash}),
        (Identified(DocumentEntry, EMPTY_SHA1, 1), {Code.XDSNonIdenticalSize}),
        (Identified(DocumentEntry, "0" * 40, 1), {Code.XDSNonIdenticalHash, Code.XDSNonIdenticalSize}),
        (Identified(DocumentEntry), {Code.XDSRegistryMetadataError}),
        (Identified(SubmissionSet), {Code.XDSDuplicateUniqueIdInRegistry}),
        (Identified(Folder), {Code.XDSDuplicateUniqueIdInRegistry}),
    ],
)
def test_who_bears_a_unique_id_decides(bearer: Identified, expected: set[Code]) -> None:
    sent = submission(entry(id="doc", unique_id=Identifier("1.2.3")))
    facts = replace(FACTS, patients=frozenset({PATIENT}), identified={"1.2.3": (bearer, bearer)})
    errors = check(CONTENT, Message(with_ids(sent)), facts)
    assert {error.code for error in errors} == expected
    assert len(errors) == len(expected)


def test_an_on_demand_entry_may_come_again() -> None:
    on_demand = entry(object_type=ON_DEMAND, hash=None, size=None, creation_time=None, unique_id=Identifier("1.2.3"))
    facts = {"on_demand": True, "identified": {"1.2.3": (Identified(DocumentEntry),)}}
    assert content(submission(on_demand), **facts) == []
    facts["identified"] = {"1.2.3": (Identified(DocumentEntry, EMPTY_SHA1, 0),)}
    [fault] = content(submission(on_demand), **facts)
    assert "1.2.3 of this On-Demand entry is already that of a Stable one" in fault


def test_a_snapshot_is_of_an_on_demand_entry() -> None:
    """G38."""
    sent = submission(entry(id="doc"), links=(link("doc", KNOWN, SNAPSHOT),))
    on_demand = Registered(DocumentEntry, PATIENT, APPROVED, on_demand=True)
    assert content(sent, registered={KNOWN: on_demand}) == []
    assert len(content(sent, registered={KNOWN: replace(on_demand, on_demand=False)})) == 1


def test_a_reference_may_cross_patients_and_nothing_else_may() -> None:
    """G30 to G32."""
    other = Registered(DocumentEntry, "p2^^^&2.999.1.4&ISO", APPROVED)
    reference = replace(
        submission(sset=submission_set(id="set")),
        associations=(link("set", KNOWN, id="ref", submission_set_status="Reference"),),
    )
    assert content(reference, registered={KNOWN: other}) == []
    for type_ in (RPLC, XFRM, APND, XFRM_RPLC, SIGNS):
        [fault] = content(submission(entry(id="doc"), links=(link("doc", KNOWN, type_),)), registered={KNOWN: other})
        assert fault.startswith("XDSPatientIdDoesNotMatch")


def test_a_deprecated_folder_gains_no_member() -> None:
    """G36."""
    closed = Registered(Folder, PATIENT, DEPRECATED)
    [fault] = content(submission(entry(id="doc"), links=(link(KNOWN, "doc"),)), registered={KNOWN: closed})
    assert fault.startswith("XDSRegistryDeprecatedDocumentError")


# What an affinity domain may close


def closed(kind: str, *pairs: tuple[str, str]) -> affinity.AffinityDomain:
    """The default table with one more CodeType listed."""
    default = affinity.default()
    codes = {**default.codes, kind: {pair: affinity.Concept("x") for pair in pairs}}
    return replace(default, codes=codes, open=default.open - {kind})


def faults_of(sent: Submission, domain: affinity.AffinityDomain) -> list[str]:
    facts = Facts(domain, patients=frozenset({PATIENT}))
    return [error.context for error in check(CONTENT, Message(with_ids(sent)), facts)]


def test_languages_are_checked_where_they_are_listed() -> None:
    sent = submission(entry(id="doc", language_code="fr-CH"))
    assert faults_of(sent, affinity.default()) == []
    assert faults_of(sent, closed("languageCode", ("fr-ch", ""))) == []
    [fault] = faults_of(sent, closed("languageCode", ("de-de", "")))
    assert "languageCode 'fr-CH'" in fault


@pytest.mark.parametrize(("kind", "field"), [("authorRole", "roles"), ("authorSpecialty", "specialties")])
def test_roles_and_specialties_are_checked_where_they_are_listed(kind: str, field: str) -> None:
    domain = closed(kind, ("a", "1.2"))
    for value, known in (
        ("a^^^&1.2&ISO", True),
        ("a", False),
        ("b^^^&1.2&ISO", False),
        ("a^^^&1.3&ISO", False),
    ):
        author = Author(person="^Welby", **{field: (value,)})
        sent = submission(entry(id="doc", author=(author,)))
        assert faults_of(sent, affinity.default()) == []
        assert [f"{kind} {value!r}" in fault for fault in faults_of(sent, domain)] == ([] if known else [True])


def test_an_assigning_authority_that_is_not_ours() -> None:
    domain = replace(affinity.default(), assigning_authorities=frozenset({"2.999.8"}))
    facts = Facts(domain, patients=frozenset({PATIENT}))
    errors = check(CONTENT, Message(with_ids(submission(entry(id="doc"), sset=submission_set(id="set")))), facts)
    assert [(error.code, error.location) for error in errors] == [(Code.XDSUnknownPatientId, "set")]
    assert PATIENT in errors[0].context
    assert "2.999.1.4" in errors[0].context


def test_an_open_code_list_takes_any_code() -> None:
    assert content(submission(entry(id="doc", event_code_list=(code("any", "Any", "1.2.3.4.5"),)))) == []


# What a hostile message may cost


def hostile(xml: str) -> list[str]:
    """The errors of a message made of many small objects; were each compared with each, this would take minutes."""
    listed = f"<r:RegistryObjectList>{xml}</r:RegistryObjectList>"
    element = parse(f'<l:S xmlns:l="urn:l" xmlns:r="{RIM}">{listed}</l:S>'.encode())
    sent, shape = decode_submission(element)
    errors = [*shape, *check(STRUCTURE, Message(sent), FACTS)]
    return [error.context for error in errors]


NODE_XML = f'<r:Classification classifiedObject="s" classificationNode="{SUBMISSION_SET_NODE}"/>'
SET_XML = f'<r:RegistryPackage id="s">{NODE_XML}</r:RegistryPackage>'
MEMBER_XML = f'<r:Association id="a" associationType="{HAS_MEMBER}" sourceObject="s" targetObject="{{}}"/>'


@pytest.mark.parametrize(
    "xml",
    [
        '<r:ExtrinsicObject id="d"/>' * 3000 + MEMBER_XML.format("d") * 3000,
        MEMBER_XML.format("a") * 5000,
        '<r:RegistryPackage id="p"/>' * 3000 + '<r:Classification classifiedObject="p"/>' * 3000,
    ],
    ids=["one id many times", "members of one object", "classifications of one object"],
)
def test_many_objects_of_one_id_cost_no_more_than_they_are(xml: str) -> None:
    assert len(hostile(SET_XML + xml)) < 30_000


def test_a_huge_id_is_not_repeated_in_every_error() -> None:
    huge = "x" * 1_000_000
    schemes = [row.key for row in OF[DocumentEntry] if row.codes]
    codes = "".join(f'<r:Classification classificationScheme="{scheme}"/>' for scheme in schemes)
    texts = hostile(SET_XML + f'<r:ExtrinsicObject id="{huge}" objectType="{huge}">{codes}</r:ExtrinsicObject>')
    assert len(texts) > 20
    assert max(map(len, texts)) <= 1000
