"""Short ways to register and to look at what queries return."""

from __future__ import annotations

from tests.actors import Bench, Found
from tests.samples import entry, link, submission
from xds.metadata.model import DocumentEntry, Folder
from xds.metadata.vocabulary import AssociationType, AvailabilityStatus

_, RPLC, *_ = AssociationType


def registered(bench: Bench, *entries: DocumentEntry, **more) -> list[DocumentEntry]:
    bench.accept(submission(*entries, **more))
    return [bench.entry(sent.unique_id.value) for sent in entries]


def one(bench: Bench, **changes) -> DocumentEntry:
    [found] = registered(bench, entry(**changes))
    return found


def contents(bench: Bench, of: Folder) -> Found:
    return bench.find("GetFolderAndContents", XDSFolderUniqueId=of.unique_id.value)


def submitted(bench: Bench, unique_id: str) -> Found:
    return bench.find("GetSubmissionSetAndContents", XDSSubmissionSetUniqueId=unique_id)


def status(bench: Bench, *entries: DocumentEntry) -> list[AvailabilityStatus | None]:
    return [bench.entry(each.unique_id.value).status for each in entries]


def replaced(bench: Bench, old: DocumentEntry, type_: str = RPLC, **changes) -> DocumentEntry:
    new = entry(**changes)
    bench.accept(submission(new, links=(link(new.id, old.id, type_),)))
    return bench.entry(new.unique_id.value)


def set_of(bench: Bench, id_: str) -> str:
    """The SubmissionSet that holds an object."""
    [found] = bench.find("GetSubmissionSets", uuid=id_).sets
    return found.id
