"""The metadata objects under the standard's names (ITI TF-3 4.2.1, 4.2.3; Tables 4.2.3.2-1, 4.2.3.3-1, 4.2.3.4-1).

One representation in memory. Values are as on the wire (a patientId is its CX text, a time its DTM with its
precision), so that nothing is lost between decoding and encoding; `datatypes` looks inside where a rule needs it.
Objects are frozen: a change is `dataclasses.replace`, or `revised`. What no row of `attributes` knows survives in
`extra_slots`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from xds.metadata.vocabulary import STABLE, AssociationType, AvailabilityStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class LocalizedString:
    """rim:LocalizedString: a text with its language and character set; None where not sent."""

    value: str
    lang: str | None = None
    charset: str | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """rim:Slot: a name and its values in the order sent."""

    name: str
    values: tuple[str, ...] = ()
    slot_type: str | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """A coded attribute: Classification with nodeRepresentation, codingScheme slot and Name (ITI TF-3 4.2.3.1.3)."""

    code: str
    scheme: str
    display: LocalizedString | None = None
    id: str | None = None

    @property
    def key(self) -> str:
        """`code^^codingScheme`, as stored queries write it (ITI TF-2 3.18.4.1.2.3.4)."""
        return f"{self.code}^^{self.scheme}"


@dataclass(frozen=True, slots=True)
class Author:
    """author (ITI TF-3 4.2.3.1.4): XCN, XON, text and XTN values; no pairing between the lists."""

    person: str | None = None
    institutions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    specialties: tuple[str, ...] = ()
    telecommunications: tuple[str, ...] = ()
    extra_slots: tuple[Slot, ...] = ()
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Identifier:
    """An ExternalIdentifier's value with the id of its element (ITI TF-3 4.2.3.1.5)."""

    value: str
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class RegistryObject:
    """What DocumentEntry, SubmissionSet, Folder and Association have in common (ebRIM RegistryObject).

    Attributes:
        id: entryUUID `urn:uuid:...` in lower case, or a symbolic id valid inside one message.
        lid: logicalID; equals `id` for a first version.
        version: VersionInfo/@versionName.
        status: availabilityStatus; None before registration.
        home: homeCommunityId `urn:oid:...`.
        extra_slots: extra metadata, names starting with `urn:` (ITI TF-3 4.2.3.1.6).
    """

    id: str
    lid: str | None = None
    version: str | None = None
    status: AvailabilityStatus | None = None
    home: str | None = None
    extra_slots: tuple[Slot, ...] = ()

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Make an object of fields that are known to be its own, those without default among them.

        A frozen class is slow to construct: it sets each of thirty fields by a call. Most are at their defaults, which
        are attributes of the class.
        """
        obj = object.__new__(cls)
        vars(obj).update(fields)
        return obj

    def revised(self, **changes: Any) -> Self:
        """A copy with some fields changed, as by `dataclasses.replace`."""
        return self.of({**vars(self), **changes})


@dataclass(frozen=True, kw_only=True)
class PatientObject(RegistryObject):
    """What DocumentEntry, SubmissionSet and Folder have in common."""

    patient_id: Identifier | None = None
    unique_id: Identifier | None = None
    title: LocalizedString | None = None
    comments: LocalizedString | None = None


@dataclass(frozen=True, kw_only=True)
class DocumentEntry(PatientObject):
    """DocumentEntry (ITI TF-3 4.2.3.2); `object_type` tells Stable from On-Demand."""

    object_type: str = STABLE
    mime_type: str | None = None
    is_opaque: str | None = None
    author: tuple[Author, ...] = ()
    class_code: Code | None = None
    confidentiality_code: tuple[Code, ...] = ()
    creation_time: str | None = None
    document_availability: str | None = None
    event_code_list: tuple[Code, ...] = ()
    format_code: Code | None = None
    hash: str | None = None
    healthcare_facility_type_code: Code | None = None
    language_code: str | None = None
    legal_authenticator: str | None = None
    practice_setting_code: Code | None = None
    reference_id_list: tuple[str, ...] = ()
    repository_unique_id: str | None = None
    service_start_time: str | None = None
    service_stop_time: str | None = None
    size: str | None = None
    source_patient_id: str | None = None
    source_patient_info: tuple[str, ...] = ()
    type_code: Code | None = None
    uri: str | None = None
    limited_metadata: bool = False


@dataclass(frozen=True, kw_only=True)
class SubmissionSet(PatientObject):
    """SubmissionSet (ITI TF-3 4.2.3.3)."""

    author: tuple[Author, ...] = ()
    content_type_code: Code | None = None
    intended_recipient: tuple[str, ...] = ()
    source_id: Identifier | None = None
    submission_time: str | None = None
    limited_metadata: bool = False
    node_id: str | None = None  # id of the Classification that says SubmissionSet


@dataclass(frozen=True, kw_only=True)
class Folder(PatientObject):
    """Folder (ITI TF-3 4.2.3.4)."""

    code_list: tuple[Code, ...] = ()
    last_update_time: str | None = None
    limited_metadata: bool = False
    node_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Association(RegistryObject):
    """Association (ITI TF-3 4.2.2): typed link from `source` to `target`, both ids as in RegistryObject.id."""

    type: str
    source: str
    target: str
    submission_set_status: str | None = None
    documentation: Code | None = None
    title: LocalizedString | None = None
    comments: LocalizedString | None = None

    @property
    def is_membership(self) -> bool:
        """Tells HasMember from the relationships between documents."""
        return self.type == AssociationType.HAS_MEMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The objects of one SubmitObjectsRequest (ITI TF-3 4.2.1.4): one SubmissionSet and what it brings.

    `submission_sets` holds as many as were sent, so that a rule can say that there must be exactly one.
    """

    submission_sets: tuple[SubmissionSet, ...] = ()
    entries: tuple[DocumentEntry, ...] = ()
    folders: tuple[Folder, ...] = ()
    associations: tuple[Association, ...] = ()

    @property
    def submission_set(self) -> SubmissionSet:
        """The SubmissionSet of a valid submission."""
        return self.submission_sets[0]

    @property
    def packages(self) -> Iterator[PatientObject]:
        """All objects that carry a patientId and a uniqueId."""
        yield from self.submission_sets
        yield from self.entries
        yield from self.folders

    @property
    def objects(self) -> Iterator[RegistryObject]:
        """All objects of the submission."""
        yield from self.packages
        yield from self.associations
