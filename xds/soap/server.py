"""The SOAP server: a WSGI application around the actors; the only file that imports spyne (ITI TF-2 V.3).

What happens to a request, in order; the numbers stand in the code:

    1   HTTP: POST on an actor's path; length within the limit, no content coding
    2   split MTOM, or take plain SOAP (`soap.mtom`); inline documents become parts too
    3   the envelope: SOAP 1.2, WS-Addressing, the action HTTP names (`soap.envelope`)
    4   wsa:Action -> row of `xds.transactions` of this actor; the body element must be the row's
    5   who is calling (`soap.caller`)
    6   the body becomes what the actor's method takes (`soap.bodies`); documents stay unread streams
    7   call the method of the actor's interface
    8   the answer becomes body octets (`soap.bodies`)
    9   answer in kind, MTOM with MTOM and plain with plain, whatever the transaction's default (ITI TF-2 V.3.6)
    10  what is left of the request is read, or the connection closed; the answer goes out; the observer is told

spyne is the frame for 3, 4 and 6 to 9: a protocol that passes lxml bodies through and finds the method by wsa:Action.
ITI-41 as plain SOAP with inline base64 is accepted: receivers must take any mixture, and the schema allows it.

A SoapFault is answered as fault; XDSError and Refused become the transaction's response with HTTP 200; everything else
is logged and answered as internal error with the message id.
"""

# mypy: allow-untyped-calls
# spyne has no types

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from xds.actors import DocumentRegistry, DocumentRepository
from xds.errors import Refused, SoapFault, XDSError
from xds.metadata.vocabulary import SOAP
from xds.soap import envelope
from xds.soap.bodies import CODECS, Codec, Encoded, contents
from xds.soap.call import Answer, Call, ServerSettings
from xds.soap.caller import identify
from xds.soap.envelope import Envelope, EnvelopeFault, action_not_supported
from xds.soap.mime import shown
from xds.soap.pages import ConnectionSheet, Pages, Ready, plain
from xds.soap.wsgi import (
    Environ,
    Exchange,
    Observe,
    Reply,
    RequestBody,
    StartResponse,
    close_connection,
    log_exchange,
    status_line,
)
from xds.transactions import BY_ACTION, TRANSACTIONS, Actor, Transaction

__all__ = ["ServerSettings", "SoapApplication"]


@contextmanager
def _spyne_importable() -> Iterator[None]:
    """Let spyne 2.14 be imported on Python 3.11 to 3.13, without traces.

    Its copy of six brings an importer for `six.moves` without `find_spec`, which Python 3.12 no longer asks and 3.11
    warns about at every later import. PyPI's six stands in for the modules spyne takes from there, and the importer is
    removed again.
    """
    moves = "urllib", "urllib.error", "urllib.parse", "urllib.request", "collections_abc", "http_cookies"
    for name in ("", *(f".{name}" for name in moves)):
        sys.modules[f"spyne.util.six.moves{name}"] = importlib.import_module(f"six.moves{name}")
    with warnings.catch_warnings():
        for category in (DeprecationWarning, ImportWarning, SyntaxWarning):
            warnings.simplefilter("ignore", category)
        yield
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "spyne.util.six"]


with _spyne_importable():
    from spyne.application import Application
    from spyne.context import MethodContext
    from spyne.decorator import rpc
    from spyne.model.primitive._base import AnyXml
    from spyne.protocol import ProtocolBase
    from spyne.server._base import ServerBase
    from spyne.service import Service
    from spyne.util.appreg import unregister_application

log = logging.getLogger(__name__)


class SoapApplication:
    """The actors as a WSGI application, with their WSDLs, the connection sheet, `/health` and `/ready`.

    Any number of threads and forked processes may use one instance.

    Args:
        actors: what serves each actor's path, `/registry` and `/repository`.
        settings: see `ServerSettings`.
        sheet: what the connection sheet shows; its endpoints are the addresses in the WSDLs.
        ready: for `/ready`, see `soap.pages.Ready`.
        observe: told about every exchange when it has ended; must not raise, and is logged if it does.
    """

    def __init__(
        self,
        actors: Mapping[Actor, DocumentRegistry | DocumentRepository],
        settings: ServerSettings | None = None,
        *,
        sheet: ConnectionSheet,
        ready: Ready = tuple,
        observe: Observe = log_exchange,
    ) -> None:
        self._settings = settings or ServerSettings()
        self._endpoints = {f"/{name}": _Endpoint(name, actor, self._settings) for name, actor in actors.items()}
        self._pages = Pages(sheet, ready)
        self._observe = observe

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request (PEP 3333)."""
        path = (environ.get("PATH_INFO") or "/").rstrip("/") or "/"
        endpoint = self._endpoints.get(path)
        if endpoint is not None and environ["REQUEST_METHOD"] == "POST":
            return self._exchange(endpoint, environ, start_response)
        return self._page(path, environ, start_response)

    def _exchange(self, endpoint: _Endpoint, environ: Environ, start_response: StartResponse) -> Reply:
        call = Call(environ, self._settings, Exchange(endpoint.actor, environ.get("REMOTE_ADDR") or ""))
        answer = endpoint.answer(call)
        # 10
        is_read = call.body is not None and call.body.drain(self._settings.drain)
        if not is_read:
            close_connection(start_response)
        call.exchange.status = answer.status
        start_response(status_line(answer.status), answer.headers())
        return Reply(
            answer.chunks,
            call.closing,
            lambda whole: self._end(call.exchange, whole=whole),
            linger_on=None if is_read else environ,
        )

    def _end(self, exchange: Exchange, *, whole: bool) -> None:
        exchange.duration = perf_counter() - exchange.started
        if not whole:
            exchange.outcome = "aborted"
        try:
            self._observe(exchange)
        except Exception:
            log.exception("message %s: the observer of exchanges failed", exchange.message_id)

    def _page(self, path: str, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        page = self._pages.get(path, environ.get("QUERY_STRING") or "", environ.get("HTTP_ACCEPT") or "")
        if method not in {"GET", "HEAD"} and not page.status.startswith("404"):
            allowed = "GET, HEAD, POST" if path in self._endpoints else "GET, HEAD"
            page = plain("405 Method Not Allowed", f"{shown(method)} is not possible here", ("Allow", allowed))
        is_read = _is_drained(environ, self._settings)
        if not is_read:
            close_connection(start_response)
        start_response(page.status, page.headers())
        return Reply(() if method == "HEAD" else (page.body,), linger_on=None if is_read else environ)


def _is_drained(environ: Environ, settings: ServerSettings) -> bool:
    try:
        return RequestBody(environ, settings.limits.message).drain(settings.drain)
    except SoapFault:
        return False


class _Endpoint(ServerBase):
    """An actor's path: spyne's server for it, driven for one call at a time."""

    transport = "http://schemas.xmlsoap.org/soap/http"  # type: ignore[assignment]

    def __init__(
        self, actor: Actor, implementation: DocumentRegistry | DocumentRepository, settings: ServerSettings
    ) -> None:
        self.actor = actor
        self._settings = settings
        service = type(actor.name, (Service,), dict(_methods(actor, implementation)))
        application = Application([service], SOAP, name=actor, in_protocol=_Passing(), out_protocol=_Passing())
        unregister_application(application)  # from a list of spyne's that nobody needs and that would keep the actors
        super().__init__(application)

    def answer(self, call: Call) -> Answer:
        """Take a call from step 1 to 9; whatever goes wrong becomes an answer."""
        try:
            return self._steps(call)
        except SoapFault as fault:
            log.info("message %s: fault %s: %s", call.exchange.message_id or "-", fault.code, fault.reason)
            return call.fault(fault)
        except (XDSError, Refused) as error:
            return _refuse(call, (error,) if isinstance(error, XDSError) else error.errors)
        except Exception as error:  # noqa: BLE001 - this is the place
            return _internal(call, error)

    def _steps(self, call: Call) -> Answer:
        call.open()  # 1, 2
        context = _Context(self, MethodContext.SERVER)
        context.in_string = call
        try:
            self.generate_contexts(context)  # 3, 4
            return self._called(call, context)
        finally:
            context.__dict__.clear()  # it is in a cycle, which would keep the message in memory

    def _called(self, call: Call, context: Any) -> Answer:
        call.exchange.caller = identify(  # 5
            call.environ,
            call.exchange.message_id,
            self._settings.proxy,
            require_certificate=self._settings.require_certificate,
        )
        self.get_in_object(context)  # 6
        self.get_out_object(context)  # 7
        if call.raised is not None:
            raise call.raised
        self.get_out_string(context)  # 8, 9
        answer: Answer = context.out_string
        answer.begin()
        return answer


class _Context(MethodContext):
    """spyne's record of a call, without what this server has no use for: listeners, transport's and protocols' own."""

    TransportContext = None  # type: ignore[assignment]
    __setattr__ = object.__setattr__  # spyne's looks for misspelt names

    def fire_event(self, event: object, *args: object, **kwargs: object) -> None:
        """Nobody listens."""


class _Passing(ProtocolBase):
    """spyne's protocol, in and out: bodies pass as lxml elements and octets, wsa:Action names the method.

    spyne's own SOAP protocol goes by the body element, which four transactions share, and folds MTOM parts into the
    envelope.
    """

    def create_in_document(self, ctx: Any, in_string_encoding: str | None = None) -> None:  # noqa: ARG002
        """Step 3."""
        ctx.in_string.read_envelope()
        ctx.in_document = ctx.in_string

    def decompose_incoming_envelope(self, ctx: Any, message: object) -> None:  # noqa: ARG002
        """Step 4."""
        call = ctx.in_document
        call.exchange.transaction = _find(call.exchange.actor, call.envelope)
        ctx.in_body_doc = call.envelope.body
        ctx.method_request_string = f"{{{SOAP}}}{call.exchange.transaction.action}"

    def get_context(self, parent: object, transport: object) -> None:
        """A call has no state of the protocol's beside `Call`."""

    def generate_method_contexts(self, ctx: Any) -> list[Any]:
        """Step 4: the method of the action; spyne would copy the context, since an action may have several."""
        (ctx.descriptor,) = self.get_call_handles(ctx)
        return [ctx]

    def deserialize(self, ctx: Any, message: object) -> None:  # noqa: ARG002
        """Step 6."""
        call = ctx.in_document
        ctx.in_object = call.exchange.request = _codec(call).decode(ctx.in_body_doc, call.message)

    def serialize(self, ctx: Any, message: object) -> None:  # noqa: ARG002
        """Step 8."""
        ctx.out_document = _encode(ctx.in_document, ctx.out_object[0])

    def create_out_string(self, ctx: Any, out_string_encoding: str | None = None) -> None:  # noqa: ARG002
        """Step 9."""
        call = ctx.in_document
        ctx.out_string = call.answer(call.exchange.transaction.response_action, ctx.out_document)


def _methods(actor: Actor, implementation: object) -> Iterator[tuple[str, Any]]:
    """The methods of an actor for spyne: one per row of the table, named by its action."""
    for row in TRANSACTIONS:
        if row.actor is actor:
            yield row.method, _method(row, getattr(implementation, row.method))


def _method(row: Transaction, call_actor: Any) -> Any:
    def method(ctx: Any, request: object) -> object:
        """Step 7; spyne would answer an exception itself, so it is carried past it."""
        call: Call = ctx.in_document
        try:
            answer = call_actor(request, call.exchange.caller)
        except Exception as error:  # noqa: BLE001 - raised again outside spyne
            call.raised = error
            return None
        for content in contents(answer):
            close = getattr(content, "close", None)
            if close is not None:
                call.closing.callback(close)
        return answer

    method.__name__ = row.method  # spyne wants them to differ
    return rpc(AnyXml, _returns=AnyXml, _body_style="bare", _in_message_name=row.action)(method)


def _find(actor: Actor, env: Envelope) -> Transaction:
    """Step 4: the row of an action, or a fault that helps (WS-Addressing SOAP Binding 6.4.4)."""
    row = BY_ACTION.get(env.action)
    if row is None:
        accepted = ", ".join(other.action for other in TRANSACTIONS if other.actor is actor)
        raise action_not_supported(env.action, f"the {actor} accepts {accepted}")
    if row.actor is not actor:
        raise action_not_supported(env.action, f"{row.number} goes to the endpoint /{row.actor}, this is /{actor}")
    if env.body.tag != row.request:
        reason = f"the SOAP Body holds {shown(str(env.body.tag))}; wsa:Action {row.action} needs {row.request}"
        raise EnvelopeFault("Sender", reason)
    return row


def _codec(call: Call) -> Codec:
    if call.exchange.transaction is None:
        raise RuntimeError("a body is read after its transaction was found")
    return CODECS[call.exchange.transaction.number]


def _encode(call: Call, answer: Any) -> Encoded:
    """Step 8."""
    encoded = _codec(call).encode(answer)
    call.exchange.answer = answer
    call.exchange.outcome = answer.status.name.capitalize()
    return encoded


def _refuse(call: Call, errors: tuple[XDSError, ...]) -> Answer:
    """Answer with errors in the transaction's own response (ITI TF-3 4.2.4)."""
    row = call.exchange.transaction
    if row is None:
        return call.fault(SoapFault("Sender", "; ".join(error.context for error in errors)))
    return call.answer(row.response_action, _encode(call, _codec(call).refuse(errors)))


def _internal(call: Call, error: Exception) -> Answer:
    """Answer what nobody foresaw: the details go to the log, the peer gets the message id to ask about."""
    exchange = call.exchange
    exchange.error = error
    exchange.message_id = exchange.message_id or envelope.new_message_id()
    log.error("message %s: internal error", exchange.message_id, exc_info=error)
    words = f"internal error, message id {exchange.message_id}"
    if exchange.transaction is None:
        return call.fault(SoapFault("Receiver", words))
    return _refuse(call, (XDSError(_codec(call).internal, words),))
