"""Every request of the corpus through the front door: octets in, octets out, real actors on SQLite and a directory.

What is refused leaves nothing behind: every table and the store are as before.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tests import corpus
from tests.corpus import Case
from tests.samples import OTHER_PATIENT, PATIENT
from tests.world import Answer, World, check
from xds.queries.table import TABLE
from xds.transactions import ITI_43

QUERIES = {stored.name for stored in TABLE}
REQUESTS = [case for case in corpus.cases() if case.transaction]


def _marked(case: Case):
    rows = (*case.rules, *case.codes, *(name for name in case.query[:1] if name in QUERIES))
    return pytest.param(case, id=case.name, marks=pytest.mark.rule(*rows))


@pytest.mark.parametrize("case", [_marked(case) for case in REQUESTS])
def test_a_request_of_the_corpus_is_answered_as_it_must_be(case: Case, world: World):
    for earlier in case.after:
        check(corpus.case(earlier), world.send(corpus.case(earlier)))
    before = world.state()
    check(case, world.send(case))
    if not case.is_good:
        assert world.state() == before, "what is refused leaves nothing behind"


SMOKE = [case for case in REQUESTS if not case.is_good and not case.after and case.transaction != ITI_43][::9]
"""Answers to ITI-43 depend on the repositoryUniqueId, which every server that is set up makes for itself."""


def test_over_tls_the_answers_are_the_same(stack):
    """A part of the wrong ones, then a submission in chunks, a query: real sockets, mutual TLS, `xds serve`."""
    running = stack()
    running.add_patient(PATIENT, OTHER_PATIENT)
    foreign = corpus.case("wrong: retrieve from another repository")
    cases = [case for case in SMOKE if "2.999.7.7" not in case.context]  # its affinity domain accepts any authority
    for case in (*cases, replace(foreign, context=())):
        check(case, _post(running, case))
    check(good := corpus.case("full: every attribute of a Stable entry"), _post(running, good, chunked=True))
    query = corpus.case("FindDocuments with every parameter")
    check(query, _post(running, query))


def _post(running, case: Case, *, chunked: bool = False) -> Answer:
    url = urlsplit(running.urls[case.transaction.actor])
    context: ssl.SSLContext = running.client_context()
    connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=30)
    body = [case.body[start : start + 997] for start in range(0, len(case.body), 997)] if chunked else case.body
    headers: Mapping[str, str] = {"Content-Type": "", **case.headers}
    connection.request("POST", url.path, iter(body) if chunked else body, headers, encode_chunked=chunked)
    response = connection.getresponse()
    answer = Answer(response.status, response.getheader("Content-Type", ""), response.read())
    connection.close()
    return answer
