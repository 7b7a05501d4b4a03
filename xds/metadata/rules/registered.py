"""What is registered: uniqueness, patients, objects referred to (ITI TF-2 3.42.4.1.3; TF-3 4.1.4, 4.2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from xds.errors import Code, XDSError
from xds.metadata.datatypes import DATATYPES
from xds.metadata.hl7 import CX
from xds.metadata.model import Association, DocumentEntry, Folder, PatientObject, RegistryObject, SubmissionSet
from xds.metadata.rules.message import (
    Facts,
    Identified,
    Message,
    Rule,
    association_error,
    is_uuid,
    metadata_error,
    patient_of,
)
from xds.metadata.vocabulary import (
    ON_DEMAND,
    RELATIONSHIPS,
    REPLACEMENTS,
    STABLE,
    AssociationType,
    AvailabilityStatus,
)


def unique_ids_differ(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """No two objects of a message share a uniqueId (TF-2 3.42.4.1.3.3)."""
    for value, objects in _by_unique_id(message).items():
        if len(objects) > 1:
            names = ", ".join(f"{type(obj).__name__} {obj.id}" for obj in objects)
            yield XDSError(
                Code.XDSRegistryDuplicateUniqueIdInMessage,
                f"the uniqueId {value} is used by several objects of the message: {names}",
                objects[1].id,
            )


def _by_unique_id(message: Message) -> dict[str, list[PatientObject]]:
    found: dict[str, list[PatientObject]] = {}
    for obj in message.submission.packages:
        if obj.unique_id is not None and obj.unique_id.value:
            found.setdefault(obj.unique_id.value, []).append(obj)
    return found


def unique_ids_are_new(message: Message, facts: Facts) -> Iterator[XDSError]:
    """A uniqueId names one object; only a document may come again, with the same octets (TF-2 3.42.4.1.3.3)."""
    for value, objects in _by_unique_id(message).items():
        for obj in objects:
            for bearer in dict.fromkeys(facts.identified.get(value, ())):
                if isinstance(obj, DocumentEntry) and bearer.kind is DocumentEntry:
                    yield from _same_octets(obj, value, bearer)
                else:
                    yield XDSError(
                        Code.XDSDuplicateUniqueIdInRegistry,
                        f"the uniqueId {value} of {type(obj).__name__} {obj.id} is already that of a registered "
                        f"{bearer.kind.__name__}",
                        obj.id,
                    )


def _same_octets(entry: DocumentEntry, value: str, bearer: Identified) -> Iterator[XDSError]:
    on_demand = entry.object_type == ON_DEMAND
    if bearer.is_on_demand != on_demand:
        own, other = ("On-Demand", "Stable") if on_demand else ("Stable", "On-Demand")
        yield metadata_error(entry, f"the uniqueId {value} of this {own} entry is already that of a {other} one")
        return
    if entry.hash and bearer.hash is not None and entry.hash.lower() != bearer.hash:
        yield XDSError(
            Code.XDSNonIdenticalHash,
            f"the uniqueId {value} is already registered with the hash {bearer.hash}, found {entry.hash.lower()}",
            entry.id,
        )
    size = int(entry.size) if entry.size and DATATYPES["Integer"].check(entry.size) is None else None
    if size is not None and bearer.size is not None and size != bearer.size:
        yield XDSError(
            Code.XDSNonIdenticalSize,
            f"the uniqueId {value} is already registered with the size {bearer.size}, found {size}",
            entry.id,
        )


def uuids_are_new(message: Message, facts: Facts) -> Iterator[XDSError]:
    """A submitted entryUUID is not yet in use (TF-3 4.2.3.1.5)."""
    for obj in message.submission.objects:
        if (known := facts.registered.get(obj.id)) is not None:
            yield metadata_error(obj, f"its id {obj.id} is already that of a registered {known.kind.__name__}")


# Content: patient


def patients_are_known(message: Message, facts: Facts) -> Iterator[XDSError]:
    """The patientId is active in the affinity domain (TF-2 3.42.4.1.3.3, 3.8.4.2.4)."""
    for value, obj in _patients(message).items():
        if value not in facts.patients and _is_accepted(value, facts):
            yield XDSError(Code.XDSUnknownPatientId, f"the patientId {value} is not known to the registry", obj.id)


def _is_accepted(patient: str, facts: Facts) -> bool:
    """Whether the other rules leave a patientId to this one: it is a CX, of an assigning authority we accept."""
    authority = _authority(patient)
    return authority is not None and facts.affinity.accepts_authority(authority)


def _authority(patient: str) -> str | None:
    try:
        return CX.parse(patient).authority
    except ValueError:
        return None  # the attribute's rule has said so


def authorities_are_accepted(message: Message, facts: Facts) -> Iterator[XDSError]:
    """The patientId's assigning authority is the affinity domain's (TF-2 3.42.4.1.3.3, 3.8.4.2.4)."""
    for value, obj in _patients(message).items():
        authority = _authority(value)
        if authority is not None and not facts.affinity.accepts_authority(authority):
            problem = f"has the assigning authority {authority}, which is not that of the affinity domain"
            yield XDSError(Code.XDSUnknownPatientId, f"the patientId {value} {problem}", obj.id)


def _patients(message: Message) -> dict[str, PatientObject]:
    found: dict[str, PatientObject] = {}
    for obj in message.submission.packages:
        if (patient := patient_of(obj)) is not None:
            found.setdefault(patient, obj)
    return found


def patients_agree(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """SubmissionSet, DocumentEntries and Folders of a message are one patient's (TF-3 4.1.4)."""
    sset = message.submission.submission_set
    expected = patient_of(sset)
    for obj in chain(message.submission.entries, message.submission.folders):
        found = patient_of(obj)
        if found is not None and expected is not None and found != expected:
            yield XDSError(
                Code.XDSPatientIdDoesNotMatch,
                f"{type(obj).__name__} {obj.id} has the patientId {found}, the SubmissionSet has {expected}",
                obj.id,
            )


def linked_patients_agree(message: Message, facts: Facts) -> Iterator[XDSError]:
    """Both ends of a relationship and of a Folder membership are one patient's (TF-3 4.2.2.1.3, 4.2.2.2)."""
    for assoc in message.submission.associations:
        if assoc.type not in RELATIONSHIPS and not message.is_folder_membership(assoc, facts):
            continue
        source, target = (_patient_at(message, facts, id_) for id_ in (assoc.source, assoc.target))
        if source is not None and target is not None and source != target and not _both_sent(message, assoc):
            yield association_error(
                Code.XDSPatientIdDoesNotMatch,
                assoc,
                f"its source {assoc.source} has the patientId {source}, its target {assoc.target} has {target}",
            )
        sset = patient_of(message.submission.submission_set)
        if source is not None and source == target and sset is not None and source != sset:
            yield association_error(
                Code.XDSPatientIdDoesNotMatch,
                assoc,
                f"its ends have the patientId {source}, the SubmissionSet has {sset}",
            )


def _both_sent(message: Message, assoc: Association) -> bool:
    return assoc.source in message.objects and assoc.target in message.objects


def _patient_at(message: Message, facts: Facts, id_: str) -> str | None:
    obj = message.objects.get(id_)
    if isinstance(obj, DocumentEntry | SubmissionSet | Folder):
        return patient_of(obj)
    known = facts.registered.get(id_)
    return known.patient if known is not None else None


# Content: what is registered


def registered_ends_exist(message: Message, facts: Facts) -> Iterator[XDSError]:
    """A UUID from outside the message is a registered object of the right kind (TF-2 3.42.4.1.3.3)."""
    for assoc in message.submission.associations:
        for end, id_, expected in _outside(message, assoc):
            known = facts.registered.get(id_)
            if known is None:
                problem = f"{end} {id_} is neither in the message nor registered"
            elif known.kind is not expected:
                problem = f"{end} {id_} is a registered {known.kind.__name__}, expected a {expected.__name__}"
            else:
                continue
            yield association_error(Code.UnresolvedReferenceException, assoc, problem)


def _outside(message: Message, assoc: Association) -> Iterator[tuple[str, str, type[RegistryObject]]]:
    """The ends of an association that are not in the message, with the kind they must have."""
    if assoc.source not in message.objects and assoc.is_membership and is_uuid(assoc.source):
        yield "sourceObject", assoc.source, Folder
    if assoc.target not in message.objects and is_uuid(assoc.target):
        yield "targetObject", assoc.target, DocumentEntry


def replaced_documents_are_registered(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """What is replaced or snapshot is already registered, not sent along (TF-3 4.2.2.2)."""
    for assoc in message.submission.associations:
        if assoc.type in REPLACEMENTS | {AssociationType.IS_SNAPSHOT_OF} and assoc.target in message.objects:
            yield association_error(
                Code.UnresolvedReferenceException, assoc, f"its target {assoc.target} must already be registered"
            )


def relationships_end_at_documents(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """The target of a relationship is a DocumentEntry (TF-3 4.2.2.2)."""
    for assoc in message.submission.associations:
        target = message.objects.get(assoc.target)
        if assoc.type in RELATIONSHIPS and target is not None and not isinstance(target, DocumentEntry):
            yield association_error(
                Code.UnresolvedReferenceException, assoc, f"its target {assoc.target} is no DocumentEntry"
            )


def registered_ends_are_approved(message: Message, facts: Facts) -> Iterator[XDSError]:
    """Nothing is linked to a Deprecated document or Folder (TF-3 4.1.4; TF-2 3.42.4.1.3.3)."""
    for assoc in message.submission.associations:
        for end, id_, _expected in _outside(message, assoc):
            known = facts.registered.get(id_)
            if known is not None and known.status is AvailabilityStatus.DEPRECATED:
                yield association_error(Code.XDSRegistryDeprecatedDocumentError, assoc, f"{end} {id_} is Deprecated")


def addenda_leave_transforms(message: Message, facts: Facts) -> Iterator[XDSError]:
    """An addendum goes to the original, not to its transform (TF-3 4.2.2.2.3)."""
    transforms = {a.source for a in message.submission.associations if a.type == AssociationType.XFRM}
    for assoc in message.submission.associations:
        known = facts.registered.get(assoc.target)
        if assoc.type == AssociationType.APND and (assoc.target in transforms or (known and known.transforms)):
            yield association_error(
                Code.XDSRegistryMetadataError,
                assoc,
                f"its target {assoc.target} is a transform (XFRM) of another document",
            )


def snapshots_are_of_on_demand(message: Message, facts: Facts) -> Iterator[XDSError]:
    """IsSnapshotOf leads from a Stable to an On-Demand entry (TF-3 4.2.2.2.7)."""
    for assoc in message.submission.associations:
        if assoc.type != AssociationType.IS_SNAPSHOT_OF:
            continue
        known = facts.registered.get(assoc.target)
        if known is not None and known.kind is DocumentEntry and not known.on_demand:
            yield association_error(
                Code.XDSRegistryMetadataError, assoc, f"its target {assoc.target} is no On-Demand entry"
            )
        source = message.objects.get(assoc.source)
        if isinstance(source, DocumentEntry) and source.object_type != STABLE:
            yield association_error(
                Code.XDSRegistryMetadataError, assoc, f"its source {assoc.source} is no Stable entry"
            )


TOGETHER: tuple[Rule, ...] = (
    unique_ids_differ,
    authorities_are_accepted,
    patients_agree,
    linked_patients_agree,
    replaced_documents_are_registered,
    relationships_end_at_documents,
    addenda_leave_transforms,
    snapshots_are_of_on_demand,
)
"""What the message alone can break; some find more when they know what is registered."""

REGISTERED: tuple[Rule, ...] = (
    unique_ids_are_new,
    uuids_are_new,
    patients_are_known,
    registered_ends_exist,
    registered_ends_are_approved,
)
"""What only the registry can tell."""
