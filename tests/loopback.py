"""A WSGI application on a loopback socket with mutual TLS, in a thread; and peers that misbehave."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Wsgi = Callable[..., object]


class _Chunked:
    """A chunked request body as WSGI's input."""

    def __init__(self, file):
        self.file = file
        self.left = 0
        self.ended = False

    def read(self, size):
        if not self.left and not self.ended:
            self.left = int(self.file.readline(), 16)
            self.ended = self.left == 0
            if self.ended:
                self.file.readline()
        data = self.file.read(min(size, self.left))
        self.left -= len(data)
        if data and not self.left:
            self.file.readline()
        return data


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with kept-alive connections, chunked where a length is missing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    must_close = False

    def do_POST(self):
        server: Server = self.server
        server.requests.append({name.lower(): value for name, value in self.headers.items()})
        server.peers.add(self.client_address)
        path, _, query = self.path.partition("?")
        chunked = "Transfer-Encoding" in self.headers
        environ = {
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": self.headers.get("Content-Length", ""),
            "REMOTE_ADDR": self.client_address[0],
            "gunicorn.socket": self.connection,
            "wsgi.input": _Chunked(self.rfile) if chunked else self.rfile,
            "wsgi.input_terminated": chunked,
        }
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}
        chunks = server.application(environ, self.start_response)
        try:
            for data in chunks:
                self._write(data)
            if self.chunked:
                self.wfile.write(b"0\r\n\r\n")
        except Exception:
            self.close_connection = True
            if not server.is_quiet:
                raise
        finally:
            with suppress(AttributeError):
                chunks.close()
        self.close_connection = self.close_connection or self.must_close

    do_GET = do_POST

    def start_response(self, status, headers):
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for header in headers:
            self.send_header(*header)
        self.chunked = "Content-Length" not in dict(headers)
        if self.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if self.must_close:
            self.send_header("Connection", "close")
        self.end_headers()

    def force_close(self):
        self.must_close = True

    def _write(self, data):
        if self.chunked and data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        elif data:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """The server; `url` is without path. Requests' headers and peers' addresses are kept for assertions."""

    daemon_threads = True
    is_quiet = True

    def __init__(self, application: Wsgi | None, context: ssl.SSLContext | None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.application = application
        self.context = context
        self.requests: list[dict[str, str]] = []
        self.peers: set[tuple[str, int]] = set()
        self.url = f"{'https' if context else 'http'}://localhost:{self.server_address[1]}"

    def finish_request(self, request, client_address):
        if self.context:
            request = self.context.wrap_socket(request, server_side=True)
        try:
            self.RequestHandlerClass(request, client_address, self)
        finally:
            with suppress(OSError):
                request.close()

    def handle_error(self, *_):
        pass


@contextmanager
def serving(application: Wsgi | None, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve a WSGI application until the block ends; None: `Server.application` is set in it."""
    server = Server(application, context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def answering(*scripts: Callable[[socket.socket], None]) -> Iterator[str]:
    """A peer without TLS that gives each connection in turn to a script; yields its URL without path."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def run():
        for script in scripts:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(10)
                    script(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        listener.close()
        thread.join(10)


def read_request(connection: socket.socket) -> bytes:
    """Read one request with a Content-Length from a raw connection; b"" at its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return data
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))[16:])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def response(body: bytes, content_type: str = "application/soap+xml; charset=UTF-8", status: str = "200 OK") -> bytes:
    """An HTTP response with a Content-Length."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
