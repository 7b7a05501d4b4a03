"""SOAP 1.2 and WS-Addressing: what is read, what is refused and how, what is written."""

import pytest

from xds.ebxml.xml import parse
from xds.errors import SoapFault
from xds.metadata.vocabulary import SOAP, WSA, WSA_ANONYMOUS
from xds.soap import envelope
from xds.soap.envelope import EnvelopeFault
from xds.transactions import ITI_18, ITI_42

S, W = f"{{{SOAP}}}", f"{{{WSA}}}"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
ACTION = f'<a:Action s:mustUnderstand="1">{ITI_18.action}</a:Action>'
REPLY_TO = f"<a:ReplyTo><a:Address>{WSA_ANONYMOUS}</a:Address></a:ReplyTo>"


def message(headers: str = ACTION, body: str = "<q xmlns='urn:q'/>", soap: str = SOAP, wsa: str = WSA) -> bytes:
    opening = f'<s:Envelope xmlns:s="{soap}" xmlns:a="{wsa}">'
    return f"{opening}<s:Header>{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>".encode()


def refused(data: bytes, **options) -> EnvelopeFault:
    with pytest.raises(EnvelopeFault) as raised:
        envelope.read_request(data, **options)
    return raised.value


def test_a_request_is_read_whatever_prefixes_and_order_it_has():
    data = (
        f'<soapenv:Envelope xmlns:soapenv="{SOAP}"><soapenv:Header>'
        f'<MessageID xmlns="{WSA}"> urn:uuid:1 </MessageID><To xmlns="{WSA}">https://x/registry</To>'
        f'<ReplyTo xmlns="{WSA}"><Address>{WSA_ANONYMOUS}</Address></ReplyTo>'
        f'<x:Action xmlns:x="{WSA}" soapenv:mustUnderstand="true">\n{ITI_18.action} </x:Action>'
        '</soapenv:Header><soapenv:Body>\n <q xmlns="urn:q"/>\n</soapenv:Body></soapenv:Envelope>'
    ).encode()
    env = envelope.read_request(data)
    assert env.action == ITI_18.action
    assert env.message_id == " urn:uuid:1 "
    assert (env.to, env.reply_to) == ("https://x/registry", WSA_ANONYMOUS)
    assert env.body.tag == "{urn:q}q"


@pytest.mark.parametrize("headers", [ACTION, f"{ACTION}<a:MessageID/>", f"{ACTION}<a:MessageID> </a:MessageID>"])
def test_a_request_without_message_id_is_accepted(headers):
    assert envelope.read_request(message(headers)).message_id is None


@pytest.mark.parametrize("value", ["", "s:mustUnderstand='0'", "s:mustUnderstand='false'"])
def test_action_need_not_say_must_understand(value):
    headers = f"<a:Action {value}>{ITI_18.action}</a:Action>"
    assert envelope.read_request(message(headers)).action == ITI_18.action


ADDRESSING = {
    "action missing": ("", "MessageAddressingHeaderRequired", None, "Action"),
    "action empty": ("<a:Action/>", "InvalidAddressingHeader", None, "Action"),
    "action blank": ("<a:Action> \n</a:Action>", "InvalidAddressingHeader", None, "Action"),
    "action twice": (ACTION * 2, "InvalidAddressingHeader", "InvalidCardinality", "Action"),
    "message id twice": (
        f"{ACTION}<a:MessageID>urn:uuid:7</a:MessageID><a:MessageID>urn:uuid:8</a:MessageID>",
        "InvalidAddressingHeader",
        "InvalidCardinality",
        "MessageID",
    ),
    "to twice": (f"{ACTION}<a:To>u</a:To><a:To>v</a:To>", "InvalidAddressingHeader", "InvalidCardinality", "To"),
    "reply to twice": (ACTION + REPLY_TO * 2, "InvalidAddressingHeader", "InvalidCardinality", "ReplyTo"),
    "reply to elsewhere": (
        f"{ACTION}<a:ReplyTo><a:Address>http://10.0.0.1/</a:Address></a:ReplyTo>",
        "InvalidAddressingHeader",
        "OnlyAnonymousAddressSupported",
        "ReplyTo",
    ),
    "fault to elsewhere": (
        f"{ACTION}<a:FaultTo><a:Address>http://10.0.0.1/</a:Address></a:FaultTo>",
        "InvalidAddressingHeader",
        "OnlyAnonymousAddressSupported",
        "FaultTo",
    ),
    "reply to none": (
        f"{ACTION}<a:ReplyTo><a:Address>{WSA}/none</a:Address></a:ReplyTo>",
        "InvalidAddressingHeader",
        "OnlyAnonymousAddressSupported",
        "ReplyTo",
    ),
    "reply to nowhere": (f"{ACTION}<a:ReplyTo/>", "InvalidAddressingHeader", "MissingAddressInEPR", "ReplyTo"),
}


@pytest.mark.parametrize("case", ADDRESSING)
def test_addressing_faults_have_the_standards_subcodes(case):
    """WS-Addressing 1.0 SOAP Binding, 6.4."""
    headers, subcode, subsubcode, header = ADDRESSING[case]
    fault = refused(message(headers))
    written = parse(envelope.encode_fault(fault, fault.relates_to))
    assert (fault.code, fault.status) == ("Sender", 400)
    assert fault.subcode == W + subcode
    assert fault.subsubcode == (W + subsubcode if subsubcode else None)
    assert f"wsa:{header}" in fault.reason
    assert written.findtext(f".//{S}Detail/{W}ProblemHeaderQName") == f"wsa:{header}"
    assert written.findtext(f"{S}Header/{W}Action") == f"{WSA}/fault"


def test_a_fault_relates_to_the_message_even_if_that_could_not_be_read_to_its_end():
    fault = refused(message("<a:MessageID>urn:uuid:5</a:MessageID>"))
    assert fault.relates_to == "urn:uuid:5"
    assert parse(envelope.encode_fault(fault, fault.relates_to)).findtext(f".//{W}RelatesTo") == "urn:uuid:5"


@pytest.mark.parametrize("must_understand", ["", "s:mustUnderstand='1'"])
def test_an_older_addressing_namespace_is_named(must_understand):
    old = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
    fault = refused(message(f"<a:Action {must_understand}>{ITI_18.action}</a:Action>", wsa=old))
    assert fault.code == ("MustUnderstand" if must_understand else "Sender")
    assert old in fault.reason
    assert f"expected {WSA}" in fault.reason


def test_a_mandatory_header_nobody_understands_is_refused():
    """SOAP 1.2 Part 1, 5.4.8: each such header in a NotUnderstood block."""
    security = f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="true"/>'
    other = '<o:Other xmlns:o="urn:o" s:mustUnderstand="1"/><o:Fine xmlns:o="urn:o"/>'
    fault = refused(message(ACTION + security + other))
    written = parse(envelope.encode_fault(fault, None))
    names = []
    for block in written.iterfind(f"{S}Header/{S}NotUnderstood"):
        prefix, _, local = block.get("qname").partition(":")
        names.append(f"{{{block.nsmap[prefix]}}}{local}")
    assert names == [f"{{{WSSE}}}Security", "{urn:o}Other"]
    assert (fault.code, fault.status) == ("MustUnderstand", 500)
    assert written.findtext(f".//{S}Code/{S}Value") == "soap:MustUnderstand"


def test_whoever_processes_a_header_says_so():
    security = f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="true"/>'
    understood = envelope.UNDERSTOOD | {f"{{{WSSE}}}Security"}
    env = envelope.read_request(message(ACTION + security), understood)
    assert env.header.find(f"{{{WSSE}}}Security") is not None


@pytest.mark.parametrize("role", ["urn:somebody", f"{SOAP}/role/none"])
def test_headers_for_other_roles_are_none_of_our_business(role):
    other = f'<o:O xmlns:o="urn:o" s:mustUnderstand="1" s:role="{role}"/><a:Action s:role="{role}">x</a:Action>'
    assert envelope.read_request(message(ACTION + other)).action == ITI_18.action


@pytest.mark.parametrize("role", [f"{SOAP}/role/next", f"{SOAP}/role/ultimateReceiver", ""])
def test_headers_for_us_are_ours_by_any_name(role):
    assert refused(message(f'{ACTION}<o:O xmlns:o="urn:o" s:mustUnderstand="1" s:role="{role}"/>')).code == (
        "MustUnderstand"
    )


def test_must_understand_has_to_be_a_boolean():
    assert "'maybe'" in refused(message(f'{ACTION}<o:O xmlns:o="urn:o" s:mustUnderstand="maybe"/>')).reason


def test_a_soap_1_1_message_is_told_so_in_soap_1_1():
    """SOAP 1.2 Part 1, Appendix A."""
    fault = refused(message(soap=envelope.SOAP_1_1))
    written = parse(envelope.encode_fault(fault, None))
    assert (fault.code, fault.status) == ("VersionMismatch", 500)
    assert written.tag == f"{{{envelope.SOAP_1_1}}}Envelope"
    assert written.findtext(".//faultcode") == "soap:VersionMismatch"
    supported = written.find(f".//{S}Upgrade/{S}SupportedEnvelope")
    assert supported.nsmap[supported.get("qname").partition(":")[0]] == SOAP


@pytest.mark.parametrize("data", [b"<html/>", b'<Envelope xmlns="urn:x"/>', f'<Body xmlns="{SOAP}"/>'.encode()])
def test_what_is_no_envelope_is_a_version_mismatch(data):
    fault = refused(data)
    written = parse(envelope.encode_fault(fault, None))
    assert fault.code == "VersionMismatch"
    assert written.find(f"{S}Header/{S}Upgrade/{S}SupportedEnvelope") is not None


STRUCTURE = {
    "no body": f'<s:Envelope xmlns:s="{SOAP}"/>'.encode(),
    "two bodies": f'<s:Envelope xmlns:s="{SOAP}"><s:Body/><s:Body/></s:Envelope>'.encode(),
    "body first": f'<s:Envelope xmlns:s="{SOAP}"><s:Body/><s:Header/></s:Envelope>'.encode(),
    "empty body": message(body=""),
    "text in the body": message(body="hello"),
    "two body elements": message(body="<a/><b/>"),
}


@pytest.mark.parametrize("case", STRUCTURE)
def test_the_envelope_has_one_body_with_one_element(case):
    fault = refused(STRUCTURE[case])
    assert (fault.code, fault.status, fault.subcode) == ("Sender", 400, None)


HOSTILE = {
    "no XML": b"hello",
    "nothing": b"",
    "doctype": b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + message(),
    "depth": message(body="<a>" * 300 + "</a>" * 300),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_xml_is_refused(case):
    with pytest.raises(SoapFault) as raised:
        envelope.read_request(HOSTILE[case])
    assert (raised.value.code, raised.value.status) == ("Sender", 400)


@pytest.mark.parametrize(
    "named", [None, "", '""', "urn:anonOutInOp", ITI_18.action, f'"{ITI_18.action}"', f" {ITI_18.action} "]
)
def test_the_action_named_by_http_may_be_absent_a_toolkit_word_or_the_same(named):
    envelope.check_http_action(envelope.read_request(message()), [("SOAPAction", named)])


def test_another_action_named_by_http_is_refused():
    env = envelope.read_request(message(f"{ACTION}<a:MessageID>urn:uuid:4</a:MessageID>"))
    with pytest.raises(EnvelopeFault) as raised:
        envelope.check_http_action(env, [("the action parameter", ITI_42.action)])
    fault = raised.value
    assert (fault.subsubcode, fault.relates_to) == (f"{W}ActionMismatch", "urn:uuid:4")
    written = parse(envelope.encode_fault(fault, None))
    assert written.findtext(f".//{W}ProblemAction/{W}SoapAction") == ITI_42.action


def test_requests_and_answers_are_written_around_the_body():
    body = b'<q xmlns="urn:q">\xc3\xa9</q>'
    request = envelope.encode_request(ITI_18.action, "https://x/?a&b", "urn:uuid:1", body)
    env = envelope.read_request(request)
    assert body in request
    assert (env.action, env.to, env.message_id) == (ITI_18.action, "https://x/?a&b", "urn:uuid:1")
    assert parse(request).find(f".//{W}Action").get(f"{S}mustUnderstand") == "1"
    answer = envelope.encode_answer(ITI_18.response_action, env.message_id, body)
    read = envelope.read_answer(answer, "urn:uuid:1")
    assert (read.action, read.relates_to, read.body.text) == (ITI_18.response_action, "urn:uuid:1", "é")
    assert parse(answer).find(f".//{W}Action").get(f"{S}mustUnderstand") == "1"


def test_relates_to_is_the_message_id_character_by_character():
    odd = " uuid:<1>&\r\n 2 "
    request = envelope.encode_request("a", "t", odd, b"<q/>")
    env = envelope.read_request(request)
    answer = parse(envelope.encode_answer("b", env.message_id, b"<q/>"))
    assert env.message_id == answer.findtext(f".//{W}RelatesTo") == odd


def test_an_answer_to_another_message_is_refused():
    answer = envelope.encode_answer("b", "urn:uuid:2", b"<q/>")
    with pytest.raises(SoapFault, match="urn:uuid:2") as raised:
        envelope.read_answer(answer, "urn:uuid:1")
    assert raised.value.code == "Receiver"


def test_an_answer_may_lack_addressing():
    read = envelope.read_answer(f'<s:Envelope xmlns:s="{SOAP}"><s:Body><q/></s:Body></s:Envelope>'.encode(), "1")
    assert (read.action, read.relates_to, read.body.tag) == ("", None, "q")


def test_faults_are_read_as_they_were_written():
    sent = envelope.action_not_supported("urn:x", "nobody does")
    read = envelope.read_answer(envelope.encode_fault(sent, "1"), "1")
    assert isinstance(read, SoapFault)
    assert (read.code, read.reason, read.subcode) == ("Sender", sent.reason, f"{W}ActionNotSupported")
    assert read.detail == "urn:x"


def test_a_plain_fault_is_written_with_detail_and_language():
    written = parse(envelope.encode_fault(SoapFault("Receiver", "a < b", subcode="{urn:f}F", detail="d & e"), None))
    assert written.findtext(f"{S}Header/{W}Action") == f"{WSA}/soap/fault"
    reason = written.find(f".//{S}Reason/{S}Text")
    assert (reason.text, reason.get("{http://www.w3.org/XML/1998/namespace}lang")) == ("a < b", "en")
    value = written.find(f".//{S}Subcode/{S}Value")
    prefix, _, local = value.text.partition(":")
    assert (value.nsmap[prefix], local) == ("urn:f", "F")
    assert written.find(f".//{S}Detail")[0].text == "d & e"


def test_a_soap_1_1_fault_of_a_peer_is_made_out():
    data = (
        f'<s:Envelope xmlns:s="{envelope.SOAP_1_1}"><s:Body><s:Fault><faultcode>s:Client.x</faultcode>'
        "<faultstring> no </faultstring></s:Fault></s:Body></s:Envelope>"
    ).encode()
    read = envelope.read_answer(data, "1")
    assert isinstance(read, SoapFault)
    assert (read.code, read.reason) == ("Sender", "no (said in SOAP 1.1)")


def test_a_fault_without_code_or_reason_is_still_a_fault():
    data = f'<s:Envelope xmlns:s="{SOAP}"><s:Body><s:Fault/></s:Body></s:Envelope>'.encode()
    read = envelope.read_answer(data, "1")
    assert isinstance(read, SoapFault)
    assert (read.code, read.reason, read.detail) == ("Receiver", "no reason was given", None)
