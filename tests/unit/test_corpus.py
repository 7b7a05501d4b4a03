"""The message corpus against the validator, the codec and the command (tests/data/corpus)."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from lxml import etree

from tests import corpus
from tests.corpus import Case
from xds.cli import main
from xds.ebxml import rim, rs
from xds.ebxml.xml import parse
from xds.metadata import affinity, rules
from xds.queries.table import TABLE
from xds.soap.mtom import read_message
from xds.transactions import TRANSACTIONS
from xds.validation import provide, responses
from xds.validation.message import ANY_CODE, validate

AFFINITY = replace(affinity.default(), assigning_authorities=frozenset({"2.999.1.4"}))
CASES = [pytest.param(case, id=case.name) for case in corpus.cases()]
REQUESTS = [case for case in corpus.cases() if case.transaction]


@pytest.mark.parametrize("case", CASES)
def test_the_validator_finds_what_can_be_known_without_a_registry(case: Case):
    report = validate(case.capture, AFFINITY)
    assert {str(finding.error.code) for finding in report.errors} == case.alone, report.errors
    assert all(finding.section and finding.error.context for finding in report.findings)
    if case.transaction and not case.fault:
        assert report.what.startswith(f"{case.transaction.number} request")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in corpus.cases() if not case.transaction])
def test_an_answer_that_is_wrong_is_told_with_its_place(case: Case):
    texts = [finding.error.context for finding in validate(case.capture, AFFINITY).errors]
    assert len(texts) == len(case.codes), texts
    assert all(any(fragment in text for text in texts) for fragment in case.context), texts


def test_the_corpus_is_large_and_of_every_transaction():
    good = [case for case in REQUESTS if case.is_good]
    wrong = [case for case in REQUESTS if not case.is_good]
    assert len(good) >= 60
    assert len(wrong) >= 120
    for row in TRANSACTIONS:
        assert any(case.transaction is row for case in good)
        assert any(case.transaction is row for case in wrong)


def test_every_stored_query_is_asked_with_every_parameter_it_has():
    shown = corpus.parameters_shown()
    expected = {(stored.name, row.name) for stored in TABLE for row in stored.enabled}
    assert expected - shown.keys() == set()


SUBMISSIONS = [case for case in REQUESTS if case.is_good and case.transaction.number == "ITI-42"]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in SUBMISSIONS])
def test_what_was_understood_is_written_so_that_it_is_understood_again(case: Case):
    first, shape = rim.decode_submission(_body(case))
    again, _ = rim.decode_submission(parse(rs.encode_submit(first)))
    assert not shape
    assert _without_part_ids(again) == _without_part_ids(first)


def _body(case: Case):
    message = read_message(io.BytesIO(case.body), case.headers["Content-Type"])
    return parse(message.root).find("{*}Body/*")


def _without_part_ids(submission):
    """The encoder gives parts that came without an id one of their own."""
    return rim.encode_submission(submission).replace(" ", "")


# The validator beyond the corpus


def test_a_bare_body_and_a_mime_body_without_header_are_taken_too():
    case = corpus.case("MTOM with quoted start")
    assert validate(case.body, AFFINITY).errors == ()
    assert validate(etree.tostring(_body(corpus.case("folder: a document in a new Folder")))).errors == ()


def test_a_chunked_capture_is_joined():
    case = corpus.case("MTOM with quoted start")
    pieces = [case.body[start : start + 100] for start in range(0, len(case.body), 100)]
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    head = f"POST / HTTP/1.1\r\nContent-Type: {case.headers['Content-Type']}\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert validate(head.encode() + chunked, AFFINITY).findings == ()
    broken = validate(head.encode() + chunked.replace(b"\r\n64\r\n", b"\r\nxx\r\n", 1))
    assert [finding.error.code for finding in broken.errors] == ["soap:Sender"]


def test_a_header_without_end_is_no_message():
    report = validate(b"POST / HTTP/1.1\r\nContent-Type: text/xml")
    assert "no end" in report.errors[0].error.context


def test_what_is_no_message_of_xds_is_told_what_is():
    [finding] = validate(b"<note/>").errors
    assert "SubmitObjectsRequest" in finding.error.context


def test_a_retrieval_of_nothing_is_no_request():
    codes = {
        finding.error.code
        for finding in validate(b'<x:RetrieveDocumentSetRequest xmlns:x="urn:ihe:iti:xds-b:2007"/>').errors
    }
    assert codes == {"XDSRepositoryError"}


def test_without_codes_any_code_is_legal():
    wrong = corpus.case("wrong: a classCode that the affinity domain does not know")
    assert validate(wrong.capture, AFFINITY).errors
    assert validate(wrong.capture, ANY_CODE).errors == ()


def test_a_query_of_iti_51_is_told_by_its_id_where_no_action_says_so():
    query = etree.tostring(_body(corpus.case("wrong: a query of ITI-51")))
    assert validate(query).what == "ITI-51 request, FindDocumentsForMultiplePatients"


def test_a_fault_is_shown_as_a_warning():
    fault = b"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault><s:Code><s:Value>s:Sender
        </s:Value></s:Code><s:Reason><s:Text xml:lang="en">no</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>"""
    report = validate(fault)
    assert report.what == "SOAP fault"
    assert report.errors == ()
    assert "soap:Sender" in [finding.error.code for finding in report.findings]


def test_the_action_of_an_answer_must_be_the_transactions():
    answer = b"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://www.w3.org/2005/08/addressing">
        <s:Header><a:Action>urn:x</a:Action><a:RelatesTo>urn:y</a:RelatesTo></s:Header><s:Body>%b</s:Body></s:Envelope>"""
    report = validate(answer % etree.tostring(_body_of_answer("answer: Success")))
    assert ["urn:x" in finding.error.context for finding in report.errors] == [True]


def _body_of_answer(name: str):
    return etree.fromstring(corpus.case(name).body)


def test_every_rule_cites_the_standard():
    listed = (*rules.STRUCTURE, *rules.CONTENT, *provide.PAIRING, *responses.ERRORS, *responses.QUERY_RESPONSE)
    assert [rule.__name__ for rule in listed if not rules.citation(rule)] == []


# The command


@pytest.fixture
def run(capsys, tmp_path):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["validate", *map(str, arguments)])
        streams = capsys.readouterr()
        return ended.value.code or 0, streams.out, streams.err

    return call


def test_validate_says_what_is_wrong_where_and_by_which_section(run, tmp_path):
    good, wrong = tmp_path / "good.txt", tmp_path / "wrong.txt"
    good.write_bytes(corpus.case("MTOM with quoted start").capture)
    wrong.write_bytes(corpus.case("wrong: an entry without classCode").capture)
    assert run(good) == (0, "", f"{good}: ITI-41 request: 0 errors, 0 warnings\n")
    code, out, err = run(good, wrong)
    assert code == 1
    assert out.startswith(f"{wrong}: error: XDSRegistryMetadataError: DocumentEntry doc1: classCode is missing")
    assert out.endswith("(ITI TF-3 4.3.1, 4.2.3.1.7)\n")
    assert "1 error" in err


def test_validate_writes_json_and_reads_stdin(run, monkeypatch):
    content = corpus.case("wrong: FindDocuments without status").capture
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    code, out, _ = run("--json", "-")
    assert code == 1
    [report] = json.loads(out)
    assert report["message"] == "ITI-18 request, FindDocuments"
    assert report["findings"][0]["code"] == "XDSStoredQueryMissingParam"
    assert report["findings"][0]["section"].endswith("3.18.4.1.2.3.7.1")


def test_validate_takes_the_codes_of_an_affinity_domain(run, tmp_path):
    wrong = tmp_path / "wrong.xml"
    wrong.write_bytes(corpus.case("wrong: a classCode that the affinity domain does not know").capture)
    assert run(wrong)[0] == 0
    codes = tmp_path / "codes.xml"
    codes.write_text("<Codes/>")
    assert run("--codes", codes, wrong)[0] == 2
    from importlib.resources import files

    codes.write_bytes(files("xds").joinpath("data", "codes.xml").read_bytes())
    code, out, _ = run("--codes", codes, wrong)
    assert code == 1
    assert "'nowhere'" in out


def test_validate_without_a_file_is_wrong_usage(run, tmp_path):
    assert run()[0] == 2
    code, _, err = run(tmp_path / "none.xml")
    assert code == 2
    assert "cannot be read" in err
