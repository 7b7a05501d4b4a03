"""What a valid submission does to what is registered (ITI TF-2 3.42.4.1.3.5; TF-3 4.2.2.2, 4.2.3.4.6).

A replaced document is Deprecated, and with it its transforms and addenda; the new one joins the Folders of the old
one; a Folder that gains a member is updated now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, select, update

from registry import bodies
from registry.identity import new_uuids
from registry.models import ASSOCIATION_TYPE_NUMBER, STATUS_NUMBER, Kind, is_association, patient, registry_object
from xds.ebxml import rim
from xds.errors import Code, Refused, XDSError
from xds.metadata.dtm import dtm_now
from xds.metadata.model import Association, Folder, RegistryObject, Submission
from xds.metadata.rules import patient_of
from xds.metadata.vocabulary import REPLACEMENTS, AssociationType, AvailabilityStatus

_obj = registry_object.c
_APPROVED = STATUS_NUMBER[AvailabilityStatus.APPROVED]


def stamped(submission: Submission, now: str | None = None) -> Submission:
    """The submission with its Folders' lastUpdateTime (TF-3 4.2.3.4.6); all that is done to what is new."""
    if not submission.folders:
        return submission
    time = now or dtm_now()
    return replace(submission, folders=tuple(folder.revised(last_update_time=time) for folder in submission.folders))


class Effects:
    """What a valid submission does to what is registered (ITI TF-2 3.42.4.1.3.5; TF-3 4.2.2.2).

    Args:
        connection: the registration's transaction.
        submission: with its final ids.
    """

    def __init__(self, connection: Connection, submission: Submission) -> None:
        self.connection = connection
        self.submission = submission
        self.now = dtm_now()
        self.uuids = new_uuids()

    def apply(self) -> Submission:
        """Deprecate, propagate and stamp.

        Returns:
            The submission with the associations the registry adds and the Folders' lastUpdateTime.
        """
        replaced = {a.target: a.source for a in self.submission.associations if a.type in REPLACEMENTS}
        added: list[Association] = []
        if replaced:
            added = list(self._propagate(replaced))
            deprecated = self._cascade(set(replaced))
            self._refuse_links(deprecated)
            self._deprecate(deprecated)
        associations = (*self.submission.associations, *added)
        self._stamp_registered_folders(associations)
        return stamped(replace(self.submission, associations=associations), self.now)

    def _cascade(self, replaced: set[str]) -> set[str]:
        """The replaced documents and, recursively, the Approved transforms of and addenda to them."""
        types = [ASSOCIATION_TYPE_NUMBER[type_] for type_ in (AssociationType.XFRM, AssociationType.APND)]
        reached, frontier = {UUID(id_) for id_ in replaced}, {UUID(id_) for id_ in replaced}
        while frontier:
            dependents = select(_obj.source).where(is_association, _obj.target.in_(frontier), _obj.type.in_(types))
            frontier = set(self.connection.scalars(dependents)) - reached
            reached |= frontier
        return {id_.urn for id_ in reached}

    def _refuse_links(self, deprecated: set[str]) -> None:
        """What a message deprecates it cannot link to, unless to replace it (TF-3 4.1.4)."""
        links = [a for a in self.submission.associations if a.target in deprecated and a.type not in REPLACEMENTS]
        if links:
            raise Refused(map(_deprecated_target, links))

    def _deprecate(self, ids: set[str]) -> None:
        change(
            self.connection,
            and_(_obj.id.in_(map(UUID, ids)), _obj.status == _APPROVED),
            lambda obj: obj.revised(status=AvailabilityStatus.DEPRECATED),
        )

    def _propagate(self, replaced: dict[str, str]) -> Iterator[Association]:
        """The new document joins the Folders of the one it replaces; the SubmissionSet says so (TF-2 3.42.4.1.3.5)."""
        already = {(a.source, a.target) for a in self.submission.associations if a.is_membership}
        folder = registry_object.alias("folder")
        memberships = self.connection.execute(
            select(_obj.source, _obj.target, patient.c.value)
            .join(folder, folder.c.id == _obj.source)
            .join(patient, patient.c.id == folder.c.patient)
            .where(
                is_association,
                _obj.target.in_(map(UUID, replaced)),
                _obj.type == ASSOCIATION_TYPE_NUMBER[AssociationType.HAS_MEMBER],
                _obj.status == _APPROVED,
                folder.c.kind == Kind.FOLDER,
                folder.c.status == _APPROVED,
            ),
        )
        for folder_id, old, owner in dict.fromkeys(map(tuple, memberships)):
            new = replaced[old.urn]
            if owner != patient_of(self.submission.submission_set):
                raise Refused([_foreign_folder(folder_id.urn, new)])
            if (folder_id.urn, new) in already:
                continue
            already.add((folder_id.urn, new))
            member = self._member(folder_id.urn, new)
            yield member
            yield self._member(self.submission.submission_set.id, member.id)

    def _member(self, source: str, target: str) -> Association:
        id_ = next(self.uuids)
        return Association(
            id=id_,
            lid=id_,
            version="1",
            status=AvailabilityStatus.APPROVED,
            type=AssociationType.HAS_MEMBER,
            source=source,
            target=target,
        )

    def _stamp_registered_folders(self, associations: Iterable[Association]) -> None:
        """A registered Folder that gains a member is updated now (TF-3 4.2.3.4.6)."""
        own = {obj.id for obj in self.submission.packages}
        gaining = {UUID(a.source) for a in associations if a.is_membership and a.source not in own}
        if gaining:
            change(self.connection, _obj.id.in_(gaining), self._updated)

    def _updated(self, obj: RegistryObject) -> RegistryObject:
        return obj.revised(last_update_time=self.now) if isinstance(obj, Folder) else obj


def _foreign_folder(folder_id: str, entry_id: str) -> XDSError:
    return XDSError(
        Code.XDSPatientIdDoesNotMatch,
        f"the Folder {folder_id} holds the replaced document and is another patient's than the new document {entry_id}",
        entry_id,
    )


def _deprecated_target(assoc: Association) -> XDSError:
    name = assoc.type.rpartition(":")[2]
    problem = f"{name}: its target {assoc.target} becomes Deprecated by a replacement in the same message"
    return XDSError(Code.XDSRegistryDeprecatedDocumentError, problem, assoc.target)


def change(
    connection: Connection, which: ColumnElement[bool], changed: Callable[[RegistryObject], RegistryObject]
) -> None:
    """Change registered objects: the body as served and the columns that repeat it, together.

    Args:
        connection: an open transaction that holds the patient's lock.
        which: condition on `registry_object`.
        changed: the object as it shall be; only status and lastUpdateTime may differ.
    """
    for id_, packed in connection.execute(select(_obj.id, _obj.body).where(which)).all():
        obj = changed(rim.decode_served(bodies.unpack(packed)))
        connection.execute(
            update(registry_object).where(_obj.id == id_),
            {
                "status": STATUS_NUMBER[obj.status or AvailabilityStatus.APPROVED],
                "last_update_time": obj.last_update_time if isinstance(obj, Folder) else None,
                "body": bodies.pack(rim.encode(obj)),
            },
        )
