"""Connections that wait for their peer up to a limit: plain, and under TLS, where reading may need writing."""

import os
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
        ours.sendall(b"-")
        assert peer.recv(1) == b"-"  # after the session tickets: to close with these unread would be a reset
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


def test_a_peer_that_takes_steadily_gets_a_large_piece(pair):
    """Under TLS a write lasts until all of it has left; a whole answer must not have to leave within one patience."""
    ours, peer = pair
    ours.settimeout(0.5)
    size = 4 << 20
    received = 0

    def take() -> None:
        nonlocal received
        while received < size and (data := peer.recv(1 << 16)):
            received += len(data)
            time.sleep(len(data) / size * 1.5)

    taking = threading.Thread(target=take)
    taking.start()
    try:
        ours.sendall(bytes(size))
    finally:
        ours.close()
        taking.join()
    assert received == size


def test_what_has_arrived_is_read_without_waiting(pair):
    ours, peer = pair
    assert ours.recv_arrived(100) is None
    peer.sendall(b"request")
    assert ours.is_ready(5)
    assert ours.recv_arrived(100) == b"request"
    peer.close()
    assert ours.is_ready(5)
    assert ours.recv_arrived(100) == b""


@pytest.mark.parametrize("pair", ["TLS"], indirect=True)
def test_part_of_a_tls_record_is_not_waited_for(pair):
    ours, peer = pair
    os.write(peer.fileno(), b"\x17\x03\x03\x00\x50")
    assert ours.is_ready(5)
    assert ours.recv_arrived(100) is None
    assert not ours.is_ready(0)


def test_a_peer_that_trickles_is_given_up_when_its_time_is_over(pair):
    ours, peer = pair
    ended = threading.Event()

    def trickle() -> None:
        while not ended.wait(0.05):
            peer.sendall(b"x")

    trickling = threading.Thread(target=trickle)
    trickling.start()
    ours.until = time.monotonic() + 0.5
    try:
        with pytest.raises(ConnectionResetError, match="took too long"):
            list(iter(lambda: ours.recv(100) if time.monotonic() < ours.until + 10 else b"", b""))
    finally:
        ended.set()
        trickling.join()


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
    """Or Python would ask it before each write, and gunicorn's switching back and forth would cost a call each time."""
    ours, _ = pair
    assert ours.gettimeout() == Patient.seconds
    assert socket.socket.gettimeout(ours) == 0
