"""The Document Repository: `xds.actors.DocumentRepository` on a store, a table and a registry (ITI TF-1 10.1.1.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from repository.lookup import Lookup
from repository.provide import Provision
from repository.retrieve import Retrieval
from repository.storage import ObjectStore, SpareThreads
from xds.actors import DocumentRegistry
from xds.errors import Refused
from xds.messages import (
    Caller,
    DocumentRequest,
    ProvideAndRegister,
    RegistryResponse,
    RetrieveDocumentSetResponse,
)


@dataclass
class Repository:
    """The actor.

    Attributes:
        engine: its database, brought up to date.
        store: where the octets are.
        registry: the registry it registers with, in this process or over SOAP.
        unique_id: its repositoryUniqueId, an OID.
        limit: greatest size of one document in octets; None for no limit but the message's.
    """

    engine: Engine
    store: ObjectStore
    registry: DocumentRegistry
    unique_id: str
    limit: int | None = None

    def __post_init__(self) -> None:
        self._lookup = Lookup(self.registry)
        self._spare = SpareThreads()

    def provide_and_register(self, request: ProvideAndRegister, caller: Caller) -> RegistryResponse:
        """Provide and Register Document Set-b, ITI-41 (ITI TF-2 3.41)."""
        provision = Provision(
            engine=self.engine,
            store=self.store,
            spare=self._spare,
            registry=self.registry,
            lookup=self._lookup,
            repository_unique_id=self.unique_id,
            request=request,
            caller=caller,
            limit=self.limit,
        )
        try:
            return provision.run()
        except Refused as refused:
            return RegistryResponse(refused.errors)

    def retrieve(self, requests: Sequence[DocumentRequest], caller: Caller) -> RetrieveDocumentSetResponse:
        """Retrieve Document Set, ITI-43 (ITI TF-2 3.43)."""
        return Retrieval(self.engine, self.store, self._spare, self._lookup, self.unique_id, caller).run(requests)
