"""Wrong submissions for ITI-42, and the ways to make them (ITI TF-2 3.42.4.1.3; TF-3 4.1.4, 4.2.2, 4.2.3, 4.3.1).

Each is the canonical submission with one mistake. A row says which code, which fragments of the codeContext, and which
location its sender must be told. The rows are in `wrong_structure`, `wrong_values` and `wrong_registered`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from lxml import etree

from tests.actors import Bench
from tests.samples import OTHER_PATIENT, code, entry, folder, link, new_oid, submission, submission_set
from xds.ebxml.rs import encode_submit
from xds.ebxml.xml import Element, parse
from xds.errors import Code
from xds.metadata.attributes import find as attribute
from xds.metadata.model import Association, DocumentEntry, Identifier, Submission
from xds.metadata.vocabulary import RIM, AssociationType

ME = Code.XDSRegistryMetadataError
UNRESOLVED = Code.UnresolvedReferenceException
NS = {"rim": RIM}
CLASS_CODE, TYPE_CODE = attribute(DocumentEntry, "classCode").key, attribute(DocumentEntry, "typeCode").key
AUTHOR = attribute(DocumentEntry, "author").key
NO_SCHEME = "urn:uuid:00000000-0000-4000-8000-000000000000"
LIMITED_ENTRY = "urn:uuid:ab9b591b-83ab-4d03-8f5d-f93b1fb92e85"
LIMITED_SET = "urn:uuid:5003a9db-8d8d-49e6-bf0c-990e34ac7707"
OTHER_SHA1 = "a9993e364706816aba3e25717850c26c9cd0d89d"


@dataclass(frozen=True)
class Wrong:
    """One row.

    Attributes:
        name: the rule of docs/conformance.md and what is wrong.
        make: gives the message; it may register something first.
        code: errorCode of one of the errors.
        says: all must stand in its codeContext.
        at: its location; None where there is none, "" if any will do.
        only: no other code may come with it.
    """

    name: str
    make: Callable[[Bench], Submission | Element | bytes]
    code: Code
    says: tuple[str, ...]
    at: str | None = ""
    only: bool = True


# Ways to be wrong


def doc(**changes: object) -> Callable[[Bench], Submission]:
    """The canonical submission with a changed DocumentEntry `doc`."""
    return lambda _: submission(entry(id="doc", **changes))


def sset(**changes: object) -> Callable[[Bench], Submission]:
    return lambda _: submission(entry(id="doc"), sset=submission_set(id="set", **changes))


def fold(**changes: object) -> Callable[[Bench], Submission]:
    return lambda _: submission(folders=(folder(id="folder", **changes),))


def edit(path: str, change: Callable[[Element], object], of: Submission | None = None) -> Callable[[Bench], Element]:
    """The canonical submission as XML, changed at every place the path finds."""

    def make(_: Bench) -> Element:
        sent = of or submission(
            entry(id="doc"),
            folders=(folder(id="folder"),),
            links=(link("folder", "doc", id="in"),),
            sset=submission_set(id="set"),
        )
        root = parse(encode_submit(sent))
        places = root.xpath(path, namespaces=NS)
        assert places, path
        for place in places:
            change(place)
        return parse(etree.tostring(root))

    return make


def remove(element: Element) -> None:
    element.getparent().remove(element)


def put(name: str, value: str) -> Callable[[Element], None]:
    return lambda element: element.set(name, value)


def drop(name: str) -> Callable[[Element], object]:
    return lambda element: element.attrib.pop(name)


def add(xml: str, at: int = 0) -> Callable[[Element], None]:
    """Insert a child; the prefix `rim` is known."""
    made = f'<x xmlns:rim="{RIM}">{xml}</x>'
    return lambda element: element.insert(at, parse(made.encode())[0])


def twice(element: Element) -> None:
    element.addnext(parse(etree.tostring(element, with_tail=False)))


def twice_with_ids(element: Element) -> None:
    twice(element)
    element.getnext().set("id", "other")


def say(text: str) -> Callable[[Element], object]:
    return lambda element: setattr(element, "text", text)


def slot_of(name: str, *values: str) -> str:
    listed = "".join(f"<rim:Value>{value}</rim:Value>" for value in values)
    return f'<rim:Slot name="{name}"><rim:ValueList>{listed}</rim:ValueList></rim:Slot>'


def node(kind: str, of: str) -> str:
    return f'<rim:Classification id="k" classifiedObject="{of}" classificationNode="{kind}"/>'


def classification(scheme: str, of: str, value: str = "1") -> str:
    attributes = f'id="k" classifiedObject="{of}" classificationScheme="{scheme}" nodeRepresentation="{value}"'
    name = f'<rim:Name><rim:LocalizedString value="{value}"/></rim:Name>'
    return f"<rim:Classification {attributes}>{slot_of('codingScheme', '1.2')}{name}</rim:Classification>"


def identifier(id_: str, of: str, scheme: str = "urn:example:scheme") -> str:
    return f'<rim:ExternalIdentifier id="{id_}" registryObject="{of}" identificationScheme="{scheme}" value="1"/>'


DOC, SET, FOLDER = "//rim:ExtrinsicObject", "//rim:RegistryPackage[@id='set']", "//rim:RegistryPackage[@id='folder']"
UNIQUE_ID = f"{DOC}/rim:ExternalIdentifier[@identificationScheme='{attribute(DocumentEntry, 'uniqueId').key}']"
LIST, DOC_LINK = "//rim:RegistryObjectList", "//rim:Association[@targetObject='doc'][@sourceObject='set']"


def slot(name: str, of: str = DOC) -> str:
    return f"{of}/rim:Slot[@name='{name}']"


def coded(scheme: str, of: str = DOC) -> str:
    return f"{of}/rim:Classification[@classificationScheme='{scheme}']"


def also(*links: Association, **changes: object) -> Callable[[Bench], Submission]:
    """The canonical submission with a Folder, its member, and further associations."""

    def make(_: Bench) -> Submission:
        sent = submission(entry(id="doc"), folders=(folder(id="folder"),), sset=submission_set(id="set"))
        return replace(sent, associations=(*sent.associations, *links), **changes)

    return make


def linked(*types: str, prepare: Callable[[Bench], str], **changes: object) -> Callable[[Bench], Submission]:
    """A new document `doc` linked to what was prepared."""

    def make(bench: Bench) -> Submission:
        target = prepare(bench)
        return submission(
            entry(id="doc", **changes),
            links=tuple(link("doc", target, type_, id=f"to{n}") for n, type_ in enumerate(types)),
        )

    return make


def registered_entry(bench: Bench, **changes: object) -> str:
    sent = entry(**changes)
    bench.accept(submission(sent, sset=submission_set(patient_id=sent.patient_id)))
    return bench.entry(sent.unique_id.value).id


def of_registered(make: Callable[..., Submission], *prepare: Callable[[Bench], str]) -> Callable[[Bench], Submission]:
    """A submission made from the ids of what is registered before."""
    return lambda bench: make(*(each(bench) for each in prepare))


def registered_folder(bench: Bench, **changes: object) -> str:
    sent = folder(**changes)
    bench.accept(submission(folders=(sent,), sset=submission_set(patient_id=sent.patient_id)))
    return bench.folder(sent.unique_id.value).id


def registered_set(bench: Bench) -> str:
    sent = submission_set()
    bench.accept(submission(entry(), sset=sent))
    [found] = bench.find("GetSubmissionSetAndContents", XDSSubmissionSetUniqueId=sent.unique_id.value).sets
    return found.id


def registered_link(bench: Bench) -> str:
    return bench.links(registered_entry(bench))[0].id


def of_other(bench: Bench) -> str:
    return registered_entry(bench, patient_id=Identifier(OTHER_PATIENT))


def deprecated(bench: Bench) -> str:
    old = registered_entry(bench)
    new = entry()
    bench.accept(submission(new, links=(link(new.id, old, AssociationType.RPLC),)))
    return old


def transform(bench: Bench) -> str:
    original, made = registered_entry(bench), entry()
    bench.accept(submission(made, links=(link(made.id, original, AssociationType.XFRM),)))
    return bench.entry(made.unique_id.value).id


def unknown(_: Bench) -> str:
    return uuid.uuid4().urn


def by_reference(prepare: Callable[[Bench], str], status: str | None = "Reference") -> Callable[[Bench], Submission]:
    def make(bench: Bench) -> Submission:
        sent = submission(sset=submission_set(id="set"))
        return replace(sent, associations=(link("set", prepare(bench), id="ref", submission_set_status=status),))

    return make


def into_folder(folder_of: Callable[[Bench], str], entry_of: Callable[[Bench], str] | None = None, **changes: object):
    """A document, new unless it is prepared, becomes a member of a prepared Folder."""

    def make(bench: Bench) -> Submission:
        holder = folder_of(bench)
        if entry_of is None:
            return submission(entry(id="doc", **changes), links=(link(holder, "doc", id="in"),))
        return submission(links=(link(holder, entry_of(bench), id="in"),))

    return make


def with_unique_id_of(prepare: Callable[[Bench], Identifier], kind: str, **changes: object):
    def make(bench: Bench) -> Submission:
        taken = prepare(bench)
        if kind == "set":
            return submission(entry(), sset=submission_set(id="set", unique_id=taken))
        if kind == "folder":
            return submission(folders=(folder(id="folder", unique_id=taken),))
        return submission(entry(id="doc", unique_id=taken, **changes))

    return make


def known_entry(bench: Bench) -> Identifier:
    sent = entry(unique_id=Identifier(TAKEN["entry"]))
    if not bench.find("GetDocuments", XDSDocumentEntryUniqueId=TAKEN["entry"]).entries:
        bench.accept(submission(sent))
    return sent.unique_id


def known_set(bench: Bench) -> Identifier:
    if not bench.find("GetSubmissionSetAndContents", XDSSubmissionSetUniqueId=TAKEN["set"]).sets:
        bench.accept(submission(entry(), sset=submission_set(unique_id=Identifier(TAKEN["set"]))))
    return Identifier(TAKEN["set"])


def known_folder(bench: Bench) -> Identifier:
    if not bench.find("GetFolders", XDSFolderUniqueId=TAKEN["folder"]).folders:
        bench.accept(submission(folders=(folder(unique_id=Identifier(TAKEN["folder"])),)))
    return Identifier(TAKEN["folder"])


TAKEN = {kind: new_oid() for kind in ("entry", "set", "folder")}


def used_id(kind: str, prepare: Callable[[Bench], str], variant: Callable[[str], str] = str):
    """The submitted UUID is already that of a registered object."""

    def make(bench: Bench) -> Submission:
        id_ = variant(prepare(bench))
        if kind == "folder":
            return submission(folders=(folder(id=id_),))
        if kind == "set":
            return submission(entry(), sset=submission_set(id=id_))
        if kind == "link":
            sent = submission(entry(), folders=(folder(),))
            return replace(sent, associations=(*sent.associations[:-1], replace(sent.associations[-1], id=id_)))
        return submission(entry(id=id_))

    return make


def two_entries(second: dict[str, object], first: dict[str, object] | None = None, links: tuple[Association, ...] = ()):
    return lambda _: submission(entry(id="doc", **(first or {})), entry(id="doc2", **second), links=links)


RPLC, XFRM, APND, XFRM_RPLC = (
    AssociationType.RPLC,
    AssociationType.XFRM,
    AssociationType.APND,
    AssociationType.XFRM_RPLC,
)
SIGNS, SNAPSHOT = AssociationType.SIGNS, AssociationType.IS_SNAPSHOT_OF
DEPRECATED = Code.XDSRegistryDeprecatedDocumentError
OTHER = Identifier(OTHER_PATIENT)
NOBODY = Identifier("nobody^^^&2.999.1.4&ISO")
DOCUMENTATION = code("SIGNED", "Signed", "1.2.840.10065.1.12")
GARBAGE = "urn:uuid:not-a-uuid"
BAD_UUID = "urn:uuid:{12345678-1234-1234-1234-123456789012}"
