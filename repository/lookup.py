"""Asking the registry whether a document is registered: for claims that a crash or a lost answer left pending."""

from __future__ import annotations

from dataclasses import dataclass

from xds.actors import DocumentRegistry, PeerUnavailable
from xds.errors import Code, Refused, SoapFault, XDSError
from xds.messages import AdhocQuery, Caller, ReturnType
from xds.queries.table import TABLE

_GET_DOCUMENTS = next(row.id for row in TABLE if row.name == "GetDocuments")


@dataclass(frozen=True)
class Lookup:
    """Questions to the registry, over the same narrow interface as everything else."""

    registry: DocumentRegistry

    def is_registered(self, unique_id: str, caller: Caller) -> bool:
        """Tell whether some DocumentEntry bears this uniqueId (GetDocuments, ITI TF-2 3.18.4.1.2.3.7.5).

        Raises:
            Refused: XDSRegistryNotAvailable, if the registry gives no answer.
        """
        value = unique_id.replace("'", "''")
        slots = (("$XDSDocumentEntryUniqueId", (f"('{value}')",)),)
        query = AdhocQuery(_GET_DOCUMENTS, slots, ReturnType.OBJECT_REF)
        try:
            response = self.registry.query(query, caller)
        except (PeerUnavailable, SoapFault) as error:
            raise Refused([_not_available(str(error))]) from error
        if response.errors:
            raise Refused([_not_available(response.errors[0].context)])
        return bool(response.refs)


def _not_available(why: str) -> XDSError:
    return XDSError(Code.XDSRegistryNotAvailable, f"the Document Registry gives no answer: {why}")
