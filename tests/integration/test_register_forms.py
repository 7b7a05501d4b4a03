"""ITI-42, what of a right submission is kept, and how it may be written (ITI TF-3 4.2.3.1; ITI TF-2 3.42.4.1.3)."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace

import pytest
from lxml import etree

from tests.actors import Bench
from tests.registering import contents, one, registered, replaced, status, submitted
from tests.samples import (
    OTHER_PATIENT,
    PATIENT,
    REPOSITORY,
    code,
    entry,
    folder,
    link,
    new_oid,
    submission,
    submission_set,
)
from xds.ebxml.rs import encode_submit
from xds.ebxml.xml import Element, parse
from xds.errors import Code
from xds.messages import ReturnType
from xds.metadata.model import Author, DocumentEntry, Identifier, LocalizedString, PatientObject, Slot, Submission
from xds.metadata.vocabulary import (
    ASSOCIATION_TYPE,
    CLASSIFICATION_TYPE,
    EXTERNAL_IDENTIFIER_TYPE,
    REGISTRY_PACKAGE_TYPE,
    RIM,
    STABLE,
    AssociationType,
    AvailabilityStatus,
)

APPROVED, DEPRECATED = AvailabilityStatus
HAS_MEMBER, RPLC, XFRM, APND, XFRM_RPLC, SIGNS, _ = AssociationType
OTHER_SHA1 = "a9993e364706816aba3e25717850c26c9cd0d89d"
UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


# uniqueIds


def test_12004_a_document_comes_again_with_the_same_octets(bench):
    taken = Identifier(new_oid())
    bench.accept(submission(entry(unique_id=taken)))
    bench.accept(submission(entry(unique_id=taken)))
    assert len(bench.find("GetDocuments", XDSDocumentEntryUniqueId=taken.value).entries) == 2


def test_g26_of_a_deprecated_document_of_another_patient_with_an_upper_case_hash(bench):
    taken = Identifier(new_oid())
    old = one(bench, unique_id=taken)
    replaced(bench, old)
    again = entry(unique_id=taken, hash=old.hash.upper(), size="000", patient_id=Identifier(OTHER_PATIENT))
    bench.accept(submission(again, sset=submission_set(patient_id=Identifier(OTHER_PATIENT))))
    refs = bench.query("GetDocuments", ReturnType.OBJECT_REF, XDSDocumentEntryUniqueId=taken.value).refs
    assert len(refs) == 2


def test_unique_ids_that_differ_in_case_are_two(bench):
    stem = new_oid()
    for extension in ("^a", "^A", ""):
        bench.accept(
            submission(entry(unique_id=Identifier(stem + extension), hash=OTHER_SHA1 if extension else "0" * 40))
        )


def test_g41_the_repository_need_not_be_known(bench):
    assert one(bench, repository_unique_id="2.999.123456").repository_unique_id == "2.999.123456"


def test_a_retry_of_a_submission_set_is_told_apart(bench):
    """02 section 8: the second answer tells that the first attempt worked."""
    message = submission(entry())
    bench.accept(message)
    errors = bench.refused(message).errors
    assert {error.code for error in errors} == {Code.XDSDuplicateUniqueIdInRegistry}


# Identifiers and what is stored


FULL = {
    "extra_slots": (Slot("urn:example:colour", ("red", " blue ", "", "red")), Slot("urn:example:none", ())),
    "title": LocalizedString("出院小结 — Entlassbrief", "zh-CN", "GB18030"),
    "comments": LocalizedString("Größe: „groß“ <&>\n\t" + "长" * 4980, "de-DE", "ISO-8859-1"),
    "author": tuple(
        Author(
            person=f"^Author{n}^Änne",
            institutions=("乙医院", "A"),
            roles=("z", "a"),
            extra_slots=(Slot("urn:x", ("1",)),),
        )
        for n in (3, 1, 2)
    ),
    "confidentiality_code": (
        code("R", "restricted", "2.16.840.1.113883.5.25"),
        code("N", "normal", "2.16.840.1.113883.5.25"),
    ),
    "event_code_list": (code("b", "B", "1.2"), code("a", "A", "1.2")),
    "reference_id_list": ("2^^^&1.2&ISO^urn:x", "1^^^&1.2&ISO^urn:x"),
    "source_patient_info": ("PID-5|张^伟", "PID-3|b^^^&1.2&ISO", "PID-3|a^^^&1.2&ISO", "PID-8|M"),
    "home": "urn:oid:2.999.5",
    "is_opaque": "true",
    "hash": OTHER_SHA1.upper(),
    "size": "42",
}


def without_ids(obj: PatientObject) -> PatientObject:
    """An object as it was before registration, as far as its values tell."""
    changed: dict[str, object] = {"id": "", "lid": None, "version": None, "status": None}
    for name in obj.__dataclass_fields__:
        value = getattr(obj, name)
        if isinstance(value, tuple) and value and hasattr(value[0], "id"):
            changed[name] = tuple(replace(part, id=None) for part in value)
        elif hasattr(value, "id"):
            changed[name] = replace(value, id=None)
    if hasattr(obj, "node_id"):
        changed["node_id"] = None
    if hasattr(obj, "last_update_time"):
        changed["last_update_time"] = None
    return replace(obj, **changed)


def test_e12_everything_is_kept_in_its_order(bench):
    sent = entry(**FULL)
    sset = submission_set(
        extra_slots=FULL["extra_slots"],
        comments=FULL["comments"],
        intended_recipient=(
            "|^Wel^Marcus",
            "Some Hospital^^^^^&1.2.3&ISO^^^^45|^Wel^Marcus|^^Internet^mwel@example.org",
        ),
        home="urn:oid:2.999.5",
        author=FULL["author"],
    )
    holder = folder(extra_slots=FULL["extra_slots"], title=FULL["title"], comments=FULL["comments"])
    member = replace(
        link(holder.id, sent.id), extra_slots=FULL["extra_slots"], home="urn:oid:2.999.5", title=FULL["title"]
    )
    bench.accept(submission(sent, folders=(holder,), sset=sset, links=(member,)))
    found = submitted(bench, sset.unique_id.value)
    for before, after in ((sent, found.entries[0]), (sset, found.sets[0]), (holder, found.folders[0])):
        assert without_ids(after) == without_ids(before)
    [kept] = [assoc for assoc in found.links if assoc.source == found.folders[0].id]
    assert (kept.extra_slots, kept.home, kept.title) == (member.extra_slots, member.home, member.title)


def test_e12_a_replaced_document_keeps_everything_but_its_status(bench):
    old = one(bench, **FULL)
    replaced(bench, old)
    assert bench.entry(old.unique_id.value) == replace(old, status=DEPRECATED)


def ids_in(element: Element) -> list[str]:
    names = ("id", "lid", "classifiedObject", "registryObject", "sourceObject", "targetObject")
    return [el.get(name) for el in element.iter() for name in names if el.get(name) is not None]


def served(bench: Bench, unique_id: str) -> Element:
    """The answer to GetSubmissionSetAndContents as XML."""
    response = bench.query("GetSubmissionSetAndContents", XDSSubmissionSetUniqueId=unique_id)
    return parse(b'<l xmlns:rim="%b">%b</l>' % (RIM.encode(), b"".join(obj.body for obj in response.objects)))


def test_e1_symbolic_ids_become_uuids_everywhere(bench):
    document, holder, sset = entry(id="x"), folder(id="x1"), submission_set(id="x11")
    bench.accept(submission(document, folders=(holder,), sset=sset, links=(link("x1", "x"),)))
    root = served(bench, sset.unique_id.value)
    ids = ids_in(root)
    assert all(UUID.fullmatch(id_) for id_ in ids), ids
    own = [el.get("id") for el in root.iter() if el.get("id")]
    assert len(own) == len(set(own))
    for element in root.iter(f"{{{RIM}}}Classification"):
        assert element.get("classifiedObject") == element.getparent().get("id")
    for element in root.iter(f"{{{RIM}}}ExternalIdentifier"):
        assert element.get("registryObject") == element.getparent().get("id")


def test_answers_always_carry_lid_version_status_and_object_types(bench):
    document, holder, sset = entry(), folder(), submission_set()
    bench.accept(submission(document, folders=(holder,), sset=sset, links=(link(holder.id, document.id),)))
    types = {
        "ExtrinsicObject": STABLE,
        "RegistryPackage": REGISTRY_PACKAGE_TYPE,
        "Association": ASSOCIATION_TYPE,
        "Classification": CLASSIFICATION_TYPE,
        "ExternalIdentifier": EXTERNAL_IDENTIFIER_TYPE,
    }
    root = served(bench, sset.unique_id.value)
    for element in root.iter():
        kind = etree.QName(element).localname
        if kind in types:
            assert element.get("objectType") == types[kind]
        if kind in ("ExtrinsicObject", "RegistryPackage", "Association"):
            assert element.get("lid") == element.get("id")
            assert element.get("status") == APPROVED
            assert [el.get("versionName") for el in element.findall(f"{{{RIM}}}VersionInfo")] == ["1"]


def test_e2_submitted_status_and_version_do_not_count(bench):
    sent = entry(status=DEPRECATED, version="7")
    found = one(bench, status=DEPRECATED, version="7", unique_id=sent.unique_id)
    assert (found.status, found.version) == (APPROVED, "1")


def test_submitted_uuids_are_kept_in_lower_case(bench):
    ids = {
        name: f"URN:UUID:{uuid.uuid4()}".upper().replace("URN:UUID", "urn:uuid") for name in ("doc", "fol", "set", "in")
    }
    document, holder = entry(id=ids["doc"], lid=ids["doc"].lower()), folder(id=ids["fol"])
    sset = submission_set(id=ids["set"])
    message = submission(document, folders=(holder,), sset=sset, links=(link(holder.id, document.id, id=ids["in"]),))
    bench.accept(message)
    found = submitted(bench, sset.unique_id.value)
    assert found.entries[0].id == ids["doc"].lower()
    assert found.folders[0].id == ids["fol"].lower()
    assert found.sets[0].id == ids["set"].lower()
    assert ids["in"].lower() in {assoc.id for assoc in found.links}


def test_a_reference_in_upper_case_finds_the_registered_object(bench):
    old, new = one(bench), entry()
    bench.accept(submission(new, links=(link(new.id, old.id.upper(), RPLC),)))
    assert status(bench, old) == [DEPRECATED]


def part_ids(obj: DocumentEntry) -> tuple[str | None, ...]:
    return (obj.class_code.id, obj.author[0].id, obj.unique_id.id)


def with_parts(made: DocumentEntry, ids: tuple[str, str, str]) -> DocumentEntry:
    return replace(
        made,
        class_code=replace(made.class_code, id=ids[0]),
        author=(replace(made.author[0], id=ids[1]),),
        unique_id=replace(made.unique_id, id=ids[2]),
    )


def test_1111_new_uuids_of_parts_are_kept_and_used_ones_replaced(bench):
    ids = tuple(uuid.uuid4().urn for _ in range(3))
    first, second = with_parts(entry(), ids), with_parts(entry(), ids)
    [kept] = registered(bench, first)
    assert part_ids(kept) == ids
    [changed] = registered(bench, second)
    assert not set(part_ids(changed)) & set(ids)
    assert all(UUID.fullmatch(id_) for id_ in part_ids(changed))
    assert part_ids(bench.entry(first.unique_id.value)) == ids


def test_what_a_query_returned_can_be_sent_again_as_a_new_document(bench):
    """A source that changes what it found: the ids we gave to its parts are in use."""
    found = one(bench)
    again = replace(found, id="again", lid=None, unique_id=replace(found.unique_id, value=new_oid()))
    [copy] = registered(bench, again)
    assert not set(part_ids(copy)) & set(part_ids(found))


def test_a_part_with_the_uuid_of_an_object_gets_a_new_one(bench):
    other = one(bench)
    [found] = registered(bench, with_parts(entry(), (other.id, uuid.uuid4().urn, uuid.uuid4().urn)))
    assert found.class_code.id != other.id


def test_15806_the_registered_object_is_as_it_was(bench):
    found = one(bench)
    errors = bench.refused(submission(entry(id=found.id))).errors
    assert [error.code for error in errors] == [Code.XDSRegistryMetadataError]
    assert bench.entry(found.unique_id.value) == found


# Unusual and right


def sent_as(message: Submission, change) -> Element:
    root = parse(encode_submit(message))
    change(root)
    return parse(etree.tostring(root))


def list_of(root: Element) -> Element:
    return root[0]


def object_refs(root):
    for scheme in ("urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a", "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"):
        root[0].insert(0, root.makeelement(f"{{{RIM}}}ObjectRef", {"id": scheme}))


def nodes_beside(root):
    for node in root.xpath("//*[@classificationNode]"):
        root[0].append(node)


def all_classifications_beside(root):
    for node in root.xpath("//*[local-name()='Classification']"):
        root[0].insert(0, node)


def backwards(root):
    root[0][:] = reversed(root[0])


def no_object_types(root):
    for el in root.iter():
        if not el.tag.endswith("ExtrinsicObject"):
            el.attrib.pop("objectType", None)


def empty_slot_list(root):
    root.insert(0, parse(b'<rs:RequestSlotList xmlns:rs="urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"/>'))


def empty_optional_slot(root):
    for value in root.xpath("//*[@name='legalAuthenticator']/*/* | //*[@name='sourcePatientInfo']/*/*"):
        value.getparent().remove(value)


def empty_name(root):
    for string in root.xpath("//*[local-name()='ExtrinsicObject']/*[local-name()='Name']/*"):
        string.getparent().remove(string)


def white_space(root):
    for el in root.iter():
        if not len(el) and el.text is None and el.tag.endswith("ValueList"):
            continue
        if el.tag.endswith("}Value"):
            el.text = f"\n      {el.text}\n    "
        elif len(el):
            el.text = "\n   "
        el.tail = "\n  "


def white_space_around_ids(root):
    for el in root.iter():
        for name in (
            "id",
            "classifiedObject",
            "registryObject",
            "sourceObject",
            "targetObject",
            "classificationScheme",
        ):
            if name in el.attrib:
                el.set(name, f" {el.get(name)} ")


def upper_case_uuids(root):
    for el in root.iter():
        for name in ("classificationScheme", "classificationNode", "identificationScheme", "objectType"):
            if el.get(name, "").startswith("urn:uuid:"):
                el.set(name, "urn:uuid:" + el.get(name)[9:].upper())


def comments_and_instructions(root):
    root[0].insert(0, etree.Comment(" ours "))
    root[0][1].insert(0, etree.ProcessingInstruction("app", "x"))
    for value in root.xpath("//*[@name='languageCode']/*/*"):
        value.text, text = "de", value.text
        value.append(etree.Comment(" - "))
        value[0].tail = text[2:]


def declarative_attributes(root):
    root.set("comment", "to be ignored")
    root.set("id", "request-1")


FORMS = (
    object_refs,
    nodes_beside,
    all_classifications_beside,
    backwards,
    no_object_types,
    empty_slot_list,
    empty_optional_slot,
    empty_name,
    white_space,
    white_space_around_ids,
    upper_case_uuids,
    comments_and_instructions,
    declarative_attributes,
)


@pytest.mark.parametrize("change", FORMS)
def test_unusual_and_legal_forms_are_accepted(bench, change):
    document, holder, sset = entry(), folder(), submission_set()
    message = submission(document, folders=(holder,), sset=sset, links=(link(holder.id, document.id),))
    bench.accept(sent_as(message, change))
    found = submitted(bench, sset.unique_id.value)
    assert (len(found.entries), len(found.folders), len(found.links)) == (1, 1, 4)
    ignored = {"title": None, "legal_authenticator": None, "source_patient_info": ()}
    expected = replace(without_ids(document), **ignored)
    assert replace(without_ids(found.entries[0]), **ignored) == expected


def test_a_submission_with_another_prefix_for_everything(bench):
    message = submission(entry())
    octets = encode_submit(message)
    for old, new in (
        (b"<rim:", b"<"),
        (b"</rim:", b"</"),
        (b"xmlns:rim=", b"xmlns="),
        (b"lcm:Sub", b"x:Sub"),
        (b":lcm=", b":x="),
    ):
        octets = octets.replace(old, new)
    bench.accept(octets)


def test_a_patient_id_with_trailing_empty_components_is_the_same_patient(bench):
    padded = Identifier(PATIENT + "^^^")
    sent = entry(patient_id=padded)
    bench.accept(submission(sent, sset=submission_set()))
    assert bench.entry(sent.unique_id.value).patient_id.value == padded.value


def test_a_submission_set_status_on_a_folder_is_tolerated(bench):
    """Sources put `Original` on every member; TF-3 4.2.2.1.2 asks for none."""
    holder = folder()
    message = submission(folders=(holder,))
    bench.accept(
        replace(message, associations=tuple(replace(a, submission_set_status="Original") for a in message.associations))
    )


def test_a_large_submission(bench):
    documents = [entry() for _ in range(150)]
    holder, sset = folder(), submission_set()
    bench.accept(
        submission(*documents, folders=(holder,), sset=sset, links=tuple(link(holder.id, d.id) for d in documents))
    )
    assert len(contents(bench, holder).entries) == 150
    assert bench.entry(documents[0].unique_id.value).repository_unique_id == REPOSITORY


def test_values_at_their_limits(bench):
    found = one(
        bench,
        unique_id=Identifier(f"2.999.{uuid.uuid4().int}^" + "x" * (256 - 7 - 39)),
        size=str((1 << 63) - 1),
        title=LocalizedString("长" * 128),
        event_code_list=(code("长" * 256, "x" * 256, "1." + "2" * 254),),
        hash=OTHER_SHA1,
    )
    assert found.size == str((1 << 63) - 1)
