"""ITI-42, what a right submission does to others: seen in what queries return (ITI TF-2 3.42.4.1.3.5; TF-3 4.2.2).

Numbers in the names are those of the NIST conformance tests, E1 to E12 those of docs/conformance.md.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from registry.effects import change
from registry.models import registry_object
from tests.actors import Bench
from tests.registering import contents, one, registered, replaced, set_of, status, submitted
from tests.samples import OTHER_PATIENT, code, entry, folder, link, submission, submission_set
from xds import database
from xds.metadata.model import DocumentEntry, Folder, Identifier
from xds.metadata.vocabulary import AssociationType, AvailabilityStatus

APPROVED, DEPRECATED = AvailabilityStatus
HAS_MEMBER, RPLC, XFRM, APND, XFRM_RPLC, SIGNS, _ = AssociationType
OTHER_SHA1 = "a9993e364706816aba3e25717850c26c9cd0d89d"
UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def old_folder(bench: Bench, *entries: DocumentEntry, stamp: str = "20010101000000", **changes) -> Folder:
    """A registered Folder whose lastUpdateTime lies in the past, so that a stamp is seen."""
    sent = folder(**changes)
    bench.accept(submission(*entries, folders=(sent,), links=tuple(link(sent.id, each.id) for each in entries)))
    found = bench.folder(sent.unique_id.value)
    _backdate(bench, found, stamp)
    return bench.folder(sent.unique_id.value)


def _backdate(bench: Bench, found: Folder, stamp: str) -> None:
    def work(connection):
        which = registry_object.c.id == uuid.UUID(found.id)
        change(connection, which, lambda obj: replace(obj, last_update_time=stamp))

    database.write(bench.engine, work)


def is_now(stamp: str | None) -> bool:
    made = datetime.strptime(stamp or "", "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return abs((datetime.now(UTC) - made).total_seconds()) < 60


# Documents and Folders


def test_11990_one_document(bench):
    sent, sset = entry(), submission_set()
    bench.accept(submission(sent, sset=sset))
    found = submitted(bench, sset.unique_id.value)
    assert (len(found.entries), len(found.sets), len(found.links)) == (1, 1, 1)


def test_11991_two_documents(bench):
    sset = submission_set()
    bench.accept(submission(entry(), entry(), sset=sset))
    found = submitted(bench, sset.unique_id.value)
    assert (len(found.entries), len(found.links)) == (2, 2)
    assert {assoc.submission_set_status for assoc in found.links} == {"Original"}


def test_11999_an_empty_folder(bench):
    sent = folder()
    bench.accept(submission(folders=(sent,)))
    found = contents(bench, sent)
    assert (len(found.folders), len(found.entries), len(found.links)) == (1, 0, 0)


def test_12000_a_folder_with_a_document(bench):
    document, holder, sset = entry(), folder(), submission_set()
    bench.accept(submission(document, folders=(holder,), links=(link(holder.id, document.id),), sset=sset))
    found = contents(bench, holder)
    assert [each.unique_id.value for each in found.entries] == [document.unique_id.value]
    [member] = found.links
    assert (member.source, member.target) == (found.folders[0].id, found.entries[0].id)
    assert len(submitted(bench, sset.unique_id.value).links) == 4


def test_12001_a_document_into_a_registered_folder(bench):
    holder = old_folder(bench)
    document = entry()
    bench.accept(submission(document, links=(link(holder.id, document.id),)))
    found = contents(bench, holder)
    assert [each.unique_id.value for each in found.entries] == [document.unique_id.value]
    assert set_of(bench, found.links[0].id) == set_of(bench, found.entries[0].id)


@pytest.mark.rule("E3", "E4")
def test_12323_submitted_last_update_time_is_discarded_and_every_member_stamps(bench):
    sent = folder(last_update_time="19990101")
    bench.accept(submission(folders=(sent,)))
    assert is_now(bench.folder(sent.unique_id.value).last_update_time)
    holder = old_folder(bench)
    assert holder.last_update_time == "20010101000000"
    document = entry()
    bench.accept(submission(document, links=(link(holder.id, document.id),)))
    assert is_now(bench.folder(holder.unique_id.value).last_update_time)


@pytest.mark.rule("E4")
def test_12326_a_registered_document_into_a_registered_folder(bench):
    holder, document = old_folder(bench), one(bench)
    bench.accept(submission(links=(link(holder.id, document.id),)))
    found = contents(bench, holder)
    assert [each.id for each in found.entries] == [document.id]
    assert is_now(found.folders[0].last_update_time)
    assert len(bench.find("GetSubmissionSets", uuid=document.id).sets) == 1


def test_a_registered_document_into_a_new_folder(bench):
    document, holder = one(bench), folder()
    bench.accept(submission(folders=(holder,), links=(link(holder.id, document.id),)))
    assert [each.id for each in contents(bench, holder).entries] == [document.id]


def test_a_document_in_two_folders_and_twice_in_one(bench):
    document, first, second = entry(), folder(), folder()
    links = (link(first.id, document.id), link(second.id, document.id), link(first.id, document.id))
    bench.accept(submission(document, folders=(first, second), links=links))
    assert len(contents(bench, first).links) == 2
    assert len(contents(bench, second).links) == 1


# Members by reference


def test_a_member_by_reference_changes_nothing_on_the_document(bench):
    document, sset = one(bench), submission_set()
    reference = link(sset.id, document.id, submission_set_status="Reference")
    bench.accept(replace(submission(sset=sset), associations=(reference,)))
    found = submitted(bench, sset.unique_id.value)
    assert [each.id for each in found.entries] == [document.id]
    assert [each.submission_set_status for each in found.links] == ["Reference"]
    assert bench.entry(document.unique_id.value) == document


def test_g32_a_member_by_reference_of_another_patient(bench):
    document = entry(patient_id=Identifier(OTHER_PATIENT))
    bench.accept(submission(document, sset=submission_set(patient_id=Identifier(OTHER_PATIENT))))
    target = bench.entry(document.unique_id.value)
    sset = submission_set()
    bench.accept(
        replace(submission(sset=sset), associations=(link(sset.id, target.id, submission_set_status="Reference"),))
    )
    assert len(bench.links(target.id)) == 2


# Relationships


@pytest.mark.rule("E5")
@pytest.mark.parametrize("type_", [RPLC, XFRM_RPLC], ids=["11992", "11995"])
def test_a_replaced_document_is_deprecated(bench, type_):
    old = one(bench)
    new = replaced(bench, old, type_)
    assert status(bench, old, new) == [DEPRECATED, APPROVED]
    before, after = old, bench.entry(old.unique_id.value)
    assert after == replace(before, status=DEPRECATED)
    [relation] = [assoc for assoc in bench.links(old.id) if assoc.type == type_]
    assert (relation.source, relation.target, relation.status) == (new.id, old.id, APPROVED)


@pytest.mark.parametrize("type_", [XFRM, APND, SIGNS])
def test_e10_other_relationships_leave_the_target_as_it_is(bench, type_):
    holder = folder()
    document = entry()
    [old] = registered(bench, document, folders=(holder,), links=(link(holder.id, document.id),))
    new = replaced(bench, old, type_)
    assert status(bench, old, new) == [APPROVED, APPROVED]
    assert bench.entry(old.unique_id.value) == old
    assert len(contents(bench, holder).entries) == 1


@pytest.mark.parametrize("type_", [XFRM, APND, SIGNS])
def test_relationships_within_a_message(bench, type_):
    one_, two = entry(), entry()
    bench.accept(submission(one_, two, links=(link(two.id, one_.id, type_),)))
    assert status(bench, one_, two) == [APPROVED, APPROVED]


def test_a_transform_of_an_addendum(bench):
    old = one(bench)
    addendum = replaced(bench, old, APND)
    assert status(bench, replaced(bench, addendum, XFRM)) == [APPROVED]


def test_30006_an_addendum_to_a_transform_that_replaces(bench):
    old = one(bench)
    new = replaced(bench, old, XFRM_RPLC)
    assert status(bench, replaced(bench, new, APND)) == [APPROVED]


@pytest.mark.rule("E6")
def test_12022_transforms_and_addenda_are_deprecated_with_their_parent(bench):
    """E6, recursively."""
    old = one(bench)
    transform, addendum = replaced(bench, old, XFRM), replaced(bench, old, APND)
    of_addendum, signature = replaced(bench, addendum, XFRM), replaced(bench, old, SIGNS)
    new = replaced(bench, old)
    family = (old, transform, addendum, of_addendum, signature, new)
    assert status(bench, *family) == [DEPRECATED] * 4 + [APPROVED] * 2


def test_an_addendum_is_replaced_alone(bench):
    old = one(bench)
    addendum = replaced(bench, old, APND)
    new = replaced(bench, addendum)
    assert status(bench, old, addendum, new) == [APPROVED, DEPRECATED, APPROVED]


def test_a_document_and_its_addendum_are_replaced_in_one_message(bench):
    old = one(bench)
    addendum = replaced(bench, old, APND)
    new, new_addendum = entry(), entry()
    links = (
        link(new.id, old.id, RPLC),
        link(new_addendum.id, addendum.id, RPLC),
        link(new_addendum.id, new.id, APND),
    )
    bench.accept(submission(new, new_addendum, links=links))
    assert status(bench, old, addendum, new, new_addendum) == [DEPRECATED, DEPRECATED, APPROVED, APPROVED]


def test_one_document_replaces_two(bench):
    one_, two = one(bench), one(bench)
    new = entry()
    bench.accept(submission(new, links=(link(new.id, one_.id, RPLC), link(new.id, two.id, RPLC))))
    assert status(bench, one_, two, new) == [DEPRECATED, DEPRECATED, APPROVED]


def test_a_chain_of_replacements(bench):
    chain = [one(bench)]
    for _ in range(3):
        chain.append(replaced(bench, chain[-1]))
    assert status(bench, *chain) == [DEPRECATED] * 3 + [APPROVED]


def test_g39_stable_by_stable_with_association_documentation(bench):
    old, new, signed = one(bench), entry(), _documentation(bench)
    bench.accept(submission(new, links=(link(new.id, old.id, RPLC, documentation=signed),)))
    [relation] = [assoc for assoc in bench.links(old.id) if assoc.type == RPLC]
    assert relation.documentation == replace(signed, id=relation.documentation.id)
    assert UUID.fullmatch(relation.documentation.id)


def _documentation(bench):
    (value, scheme), concept = next(iter(bench.registry.affinity.codes["associationDocumentation"].items()))
    return code(value, concept.display, scheme)


# Folder propagation


@pytest.mark.rule("E7")
def test_12327_the_new_document_joins_the_folder(bench):
    document, holder = entry(), folder()
    [old] = registered(bench, document, folders=(holder,), links=(link(holder.id, document.id),))
    _backdate(bench, bench.folder(holder.unique_id.value), "20010101000000")
    new, sset = entry(), submission_set()
    bench.accept(submission(new, links=(link(new.id, old.id, RPLC),), sset=sset))
    found = contents(bench, holder)
    assert {each.unique_id.value: each.status for each in found.entries} == {
        document.unique_id.value: DEPRECATED,
        new.unique_id.value: APPROVED,
    }
    assert len(found.links) == 2
    assert is_now(found.folders[0].last_update_time)
    [added] = [assoc for assoc in found.links if assoc.target != old.id]
    assert set_of(bench, added.id) == submitted(bench, sset.unique_id.value).sets[0].id
    [holding] = [assoc for assoc in bench.links(added.id) if assoc.target == added.id]
    for assoc in (added, holding):
        assert UUID.fullmatch(assoc.id)
        assert (assoc.lid, assoc.version, assoc.status, assoc.type) == (assoc.id, "1", APPROVED, HAS_MEMBER)


def test_e7_every_folder_of_the_replaced_document(bench):
    document, first, second = entry(), folder(), folder()
    [old] = registered(
        bench, document, folders=(first, second), links=(link(first.id, document.id), link(second.id, document.id))
    )
    new = replaced(bench, old)
    assert {each.id for each in bench.find("GetFoldersForDocument", XDSDocumentEntryEntryUUID=new.id).folders} == {
        bench.folder(first.unique_id.value).id,
        bench.folder(second.unique_id.value).id,
    }


def test_e8_the_old_submission_set_keeps_its_contents(bench):
    document, holder, sset = entry(), folder(), submission_set()
    [old] = registered(bench, document, folders=(holder,), links=(link(holder.id, document.id),), sset=sset)
    before = submitted(bench, sset.unique_id.value)
    replaced(bench, old)
    after = submitted(bench, sset.unique_id.value)
    assert {obj.id for obj in after.objects} == {obj.id for obj in before.objects}
    assert after.sets == before.sets
    assert sorted(after.links, key=lambda a: a.id) == sorted(before.links, key=lambda a: a.id)


def test_e9_nothing_is_added_that_the_message_brings(bench):
    document, holder = entry(), folder()
    [old] = registered(bench, document, folders=(holder,), links=(link(holder.id, document.id),))
    registered_holder, new = bench.folder(holder.unique_id.value), entry()
    bench.accept(submission(new, links=(link(new.id, old.id, RPLC), link(registered_holder.id, new.id))))
    assert len(contents(bench, holder).links) == 2


def test_one_document_that_replaces_two_of_one_folder_joins_it_once(bench):
    one_, two, holder = entry(), entry(), folder()
    first, second = registered(
        bench, one_, two, folders=(holder,), links=(link(holder.id, one_.id), link(holder.id, two.id))
    )
    new = entry()
    bench.accept(submission(new, links=(link(new.id, first.id, RPLC), link(new.id, second.id, RPLC))))
    assert (len(contents(bench, holder).entries), len(contents(bench, holder).links)) == (3, 3)


def test_a_chain_of_replacements_stays_in_its_folder(bench):
    document, holder = entry(), folder()
    [old] = registered(bench, document, folders=(holder,), links=(link(holder.id, document.id),))
    newest = replaced(bench, replaced(bench, old))
    found = contents(bench, holder)
    assert (len(found.entries), len(found.links)) == (3, 3)
    assert [each.id for each in found.entries if each.status is APPROVED] == [newest.id]
