"""`xds serve` as an operator meets it: it starts, says so, refuses strangers, ends in order."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser

from tests.conftest import create_database, drop_database
from tests.stack import Arrangement, Server, Stack, Stores, free_port, run
from xds import worker
from xds.serve import _connections
from xds.soap.sockets import PlainSocket
from xds.transactions import TRANSACTIONS, Actor
from xds.worker import Request, Response

SERVICES = pytest.param(Stores.SERVICES, marks=pytest.mark.service)
both_stores = pytest.mark.parametrize("stores", [Stores.EMBEDDED, SERVICES], ids=lambda stores: stores.value)


@pytest.fixture(scope="module")
def served(tmp_path_factory, pki):
    """One server for the tests that change nothing."""
    from tests.stack import start

    stack = start(tmp_path_factory.mktemp("served") / "stack", pki, Arrangement.ONE_PROCESS)
    yield stack
    stack.stop()


def connection(stack: Stack, name: str = "client", actor: Actor = Actor.REGISTRY) -> http.client.HTTPSConnection:
    port = int(stack.urls[actor].rsplit(":", 1)[1].partition("/")[0])
    return http.client.HTTPSConnection("localhost", port, context=stack.client_context(name), timeout=20)


# Starting


def test_one_line_says_that_it_is_ready_and_where(served):
    ready = [line for line in served.servers[0].text().splitlines() if "ready" in line]
    assert ready == [f"xds: ready: {served.registry} {served.repository}"]
    assert served.get("/ready") == (200, "ready\n")
    assert served.get("/health")[0] == 200


@both_stores
@pytest.mark.parametrize("arrangement", Arrangement, ids=lambda arrangement: arrangement.value)
def test_both_arrangements_on_both_store_pairs(stack, arrangement, stores):
    running = stack(arrangement, stores)
    for actor in Actor:
        assert running.get("/ready", actor)[0] == 200
        assert f"/{actor}" in running.get(f"/{actor}?wsdl", actor)[1]
    assert running.stop() == [0] * len(running.servers)


def test_the_connection_sheet_tells_the_identifiers(served):
    sheet = json.loads(served.get("/?format=json")[1])
    assert sheet["endpoints"] == {"registry": served.registry, "repository": served.repository}
    assert sheet["repositoryUniqueId"].startswith("2.25.")
    assert {row["number"] for row in sheet["transactions"]} == {row.number for row in TRANSACTIONS}
    assert sheet["certificates"]["server certificate"]["sha256"]
    assert str(served.pki) not in json.dumps(sheet)


def test_a_restart_finds_what_was_there(stack):
    running = stack()
    running.add_patient("1^^^&1.2.3&ISO")
    assert running.stop() == [0]
    running.start()
    listed = run("patient", "list", "-c", running.config)
    assert listed.stdout == "1^^^&1.2.3&ISO\n"


@pytest.mark.service
def test_several_servers_may_start_on_one_empty_database(stack, pki):
    first = stack(Arrangement.ONE_PROCESS, Stores.SERVICES)
    first.stop()
    drop_database(first.database)
    create_database(first.database)
    servers = []
    for number in range(3):
        config = first.config.with_name(f"{number}.toml")
        config.write_text(first.config.read_text().replace("port = ", f"port = {free_port()} # "))
        servers.append(Server(config))
    for server in servers:
        server.launch()
    try:
        for server in servers:
            server.wait_ready()
    finally:
        assert [server.stop() for server in servers] == [0, 0, 0]


# What keeps it from starting: one line, and exit code 1; a wrong call or wrong settings: 2


def settings(tmp_path: Path, pki: Path, **changes: str) -> Path:
    values = {
        "server": f"port = {free_port()}\nworkers = 1",
        "tls": f"certificate = '{pki}/server.pem'\nkey = '{pki}/server.key'\nca = '{pki}/ca.pem'",
        "registry": "database = 'sqlite:///registry.db'",
        "repository": "database = 'sqlite:///repository.db'\nstore = 'documents'\nunique_id = '2.25.1'",
    }
    path = tmp_path / "xds.toml"
    sections = {name: text for name, text in (values | changes).items() if text}
    path.write_text("\n".join(f"[{name}]\n{text}" for name, text in sections.items()))
    return path


def refused(config: Path, *options: str) -> tuple[int, str]:
    ended = run("serve", "-c", config, *options)
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


def test_a_port_that_is_taken(tmp_path, pki):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, words = refused(settings(tmp_path, pki, server=f"port = {port}"))
    assert code == 1
    assert words == (
        f"xds: cannot listen on 127.0.0.1 port {port}: another program listens there; end it, or choose another "
        "[server] port\n"
    )


def test_an_address_of_another_machine(tmp_path, pki):
    code, words = refused(settings(tmp_path, pki, server="host = '192.0.2.1'"))
    assert (code, words.count("\n")) == (1, 1)
    assert "this machine has no such address" in words


def test_an_expired_certificate(tmp_path, pki):
    tls = f"certificate = '{pki}/expired.pem'\nkey = '{pki}/expired.key'\nca = '{pki}/ca.pem'"
    code, words = refused(settings(tmp_path, pki, tls=tls))
    assert (code, words.count("\n")) == (1, 1)
    assert f"{pki}/expired.pem: the certificate expired on" in words


def test_a_database_that_is_down(tmp_path, pki):
    registry = f"database = 'postgresql+psycopg://xds:geheim@127.0.0.1:{free_port()}/xds'"
    code, words = refused(settings(tmp_path, pki, registry=registry))
    assert (code, words.count("\n")) == (1, 1)
    assert words.startswith("xds: database of the registry, postgresql+psycopg://xds:***@127.0.0.1:")
    assert "the database cannot be reached" in words
    assert "geheim" not in words


def test_a_store_whose_directory_cannot_be_made(tmp_path, pki):
    (tmp_path / "file").touch()
    repository = "database = 'sqlite:///r.db'\nstore = 'file/documents'\nunique_id = '2.25.1'"
    code, words = refused(settings(tmp_path, pki, repository=repository))
    assert (code, words.count("\n")) == (1, 1)
    assert words.startswith("xds: document store: ")
    assert f"{tmp_path}/file/documents" in words


WRONG = {
    "no TLS": (
        {"tls": ""},
        (),
        "[tls]: missing; expected certificate, key and ca, or [server] trusted_proxies that do TLS",
    ),
    "a proxy known by its certificate, without TLS": (
        {"tls": "", "server": f"trusted_proxies = ['::1']\nproxy_certificates = ['{'ab' * 32}']"},
        (),
        "[tls]: missing; expected certificate, key and ca, since a proxy is known by a certificate only where",
    ),
    "no database": ({"registry": ""}, (), "[registry] database: missing"),
    "a repository without a registry": ({}, ("--actor", "repository"), "[registry] url: missing"),
    "no repositoryUniqueId": (
        {"repository": "database = 'sqlite:///r.db'\nstore = 'd'"},
        (),
        "[repository] unique_id: missing",
    ),
    "no workers": ({}, ("--workers", "0"), "--workers"),
    "no actor": ({}, ("--actor", "both"), "--actor"),
    "no codes.xml": ({"affinity": "codes = 'none.xml'"}, (), "none.xml"),
    "unknown key": ({"server": "prot = 1"}, (), "[server] prot: unknown key"),
}


@pytest.mark.parametrize(("changes", "options", "words"), WRONG.values(), ids=WRONG)
def test_wrong_settings_are_told_in_words(tmp_path, pki, changes, options, words):
    code, said = refused(settings(tmp_path, pki, **changes), *options)
    assert code == 2
    assert words in said


# Who gets in


@pytest.mark.parametrize("stranger", ["expired", "foreign", "selfsigned", "future", None])
def test_a_certificate_it_does_not_trust_gets_no_connection(served, stranger):
    context = ssl.create_default_context(cafile=served.pki / "ca.pem")
    if stranger:
        context.load_cert_chain(served.pki / f"{stranger}.pem", served.pki / f"{stranger}.key")
    peer = http.client.HTTPSConnection("localhost", connection(served).port, context=context, timeout=20)
    with closing(peer), pytest.raises((ssl.SSLError, ConnectionError)):  # noqa: PT012 - which of them depends on TLS
        peer.request("GET", "/ready")
        peer.getresponse()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3(served, version):
    context = served.client_context()
    context.minimum_version = context.maximum_version = version
    peer = http.client.HTTPSConnection("localhost", connection(served).port, context=context, timeout=20)
    peer.request("GET", "/ready")
    assert peer.getresponse().status == 200
    assert peer.sock.version() == version.name.replace("_", ".").replace("TLSv1.", "TLSv1.")
    peer.close()


def test_connections_are_kept_alive(served):
    peer = connection(served)
    for _ in range(3):
        peer.request("GET", "/ready")
        answer = peer.getresponse()
        assert (answer.status, answer.read()) == (200, b"ready\n")
        first = peer.sock
        assert first is not None
    peer.close()


def test_a_peer_that_falls_silent_is_cut_off(stack):
    running = stack(server={"workers": 1, "threads": 2, "idle_seconds": 1})
    silent = connection(running)
    silent.putrequest("POST", "/registry")
    silent.putheader("Content-Type", "application/soap+xml")
    silent.putheader("Content-Length", "1000")
    silent.endheaders()
    silent.send(b"<")
    begun = time.monotonic()
    answer = silent.getresponse()
    assert answer.status == 400
    assert time.monotonic() - begun < 10
    silent.close()


def test_idle_connections_keep_nobody_out(stack):
    """Neither strangers before their handshake nor trusted peers before their request hold one of the threads."""
    running = stack(server={"workers": 1, "threads": 8})
    with ExitStack() as idle:
        for _ in range(30):
            greeted = connection(running)
            idle.enter_context(closing(greeted))
            greeted.connect()
            idle.enter_context(socket.create_connection(("localhost", greeted.port)))
        begun = time.monotonic()
        assert running.get("/ready")[0] == 200
        assert time.monotonic() - begun < 5  # gunicorn's threads would have waited for the idle ones first
        greeted.request("GET", "/ready")
        assert greeted.getresponse().status == 200


def test_refused_strangers_who_stay_keep_nobody_out(served):
    """The server waits for the peer to close, so that it sees why; others are served meanwhile."""
    context = ssl.create_default_context(cafile=served.pki / "ca.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    port = connection(served).port
    begun = time.monotonic()
    with ExitStack() as staying:
        for _ in range(20):
            stranger = staying.enter_context(socket.create_connection(("localhost", port)))
            peer = context.wrap_socket(stranger, server_hostname="localhost", do_handshake_on_connect=False)
            staying.enter_context(peer)
            with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
                peer.do_handshake()
        assert served.get("/ready")[0] == 200
        assert time.monotonic() - begun < 10  # two seconds for each of them, if it waited in its main thread


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="files are counted on Linux")
def test_a_worker_that_may_open_no_more_files_lets_new_connections_wait(stack):
    running = stack(server={"workers": 1, "threads": 2})
    master = running.servers[0].process.pid
    workers = children(master)
    soft, hard = resource.prlimit(workers[0], resource.RLIMIT_NOFILE)
    assert soft == hard
    opened = max(int(each.name) for each in Path(f"/proc/{workers[0]}/fd").iterdir())
    resource.prlimit(workers[0], resource.RLIMIT_NOFILE, (opened + 5, hard))
    with ExitStack() as strangers:
        for _ in range(20):
            strangers.enter_context(socket.create_connection(("localhost", connection(running).port)))
        time.sleep(1.5)
    resource.prlimit(workers[0], resource.RLIMIT_NOFILE, (soft, hard))
    assert running.get("/ready")[0] == 200
    assert children(master) == workers
    assert "new connections have to wait: Too many open files" in running.servers[0].text()


@pytest.mark.parametrize(
    ("allowed", "threads", "expected"),
    [(1 << 20, 16, 2000), (1024, 16, 768), (64, 16, 17), (resource.RLIM_INFINITY, 1000, 4000)],
)
def test_connections_leave_files_for_databases_and_documents(monkeypatch, allowed, threads, expected):
    limits = [(32, allowed)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, asked: limits.append(asked))
    assert _connections(threads) == expected
    assert limits[-1] == (allowed, allowed)


def ask_for_readiness(peer: http.client.HTTPSConnection, after: bytes = b"") -> None:
    peer.sock.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n" + after)
    assert b"200 OK" in peer.sock.recv(1 << 16)


@pytest.mark.parametrize("rest", [b"\r\n", b"\r\n\r\n", b"\r"], ids=["one", "two", "half"])
@pytest.mark.parametrize("when", ["with the request", "later"])
def test_empty_lines_after_a_request_hold_no_thread(stack, rest, when):
    running = stack(server={"workers": 1, "threads": 1})
    peer = connection(running)
    peer.connect()
    with closing(peer):
        ask_for_readiness(peer, rest if when == "with the request" else b"")
        if when == "later":
            peer.sock.sendall(rest)
        time.sleep(0.3)
        begun = time.monotonic()
        assert running.get("/ready")[0] == 200
        assert time.monotonic() - begun < 5
        peer.sock.sendall(b"\n" if rest == b"\r" else b"")
        ask_for_readiness(peer)


@pytest.mark.parametrize("kept", [True, False])
def test_part_of_a_tls_record_holds_no_thread(stack, kept):
    running = stack(server={"workers": 1, "threads": 1})
    peer = connection(running)
    peer.connect()
    with closing(peer):
        if kept:
            ask_for_readiness(peer)
        os.write(peer.sock.fileno(), b"\x17\x03\x03\x00\x50")
        time.sleep(0.3)
        begun = time.monotonic()
        assert running.get("/ready")[0] == 200
        assert time.monotonic() - begun < 5


def test_a_header_that_trickles_is_cut_off(monkeypatch):
    monkeypatch.setattr(worker, "HEADER_SECONDS", 0.5)
    ours, peer = socket.socketpair()
    ended = threading.Event()

    def trickle() -> None:
        peer.sendall(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(200):
            peer.sendall(b"x")
            if ended.wait(0.05):
                break

    with closing(PlainSocket(fileno=ours.detach())) as connection, closing(peer), ThreadPoolExecutor(1) as pool:
        connection.setblocking(True)
        parser = get_parser(Config(), connection, ("127.0.0.1", 1))
        parser.mesg_class = Request
        pool.submit(trickle)
        with pytest.raises(ConnectionResetError, match="took too long"):
            next(parser)
        ended.set()
        assert connection.until is None  # a body may take its time


@pytest.mark.parametrize("options", ["close", "TE, close", "Close ,TE"])
def test_the_connection_is_closed_when_one_of_its_options_says_so(served, options):
    peer = connection(served)
    with closing(peer):
        peer.request("GET", "/ready", headers={"Connection": options})
        answer = peer.getresponse()
        assert (answer.status, answer.getheader("Connection"), answer.read()) == (200, "close", b"ready\n")


def test_a_handshake_that_is_not_finished_is_cut_off(stack):
    running = stack(server={"workers": 1, "threads": 2, "idle_seconds": 1})
    with socket.create_connection(("localhost", connection(running).port), timeout=20) as stranger:
        stranger.sendall(b"\x16\x03\x01\x02\x00\x01")  # a TLS record's header, and one octet of ClientHello
        assert stranger.recv(1) == b""
    assert "Traceback" not in running.servers[0].text()


def test_a_request_decrypted_with_the_one_before_is_answered(served):
    """Octets the TLS library holds make no socket readable; the first request ends where a read of gunicorn's ends."""
    first = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Padding: %b\r\n\r\n"
    first %= b"x" * (8192 - len(first) + 2)
    second = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    peer = connection(served)
    peer.connect()
    with closing(peer):
        peer.sock.sendall(first + second)  # one TLS record
        received = b"".join(iter(lambda: peer.sock.recv(4096), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_a_small_answer_is_one_tls_record(served):
    peer = connection(served)
    peer.connect()
    with closing(peer):
        for _ in range(3):
            peer.sock.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            header, _, body = peer.sock.recv(1 << 16).partition(b"\r\n\r\n")  # reads a record at a time
            assert (header[:15], body) == (b"HTTP/1.1 200 OK", b"ready\n")


class Sent:
    """A connection that keeps what each call was to send."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.calls.append(data)


FRAMED = {
    "a body of known length": ("GET", [("Content-Length", "6")], [b"abc", b"def"], [b"abc", b"def"]),
    "a body of unknown length": ("GET", [], [b"abc", b"", b"def"], [b"3\r\nabc\r\n", b"3\r\ndef\r\n", b"0\r\n\r\n"]),
    "an empty body": ("GET", [("Content-Length", "0")], [], [b""]),
    "an empty body of unknown length": ("GET", [], [], [b"", b"0\r\n\r\n"]),
    "only the header": ("HEAD", [("Content-Length", "6")], [b""], [b""]),
}


@pytest.mark.parametrize(("method", "headers", "chunks", "sent"), FRAMED.values(), ids=FRAMED)
def test_a_header_leaves_with_the_first_octets_of_the_body(method, headers, chunks, sent):
    connection = Sent()
    request = SimpleNamespace(method=method, version=(1, 1), should_close=lambda: False)
    answer = Response(request, connection, Config())
    answer.start_response("200 OK", headers)
    for chunk in chunks:
        answer.write(chunk)
    answer.close()
    header, end, first = connection.calls[0].partition(b"\r\n\r\n")
    assert header.startswith(b"HTTP/1.1 200 OK\r\n")
    assert end
    assert [first, *connection.calls[1:]] == sent


def ask_on_and_on(stack: Stack, ended: threading.Event) -> int:
    """A peer that sends its next request as soon as it has an answer, until the server closes; how many it got."""
    peer = connection(stack)
    answers = 0
    with closing(peer), suppress(ConnectionError, http.client.BadStatusLine):
        while not ended.is_set():
            peer.request("GET", "/health")
            answer = peer.getresponse()
            answer.read()
            answers += 1
            if answer.getheader("Connection") == "close":
                break
    return answers


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_peers_that_ask_on_and_on_keep_nobody_out(stack, threads):
    """A thread may wait a moment for a connection's next request, but not while others wait for a thread."""
    running = stack(server={"workers": 1, "threads": threads})
    ended = threading.Event()
    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask_on_and_on, running, ended) for _ in range(6)]
        begun = time.monotonic()
        for _ in range(5):
            assert running.get("/ready")[0] == 200
        taken = time.monotonic() - begun
        time.sleep(0.2)
        ended.set()
        assert all(peer.result() > 1 for peer in asking)
    assert taken < 5


# Behind a proxy


def test_plain_http_is_for_this_machine_when_asked_for(tmp_path, pki, stack):
    port = free_port()
    config = settings(tmp_path, pki, tls="", server=f"port = {port}\nworkers = 1\nplain_http = true")
    server = Server(config)
    server.start()
    try:
        peer = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for option in ("keep-alive", "TE, close"):
            peer.request("GET", "/ready", headers={"Connection": option})
            answer = peer.getresponse()
            assert (answer.status, answer.read()) == (200, b"ready\n")
        assert answer.getheader("Connection") == "close"
        assert f"http://localhost:{port}/registry" in server.text()
        peer.close()
    finally:
        assert server.stop() == 0


def test_a_trusted_proxy_passes_the_certificate_on(tmp_path, pki):
    port = free_port()
    config = settings(tmp_path, pki, tls="", server=f"port = {port}\nworkers = 1\ntrusted_proxies = ['127.0.0.1']")
    server = Server(config)
    server.start()
    pem = (pki / "client.pem").read_text().replace("\n", "%0A")
    try:
        for headers, status in (({"Client-Cert": pem}, 200), ({}, 403), ({"Client-Cert": "nonsense"}, 403)):
            peer = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            peer.request("POST", "/registry", SOAP, headers | {"Content-Type": "application/soap+xml"})
            assert peer.getresponse().status == status
            peer.close()
    finally:
        assert server.stop() == 0


SOAP = """
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://www.w3.org/2005/08/addressing">
<s:Header><a:Action s:mustUnderstand="1">urn:ihe:iti:2007:RegistryStoredQuery</a:Action>
<a:MessageID>urn:uuid:1</a:MessageID></s:Header>
<s:Body><q:AdhocQueryRequest xmlns:q="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"/></s:Body></s:Envelope>
""".strip()


# Ending


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(stack, how):
    running = stack()
    assert running.stop(how) == [0]
    assert "Traceback" not in running.servers[0].text()


def test_peers_that_ask_on_and_on_do_not_hold_up_the_end(stack):
    running = stack(server={"workers": 1, "threads": 4})
    never = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask_on_and_on, running, never) for _ in range(3)]
        time.sleep(0.3)
        begun = time.monotonic()
        assert running.stop() == [0]
        assert time.monotonic() - begun < 10
        assert all(peer.result() > 1 for peer in asking)


def test_a_request_under_way_is_finished(stack):
    running = stack(server={"workers": 1})
    peer = connection(running)
    peer.putrequest("POST", "/registry")
    peer.putheader("Content-Type", "application/soap+xml")
    peer.putheader("Content-Length", str(len(SOAP)))
    peer.endheaders()
    peer.send(SOAP[:100].encode())
    time.sleep(0.3)
    ended = threading.Thread(target=running.stop)
    ended.start()
    time.sleep(0.7)
    with pytest.raises(ConnectionRefusedError):  # at once, so that a client can go to another node
        socket.create_connection((peer.host, peer.port), timeout=5)
    peer.send(SOAP[100:].encode())
    answer = peer.getresponse()
    assert b"AdhocQueryResponse" in answer.read()
    peer.close()
    ended.join(20)
    assert running.servers[0].process.returncode == 0
