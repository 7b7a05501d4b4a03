"""Asking the registry whether a document is registered: for claims that a crash or a lost answer left pending."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from repository.claims import Document
from xds.actors import DocumentRegistry, PeerUnavailable
from xds.ebxml import rim
from xds.errors import Code, Refused, SoapFault, Status, XDSError
from xds.messages import AdhocQuery, AdhocQueryResponse, Caller, ReturnType
from xds.metadata.model import DocumentEntry
from xds.queries.table import TABLE

log = logging.getLogger(__name__)

_GET_DOCUMENTS = next(row.id for row in TABLE if row.name == "GetDocuments")


@dataclass(frozen=True)
class Lookup:
    """Questions to the registry, over the same narrow interface as everything else."""

    registry: DocumentRegistry

    def is_registered(self, doc: Document, caller: Caller) -> bool:
        """Tell whether a DocumentEntry bears the uniqueId of these octets (GetDocuments, ITI TF-2 3.18.4.1.2.3.7.5).

        All entries of one uniqueId have one hash (ITI TF-3 4.2.3.2.26), so that the first one tells; they may be
        several patients', which only a query for references may find.

        Raises:
            Refused: XDSRegistryNotAvailable, if the registry gives no answer.
        """
        refs = self._ask("$XDSDocumentEntryUniqueId", doc.unique_id, ReturnType.OBJECT_REF, caller).refs
        if not refs:
            return False
        found = self._ask("$XDSDocumentEntryEntryUUID", refs[0], ReturnType.LEAF_CLASS, caller).objects
        entries = (rim.decode_served(served.body) for served in found)
        return any(isinstance(entry, DocumentEntry) and (entry.hash or "").lower() == doc.hash for entry in entries)

    def _ask(self, parameter: str, value: str, return_type: ReturnType, caller: Caller) -> AdhocQueryResponse:
        quoted = value.replace("'", "''")
        query = AdhocQuery(_GET_DOCUMENTS, ((parameter, (f"('{quoted}')",)),), return_type)
        try:
            response = self.registry.query(query, caller)
        except (PeerUnavailable, SoapFault) as error:
            log.error("message %s: %s", caller.message_id, error)  # noqa: TRY400 - it says where the registry is
            raise Refused([_not_available(f"it cannot be reached (message {caller.message_id})")]) from error
        if response.status is Status.FAILURE:
            raise Refused([_not_available(next((error.context for error in response.errors), "it says Failure"))])
        return response


def _not_available(why: str) -> XDSError:
    return XDSError(Code.XDSRegistryNotAvailable, f"the Document Registry gives no answer: {why}")
