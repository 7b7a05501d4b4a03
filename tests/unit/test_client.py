"""The client against the server over mutual TLS on a loopback socket, and against peers that misbehave."""

import hashlib
import io
import itertools
import socket
import ssl
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests import samples
from tests.loopback import answering, read_request, response, serving
from xds.actors import PeerUnavailable
from xds.client import RegistryClient, RepositoryClient
from xds.ebxml import rs, xdsb
from xds.errors import Code, SoapFault, Status, XDSError
from xds.messages import (
    AdhocQuery,
    AdhocQueryResponse,
    Caller,
    DocumentRequest,
    ProvideAndRegister,
    RegistryResponse,
    RetrievedDocument,
    RetrieveDocumentSetResponse,
    ServedObject,
    SubmittedDocument,
)
from xds.security.tls import TLSSettings, client_context, server_context
from xds.soap import envelope
from xds.soap.mime import Limits
from xds.soap.mtom import Attachment, InlineWriter, MultipartWriter
from xds.soap.pages import ConnectionSheet
from xds.soap.server import ServerSettings, SoapApplication
from xds.soap.transport import SoapTransport
from xds.transactions import ITI_18, ITI_41, ITI_42, ITI_43, Actor

CALLER = Caller("a test")
QUERY = AdhocQuery("urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d", (("$a", ("'v'", "'w'")),), home="urn:oid:1.9")
WARNING = XDSError("SomeCode", "as <sent>", "here")


class Pattern(io.RawIOBase):
    """A document of any size that is never in memory whole."""

    def __init__(self, size):
        self.size = self.left = size
        self.was_closed = False

    def read(self, size=-1):
        data = b"\x5a" * min(size, self.left)
        self.left -= len(data)
        return data

    def close(self):
        self.was_closed = True


@dataclass
class Actors:
    """Both actors in memory."""

    script: object = None
    callers: list = field(default_factory=list)
    got: dict = field(default_factory=dict)
    stored: dict = field(default_factory=dict)
    request: object = None

    def register(self, request, caller):
        self.callers.append(caller)
        self.request = request
        return RegistryResponse((WARNING,))

    def query(self, query, caller):
        self.callers.append(caller)
        self.request = query
        return AdhocQueryResponse(objects=(ServedObject("urn:uuid:1", b'<rim:ExtrinsicObject id="urn:uuid:1"/>'),))

    query_multiple_patients = query

    def provide_and_register(self, request, caller):
        self.request = request
        if self.script:
            return self.script
        for document in request.documents:
            digest = hashlib.sha1(usedforsecurity=False)
            while data := document.content.read(65536):
                digest.update(data)
            self.got[document.id] = digest.hexdigest()
        return RegistryResponse(
            tuple(XDSError(Code.XDSMissingDocument, why, id_) for id_, why in request.broken.items())
        )

    def retrieve(self, requests, caller):
        documents = tuple(
            RetrievedDocument(request, "text/plain", content, size)
            for request in requests
            if (content := self.stored.get(request.document_unique_id)) is not None
            for size in (getattr(content, "size", None),)
        )
        missing = tuple(
            XDSError(Code.XDSDocumentUniqueIdError, "no such document", request.document_unique_id)
            for request in requests
            if request.document_unique_id not in self.stored
        )
        return RetrieveDocumentSetResponse(documents, missing)


def application(actors, settings=None):
    sheet = ConnectionSheet({actor: f"https://localhost/{actor}" for actor in Actor})
    return SoapApplication(dict.fromkeys(Actor, actors), settings, sheet=sheet)


def contexts(pki, name="client", **options):
    return client_context(TLSSettings(pki / f"{name}.pem", pki / f"{name}.key", pki / "ca.pem"), **options)


@pytest.fixture(scope="module")
def server_tls(pki):
    return server_context(TLSSettings(pki / "server.pem", pki / "server.key", pki / "ca.pem"))


@pytest.fixture
def actors():
    return Actors()


@pytest.fixture
def server(actors, server_tls):
    with serving(application(actors), server_tls) as found:
        yield found


@pytest.fixture
def transport(pki):
    found = SoapTransport(contexts(pki), connect_timeout=5, read_timeout=10)
    yield found
    found.close()


@pytest.fixture
def registry(server, transport):
    return RegistryClient(transport, f"{server.url}/registry")


@pytest.fixture
def repository(server, transport):
    return RepositoryClient(transport, f"{server.url}/repository")


def sha1(data):
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def provide(documents, ids=("doc1", "doc2"), broken=None):
    entries = [samples.entry(id=id_, mime_type="application/pdf") for id_ in ids]
    return ProvideAndRegister(rs.submit_request(samples.submission(*entries)), tuple(ids), documents, broken or {})


# --- the registry -----------------------------------------------------------------------------------------------


def test_a_submission_arrives_and_its_answer_comes_back(registry, actors):
    submission = rs.submit_request(samples.submission(samples.entry(id="doc1")))
    answer = registry.register(submission, CALLER)
    assert answer == RegistryResponse((WARNING,), Status.FAILURE)
    assert len(list(actors.request.element.iter())) == len(list(submission.element.iter()))
    (caller,) = actors.callers
    assert "CN=" in caller.name
    assert caller.message_id.startswith("urn:uuid:")


def test_a_query_arrives_and_its_objects_come_back(registry, actors):
    answer = registry.query(QUERY, CALLER)
    assert actors.request == QUERY
    assert answer.status is Status.SUCCESS
    (found,) = answer.objects
    assert found.id == "urn:uuid:1"


def test_connections_are_kept_alive(registry, repository, server):
    for _ in range(5):
        registry.query(QUERY, CALLER)
        repository.retrieve([DocumentRequest("1.2", "3.4")], CALLER)
        repository.provide_and_register(provide(iter([]), ids=()), CALLER)
    assert len(server.peers) == 1


def test_one_client_serves_many_threads(registry, server):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: registry.query(QUERY, CALLER), range(64)))
    assert all(answer.objects for answer in answers)
    assert len(server.peers) <= 8


def test_requests_are_packaged_as_the_transaction_has_it(registry, repository, server):
    registry.query(QUERY, CALLER)
    repository.retrieve([DocumentRequest("1.2", "3.4")], CALLER)
    plain, mtom = server.requests
    assert plain["content-type"] == f'application/soap+xml; charset=UTF-8; action="{ITI_18.action}"'
    assert mtom["content-type"].startswith("multipart/related")
    assert f'action="{ITI_43.action}"' in mtom["content-type"]
    assert "content-length" in mtom


# --- ITI-41 -----------------------------------------------------------------------------------------------------


def test_documents_of_known_size_go_out_with_a_content_length(repository, actors, server, tmp_path):
    path = tmp_path / "doc"
    path.write_bytes(b"\0\r\n" * 100_000)
    with path.open("rb") as file:
        documents = [SubmittedDocument("doc1", file), SubmittedDocument("doc2", io.BytesIO(b"two"))]
        answer = repository.provide_and_register(provide(iter(documents)), CALLER)
    assert answer.status is Status.SUCCESS
    assert actors.got == {"doc1": sha1(path.read_bytes()), "doc2": sha1(b"two")}
    assert "content-length" in server.requests[0]


def test_documents_of_unknown_size_go_out_chunked_each_when_its_turn_comes(repository, actors, server):
    """An ITI-41 that is passed on: the next document arrives only when the one before has been read."""
    first, second = Pattern(300_000), Pattern(5)

    def arriving():
        yield SubmittedDocument("doc1", first)
        assert first.left == 0
        yield SubmittedDocument("doc2", second)

    answer = repository.provide_and_register(provide(arriving()), CALLER)
    assert answer.status is Status.SUCCESS
    assert list(actors.got) == ["doc1", "doc2"]
    assert server.requests[0]["transfer-encoding"] == "chunked"


def test_documents_that_arrive_in_another_order_are_put_aside(repository, actors):
    documents = (SubmittedDocument(id_, io.BytesIO(id_.encode() * 1000)) for id_ in ("doc2", "doc1"))
    repository.provide_and_register(provide(documents), CALLER)
    assert actors.got == {id_: sha1(id_.encode() * 1000) for id_ in ("doc1", "doc2")}


def test_two_documents_of_one_id_are_sent_as_two(repository, actors):
    documents = [SubmittedDocument("doc1", io.BytesIO(data)) for data in (b"one", b"two")]
    repository.provide_and_register(provide(iter(documents), ids=("doc1", "doc1")), CALLER)
    assert actors.request.document_ids == ("doc1", "doc1")


@pytest.mark.parametrize("broken", [{}, {"doc2": "its base64 is damaged"}])
def test_a_document_that_does_not_come_breaks_the_request_off(repository, actors, broken):
    documents = iter([SubmittedDocument("doc1", io.BytesIO(b"one"))])
    answer = repository.provide_and_register(provide(documents, broken=broken), CALLER)
    (error,) = answer.errors
    assert (error.code, error.location) == (Code.XDSMissingDocument, "doc2")
    assert broken.get("doc2", "no octets") in error.context


def test_a_file_that_cannot_be_read_is_not_the_connections_fault(repository):
    class Damaged(io.RawIOBase):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        repository.provide_and_register(provide(iter([SubmittedDocument("doc1", Damaged())]), ids=("doc1",)), CALLER)


# --- ITI-43 -----------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(actors):
    actors.stored = {f"3.{n}": io.BytesIO(bytes([n]) * 200_000) for n in range(3)}
    return [DocumentRequest("1.2", f"3.{n}", "urn:oid:1.9") for n in range(3)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_documents_can_be_read_in_any_order(repository, server, stored, order):
    answer = repository.retrieve(stored, CALLER)
    assert [document.request for document in answer.documents] == stored
    for n in order:
        assert answer.documents[n].content.read() == bytes([n]) * 200_000
        assert answer.documents[n].content.read(10) == b""
    repository.retrieve([], CALLER)
    assert len(server.peers) == 1


def test_documents_can_be_read_in_turns(repository, stored):
    contents = [document.content for document in repository.retrieve(stored, CALLER).documents]
    found = [b"", b"", b""]
    for n in itertools.cycle((2, 0, 1)):
        data = contents[n].read(30_000)
        found[n] += data
        if all(len(octets) == 200_000 for octets in found):
            break
    assert found == [bytes([n]) * 200_000 for n in range(3)]


def test_documents_given_up_free_the_connection(repository, stored, actors):
    actors.stored["3.2"] = Pattern(50 << 20)
    answer = repository.retrieve(stored, CALLER)
    answer.documents[0].content.read()
    for document in answer.documents:
        document.content.close()
        assert document.content.read(5) == b""
    assert repository.retrieve([], CALLER).status is Status.SUCCESS


def test_some_documents_and_some_errors(repository, actors):
    actors.stored = {"3.1": io.BytesIO(b"x")}
    answer = repository.retrieve([DocumentRequest("1.2", "3.1"), DocumentRequest("1.2", "3.2")], CALLER)
    assert answer.status is Status.PARTIAL
    assert answer.documents[0].content.read(-1) == b"x"
    assert answer.errors[0].location == "3.2"


def test_large_documents_stream_both_ways_in_constant_memory(repository, actors):
    size = 48 << 20
    actors.stored = {"3.1": Pattern(size)}
    tracemalloc.start()
    repository.provide_and_register(provide(iter([SubmittedDocument("doc1", Pattern(size))]), ids=("doc1",)), CALLER)
    answer = repository.retrieve([DocumentRequest("1.2", "3.1")], CALLER)
    digest = hashlib.sha1(usedforsecurity=False)
    while data := answer.documents[0].content.read(65536):
        digest.update(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert actors.got["doc1"] == digest.hexdigest() == sha1(b"\x5a" * size)
    assert peak < 12 << 20
    assert actors.stored["3.1"].was_closed


def test_a_document_that_fails_on_its_way_never_looks_whole(repository, actors):
    class Short(Pattern):
        def read(self, size=-1):
            if self.left < 100_000:
                raise RuntimeError("the store is gone")
            return super().read(size)

    for size in (300_000, None):
        content = Short(300_000)
        content.size = size
        actors.stored = {"3.1": content}
        answer = repository.retrieve([DocumentRequest("1.2", "3.1")], CALLER)
        with pytest.raises(PeerUnavailable, match="broke off"):
            answer.documents[0].content.read()


def answer_with(body, parts=(), *, writer=MultipartWriter):
    """A script for a raw peer: read the request, answer with this body."""

    def script(connection):
        data = read_request(connection)
        message_id = data.partition(b"<wsa:MessageID>")[2].partition(b"<")[0].decode()
        written = writer(envelope.encode_answer(ITI_43.response_action, message_id, body), parts)
        connection.sendall(response(b"".join(written), written.content_type))

    return script


def delivered(*cids):
    return xdsb.encode_retrieve_response(Status.SUCCESS, (), [(DocumentRequest("1", cid), "a/b", cid) for cid in cids])


def retrieve_from(url):
    return RepositoryClient(SoapTransport(read_timeout=5), f"{url}/repository").retrieve(
        [DocumentRequest("1", "2")], CALLER
    )


def test_plain_answers_with_inline_base64_are_read():
    parts = [Attachment("a@x", "a/b", 3, b"abc"), Attachment("b@x", "a/b", 0, b"")]
    with answering(answer_with(delivered("a@x", "b@x"), parts, writer=InlineWriter)) as url:
        answer = retrieve_from(url)
        assert [document.content.read() for document in answer.documents] == [b"abc", b""]


def test_documents_whose_part_is_missing_are_no_documents():
    with answering(answer_with(delivered("a@x", "b@x"), [Attachment("a@x", "a/b", 3, b"abc")])) as url:
        first, second = retrieve_from(url).documents
        assert first.content.read() == b"abc"
        with pytest.raises(SoapFault, match=r"b@x.*no such part"):
            second.content.read()


def test_an_answer_that_refers_to_one_part_twice_is_refused():
    with answering(answer_with(delivered("a@x", "a@x"))) as url, pytest.raises(SoapFault, match="twice"):
        retrieve_from(url)


def test_an_answer_without_reference_is_refused():
    body = delivered("a@x").replace(b"cid:a@x", b"http://a/")
    with answering(answer_with(body)) as url, pytest.raises(SoapFault, match="no part"):
        retrieve_from(url)


def test_inline_base64_that_is_damaged_says_so():
    body = delivered("a@x").replace(
        b'<xop:Include xmlns:xop="http://www.w3.org/2004/08/xop/include" href="cid:a@x"/>', b"!!!!"
    )
    with answering(answer_with(body, writer=InlineWriter)) as url:
        (document,) = retrieve_from(url).documents
        with pytest.raises(SoapFault, match="alphabet"):
            document.content.read()


# --- faults and peers that misbehave ----------------------------------------------------------------------------


def test_a_fault_of_the_peer_is_raised_as_it_was_said(server, transport):
    client = RegistryClient(transport, f"{server.url}/repository")
    with pytest.raises(SoapFault, match="ITI-18 goes to the endpoint /registry") as raised:
        client.query(QUERY, CALLER)
    assert (raised.value.code, raised.value.status) == ("Sender", 400)
    assert raised.value.subcode.endswith("}ActionNotSupported")


def test_a_fault_in_mtom_is_a_fault(server, transport):
    client = RepositoryClient(transport, f"{server.url}/registry")
    with pytest.raises(SoapFault, match="/repository"):
        client.retrieve([], CALLER)


def test_a_wrong_path_is_told_from_an_actor(server, transport):
    with pytest.raises(PeerUnavailable, match=r"HTTP 404.*path included"):
        RegistryClient(transport, f"{server.url}/elsewhere").query(QUERY, CALLER)


def query(url, **options):
    return RegistryClient(
        SoapTransport(**{"connect_timeout": 2, "read_timeout": 1} | options), f"{url}/registry"
    ).query(QUERY, CALLER)


EMPTY = b"".join(rs.encode_query_response(AdhocQueryResponse()))
SOAP_ANSWER = envelope.encode_answer(ITI_18.response_action, None, EMPTY)
ANSWERS = {
    "no XML": (response(b"hello"), SoapFault, "not well-formed"),
    "another message's answer": (
        response(envelope.encode_answer("a", "urn:uuid:other", b"<q/>")),
        SoapFault,
        "urn:uuid:other",
    ),
    "another body": (response(envelope.encode_answer("a", None, b"<q/>")), SoapFault, "expected .*AdhocQueryResponse"),
    "no status": (response(SOAP_ANSWER.replace(b" status=", b" x=")), SoapFault, "status None"),
    "HTML": (response(b"<html/>", "text/html", "502 Bad Gateway"), PeerUnavailable, "HTTP 502 with 'text/html'"),
    "redirection": (
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        PeerUnavailable,
        "HTTP 302 with no",
    ),
    "cut off": (response(SOAP_ANSWER)[:-10], PeerUnavailable, "broke off within"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", PeerUnavailable, "broke off before"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_is_none_says_what_it_is(case):
    octets, error, words = ANSWERS[case]

    def script(connection):
        read_request(connection)
        connection.sendall(octets)

    with answering(script, script) as url, pytest.raises(error, match=words) as raised:
        query(url)
    assert url in str(raised.value) or "status" in words


def test_a_slow_peer_is_given_up():
    def script(connection):
        read_request(connection)
        time.sleep(1.5)

    with answering(script) as url, pytest.raises(PeerUnavailable, match="no answer within 1 s"):
        query(url)


def test_a_peer_that_slows_down_within_its_answer_is_given_up():
    def script(connection):
        read_request(connection)
        connection.sendall(response(SOAP_ANSWER)[:-10])
        time.sleep(1.5)

    with answering(script) as url, pytest.raises(PeerUnavailable, match="within the answer"):
        query(url)


def test_a_server_that_is_down_is_told_with_what_to_check():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(
        PeerUnavailable, match=rf"127.0.0.1:{port}/registry: no connection .*check that the server runs"
    ):
        query(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://", "http://a..b", f"http://{'a' * 64}.org"])
def test_a_url_that_is_none_is_told(url):
    with pytest.raises(PeerUnavailable, match="check the URL"):
        query(url)


def ok(connection):
    read_request(connection)
    connection.sendall(response(SOAP_ANSWER))


def test_a_read_is_sent_again_when_its_connection_turns_out_to_be_stale():
    def once_then_gone(connection):
        ok(connection)
        read_request(connection)

    with answering(once_then_gone, ok) as url:
        client = RegistryClient(SoapTransport(read_timeout=5), f"{url}/registry")
        assert client.query(QUERY, CALLER).status is Status.SUCCESS
        assert client.query(QUERY, CALLER).status is Status.SUCCESS


def test_a_read_is_sent_twice_at_most():
    with answering(read_request, read_request, ok) as url, pytest.raises(PeerUnavailable, match="broke off before"):
        query(url)


def test_a_write_is_never_sent_twice():
    seen = []

    def count(connection):
        seen.append(read_request(connection))

    submission = rs.submit_request(samples.submission(samples.entry(id="doc1")))
    with answering(count, count) as url:
        with pytest.raises(PeerUnavailable, match="broke off before"):
            RegistryClient(SoapTransport(read_timeout=1), f"{url}/registry").register(submission, CALLER)
        time.sleep(0.1)
        assert len(seen) == 1


def test_the_servers_limit_is_a_fault_not_a_broken_connection(actors, server_tls, pki):
    settings = ServerSettings(limits=Limits(message=50_000), drain=4 << 20)
    with serving(application(actors, settings), server_tls) as server:
        client = RepositoryClient(SoapTransport(contexts(pki)), f"{server.url}/repository")
        document = SubmittedDocument("doc1", io.BytesIO(b"x" * 500_000))
        with pytest.raises(SoapFault, match="limit 'message'") as raised:
            client.provide_and_register(provide(iter([document]), ids=("doc1",)), CALLER)
    assert raised.value.status == 413


def test_requests_uses_the_same_connections(registry, server, transport):
    for _ in range(2):
        registry.query(QUERY, CALLER)
        transport.session.get(f"{server.url}/registry?wsdl").raise_for_status()
    assert len(server.peers) == 1


def test_hooks_of_the_session_see_our_exchanges(registry, transport):
    seen = []
    transport.session.hooks["response"].append(lambda response, **_: seen.append(response))
    assert registry.query(QUERY, CALLER).objects
    (response,) = seen
    assert (response.request.method, response.url, response.status_code) == ("POST", registry.url, 200)
    assert response.request.headers["Content-Type"].startswith("application/soap+xml")
    assert response.headers["Content-Type"].startswith("application/soap+xml")
    assert response.elapsed > timedelta(0)


def test_neither_redirections_nor_cookies_are_followed():
    seen = []

    def once(connection):
        seen.append(read_request(connection))
        connection.sendall(response(SOAP_ANSWER).replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\nLocation: /\r\n", 1))
        seen.append(read_request(connection))
        connection.sendall(
            response(b"", "text/plain", "307 Temporary Redirect").replace(b"\r\n", b"\r\nLocation: /\r\n", 1)
        )

    with answering(once) as url:
        client = RegistryClient(SoapTransport(read_timeout=5), f"{url}/registry")
        assert client.query(QUERY, CALLER).status is Status.SUCCESS
        with pytest.raises(PeerUnavailable, match="HTTP 307"):
            client.query(QUERY, CALLER)
    assert b"Cookie" not in b"".join(seen)
    assert len(seen) == 2


# --- TLS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["expired", "foreign", "selfsigned", "future"])
def test_a_certificate_the_server_does_not_trust_makes_no_connection(pki, server, name, actors):
    context = contexts(pki)
    context.load_cert_chain(pki / f"{name}.pem", pki / f"{name}.key")
    client = RegistryClient(SoapTransport(context), f"{server.url}/registry")
    with pytest.raises(PeerUnavailable, match=r"refuses our certificate|broke off before"):
        client.query(QUERY, CALLER)
    assert actors.callers == []


def test_a_server_of_a_foreign_authority_is_not_accepted(pki, server):
    context = client_context(TLSSettings(pki / "client.pem", pki / "client.key", pki / "foreign-ca.pem"))
    with pytest.raises(PeerUnavailable, match=r"server's certificate is not accepted.*trusted authorities"):
        RegistryClient(SoapTransport(context), f"{server.url}/registry").query(QUERY, CALLER)


def test_the_servers_name_is_checked_unless_told_otherwise(pki, server, monkeypatch):
    original = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest: original("127.0.0.1", *rest))
    url = f"https://other.example.org:{server.server_address[1]}/registry"
    with pytest.raises(PeerUnavailable, match="names the URL's host"):
        RegistryClient(SoapTransport(contexts(pki)), url).query(QUERY, CALLER)
    unchecked = SoapTransport(contexts(pki, check_hostname=False))
    assert RegistryClient(unchecked, url).query(QUERY, CALLER).status is Status.SUCCESS


def test_no_other_authorities_are_ever_loaded(pki, server, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    context = contexts(pki)
    before = context.cert_store_stats()
    RegistryClient(SoapTransport(context), f"{server.url}/registry").query(QUERY, CALLER)
    assert context.cert_store_stats() == before


def test_https_without_certificates_is_refused(server):
    with pytest.raises(PeerUnavailable, match="no certificate and authorities"):
        RegistryClient(SoapTransport(), f"{server.url}/registry").query(QUERY, CALLER)


def test_https_to_a_port_without_tls_says_so(pki):
    with answering(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url:
        client = RegistryClient(SoapTransport(contexts(pki)), url.replace("http:", "https:"))
        with pytest.raises(PeerUnavailable, match="TLS failed"):
            client.query(QUERY, CALLER)


def test_documents_travel_as_mtom_only(transport):
    with pytest.raises(ValueError, match="MTOM"):
        transport.call(ITI_41, "https://localhost/", b"<q/>", [Attachment("a@x", "a/b", 1, b"x")], mtom=False)


def test_a_transaction_can_be_packaged_the_other_way(server, transport):
    with transport.call(ITI_42, f"{server.url}/registry", rs.encode_submit(samples.submission()), mtom=True) as answer:
        assert answer.body.tag == ITI_42.response
    assert server.requests[0]["content-type"].startswith("multipart/related")
    with pytest.raises(RuntimeError), transport.call(ITI_18, f"{server.url}/registry", rs.encode_query(QUERY)):
        raise RuntimeError


def test_tls_1_2_is_spoken_too(pki, server):
    context = contexts(pki)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert RegistryClient(SoapTransport(context), f"{server.url}/registry").query(QUERY, CALLER).objects
