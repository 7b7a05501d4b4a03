"""The transactions: one row each (ITI TF-2 3.18, 3.41, 3.42, 3.43, 3.51; Appendix V for the packaging).

Dispatch, WSDL, client, connection sheet and documentation read these rows. To find a transaction, `git grep ITI-18`:
this row, the method of the actor's interface, the actor's module and the test that goes through the front door.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from xds.metadata.vocabulary import LCM, QUERY, RS, XDSB


class Actor(StrEnum):
    """The actors that serve transactions; the value is the path of the endpoint."""

    REGISTRY = "registry"
    REPOSITORY = "repository"


@dataclass(frozen=True)
class Transaction:
    """One row of the table.

    Attributes:
        number: the framework's number, as in `ITI-18`.
        name: the framework's title.
        actor: who serves it.
        method: name of the method on the actor's interface (`xds.actors`).
        operation: WSDL operation name (ITI TF-2 Appendix W).
        action: wsa:Action of the request.
        response_action: wsa:Action of the answer.
        request: qualified name `{namespace}local` of the request's body element.
        response: the same of the answer.
        mtom: documents travel with it: MTOM/XOP by default (ITI TF-2 V.3.6), otherwise simple SOAP.
    """

    number: str
    name: str
    actor: Actor
    method: str
    operation: str
    action: str
    response_action: str
    request: str
    response: str
    mtom: bool = False


ITI_18 = Transaction(
    "ITI-18",
    "Registry Stored Query",
    Actor.REGISTRY,
    "query",
    "DocumentRegistry_RegistryStoredQuery",
    "urn:ihe:iti:2007:RegistryStoredQuery",
    "urn:ihe:iti:2007:RegistryStoredQueryResponse",
    f"{{{QUERY}}}AdhocQueryRequest",
    f"{{{QUERY}}}AdhocQueryResponse",
)
ITI_41 = Transaction(
    "ITI-41",
    "Provide and Register Document Set-b",
    Actor.REPOSITORY,
    "provide_and_register",
    "DocumentRepository_ProvideAndRegisterDocumentSet-b",
    "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b",
    "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-bResponse",
    f"{{{XDSB}}}ProvideAndRegisterDocumentSetRequest",
    f"{{{RS}}}RegistryResponse",
    mtom=True,
)
ITI_42 = Transaction(
    "ITI-42",
    "Register Document Set-b",
    Actor.REGISTRY,
    "register",
    "DocumentRegistry_RegisterDocumentSet-b",
    "urn:ihe:iti:2007:RegisterDocumentSet-b",
    "urn:ihe:iti:2007:RegisterDocumentSet-bResponse",
    f"{{{LCM}}}SubmitObjectsRequest",
    f"{{{RS}}}RegistryResponse",
)
ITI_43 = Transaction(
    "ITI-43",
    "Retrieve Document Set",
    Actor.REPOSITORY,
    "retrieve",
    "DocumentRepository_RetrieveDocumentSet",
    "urn:ihe:iti:2007:RetrieveDocumentSet",
    "urn:ihe:iti:2007:RetrieveDocumentSetResponse",
    f"{{{XDSB}}}RetrieveDocumentSetRequest",
    f"{{{XDSB}}}RetrieveDocumentSetResponse",
    mtom=True,
)
ITI_51 = Transaction(
    "ITI-51",
    "Multi-Patient Stored Query",
    Actor.REGISTRY,
    "query_multiple_patients",
    "DocumentRegistry_MultiPatientStoredQuery",
    "urn:ihe:iti:2009:MultiPatientStoredQuery",
    "urn:ihe:iti:2009:MultiPatientStoredQueryResponse",
    f"{{{QUERY}}}AdhocQueryRequest",
    f"{{{QUERY}}}AdhocQueryResponse",
)

TRANSACTIONS = (ITI_18, ITI_41, ITI_42, ITI_43, ITI_51)
BY_ACTION = {row.action: row for row in TRANSACTIONS}
