"""What must hold of the answers (ITI TF-3 4.2.4, 4.3.2; ITI TF-2 3.18.4.1.2.6, 3.43.4.2).

An answer has no error code for its own faults: XDSRegistryError stands for what a Registry answered wrongly,
XDSRepositoryError for a Repository. What the tables say of attributes is checked by the rules for submissions.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from lxml import etree

from xds.ebxml import rim, rs, xdsb
from xds.ebxml.schema import validate
from xds.ebxml.xml import Element
from xds.errors import Code, Severity, Status, XDSError
from xds.metadata.datatypes import DATATYPES
from xds.metadata.model import Submission
from xds.metadata.rules import Facts, Finding, Message, citation
from xds.metadata.rules.values import attributes_are_valid
from xds.metadata.vocabulary import (
    ASSOCIATION_TYPE,
    CLASSIFICATION_TYPE,
    EXTERNAL_IDENTIFIER_TYPE,
    ON_DEMAND,
    REGISTRY_PACKAGE_TYPE,
    STABLE,
    AvailabilityStatus,
)

AnswerRule = Callable[[Element], Iterator[XDSError]]

_REGISTRY, _REPOSITORY = Code.XDSRegistryError, Code.XDSRepositoryError
_DTM_SECONDS = 14


def _fault(problem: str, location: str | None = None, *, code: Code = _REGISTRY, warning: bool = False) -> XDSError:
    return XDSError(code, problem, location, Severity.WARNING if warning else Severity.ERROR)


def _apply(rules: Iterable[AnswerRule], el: Element) -> Iterator[Finding]:
    for rule in rules:
        for error in rule(el):
            yield Finding(error, citation(rule))


# rs:RegistryResponse and the RegistryErrorList of every answer


def schema_is_kept(el: Element) -> Iterator[XDSError]:
    """The answer is valid (ebRS 3.0 rs.xsd, query.xsd; ITI TF-2 Appendix V)."""
    for violation in validate(_without_octets(el)):
        yield _fault(str(violation), violation.location)


def _without_octets(el: Element) -> Element:
    """A copy whose Documents are empty: what is a part of the message cannot be base64."""
    bare = copy.deepcopy(el)
    for document in bare.iter(xdsb.DOCUMENT):
        for child in document:
            document.remove(child)
    return bare


def status_is_known(el: Element) -> Iterator[XDSError]:
    """The status is one of the URNs (ITI TF-3 4.2.4.2)."""
    if el.get("status") not in {*Status}:
        yield _fault(f"the status is {el.get('status')!r}, expected one of {', '.join(Status)}")


def status_agrees_with_errors(el: Element) -> Iterator[XDSError]:
    """Success has no Error, Failure and PartialSuccess have one (ITI TF-3 4.2.4.2)."""
    listed = el.iterfind(f"{rs.ERROR_LIST}/{rs.ERROR}")
    errors = [error for error in listed if error.get("severity") != Severity.WARNING]
    status = el.get("status")
    if status == Status.SUCCESS and errors:
        yield _fault(f"the status is Success beside {len(errors)} RegistryError of severity Error")
    if status in {Status.FAILURE, Status.PARTIAL} and not errors:
        yield _fault(f"the status is {str(status).rpartition(':')[2]} without a RegistryError of severity Error")


def errors_are_complete(el: Element) -> Iterator[XDSError]:
    """Every RegistryError has a plain errorCode, a codeContext and a severity (ITI TF-3 4.2.4.1)."""
    for number, error in enumerate(el.iterfind(f"{rs.ERROR_LIST}/{rs.ERROR}"), 1):
        code, where = error.get("errorCode") or "", error.get("location")
        if not code or ":" in code:
            yield _fault(f"RegistryError {number}: errorCode is {code!r}, expected a code without namespace", where)
        if not (error.get("codeContext") or "").strip():
            yield _fault(f"RegistryError {number} ({code}) has no codeContext", where)
        if error.get("severity") not in {*Severity}:
            found = error.get("severity")
            yield _fault(f"RegistryError {number} ({code}): severity is {found!r}, expected a severity URN", where)
        if (error.text or "").strip():
            yield _fault(f"RegistryError {number} ({code}) has text; what it says belongs in codeContext", where)


def highest_severity_is_right(el: Element) -> Iterator[XDSError]:
    """HighestSeverity, if given, is that of the list (ITI TF-3 4.2.4.1)."""
    errors = el.find(rs.ERROR_LIST)
    found = None if errors is None else errors.get("highestSeverity")
    if errors is None or found is None:
        return
    severities = {error.get("severity") for error in errors.iterchildren(rs.ERROR)}
    expected = Severity.WARNING if severities == {Severity.WARNING} else Severity.ERROR
    if found != expected:
        yield _fault(f"highestSeverity is {found}, the errors' is {expected}")


ERRORS: tuple[AnswerRule, ...] = (
    status_is_known,
    status_agrees_with_errors,
    errors_are_complete,
    highest_severity_is_right,
)


def is_not_partial(el: Element) -> Iterator[XDSError]:
    """A submission succeeds or fails as a whole (ITI TF-2 3.41.4.2, 3.42.4.2; ITI TF-3 4.2.4.2)."""
    if el.get("status") == Status.PARTIAL:
        yield _fault("a RegistryResponse knows no PartialSuccess")


def examine_response(el: Element) -> Iterator[Finding]:
    """Examine rs:RegistryResponse, the answer to ITI-41 and ITI-42."""
    yield from _apply((schema_is_kept, *ERRORS, is_not_partial), el)


# query:AdhocQueryResponse


def _listed(el: Element) -> Iterator[Element]:
    objects = el.find(rim.REGISTRY_OBJECT_LIST)
    return iter(()) if objects is None else objects.iterchildren(etree.Element)


def failure_has_no_objects(el: Element) -> Iterator[XDSError]:
    """A Failure returns nothing (ITI TF-2 3.18.4.1.2.6)."""
    count = sum(1 for _ in _listed(el))
    if el.get("status") == Status.FAILURE and count:
        yield _fault(f"the status is Failure beside {count} objects")


def objects_are_of_one_form(el: Element) -> Iterator[XDSError]:
    """Either ObjectRefs or whole objects, each at most once (ITI TF-2 3.18.4.1.2.6)."""
    listed = list(_listed(el))
    refs = sum(child.tag == rim.OBJECT_REF for child in listed)
    if 0 < refs < len(listed):
        yield _fault(f"{refs} of {len(listed)} objects are ObjectRefs; returnType is LeafClass or ObjectRef, not both")
    for id_, count in Counter(rim.normal_id(child.get("id") or "") for child in listed).items():
        if count > 1:
            yield _fault(f"the object {id_} is returned {count} times", id_)


_OBJECT_TYPES = {
    rim.REGISTRY_PACKAGE: (REGISTRY_PACKAGE_TYPE,),
    rim.ASSOCIATION: (ASSOCIATION_TYPE,),
    rim.EXTRINSIC_OBJECT: (STABLE, ON_DEMAND),
    rim.CLASSIFICATION: (CLASSIFICATION_TYPE,),
    rim.EXTERNAL_IDENTIFIER: (EXTERNAL_IDENTIFIER_TYPE,),
}


def object_types_are_given(el: Element) -> Iterator[XDSError]:
    """Objects and their parts have the objectType of their kind (ITI TF-3 4.2.5.2; ebRIM in ebRS 3.0)."""
    for child in _listed(el):
        for part in child.iter(*_OBJECT_TYPES):
            expected, found = _OBJECT_TYPES[str(part.tag)], part.get("objectType")
            if found not in expected:
                yield _fault(
                    f"{_name(part)}: objectType is {found!r}, expected {' or '.join(expected)}", child.get("id")
                )


def _name(el: Element) -> str:
    return f"{etree.QName(el).localname} {el.get('id')}"


def ids_are_uuids(el: Element) -> Iterator[XDSError]:
    """Ids of objects and parts are UUIDs in lower case; symbolic ids are never returned (ITI TF-3 4.2.3.1.5)."""
    for child in _listed(el):
        for part in child.iter(*_OBJECT_TYPES, rim.OBJECT_REF):
            if problem := DATATYPES["UUID"].check(part.get("id") or ""):
                yield _fault(f"{_name(part)}: the id is no entryUUID: {problem}", child.get("id"))


def objects_have_status(el: Element) -> Iterator[XDSError]:
    """AvailabilityStatus is returned with every object (ITI TF-3 Table 4.3.2.1-3)."""
    for child in _listed(el):
        if child.tag != rim.OBJECT_REF and child.get("status") not in {*AvailabilityStatus}:
            yield _fault(
                f"{_name(child)}: status is {child.get('status')!r}, expected Approved or Deprecated", child.get("id")
            )


def versions_are_given(el: Element) -> Iterator[XDSError]:
    """Lid and VersionInfo are returned with every entry, SubmissionSet and Folder (Metadata Update 4.2.3.2.31, .32)."""
    for child in _listed(el):
        if child.tag not in {rim.EXTRINSIC_OBJECT, rim.REGISTRY_PACKAGE}:
            continue
        if problem := DATATYPES["UUID"].check(child.get("lid") or ""):
            yield _fault(f"{_name(child)}: the lid is no UUID: {problem}", child.get("id"))
        version = child.find(rim.VERSION_INFO)
        if version is None or not (version.get("versionName") or "").isdigit():
            yield _fault(f"{_name(child)}: VersionInfo/@versionName is missing or no number", child.get("id"))


def shape_is_right(el: Element) -> Iterator[XDSError]:
    """Objects are encoded as document sharing metadata (ITI TF-3 4.2.3.1)."""
    objects = el.find(rim.REGISTRY_OBJECT_LIST)
    if objects is not None:
        for error in rim.decode_list(objects)[1]:
            yield replace(error, code=_REGISTRY)


def folders_have_last_update_time(el: Element) -> Iterator[XDSError]:
    """LastUpdateTime of a Folder is returned to the second (ITI TF-3 4.2.3.4.6, Table 4.3.2.1-3)."""
    for folder in _decoded(el).folders:
        found = folder.last_update_time or ""
        if len(found) != _DTM_SECONDS or DATATYPES["DTM"].check(found):
            yield _fault(f"Folder {folder.id}: lastUpdateTime is {found!r}, expected 14 digits", folder.id)


def _decoded(el: Element) -> Submission:
    objects = el.find(rim.REGISTRY_OBJECT_LIST)
    return rim.decode_list(objects if objects is not None else ())[0]


QUERY_RESPONSE: tuple[AnswerRule, ...] = (
    schema_is_kept,
    *ERRORS,
    failure_has_no_objects,
    objects_are_of_one_form,
    object_types_are_given,
    ids_are_uuids,
    objects_have_status,
    versions_are_given,
    shape_is_right,
    folders_have_last_update_time,
)


def examine_query_response(el: Element, facts: Facts) -> Iterator[Finding]:
    """Examine query:AdhocQueryResponse, the answer to ITI-18.

    What a Registry must be sent it must also return (Table 4.3.2.1-3 against 4.3.1-3), so the attributes of what is
    returned are held against the same rows; On-Demand entries against their own column.
    """
    yield from _apply(QUERY_RESPONSE, el)
    found = _decoded(el)
    on_demand = tuple(entry for entry in found.entries if entry.object_type == ON_DEMAND)
    stable = tuple(entry for entry in found.entries if entry.object_type != ON_DEMAND)
    for objects, facts_ in (
        (replace(found, entries=stable), facts),
        (Submission(entries=on_demand), replace(facts, on_demand=True)),
    ):
        for error in attributes_are_valid(Message(objects), facts_):
            yield Finding(replace(error, code=_REGISTRY), "ITI TF-3 Table 4.3.2.1-3, 4.2.3.1.7")


# ITI-43


def requests_are_complete(el: Element) -> Iterator[XDSError]:
    """Each DocumentRequest names a repository and a document (ITI TF-2 3.43.4.1.2)."""
    requests = xdsb.decode_retrieve(el)
    if not requests:
        yield _fault("the request names no document", code=_REPOSITORY)
    for number, request in enumerate(requests, 1):
        if not request.repository_unique_id:
            problem = f"DocumentRequest {number} has no RepositoryUniqueId"
            yield _fault(problem, request.document_unique_id or None, code=Code.XDSUnknownRepositoryId)
        elif problem := DATATYPES["OID"].check(request.repository_unique_id) or "":
            problem = f"DocumentRequest {number}: RepositoryUniqueId: {problem}"
            yield _fault(problem, request.document_unique_id or None, code=Code.XDSUnknownRepositoryId)
        if not request.document_unique_id:
            problem = f"DocumentRequest {number} has no DocumentUniqueId"
            yield _fault(problem, code=Code.XDSDocumentUniqueIdError)


def request_schema_is_kept(el: Element) -> Iterator[XDSError]:
    """The request is valid (ITI TF-2 3.43.4.1.2, Appendix W)."""
    for violation in validate(el):
        yield _fault(str(violation), violation.location, code=_REPOSITORY)


def examine_retrieve(el: Element) -> Iterator[Finding]:
    """Examine xds:RetrieveDocumentSetRequest."""
    yield from _apply((request_schema_is_kept, requests_are_complete), el)


def status_agrees_with_documents(el: Element) -> Iterator[XDSError]:
    """Success delivers all, PartialSuccess some, Failure none (ITI TF-2 3.43.4.2.2)."""
    response, count = el.find(rs.REGISTRY_RESPONSE), len(list(el.iterchildren(xdsb.DOCUMENT_RESPONSE)))
    status = None if response is None else response.get("status")
    if status == Status.FAILURE and count:
        yield _fault(f"the status is Failure beside {count} documents", code=_REPOSITORY)
    if status in {Status.SUCCESS, Status.PARTIAL} and not count:
        name = str(status).rpartition(":")[2]
        yield _fault(f"the status is {name} without any document", code=_REPOSITORY)


def documents_are_complete(el: Element) -> Iterator[XDSError]:
    """Each DocumentResponse names repository, document and mimeType, and brings octets (ITI TF-2 3.43.4.2.2)."""
    for number, item in enumerate(el.iterchildren(xdsb.DOCUMENT_RESPONSE), 1):
        for name in ("RepositoryUniqueId", "DocumentUniqueId", "mimeType"):
            value = item.findtext(f"{{*}}{name}")
            if not (value or "").strip():
                yield _fault(f"DocumentResponse {number} has no {name}", code=_REPOSITORY)
        if item.find(xdsb.DOCUMENT) is None:
            yield _fault(f"DocumentResponse {number} has no Document", code=_REPOSITORY)


def errors_name_documents(el: Element) -> Iterator[XDSError]:
    """The location of a RegistryError is the DocumentUniqueId it is about (ITI TF-2 3.43.4.2.2)."""
    for error in el.iterfind(f"{rs.REGISTRY_RESPONSE}/{rs.ERROR_LIST}/{rs.ERROR}"):
        if not error.get("location"):
            code = error.get("errorCode")
            problem = f"RegistryError {code} has no location, expected the DocumentUniqueId"
            yield _fault(problem, code=_REPOSITORY, warning=True)


def examine_retrieve_response(el: Element, arrived: Collection[str]) -> Iterator[Finding]:
    """Examine xds:RetrieveDocumentSetResponse.

    Args:
        el: the body.
        arrived: Content-IDs of the parts that came with it.
    """
    rules = (schema_is_kept, status_agrees_with_documents, documents_are_complete, errors_name_documents)
    yield from _apply(rules, el)
    response = el.find(rs.REGISTRY_RESPONSE)
    if response is not None:
        yield from _apply(ERRORS, response)
    for document in el.iter(xdsb.DOCUMENT):
        cid = xdsb.content_id(document)
        if cid not in arrived:
            problem = f"a Document refers to {cid!r}, and no part of the message is called so"
            yield Finding(_fault(problem, code=_REPOSITORY), "ITI TF-2 V.3.6")
