"""Put described documents into a Submission (ITI TF-3 4.2.1.4, 4.2.2, 4.3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from xds.content.draft import NOTHING, Defaults, Missing, check, displayed, how_to_give
from xds.content.files import oid_of
from xds.content.header import ContentError
from xds.metadata.attributes import find
from xds.metadata.dtm import dtm_now
from xds.metadata.model import Association, Identifier, Submission, SubmissionSet
from xds.metadata.vocabulary import AssociationType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xds.metadata.affinity import AffinityDomain
    from xds.metadata.attributes import Attribute
    from xds.metadata.model import Code, DocumentEntry

SUBMISSION_SET_ID = "SubmissionSet01"


@dataclass(frozen=True, slots=True)
class Relationship:
    """A document that is to replace, append to or transform an earlier one (ITI TF-3 4.2.2.2).

    Attributes:
        type: RPLC, APND, XFRM or XFRM_RPLC.
        source: id of the new entry in this submission.
        target: entryUUID of the earlier entry.
        documentation: code that says why, if any.
    """

    type: AssociationType
    source: str
    target: str
    documentation: Code | None = None


class SubmissionDraft(NamedTuple):
    """A Submission as far as it is known, what it still lacks, and what was left out."""

    submission: Submission
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]


def submission_for(
    entries: Sequence[DocumentEntry],
    defaults: Defaults = NOTHING,
    affinity: AffinityDomain | None = None,
    *,
    options: Defaults = NOTHING,
    recipients: Iterable[str] = (),
    relationships: Iterable[Relationship] = (),
) -> SubmissionDraft:
    """Make the SubmissionSet for some entries of one patient, and the associations that bind them.

    Args:
        entries: at least one; their ids differ.
        defaults: contentTypeCode and sourceId, unless `options` has them.
        affinity: legal codes.
        options: win over `defaults`.
        recipients: intendedRecipient values of the documents.
        relationships: to entries that are registered already.

    Raises:
        ContentError: if there is no entry, or they are of several patients, or two have the same id.
    """
    _check_together(entries)
    sset, missing, notes = submission_set_for(entries, defaults, affinity, options=options, recipients=recipients)
    members = [_membership(sset.id, entry.id, number) for number, entry in enumerate(entries, 1)]
    relations = [
        Association(id=f"Relation{number:02}", type=each.type, source=each.source, target=each.target,
                    documentation=each.documentation)
        for number, each in enumerate(relationships, 1)
    ]  # fmt: skip
    submission = Submission(submission_sets=(sset,), entries=tuple(entries), associations=(*members, *relations))
    return SubmissionDraft(submission, missing, notes)


def submission_set_for(
    entries: Sequence[DocumentEntry],
    defaults: Defaults = NOTHING,
    affinity: AffinityDomain | None = None,
    *,
    options: Defaults = NOTHING,
    recipients: Iterable[str] = (),
) -> tuple[SubmissionSet, tuple[Missing, ...], tuple[str, ...]]:
    """Make the SubmissionSet: the entries' patient and authors, a new uniqueId, the present time (ITI TF-3 4.2.3.3)."""
    missing: list[Missing] = []
    code = _given("contentTypeCode", options.content_type_code or defaults.content_type_code, affinity, missing)
    source_id = _given("sourceId", options.source_id or defaults.source_id, affinity, missing)
    intended, faults = check(find(SubmissionSet, "intendedRecipient"), tuple(dict.fromkeys(recipients)), affinity)
    sset = SubmissionSet(
        id=SUBMISSION_SET_ID,
        patient_id=Identifier(entries[0].patient_id.value) if entries[0].patient_id else None,
        unique_id=Identifier(oid_of(uuid4())),
        source_id=Identifier(source_id) if source_id else None,
        content_type_code=displayed("contentTypeCode", code, affinity) if code else None,
        author=tuple(dict.fromkeys(author for entry in entries for author in entry.author)),
        intended_recipient=intended,
        submission_time=dtm_now(),
    )
    return sset, tuple(missing), tuple(f"intendedRecipient: {fault}; left out" for fault in faults)


def _given(name: str, value: Any, affinity: AffinityDomain | None, missing: list[Missing]) -> Any:
    row: Attribute = find(SubmissionSet, name)
    good, faults = check(row, value, affinity)
    if not good:
        missing.append(Missing(name, "; ".join(faults) or "a document does not say it", how_to_give(row)))
    return good


def _check_together(entries: Sequence[DocumentEntry]) -> None:
    if not entries:
        raise ContentError("there is no document to submit; expected at least one")
    patients = {entry.patient_id.value for entry in entries if entry.patient_id}
    if len(patients) > 1:
        raise ContentError(f"the documents are of {len(patients)} patients; expected one patient in a submission")
    if len({entry.id for entry in entries}) < len(entries):
        raise ContentError("two documents have the same id; expected a symbolic id for each")


def _membership(sset_id: str, entry_id: str, number: int) -> Association:
    return Association(
        id=f"Member{number:02}",
        type=AssociationType.HAS_MEMBER,
        source=sset_id,
        target=entry_id,
        submission_set_status="Original",
    )
