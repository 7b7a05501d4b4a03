"""The rules a registration must pass (ITI TF-2 3.42.4.1.3; TF-3 4.1.4, 4.2.2, 4.2.3, 4.3.1).

Each rule is one small generator that yields an XDSError per fault; `STRUCTURE` and `CONTENT` list them in the order of the phases. A fault of
structure ends the examination, since the rest would only repeat it; everything else is reported together. Rules do no I/O: what the
registry already knows comes in as `Facts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

from xds.errors import Code, XDSError
from xds.metadata.affinity import AffinityDomain
from xds.metadata.attributes import AUTHOR_SLOTS, OF, Attribute, Carrier, Optionality
from xds.metadata.datatypes import CX, DATATYPES, source_patient_info_faults, dtm_not_after
from xds.metadata.model import (
    Association,
    Author,
    DocumentEntry,
    Folder,
    Identifier,
    PatientObject,
    RegistryObject,
    Submission,
    SubmissionSet,
)
from xds.metadata.model import Code as CodedValue
from xds.metadata.vocabulary import (
    DOCUMENTED,
    ON_DEMAND,
    RELATIONSHIPS,
    REPLACEMENTS,
    STABLE,
    AssociationType,
    AvailabilityStatus,
)

HAS_MEMBER = AssociationType.HAS_MEMBER


@dataclass(frozen=True, slots=True)
class Registered:
    """What the registry knows of an object a submission refers to.

    Attributes:
        kind: DocumentEntry, SubmissionSet, Folder or Association.
        patient: its patientId after merges; None for an Association.
        status: its availabilityStatus.
        on_demand: whether a DocumentEntry is On-Demand.
        transforms: whether a DocumentEntry is the source of an XFRM.
    """

    kind: type[RegistryObject]
    patient: str | None
    status: AvailabilityStatus
    on_demand: bool = False
    transforms: bool = False


@dataclass(frozen=True, slots=True)
class Identified:
    """Who already bears a uniqueId; hash in lower-case hex and size in octets for a DocumentEntry that has them."""

    kind: type[RegistryObject]
    hash: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Facts:
    """What the rules must know beside the message.

    Attributes:
        affinity: the affinity domain's codes and assigning authorities.
        on_demand: whether the transaction is ITI-61.
        patients: patientIds that are known and active, of those in the message.
        identified: bearers of the uniqueIds in the message.
        registered: registered objects with a UUID that the message uses.
    """

    affinity: AffinityDomain
    on_demand: bool = False
    patients: frozenset[str] = frozenset()
    identified: Mapping[str, tuple[Identified, ...]] = field(default_factory=dict)
    registered: Mapping[str, Registered] = field(default_factory=dict)


class Message:
    """A submission with its objects by id, as the rules look things up.

    Attributes:
        submission: the objects as sent.
        objects: object by id.
        members: HasMember associations whose source is the SubmissionSet, by target.
    """

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.objects: dict[str, RegistryObject] = {obj.id: obj for obj in submission.objects}
        sets = {sset.id for sset in submission.submission_sets}
        self.members: dict[str, list[Association]] = {}
        for assoc in submission.associations:
            if assoc.is_membership and assoc.source in sets:
                self.members.setdefault(assoc.target, []).append(assoc)

    def is_folder_membership(self, assoc: Association, facts: Facts | None = None) -> bool:
        """Tell whether a HasMember's source is a Folder; without facts a UUID from outside the message counts as one."""
        if not assoc.is_membership:
            return False
        source = self.objects.get(assoc.source)
        if source is not None:
            return isinstance(source, Folder)
        if facts is None:
            return is_uuid(assoc.source)
        known = facts.registered.get(assoc.source)
        return known is not None and known.kind is Folder


type_Rule = Callable[[Message, Facts], Iterator[XDSError]]


def is_uuid(id_: str) -> bool:
    """Tell a UUID from a symbolic id."""
    return id_.startswith("urn:uuid:")


@lru_cache(maxsize=4096)
def patient_key(patient_id: str) -> str:
    """A patientId as we compare and store it: CX without trailing empty components; as sent if it is no CX."""
    try:
        return CX.parse(patient_id).format()
    except ValueError:
        return patient_id


def patient_of(obj: PatientObject) -> str | None:
    """The object's patientId as we compare it."""
    return None if obj.patient_id is None else patient_key(obj.patient_id.value)


def _metadata_error(obj: RegistryObject, problem: str) -> XDSError:
    return XDSError(Code.XDSRegistryMetadataError, f"{type(obj).__name__} {obj.id}: {problem}", obj.id or None)


def _association_error(code: Code, assoc: Association, problem: str) -> XDSError:
    name = assoc.type.rpartition(":")[2] or "without type"
    return XDSError(code, f"Association {assoc.id} ({name}): {problem}", assoc.id or None)


# Structure: from the message alone


def ids_are_unique(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """Every id is present, unique and, as a UUID, well formed (TF-3 4.2.3.1.5)."""
    check = DATATYPES["UUID"].check
    for id_, count in Counter(chain.from_iterable(map(_ids, message.submission.objects))).items():
        if not id_:
            yield XDSError(Code.XDSRegistryMetadataError, f"{count} element(s) of the submission have no id")
        elif count > 1:
            yield XDSError(Code.XDSRegistryMetadataError, f"the id {id_!r} is used {count} times in the message", id_)
        if is_uuid(id_) and (problem := check(id_)):
            yield XDSError(Code.XDSRegistryMetadataError, f"the id is no valid UUID: {problem}", id_)


def _ids(obj: RegistryObject) -> Iterator[str]:
    yield obj.id
    for part in parts(obj):
        yield part.id or ""
    if isinstance(obj, SubmissionSet | Folder):
        yield obj.node_id or ""


def parts(obj: RegistryObject) -> Iterator[CodedValue | Author | Identifier]:
    """The Classifications and ExternalIdentifiers of an object: whatever has an id of its own."""
    if isinstance(obj, Association):
        if obj.documentation is not None:
            yield obj.documentation
        return
    if not isinstance(obj, PatientObject):
        return
    for row in OF[type(obj)]:
        if row.carrier in (Carrier.CLASSIFICATION, Carrier.AUTHOR, Carrier.EXTERNAL_IDENTIFIER):
            value = getattr(obj, row.field)
            if row.many:
                yield from value
            elif value is not None:
                yield value


def one_submission_set(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """Exactly one SubmissionSet (TF-3 4.2.1.4)."""
    count = len(message.submission.submission_sets)
    if count != 1:
        yield XDSError(Code.XDSRegistryMetadataError, f"a submission has exactly one SubmissionSet, found {count}")


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
    return assoc in message.members.get(assoc.target, ()) and assoc.target not in message.objects


def associations_are_legal(message: Message, facts: Facts) -> Iterator[XDSError]:
    """Types of Table 4.2.2-1, different ends, the SubmissionSet only as source of HasMember (TF-3 4.2.2)."""
    sets = {sset.id for sset in message.submission.submission_sets}
    for assoc in message.submission.associations:
        if assoc.type not in frozenset(AssociationType):
            yield _association_error(
                Code.XDSRegistryMetadataError, assoc, f"the associationType {assoc.type!r} is not allowed here"
            )
        if assoc.source == assoc.target:
            yield _association_error(
                Code.XDSRegistryMetadataError, assoc, f"source and target are the same object {assoc.source}"
            )
        if assoc.target in sets:
            yield _association_error(Code.XDSRegistryMetadataError, assoc, "a SubmissionSet cannot be a target")
        if assoc.source in sets and not assoc.is_membership:
            yield _association_error(
                Code.XDSRegistryMetadataError, assoc, "a SubmissionSet is source of HasMember associations only"
            )
        if assoc.documentation is not None and assoc.type not in DOCUMENTED:
            yield _association_error(
                Code.XDSRegistryMetadataError,
                assoc,
                f"association documentation ({assoc.documentation.code!r}) is only for RPLC, XFRM, APND, XFRM_RPLC",
            )


def references_resolve(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """A symbolic id names an object of the message (TF-3 4.2.3.1.5)."""
    for assoc in message.submission.associations:
        for end, id_ in (("sourceObject", assoc.source), ("targetObject", assoc.target)):
            if not is_uuid(id_) and id_ not in message.objects:
                yield _association_error(
                    Code.UnresolvedReferenceException, assoc, f"{end} {id_!r} is no object of the message and no UUID"
                )


def relationships_start_here(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """The source of a relationship is a DocumentEntry of the message (TF-3 4.2.2.2)."""
    for assoc in message.submission.associations:
        if assoc.type in RELATIONSHIPS and not isinstance(message.objects.get(assoc.source), DocumentEntry):
            yield _association_error(
                Code.UnresolvedReferenceException,
                assoc,
                f"its source {assoc.source} is no DocumentEntry of the message",
            )


def entries_are_members(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """One HasMember `Original` from the SubmissionSet to each DocumentEntry (TF-3 4.2.2.1.1)."""
    for entry in message.submission.entries:
        yield from _one_member(message, entry)
        for assoc in message.members.get(entry.id, ()):
            if assoc.submission_set_status != "Original":
                yield _association_error(
                    Code.XDSRegistryMetadataError,
                    assoc,
                    f"SubmissionSetStatus of a document in the message must be 'Original', found {assoc.submission_set_status!r}",
                )


def _one_member(message: Message, obj: RegistryObject) -> Iterator[XDSError]:
    count = len(message.members.get(obj.id, ()))
    if count != 1:
        yield _metadata_error(obj, f"needs exactly one HasMember association from the SubmissionSet, found {count}")


def folders_are_members(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """One HasMember from the SubmissionSet to each Folder (TF-3 4.2.2.1.2)."""
    for folder in message.submission.folders:
        yield from _one_member(message, folder)


def folder_memberships_are_members(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """One HasMember from the SubmissionSet to each Folder-DocumentEntry association (TF-3 4.2.2.1.3)."""
    for assoc in message.submission.associations:
        if message.is_folder_membership(assoc):
            yield from _one_member(message, assoc)


def members_are_legal(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """The SubmissionSet holds what it submits and, by reference, registered DocumentEntries; a Folder holds DocumentEntries."""
    objects = message.objects
    for assoc in (a for a in message.submission.associations if a.is_membership):
        source, target = objects.get(assoc.source), objects.get(assoc.target)
        if isinstance(source, SubmissionSet) and isinstance(target, Association):
            if not message.is_folder_membership(target):
                yield _association_error(
                    Code.XDSRegistryMetadataError,
                    assoc,
                    f"its target {target.id} is no Folder-DocumentEntry association",
                )
        elif isinstance(source, SubmissionSet) and target is None and assoc.submission_set_status != "Reference":
            yield _association_error(
                Code.XDSRegistryMetadataError,
                assoc,
                f"SubmissionSetStatus of a member by reference ({assoc.target}) must be 'Reference', "
                f"found {assoc.submission_set_status!r}",
            )
        elif isinstance(source, DocumentEntry | Association):
            yield _association_error(
                Code.XDSRegistryMetadataError, assoc, f"its source {assoc.source} is neither SubmissionSet nor Folder"
            )
        elif isinstance(source, Folder) and target is not None and not isinstance(target, DocumentEntry):
            yield _association_error(
                Code.XDSRegistryMetadataError, assoc, f"a Folder holds DocumentEntries, not a {type(target).__name__}"
            )


def object_types(message: Message, facts: Facts) -> Iterator[XDSError]:
    """ITI-42 registers Stable entries, ITI-61 On-Demand ones (TF-2 3.42.4.1.2, 3.61.4.1.2)."""
    expected = ON_DEMAND if facts.on_demand else STABLE
    for entry in message.submission.entries:
        if entry.object_type != expected:
            yield _metadata_error(entry, f"objectType must be {expected}, found {entry.object_type!r}")


def one_replacement_each(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """A document is replaced once in a message."""
    targets = Counter(a.target for a in message.submission.associations if a.type in REPLACEMENTS)
    for target, count in targets.items():
        if count > 1:
            yield XDSError(
                Code.XDSRegistryMetadataError, f"the document {target} is replaced {count} times in the message", target
            )


STRUCTURE: tuple[type_Rule, ...] = (
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
    object_types,
    one_replacement_each,
)


# Content: attributes


def attributes_are_valid(message: Message, facts: Facts) -> Iterator[XDSError]:
    """What the table says of each attribute: presence, data type, length, code (TF-3 4.3.1, 4.2.3.1.7)."""
    for obj in message.submission.packages:
        for row in OF[type(obj)]:
            value = getattr(obj, row.field)
            for problem in _attribute(row, value, facts):
                yield _metadata_error(obj, f"{row.name} {problem}")


def _attribute(row: Attribute, value: object, facts: Facts) -> Iterator[str]:
    optionality = row.on_demand if facts.on_demand else row.stable
    if value is None or value == ():
        if optionality is Optionality.REQUIRED:
            yield "is missing; it is required"
        return
    if optionality is Optionality.PROHIBITED:
        yield "must not be given"
        return
    for item in value if isinstance(value, tuple) else (value,):
        yield from _value(row, item, facts.affinity)


def _value(row: Attribute, value: object, affinity: AffinityDomain) -> Iterator[str]:
    if isinstance(value, CodedValue):
        yield from _code(row, value, affinity)
    elif isinstance(value, Author):
        yield from _author(value)
    else:
        yield from _text(row, getattr(value, "value", value))
        if row.name == "mimeType" and not affinity.is_known("mimeType", str(value)):
            yield f"{value!r} is not in the affinity domain's list of mime types"


def _text(row: Attribute, value: object) -> Iterator[str]:
    text = str(value)
    if not text:
        yield "is empty"
    elif row.limit is not None and len(text) > row.limit:
        yield f"has {len(text)} characters, at most {row.limit} are allowed: {text[:60]!r}..."
    elif row.datatype is not None and (problem := DATATYPES[row.datatype].check(text)):
        yield f"is not valid: {problem}"


def _code(row: Attribute, code: CodedValue, affinity: AffinityDomain) -> Iterator[str]:
    if not code.code or not code.scheme:
        return  # the codec has said so
    if row.codes and not affinity.is_known(row.codes, code.code, code.scheme):
        yield f"({code.code!r}, codingScheme {code.scheme!r}) is not in the affinity domain's codes"


def _author(author: Author) -> Iterator[str]:
    if author.person is None and not author.institutions and not author.telecommunications:
        yield "needs at least one of authorPerson, authorInstitution, authorTelecommunication"
    for slot, (field_, datatype, _many) in AUTHOR_SLOTS.items():
        value = getattr(author, field_)
        for item in value if isinstance(value, tuple) else (value,) if value is not None else ():
            if problem := DATATYPES[datatype].check(item):
                yield f"{slot} is not valid: {problem}"


def service_times_agree(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """serviceStartTime is not after serviceStopTime, as far as their precision tells (TF-3 4.2.3.2.19, 4.2.3.2.20)."""
    for entry in message.submission.entries:
        start, stop = entry.service_start_time, entry.service_stop_time
        if start and stop and not dtm_not_after(start, stop):
            yield _metadata_error(entry, f"serviceStartTime {start} is after serviceStopTime {stop}")


def source_patient_info(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """PID-7 and PID-8 stand at most once (TF-3 4.2.3.2.23)."""
    for entry in message.submission.entries:
        for problem in source_patient_info_faults(entry.source_patient_info):
            yield _metadata_error(entry, f"sourcePatientInfo: {problem}")


def metadata_is_complete(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """The limitedMetadata flag belongs to XDR, not to XDS (TF-3 4.2.3.1.8)."""
    for obj in message.submission.packages:
        if obj.limited_metadata:  # type: ignore[attr-defined]
            yield _metadata_error(obj, "limitedMetadata is not allowed in an XDS submission")


def logical_ids_are_first(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """lid is absent or equals id: other versions come by ITI-57 only (Metadata Update 4.2.3.2.31)."""
    for obj in message.submission.objects:
        if obj.lid is not None and obj.lid != obj.id:
            yield _metadata_error(obj, f"logicalID (lid) {obj.lid!r} must be absent or equal to the id")


def association_codes_are_known(message: Message, facts: Facts) -> Iterator[XDSError]:
    """Association documentation is coded from the affinity domain (TF-3 4.2.2.2.6)."""
    for assoc in message.submission.associations:
        code = assoc.documentation
        if (
            code
            and code.code
            and code.scheme
            and not facts.affinity.is_known("associationDocumentation", code.code, code.scheme)
        ):
            yield _association_error(
                Code.XDSRegistryMetadataError,
                assoc,
                f"documentation ({code.code!r}, codingScheme {code.scheme!r}) is not in the affinity domain's codes",
            )


# Content: uniqueness


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
    """A uniqueId names one object; only a document may come again, with the same octets (TF-2 3.42.4.1.3.3; TF-3 4.2.3.2.26)."""
    for value, objects in _by_unique_id(message).items():
        for obj in objects:
            for bearer in facts.identified.get(value, ()):
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
    if entry.hash and bearer.hash is not None and entry.hash.lower() != bearer.hash:
        yield XDSError(
            Code.XDSNonIdenticalHash,
            f"the uniqueId {value} is already registered with the hash {bearer.hash}, found {entry.hash.lower()}",
            entry.id,
        )
    if entry.size and entry.size.isdigit() and bearer.size is not None and int(entry.size) != bearer.size:
        yield XDSError(
            Code.XDSNonIdenticalSize,
            f"the uniqueId {value} is already registered with the size {bearer.size}, found {int(entry.size)}",
            entry.id,
        )
    if (bearer.hash is None) != (entry.hash is None):
        yield _metadata_error(entry, f"the uniqueId {value} is already that of an On-Demand or a Stable document")


def uuids_are_new(message: Message, facts: Facts) -> Iterator[XDSError]:
    """A submitted entryUUID is not yet in use (TF-3 4.2.3.1.5)."""
    for obj in message.submission.objects:
        if (known := facts.registered.get(obj.id)) is not None:
            yield _metadata_error(obj, f"its id {obj.id} is already that of a registered {known.kind.__name__}")


# Content: patient


def patients_are_known(message: Message, facts: Facts) -> Iterator[XDSError]:
    """The patientId is active in the affinity domain (TF-2 3.42.4.1.3.3, 3.8.4.2.4)."""
    for value, obj in _patients(message).items():
        try:
            authority = CX.parse(value).authority
        except ValueError:
            continue  # the attribute's rule has said so
        if not facts.affinity.accepts_authority(authority):
            problem = f"has the assigning authority {authority}, which is not that of the affinity domain"
        elif value not in facts.patients:
            problem = "is not known to the registry"
        else:
            continue
        yield XDSError(Code.XDSUnknownPatientId, f"the patientId {value} {problem}", obj.id)


def _patients(message: Message) -> dict[str, PatientObject]:
    found: dict[str, PatientObject] = {}
    for obj in message.submission.packages:
        if (patient := patient_of(obj)) is not None:
            found.setdefault(patient, obj)
    return found


def patients_agree(message: Message, facts: Facts) -> Iterator[XDSError]:
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
            yield _association_error(
                Code.XDSPatientIdDoesNotMatch,
                assoc,
                f"its source {assoc.source} has the patientId {source}, its target {assoc.target} has {target}",
            )
        sset = patient_of(message.submission.submission_set)
        if source is not None and source == target and sset is not None and source != sset:
            yield _association_error(
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
            yield _association_error(Code.UnresolvedReferenceException, assoc, problem)


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
            yield _association_error(
                Code.UnresolvedReferenceException, assoc, f"its target {assoc.target} must already be registered"
            )


def relationships_end_at_documents(message: Message, _facts: Facts) -> Iterator[XDSError]:
    """The target of a relationship is a DocumentEntry (TF-3 4.2.2.2)."""
    for assoc in message.submission.associations:
        target = message.objects.get(assoc.target)
        if assoc.type in RELATIONSHIPS and target is not None and not isinstance(target, DocumentEntry):
            yield _association_error(
                Code.UnresolvedReferenceException, assoc, f"its target {assoc.target} is no DocumentEntry"
            )


def registered_ends_are_approved(message: Message, facts: Facts) -> Iterator[XDSError]:
    """Nothing is linked to a Deprecated document or Folder (TF-3 4.1.4; TF-2 3.42.4.1.3.3)."""
    for assoc in message.submission.associations:
        for end, id_, _expected in _outside(message, assoc):
            known = facts.registered.get(id_)
            if known is not None and known.status is AvailabilityStatus.DEPRECATED:
                yield _association_error(Code.XDSRegistryDeprecatedDocumentError, assoc, f"{end} {id_} is Deprecated")


def addenda_leave_transforms(message: Message, facts: Facts) -> Iterator[XDSError]:
    """An addendum goes to the original, not to its transform (TF-3 4.2.2.2.3)."""
    transforms = {a.source for a in message.submission.associations if a.type == AssociationType.XFRM}
    for assoc in message.submission.associations:
        known = facts.registered.get(assoc.target)
        if assoc.type == AssociationType.APND and (assoc.target in transforms or (known and known.transforms)):
            yield _association_error(
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
            yield _association_error(
                Code.XDSRegistryMetadataError, assoc, f"its target {assoc.target} is no On-Demand entry"
            )
        source = message.objects.get(assoc.source)
        if isinstance(source, DocumentEntry) and source.object_type != STABLE:
            yield _association_error(
                Code.XDSRegistryMetadataError, assoc, f"its source {assoc.source} is no Stable entry"
            )


CONTENT: tuple[type_Rule, ...] = (
    attributes_are_valid,
    service_times_agree,
    source_patient_info,
    metadata_is_complete,
    logical_ids_are_first,
    association_codes_are_known,
    unique_ids_differ,
    unique_ids_are_new,
    uuids_are_new,
    patients_are_known,
    patients_agree,
    linked_patients_agree,
    registered_ends_exist,
    replaced_documents_are_registered,
    relationships_end_at_documents,
    registered_ends_are_approved,
    addenda_leave_transforms,
    snapshots_are_of_on_demand,
)


def check(rules: tuple[type_Rule, ...], message: Message, facts: Facts) -> list[XDSError]:
    """Apply one phase's rules and collect every fault."""
    return [error for rule in rules for error in rule(message, facts)]
