"""The client's side: SOAP over mutual TLS, documents as streams both ways; the only file that imports zeep.

A `SoapTransport` is zeep's, so that a plain `zeep.Client` can use the same connections, with a call of our own
that does not go through zeep's values: it streams parts, reads answers as they arrive, and says in words what is wrong
with a peer.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from http.client import RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self

import requests
import urllib3
import zeep
from requests.adapters import HTTPAdapter

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
        session = requests.Session()
        session.trust_env = False  # neither a proxy nor other authorities from the environment
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.mount("https://", _TLSAdapter(tls, connections))
        session.mount("http://", HTTPAdapter(pool_connections=connections, pool_maxsize=connections))
        timeouts = (connect_timeout, read_timeout)
        super().__init__(session=session, timeout=timeouts, operation_timeout=timeouts)  # type: ignore[no-untyped-call]
        session.headers["User-Agent"] = "open-xds"
        session.headers["Accept-Encoding"] = "identity"
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

    def _post(self, row: Transaction, url: str, outgoing: _Outgoing) -> requests.Response:
        try:
            return self._send(url, outgoing)
        except requests.RequestException as error:
            if outgoing.error is not None:
                raise outgoing.error from None
            if not (row.number in _READS and outgoing.can_be_repeated and _is_stale(error)):
                raise self._unavailable(url, error) from error
        try:
            return self._send(url, outgoing)
        except requests.RequestException as error:
            raise self._unavailable(url, error) from error

    def _send(self, url: str, outgoing: _Outgoing) -> requests.Response:
        return self.session.post(
            url,
            data=outgoing.data,
            headers={"Content-Type": outgoing.content_type},
            timeout=self.operation_timeout,
            stream=True,
            allow_redirects=False,
        )

    def _answer(self, row: Transaction, url: str, message_id: str, response: requests.Response) -> Answer:
        content_type = response.headers.get("Content-Type", "")
        if content_type.partition(";")[0].strip().lower() not in _SOAP_TYPES:
            found = f"HTTP {response.status_code} with {shown(content_type) if content_type else 'no content'}"
            advice = f"check that the address is that of the {row.actor}, path included"
            raise PeerUnavailable(f"{url} answered {found}, no SOAP message; {advice}")
        try:
            message = read_message(_Incoming(url, response), content_type, self._limits)
            read = envelope.read_answer(message.root, message_id)
        except SoapFault as fault:
            raise SoapFault("Receiver", f"{url} answered with no valid message: {fault.reason}") from fault
        if isinstance(read, SoapFault):
            read.status = response.status_code
            raise read
        if read.body.tag != row.response:
            found, expected = shown(str(read.body.tag)), row.response
            raise SoapFault("Receiver", f"{url} answered {row.number} with {found}, expected {expected}")
        return Answer(url, read, message, response)

    def _unavailable(self, url: str, error: requests.RequestException) -> PeerUnavailable:
        connect, read = self.operation_timeout
        return PeerUnavailable(f"{url}: {_in_words(error, connect, read)}")


class Answer:
    """An answer whose documents are still on their way.

    Attributes:
        url: whose answer it is.
        envelope: what it says; `body` is the body element.
        broken: Content-ID of an Include -> why its inline base64 could not be decoded.
    """

    def __init__(self, url: str, env: envelope.Envelope, message: Message, response: requests.Response) -> None:
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
    """A request's octets; remembers why a document was unreadable, which urllib3 takes for the connection's fault."""

    def __init__(self, root: bytes, parts: Sequence[Attachment], row: Transaction, *, as_mtom: bool) -> None:
        self.error: OSError | None = None
        self.can_be_repeated = not parts
        if not as_mtom:
            if parts:
                raise ValueError("documents travel as MTOM")
            self.content_type = f'{SOAP_XML}; charset=UTF-8; action="{row.action}"'
            self.data: Any = root
            return
        self._writer = MultipartWriter(root, parts, action=row.action)
        self.content_type = self._writer.content_type
        self.data = self if parts else b"".join(self._writer)

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._writer
        except OSError as error:
            self.error = error
            raise

    def __len__(self) -> int:
        return len(self._writer)

    def __bool__(self) -> bool:
        return True


class _Incoming:
    """An answer's octets as they arrive."""

    def __init__(self, url: str, response: requests.Response) -> None:
        self._url = url
        self._raw = response.raw

    def read(self, size: int = CHUNK, /) -> bytes:
        try:
            data: bytes = self._raw.read(size, decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise PeerUnavailable(f"{self._url}: the connection broke off within the answer ({error})") from error
        return data


class _TLSAdapter(HTTPAdapter):
    """Connections of one TLS context; requests' own list of authorities has no say."""

    def __init__(self, tls: ssl.SSLContext | None, connections: int) -> None:
        self._tls = tls
        super().__init__(pool_connections=connections, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        # urllib3 compares the host name by itself where the context does not, unless told that nobody should
        assert_hostname = None if self._tls is None or self._tls.check_hostname else False
        super().init_poolmanager(*args, **kwargs, ssl_context=self._tls, assert_hostname=assert_hostname)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002
        """Leave the connection as the context has it: no certifi bundle is loaded into it."""
        if self._tls is None and url.lower().startswith("https:"):
            raise requests.exceptions.SSLError("no certificate and authorities are configured for https")


def _is_stale(error: BaseException) -> bool:
    """Whether a connection that was kept alive had been closed by the peer meanwhile."""
    return any(
        isinstance(cause, RemoteDisconnected | ConnectionResetError | BrokenPipeError) for cause in _causes(error)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error of requests and what is packed into it, outermost first."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]


def _in_words(error: requests.RequestException, connect: float, read: float) -> str:
    """Say what is wrong and what to check."""
    causes = list(_causes(error))
    tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if tls is not None:
        return _tls_in_words(tls)
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {connect:g} s; check host, port and firewalls"
    if any(isinstance(cause, TimeoutError | urllib3.exceptions.ReadTimeoutError) for cause in causes):
        return f"no answer within {read:g} s; the server may still be working on the message"
    if any(isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in causes):
        system = next((cause for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
        reason = system.strerror if system else "unknown host"
        return f"no connection ({reason}); check that the server runs, host and port"
    if any(isinstance(cause, OSError | urllib3.exceptions.ProtocolError) for cause in causes[1:]):
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
