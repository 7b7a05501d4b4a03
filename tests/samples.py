"""One canonical object of each kind, complete and valid for our own codes.xml; `entry(**changes)` changes it."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import replace

from xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    Identifier,
    LocalizedString,
    Submission,
    SubmissionSet,
)
from xds.metadata.vocabulary import EMPTY_SHA1, AssociationType

LOINC = "2.16.840.1.113883.6.1"
SNOMED = "2.16.840.1.113883.6.96"
PATIENT = "p1^^^&2.999.1.4&ISO"
OTHER_PATIENT = "p2^^^&2.999.1.4&ISO"
REPOSITORY = "2.999.1.77"
HAS_MEMBER = AssociationType.HAS_MEMBER

_numbers = itertools.count(1)


def new_oid() -> str:
    """A uniqueId nobody has used."""
    return f"2.25.{uuid.uuid4().int}"


def code(value: str, display: str, scheme: str = LOINC) -> Code:
    return Code(value, scheme, LocalizedString(display))


def entry(**changes: object) -> DocumentEntry:
    """A discharge summary with every attribute of ITI-42."""
    canonical = DocumentEntry(
        id=f"document{next(_numbers)}",
        mime_type="text/xml",
        author=(
            Author(
                person="11375^Müller^Änne^J^^Dr.^^^&2.999.1.9&ISO",
                institutions=("Klinikum Nord^^^^^&2.999.1.5&ISO^^^^45",),
                roles=("Attending",),
                specialties=("Internal medicine",),
                telecommunications=("^^Internet^a@example.org",),
            ),
        ),
        class_code=code("18842-5", "Discharge summary"),
        confidentiality_code=(code("N", "normal", "2.16.840.1.113883.5.25"),),
        creation_time="20251117093045",
        format_code=code("urn:ihe:pcc:xds-ms:2007", "XDS-MS", "1.3.6.1.4.1.19376.1.2.3"),
        hash=EMPTY_SHA1,
        healthcare_facility_type_code=code("22232009", "Hospital", SNOMED),
        language_code="de-DE",
        legal_authenticator="11375^Müller^Änne^^^Dr.^^^&2.999.1.9&ISO",
        patient_id=Identifier(PATIENT),
        practice_setting_code=code("394802001", "General medicine", SNOMED),
        repository_unique_id=REPOSITORY,
        service_start_time="20251101",
        service_stop_time="20251117",
        size="0",
        source_patient_id="loc9^^^&2.999.1.5&ISO",
        source_patient_info=("PID-3|loc9^^^&2.999.1.5&ISO", "PID-5|张^伟", "PID-7|19560527", "PID-8|M"),
        title=LocalizedString("Entlassbrief", "de-DE", "UTF-8"),
        comments=LocalizedString("Nur zur Ansicht"),
        type_code=code("18842-5", "Discharge summary"),
        unique_id=Identifier(new_oid()),
        uri="summary.xml",
    )
    return replace(canonical, **changes)


def submission_set(**changes: object) -> SubmissionSet:
    """A SubmissionSet of the same patient."""
    canonical = SubmissionSet(
        id=f"set{next(_numbers)}",
        author=(Author(institutions=("Klinikum Nord^^^^^&2.999.1.5&ISO^^^^45",)),),
        content_type_code=code("18842-5", "Discharge summary"),
        patient_id=Identifier(PATIENT),
        source_id=Identifier("2.999.1.3"),
        submission_time="20251117120000",
        title=LocalizedString("Entlassung"),
        unique_id=Identifier(new_oid()),
    )
    return replace(canonical, **changes)


def folder(**changes: object) -> Folder:
    """A Folder of the same patient."""
    canonical = Folder(
        id=f"folder{next(_numbers)}",
        code_list=(code("SUMMARIES", "Summaries", "1.3.6.1.4.1.19376.1.2.6.1"),),
        patient_id=Identifier(PATIENT),
        title=LocalizedString("Aufenthalt 2025"),
        unique_id=Identifier(new_oid()),
    )
    return replace(canonical, **changes)


def link(source: str, target: str, type_: str = HAS_MEMBER, **changes: object) -> Association:
    """An Association; HasMember unless another type is given."""
    return replace(Association(id=f"link{next(_numbers)}", type=type_, source=source, target=target), **changes)


def submission(
    *entries: DocumentEntry,
    folders: tuple[Folder, ...] = (),
    links: tuple[Association, ...] = (),
    sset: SubmissionSet | None = None,
) -> Submission:
    """A valid Submission of these objects: the memberships of the SubmissionSet are added.

    Args:
        entries: DocumentEntries of the message.
        folders: Folders of the message.
        links: further Associations; a Folder's memberships get their SubmissionSet link.
        sset: the SubmissionSet, if not the canonical one.
    """
    sset = sset or submission_set()
    members = [link(sset.id, doc.id, submission_set_status="Original") for doc in entries]
    members += [link(sset.id, fol.id) for fol in folders]
    inner = {fol.id for fol in folders}
    for assoc in links:
        is_folder_link = assoc.is_membership and (assoc.source in inner or assoc.source.startswith("urn:uuid:"))
        if is_folder_link:
            members.append(link(sset.id, assoc.id))
    return Submission(submission_sets=(sset,), entries=tuple(entries), folders=folders, associations=(*members, *links))
