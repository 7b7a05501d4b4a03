"""The Document Registry: `xds.actors.DocumentRegistry` on a database (ITI TF-1 10.1.1.4)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from registry.codes import CodeCache
from registry.query import QuerySettings, run
from registry.register import examine, register
from xds import database
from xds.database import Trouble
from xds.errors import Code, Refused, XDSError
from xds.messages import AdhocQuery, AdhocQueryResponse, Caller, RegistryResponse, SubmitObjectsRequest
from xds.metadata.affinity import AffinityDomain
from xds.queries.parse import parse
from xds.transactions import ITI_18, ITI_51, Transaction

T = TypeVar("T")
log = logging.getLogger(__name__)

_CODE = {
    Trouble.BUSY: Code.XDSRegistryBusy,
    Trouble.FULL: Code.XDSRegistryOutOfResources,
    Trouble.DOWN: Code.XDSRegistryError,
    Trouble.OTHER: Code.XDSRegistryError,
}


@dataclass
class Registry:
    """The actor.

    Attributes:
        engine: its database, brought up to date.
        affinity: codes and assigning authorities of the affinity domain.
        settings: bounds of the stored queries.
    """

    engine: Engine
    affinity: AffinityDomain
    settings: QuerySettings

    def __post_init__(self) -> None:
        self._codes = CodeCache()

    def register(self, request: SubmitObjectsRequest, caller: Caller) -> RegistryResponse:
        """Register Document Set-b, ITI-42 (ITI TF-2 3.42)."""
        try:
            registration = examine(request, self.affinity, self._codes)
            self._attempt(caller, lambda: register(self.engine, registration))
        except Refused as refused:
            return RegistryResponse(refused.errors)
        return RegistryResponse()

    def query(self, query: AdhocQuery, caller: Caller) -> AdhocQueryResponse:
        """Registry Stored Query, ITI-18 (ITI TF-2 3.18)."""
        return self._answer(ITI_18, query, caller)

    def query_multiple_patients(self, query: AdhocQuery, caller: Caller) -> AdhocQueryResponse:
        """Multi-Patient Stored Query, ITI-51 (ITI TF-2 3.51)."""
        return self._answer(ITI_51, query, caller)

    def _answer(self, transaction: Transaction, query: AdhocQuery, caller: Caller) -> AdhocQueryResponse:
        try:
            parsed = parse(query, transaction.number)
            return self._attempt(
                caller,
                lambda: database.read_at_once(self.engine, lambda conn: run(conn, parsed, self.settings, self._codes)),
            )
        except Refused as refused:
            return AdhocQueryResponse(refused.errors)

    def _attempt(self, caller: Caller, work: Callable[[], T]) -> T:
        """Do database work; its failure is told in the standard's words, the details go to the log only."""
        try:
            return work()
        except SQLAlchemyError as error:
            trouble = database.trouble(error)
            cause = getattr(error, "orig", None) or error
            log.error("message %s: %s: %s", caller.message_id, trouble.name, cause)  # noqa: TRY400 - no trace needed
            context = f"{trouble.value} (message {caller.message_id})"
            raise Refused([XDSError(_CODE[trouble], context)]) from error
