"""What the server shows to browsers and monitoring."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from xds.ebxml.xml import parse
from xds.security.tls import CertificateReport
from xds.soap.pages import ConnectionSheet, Pages
from xds.transactions import TRANSACTIONS, Actor

REPORT = CertificateReport(
    Path("/etc/secret/server.pem"),
    "CN=<server>",
    "CN=ca",
    datetime.now(UTC) + timedelta(days=100, hours=1),
    100,
    "AB:CD",
    ("DNS:localhost",),
)
SHEET = ConnectionSheet(
    endpoints={actor: f"https://xds.example.org:8443/{actor}" for actor in Actor},
    title="Sheet & <more>",
    version="0.1",
    repository_unique_id="2.999.1.77",
    home_community_id="urn:oid:2.999.1",
    patient_authorities=("&2.999.1.4&ISO",),
    oids={"sourceId": "2.999.1.9"},
    certificates={"server certificate": REPORT},
    limits={"message": "4 GiB"},
    notes=("a note",),
)


def get(path, query="", accept="", sheet=SHEET, ready=tuple):
    return Pages(sheet, ready).get(path, query, accept)


def test_the_connection_sheet_has_what_an_integrator_needs_and_escapes_it():
    page = get("/")
    html = page.body.decode()
    assert page.media_type.startswith("text/html")
    for words in ("2.999.1.77", "AB:CD", "&amp;2.999.1.4&amp;ISO", "4 GiB", "(100 days left)", "CN=&lt;server&gt;"):
        assert words in html
    for row in TRANSACTIONS:
        assert row.number in html
        assert row.action in html
    assert "<more>" not in html
    assert "/etc/secret" not in html


def test_an_expired_certificate_says_so():
    expired = replace(REPORT, not_after=datetime.now(UTC) - timedelta(days=1))
    assert "expired" in get("/", sheet=replace(SHEET, certificates={"server": expired})).body.decode()


@pytest.mark.parametrize("asked", [{"query": "format=json"}, {"accept": "text/html;q=0.1, application/json"}])
def test_machines_get_json(asked):
    page = get("/", **asked)
    found = json.loads(page.body)
    assert page.media_type == "application/json"
    assert found["endpoints"] == {
        "registry": SHEET.endpoints[Actor.REGISTRY],
        "repository": SHEET.endpoints["repository"],
    }
    assert [row["number"] for row in found["transactions"]] == [row.number for row in TRANSACTIONS]
    assert found["certificates"]["server certificate"]["sha256"] == "AB:CD"
    assert "/etc/secret" not in page.body.decode()


def test_only_what_is_served_is_shown():
    page = get("/", "format=json", sheet=ConnectionSheet({Actor.REGISTRY: "https://x/registry"}))
    assert {row["actor"] for row in json.loads(page.body)["transactions"]} == {"registry"}
    assert get("/repository", "wsdl", sheet=ConnectionSheet({Actor.REGISTRY: "x"})).status.startswith("404")


def test_the_wsdl_names_the_address_and_its_schemas_can_be_had():
    page = get("/repository", "WSDL")
    wsdl = parse(page.body)
    address = wsdl.find(".//{http://schemas.xmlsoap.org/wsdl/soap12/}address").get("location")
    assert address == SHEET.endpoints[Actor.REPOSITORY]
    wanted = [el.get("schemaLocation") for el in wsdl.iter("{http://www.w3.org/2001/XMLSchema}import")]
    seen = set()
    while wanted:
        location = wanted.pop()
        assert location.startswith(f"{address}?xsd=")
        if location not in seen:
            seen.add(location)
            schema = parse(get("/repository", location.partition("?")[2]).body)
            wanted += [el.get("schemaLocation") for el in schema.iter() if el.get("schemaLocation")]
    assert len(seen) > 3


@pytest.mark.parametrize("query", ["xsd=nothing.xsd", "xsd=../../etc/passwd", "xsd=DocumentRegistry.wsdl", "xsd="])
def test_there_is_no_other_file_to_be_had(query):
    assert get("/registry", query).status == "404 Not Found"


def test_an_endpoint_says_how_it_is_used():
    page = get("/registry/")
    assert page.status == "405 Method Not Allowed"
    assert ("Allow", "POST") in page.headers()
    assert b"?wsdl" in page.body


def test_health_and_readiness():
    assert get("/health").status == "200 OK"
    assert get("/ready").body == b"ready\n"
    page = get("/ready", ready=lambda: ["the database does not answer"])
    assert (page.status, page.body) == ("503 Service Unavailable", b"not ready\nthe database does not answer\n")


def test_a_failing_test_of_readiness_is_not_ready_and_tells_no_secrets(caplog):
    def fail():
        raise RuntimeError("postgresql://user:secret@db")

    page = get("/ready", ready=fail)
    assert page.status.startswith("503")
    assert b"secret" not in page.body
    assert "secret" in caplog.text


def test_other_paths_are_not_found():
    page = get("/nothing")
    assert page.status == "404 Not Found"
    assert b"/registry" in page.body
    assert ("X-Content-Type-Options", "nosniff") in page.headers()
