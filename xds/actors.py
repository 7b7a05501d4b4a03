"""The two actors as interfaces: one method per transaction (`xds.transactions`).

Implemented by the actors themselves (`registry.service`, `repository.service`) and by the client (`xds.client`), so a
Repository is handed a DocumentRegistry without knowing whether it lives in the same process; gateways, facades and
tests take the same two. Errors about the content are in the answer; `SoapFault` is raised for what is no valid
message, or by the client when the peer answered with one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from xds.messages import (
        AdhocQuery,
        AdhocQueryResponse,
        Caller,
        DocumentRequest,
        ProvideAndRegister,
        RegistryResponse,
        RetrieveDocumentSetResponse,
        SubmitObjectsRequest,
    )


class PeerUnavailable(Exception):  # noqa: N818 - says what is the case
    """An actor reached over the network gave no answer: down, too slow, or not trusted.

    The text says which address and what to check. What was sent may or may not have been done.
    """


class DocumentRegistry(Protocol):
    """XDS.b Document Registry (ITI TF-1 10.1.1.4)."""

    def register(self, request: SubmitObjectsRequest, caller: Caller) -> RegistryResponse:
        """Register Document Set-b, ITI-42 (ITI TF-2 3.42)."""

    def query(self, query: AdhocQuery, caller: Caller) -> AdhocQueryResponse:
        """Registry Stored Query, ITI-18 (ITI TF-2 3.18)."""

    def query_multiple_patients(self, query: AdhocQuery, caller: Caller) -> AdhocQueryResponse:
        """Multi-Patient Stored Query, ITI-51 (ITI TF-2 3.51)."""


class DocumentRepository(Protocol):
    """XDS.b Document Repository (ITI TF-1 10.1.1.5)."""

    def provide_and_register(self, request: ProvideAndRegister, caller: Caller) -> RegistryResponse:
        """Provide and Register Document Set-b, ITI-41 (ITI TF-2 3.41)."""

    def retrieve(self, requests: Sequence[DocumentRequest], caller: Caller) -> RetrieveDocumentSetResponse:
        """Retrieve Document Set, ITI-43 (ITI TF-2 3.43); the caller reads and closes the documents' streams."""
