"""Connections that wait for their peer up to a limit: plain, and under TLS, where reading may need writing."""

import socket
import ssl
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest

from xds.security import pki, tls
from xds.security.tls import TLSSettings
from xds.soap.sockets import Patient, PlainSocket, TLSSocket

LARGE = 8 << 20


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sockets")
    pki.write_test_material(directory)
    node = TLSSettings(directory / "server.pem", directory / "server.key", directory / "ca.pem")
    server = tls.server_context(node)
    server.sslsocket_class = TLSSocket
    client = replace(node, certificate=directory / "client.pem", key=directory / "client.key")
    return server, tls.client_context(client)


@pytest.fixture(params=["plain", "TLS"])
def pair(request):
    """Our end, which does not wait yet, and the peer's."""
    ours, peer = socket.socketpair()
    ours = PlainSocket(fileno=ours.detach())
    ours.setblocking(True)
    peer.settimeout(20)
    if request.param == "TLS":
        server, client = request.getfixturevalue("contexts")
        ours = server.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
        shaking = threading.Thread(target=lambda: finish_handshake(ours))
        shaking.start()
        peer = client.wrap_socket(peer, server_hostname="localhost")
        shaking.join()
    with closing(ours), closing(peer):
        yield ours, peer


def finish_handshake(sock: TLSSocket) -> None:
    while True:
        try:
            return sock.do_handshake()
        except ssl.SSLWantReadError:
            assert sock.is_ready(20)


def silent(seconds: float):
    return pytest.raises(ConnectionResetError, match=f"the peer was silent for {seconds:g} seconds")


def test_what_has_arrived_is_read_at_once(pair):
    ours, peer = pair
    peer.sendall(b"request")
    assert ours.is_ready(5)
    assert ours.recv(100) == b"request"


def test_what_is_still_to_come_is_waited_for(pair):
    ours, peer = pair
    threading.Timer(0.2, peer.sendall, (b"late",)).start()
    assert not ours.is_ready(0)
    assert ours.recv(100) == b"late"


def test_a_silent_peer_is_given_up(pair):
    ours, _ = pair
    ours.settimeout(0.2)
    begun = time.monotonic()
    with silent(0.2):
        ours.recv(100)
    assert time.monotonic() - begun < 5


def test_a_peer_that_takes_nothing_is_given_up(pair):
    ours, _ = pair
    ours.settimeout(0.2)
    with silent(0.2):
        ours.sendall(bytes(LARGE))


def test_a_slow_peer_gets_all(pair):
    ours, peer = pair
    ours.settimeout(None)
    received = bytearray()

    def take() -> None:
        time.sleep(0.2)
        while len(received) < LARGE:
            received.extend(peer.recv(1 << 16))

    taking = threading.Thread(target=take)
    taking.start()
    ours.sendall(bytes(LARGE))
    taking.join()
    assert received == bytes(LARGE)


def test_nobody_waits_where_the_poller_does(pair):
    ours, _ = pair
    ours.setblocking(False)
    with pytest.raises(OSError, match=r"(?i)unavailable|did not complete"):
        ours.recv(100)


def test_the_end_is_something_to_read(pair):
    ours, peer = pair
    peer.close()
    assert ours.is_ready(5)
    assert ours.recv(100) == b""


def test_the_kernel_never_waits(pair):
    """Or Python would ask it before each write, and gunicorn's switching to and fro would cost a call each time."""
    ours, _ = pair
    assert ours.gettimeout() == Patient.seconds
    assert socket.socket.gettimeout(ours) == 0
