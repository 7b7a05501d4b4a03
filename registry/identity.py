"""Identifiers: symbolic ids become UUIDs, everywhere in a submission (ITI TF-3 4.2.3.1.5; ITI TF-2 3.42.4.1.3.7)."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from xds.metadata.model import Association, RegistryObject, Submission
from xds.metadata.rules import is_uuid
from xds.metadata.vocabulary import AvailabilityStatus

O = TypeVar("O", bound=RegistryObject)  # noqa: E741 - an object

_BLOCK = 1 << 16
_MARK = 0x7D5  # rand_a of every UUID we make; one of 4096 of the version 7 UUIDs that others make has it, too


def new_uuids() -> Iterator[str]:
    """UUIDs in time order and in blocks that differ in their last digits only (RFC 9562, version 7).

    Neighbours in time become neighbours in the index, and the ids inside one object hardly take room in its packed
    body. All carry a mark, see `is_ours`.
    """
    while True:
        milliseconds = time.time_ns() // 1_000_000
        block = milliseconds << 80 | 7 << 76 | _MARK << 64 | 2 << 62 | secrets.randbits(62)
        common = uuid.UUID(int=block).urn[:-4]
        for number in range(_BLOCK):
            yield f"{common}{number:04x}"


def is_ours(id_: str) -> bool:
    """Tell whether a UUID may be one of `new_uuids`.

    The ids we gave to Classifications and ExternalIdentifiers are in no table. A source that sends back what it found
    by a query uses them again, and its objects must get new ones.
    """
    return id_[23:28] == f"7{_MARK:03x}-"


class Assignment:
    """The ids of one submission once it is registered.

    Args:
        uuids: fresh UUIDs.
        used: UUIDs that parts (Classification, ExternalIdentifier) may not keep, since others bear them.
    """

    def __init__(self, uuids: Iterator[str], used: AbstractSet[str] = frozenset()) -> None:
        self._uuids = uuids
        self._used = used
        self._known: dict[str, str] = {}

    def object_id(self, id_: str) -> str:
        """The UUID of an object or of a reference to one."""
        if is_uuid(id_):
            return id_
        if id_ not in self._known:
            self._known[id_] = next(self._uuids)
        return self._known[id_]

    def part_id(self, id_: str | None) -> str:
        """The UUID of a Classification or ExternalIdentifier: the one it came with, if that may be kept."""
        if id_ is not None and is_uuid(id_) and id_ not in self._used:
            return id_
        return next(self._uuids)

    def submission(self, submission: Submission) -> Submission:
        """The submission as it is registered: ids, lid, version 1, status Approved (ITI TF-2 3.42.4.1.3.7).

        Its parts keep the ids they came with: `part_id` gives them theirs when the objects are encoded.
        """

        def each(objects: tuple[O, ...]) -> tuple[O, ...]:
            return tuple([obj.revised(**self._first_version(obj)) for obj in objects])

        return Submission(
            entries=each(submission.entries),
            submission_sets=each(submission.submission_sets),
            folders=each(submission.folders),
            associations=each(submission.associations),
        )

    def _first_version(self, obj: RegistryObject) -> dict[str, Any]:
        id_ = self.object_id(obj.id)
        changed: dict[str, Any] = {"id": id_, "lid": id_, "version": "1", "status": AvailabilityStatus.APPROVED}
        if isinstance(obj, Association):
            changed |= {"source": self.object_id(obj.source), "target": self.object_id(obj.target)}
        return changed
