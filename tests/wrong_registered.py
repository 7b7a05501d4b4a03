"""Wrong submissions: what is registered (docs/conformance.md G21-G38; ITI TF-2 3.42.4.1.3.3)."""

from __future__ import annotations

from tests.actors import Bench
from tests.samples import OTHER_PATIENT, entry, folder, link, submission, submission_set
from tests.wrong import (
    APND,
    DEPRECATED,
    ME,
    NOBODY,
    OTHER,
    OTHER_SHA1,
    RPLC,
    SIGNS,
    SNAPSHOT,
    TAKEN,
    UNIQUE_ID,
    UNRESOLVED,
    XFRM,
    XFRM_RPLC,
    Wrong,
    also,
    by_reference,
    deprecated,
    doc,
    edit,
    fold,
    into_folder,
    known_entry,
    known_folder,
    known_set,
    linked,
    of_other,
    of_registered,
    put,
    registered_entry,
    registered_folder,
    registered_link,
    registered_set,
    transform,
    two_entries,
    unknown,
    used_id,
    with_unique_id_of,
)
from xds.errors import Code
from xds.metadata.model import Identifier, Submission
from xds.metadata.vocabulary import EMPTY_SHA1


def addendum_of_replaced(bench: Bench) -> Submission:
    old, first = registered_entry(bench), entry()
    bench.accept(submission(first, links=(link(first.id, old, APND),)))
    addendum = bench.entry(first.unique_id.value).id
    return submission(entry(id="doc"), entry(id="doc2"), links=(link("doc", old, RPLC), link("doc2", addendum, APND)))


UNIQUENESS = (
    Wrong(
        "G21 two documents with one uniqueId",
        two_entries({"unique_id": Identifier("2.999.7.1")}, {"unique_id": Identifier("2.999.7.1")}),
        Code.XDSRegistryDuplicateUniqueIdInMessage,
        ("2.999.7.1", "doc2"),
        "doc2",
    ),
    Wrong(
        "G21 document and SubmissionSet",
        lambda _: submission(
            entry(unique_id=Identifier("2.999.7.2")), sset=submission_set(unique_id=Identifier("2.999.7.2"))
        ),
        Code.XDSRegistryDuplicateUniqueIdInMessage,
        ("2.999.7.2", "SubmissionSet", "DocumentEntry"),
    ),
    Wrong(
        "G21 Folder and SubmissionSet",
        lambda _: submission(
            folders=(folder(unique_id=Identifier("2.999.7.3")),), sset=submission_set(unique_id=Identifier("2.999.7.3"))
        ),
        Code.XDSRegistryDuplicateUniqueIdInMessage,
        ("2.999.7.3", "SubmissionSet", "Folder"),
    ),
    Wrong(
        "G21 with white space around",
        edit(UNIQUE_ID, put("value", " 2.999.7.4 "), submission(entry(), entry())),
        Code.XDSRegistryDuplicateUniqueIdInMessage,
        ("2.999.7.4",),
    ),
    *(
        Wrong(
            f"G22 a SubmissionSet with the uniqueId of a registered {kind}",
            with_unique_id_of(prepare, "set"),
            Code.XDSDuplicateUniqueIdInRegistry,
            (TAKEN[name], "SubmissionSet set", kind),
            "set",
        )
        for name, kind, prepare in (
            ("entry", "DocumentEntry", known_entry),
            ("set", "SubmissionSet", known_set),
            ("folder", "Folder", known_folder),
        )
    ),
    *(
        Wrong(
            f"G22 a Folder with the uniqueId of a registered {kind}",
            with_unique_id_of(prepare, "folder"),
            Code.XDSDuplicateUniqueIdInRegistry,
            (TAKEN[name], "Folder folder", kind),
            "folder",
        )
        for name, kind, prepare in (
            ("entry", "DocumentEntry", known_entry),
            ("set", "SubmissionSet", known_set),
            ("folder", "Folder", known_folder),
        )
    ),
    Wrong(
        "G23 a document with the uniqueId of a registered SubmissionSet",
        with_unique_id_of(known_set, "doc"),
        Code.XDSDuplicateUniqueIdInRegistry,
        (TAKEN["set"], "SubmissionSet"),
        "doc",
    ),
    Wrong(
        "G23 a document with the uniqueId of a registered Folder",
        with_unique_id_of(known_folder, "doc"),
        Code.XDSDuplicateUniqueIdInRegistry,
        (TAKEN["folder"], "Folder"),
        "doc",
    ),
    Wrong(
        "G24 another hash",
        with_unique_id_of(known_entry, "doc", hash=OTHER_SHA1),
        Code.XDSNonIdenticalHash,
        (TAKEN["entry"], EMPTY_SHA1, OTHER_SHA1),
        "doc",
    ),
    Wrong(
        "G25 another size",
        with_unique_id_of(known_entry, "doc", size="3"),
        Code.XDSNonIdenticalSize,
        (TAKEN["entry"], "found 3"),
        "doc",
    ),
    Wrong(
        "G24 another hash, of another patient",
        lambda bench: submission(
            entry(id="doc", unique_id=known_entry(bench), hash=OTHER_SHA1, patient_id=OTHER),
            sset=submission_set(patient_id=OTHER),
        ),
        Code.XDSNonIdenticalHash,
        (TAKEN["entry"],),
        "doc",
    ),
    Wrong(
        "G24 a size that is no number, of a registered uniqueId",
        with_unique_id_of(known_entry, "doc", size="\u00b2"),
        ME,
        ("size",),
        "doc",
    ),
    Wrong(
        "G24 no hash, of a registered uniqueId",
        with_unique_id_of(known_entry, "doc", hash=None),
        ME,
        ("hash", "missing"),
        "doc",
    ),
    Wrong("G27 the UUID of a registered document", used_id("doc", registered_entry), ME, ("already", "DocumentEntry")),
    Wrong("G27 the same in upper case", used_id("doc", registered_entry, str.upper), ME, ("already", "DocumentEntry")),
    Wrong(
        "G27 a Folder with the UUID of a document",
        used_id("folder", registered_entry),
        ME,
        ("already", "DocumentEntry"),
    ),
    Wrong(
        "G27 a SubmissionSet with the UUID of a SubmissionSet",
        used_id("set", registered_set),
        ME,
        ("already", "SubmissionSet"),
    ),
    Wrong(
        "G27 an association with the UUID of an association",
        used_id("link", registered_link),
        ME,
        ("already", "Association"),
    ),
)

PATIENT_RULES = (
    Wrong(
        "G28 an unknown patient",
        lambda _: submission(entry(id="doc", patient_id=NOBODY), sset=submission_set(id="set", patient_id=NOBODY)),
        Code.XDSUnknownPatientId,
        (NOBODY.value,),
        "set",
    ),
    Wrong(
        "G28 a patient in other letters",
        lambda _: submission(
            entry(patient_id=Identifier("P1^^^&2.999.1.4&ISO")),
            sset=submission_set(id="set", patient_id=Identifier("P1^^^&2.999.1.4&ISO")),
        ),
        Code.XDSUnknownPatientId,
        ("P1^^^&2.999.1.4&ISO",),
        "set",
    ),
    Wrong(
        "G28 a patient of another domain",
        lambda _: submission(
            entry(patient_id=Identifier("p1^^^&2.999.9&ISO")),
            sset=submission_set(id="set", patient_id=Identifier("p1^^^&2.999.9&ISO")),
        ),
        Code.XDSUnknownPatientId,
        ("p1^^^&2.999.9&ISO",),
        "set",
    ),
    Wrong(
        "G29 a document of another patient",
        doc(patient_id=OTHER),
        Code.XDSPatientIdDoesNotMatch,
        (OTHER_PATIENT, "p1^^^"),
        "doc",
    ),
    Wrong(
        "G29 a Folder of another patient",
        fold(patient_id=OTHER),
        Code.XDSPatientIdDoesNotMatch,
        (OTHER_PATIENT, "p1^^^"),
        "folder",
    ),
    Wrong(
        "G29 although unknown",
        doc(patient_id=NOBODY),
        Code.XDSPatientIdDoesNotMatch,
        (NOBODY.value,),
        "doc",
        only=False,
    ),
    Wrong(
        "G30 a document into a Folder of another patient",
        into_folder(lambda bench: registered_folder(bench, patient_id=OTHER)),
        Code.XDSPatientIdDoesNotMatch,
        (OTHER_PATIENT, "p1^^^"),
        "in",
    ),
    Wrong(
        "G30 a registered document into a Folder of another patient",
        into_folder(lambda bench: registered_folder(bench, patient_id=OTHER), registered_entry),
        Code.XDSPatientIdDoesNotMatch,
        (OTHER_PATIENT, "p1^^^"),
        "in",
    ),
    Wrong(
        "G30 both of another patient than the SubmissionSet",
        into_folder(lambda bench: registered_folder(bench, patient_id=OTHER), of_other),
        Code.XDSPatientIdDoesNotMatch,
        (OTHER_PATIENT, "p1^^^"),
        "in",
    ),
    Wrong(
        "G30 a new Folder holds a document of another patient",
        lambda bench: submission(folders=(folder(id="folder"),), links=(link("folder", of_other(bench), id="in"),)),
        Code.XDSPatientIdDoesNotMatch,
        (OTHER_PATIENT,),
        "in",
    ),
    *(
        Wrong(
            f"G31 {type_.name} of another patient's document",
            linked(type_, prepare=of_other),
            Code.XDSPatientIdDoesNotMatch,
            (OTHER_PATIENT, "p1^^^"),
            "to0",
        )
        for type_ in (RPLC, XFRM, APND, XFRM_RPLC, SIGNS)
    ),
)

REGISTRY_STATE = (
    *(
        Wrong(
            f"G33 {type_.name} of nothing",
            linked(type_, prepare=unknown),
            UNRESOLVED,
            ("targetObject", "neither in the message nor registered"),
            "to0",
        )
        for type_ in (RPLC, XFRM, APND, XFRM_RPLC, SIGNS, SNAPSHOT)
    ),
    Wrong(
        "G33 RPLC of a Folder",
        linked(RPLC, prepare=registered_folder),
        UNRESOLVED,
        ("registered Folder", "DocumentEntry"),
        "to0",
    ),
    Wrong(
        "G33 APND to a SubmissionSet",
        linked(APND, prepare=registered_set),
        UNRESOLVED,
        ("registered SubmissionSet", "DocumentEntry"),
        "to0",
    ),
    Wrong(
        "G33 APND to an association",
        linked(APND, prepare=registered_link),
        UNRESOLVED,
        ("registered Association", "DocumentEntry"),
        "to0",
    ),
    Wrong(
        "G33 XFRM of a Folder of the message",
        also(link("doc", "folder", XFRM, id="bad")),
        UNRESOLVED,
        ("folder", "no DocumentEntry"),
        "bad",
    ),
    Wrong(
        "G33 a member by reference of nothing", by_reference(unknown), UNRESOLVED, ("targetObject", "neither"), "ref"
    ),
    Wrong("G33 a Folder by reference", by_reference(registered_folder), UNRESOLVED, ("registered Folder",), "ref"),
    Wrong(
        "G33 an association by reference", by_reference(registered_link), UNRESOLVED, ("registered Association",), "ref"
    ),
    Wrong("G33 into a Folder that is not there", into_folder(unknown), UNRESOLVED, ("sourceObject", "neither"), "in"),
    Wrong(
        "G33 into a document",
        into_folder(registered_entry),
        UNRESOLVED,
        ("sourceObject", "registered DocumentEntry", "Folder"),
        "in",
    ),
    Wrong(
        "G33 into a registered SubmissionSet",
        into_folder(registered_set),
        UNRESOLVED,
        ("sourceObject", "registered SubmissionSet", "Folder"),
        "in",
    ),
    Wrong(
        "G33 a registered SubmissionSet into a Folder",
        into_folder(registered_folder, registered_set),
        UNRESOLVED,
        ("targetObject", "registered SubmissionSet"),
        "in",
    ),
    *(
        Wrong(
            f"G34 {type_.name} within the message",
            two_entries({}, links=(link("doc", "doc2", type_, id="bad"),)),
            UNRESOLVED,
            ("doc2", "already be registered"),
            "bad",
        )
        for type_ in (RPLC, XFRM_RPLC, SNAPSHOT)
    ),
    *(
        Wrong(
            f"G35 {type_.name} of a Deprecated document",
            linked(type_, prepare=deprecated),
            DEPRECATED,
            ("targetObject", "Deprecated"),
            "to0",
        )
        for type_ in (RPLC, XFRM, APND, XFRM_RPLC, SIGNS)
    ),
    Wrong(
        "G35 APND to what the message replaces",
        of_registered(
            lambda old: submission(
                entry(id="doc"), entry(id="doc2"), links=(link("doc", old, RPLC), link("doc2", old, APND))
            ),
            registered_entry,
        ),
        DEPRECATED,
        ("APND", "becomes Deprecated"),
    ),
    Wrong(
        "G35 the replacement is an addendum, too",
        of_registered(
            lambda old: submission(entry(id="doc"), links=(link("doc", old, RPLC), link("doc", old, APND))),
            registered_entry,
        ),
        DEPRECATED,
        ("APND", "becomes Deprecated"),
    ),
    Wrong(
        "G35 APND to an addendum of what the message replaces",
        addendum_of_replaced,
        DEPRECATED,
        ("APND", "becomes Deprecated"),
    ),
    Wrong(
        "G36 a Deprecated document into a Folder",
        into_folder(registered_folder, deprecated),
        DEPRECATED,
        ("targetObject", "Deprecated"),
        "in",
    ),
    Wrong(
        "G36 what the message replaces into a Folder",
        of_registered(
            lambda old, holder: submission(entry(id="doc"), links=(link("doc", old, RPLC), link(holder, old))),
            registered_entry,
            registered_folder,
        ),
        DEPRECATED,
        ("HasMember", "becomes Deprecated"),
    ),
    Wrong(
        "G36 a Deprecated document by reference",
        by_reference(deprecated),
        DEPRECATED,
        ("targetObject", "Deprecated"),
        "ref",
    ),
    Wrong("G37 an addendum to a transform", linked(APND, prepare=transform), ME, ("transform",), "to0"),
    Wrong(
        "G37 an addendum to a transform of the message",
        of_registered(
            lambda old: submission(
                entry(id="doc"), entry(id="doc2"), links=(link("doc", old, XFRM), link("doc2", "doc", APND, id="bad"))
            ),
            registered_entry,
        ),
        ME,
        ("transform",),
        "bad",
    ),
    Wrong(
        "G38 a snapshot of a Stable document", linked(SNAPSHOT, prepare=registered_entry), ME, ("no On-Demand",), "to0"
    ),
)
