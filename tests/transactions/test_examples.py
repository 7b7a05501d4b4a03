"""The messages of docs/examples do what the README says, in its order (ITI-41, ITI-18, ITI-43)."""

from __future__ import annotations

from pathlib import Path
from urllib.request import HTTPSHandler, Request, build_opener

import pytest

from tests.stack import REPOSITORY_UNIQUE_ID

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
PATIENT = "4711^^^&2.999.1.1&ISO"
DOCUMENT = "RW50bGFzc2JyaWVmOiBGcmF1IE3DvGxsZXI"


@pytest.fixture
def post(stack):
    running = stack()
    running.add_patient(PATIENT)

    def send(example: str, path: str) -> str:
        message = (EXAMPLES / example).read_bytes().replace(b"REPOSITORY", REPOSITORY_UNIQUE_ID.encode())
        headers = {"Content-Type": "application/soap+xml; charset=UTF-8"}
        request = Request(running.urls[path], message, headers)
        with build_opener(HTTPSHandler(context=running.client_context())).open(request, timeout=20) as answer:
            return answer.read().decode()

    return send


def test_the_examples_submit_find_and_fetch(post):
    assert "ResponseStatusType:Success" in post("iti-41.xml", "repository")
    assert "XDSDuplicateUniqueIdInRegistry" in post("iti-41.xml", "repository")
    found = post("iti-18.xml", "registry")
    assert found.count("<rim:ExtrinsicObject ") == 1
    assert 'value="2.999.1.100.1"' in found
    assert DOCUMENT in post("iti-43.xml", "repository")
