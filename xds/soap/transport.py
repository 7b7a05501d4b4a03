"""The client's side: SOAP over mutual TLS, documents as streams both ways; the only file that imports zeep.

A `SoapTransport` is zeep's, so that a plain `zeep.Client` can use the same connections, with a call of our own
that does not go through zeep's values, nor through requests: it hands urllib3 the octets, streams parts, reads answers
as they arrive, and says in words what is wrong with a peer.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from http.client import RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from time import perf_counter
from typing import Any, Self

import requests
import urllib3
import zeep
from requests.adapters import HTTPAdapter
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import parse_url

from xds.actors import PeerUnavailable
from xds.ebxml.xml import Element
from xds.errors import SoapFault
from xds.soap import envelope
from xds.soap.mime import CHUNK, Limits, Part, shown
from xds.soap.mtom import SOAP_XML, Attachment, Message, MultipartWriter, read_message
from xds.transactions import ITI_18, ITI_43, Transaction

_READS = frozenset({ITI_18.number, ITI_43.number})  # may be sent twice without harm
_SOAP_TYPES = frozenset({SOAP_XML, "multipart/related", "text/xml", "application/xop+xml"})
_BROKEN_OFF = (
    "the connection broke off before the answer; the server may not accept our certificate, or no message of this size"
)
_LIMITS = Limits(root=128 << 20)
_FIELDS = {"User-Agent": "open-xds", "Accept": "*/*", "Accept-Encoding": "identity"}


class SoapTransport(zeep.Transport):
    """Connections to other actors, kept alive; any number of threads may call.

    Args:
        tls: from `security.tls.client_context`; None where only `http:` is called (tests, another layer does TLS).
        connect_timeout: seconds until a connection is made.
        read_timeout: seconds between two octets of an answer.
        connections: kept alive per server.
        limits: what an answer may cost.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 120.0,
        connections: int = 16,
        limits: Limits = _LIMITS,
    ) -> None:
        self._connections = _Connections(tls, connections)
        session = requests.Session()
        session.trust_env = False  # neither a proxy nor other authorities from the environment
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.mount("https://", self._connections)
        session.mount("http://", self._connections)
        timeouts = (connect_timeout, read_timeout)
        super().__init__(session=session, timeout=timeouts, operation_timeout=timeouts)  # type: ignore[no-untyped-call]
        session.headers.update(_FIELDS)
        self._timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
        self._limits = limits

    def close(self) -> None:
        """Close the connections kept alive."""
        self.session.close()

    def call(
        self,
        row: Transaction,
        url: str,
        body: bytes,
        parts: Sequence[Attachment] = (),
        *,
        mtom: bool | None = None,
    ) -> Answer:
        """Send a request and read the answer's envelope.

        A request goes out once; only a read whose kept-alive connection turned out to be stale is sent again.

        Args:
            row: the transaction.
            url: the actor's endpoint.
            body: the body element as octets.
            parts: documents, referred to by xop:Include in the body.
            mtom: package as MTOM; None: as the transaction has it.

        Returns:
            The answer; to be closed, or used as context manager.

        Raises:
            SoapFault: the peer answered with a fault, or (code Receiver) with no valid message.
            PeerUnavailable: there is no answer; the text says what to check.
        """
        message_id = envelope.new_message_id()
        root = envelope.encode_request(row.action, url, message_id, body)
        outgoing = _Outgoing(root, parts, row, as_mtom=row.mtom if mtom is None else mtom)
        response = self._post(row, url, outgoing)
        try:
            return self._answer(row, url, message_id, response)
        except BaseException:
            response.close()
            raise

    def _post(self, row: Transaction, url: str, outgoing: _Outgoing) -> urllib3.BaseHTTPResponse:
        try:
            return self._send(url, outgoing)
        except HTTPError as error:
            if outgoing.error is not None:
                raise outgoing.error from None
            if not (row.number in _READS and outgoing.can_be_repeated and _is_stale(error)):
                raise self._unavailable(url, error) from error
        try:
            return self._send(url, outgoing)
        except HTTPError as error:
            raise self._unavailable(url, error) from error

    def _send(self, url: str, outgoing: _Outgoing) -> urllib3.BaseHTTPResponse:
        pool, target = self._connections.to(url)
        began = perf_counter()
        response = pool.urlopen(
            "POST",
            target,
            outgoing.body,
            outgoing.fields,
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=self._timeout,
            preload_content=False,
        )
        if self.session.hooks["response"]:
            self._show(url, outgoing, response, perf_counter() - began)
        return response

    def _show(self, url: str, outgoing: _Outgoing, response: urllib3.BaseHTTPResponse, seconds: float) -> None:
        """Let those see the exchange who see zeep's."""
        request = requests.Request("POST", url, outgoing.fields).prepare()
        seen = self._connections.build_response(request, response)
        seen.elapsed = timedelta(seconds=seconds)
        for hook in self.session.hooks["response"]:
            hook(seen)

    def _answer(self, row: Transaction, url: str, message_id: str, response: urllib3.BaseHTTPResponse) -> Answer:
        content_type = response.headers.get("Content-Type", "")
        if content_type.partition(";")[0].strip().lower() not in _SOAP_TYPES:
            found = f"HTTP {response.status} with {shown(content_type) if content_type else 'no content'}"
            advice = f"check that the address is that of the {row.actor}, path included"
            raise PeerUnavailable(f"{url} answered {found}, no SOAP message; {advice}")
        try:
            message = read_message(_Incoming(url, response), content_type, self._limits)
            read = envelope.read_answer(message.root, message_id)
        except SoapFault as fault:
            raise SoapFault("Receiver", f"{url} answered with no valid message: {fault.reason}") from fault
        if isinstance(read, SoapFault):
            read.status = response.status
            raise read
        if read.body.tag != row.response:
            found, expected = shown(str(read.body.tag)), row.response
            raise SoapFault("Receiver", f"{url} answered {row.number} with {found}, expected {expected}")
        return Answer(url, read, message, response)

    def _unavailable(self, url: str, error: HTTPError) -> PeerUnavailable:
        connect, read = self.operation_timeout
        return PeerUnavailable(f"{url}: {_in_words(error, connect, read)}")


class Answer:
    """An answer whose documents are still on their way.

    Attributes:
        url: whose answer it is.
        envelope: what it says; `body` is the body element.
        broken: Content-ID of an Include -> why its inline base64 could not be decoded.
    """

    def __init__(self, url: str, env: envelope.Envelope, message: Message, response: urllib3.BaseHTTPResponse) -> None:
        self.url = url
        self.envelope = env
        self.broken = message.broken
        self._message = message
        self._response = response

    @property
    def body(self) -> Element:
        """The body element; documents in it are xop:Include elements."""
        return self.envelope.body

    @property
    def parts(self) -> Iterator[Part]:
        """The documents as they arrive, each to be read before the next is asked for."""
        return self._message.parts

    def finish(self) -> None:
        """Read the rest, so that the connection can be used again, and close.

        Raises:
            SoapFault: Receiver, the answer was not whole.
            PeerUnavailable: the connection broke.
        """
        try:
            self._message.drain()
        except SoapFault as fault:
            raise SoapFault("Receiver", f"the answer of {self.url} is broken: {fault.reason}") from fault
        finally:
            self.close()

    def close(self) -> None:
        """Give up what was not read; the connection with it, if there is any."""
        self._message.close()
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.finish()
        else:
            self.close()


class _Outgoing:
    """A request; remembers why a document was unreadable, which urllib3 takes for the connection's fault."""

    def __init__(self, root: bytes, parts: Sequence[Attachment], row: Transaction, *, as_mtom: bool) -> None:
        self.error: OSError | None = None
        self.can_be_repeated = not parts
        self.body: bytes | Iterable[bytes] = root
        if not as_mtom:
            if parts:
                raise ValueError("documents travel as MTOM")
            self.fields = _FIELDS | {"Content-Type": f'{SOAP_XML}; charset=UTF-8; action="{row.action}"'}
            return
        writer = MultipartWriter(root, parts, action=row.action)
        self.fields = _FIELDS | {"Content-Type": writer.content_type}
        self.body = self._pieces(writer) if parts else b"".join(writer)
        length = writer.content_length()
        if length is not None:  # else it is sent chunked
            self.fields["Content-Length"] = str(length)

    def _pieces(self, writer: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from writer
        except OSError as error:
            self.error = error
            raise


class _Incoming:
    """An answer's octets as they arrive."""

    def __init__(self, url: str, response: urllib3.BaseHTTPResponse) -> None:
        self._url = url
        self._response = response

    def read(self, size: int = CHUNK, /) -> bytes:
        try:
            return self._response.read(size, decode_content=True)
        except HTTPError as error:
            raise PeerUnavailable(f"{self._url}: the connection broke off within the answer ({error})") from error


class _Connections(HTTPAdapter):
    """Connections of one TLS context, kept alive, for requests as for us; its own list of authorities has no say."""

    def __init__(self, tls: ssl.SSLContext | None, connections: int) -> None:
        self._tls = tls
        super().__init__(pool_connections=connections, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        # urllib3 compares the host name by itself where the context does not, unless told that nobody should
        assert_hostname = None if self._tls is None or self._tls.check_hostname else False
        super().init_poolmanager(*args, **kwargs, ssl_context=self._tls, assert_hostname=assert_hostname)

    def to(self, url: str) -> tuple[urllib3.HTTPConnectionPool, str]:
        """Those to a server, and what is asked of it.

        Raises:
            HTTPError: it is not the URL of a server we could talk to.
        """
        parsed = parse_url(url)
        if parsed.scheme is None:
            raise LocationValueError(f"Invalid URL {url!r}: No scheme supplied. Perhaps you meant https://{url}?")
        if parsed.scheme == "https" and self._tls is None:
            raise LocationValueError("no certificate and authorities are configured for https")
        return self.poolmanager.connection_from_host(parsed.host, parsed.port, parsed.scheme), parsed.request_uri

    def get_connection_with_tls_context(self, request: Any, *_: Any, **__: Any) -> urllib3.HTTPConnectionPool:
        """Pass by what requests would say of TLS."""
        return self.to(request.url)[0]

    def cert_verify(self, *_: Any) -> None:
        """Leave the connection as the context has it: no certifi bundle is loaded into it."""


def _is_stale(error: HTTPError) -> bool:
    """Whether a connection that was kept alive had been closed by the peer meanwhile."""
    return isinstance(_cause(error), RemoteDisconnected | ConnectionResetError | BrokenPipeError)


def _cause(error: HTTPError) -> object:
    """What urllib3 has packed into a ProtocolError or SSLError; the text of any other error."""
    return error.args[-1] if error.args else None


def _in_words(error: HTTPError, connect: float, read: float) -> str:
    """Say what is wrong and what to check."""
    cause = _cause(error)
    if isinstance(cause, ssl.SSLError):
        return _tls_in_words(cause)
    if isinstance(error, NewConnectionError):
        reason = getattr(error.__cause__, "strerror", None) or "unknown host"
        return f"no connection ({reason}); check that the server runs, host and port"
    if isinstance(error, ConnectTimeoutError):
        return f"no connection within {connect:g} s; check host, port and firewalls"
    if isinstance(error, ReadTimeoutError) or isinstance(cause, TimeoutError):
        return f"no answer within {read:g} s; the server may still be working on the message"
    if isinstance(error, ProtocolError | SSLError):
        return _BROKEN_OFF
    return f"no request could be made ({error}); check the URL"


def _tls_in_words(error: ssl.SSLError) -> str:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, ssl.SSLCertVerificationError):
        found = f"the server's certificate is not accepted ({error.verify_message})"
        return f"{found}; check the trusted authorities, and that the certificate names the URL's host"
    if isinstance(error, ssl.SSLEOFError):
        return _BROKEN_OFF
    if "alert" in reason:
        found = f"the server refuses our certificate or our way to talk ({reason})"
        return f"{found}; check that the certificate is valid and that the server trusts its authority"
    return f"TLS failed ({reason}); check that the port speaks TLS"
