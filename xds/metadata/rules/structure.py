"""Structure: what the message alone must be (ITI TF-3 4.1.4, 4.2.1.4, 4.2.2). A fault here ends the examination."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from xds.errors import Code, XDSError
from xds.metadata.datatypes import DATATYPES
from xds.metadata.model import Association, DocumentEntry, Folder, RegistryObject, SubmissionSet
from xds.metadata.rules.message import (
    Facts,
    Message,
    Rule,
    association_error,
    bounded,
    is_uuid,
    metadata_error,
    parts,
)
from xds.metadata.text import shown
from xds.metadata.vocabulary import (
    DOCUMENTED,
    ON_DEMAND,
    RELATIONSHIPS,
    REPLACEMENTS,
    STABLE,
    AssociationType,
)


def ids_are_unique(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """Every id is present, unique and, as a UUID, well formed (TF-3 4.2.3.1.5)."""
    check = DATATYPES["UUID"].check
    for id_, count in Counter(chain.from_iterable(map(_ids, message.submission.objects))).items():
        if not id_:
            yield XDSError(Code.XDSRegistryMetadataError, f"{count} element(s) of the submission have no id")
        elif count > 1:
            yield XDSError(
                Code.XDSRegistryMetadataError, f"the id {shown(id_)} is used {count} times in the message", id_
            )
        if is_uuid(id_) and (problem := check(id_)):
            yield XDSError(Code.XDSRegistryMetadataError, f"the id is no valid UUID: {problem}", id_)


def _ids(obj: RegistryObject) -> list[str]:
    ids = [obj.id, *[part.id or "" for part in parts(obj)]]
    if isinstance(obj, SubmissionSet | Folder):
        ids.append(obj.node_id or "")
    return ids


def one_submission_set(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """Exactly one SubmissionSet (TF-3 4.2.1.4)."""
    sets = message.submission.submission_sets
    if len(sets) != 1:
        named = ": " + ", ".join(sset.id for sset in sets) if sets else ""
        problem = f"a submission has exactly one SubmissionSet, found {len(sets)}{named}"
        yield XDSError(Code.XDSRegistryMetadataError, bounded(problem), sets[1].id or None if sets else None)


def something_is_submitted(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """At least one DocumentEntry, Folder, Folder membership or member by reference (TF-3 4.2.1.4)."""
    sub = message.submission
    references = (a for a in sub.associations if message.is_folder_membership(a) or _by_reference(message, a))
    if not sub.entries and not sub.folders and next(references, None) is None:
        yield XDSError(
            Code.XDSRegistryMetadataError,
            "the submission brings nothing: no DocumentEntry, no Folder, no member of a Folder, no member by reference",
        )


def _by_reference(message: Message, assoc: Association) -> bool:
    return assoc.target not in message.objects and assoc in message.members.get(assoc.target, ())


_TYPES = frozenset(AssociationType)


def associations_are_legal(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """Types of Table 4.2.2-1, different ends, the SubmissionSet only as source of HasMember (TF-3 4.2.2)."""
    sets = {sset.id for sset in message.submission.submission_sets}
    for assoc in message.submission.associations:
        if assoc.type not in _TYPES:
            yield association_error(
                Code.XDSRegistryMetadataError, assoc, f"the associationType {assoc.type!r} is not allowed here"
            )
        if assoc.source == assoc.target:
            yield association_error(
                Code.XDSRegistryMetadataError, assoc, f"source and target are the same object {assoc.source}"
            )
        if assoc.target in sets:
            yield association_error(Code.XDSRegistryMetadataError, assoc, "a SubmissionSet cannot be a target")
        if assoc.source in sets and not assoc.is_membership:
            yield association_error(
                Code.XDSRegistryMetadataError, assoc, "a SubmissionSet is source of HasMember associations only"
            )
        if assoc.documentation is not None and assoc.type not in DOCUMENTED:
            yield association_error(
                Code.XDSRegistryMetadataError,
                assoc,
                f"association documentation ({assoc.documentation.code!r}) is only for RPLC, XFRM, APND, XFRM_RPLC",
            )


def references_resolve(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """A reference names an object of the message, or is a well-formed UUID (TF-3 4.2.3.1.5)."""
    check = DATATYPES["UUID"].check
    for assoc in message.submission.associations:
        for end, id_ in (("sourceObject", assoc.source), ("targetObject", assoc.target)):
            if id_ in message.objects:
                continue
            if not is_uuid(id_):
                yield association_error(
                    Code.UnresolvedReferenceException, assoc, f"{end} {id_!r} is no object of the message and no UUID"
                )
            elif problem := check(id_):
                yield association_error(Code.XDSRegistryMetadataError, assoc, f"{end} is no valid UUID: {problem}")


def relationships_start_here(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """The source of a relationship is a DocumentEntry of the message (TF-3 4.2.2.2)."""
    for assoc in message.submission.associations:
        if assoc.type in RELATIONSHIPS and not isinstance(message.objects.get(assoc.source), DocumentEntry):
            yield association_error(
                Code.UnresolvedReferenceException,
                assoc,
                f"its source {assoc.source} is no DocumentEntry of the message",
            )


def entries_are_members(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """One HasMember `Original` from the SubmissionSet to each DocumentEntry (TF-3 4.2.2.1.1)."""
    for entry in message.distinct(DocumentEntry):
        yield from _one_member(message, entry)
        for assoc in message.members.get(entry.id, ()):
            if assoc.submission_set_status != "Original":
                yield association_error(
                    Code.XDSRegistryMetadataError,
                    assoc,
                    "SubmissionSetStatus of a document in the message must be 'Original', "
                    f"found {assoc.submission_set_status!r}",
                )


def _one_member(message: Message, obj: RegistryObject) -> Iterator[XDSError]:
    count = len(message.members.get(obj.id, ()))
    if count != 1:
        yield metadata_error(obj, f"needs exactly one HasMember association from the SubmissionSet, found {count}")


def folders_are_members(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """One HasMember from the SubmissionSet to each Folder (TF-3 4.2.2.1.2)."""
    for folder in message.distinct(Folder):
        yield from _one_member(message, folder)


def folder_memberships_are_members(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """One HasMember from the SubmissionSet to each Folder-DocumentEntry association (TF-3 4.2.2.1.3)."""
    for assoc in message.submission.associations:
        if message.is_folder_membership(assoc):
            yield from _one_member(message, assoc)


def members_are_legal(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """A SubmissionSet holds what it submits and, by reference, entries; a Folder holds entries (TF-3 4.2.2.1)."""
    objects = message.objects
    for assoc in (a for a in message.submission.associations if a.is_membership):
        source, target = objects.get(assoc.source), objects.get(assoc.target)
        if isinstance(source, SubmissionSet) and isinstance(target, Association):
            if not message.is_folder_membership(target):
                yield association_error(
                    Code.XDSRegistryMetadataError,
                    assoc,
                    f"its target {target.id} is no Folder-DocumentEntry association",
                )
        elif _by_reference(message, assoc) and is_uuid(assoc.target) and assoc.submission_set_status != "Reference":
            yield association_error(
                Code.XDSRegistryMetadataError,
                assoc,
                f"SubmissionSetStatus of a member by reference ({assoc.target}) must be 'Reference', "
                f"found {assoc.submission_set_status!r}",
            )
        elif isinstance(source, DocumentEntry | Association):
            yield association_error(
                Code.XDSRegistryMetadataError, assoc, f"its source {assoc.source} is neither SubmissionSet nor Folder"
            )
        elif not isinstance(source, SubmissionSet) and not isinstance(target, DocumentEntry | None):
            yield association_error(
                Code.XDSRegistryMetadataError, assoc, f"a Folder holds DocumentEntries, not a {type(target).__name__}"
            )


def submission_set_status_is_of_members(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """SubmissionSetStatus stands on the HasMember of the SubmissionSet to a DocumentEntry only (TF-3 4.2.2.1).

    Many sources put it on all its HasMembers, which tells nobody anything wrong.
    """
    for assoc in message.submission.associations:
        elsewhere = assoc.type in RELATIONSHIPS or message.is_folder_membership(assoc)
        if assoc.submission_set_status is not None and elsewhere:
            yield association_error(
                Code.XDSRegistryMetadataError,
                assoc,
                "SubmissionSetStatus is only for the HasMember of the SubmissionSet to a DocumentEntry, "
                f"found {assoc.submission_set_status!r}",
            )


def object_types(message: Message, facts: Facts) -> Iterator[XDSError]:
    """ITI-42 registers Stable entries, ITI-61 On-Demand ones (TF-2 3.42.4.1.2, 3.61.4.1.2)."""
    expected = ON_DEMAND if facts.on_demand else STABLE
    for entry in message.submission.entries:
        if entry.object_type != expected:
            yield metadata_error(entry, f"objectType must be {expected}, found {entry.object_type!r}")


def one_replacement_each(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """A document is replaced once in a message (TF-3 4.2.2.2.1)."""
    targets = Counter(a.target for a in message.submission.associations if a.type in REPLACEMENTS)
    for target, count in targets.items():
        if count > 1:
            yield XDSError(
                Code.XDSRegistryMetadataError, f"the document {target} is replaced {count} times in the message", target
            )


STRUCTURE: tuple[Rule, ...] = (
    ids_are_unique,
    one_submission_set,
    something_is_submitted,
    associations_are_legal,
    references_resolve,
    relationships_start_here,
    entries_are_members,
    folders_are_members,
    folder_memberships_are_members,
    members_are_legal,
    submission_set_status_is_of_members,
    object_types,
    one_replacement_each,
)
