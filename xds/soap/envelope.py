"""SOAP 1.2 envelopes with WS-Addressing 1.0 (SOAP 1.2 Part 1; WS-Addressing SOAP Binding; ITI TF-2 V.3).

Envelopes are written as octets: a prefix, the body as it is, a suffix. Decisions where the standards leave room:

- wsa:MessageID may be absent or blank: there is then nothing to relate the answer to. wsa:Action need not carry
  mustUnderstand.
- White space around wsa:Action is passed over (it is an xs:anyURI), wsa:MessageID is given back exactly as it came.
- Only headers for the ultimate receiver or the next node are looked at (SOAP 1.2 Part 1, 2.2).
- wsa:Action decides. HTTP may name no action, or a word of the sender's toolkit (Axis2 says `urn:anonOutInOp`). Only
  when it names another transaction do the two contradict: who filters by the one must not be deceived about the other.
  The fault is ActionMismatch (WS-Addressing SOAP Binding 6.4.1.7), which the standard has for SOAP 1.1's SOAPAction,
  for SOAP 1.2's action parameter too.
- A SOAP 1.1 message is told so in SOAP 1.1 (SOAP 1.2 Part 1, Appendix A), everything else in SOAP 1.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from lxml import etree

from xds.ebxml.xml import Element, parse, quoted, text
from xds.errors import SoapFault
from xds.metadata.vocabulary import SOAP, WSA, WSA_ANONYMOUS
from xds.soap.faults import (
    SOAP_1_1,
    SOAP_FAULT,
    WSA_FAULT,
    EnvelopeFault,
    action_mismatch,
    action_not_supported,
    decode_fault,
    decode_in_soap_1_1,
    encode_in_soap_1_1,
    fault_action,
    fault_blocks,
    fault_element,
    header_required,
    invalid_header,
)
from xds.soap.mime import shown
from xds.transactions import BY_ACTION

__all__ = [
    "SOAP_1_1",
    "SOAP_FAULT",
    "UNDERSTOOD",
    "WSA_FAULT",
    "Envelope",
    "EnvelopeFault",
    "action_not_supported",
    "check_http_action",
    "decode_fault",
    "encode_answer",
    "encode_fault",
    "encode_request",
    "new_message_id",
    "read_answer",
    "read_request",
    "wrap_answer",
]

ENVELOPE, HEADER, BODY, FAULT = (f"{{{SOAP}}}{name}" for name in ("Envelope", "Header", "Body", "Fault"))
ACTION, MESSAGE_ID, TO, FROM, REPLY_TO, FAULT_TO, RELATES_TO = (
    f"{{{WSA}}}{name}" for name in ("Action", "MessageID", "To", "From", "ReplyTo", "FaultTo", "RelatesTo")
)
_ADDRESS = f"{{{WSA}}}Address"
_ROLE, _MUST_UNDERSTAND = f"{{{SOAP}}}role", f"{{{SOAP}}}mustUnderstand"
UNDERSTOOD = frozenset({ACTION, MESSAGE_ID, TO, FROM, REPLY_TO, FAULT_TO, RELATES_TO})
"""Headers that may carry mustUnderstand; who processes more of them (wsse:Security) adds its own."""

_AT_MOST_ONCE = (ACTION, MESSAGE_ID, TO, FROM, REPLY_TO, FAULT_TO)  # WS-Addressing SOAP Binding 3.2
_ROLES = frozenset({"", f"{SOAP}/role/next", f"{SOAP}/role/ultimateReceiver"})
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False, "": False}
_OTHER_ADDRESSING = (
    "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "http://schemas.xmlsoap.org/ws/2004/03/addressing",
    "http://schemas.xmlsoap.org/ws/2003/03/addressing",
)
_UPGRADE = (
    f'<upg:Upgrade xmlns:upg="{SOAP}"><upg:SupportedEnvelope qname="ns:Envelope" xmlns:ns="{SOAP}"/></upg:Upgrade>'
)
_SERVER_STATUS = 500  # of VersionMismatch and MustUnderstand too (SOAP 1.2 Part 2, table 20)


Headers = dict[str, list[Element]]
"""Header blocks by qualified name."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as far as SOAP and WS-Addressing are concerned.

    Attributes:
        action: wsa:Action without white space around it; empty in an answer that has none.
        message_id: wsa:MessageID exactly as sent; None if absent or blank.
        to: wsa:To.
        reply_to: address of wsa:ReplyTo.
        relates_to: wsa:RelatesTo, exactly as sent.
        body: the only child of the SOAP Body.
        header: the SOAP Header, for who processes more of it.
    """

    action: str
    message_id: str | None
    to: str | None
    reply_to: str | None
    relates_to: str | None
    body: Element
    header: Element | None


# --- reading ----------------------------------------------------------------------------------------------------


def read_request(data: bytes, understood: frozenset[str] = UNDERSTOOD) -> Envelope:
    """Read a request.

    Args:
        data: the envelope's XML.
        understood: qualified names of the headers that the caller or this module processes.

    Raises:
        SoapFault: it is no SOAP 1.2 message, or not one that can be answered; carries `relates_to` where possible.
    """
    header, body = _open(parse(data))
    blocks = [block for block in header if _is_for_us(block)] if header is not None else []
    headers = _by_name(blocks)
    try:
        _check_understood(blocks, understood)
        _check_addressing(headers)
        return _addressed(headers, header, _only_child(body))
    except EnvelopeFault as fault:
        fault.relates_to = _message_id(headers)
        raise


def read_answer(data: bytes, request_id: str) -> Envelope | SoapFault:
    """Read an answer; WS-Addressing's headers may be missing, but not contradict.

    Args:
        data: the envelope's XML.
        request_id: wsa:MessageID of the request.

    Returns:
        The message, or the fault the peer answered with.

    Raises:
        SoapFault: it is no SOAP message, or the answer to another one.
    """
    root = parse(data)
    if root.tag == f"{{{SOAP_1_1}}}Envelope":
        return decode_in_soap_1_1(root)
    header, body = _open(root)
    content = _only_child(body)
    if content.tag == FAULT:
        return decode_fault(content)
    headers = _by_name([] if header is None else header)
    relates_to = _text(headers, RELATES_TO)
    if relates_to is not None and relates_to.strip() != request_id:
        raise SoapFault("Receiver", f"it relates to message {shown(relates_to)}, expected {shown(request_id)}")
    action = (_text(headers, ACTION) or "").strip()
    return Envelope(action, _message_id(headers), None, None, relates_to, content, header)


def check_http_action(envelope: Envelope, named: Iterable[tuple[str, str | None]]) -> None:
    """Compare what HTTP names as the action with wsa:Action; what is no transaction's action passes.

    Args:
        envelope: the message.
        named: where an action was found, for a person, and the action.

    Raises:
        SoapFault: wsa:ActionMismatch.
    """
    for where, value in named:
        other = (value or "").strip().strip('"').strip()
        if other in BY_ACTION and other != envelope.action:
            fault = action_mismatch(envelope.action, where, other)
            fault.relates_to = envelope.message_id
            raise fault


def _open(root: Element) -> tuple[Element | None, Element]:
    """Find Header and Body (SOAP 1.2 Part 1, 5.1)."""
    if root.tag != ENVELOPE:
        raise _version_mismatch(root)
    children = list(root)
    header = children.pop(0) if children and children[0].tag == HEADER else None
    if len(children) != 1 or children[0].tag != BODY:
        found = ", ".join(shown(_name(child)) for child in children[:5]) or "nothing"
        raise EnvelopeFault("Sender", f"the SOAP Envelope holds {found}; expected an optional Header, then one Body")
    return header, children[0]


def _version_mismatch(root: Element) -> EnvelopeFault:
    is_1_1 = root.tag == f"{{{SOAP_1_1}}}Envelope"
    found = "a SOAP 1.1 Envelope" if is_1_1 else f"element {shown(_name(root))}"
    return EnvelopeFault(
        "VersionMismatch",
        f"the message is {found}; expected a SOAP 1.2 Envelope of namespace {SOAP}",
        blocks=_UPGRADE,
        status=_SERVER_STATUS,
        in_soap_1_1=is_1_1,
    )


def _is_for_us(block: Element) -> bool:
    return (block.get(_ROLE) or "").strip() in _ROLES


def _check_understood(blocks: Iterable[Element], understood: frozenset[str]) -> None:
    """Refuse a message with a mandatory header nobody here processes (SOAP 1.2 Part 1, 2.4, 5.4.8)."""
    unknown = [block for block in blocks if _must_understand(block) and block.tag not in understood]
    if not unknown:
        return
    names = ", ".join(shown(_name(block)) for block in unknown)
    raise EnvelopeFault(
        "MustUnderstand",
        f"header {names} has mustUnderstand and is not understood{_namespace_hint(unknown)}",
        blocks="".join(map(_not_understood, unknown)),
        status=_SERVER_STATUS,
    )


def _must_understand(block: Element) -> bool:
    value = block.get(_MUST_UNDERSTAND)
    if value is None:
        return False
    try:
        return _BOOLEANS[value.strip()]
    except KeyError:
        reason = f"header {shown(_name(block))} has mustUnderstand {shown(value)}, expected 1, true, 0 or false"
        raise EnvelopeFault("Sender", reason) from None


def _not_understood(block: Element) -> str:
    name = etree.QName(block)
    if not name.namespace:
        return f"<soap:NotUnderstood qname={quoted(name.localname)}/>"
    return f"<soap:NotUnderstood qname={quoted('nu:' + name.localname)} xmlns:nu={quoted(name.namespace)}/>"


def _namespace_hint(blocks: Iterable[Element]) -> str:
    """Say in words that a sender uses another version of WS-Addressing, the commonest cause."""
    found = next((ns for block in blocks if (ns := etree.QName(block).namespace) in _OTHER_ADDRESSING), None)
    return f": {found} is another version of WS-Addressing, expected {WSA}" if found else ""


def _check_addressing(headers: Headers) -> None:
    """Judge the addressing headers (WS-Addressing SOAP Binding 3.2, 6.4)."""
    for name in _AT_MOST_ONCE:
        count = len(headers.get(name, ()))
        if count > 1:
            reason = f"wsa:{_local(name)} stands {count} times in the header, expected at most once"
            raise invalid_header(name, reason, "InvalidCardinality")
    action = _text(headers, ACTION)
    if action is None:
        hint = _namespace_hint(block for blocks in headers.values() for block in blocks)
        raise header_required(ACTION, f"the header wsa:Action is missing{hint}")
    if not action.strip():
        raise invalid_header(ACTION, "wsa:Action is empty, expected the action of a transaction")
    _check_anonymous(headers, REPLY_TO)
    _check_anonymous(headers, FAULT_TO)


def _check_anonymous(headers: Headers, name: str) -> None:
    """Only synchronous answers are offered (ITI TF-2 V.3; WS-Addressing SOAP Binding 5.1)."""
    address = _address(headers, name)
    if address is None or address == WSA_ANONYMOUS:
        return
    if not address:
        raise invalid_header(name, f"wsa:{_local(name)} has no wsa:Address", "MissingAddressInEPR")
    found = f"wsa:{_local(name)} is {shown(address)}"
    reason = f"{found}; answers are given on the same connection, expected {WSA_ANONYMOUS}"
    raise invalid_header(name, reason, "OnlyAnonymousAddressSupported")


def _addressed(headers: Headers, header: Element | None, body: Element) -> Envelope:
    return Envelope(
        (_text(headers, ACTION) or "").strip(),
        _message_id(headers),
        _text(headers, TO),
        _address(headers, REPLY_TO),
        _text(headers, RELATES_TO),
        body,
        header,
    )


def _by_name(blocks: Iterable[Element]) -> Headers:
    headers: Headers = {}
    for block in blocks:
        headers.setdefault(_name(block), []).append(block)
    return headers


def _address(headers: Headers, name: str) -> str | None:
    """The address of an endpoint reference: None without one, empty if there is no address in it."""
    blocks = headers.get(name)
    if blocks is None:
        return None
    address = next(blocks[0].iterchildren(_ADDRESS), None)
    return "" if address is None else (address.text or "").strip()


def _text(headers: Headers, name: str) -> str | None:
    block = headers.get(name)
    return None if block is None else block[0].text or ""


def _message_id(headers: Headers) -> str | None:
    value = _text(headers, MESSAGE_ID)
    return value if value and value.strip() else None


def _only_child(body: Element) -> Element:
    if len(body) != 1:
        found = ", ".join(shown(_name(child)) for child in list(body)[:5]) or "nothing"
        raise EnvelopeFault("Sender", f"the SOAP Body holds {len(body)} elements ({found}), expected one")
    return body[0]


def _name(element: Element) -> str:
    return str(element.tag)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


# --- writing ----------------------------------------------------------------------------------------------------

_SUFFIX = b"</soap:Body></soap:Envelope>"


def _prefix(headers: str, action: str) -> bytes:
    return (
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header>'
        f'<wsa:Action soap:mustUnderstand="1">{text(action)}</wsa:Action>{headers}</soap:Header><soap:Body>'
    ).encode()


def new_message_id() -> str:
    """Make a wsa:MessageID."""
    return uuid4().urn


def encode_request(action: str, to: str, message_id: str, body: bytes) -> bytes:
    """Write a request that is answered on the same connection (ITI TF-2 V.3.1)."""
    headers = (
        f"<wsa:MessageID>{text(message_id)}</wsa:MessageID><wsa:To>{text(to)}</wsa:To>"
        f"<wsa:ReplyTo><wsa:Address>{WSA_ANONYMOUS}</wsa:Address></wsa:ReplyTo>"
    )
    return _prefix(headers, action) + body + _SUFFIX


def encode_answer(action: str, relates_to: str | None, body: bytes) -> bytes:
    """Write an answer; `relates_to` is the request's wsa:MessageID, None if it had none."""
    return b"".join(wrap_answer(action, relates_to, (body,)))


def wrap_answer(action: str, relates_to: str | None, body: Iterable[bytes]) -> Sequence[bytes]:
    """Put the envelope of an answer around a body in pieces; see `encode_answer`."""
    return _prefix(_relates_to(relates_to), action), *body, _SUFFIX


def _relates_to(message_id: str | None) -> str:
    return "" if message_id is None else f"<wsa:RelatesTo>{text(message_id)}</wsa:RelatesTo>"


def encode_fault(fault: SoapFault, relates_to: str | None) -> bytes:
    """Write a fault; `relates_to` as for an answer."""
    if isinstance(fault, EnvelopeFault) and fault.in_soap_1_1:
        return encode_in_soap_1_1(fault)
    headers = _relates_to(relates_to) + fault_blocks(fault)
    return _prefix(headers, fault_action(fault)) + fault_element(fault) + _SUFFIX
