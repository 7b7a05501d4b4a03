"""SOAP faults: those of WS-Addressing, how a fault is written, and how a peer's is read (SOAP 1.2 Part 1, 5.4)."""

from __future__ import annotations

from collections.abc import Iterator

from xds.ebxml.xml import Element, quoted, text
from xds.errors import SoapFault
from xds.metadata.vocabulary import SOAP, WSA
from xds.soap.mime import shown

SOAP_1_1 = "http://schemas.xmlsoap.org/soap/envelope/"
WSA_FAULT = f"{WSA}/fault"
SOAP_FAULT = f"{WSA}/soap/fault"

ACTION = f"{{{WSA}}}Action"


class EnvelopeFault(SoapFault):
    """A fault that says more than a SoapFault can: second subcode, header blocks, detail as XML.

    Attributes:
        subsubcode: qualified name of the subcode's subcode.
        problem: content of the Detail as XML.
        blocks: header blocks that go with it as XML (Upgrade, NotUnderstood).
        relates_to: wsa:MessageID of the message that could not be read to its end.
        in_soap_1_1: the peer speaks SOAP 1.1 and must be told in it.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        subcode: str | None = None,
        subsubcode: str | None = None,
        problem: str = "",
        blocks: str = "",
        status: int | None = None,
        in_soap_1_1: bool = False,
    ) -> None:
        super().__init__(code, reason, subcode=subcode, status=status)
        self.subsubcode = subsubcode
        self.problem = problem
        self.blocks = blocks
        self.relates_to: str | None = None
        self.in_soap_1_1 = in_soap_1_1


# --- faults of WS-Addressing (SOAP Binding 6.4) -----------------------------------------------------------------


def header_required(name: str, reason: str) -> EnvelopeFault:
    """MessageAddressingHeaderRequired for one of WS-Addressing's headers, by its qualified name."""
    subcode = f"{{{WSA}}}MessageAddressingHeaderRequired"
    return EnvelopeFault("Sender", reason, subcode=subcode, problem=_problem_header(name))


def invalid_header(name: str, reason: str, subsubcode: str | None = None) -> EnvelopeFault:
    """InvalidAddressingHeader for a header by its qualified name; `subsubcode` is a local name of 6.4.1."""
    return EnvelopeFault(
        "Sender",
        reason,
        subcode=f"{{{WSA}}}InvalidAddressingHeader",
        subsubcode=f"{{{WSA}}}{subsubcode}" if subsubcode else None,
        problem=_problem_header(name),
    )


def action_not_supported(action: str, why: str) -> EnvelopeFault:
    """ActionNotSupported, the action in the reason and in the detail."""
    reason = f"wsa:Action {shown(action)} cannot be processed here: {why}"
    return EnvelopeFault(
        "Sender", reason, subcode=f"{{{WSA}}}ActionNotSupported", problem=_problem_action(action, None)
    )


def action_mismatch(action: str, where: str, other: str) -> EnvelopeFault:
    """ActionMismatch: HTTP names another action than the message; `where` for a person."""
    fault = invalid_header(ACTION, f"wsa:Action is {shown(action)} but {where} is {shown(other)}", "ActionMismatch")
    fault.problem = _problem_action(action, shown(other)[1:-1])
    return fault


def _problem_header(name: str) -> str:
    return f"<wsa:ProblemHeaderQName>wsa:{name.rpartition('}')[2]}</wsa:ProblemHeaderQName>"


def _problem_action(action: str, soap_action: str | None) -> str:
    other = "" if soap_action is None else f"<wsa:SoapAction>{text(soap_action)}</wsa:SoapAction>"
    return f"<wsa:ProblemAction><wsa:Action>{text(action)}</wsa:Action>{other}</wsa:ProblemAction>"


# --- writing ----------------------------------------------------------------------------------------------------


def fault_action(fault: SoapFault) -> str:
    """The wsa:Action a fault is sent with (WS-Addressing SOAP Binding 6)."""
    return WSA_FAULT if (fault.subcode or "").startswith(f"{{{WSA}}}") else SOAP_FAULT


def fault_blocks(fault: SoapFault) -> str:
    """Header blocks that go with a fault, as XML with the prefix `soap` for SOAP 1.2."""
    return fault.blocks if isinstance(fault, EnvelopeFault) else ""


def fault_element(fault: SoapFault) -> bytes:
    """Write soap:Fault; its surroundings declare the prefixes `soap` (1.2) and `wsa`."""
    subsubcode, problem = (fault.subsubcode, fault.problem) if isinstance(fault, EnvelopeFault) else (None, "")
    if fault.detail:
        problem += f"<problem>{text(fault.detail)}</problem>"
    detail = f"<soap:Detail>{problem}</soap:Detail>" if problem else ""
    code = f"<soap:Value>soap:{fault.code}</soap:Value>{_subcode((fault.subcode, subsubcode))}"
    reason = f'<soap:Text xml:lang="en">{text(fault.reason)}</soap:Text>'
    return f"<soap:Fault><soap:Code>{code}</soap:Code><soap:Reason>{reason}</soap:Reason>{detail}</soap:Fault>".encode()


def _subcode(names: tuple[str | None, str | None]) -> str:
    written = ""
    for name in filter(None, reversed(names)):
        namespace, _, local = name.removeprefix("{").rpartition("}")
        value = f"<soap:Value xmlns:sub={quoted(namespace)}>sub:{text(local)}</soap:Value>"
        written = f"<soap:Subcode>{value}{written}</soap:Subcode>"
    return written


def encode_in_soap_1_1(fault: EnvelopeFault) -> bytes:
    """Write a whole message for a peer that knows no other version (SOAP 1.1, 4.4)."""
    return (
        f'<soap:Envelope xmlns:soap="{SOAP_1_1}"><soap:Header>{fault.blocks}</soap:Header><soap:Body><soap:Fault>'
        f"<faultcode>soap:{fault.code}</faultcode><faultstring>{text(fault.reason)}</faultstring>"
        "</soap:Fault></soap:Body></soap:Envelope>"
    ).encode()


# --- reading --------------------------------------------------------------------------------------------------


def decode_fault(element: Element) -> SoapFault:
    """Read soap:Fault as sent by another actor (SOAP 1.2 Part 1, 5.4)."""
    values = list(_values(element.find(f"{{{SOAP}}}Code")))
    reasons = [(text_.text or "").strip() for text_ in element.iterfind(f"{{{SOAP}}}Reason/{{{SOAP}}}Text")]
    detail = element.find(f"{{{SOAP}}}Detail")
    return SoapFault(
        values[0].rpartition("}")[2] if values else "Receiver",
        next(filter(None, reasons), "no reason was given"),
        subcode=values[1] if len(values) > 1 else None,
        detail=None if detail is None else " ".join("".join(map(str, detail.itertext())).split())[:500] or None,
    )


def _values(code: Element | None) -> Iterator[str]:
    """Qualified names of a fault's code and its subcodes, outermost first."""
    while code is not None:
        value = code.find(f"{{{SOAP}}}Value")
        if value is not None:
            prefix, _, local = (value.text or "").strip().rpartition(":")
            namespace = value.nsmap.get(prefix or None)
            yield f"{{{namespace}}}{local}" if namespace else local
        code = code.find(f"{{{SOAP}}}Subcode")


def decode_in_soap_1_1(root: Element) -> SoapFault:
    """Make out what a peer said in SOAP 1.1."""
    code = (root.findtext(".//faultcode") or "Server").rpartition(":")[2].partition(".")[0]
    reason = (root.findtext(".//faultstring") or "").strip() or "no reason was given"
    names = {"Client": "Sender", "Server": "Receiver"}
    return SoapFault(names.get(code, code), f"{reason} (said in SOAP 1.1)")
