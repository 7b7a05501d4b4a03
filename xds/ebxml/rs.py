"""ebRS 3.0 messages: submit, query and RegistryResponse (`rs.xsd`, `lcm.xsd`, `query.xsd`; ITI TF-3 4.2.4).

Answers are written as octets: registry objects go out as they are stored, nothing is parsed or built on the way, and
the pieces of a long answer are not copied together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from xds.ebxml.rim import OBJECT_REF, REGISTRY_OBJECT_LIST, SLOT, VALUE, encode_submission
from xds.ebxml.xml import Element, parse, quoted, serialize, text
from xds.errors import Code, Severity, SoapFault, Status, XDSError
from xds.messages import AdhocQuery, AdhocQueryResponse, RegistryResponse, ServedObject, SubmitObjectsRequest
from xds.metadata.model import Submission
from xds.metadata.vocabulary import LCM, QUERY, RIM, RS

REGISTRY_RESPONSE, ERROR_LIST, ERROR = (
    f"{{{RS}}}RegistryResponse",
    f"{{{RS}}}RegistryErrorList",
    f"{{{RS}}}RegistryError",
)
SUBMIT_OBJECTS_REQUEST = f"{{{LCM}}}SubmitObjectsRequest"
QUERY_RESPONSE, RESPONSE_OPTION = f"{{{QUERY}}}AdhocQueryResponse", f"{{{QUERY}}}ResponseOption"
ADHOC_QUERY = f"{{{RIM}}}AdhocQuery"

MAX_ERRORS = 1000  # of one answer: a hostile message of a few MB can have a million faults
MAX_LOCATION = 1024  # characters; no id that is meant to be found again is longer


# ITI-42


def encode_submit(submission: Submission) -> bytes:
    """Write lcm:SubmitObjectsRequest."""
    return (
        f'<lcm:SubmitObjectsRequest xmlns:lcm="{LCM}" xmlns:rim="{RIM}"><rim:RegistryObjectList>'
        f"{encode_submission(submission)}</rim:RegistryObjectList></lcm:SubmitObjectsRequest>"
    ).encode()


def submit_request(submission: Submission) -> SubmitObjectsRequest:
    """A SubmitObjectsRequest made from the model, as a source that lives in this process hands it over."""
    return SubmitObjectsRequest(parse(encode_submit(submission)))


# RegistryResponse


def encode_errors(errors: Iterable[XDSError]) -> str:
    """Write rs:RegistryErrorList with the prefix `rs`, or nothing if there is no error (ITI TF-3 4.2.4.1)."""
    errors = tuple(errors)
    if not errors:
        return ""
    highest = Severity.ERROR if any(error.severity is Severity.ERROR for error in errors) else Severity.WARNING
    if len(errors) > MAX_ERRORS:
        more = f"{len(errors) - MAX_ERRORS} further errors are not listed"
        errors = (*errors[:MAX_ERRORS], XDSError(errors[0].code, more, severity=highest))
    return f'<rs:RegistryErrorList highestSeverity="{highest}">{"".join(map(_error, errors))}</rs:RegistryErrorList>'


def _error(error: XDSError) -> str:
    location = f" location={quoted(error.location[:MAX_LOCATION])}" if error.location else ""
    return (
        f"<rs:RegistryError errorCode={quoted(str(error.code))} codeContext={quoted(error.context)}{location} "
        f'severity="{error.severity}"/>'
    )


def encode_response(response: RegistryResponse) -> bytes:
    """Write rs:RegistryResponse."""
    errors = encode_errors(response.errors)
    return f'<rs:RegistryResponse xmlns:rs="{RS}" status="{response.status}">{errors}</rs:RegistryResponse>'.encode()


def decode_response(element: Element) -> RegistryResponse:
    """Read rs:RegistryResponse from another actor, its errors word for word (ITI TF-2 3.41.4.2)."""
    return RegistryResponse(tuple(decode_errors(element)), _status(element))


def decode_errors(element: Element) -> Iterator[XDSError]:
    """Read the RegistryErrorList of a response, whatever its order."""
    for error in element.iterfind(f"{ERROR_LIST}/{ERROR}"):
        severity = Severity.WARNING if (error.get("severity") or "").endswith("Warning") else Severity.ERROR
        context = error.get("codeContext") or (error.text or "").strip() or "no codeContext was given"
        yield XDSError(error.get("errorCode") or Code.XDSRegistryError, context, error.get("location"), severity)


def _status(element: Element) -> Status:
    try:
        return Status(element.get("status") or "")
    except ValueError as error:
        raise SoapFault("Receiver", f"the answer has the status {element.get('status')!r}") from error


# ITI-18


def decode_query(element: Element) -> AdhocQuery:
    """Read query:AdhocQueryRequest (ITI TF-2 3.18.4.1.2); parameters are looked into by `queries.parse`."""
    option = element.find(RESPONSE_OPTION)
    query = element.find(ADHOC_QUERY)
    if query is None:
        return AdhocQuery("", (), None if option is None else option.get("returnType"))
    slots = tuple(
        ((slot.get("name") or "").strip(), tuple(value.text or "" for value in slot.iter(VALUE)))
        for slot in query.iterchildren(SLOT)
    )
    return AdhocQuery(
        (query.get("id") or "").strip(),
        slots,
        None if option is None else option.get("returnType"),
        query.get("home"),
    )


def encode_query(query: AdhocQuery) -> bytes:
    """Write query:AdhocQueryRequest."""
    slots = "".join(
        f"<rim:Slot name={quoted(name)}><rim:ValueList>"
        f"{''.join(f'<rim:Value>{text(value)}</rim:Value>' for value in values)}</rim:ValueList></rim:Slot>"
        for name, values in query.slots
    )
    home = f" home={quoted(query.home)}" if query.home is not None else ""
    return (
        f'<query:AdhocQueryRequest xmlns:query="{QUERY}" xmlns:rim="{RIM}">'
        f'<query:ResponseOption returnComposedObjects="true" returnType={quoted(query.return_type or "")}/>'
        f"<rim:AdhocQuery id={quoted(query.id)}{home}>{slots}</rim:AdhocQuery></query:AdhocQueryRequest>"
    ).encode()


def encode_query_response(response: AdhocQueryResponse) -> Sequence[bytes]:
    """Write query:AdhocQueryResponse in pieces: each object's octets as they are stored (ITI TF-2 3.18.4.1.2.6)."""
    home = f" home={quoted(response.home)}" if response.home is not None else ""
    return (
        f'<query:AdhocQueryResponse xmlns:query="{QUERY}" xmlns:rim="{RIM}" xmlns:rs="{RS}" '
        f'status="{response.status}">{encode_errors(response.errors)}<rim:RegistryObjectList>'.encode(),
        *[served.body for served in response.objects],
        "".join([f'<rim:ObjectRef id="{ref}"{home}/>' for ref in response.refs]).encode(),
        b"</rim:RegistryObjectList></query:AdhocQueryResponse>",
    )


def decode_query_response(element: Element) -> AdhocQueryResponse:
    """Read query:AdhocQueryResponse from another actor; a missing RegistryObjectList counts as empty."""
    objects = element.find(REGISTRY_OBJECT_LIST)
    children = () if objects is None else tuple(objects)
    return AdhocQueryResponse(
        errors=tuple(decode_errors(element)),
        objects=tuple(
            ServedObject(child.get("id") or "", serialize(child)) for child in children if child.tag != OBJECT_REF
        ),
        refs=tuple(child.get("id") or "" for child in children if child.tag == OBJECT_REF),
        received=_status(element),
    )
