"""One call to the server: its settings, and what is known of the message on its way through `soap.server`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice

from xds.errors import SoapFault
from xds.soap import envelope
from xds.soap.bodies import Encoded
from xds.soap.caller import TrustedProxy
from xds.soap.envelope import UNDERSTOOD, Envelope, EnvelopeFault
from xds.soap.mime import Limits, shown
from xds.soap.mtom import SOAP_XML, Attachment, InlineWriter, Message, MultipartWriter, coalesced, read_message
from xds.soap.wsgi import Environ, Exchange, RequestBody

_UNSUPPORTED_MEDIA_TYPE = 415
_UNSAFE = re.compile(r"[^\x21-\x7e]")
_PLAIN = f"{SOAP_XML}; charset=UTF-8"
_SOAP_1_1_PLAIN = "text/xml; charset=UTF-8"


@dataclass(frozen=True)
class ServerSettings:
    """How the server takes requests.

    Attributes:
        limits: what one message may cost.
        require_certificate: refuse callers without one; False only where another layer says who may call.
        proxy: the TLS-terminating proxy in front, if any.
        understood: qualified names of the headers that may carry mustUnderstand.
        drain: up to so many octets of an unwanted body are read so that the connection can be kept.
    """

    limits: Limits = field(default_factory=Limits)
    require_certificate: bool = True
    proxy: TrustedProxy | None = None
    understood: frozenset[str] = UNDERSTOOD
    drain: int = 1 << 20


@dataclass
class Answer:
    """What goes out: HTTP status, media type, octets, and how many these are if that is known."""

    status: int
    media_type: str
    chunks: Iterable[bytes]
    length: int | None

    def begin(self) -> None:
        """Get the first octets: what fails by now can still be answered otherwise."""
        chunks = iter(self.chunks)
        self.chunks = chain(tuple(islice(chunks, 1)), chunks)

    def headers(self) -> list[tuple[str, str]]:
        """The answer's own header fields."""
        length = [] if self.length is None else [("Content-Length", str(self.length))]
        return [("Content-Type", self.media_type), *length]


@dataclass
class Call:
    """One request on its way through the steps.

    Attributes:
        environ: of WSGI.
        settings: of the server.
        exchange: the record of it.
        closing: closed when the answer is out.
        body: the request's octets, from step 1 on.
        message: root and parts, from step 2 on.
        envelope: from step 3 on.
        relates_to: wsa:MessageID as sent.
        raised: what the actor raised in step 7.
    """

    environ: Environ
    settings: ServerSettings
    exchange: Exchange
    closing: ExitStack = field(default_factory=ExitStack)
    body: RequestBody | None = None
    message: Message | None = None
    envelope: Envelope | None = None
    relates_to: str | None = None
    raised: Exception | None = None

    def open(self) -> None:
        """Steps 1 and 2."""
        self.body = RequestBody(self.environ, self.settings.limits.message)
        self.body.check_length()
        coding = (self.environ.get("HTTP_CONTENT_ENCODING") or "identity").strip().lower()
        if coding != "identity":
            reason = f"Content-Encoding is {shown(coding)}, expected none"
            raise SoapFault("Sender", reason, status=_UNSUPPORTED_MEDIA_TYPE)
        self.message = read_message(self.body, self.environ.get("CONTENT_TYPE"), self.settings.limits)
        self.closing.callback(self.message.close)

    def read_envelope(self) -> None:
        """Step 3."""
        if self.message is None:
            raise RuntimeError("the envelope is read after the message was opened")
        try:
            self.envelope = envelope.read_request(self.message.root, self.settings.understood)
        except EnvelopeFault as fault:
            self._relate_to(fault.relates_to)
            raise
        self._relate_to(self.envelope.message_id)
        envelope.check_http_action(
            self.envelope,
            (
                ("the Content-Type's action parameter", self.message.action),
                ("the HTTP header SOAPAction", self.environ.get("HTTP_SOAPACTION")),
            ),
        )

    def _relate_to(self, message_id: str | None) -> None:
        self.relates_to = message_id
        self.exchange.message_id = _safe_for_logs(message_id) if message_id else envelope.new_message_id()

    def answer(self, action: str, encoded: Encoded) -> Answer:
        """Step 9 for what the actor answered."""
        body, attachments = encoded
        return self._in_kind(200, envelope.wrap_answer(action, self.relates_to, body), attachments)

    def fault(self, fault: SoapFault) -> Answer:
        """Step 9 for a fault."""
        self.exchange.outcome = f"fault {fault.code}"
        written = envelope.encode_fault(fault, self.relates_to)
        if isinstance(fault, EnvelopeFault) and fault.in_soap_1_1:
            return Answer(fault.status, _SOAP_1_1_PLAIN, (written,), len(written))
        return self._in_kind(fault.status, (written,), ())

    def _in_kind(self, status: int, written: Sequence[bytes], attachments: Sequence[Attachment]) -> Answer:
        is_mtom = self.message is not None and self.message.is_mtom
        if not is_mtom and not attachments:
            return Answer(status, _PLAIN, coalesced(written), sum(map(len, written)))
        writer = (MultipartWriter if is_mtom else InlineWriter)(b"".join(written), attachments)
        return Answer(status, writer.content_type, writer, writer.content_length())


def _safe_for_logs(message_id: str) -> str:
    return _UNSAFE.sub("?", message_id.strip())[:200]
