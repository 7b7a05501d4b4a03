"""A message examined without registry or repository: every finding with its code, its place, and the section it breaks.

The steps are the server's (`xds.soap.server`), by the server's own functions as far as no actor is needed. What only a
registry can tell (known patients, uniqueIds in use, objects referred to) is not looked at.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from xds.ebxml import xdsb
from xds.ebxml.schema import validate as violations
from xds.ebxml.xml import Element, parse
from xds.errors import Code, Refused, Severity, SoapFault, XDSError
from xds.messages import ProvideAndRegister, SubmittedDocument
from xds.metadata.affinity import AffinityDomain, CodeType
from xds.metadata.rules import Facts, Finding, citation
from xds.metadata.vocabulary import EMPTY_SHA1
from xds.queries.parse import parse as parse_query
from xds.queries.table import BY_ID
from xds.soap import envelope
from xds.soap.bodies import CODECS
from xds.soap.mime import CHUNK, shown
from xds.soap.mtom import Message, read_message
from xds.transactions import BY_ACTION, ITI_18, ITI_41, ITI_42, ITI_43, ITI_51, TRANSACTIONS
from xds.validation import provide, responses
from xds.validation.capture import read_capture
from xds.validation.submission import examine_alone

ANY_CODE = AffinityDomain({}, open=frozenset(CodeType))
"""An affinity domain in which every code, mime type and assigning authority is legal."""

_PACKAGING = "ITI TF-2 Appendix V.3; SOAP 1.2 Part 1, 5; WS-Addressing SOAP Binding 6"
_PLACEHOLDER = "2.25.0"  # the repositoryUniqueId a Repository would fill in
_ENVELOPES = (envelope.ENVELOPE, f"{{{envelope.SOAP_1_1}}}Envelope")


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        what: which message it is, for a person.
        findings: in the order found.
    """

    what: str
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Without the warnings."""
        return tuple(finding for finding in self.findings if finding.error.severity is Severity.ERROR)


def validate(data: bytes, affinity: AffinityDomain = ANY_CODE) -> Report:
    """Examine a saved message: request or answer of ITI-18, 41, 42, 43.

    Args:
        data: with HTTP header or without; MIME, SOAP envelope or the bare body element.
        affinity: the codes and assigning authorities that are legal.
    """
    examination = _Examination(Facts(affinity))
    try:
        capture = read_capture(data)
        with read_message(io.BytesIO(capture.body), capture.content_type) as message:
            examination.run(message, capture.soap_action)
            message.drain()
    except SoapFault as fault:
        examination.add([_fault_finding(fault)])
    return Report(examination.what, tuple(examination.findings))


def _fault_finding(fault: SoapFault) -> Finding:
    subcode = f"/{fault.subcode.rpartition('}')[2]}" if fault.subcode else ""
    return Finding(XDSError(f"soap:{fault.code}{subcode}", fault.reason), _PACKAGING)


@dataclass
class _Examination:
    """One message on its way through the steps."""

    facts: Facts
    what: str = "no message of XDS"
    findings: list[Finding] = field(default_factory=list)
    action: str = ""

    def add(self, findings: Iterable[Finding]) -> None:
        """Take findings over, as far as they get before the message ends them."""
        self.findings.extend(findings)

    def run(self, message: Message, soap_action: str | None) -> None:
        """Examine envelope and body.

        Raises:
            SoapFault: the message ends here.
        """
        root = parse(message.root)
        body = self._open(root, message, soap_action) if root.tag in _ENVELOPES else root
        if body is None:
            return
        examine = _BODIES.get(str(body.tag))
        if examine is None:
            known = ", ".join(tag.rpartition("}")[2] for tag in _BODIES)
            raise SoapFault("Sender", f"{shown(str(body.tag))} is no message of XDS; expected one of {known}")
        self.what = _NAMES[str(body.tag)]
        self.add(examine(self, body, message))

    def _open(self, root: Element, message: Message, soap_action: str | None) -> Element | None:
        """Look at the envelope as the server does, and find the body whatever is wrong with it."""
        body = root.find("{*}Body/*")
        is_answer = body is not None and body.tag not in {row.request for row in TRANSACTIONS}
        try:
            if is_answer:
                self.add(_answer_headers(root, str(getattr(body, "tag", ""))))
            else:
                self._check_request(message, soap_action)
        except SoapFault as fault:
            self.add([_fault_finding(fault)])
        return body

    def _check_request(self, message: Message, soap_action: str | None) -> None:
        found = envelope.read_request(message.root)
        self.action = found.action
        from_http = (
            ("the Content-Type's action parameter", message.action),
            ("the HTTP header SOAPAction", soap_action),
        )
        envelope.check_http_action(found, from_http)
        row = BY_ACTION.get(found.action)
        if row is None:
            raise envelope.action_not_supported(found.action, f"expected one of {', '.join(BY_ACTION)}")
        if found.body.tag != row.request:
            reason = f"the SOAP Body holds {shown(str(found.body.tag))}; wsa:Action {row.action} needs {row.request}"
            raise SoapFault("Sender", reason)


def _answer_headers(root: Element, body: str) -> Iterator[Finding]:
    """The addressing headers of an answer (ITI TF-2 V.3.2)."""
    section = citation(_answer_headers)
    found = (root.findtext(f"{{*}}Header/{envelope.ACTION}") or "").strip()
    expected = [row.response_action for row in TRANSACTIONS if row.response == body]
    if expected and found not in expected:
        reason = f"wsa:Action of the answer is {shown(found)}, expected {' or '.join(expected)}"
        yield Finding(XDSError("soap:Receiver", reason), section)
    if not (root.findtext(f"{{*}}Header/{envelope.RELATES_TO}") or "").strip():
        reason = "wsa:RelatesTo is missing; it gives back the wsa:MessageID of the request, if that had one"
        yield Finding(XDSError("soap:Receiver", reason, severity=Severity.WARNING), section)


# Bodies


def _submit(self: _Examination, body: Element, _message: Message) -> Iterator[Finding]:
    yield from examine_alone(body, self.facts)


def _provide(self: _Examination, body: Element, message: Message) -> Iterator[Finding]:
    """As the Repository: pair, read and compare, fill in; then as the Registry."""
    try:
        request: ProvideAndRegister = CODECS[ITI_41.number].decode(body, message)
    except XDSError as fault:
        yield Finding(fault, "ITI TF-2 3.41.4.1.2")
        return
    entries = tuple(xdsb.provided_entries(request.submission))
    for rule in provide.PAIRING:
        for error in rule(entries, request.document_ids):
            yield Finding(error, citation(rule))
    octets = _octets(request.documents)
    for entry in entries:
        if entry.id in octets:
            for error in provide.octets_are_as_described(entry, *octets[entry.id]):
                yield Finding(error, citation(provide.octets_are_as_described))
    wanted = [entry.id for entry in entries if entry.id in request.document_ids]
    for error in provide.octets_arrived(wanted, octets, request.broken):
        yield Finding(error, citation(provide.octets_arrived))
    for entry in entries:
        provide.fill_in(entry, *octets.get(entry.id, (EMPTY_SHA1, 0)), _PLACEHOLDER)
    yield from examine_alone(request.submission.element, self.facts)


def _octets(documents: Iterable[SubmittedDocument]) -> dict[str, tuple[str, int]]:
    """Hash and size of every document that can be read, by id; `request.broken` says of the others why not."""
    found: dict[str, tuple[str, int]] = {}
    for document in documents:
        sha1, size = hashlib.sha1(usedforsecurity=False), 0
        try:
            while piece := document.content.read(CHUNK):
                sha1.update(piece)
                size += len(piece)
        except XDSError:
            continue
        found[document.id] = sha1.hexdigest(), size
    return found


def _query(self: _Examination, body: Element, message: Message) -> Iterator[Finding]:
    query = CODECS[ITI_18.number].decode(body, message)
    number = _query_transaction(self.action, query.id.lower())
    self.what = f"{number} request"
    stored = BY_ID.get((number, query.id.lower()))
    if stored is not None:
        self.what += f", {stored.name}"
    try:
        parse_query(query, number)
    except Refused as refused:
        section = f"ITI TF-2 3.18.4.1.2.3.5{f', {stored.section}' if stored else ''}"
        yield from (Finding(error, section) for error in refused.errors)
    for violation in violations(body):  # the server lets them pass, others may not
        error = XDSError(Code.XDSRegistryError, str(violation), violation.location, Severity.WARNING)
        yield Finding(error, "ITI TF-2 3.18.4.1.2.2; ebRS 3.0 query.xsd")


def _query_transaction(action: str | None, id_: str) -> str:
    """By the action; a bare body is of the transaction that knows its query."""
    if action:
        return BY_ACTION[action].number if action in BY_ACTION else ITI_18.number
    return ITI_51.number if (ITI_51.number, id_) in BY_ID else ITI_18.number


def _retrieve(_self: _Examination, body: Element, _message: Message) -> Iterator[Finding]:
    yield from responses.examine_retrieve(body)


def _response(_self: _Examination, body: Element, _message: Message) -> Iterator[Finding]:
    yield from responses.examine_response(body)


def _query_response(self: _Examination, body: Element, _message: Message) -> Iterator[Finding]:
    yield from responses.examine_query_response(body, self.facts)


def _retrieve_response(_self: _Examination, body: Element, message: Message) -> Iterator[Finding]:
    arrived = {part.content_id for part in message.parts if part.content_id}
    yield from responses.examine_retrieve_response(body, arrived)


def _fault(_self: _Examination, body: Element, _message: Message) -> Iterator[Finding]:
    fault = envelope.decode_fault(body)
    yield Finding(XDSError(f"soap:{fault.code}", fault.reason, severity=Severity.WARNING), _PACKAGING)


_BODIES: dict[str, Callable[[_Examination, Element, Message], Iterator[Finding]]] = {
    ITI_42.request: _submit,
    ITI_41.request: _provide,
    ITI_18.request: _query,
    ITI_43.request: _retrieve,
    ITI_42.response: _response,
    ITI_18.response: _query_response,
    ITI_43.response: _retrieve_response,
    envelope.FAULT: _fault,
}
_NAMES = {
    **{row.response: f"answer to {row.number}" for row in TRANSACTIONS},
    **{row.request: f"{row.number} request" for row in TRANSACTIONS},
    ITI_18.response: "answer to ITI-18 or ITI-51",
    ITI_42.response: "answer to ITI-41 or ITI-42",
    envelope.FAULT: "SOAP fault",
}
