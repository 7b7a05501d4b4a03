"""The request pipeline, called as a WSGI server calls it, with actors that follow a script."""

import gc
import io
import logging
import re
import socket
import threading
import time
import tracemalloc
import weakref
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha1
from urllib.parse import quote

import pytest

from tests import samples
from xds.ebxml import rs, xdsb
from xds.ebxml.xml import parse
from xds.errors import Code, Refused, SoapFault, Status, XDSError
from xds.messages import (
    AdhocQuery,
    AdhocQueryResponse,
    DocumentRequest,
    RegistryResponse,
    RetrievedDocument,
    RetrieveDocumentSetResponse,
    ServedObject,
)
from xds.metadata.vocabulary import SOAP, WSA, XDSB, XOP
from xds.soap import envelope
from xds.soap.bodies import CODECS
from xds.soap.caller import TrustedProxy
from xds.soap.mime import Limits
from xds.soap.mtom import Attachment, InlineWriter, MultipartWriter, read_message
from xds.soap.pages import ConnectionSheet
from xds.soap.server import ServerSettings, SoapApplication
from xds.soap.sockets import PlainSocket
from xds.soap.wsgi import linger
from xds.transactions import ITI_18, ITI_41, ITI_42, ITI_43, ITI_51, TRANSACTIONS, Actor

S, W = f"{{{SOAP}}}", f"{{{WSA}}}"
PLAIN = "application/soap+xml; charset=UTF-8"
SHEET = ConnectionSheet({actor: f"https://localhost/{actor}" for actor in Actor})
NOBODY = ServerSettings(require_certificate=False)
QUERY = rs.encode_query(AdhocQuery("urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d", (("$a", ("'v'",)),)))
SUBMIT = rs.encode_submit(samples.submission(samples.entry(id="doc1"), samples.entry(id="doc2")))
RETRIEVE = xdsb.encode_retrieve([DocumentRequest("1.2", "3.4"), DocumentRequest("1.2", "3.5", "urn:oid:1.9")])
BODIES = {
    ITI_18: QUERY,
    ITI_41: xdsb.encode_provide(SUBMIT, ()),
    ITI_42: SUBMIT,
    ITI_43: RETRIEVE,
    ITI_51: QUERY,
}


class Content(io.BytesIO):
    """A document's stream that counts how often it was closed."""

    closed_times = 0

    def close(self):
        self.closed_times += 1
        super().close()


@dataclass
class Scripted:
    """Both actors: `script` answers, or raises; documents are read whole."""

    script: object = None
    request: object = None
    caller: object = None
    documents: list = field(default_factory=list)

    def _answer(self, request, caller, default):
        self.request, self.caller = request, caller
        if isinstance(self.script, Exception):
            raise self.script
        return self.script or default

    def register(self, request, caller):
        return self._answer(request, caller, RegistryResponse())

    def query(self, query, caller):
        return self._answer(query, caller, AdhocQueryResponse(refs=("urn:uuid:1",)))

    query_multiple_patients = query

    def retrieve(self, requests, caller):
        return self._answer(requests, caller, RetrieveDocumentSetResponse())

    def provide_and_register(self, request, caller):
        answer = self._answer(request, caller, RegistryResponse())
        for document in request.documents:
            octets = b""
            while data := document.content.read(1000):
                octets += data
            self.documents.append((document.id, octets))
        return answer


@dataclass
class Answer:
    status: str
    headers: dict
    body: bytes
    exchanges: list

    @property
    def code(self):
        return int(self.status[:3])

    @property
    def message(self):
        return read_message(io.BytesIO(self.body), self.headers["Content-Type"])

    @property
    def root(self):
        return parse(self.message.root)

    @property
    def content(self):
        return self.root.find(f"{S}Body")[0]

    @property
    def reason(self):
        return self.root.findtext(f".//{S}Reason/{S}Text")


class FakeResponse:
    """As much of gunicorn's response object as is asked of it."""

    def __init__(self):
        self.must_close = False
        self.said = None

    def force_close(self):
        self.must_close = True

    def start_response(self, status, headers):
        self.said = (status, headers)


def make_environ(path, data, content_type=PLAIN, method="POST", **extra):
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(data)),
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(data),
    } | extra


def run(environ, actor=None, settings=NOBODY, response=None, **options):
    """One request and its answer; returns what a peer would see."""
    exchanges = []
    actor = actor or Scripted()
    app = SoapApplication(
        dict.fromkeys(Actor, actor), settings, sheet=SHEET, **({"observe": exchanges.append} | options)
    )
    response = response or FakeResponse()
    chunks = app(environ, response.start_response)
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = response.said
    answer = Answer(status, dict(headers), body, exchanges)
    if "Content-Length" in answer.headers and environ["REQUEST_METHOD"] != "HEAD":
        assert int(answer.headers["Content-Length"]) == len(body)
    return answer


def soap(row, body=None, message_id="urn:uuid:42"):
    return envelope.encode_request(row.action, "https://localhost/", message_id, body or BODIES[row])


def post(row, actor=None, *, mtom=None, parts=(), body=None, settings=NOBODY, **extra):
    """A request of a transaction, packaged as it has it by default."""
    root = soap(row, body)
    writer = (MultipartWriter if (row.mtom if mtom is None else mtom) else InlineWriter)(root, parts)
    environ = make_environ(f"/{row.actor}", b"".join(writer), writer.content_type, **extra)
    return run(environ, actor, settings)


def attachments(*documents):
    return [Attachment(cid, "text/plain", len(octets), octets) for cid, octets in documents]


# --- the way through --------------------------------------------------------------------------------------------


def test_every_transaction_has_a_codec():
    assert set(CODECS) == {row.number for row in TRANSACTIONS}


@pytest.mark.parametrize("row", TRANSACTIONS, ids=lambda row: row.number)
@pytest.mark.parametrize("mtom", [True, False])
def test_each_transaction_is_answered_in_kind(row, mtom):
    """ITI TF-2 V.3.6: MTOM is answered by MTOM, plain SOAP by plain SOAP."""
    answer = post(row, mtom=mtom)
    assert answer.code == 200
    assert answer.message.is_mtom is mtom
    assert answer.root.findtext(f".//{W}Action") == row.response_action
    assert answer.root.findtext(f".//{W}RelatesTo") == "urn:uuid:42"
    assert answer.content.tag == row.response


def test_the_method_follows_the_action_not_the_body():
    """ITI-42, 57, 61 and 92 share one body element."""
    actor = Scripted()
    post(ITI_42, actor)
    assert actor.request.element.tag == ITI_42.request
    post(ITI_18, actor)
    assert actor.request.slots == (("$a", ("'v'",)),)


def test_the_caller_has_the_message_id_made_safe_for_logs():
    actor = Scripted()
    run(make_environ("/registry", soap(ITI_18, message_id=" a\nb <c> ")), actor)
    assert actor.caller.message_id == "a?b?<c>"


def test_a_message_without_id_gets_one_of_ours():
    actor = Scripted()
    data = re.sub(rb"<wsa:MessageID>.*?</wsa:MessageID>", b"", soap(ITI_18))
    answer = run(make_environ("/registry", data), actor)
    assert actor.caller.message_id.startswith("urn:uuid:")
    assert answer.root.find(f".//{W}RelatesTo") is None


def test_stored_octets_are_joined_into_the_answer():
    body = b'<rim:ExtrinsicObject id="urn:uuid:1"/>'
    answer = post(ITI_18, Scripted(AdhocQueryResponse(objects=(ServedObject("urn:uuid:1", body),))))
    assert body in answer.body


# --- ITI-41: documents in ---------------------------------------------------------------------------------------


def provide(*named, parts=(), mtom=True, actor=None):
    actor = actor or Scripted()
    answer = post(ITI_41, actor, mtom=mtom, body=xdsb.encode_provide(SUBMIT, named), parts=parts)
    return actor, answer


@pytest.mark.parametrize("mtom", [True, False])
def test_documents_reach_the_actor_in_their_order_of_arrival(mtom):
    actor, answer = provide(
        ("doc1", "a@x"), ("doc2", "b@x"), parts=attachments(("a@x", b"one"), ("b@x", b"\0\r\ntwo")), mtom=mtom
    )
    assert answer.code == 200
    assert actor.request.document_ids == ("doc1", "doc2")
    assert actor.documents == [("doc1", b"one"), ("doc2", b"\0\r\ntwo")]
    assert actor.request.broken == {}


def test_parts_may_come_in_another_order_and_parts_nobody_names_are_passed_over():
    parts = attachments(("b@x", b"two"), ("other", b"?"), ("a@x", b"one"))
    actor, _ = provide(("doc1", "a@x"), ("doc2", "b@x"), parts=parts)
    assert actor.documents == [("doc2", b"two"), ("doc1", b"one")]


def test_xop_and_inline_base64_may_be_mixed():
    body = xdsb.encode_provide(SUBMIT, [("doc1", "a@x")]).replace(
        b"</xds:ProvideAndRegister", b'<xds:Document id="doc2">b25l\n</xds:Document></xds:ProvideAndRegister'
    )
    actor = Scripted()
    post(ITI_41, actor, body=body, parts=attachments(("a@x", b"two")))
    assert sorted(actor.documents) == [("doc1", b"two"), ("doc2", b"one")]


def include(href):
    return f'<xop:Include xmlns:xop="{XOP}" href="{href}"/>'


BROKEN = {
    "no such part": (include("cid:z@x"), "no part"),
    "an external reference": (include("http://10.0.0.1/"), "cid:"),
    "bad base64": ("!!!!", "alphabet"),
    "a part that is taken": (include("cid:a@x"), "already"),
}


def test_a_content_id_that_is_percent_encoded_like_its_url_is_found():
    """Toolkits such as CXF 2 write the same text into both, where RFC 2392 decodes the URL alone."""
    include = b'href="cid:7@urn%3Aihe%3Aiti%3Axds-b%3A2007"'
    body = xdsb.encode_provide(SUBMIT, [("doc1", "a@x")]).replace(b'href="cid:a@x"', include)
    actor = Scripted()
    assert post(ITI_41, actor, body=body, parts=attachments(("7@urn%3Aihe%3Aiti%3Axds-b%3A2007", b"one"))).code == 200
    assert actor.documents == [("doc1", b"one")]
    assert actor.request.broken == {}


@pytest.mark.parametrize("case", BROKEN)
def test_octets_that_cannot_be_had_are_reported_with_their_document(case):
    """02 section 1: treated as a missing document while the Document element is intact."""
    content, words = BROKEN[case]
    body = xdsb.encode_provide(SUBMIT, [("doc1", "a@x")]).replace(
        b"</xds:ProvideAndRegister",
        f'<xds:Document id="doc2">{content}</xds:Document></xds:ProvideAndRegister'.encode(),
    )
    actor = Scripted()
    answer = post(ITI_41, actor, body=body, parts=attachments(("a@x", b"one")))
    assert answer.code == 200
    assert actor.documents == [("doc1", b"one")]
    assert list(actor.request.broken) == ["doc2"]
    assert words in actor.request.broken["doc2"]


def test_a_part_in_broken_base64_is_a_missing_document():
    root = soap(ITI_41, xdsb.encode_provide(SUBMIT, [("doc1", "a@x")]))
    data = (
        b"--b\r\nContent-Type: application/xop+xml\r\nContent-ID: <r>\r\n\r\n" + root + b"\r\n--b\r\n"
        b"Content-ID: <a@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!\r\n--b--\r\n"
    )
    actor = Scripted()
    answer = run(make_environ("/repository", data, 'multipart/related; boundary=b; type="application/xop+xml"'), actor)
    error = answer.content[0][0]
    assert (error.get("errorCode"), error.get("location")) == ("XDSMissingDocument", "doc1")
    assert "doc1" in actor.request.broken


def test_a_message_cut_off_within_a_document_is_a_fault():
    root = soap(ITI_41, xdsb.encode_provide(SUBMIT, [("doc1", "a@x")]))
    writer = MultipartWriter(root, attachments(("a@x", b"x" * 1000)))
    whole = b"".join(writer)
    cut = make_environ("/repository", whole[:-200], writer.content_type)
    answer = run(cut)
    assert answer.code == 400
    assert "closing boundary" in answer.reason
    cut = make_environ("/repository", whole[:-200], writer.content_type, CONTENT_LENGTH=str(len(whole)))
    answer = run(cut)
    assert answer.code == 400
    assert "octets" in answer.reason


class Endless(io.RawIOBase):
    """A request of many megabytes that is never whole in memory."""

    def __init__(self, head, size, tail):
        self.head, self.left, self.tail = io.BytesIO(head), size, io.BytesIO(tail)

    def read(self, size=-1):
        data = self.head.read(size)
        if not data and self.left:
            data = b"\xa5" * min(size, self.left)
            self.left -= len(data)
        return data or self.tail.read(size)


class Digesting(Scripted):
    def provide_and_register(self, request, caller):
        for document in request.documents:
            digest = sha1(usedforsecurity=False)
            while data := document.content.read(65536):
                digest.update(data)
            self.documents.append((document.id, digest.hexdigest()))
        return RegistryResponse()


def test_a_large_document_streams_in_constant_memory():
    size = 64 << 20
    root = soap(ITI_41, xdsb.encode_provide(SUBMIT, [("doc1", "a@x")]))
    writer = MultipartWriter(root, [Attachment("a@x", "text/plain", 1, b"#")])
    head, _, tail = b"".join(writer).partition(b"#")
    length = len(head) + size + len(tail)
    environ = make_environ("/repository", b"", writer.content_type, CONTENT_LENGTH=str(length))
    environ["wsgi.input"] = Endless(head, size, tail)
    actor = Digesting()
    tracemalloc.start()
    answer = run(environ, actor)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.code == 200
    assert actor.documents == [("doc1", sha1(b"\xa5" * size, usedforsecurity=False).hexdigest())]
    assert peak < 4 << 20


# --- ITI-43: documents out --------------------------------------------------------------------------------------


def retrieved(*contents, errors=()):
    return RetrieveDocumentSetResponse(
        tuple(
            RetrievedDocument(DocumentRequest("1.2", f"3.{n}", "urn:oid:1.9"), "text/plain", content, size)
            for n, (content, size) in enumerate(contents)
        ),
        errors,
    )


@pytest.mark.parametrize("mtom", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_documents_go_out_as_they_are_and_are_closed(mtom, known):
    octets = [b"", b"\r\n--x\0", b"y" * 100_000]
    contents = [Content(data) for data in octets]
    script = retrieved(
        *[(content, len(data) if known else None) for content, data in zip(contents, octets, strict=True)]
    )
    answer = post(ITI_43, Scripted(script), mtom=mtom)
    message = answer.message
    body = parse(message.root).find(f"{S}Body")[0]
    parts = {part.content_id: part.stream.read() for part in message.parts}
    found = [
        parts[document.find(f"{{{XDSB}}}Document/{{{XOP}}}Include").get("href")[4:].replace("%40", "@")]
        for document in body.iterfind(f"{{{XDSB}}}DocumentResponse")
    ]
    assert found == octets
    assert ("Content-Length" in answer.headers) is known
    assert [content.closed_times for content in contents] == [1, 1, 1]
    assert answer.exchanges[0].outcome == "Success"


def test_some_documents_and_some_errors_are_a_partial_success():
    error = XDSError(Code.XDSDocumentUniqueIdError, "no such document", "3.9")
    answer = post(ITI_43, Scripted(retrieved((Content(b"x"), 1), errors=(error,))))
    response = answer.content[0]
    assert response.get("status") == Status.PARTIAL
    assert response[0][0].get("location") == "3.9"
    assert answer.exchanges[0].outcome == "Partial"


class Failing(Content):
    def read(self, size=-1):
        raise OSError("the disk is gone")


@pytest.mark.parametrize("mtom", [True, False])
def test_a_document_that_fails_on_its_way_breaks_the_connection_off(mtom):
    good, bad = Content(b"x" * 100_000), Failing()
    actor = Scripted(retrieved((good, 100_000), (bad, 5)))
    exchanges = []
    app = SoapApplication({Actor.REPOSITORY: actor}, NOBODY, sheet=SHEET, observe=exchanges.append)
    writer = (MultipartWriter if mtom else InlineWriter)(soap(ITI_43), ())
    environ = make_environ("/repository", b"".join(writer), writer.content_type)
    with closing(app(environ, FakeResponse().start_response)) as chunks, pytest.raises(OSError, match="disk"):
        b"".join(chunks)
    assert (good.closed_times, bad.closed_times) == (1, 1)
    assert exchanges[0].outcome == "aborted"


@pytest.mark.parametrize("mtom", [True, False])
def test_a_document_that_fails_before_the_answer_has_begun_is_told_as_an_error(mtom):
    content = Failing()
    answer = post(ITI_43, Scripted(retrieved((content, 500_000))), mtom=mtom)
    response = answer.content[0]
    assert (answer.code, response.get("status")) == (200, Status.FAILURE)
    assert [error.get("errorCode") for error in response[0]] == [Code.XDSRepositoryError]
    assert b"the disk is gone" not in answer.body
    assert answer.exchanges[0].outcome == "Failure"
    assert content.closed_times == 1


def test_a_document_shorter_than_announced_breaks_the_connection_off():
    actor = Scripted(retrieved((Content(b"x" * 100_000), 100_005)))
    app = SoapApplication({Actor.REPOSITORY: actor}, NOBODY, sheet=SHEET)
    environ = make_environ("/repository", soap(ITI_43))
    with (
        closing(app(environ, FakeResponse().start_response)) as chunks,
        pytest.raises(ValueError, match="expected 100005"),
    ):
        b"".join(chunks)


def test_streams_are_closed_when_the_peer_goes_away():
    content = Content(b"x" * 1_000_000)
    exchanges = []
    app = SoapApplication(
        {Actor.REPOSITORY: Scripted(retrieved((content, None)))}, NOBODY, sheet=SHEET, observe=exchanges.append
    )
    chunks = app(make_environ("/repository", soap(ITI_43)), FakeResponse().start_response)
    next(iter(chunks))
    chunks.close()
    chunks.close()
    assert content.closed_times == 1
    assert [exchange.outcome for exchange in exchanges] == ["aborted"]


class Unwritable:
    """An answer of an actor that cannot be encoded."""

    status = Status.SUCCESS
    errors = 5


def test_what_cannot_be_closed_is_logged(caplog):
    class Stuck(Content):
        stuck = True

        def close(self):
            if self.stuck:
                self.stuck = False  # once, for its end as garbage closes it too
                raise OSError("stuck")
            super().close()

    answer = post(ITI_43, Scripted(retrieved((Stuck(b"x"), 1))))
    assert answer.code == 200
    assert "stuck" in caplog.text


# --- refusals ---------------------------------------------------------------------------------------------------


def test_an_action_of_the_other_actor_names_the_right_endpoint():
    answer = run(make_environ("/registry", soap(ITI_43)))
    assert answer.code == 400
    assert "/repository" in answer.reason
    assert answer.root.findtext(f".//{S}Subcode/{S}Value").endswith(":ActionNotSupported")
    assert answer.root.findtext(f".//{W}ProblemAction/{W}Action") == ITI_43.action
    assert answer.root.findtext(f".//{W}RelatesTo") == "urn:uuid:42"


def test_an_unknown_action_is_told_what_is_accepted():
    answer = run(make_environ("/registry", soap(ITI_18).replace(b"RegistryStoredQuery<", b"Nonsense<")))
    assert "Nonsense" in answer.reason
    assert ITI_42.action in answer.reason


def test_a_body_that_does_not_fit_the_action_names_both():
    answer = run(make_environ("/registry", soap(ITI_18, SUBMIT)))
    assert answer.code == 400
    assert ITI_18.action in answer.reason
    assert "SubmitObjectsRequest" in answer.reason
    assert ITI_18.request in answer.reason


def test_a_soap_1_1_message_is_answered_in_soap_1_1():
    data = soap(ITI_18).replace(SOAP.encode(), envelope.SOAP_1_1.encode())
    answer = run(make_environ("/registry", data, "text/xml", HTTP_SOAPACTION='""'))
    assert answer.code == 500
    assert answer.headers["Content-Type"].startswith("text/xml")
    assert b"VersionMismatch" in answer.body


@pytest.mark.parametrize(
    "extra", [{"CONTENT_TYPE": f'{PLAIN}; action="{ITI_42.action}"'}, {"HTTP_SOAPACTION": f'"{ITI_42.action}"'}]
)
def test_an_action_in_http_that_disagrees_is_refused(extra):
    answer = run(make_environ("/registry", soap(ITI_18)) | extra)
    assert answer.code == 400
    assert ITI_42.action in answer.reason
    assert answer.root.findtext(f".//{W}RelatesTo") == "urn:uuid:42"


def test_an_action_in_http_that_agrees_is_fine():
    extra = {"CONTENT_TYPE": f'{PLAIN}; action="{ITI_18.action}"', "HTTP_SOAPACTION": f'"{ITI_18.action}"'}
    assert run(make_environ("/registry", soap(ITI_18)) | extra).code == 200


def test_a_mandatory_header_is_understood_if_the_settings_say_so():
    data = soap(ITI_18).replace(b"<soap:Header>", b'<soap:Header><o:O xmlns:o="urn:o" soap:mustUnderstand="1"/>')
    assert run(make_environ("/registry", data)).code == 500
    settings = ServerSettings(require_certificate=False, understood=envelope.UNDERSTOOD | {"{urn:o}O"})
    assert run(make_environ("/registry", data), settings=settings).code == 200


MALFORMED = {
    "no content type": ("", b"", 400),
    "another content type": ("application/json", b"{}", 400),
    "no XML": (PLAIN, b"hello", 400),
    "nothing": (PLAIN, b"", 400),
    "doctype": (PLAIN, b"<!DOCTYPE a><a/>", 400),
    "no boundary": ("multipart/related", b"--b", 400),
    "no part": ("multipart/related; boundary=b", b"--b--", 400),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_soap_message_is_a_fault(case):
    content_type, data, status = MALFORMED[case]
    answer = run(make_environ("/registry", data, content_type))
    assert answer.code == status
    assert answer.content.tag == f"{S}Fault"
    assert answer.exchanges[0].outcome == "fault Sender"


def test_a_fault_in_answer_to_mtom_is_mtom():
    assert post(ITI_43, mtom=True, body=QUERY).message.is_mtom


def test_a_compressed_request_is_refused():
    answer = run(make_environ("/registry", b"\x1f\x8b", HTTP_CONTENT_ENCODING="gzip"))
    assert (answer.code, answer.content.tag) == (415, f"{S}Fault")


def test_the_content_length_must_be_a_number():
    answer = run(make_environ("/registry", b"", CONTENT_LENGTH="-5"))
    assert answer.code == 400


# --- limits and kept-alive connections --------------------------------------------------------------------------

SMALL = ServerSettings(limits=Limits(message=10_000), require_certificate=False, drain=20_000)


def test_a_body_that_announces_too_much_is_refused_unread_and_the_connection_closed():
    response, source = FakeResponse(), Endless(b"", 10 << 20, b"")
    environ = make_environ("/registry", b"", CONTENT_LENGTH=str(10 << 20)) | {"wsgi.input": source}
    answer = run(environ, settings=SMALL, response=response)
    assert (answer.code, answer.content.tag) == (413, f"{S}Fault")
    assert response.must_close
    assert source.left == 10 << 20


def test_a_chunked_body_is_refused_once_it_is_too_large():
    response, source = FakeResponse(), Endless(b"", 10 << 20, b"")
    environ = make_environ("/registry", b"", HTTP_TRANSFER_ENCODING="chunked") | {"wsgi.input": source}
    del environ["CONTENT_LENGTH"]
    environ["wsgi.input_terminated"] = True
    answer = run(environ, settings=SMALL, response=response)
    assert answer.code == 413
    assert response.must_close


def test_a_chunked_body_is_read_to_its_end():
    environ = make_environ("/registry", soap(ITI_18), HTTP_TRANSFER_ENCODING="chunked")
    environ["wsgi.input_terminated"] = True
    assert run(environ).code == 200


def test_what_an_actor_did_not_read_is_read_so_that_the_connection_can_be_kept():
    root = soap(ITI_41, xdsb.encode_provide(SUBMIT, [("doc1", "a@x")]))
    writer = MultipartWriter(root, attachments(("a@x", b"x" * 300_000)))
    for drain, closes in ((1 << 20, False), (1000, True)):
        response = FakeResponse()
        environ = make_environ("/repository", b"".join(MultipartWriter(root, attachments(("a@x", b"x" * 300_000)))))
        environ |= {"CONTENT_TYPE": writer.content_type}
        writer = MultipartWriter(root, attachments(("a@x", b"x" * 300_000)))
        environ = make_environ("/repository", b"".join(writer), writer.content_type)
        settings = ServerSettings(require_certificate=False, drain=drain)
        refusal = Refused([XDSError(Code.XDSRepositoryMetadataError, "no")])
        answer = run(environ, Scripted(refusal), settings, response)
        assert answer.code == 200
        assert response.must_close is closes
        assert (environ["wsgi.input"].read() == b"") is not closes


def test_nothing_beyond_the_content_length_is_read():
    data = soap(ITI_18)
    environ = make_environ("/registry", data)
    environ["wsgi.input"] = io.BytesIO(data + b"POST /registry HTTP/1.1")
    response = FakeResponse()
    assert run(environ, response=response).code == 200
    assert not response.must_close
    assert environ["wsgi.input"].read() == b"POST /registry HTTP/1.1"


def test_a_broken_connection_is_a_fault_nobody_may_ever_read():
    class Gone(io.RawIOBase):
        def read(self, size=-1):
            raise ConnectionResetError

    response = FakeResponse()
    environ = make_environ("/registry", b"12345") | {"wsgi.input": Gone()}
    answer = run(environ, response=response)
    assert answer.code == 400
    assert response.must_close


def test_a_refused_peer_that_trickles_is_not_listened_to_for_long():
    ours, peer = socket.socketpair()
    connection = PlainSocket(fileno=ours.detach())
    ended = threading.Event()

    def trickle():
        while not ended.wait(0.1):
            peer.sendall(b"x")

    trickling = threading.Thread(target=trickle)
    with closing(connection), closing(peer):
        trickling.start()
        begun = time.monotonic()
        linger({"gunicorn.socket": connection})
        ended.set()
        trickling.join()
        assert time.monotonic() - begun < 3


def test_without_length_and_server_that_tells_the_end_there_is_no_body():
    environ = make_environ("/registry", soap(ITI_18))
    del environ["CONTENT_LENGTH"]
    assert "empty" in run(environ).reason


# --- errors -----------------------------------------------------------------------------------------------------

ERRORS = (XDSError(Code.XDSUnknownPatientId, "nobody", "loc"), XDSError(Code.XDSRegistryMetadataError, "x"))


@pytest.mark.parametrize("row", TRANSACTIONS, ids=lambda row: row.number)
@pytest.mark.parametrize("raised", [Refused(ERRORS), ERRORS[0]], ids=["Refused", "XDSError"])
def test_errors_an_actor_raises_are_the_transactions_answer(row, raised):
    answer = post(row, Scripted(raised))
    response = answer.content if row is not ITI_43 else answer.content[0]
    codes = [error.get("errorCode") for error in response[0]]
    assert answer.code == 200
    assert answer.content.tag == row.response
    assert response.get("status") == Status.FAILURE
    assert codes == [error.code for error in getattr(raised, "errors", (raised,))]
    assert answer.exchanges[0].outcome == "Failure"


@pytest.mark.parametrize("row", TRANSACTIONS, ids=lambda row: row.number)
def test_what_nobody_foresaw_is_an_internal_error_that_tells_nothing(row, caplog):
    secret = "SELECT secret FROM patients; /var/lib/secret"
    answer = post(row, Scripted(RuntimeError(secret)))
    response = answer.content if row is not ITI_43 else answer.content[0]
    (error,) = response[0]
    expected = Code.XDSRegistryError if row.actor is Actor.REGISTRY else Code.XDSRepositoryError
    assert answer.code == 200
    assert error.get("errorCode") == expected
    assert error.get("codeContext") == "internal error, message id urn:uuid:42"
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    assert secret in caplog.text
    assert isinstance(answer.exchanges[0].error, RuntimeError)


def test_an_answer_that_cannot_be_written_is_an_internal_error():
    answer = post(ITI_42, Scripted(Unwritable()))
    assert answer.content[0][0].get("errorCode") == Code.XDSRegistryError


def test_a_failure_before_the_transaction_is_known_is_a_receiver_fault(monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr("xds.soap.call.read_message", fail)
    answer = run(make_environ("/registry", soap(ITI_18)))
    assert answer.code == 500
    assert re.fullmatch(r"internal error, message id urn:uuid:[0-9a-f-]{36}", answer.reason)
    assert b"secret" not in answer.body


def test_a_fault_an_actor_raises_is_a_fault():
    answer = post(ITI_18, Scripted(SoapFault("Receiver", "not now")))
    assert (answer.code, answer.reason) == (500, "not now")
    assert answer.root.findtext(f".//{W}Action") == envelope.SOAP_FAULT


# --- who is calling ---------------------------------------------------------------------------------------------


class Socket:
    def __init__(self, der):
        self.der = der

    def getpeercert(self, binary_form=False):
        assert binary_form
        return self.der


class GoneSocket:
    """A TLS connection that broke off with an error."""

    def getpeercert(self, binary_form=False):
        raise ValueError("handshake not done yet")


def test_a_connection_that_broke_off_has_nobody_at_its_end(caplog):
    answer = post(ITI_18, **{"gunicorn.socket": GoneSocket()})
    assert answer.code == 403
    assert "internal error" not in caplog.text


@pytest.fixture(scope="module")
def certificates(pki):
    """PEM, DER and fingerprint of the client and the server."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    found = {}
    for name in ("client", "server"):
        pem = (pki / f"{name}.pem").read_bytes()
        certificate = x509.load_pem_x509_certificates(pem)[0]
        pem = certificate.public_bytes(Encoding.PEM)
        found[name] = (pem.decode(), certificate.public_bytes(Encoding.DER), certificate.fingerprint(SHA256()).hex())
    return found


def identified(settings, **extra):
    actor = Scripted()
    answer = run(make_environ("/registry", soap(ITI_18)) | extra, actor, settings)
    return actor.caller if answer.code == 200 else answer


def test_the_caller_is_the_peers_certificate(certificates):
    caller = identified(ServerSettings(), **{"gunicorn.socket": Socket(certificates["client"][1])})
    assert caller.fingerprint == certificates["client"][2]
    assert "CN=" in caller.name
    assert caller.address == "127.0.0.1"


@pytest.mark.parametrize("socket", [Socket(None), object(), None])
def test_no_certificate_is_refused(socket):
    answer = identified(ServerSettings(), **{"gunicorn.socket": socket})
    assert (answer.code, answer.reason) == (403, "no client certificate was shown")
    assert identified(NOBODY, **{"gunicorn.socket": socket}).name == "anonymous"


PROXY = TrustedProxy("X-Client-Cert", ("10.0.0.0/28", "unix"))


@pytest.mark.parametrize("address", ["10.0.0.7", "::ffff:10.0.0.7", ""])
def test_a_trusted_proxy_passes_the_certificate_on(certificates, address):
    pem, _, fingerprint = certificates["client"]
    caller = identified(ServerSettings(proxy=PROXY), REMOTE_ADDR=address, HTTP_X_CLIENT_CERT=quote(pem))
    assert (caller.fingerprint, caller.address) == (fingerprint, address)


@pytest.mark.parametrize("address", ["10.0.0.16", "192.168.1.1", "::1", "nonsense"])
def test_the_header_is_refused_from_anyone_else(certificates, address):
    pem, der, _ = certificates["client"]
    answer = identified(
        ServerSettings(proxy=PROXY),
        REMOTE_ADDR=address,
        HTTP_X_CLIENT_CERT=quote(pem),
        **{"gunicorn.socket": Socket(der)},
    )
    assert answer.code == 403
    assert "trusted proxy" in answer.reason


def test_the_header_means_nothing_where_no_proxy_is_configured(certificates):
    pem, _, _ = certificates["client"]
    assert identified(ServerSettings(), HTTP_X_CLIENT_CERT=quote(pem)).code == 403


def test_who_comes_without_the_header_is_known_by_its_own_certificate(certificates):
    _, der, fingerprint = certificates["client"]
    settings = ServerSettings(proxy=PROXY)
    caller = identified(settings, REMOTE_ADDR="192.168.1.1", **{"gunicorn.socket": Socket(der)})
    assert caller.fingerprint == fingerprint


def test_the_proxys_own_certificate_is_never_taken_for_its_clients(certificates):
    _, der, _ = certificates["server"]
    settings = ServerSettings(proxy=PROXY)
    assert identified(settings, REMOTE_ADDR="10.0.0.7", **{"gunicorn.socket": Socket(der)}).code == 403
    blank = {"REMOTE_ADDR": "10.0.0.7", "HTTP_X_CLIENT_CERT": " ", "gunicorn.socket": Socket(der)}
    assert identified(settings, **blank).code == 403


def test_a_proxy_can_be_known_by_its_certificate(certificates):
    pem, _, fingerprint = certificates["client"]
    _, der, own = certificates["server"]
    proxy = TrustedProxy("X-Client-Cert", (), frozenset({":".join(re.findall("..", own.upper()))}))
    header = {"HTTP_X_CLIENT_CERT": quote(pem)}
    settings = ServerSettings(proxy=proxy)
    assert identified(settings, **header, **{"gunicorn.socket": Socket(der)}).fingerprint == fingerprint
    assert identified(settings, **header, **{"gunicorn.socket": Socket(certificates["client"][1])}).code == 403
    assert identified(settings, **header).code == 403


@pytest.mark.parametrize("value", ["nonsense", ":AAAA:", "a" * 20_000])
def test_a_header_without_certificate_is_refused(value):
    answer = identified(ServerSettings(proxy=PROXY), REMOTE_ADDR="10.0.0.7", HTTP_X_CLIENT_CERT=value)
    assert answer.code == 403
    assert value not in answer.reason


def test_a_trusted_proxy_cannot_be_anybody():
    with pytest.raises(ValueError, match="addresses or fingerprints"):
        TrustedProxy("X-Client-Cert")
    with pytest.raises(ValueError, match="nonsense"):
        TrustedProxy("X-Client-Cert", ("nonsense",))


# --- HTTP around it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/registry"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pages_are_served(path, method):
    answer = run(make_environ(path, b"", method=method) | {"QUERY_STRING": "wsdl"})
    assert answer.code == 200
    assert (answer.body == b"") is (method == "HEAD")
    assert int(answer.headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/", 405, "GET, HEAD"),
        ("POST", "/ready", 405, "GET, HEAD"),
        ("DELETE", "/registry", 405, "GET, HEAD, POST"),
        ("GET", "/registry", 405, "POST"),
        ("POST", "/nothing", 404, None),
        ("GET", "/nothing", 404, None),
    ],
)
def test_other_methods_and_paths_are_refused(method, path, status, allow):
    answer = run(make_environ(path, b"x" * 100, method=method))
    assert (answer.code, answer.headers.get("Allow")) == (status, allow)


def test_a_large_body_on_a_wrong_path_closes_the_connection():
    response = FakeResponse()
    environ = make_environ("/nothing", b"", CONTENT_LENGTH="99999999") | {"wsgi.input": Endless(b"", 99999999, b"")}
    assert run(environ, response=response).code == 404
    assert response.must_close
    response = FakeResponse()
    assert run(make_environ("/nothing", b"", CONTENT_LENGTH="x"), response=response).code == 404
    assert response.must_close


def test_an_actor_that_is_not_served_is_not_found():
    app = SoapApplication(
        {Actor.REGISTRY: Scripted()}, NOBODY, sheet=ConnectionSheet({Actor.REGISTRY: "https://x/registry"})
    )
    response = FakeResponse()
    app(make_environ("/repository", soap(ITI_43)), response.start_response)
    assert response.said[0].startswith("404")


# --- the record -------------------------------------------------------------------------------------------------


def test_an_exchange_is_observed_once_with_what_audit_needs():
    (exchange,) = post(ITI_18).exchanges
    assert (exchange.transaction, exchange.status, exchange.outcome) == (ITI_18, 200, "Success")
    assert (exchange.actor, exchange.caller.name, exchange.message_id) == (Actor.REGISTRY, "anonymous", "urn:uuid:42")
    assert isinstance(exchange.request, AdhocQuery)
    assert isinstance(exchange.answer, AdhocQueryResponse)
    assert 0 < exchange.duration < 5


def test_an_observer_that_fails_is_logged_and_harms_nobody(caplog):
    def fail(_exchange):
        raise RuntimeError("audit is down")

    assert run(make_environ("/registry", soap(ITI_18)), observe=fail).code == 200
    assert "audit is down" in caplog.text


def test_an_exchange_is_logged_without_patient_data(caplog):
    from xds.soap.wsgi import log_exchange

    with caplog.at_level(logging.INFO, "xds.soap.wsgi"):
        run(make_environ("/registry", soap(ITI_18)), observe=log_exchange)
        run(make_environ("/registry", b"nonsense"), observe=log_exchange)
    assert "ITI-18 registry: Success" in caplog.text
    assert "- registry: fault Sender" in caplog.text
    assert "'v'" not in caplog.text


def test_nothing_of_a_call_stays_in_memory():
    """Frames of spyne are cycles; they must not keep messages until these are collected."""
    made = []

    class Making(Scripted):
        def retrieve(self, requests, caller):
            content = Content(b"x")
            made.append(weakref.ref(content))
            return retrieved((content, 1))

    app = SoapApplication({Actor.REPOSITORY: Making()}, NOBODY, sheet=SHEET)
    gc.disable()
    try:
        with closing(app(make_environ("/repository", soap(ITI_43)), FakeResponse().start_response)) as chunks:
            b"".join(chunks)
        del chunks
        assert [reference() for reference in made] == [None]
    finally:
        gc.enable()
