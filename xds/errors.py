"""What can go wrong, in the standard's words (ITI TF-3 4.2.4, Table 4.2.4.1-2; SOAP 1.2 Part 1 section 5.4).

    Exception
    +-- SoapFault      the message is no valid SOAP/WS-Addressing/MTOM message: HTTP 400 or 500 with a fault
    +-- XDSError       the content is wrong or cannot be served: HTTP 200, one RegistryError in the answer
    +-- Refused        several XDSErrors at once; raised to leave a database transaction or a call

Checks *yield* XDSErrors, so that a sender learns of all its mistakes at once; `response_status` turns
what was collected into Success, PartialSuccess or Failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """RegistryError/@severity (ITI TF-3 4.2.4.1)."""

    ERROR = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error"
    WARNING = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Warning"


class Status(StrEnum):
    """RegistryResponse/@status (ITI TF-3 4.2.4.2)."""

    SUCCESS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"
    PARTIAL = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"
    FAILURE = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Failure"


class Code(StrEnum):
    """Error codes of ITI TF-3 Table 4.2.4.1-2 that a Registry or Repository of ours can send."""

    UnresolvedReferenceException = "UnresolvedReferenceException"
    XDSDocumentUniqueIdError = "XDSDocumentUniqueIdError"
    XDSDuplicateUniqueIdInRegistry = "XDSDuplicateUniqueIdInRegistry"
    XDSMissingDocument = "XDSMissingDocument"
    XDSMissingDocumentMetadata = "XDSMissingDocumentMetadata"
    XDSNonIdenticalHash = "XDSNonIdenticalHash"
    XDSNonIdenticalSize = "XDSNonIdenticalSize"
    XDSPatientIdDoesNotMatch = "XDSPatientIdDoesNotMatch"
    XDSRegistryBusy = "XDSRegistryBusy"
    XDSRepositoryBusy = "XDSRepositoryBusy"
    XDSRegistryDeprecatedDocumentError = "XDSRegistryDeprecatedDocumentError"
    XDSRegistryDuplicateUniqueIdInMessage = "XDSRegistryDuplicateUniqueIdInMessage"
    XDSRepositoryDuplicateUniqueIdInMessage = "XDSRepositoryDuplicateUniqueIdInMessage"
    XDSRegistryError = "XDSRegistryError"
    XDSRepositoryError = "XDSRepositoryError"
    XDSRegistryMetadataError = "XDSRegistryMetadataError"
    XDSRepositoryMetadataError = "XDSRepositoryMetadataError"
    XDSRegistryNotAvailable = "XDSRegistryNotAvailable"
    XDSRegistryOutOfResources = "XDSRegistryOutOfResources"
    XDSRepositoryOutOfResources = "XDSRepositoryOutOfResources"
    XDSResultNotSinglePatient = "XDSResultNotSinglePatient"
    XDSStoredQueryMissingParam = "XDSStoredQueryMissingParam"
    XDSStoredQueryParamNumber = "XDSStoredQueryParamNumber"
    XDSTooManyResults = "XDSTooManyResults"
    XDSUnknownPatientId = "XDSUnknownPatientId"
    XDSUnknownRepositoryId = "XDSUnknownRepositoryId"
    XDSUnknownStoredQuery = "XDSUnknownStoredQuery"


@dataclass(unsafe_hash=True)  # not frozen: contextlib assigns __traceback__
class XDSError(Exception):
    """One RegistryError (ITI TF-3 4.2.4.1).

    Attributes:
        code: errorCode; a `Code`, or any string when it was received from another actor.
        context: codeContext: what was found, what was expected, where. Never empty, never an inside detail.
        location: object id, slot or DocumentUniqueId the error is about.
        severity: Error, or Warning where the table allows it.
    """

    code: str
    context: str
    location: str | None = None
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        where = f" [{self.location}]" if self.location else ""
        return f"{self.code}: {self.context}{where}"


class Refused(Exception):  # noqa: N818 - the verb of the field
    """A request was refused for one or more reasons.

    Attributes:
        errors: all of them, in the order found; at least one of severity Error.
    """

    def __init__(self, errors: Iterable[XDSError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(map(str, self.errors)))


class SoapFault(Exception):  # noqa: N818 - the standard's name
    """No valid message, or no valid caller: answered by a fault (SOAP 1.2 Part 1, 5.4; WS-Addressing SOAP Binding, 6).

    Attributes:
        code: local name of the SOAP fault code: Sender, Receiver, VersionMismatch, MustUnderstand, DataEncodingUnknown.
        reason: text for a person.
        subcode: qualified name `{namespace}local` of the subcode, such as WS-Addressing's ActionNotSupported.
        detail: short text about the offending header or value; becomes the Detail's content.
        status: HTTP status; 400 for what the sender got wrong, 500 otherwise (SOAP 1.2 Part 2, 7.5.2.2).
    """

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        subcode: str | None = None,
        detail: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.subcode = subcode
        self.detail = detail
        self.status = status or (500 if code == "Receiver" else 400)


def response_status(errors: Iterable[XDSError], delivered: int | None = None) -> Status:
    """Derive RegistryResponse/@status (ITI TF-3 4.2.4.2; ITI TF-2 3.43.4.2 for retrieval).

    Args:
        errors: what was collected; warnings do not count.
        delivered: number of documents delivered, for the transactions that know PartialSuccess; None elsewhere.
    """
    if not any(error.severity is Severity.ERROR for error in errors):
        return Status.SUCCESS
    return Status.PARTIAL if delivered else Status.FAILURE
