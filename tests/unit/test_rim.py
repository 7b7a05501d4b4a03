"""ebRIM codec: nothing is lost, and all legal ways to write a message are read alike (ITI TF-3 4.2.3.1; `rim.xsd`)."""

from __future__ import annotations

import random
import string
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from tests.samples import entry, folder, link, submission, submission_set
from xds.ebxml.rim import SPACE, decode_list, decode_served, decode_submission, encode, encode_submission, normal_id
from xds.ebxml.rs import encode_submit
from xds.ebxml.schema import validate
from xds.ebxml.xml import Element, parse
from xds.errors import Code as ErrorCode
from xds.metadata.attributes import OF, Carrier
from xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    Identifier,
    LocalizedString,
    RegistryObject,
    Slot,
    Submission,
    SubmissionSet,
)
from xds.metadata.vocabulary import ON_DEMAND, RIM, STABLE, AssociationType, AvailabilityStatus

SLOW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

# Objects of any content: whatever XML can carry, beyond what the rules let in

CONTROLS = [chr(code) for code in range(32) if chr(code) not in SPACE]
XML_CHARACTERS = st.characters(blacklist_categories=("Cs",), blacklist_characters=[*CONTROLS, "\ufffe", "\uffff"])
NASTY = st.sampled_from(["&", "<", ">", '"', "'", "]]>", "\r\n", "\t", "\u3000x\xa0", "\u2028", "𠀀", "ä", "<!--", "%"])
TEXT = st.lists(st.one_of(NASTY, st.text(XML_CHARACTERS, max_size=8)), max_size=4).map("".join)
VALUE = TEXT.map(lambda text: text.strip(SPACE))
FILLED = VALUE.filter(bool)
VALUES = st.lists(VALUE, min_size=1, max_size=3).map(tuple)
SYMBOLIC = FILLED.filter(lambda text: normal_id(text) == text)
IDS = st.one_of(st.uuids().map(lambda id_: id_.urn), SYMBOLIC)
PART_IDS = st.one_of(st.none(), IDS)
LOCALIZED = st.builds(
    LocalizedString, TEXT, st.sampled_from([None, "de-DE", "zh"]), st.sampled_from([None, "UTF-8", "GB18030"])
)
EXTRA = st.lists(
    st.builds(
        Slot, FILLED.map("urn:x:".__add__), st.lists(TEXT, max_size=3).map(tuple), st.sampled_from([None, "urn:type"])
    ),
    max_size=2,
    unique_by=lambda slot: slot.name,
).map(tuple)
CODES = st.builds(Code, FILLED, FILLED, LOCALIZED.filter(lambda display: display.value.strip(SPACE)), IDS)
AUTHORS = st.builds(Author, st.one_of(st.none(), FILLED), *[st.one_of(st.just(()), VALUES)] * 4, EXTRA, IDS)
IDENTIFIERS = st.builds(Identifier, VALUE, IDS)


def value_of(row) -> st.SearchStrategy:
    """Any value an attribute's field can have."""
    match row.carrier:
        case Carrier.AUTHOR:
            return st.lists(AUTHORS, max_size=2).map(tuple)
        case Carrier.CLASSIFICATION:
            return st.lists(CODES, max_size=2).map(tuple) if row.many else st.one_of(st.none(), CODES)
        case Carrier.EXTERNAL_IDENTIFIER:
            return st.one_of(st.none(), IDENTIFIERS)
        case Carrier.NAME | Carrier.DESCRIPTION:
            return st.one_of(st.none(), LOCALIZED)
        case Carrier.XML_ATTRIBUTE:
            return st.one_of(st.none(), FILLED)
    return st.one_of(st.just(()), VALUES) if row.many else st.one_of(st.none(), VALUE)


COMMON = {
    "id": IDS,
    "lid": st.one_of(st.none(), IDS),
    "version": st.one_of(st.none(), VALUE),
    "status": st.sampled_from([None, *AvailabilityStatus]),
    "home": st.one_of(st.none(), VALUE),
    "extra_slots": EXTRA,
}


def objects_of(kind, **more) -> st.SearchStrategy:
    return st.builds(kind, **COMMON, **{row.field: value_of(row) for row in OF[kind]}, **more)


ENTRIES = objects_of(
    DocumentEntry,
    object_type=st.sampled_from([STABLE, ON_DEMAND, ""]),
    is_opaque=st.sampled_from([None, "true", "false"]),
)
SETS, FOLDERS = objects_of(SubmissionSet, node_id=IDS), objects_of(Folder, node_id=IDS)
LINKS = st.builds(
    Association,
    **COMMON,
    type=st.one_of(st.sampled_from(AssociationType), FILLED),
    source=IDS,
    target=IDS,
    submission_set_status=st.one_of(st.none(), VALUE),
    documentation=st.one_of(st.none(), CODES),
    title=st.one_of(st.none(), LOCALIZED),
    comments=st.one_of(st.none(), LOCALIZED),
)
OBJECTS = st.one_of(ENTRIES, SETS, FOLDERS, LINKS)


def as_list(content: str, prefix: str = "rim") -> Element:
    return parse(f'<{prefix}:L xmlns:{prefix}="{RIM}">{content}</{prefix}:L>'.encode())


@SLOW
@given(OBJECTS)
def test_encode_then_decode_is_identity(obj: RegistryObject) -> None:
    decoded, report = decode_list(as_list(encode(obj)))
    assert list(decoded.objects) == [obj]
    assert report == []


@SLOW
@given(OBJECTS)
def test_what_was_decoded_is_encoded_alike(obj: RegistryObject) -> None:
    """A body that is rewritten because its status changes keeps everything else (ITI TF-2 3.42.4.1.3.5)."""
    body = encode(obj)
    assert encode(decode_served(body.encode())) == body


def test_what_serves_as_no_object_is_told() -> None:
    with pytest.raises(ValueError, match="no registry object"):
        decode_served(b'<rim:ObjectRef id="x"/>')


SUBMISSION = submission(
    entry(id="doc", title=None, extra_slots=(Slot("urn:x", ("b", " a ", "")),)),
    folders=(folder(id="folder"),),
    links=(link("folder", "doc", id="in"),),
    sset=submission_set(id="set", intended_recipient=("|^Wel^Marcus",)),
)


def tree() -> Element:
    return parse(encode_submit(SUBMISSION))


EXPECTED, _ = decode_submission(tree())


def any_prefix(root: Element, dice: random.Random) -> Element:
    prefix = "".join(dice.choices(string.ascii_letters, k=dice.randint(1, 6)))
    text = etree.tostring(root, encoding="unicode")
    for old in ("<rim:", "</rim:", "xmlns:rim="):
        text = text.replace(old, old.replace("rim", prefix))
    return parse(text.encode())


def no_prefix(root: Element, _dice: random.Random) -> Element:
    text = etree.tostring(root, encoding="unicode")
    return parse(text.replace("<rim:", "<").replace("</rim:", "</").replace("xmlns:rim=", "xmlns=").encode())


def any_order(root: Element, dice: random.Random) -> Element:
    """Objects in any order; inside an object the schema has an order between kinds, not within one."""
    objects = root[0]
    for element in (objects, *objects):
        dice.shuffle(children := list(element))
        rank = {child.tag: at for at, child in enumerate(element)} if element is not objects else {}
        element[:] = sorted(children, key=lambda child: rank.get(child.tag, 0)) if rank else children
    return root


def white_space(root: Element, dice: random.Random) -> Element:
    """Around every value but those of extra metadata, which are kept as sent."""
    kept = root.xpath("//rim:Slot[@name='urn:x']//rim:Value", namespaces={"rim": RIM})
    for element in root.iter():
        element.tail = dice.choice(["\n", " \t", ""])
        if element not in kept and (len(element) or element.tag.endswith("}Value")):
            element.text = dice.choice(["\n  ", "\t"]) + (element.text or "").strip() + "\r\n"
    return root


def comments_everywhere(root: Element, dice: random.Random) -> Element:
    for element in list(root.iter()):
        if len(element):
            element.insert(dice.randrange(len(element) + 1), etree.Comment(" x "))
            element.insert(0, etree.ProcessingInstruction("x", "y"))
    return root


def beside(root: Element, dice: random.Random) -> Element:
    """Classifications beside their objects, as ebRIM allows."""
    for element in list(root.iter(f"{{{RIM}}}Classification")):
        root[0].insert(dice.randrange(len(root[0])), element)
    return root


def other_letters(root: Element, _dice: random.Random) -> Element:
    for element in root.iter():
        for name, value in element.attrib.items():
            if value.startswith("urn:uuid:"):
                element.set(name, "URN:UUID:" + value[9:].upper())
    return root


CHANGES = (any_prefix, no_prefix, any_order, beside, white_space, other_letters, comments_everywhere)


def bag(sent: Submission) -> list[str]:
    """The objects without regard to order among them, and of attributes with several values, parts and slots."""
    return sorted(repr(normal(obj)) for obj in sent.objects)


def normal(obj: RegistryObject) -> RegistryObject:
    changes: dict[str, object] = {"extra_slots": tuple(sorted(obj.extra_slots, key=repr))}
    for row in OF.get(type(obj), ()):  # type: ignore[call-overload]
        if row.carrier in (Carrier.CLASSIFICATION, Carrier.AUTHOR) and row.many:
            changes[row.field] = tuple(sorted(getattr(obj, row.field), key=repr))
    return replace(obj, **changes)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=4, unique=True), st.integers(0, 1 << 32))
def test_every_way_to_write_a_message_reads_the_same(changes, seed: int) -> None:
    root = tree()
    for change in sorted(changes, key=CHANGES.index):
        root = change(root, random.Random(seed))
    decoded, report = decode_submission(root)
    assert report == []
    assert bag(decoded) == bag(EXPECTED)


def test_order_among_objects_of_a_kind_and_values_is_kept() -> None:
    sent = submission(*(entry(id=f"doc{number}") for number in range(5)))
    decoded, _ = decode_submission(parse(encode_submit(sent)))
    assert [obj.id for obj in decoded.entries] == [f"doc{number}" for number in range(5)]
    assert decoded.entries[0].source_patient_info == sent.entries[0].source_patient_info


def test_what_is_encoded_is_valid_for_the_schema() -> None:
    assert list(validate(tree())) == []


# Faults of the shape


def doubled(path: str) -> list[str]:
    """What is reported when the first element found is there twice."""
    root = tree()
    found = root.xpath(path, namespaces={"rim": RIM})[0]
    double = parse(etree.tostring(found, with_tail=False))
    if double.get("id") is not None:
        double.set("id", "double")
    found.addnext(double)
    _, report = decode_submission(root)
    assert {error.code for error in report} <= {ErrorCode.XDSRegistryMetadataError}
    return [error.context for error in report]


DOC = "//rim:ExtrinsicObject"
SINGLE = [row for kind in OF for row in OF[kind] if not row.many and row.carrier is not Carrier.XML_ATTRIBUTE]


def path_of(row) -> str:
    holder = {
        DocumentEntry: "//*[@id='doc']",
        SubmissionSet: "//*[@id='set']",
        Folder: "//*[@id='folder']",
    }[row.of]
    match row.carrier:
        case Carrier.SLOT:
            return f"{holder}/rim:Slot[@name='{row.key}']"
        case Carrier.CLASSIFICATION:
            return f"{holder}/rim:Classification[@classificationScheme='{row.key}']"
        case Carrier.EXTERNAL_IDENTIFIER:
            return f"{holder}/rim:ExternalIdentifier[@identificationScheme='{row.key}']"
    return f"{holder}/rim:{row.carrier}"


@pytest.mark.parametrize("row", SINGLE, ids=[f"{row.of.__name__}.{row.name}" for row in SINGLE])
def test_a_single_attribute_given_twice_is_reported(row) -> None:
    if not tree().xpath(path_of(row), namespaces={"rim": RIM}):
        assert getattr(next(obj for obj in SUBMISSION.packages if isinstance(obj, row.of)), row.field) is None
        return
    assert any("more than once" in problem for problem in doubled(path_of(row)))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (f"{DOC}/rim:Slot[@name='urn:x']", "slot urn:x is given more than once"),
        (f"{DOC}/rim:Slot[@name='sourcePatientInfo']", "slot sourcePatientInfo is given more than once"),
        ("//rim:Slot[@name='authorPerson']", "slot authorPerson is given more than once"),
        ("//rim:Slot[@name='codingScheme']", "codingScheme"),
        ("//rim:Slot[@name='SubmissionSetStatus']", "slot SubmissionSetStatus is given more than once"),
        ("//*[@id='set']/rim:Classification[@classificationNode]", "says what it is is given more than once"),
    ],
)
def test_doubles_are_reported(path: str, says: str) -> None:
    assert any(says in problem for problem in doubled(path))


def report_of(content: str) -> list[tuple[str, str | None]]:
    _, report = decode_list(as_list(content))
    return [(error.context, error.location) for error in report]


def test_a_classification_of_nothing_is_an_unresolved_reference() -> None:
    [error] = decode_list(as_list('<rim:Classification id="c" classifiedObject="ghost" classificationNode="urn:x"/>'))[
        1
    ]
    assert (error.code, error.location) == (ErrorCode.UnresolvedReferenceException, "c")
    assert "'ghost'" in error.context


def test_association_documentation_beside_its_association() -> None:
    documented = link("a", "b", AssociationType.RPLC, id="r", documentation=Code("x", "1.2", LocalizedString("X"), "d"))
    element = as_list(encode(documented))
    element.append(element.find(f".//{{{RIM}}}Classification"))
    decoded, report = decode_list(element)
    assert report == []
    assert list(decoded.objects) == [documented]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("<rim:ValueList><rim:Value> a </rim:Value></rim:ValueList>", "a"),
        ("<rim:ValueList><rim:Value/></rim:ValueList>", ""),
        ("<rim:ValueList><rim:Other>x</rim:Other></rim:ValueList>", None),
        ("<rim:ValueList/>", None),
        ("", None),
        ("<rim:ValueList/><rim:ValueList><rim:Value>a</rim:Value></rim:ValueList>", "a"),
    ],
)
def test_the_value_of_a_slot_is_found_wherever_its_list_has_it(listed: str, expected: str | None) -> None:
    slot = f'<rim:Slot name="hash">{listed}</rim:Slot>'
    [found] = decode_list(as_list(f'<rim:ExtrinsicObject id="doc">{slot}</rim:ExtrinsicObject>'))[0].entries
    assert found.hash == expected


def test_a_slot_given_twice_is_reported_even_if_the_first_has_no_value() -> None:
    slot = '<rim:Slot name="hash"><rim:ValueList/></rim:Slot>'
    [(problem, _)] = report_of(f'<rim:ExtrinsicObject id="doc">{slot * 2}</rim:ExtrinsicObject>')
    assert problem == "DocumentEntry doc: slot hash is given more than once"


@pytest.mark.parametrize(
    ("name", "display"),
    [
        ('<rim:LocalizedString value="A"/>', LocalizedString("A")),
        ('<rim:LocalizedString value="A"/><rim:LocalizedString value="B"/>', LocalizedString("A")),
        ('<rim:Other/><rim:LocalizedString value="B"/>', LocalizedString("B")),
        ("<rim:Other/>", None),
        ("", None),
    ],
)
def test_the_display_of_a_code_is_the_first_string_of_its_name(name: str, display: LocalizedString | None) -> None:
    element = as_list(encode(entry(class_code=Code("c", "1.2", LocalizedString("x")))))
    classification = element.find(f".//{{{RIM}}}Classification[@nodeRepresentation='c']")
    classification.replace(classification[1], as_list(f"<rim:Name>{name}</rim:Name>")[0])
    [found] = decode_list(element)[0].entries
    assert found.class_code.display == display


def test_a_coded_attribute_has_no_slot_but_its_scheme() -> None:
    element = as_list(encode(entry(class_code=Code("c", "1.2", LocalizedString("x")))))
    element.find(f".//{{{RIM}}}Classification[@nodeRepresentation='c']/{{{RIM}}}Slot").set("name", "colour")
    problems = [error.context.partition("classCode: ")[2] for error in decode_list(element)[1]]
    assert problems == [
        "the slot 'colour' is not defined for a coded attribute",
        "the slot codingScheme is missing or empty",
    ]


def test_an_object_is_revised_as_by_replace() -> None:
    first = entry(home="urn:oid:1.2")
    assert first.revised(id="b", lid="b") == replace(first, id="b", lid="b")
    assert DocumentEntry.of({"id": "a"}) == DocumentEntry(id="a")


def test_a_list_holds_objects_of_xds_only() -> None:
    assert report_of('<rim:Service id="s"/><rim:ObjectRef id="r"/>') == [("a RegistryObjectList holds no Service", "s")]


def test_an_object_without_anything_is_decoded() -> None:
    decoded, report = decode_list(as_list("<rim:ExtrinsicObject/><rim:Association/>"))
    assert [obj.id for obj in decoded.objects] == ["", ""]
    assert report == []


def test_a_submission_without_list() -> None:
    assert decode_submission(parse(b"<x/>")) == (Submission(), [])


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("doc1", "doc1"),
        (" Doc 1\n", "Doc 1"),
        ("URN:UUID:0C6DC2A0-0F6C-4F0A-8B9A-6F0A3D3B0001", "urn:uuid:0c6dc2a0-0f6c-4f0a-8b9a-6f0a3d3b0001"),
        ("urn:oid:1.2.A", "urn:oid:1.2.A"),
        ("", ""),
    ],
)
def test_ids_are_compared_without_letter_case_if_they_are_uuids(sent: str, expected: str) -> None:
    assert normal_id(sent) == expected


def test_parts_without_id_get_different_symbolic_ones() -> None:
    root = as_list(encode_submission(submission(entry(), entry())))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_ids_for_parts_can_be_given() -> None:
    written = encode(entry(), lambda id_: f"{id_ or 'new'}-given")
    assert 'id="part-' not in written
    assert 'id="new-given"' in written


def test_only_objects_of_the_registry_are_encoded() -> None:
    with pytest.raises(TypeError):
        encode(RegistryObject(id="x"))
