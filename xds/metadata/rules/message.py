"""A submission and the facts the rules are applied to, and how a fault is worded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from xds.errors import Code, XDSError
from xds.metadata.affinity import AffinityDomain
from xds.metadata.attributes import OF, Attribute, Carrier
from xds.metadata.hl7 import CX
from xds.metadata.model import Association, Author, Folder, Identifier, PatientObject, RegistryObject, Submission
from xds.metadata.model import Code as CodedValue
from xds.metadata.vocabulary import AvailabilityStatus


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

    @property
    def is_on_demand(self) -> bool:
        """Tell a DocumentEntry without octets."""
        return self.hash is None


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

    def distinct(self, kind: type[RegistryObject]) -> Iterator[RegistryObject]:
        """The objects of a kind, one for each id, so that nothing is gone through again and again."""
        return (obj for obj in self.objects.values() if isinstance(obj, kind))

    def is_folder_membership(self, assoc: Association, facts: Facts | None = None) -> bool:
        """Tell whether a HasMember's source is a Folder; without facts any UUID from outside counts as one."""
        if not assoc.is_membership:
            return False
        source = self.objects.get(assoc.source)
        if source is not None:
            return isinstance(source, Folder)
        if facts is None:
            return is_uuid(assoc.source)
        known = facts.registered.get(assoc.source)
        return known is not None and known.kind is Folder


Rule = Callable[[Message, Facts], Iterator[XDSError]]
"""A rule: one fault at a time, in words, with its code and place. Its docstring cites the standard, see `citation`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault, and where the standard says that it is one.

    Attributes:
        error: code, words, place.
        section: as in `ITI TF-3 4.2.3.1.5`.
    """

    error: XDSError
    section: str


@lru_cache(maxsize=256)
def citation(rule: Callable[..., object]) -> str:
    """The section a rule's docstring cites: written once, for who reads the rule and for who breaks it."""
    found = _CITATION.search(rule.__doc__ or "")
    return re.sub(r"(?<!ITI )\bTF-", "ITI TF-", found[1]) if found else ""


_CITATION = re.compile(r"\(([^()]*(?:TF-|SOAP |ebRS |Metadata Update )[^()]*)\)")


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


_LONGEST, _SHORTENED = 1000, 500


def bounded(text: str) -> str:
    """A text for a codeContext, cut in its middle if a hostile id or value would fill the answer and the log."""
    return text if len(text) <= _LONGEST else f"{text[: _SHORTENED - 1]}…{text[-_SHORTENED:]}"


def metadata_error(obj: RegistryObject, problem: str) -> XDSError:
    """Say what is wrong with an object."""
    context = bounded(f"{type(obj).__name__} {obj.id}: {problem}")
    return XDSError(Code.XDSRegistryMetadataError, context, obj.id or None)


def association_error(code: Code, assoc: Association, problem: str) -> XDSError:
    """Say what is wrong with an association."""
    name = assoc.type.rpartition(":")[2] or "without type"
    return XDSError(code, bounded(f"Association {assoc.id} ({name}): {problem}"), assoc.id or None)


def parts(obj: RegistryObject) -> list[CodedValue | Author | Identifier]:
    """The Classifications and ExternalIdentifiers of an object: whatever has an id of its own."""
    if isinstance(obj, Association):
        return [] if obj.documentation is None else [obj.documentation]
    found: list[CodedValue | Author | Identifier] = []
    for row in _PARTS.get(type(obj), ()):
        value = getattr(obj, row.field)
        if row.many:
            found += value
        elif value is not None:
            found.append(value)
    return found


_PARTS: Mapping[type[RegistryObject], tuple[Attribute, ...]] = {
    kind: tuple(
        row for row in rows if row.carrier in {Carrier.CLASSIFICATION, Carrier.AUTHOR, Carrier.EXTERNAL_IDENTIFIER}
    )
    for kind, rows in OF.items()
}
