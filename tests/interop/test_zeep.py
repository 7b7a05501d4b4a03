"""A plain zeep.Client on our published WSDL: the first foreign peer (ITI TF-2 Appendix V).

zeep sends documents as inline base64 in plain SOAP and is answered in kind.
"""

import hashlib
import io

import pytest
import requests
import zeep
from zeep.wsa import WsAddressingPlugin

from tests import samples
from tests.loopback import serving
from xds.ebxml import rs
from xds.ebxml.rim import decode_submission
from xds.ebxml.xml import parse
from xds.errors import Code, XDSError
from xds.messages import (
    AdhocQueryResponse,
    RegistryResponse,
    RetrievedDocument,
    RetrieveDocumentSetResponse,
    ServedObject,
)
from xds.metadata.vocabulary import LCM, QUERY, RIM, XDSB
from xds.security.tls import TLSSettings, client_context, server_context
from xds.soap.pages import ConnectionSheet
from xds.soap.server import SoapApplication
from xds.soap.transport import SoapTransport
from xds.transactions import ITI_18, ITI_41, ITI_42, ITI_43, Actor

FIND_DOCUMENTS = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
DOCUMENT = bytes(range(256)) * 500
SERVED = (
    f'<rim:ExtrinsicObject id="urn:uuid:10000000-0000-4000-8000-000000000001" mimeType="text/xml">'
    f'<rim:Slot name="size"><rim:ValueList><rim:Value>{len(DOCUMENT)}</rim:Value></rim:ValueList></rim:Slot>'
    "</rim:ExtrinsicObject>"
).encode()


class Actors:
    """Both actors, which remember what they were asked."""

    def __init__(self):
        self.request = None
        self.caller = None
        self.documents = {}

    def register(self, request, caller):
        self.request, self.caller = request, caller
        return RegistryResponse()

    def query(self, query, caller):
        self.request, self.caller = query, caller
        return AdhocQueryResponse(objects=(ServedObject("urn:uuid:1", SERVED),))

    query_multiple_patients = query

    def provide_and_register(self, request, caller):
        self.request, self.caller = request, caller
        self.documents = {document.id: _whole(document.content) for document in request.documents}
        return RegistryResponse((XDSError(Code.XDSUnknownPatientId, "nobody knows p1", "doc1"),))

    def retrieve(self, requests, caller):
        self.request, self.caller = requests, caller
        documents = tuple(
            RetrievedDocument(request, "text/xml", io.BytesIO(DOCUMENT), len(DOCUMENT)) for request in requests
        )
        return RetrieveDocumentSetResponse(documents)


def _whole(content):
    return b"".join(iter(lambda: content.read(4096), b""))


@pytest.fixture(scope="module")
def tls(pki):
    settings = {
        name: TLSSettings(pki / f"{name}.pem", pki / f"{name}.key", pki / "ca.pem") for name in ("server", "client")
    }
    return server_context(settings["server"]), client_context(settings["client"])


@pytest.fixture
def actors():
    return Actors()


@pytest.fixture
def server(actors, tls):
    with serving(None, tls[0]) as found:
        sheet = ConnectionSheet({actor: f"{found.url}/{actor}" for actor in Actor})
        found.application = SoapApplication(dict.fromkeys(Actor, actors), sheet=sheet)
        yield found


@pytest.fixture
def client(server, tls):
    """Makes zeep clients: `client(Actor.REGISTRY)`."""
    transport = SoapTransport(tls[1])
    yield lambda actor: zeep.Client(f"{server.url}/{actor}?wsdl", transport=transport)
    transport.close()


def element(client, name, xml):
    """zeep's value for an element we have as XML, so that it is zeep that writes it."""
    return client.get_element(name).parse(parse(xml), client.wsdl.types)


def values(parsed):
    return {key: parsed[key] for key in parsed if parsed[key] is not None}


def test_every_operation_of_the_table_is_in_the_wsdl(client):
    for actor, rows in ((Actor.REGISTRY, (ITI_18, ITI_42)), (Actor.REPOSITORY, (ITI_41, ITI_43))):
        assert {row.operation for row in rows} <= set(client(actor).service._operations)


def test_iti18_stored_query(client, actors):
    registry = client(Actor.REGISTRY)
    answer = registry.service[ITI_18.operation](
        ResponseOption={"returnType": "LeafClass", "returnComposedObjects": True},
        AdhocQuery={
            "id": FIND_DOCUMENTS,
            "Slot": [{"name": "$XDSDocumentEntryPatientId", "ValueList": {"Value": ["'p1^^^&2.999.1.4&ISO'"]}}],
        },
    )
    assert actors.request.id == FIND_DOCUMENTS
    assert actors.request.return_type == "LeafClass"
    assert actors.request.slots == (("$XDSDocumentEntryPatientId", ("'p1^^^&2.999.1.4&ISO'",)),)
    assert answer.status.endswith("Success")
    assert "CN=" in actors.caller.name
    assert actors.caller.message_id.startswith("urn:uuid:")


def test_iti42_register(client, actors):
    registry = client(Actor.REGISTRY)
    sent = samples.submission(samples.entry(id="doc1"))
    value = element(registry, f"{{{LCM}}}SubmitObjectsRequest", rs.encode_submit(sent))
    answer = registry.service[ITI_42.operation](**values(value))
    got, errors = decode_submission(actors.request.element)
    assert errors == []
    assert answer.status.endswith("Success")
    (entry,), (expected,) = got.entries, sent.entries
    assert (entry.unique_id.value, entry.title, entry.hash) == (expected.unique_id.value, expected.title, expected.hash)
    assert entry.author[0].person == expected.author[0].person
    assert len(got.submission_sets) == 1
    assert len(got.associations) == len(sent.associations)


def test_iti41_provide_and_register(client, actors):
    repository = client(Actor.REPOSITORY)
    value = element(
        repository, f"{{{LCM}}}SubmitObjectsRequest", rs.encode_submit(samples.submission(samples.entry(id="doc1")))
    )
    answer = repository.service[ITI_41.operation](
        SubmitObjectsRequest=value, Document=[{"id": "doc1", "_value_1": DOCUMENT}]
    )
    assert actors.documents == {"doc1": DOCUMENT}
    assert answer.status.endswith("Failure")
    (error,) = answer.RegistryErrorList.RegistryError
    assert (error.errorCode, error.codeContext, error.location) == ("XDSUnknownPatientId", "nobody knows p1", "doc1")


def test_iti43_retrieve(client, actors):
    repository = client(Actor.REPOSITORY)
    answer = repository.service[ITI_43.operation](
        DocumentRequest=[{"RepositoryUniqueId": "1.2", "DocumentUniqueId": "3.4"}]
    )
    (document,) = answer.DocumentResponse
    assert actors.request[0].document_unique_id == "3.4"
    assert answer.RegistryResponse.status.endswith("Success")
    assert document.mimeType == "text/xml"
    assert hashlib.sha1(document.Document).digest() == hashlib.sha1(DOCUMENT).digest()


def test_a_fault_is_an_exception_of_zeeps(client):
    """zeep addresses messages by itself, the WSDL asks for it; its plugin then does so a second time."""
    registry = client(Actor.REGISTRY)
    registry.plugins.append(WsAddressingPlugin())
    with pytest.raises(zeep.exceptions.Fault, match="wsa:Action stands 2 times") as raised:
        registry.service[ITI_18.operation](
            ResponseOption={"returnType": "LeafClass"}, AdhocQuery={"id": FIND_DOCUMENTS}
        )
    assert [subcode.localname for subcode in raised.value.subcodes] == [
        "InvalidAddressingHeader",
        "InvalidCardinality",
    ]


def test_the_namespaces_of_the_wsdl_are_the_standards(client):
    registry, repository = client(Actor.REGISTRY), client(Actor.REPOSITORY)
    assert registry.get_element(f"{{{QUERY}}}AdhocQueryRequest")
    assert registry.get_element(f"{{{RIM}}}ExtrinsicObject")
    assert repository.get_element(f"{{{XDSB}}}RetrieveDocumentSetRequest")


def test_the_wsdl_needs_a_certificate_like_everything_else(server, pki):
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"{server.url}/registry?wsdl", verify=str(pki / "ca.pem"), timeout=5)
