"""A document's whole way, submitted, found, fetched and replaced, over TLS with real processes and stores.

Both arrangements (one process; two that speak ITI-42 over mutual TLS) on both pairs of stores, driven by two peers: our
own client, and a plain `zeep.Client` that knows nothing of us but the WSDL.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import pytest
import requests
import zeep

from tests import samples
from tests.stack import REPOSITORY_UNIQUE_ID, Arrangement, Stores
from xds.client import RegistryClient, RepositoryClient
from xds.ebxml import rs
from xds.ebxml.rim import decode_list
from xds.ebxml.xml import parse
from xds.messages import AdhocQuery, Caller, DocumentRequest, ProvideAndRegister, ReturnType, SubmittedDocument
from xds.metadata.vocabulary import LCM, RIM, AssociationType, AvailabilityStatus
from xds.queries.table import TABLE
from xds.soap.transport import SoapTransport
from xds.transactions import ITI_18, ITI_41, ITI_43, Actor

QUERIES = {row.name: row for row in TABLE}
APPROVED, DEPRECATED = AvailabilityStatus
CALLER = Caller("test")
SUMMARY = "<ClinicalDocument xmlns='urn:hl7-org:v3'><title>出院小结, Entlassbrief</title></ClinicalDocument>".encode()


def by_unique_id(unique_id):
    slots = (("$XDSDocumentEntryUniqueId", (f"('{unique_id}')",)),)
    return AdhocQuery(QUERIES["GetDocuments"].id, slots, ReturnType.LEAF_CLASS)


def to_submit(document, replaces=None):
    """A submission of one document, its hash and size left to the repository."""
    entry = samples.entry(hash=None, size=None, repository_unique_id=None)
    links = () if replaces is None else (samples.link(entry.id, replaces, AssociationType.RPLC),)
    return samples.submission(entry, links=links), entry


class OurClient:
    """Our own client: MTOM both ways."""

    def __init__(self, stack):
        self.transport = SoapTransport(stack.client_context())
        self.registry = RegistryClient(self.transport, stack.registry)
        self.repository = RepositoryClient(self.transport, stack.repository)

    def submit(self, submission, entry, document):
        request = ProvideAndRegister(
            rs.submit_request(submission), (entry.id,), iter([SubmittedDocument(entry.id, io.BytesIO(document))])
        )
        return self.repository.provide_and_register(request, CALLER).errors

    def find(self, unique_id):
        answer = self.registry.query(by_unique_id(unique_id), CALLER)
        assert not answer.errors
        return decoded(b"".join(served.body for served in answer.objects))

    def fetch(self, unique_id):
        answer = self.repository.retrieve([DocumentRequest(REPOSITORY_UNIQUE_ID, unique_id)], CALLER)
        assert not answer.errors
        (document,) = answer.documents
        return document.content.read(), document.mime_type

    def close(self):
        self.transport.close()


class Zeep:
    """zeep with a requests session of its own: plain SOAP, inline base64."""

    def __init__(self, stack):
        session = requests.Session()
        session.trust_env = False
        session.cert = (str(stack.pki / "client.pem"), str(stack.pki / "client.key"))
        session.verify = str(stack.pki / "ca.pem")
        transport = zeep.Transport(session=session)
        self.clients = {
            actor: zeep.Client(f"{stack.urls[actor]}?wsdl", transport=transport, settings=zeep.Settings(strict=False))
            for actor in Actor
        }
        self.session = session

    def submit(self, submission, entry, document):
        client = self.clients[Actor.REPOSITORY]
        value = client.get_element(f"{{{LCM}}}SubmitObjectsRequest").parse(
            parse(rs.encode_submit(submission)), client.wsdl.types
        )
        answer = client.service[ITI_41.operation](
            SubmitObjectsRequest=value, Document=[{"id": entry.id, "_value_1": document}]
        )
        listed = answer.RegistryErrorList
        return () if listed is None else tuple(error.codeContext for error in listed.RegistryError)

    def find(self, unique_id):
        client = self.clients[Actor.REGISTRY]
        query = by_unique_id(unique_id)
        with client.settings(raw_response=True):
            answer = client.service[ITI_18.operation](
                ResponseOption={"returnType": "LeafClass", "returnComposedObjects": True},
                AdhocQuery={
                    "id": query.id,
                    "Slot": [{"name": name, "ValueList": {"Value": list(values)}} for name, values in query.slots],
                },
            )
        (listed,) = parse(answer.content).iter(f"{{{RIM}}}RegistryObjectList")
        return decode_list(listed)[0].entries

    def fetch(self, unique_id):
        answer = self.clients[Actor.REPOSITORY].service[ITI_43.operation](
            DocumentRequest=[{"RepositoryUniqueId": REPOSITORY_UNIQUE_ID, "DocumentUniqueId": unique_id}]
        )
        (document,) = answer.DocumentResponse
        return document.Document, document.mimeType

    def close(self):
        self.session.close()


def decoded(bodies):
    listed = parse(b'<rim:RegistryObjectList xmlns:rim="%b">%b</rim:RegistryObjectList>' % (RIM.encode(), bodies))
    return decode_list(listed)[0].entries


@pytest.mark.parametrize("peer", [OurClient, Zeep])
@pytest.mark.parametrize("arrangement", Arrangement, ids=lambda arrangement: arrangement.value)
@pytest.mark.parametrize(
    "stores",
    [Stores.EMBEDDED, pytest.param(Stores.SERVICES, marks=pytest.mark.service)],
    ids=lambda stores: stores.value,
)
def test_submit_query_retrieve_replace(stack, stores, arrangement, peer):
    running = stack(arrangement, stores)
    running.add_patient(samples.PATIENT)
    client = peer(running)

    submission, sent = to_submit(SUMMARY)
    assert not client.submit(submission, sent, SUMMARY)

    (found,) = client.find(sent.unique_id.value)
    assert found.status == APPROVED
    assert (found.lid, found.version) == (found.id, "1")
    assert (found.hash, found.size) == (hashlib.sha1(SUMMARY).hexdigest(), str(len(SUMMARY)))
    assert found.repository_unique_id == REPOSITORY_UNIQUE_ID
    assert found.source_patient_info == sent.source_patient_info
    assert replace(found.title) == sent.title

    assert client.fetch(sent.unique_id.value) == (SUMMARY, "text/xml")

    better = SUMMARY + b"<!-- corrected -->"
    submission, correction = to_submit(better, replaces=found.id)
    assert not client.submit(submission, correction, better)
    assert [entry.status for entry in client.find(sent.unique_id.value)] == [DEPRECATED]
    assert [entry.status for entry in client.find(correction.unique_id.value)] == [APPROVED]
    assert client.fetch(sent.unique_id.value)[0] == SUMMARY
    assert client.fetch(correction.unique_id.value)[0] == better

    submission, late = to_submit(SUMMARY, replaces=found.id)
    assert client.submit(submission, late, SUMMARY), "what is Deprecated cannot be replaced again"
    assert client.find(late.unique_id.value) == ()
    client.close()
