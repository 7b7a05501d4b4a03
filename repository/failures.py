"""What fails around the repository, in the standard's words (ITI TF-3 Table 4.2.4.1-2); details go to the log only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from repository.storage import StoreError, StoreFull, TooLarge
from xds import database
from xds.actors import PeerUnavailable
from xds.database import Trouble
from xds.errors import Code, Refused, SoapFault, XDSError
from xds.messages import Caller, RegistryResponse

T = TypeVar("T")
log = logging.getLogger(__name__)

_CODE = {
    Trouble.BUSY: Code.XDSRepositoryBusy,
    Trouble.FULL: Code.XDSRepositoryOutOfResources,
    Trouble.DOWN: Code.XDSRepositoryError,
    Trouble.OTHER: Code.XDSRepositoryError,
}


def attempt(work: Callable[[], T], caller: Caller) -> T:
    """Do work on the repository's database.

    Raises:
        Refused: with the code for what is wrong with the database.
    """
    try:
        return work()
    except SQLAlchemyError as error:
        trouble = database.trouble(error)
        log.error("message %s: %s: %s", caller.message_id, trouble.name, getattr(error, "orig", None) or error)  # noqa: TRY400
        raise Refused([XDSError(_CODE[trouble], f"{trouble.value} (message {caller.message_id})")]) from error


def connection_lost(refused: Refused) -> bool:
    """Tell whether what `attempt` refused was not answered: the database may have done it, or may do it yet."""
    return isinstance(refused.__cause__, DBAPIError) and refused.__cause__.connection_invalidated


def store_error(error: StoreError, what: str, location: str, caller: Caller) -> XDSError:
    """Name what the store could not do.

    Args:
        error: raised by the store.
        what: the document, for a person.
        location: its id.
        caller: of the message.
    """
    log.error("message %s: %s: %s", caller.message_id, error, error.detail)
    full = isinstance(error, StoreFull | TooLarge)
    code = Code.XDSRepositoryOutOfResources if full else Code.XDSRepositoryError
    return XDSError(code, f"{what}: {error} (message {caller.message_id})", location)


def call_registry(call: Callable[[], RegistryResponse], caller: Caller) -> RegistryResponse:
    """Send ITI-42; a registry that cannot be reached answers XDSRegistryNotAvailable (ITI TF-2 3.41.4.1.3)."""
    try:
        return call()
    except PeerUnavailable as error:
        log.error("message %s: %s", caller.message_id, error)  # noqa: TRY400 - where the registry is, peers need not know
        problem = "the Document Registry cannot be reached"
    except SoapFault as fault:
        problem = f"the Document Registry answered with a SOAP fault: {fault.reason}"
    return RegistryResponse((XDSError(Code.XDSRegistryNotAvailable, f"{problem} (message {caller.message_id})"),))
