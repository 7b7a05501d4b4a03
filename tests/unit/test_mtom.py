"""MTOM messages as streams (ITI TF-2 V.3.6): wire forms good and bad, any cut of the stream, constant memory."""

import base64
import binascii
import io
import tempfile
import tracemalloc

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xds.errors import SoapFault, XDSError
from xds.soap.mime import Base64Decoder, ContentType, bare_content_id
from xds.soap.mtom import (
    Attachment,
    InlineWriter,
    Limits,
    MultipartWriter,
    cid_of,
    cid_url,
    include,
    inline,
    new_content_id,
    parse_content_type,
    read_message,
)

ENVELOPE = b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body/></s:Envelope>'
TYPE = 'multipart/related; boundary="b"; type="application/xop+xml"; start="<root>"; start-info="application/soap+xml"'
ROOT = b"Content-Type: application/xop+xml; charset=UTF-8\r\nContent-ID: <root>\r\n\r\n" + ENVELOPE


class Cut:
    """A stream that returns reads of the given sizes in turn, over and over."""

    def __init__(self, data: bytes, *sizes: int):
        self.file = io.BytesIO(data)
        self.sizes = sizes
        self.turn = 0

    def read(self, size):
        self.turn += 1
        return self.file.read(min(size, self.sizes[self.turn % len(self.sizes)]))


class Synthetic:
    """A body of head, a block many times over, and tail, of which little is ever in memory."""

    def __init__(self, head: bytes, block: bytes, times: int, tail: bytes):
        self.rest = iter([head, *[block] * times, tail])

    def read(self, size):
        data = next(self.rest, b"")
        assert len(data) <= size
        return data


def body(*parts: bytes, end: bytes = b"\r\n--b--\r\n") -> bytes:
    return b"--b\r\n" + b"\r\n--b\r\n".join(parts) + end


def document(content: bytes, *fields: str, content_id: str = "d") -> bytes:
    return "".join(f"{field}\r\n" for field in (f"Content-ID: <{content_id}>", *fields)).encode() + b"\r\n" + content


def read(data: bytes, content_type: str = TYPE, limits: Limits | None = None, *sizes: int):
    """Read a message whole: root, [(content id, octets)]."""
    message = read_message(Cut(data, *(sizes or (1 << 20,))), content_type, limits)
    return message.root, [(part.content_id, part.stream.read()) for part in message.parts]


# --- Content-Type ----------------------------------------------------------------------------------------------

CONTENT_TYPES = {
    "as the standard writes it": 'multipart/related; boundary="b-1"; start="<r@x>"',
    "upper case": 'MULTIPART/Related; BOUNDARY="b-1"; Start="<r@x>"',
    "other order, no space": 'multipart/related;start="<r@x>";boundary="b-1"',
    "not quoted": "multipart/related; boundary=b-1; start=<r@x>",
    "start without brackets": 'multipart/related; boundary=b-1; start="r@x"',
    "quoted pairs": 'multipart/related; boundary="b\\-1"; start="\\<r@x\\>"',
    "folded": 'multipart/related;\r\n\tboundary="b-1";\r\n start="<r@x>"',
    "space around everything": ' multipart/related ; boundary = "b-1" ; start = "<r@x>" ',
    "empty parameters": 'multipart/related;; boundary="b-1"; start="<r@x>";',
    "comments": 'multipart/related (cut here); boundary="b-1" (dashes); start="<r@x>"',
    "continuations of RFC 2231": 'multipart/related; boundary*0="b-"; boundary*1="1"; start="<r@x>"',
    "charset of RFC 2231": "multipart/related; boundary*=utf-8''b%2D1; start=\"<r@x>\"",
}


@pytest.mark.parametrize("value", CONTENT_TYPES.values(), ids=CONTENT_TYPES.keys())
def test_content_type_is_understood_in_every_form_of_rfc_2045(value):
    found = parse_content_type(value)
    assert (found.media_type, found.boundary, found.start) == ("multipart/related", "b-1", "r@x")


def test_content_type_values_keep_their_case_and_semicolons():
    found = parse_content_type('application/soap+xml; charset=UTF-8; action="urn:ihe:iti:2007:X;y=\\"z\\""')
    assert found == ContentType("application/soap+xml", {"charset": "UTF-8", "action": 'urn:ihe:iti:2007:X;y="z"'})


WRONG_CONTENT_TYPES = {
    "absent": (None, "Content-Type is missing"),
    "blank": ("  ", "Content-Type is missing"),
    "no subtype": ("multipart; boundary=b", "Content-Type is 'multipart; boundary=b', expected type/subtype"),
    "no boundary": ("multipart/related", "Content-Type multipart/related has no boundary parameter"),
    "empty boundary": ('multipart/related; boundary=""', "boundary is '' (0 characters), expected 1 to 70"),
    "long boundary": ("multipart/related; boundary=" + "b" * 71, "(71 characters), expected 1 to 70 printable"),
    "boundary ends in space": ('multipart/related; boundary="b "', "boundary is 'b ' (2 characters)"),
    "control character": ('multipart/related; boundary="b\x01"', r"boundary is 'b\x01' (2 characters)"),
    "twice": ("multipart/related; boundary=a; Boundary=b", "parameter 'boundary' is given twice"),
    "quote left open": ('multipart/related; boundary="b', 'has \'boundary="b\' where ; name="value" was expected'),
    "nameless value": ("multipart/related; =b", "has '=b' where"),
    "endless": ("multipart/related; boundary=b" + " " * 5000, "has 5029 characters, expected at most 4096"),
    "another type": ("text/plain", "Content-Type is 'text/plain', expected multipart/related or application/soap+xml"),
    "attachments": (
        'multipart/related; boundary=b; type="text/xml"',
        "type is 'text/xml', expected application/xop+xml",
    ),
    "start-info": (
        'multipart/related; boundary=b; start-info="a/b"',
        "start-info is 'a/b', expected application/soap+xml",
    ),
    "charset": ("application/soap+xml; charset=UTF-16", "charset is 'UTF-16', expected UTF-8"),
}


@pytest.mark.parametrize(("value", "reason"), WRONG_CONTENT_TYPES.values(), ids=WRONG_CONTENT_TYPES.keys())
def test_wrong_content_type_is_named_in_the_fault(value, reason):
    with pytest.raises(SoapFault) as fault:
        read_message(io.BytesIO(b""), value)
    assert fault.value.code == "Sender"
    assert reason in fault.value.reason


@pytest.mark.parametrize(
    ("content_type", "root_type"),
    [
        ('multipart/related; boundary="b"; action="urn:a"', "application/xop+xml"),
        (
            'multipart/related; boundary="b"; start-info="application/soap+xml; action=\\"urn:a\\""',
            "application/xop+xml",
        ),
        ('multipart/related; boundary="b"', 'application/xop+xml; action="urn:a"'),
        ('multipart/related; boundary="b"', 'application/xop+xml; type="application/soap+xml; action=urn:a"'),
    ],
    ids=["message", "start-info", "root part", "root part's type"],
)
def test_action_is_found_wherever_stacks_put_it(content_type, root_type):
    data = body(f"Content-Type: {root_type}\r\n\r\n".encode() + ENVELOPE)
    message = read_message(io.BytesIO(data), content_type)
    assert (message.action, message.is_mtom) == ("urn:a", True)
    message.drain()


# --- reading ---------------------------------------------------------------------------------------------------

D = b"\x00\r\n--\r\n--a\r\n--bb\r\n--b--c\r\n--b \t x\r\n\r\n\r-"  # everything that looks like a boundary
NESTED = b"--inner\r\n\r\nx\r\n--inner--\r\n"

WIRE_FORMS = {
    "plain": (body(ROOT, document(D)), {"d": D}),
    "no document": (body(ROOT), {}),
    "no line end after the end": (body(ROOT, document(D), end=b"\r\n--b--"), {"d": D}),
    "padding at the very end": (body(ROOT, document(D), end=b"\r\n--b-- \t"), {"d": D}),
    "epilogue": (body(ROOT, document(D)) + b"--b\r\nnot a part\r\n" * 9, {"d": D}),
    "line breaks before": (b"\r\n\r\n\n" + body(ROOT, document(D)), {"d": D}),
    "preamble": (b"This is MIME --b\r\n--bb\r\n" + body(ROOT, document(D)), {"d": D}),
    "padding after boundary": (body(ROOT, document(D)).replace(b"--b\r\n", b"--b \t \r\n"), {"d": D}),
    "line feeds in header": (body(ROOT.replace(b"\r\n", b"\n"), b"Content-ID: d\nX: y\n\n" + D), {"d": D}),
    "line feed before boundary is content": (body(ROOT, document(b"x\n--b\n")), {"d": b"x\n--b\n"}),
    "folded header": (body(ROOT, b"Content-ID:\r\n <d>\r\nContent-Type: a/b;\r\n\tc=d\r\n\r\n" + D), {"d": D}),
    "header names in any case": (body(ROOT, b"CONTENT-id:<d>\r\ncontent-TYPE : a/b\r\n\r\n" + D), {"d": D}),
    "no brackets": (body(ROOT, b"Content-ID: d\r\n\r\n" + D), {"d": D}),
    "empty content": (body(ROOT, document(b"")), {"d": b""}),
    "empty content without its line": (body(ROOT, b"Content-ID: <d>\r\n"), {"d": b""}),
    "content is a line break": (body(ROOT, document(b"\r\n")), {"d": b"\r\n"}),
    "content begins with dashes": (body(ROOT, document(b"--bx")), {"d": b"--bx"}),
    "no Content-ID": (body(ROOT, b"\r\nignored", document(D), b"X: y\r\n\r\nignored"), {"d": D}),
    "root not first": (body(document(D), b"\r\nignored", ROOT, document(b"e", content_id="e")), {"d": D, "e": b"e"}),
    "nested multipart is opaque": (
        body(ROOT, document(NESTED, "Content-Type: multipart/mixed; boundary=inner")),
        {"d": NESTED},
    ),
    "binary": (body(ROOT, document(D, "Content-Transfer-Encoding: BINARY")), {"d": D}),
    "8bit": (body(ROOT, document(D, "Content-Transfer-Encoding: 8bit")), {"d": D}),
    "base64": (body(ROOT, document(base64.encodebytes(D * 9), "Content-Transfer-Encoding: Base64")), {"d": D * 9}),
    "quoted-printable": (
        body(ROOT, document(b"=C3=A9 soft=\r\n break= \r\nend \r\n=3D", "Content-Transfer-Encoding: quoted-printable")),
        {"d": "é soft breakend\r\n=".encode()},
    ),
    "base64 before the root": (
        body(document(base64.b64encode(D), "Content-Transfer-Encoding: base64"), ROOT),
        {"d": D},
    ),
    "base64 root": (
        body(b"Content-ID: <root>\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(ENVELOPE)),
        {},
    ),
}


@pytest.mark.parametrize(("data", "documents"), WIRE_FORMS.values(), ids=WIRE_FORMS.keys())
def test_wire_form_is_read_however_the_stream_is_cut(data, documents):
    for sizes in ((1 << 20,), (1,), (2,), (3, 5), (7,), (64, 1)):
        assert read(data, TYPE, None, *sizes) == (ENVELOPE, list(documents.items()))


def test_a_cut_at_any_octet_changes_nothing():
    data = body(ROOT, document(D), document(D + b"\r\n--", content_id="e"))
    expected = (ENVELOPE, [("d", D), ("e", D + b"\r\n--")])
    for cut in range(1, len(data)):
        assert read(data, TYPE, None, 1 << 20, cut) == expected  # the first read has `cut` octets


def test_without_start_the_first_part_is_the_root():
    data = body(ROOT.replace(b"Content-ID: <root>\r\n", b""), document(D))
    assert read(data, 'multipart/related; boundary="b"') == (ENVELOPE, [("d", D)])


WRONG_MESSAGES = {
    "empty": (b"", "ends before its closing boundary '--b--', before the first part"),
    "only a preamble": (b"no boundary here", "before the first part"),
    "other boundary": (body(ROOT).replace(b"--b", b"--c"), "before the first part"),
    "no part": (b"--b--\r\n", "has parts (none), expected one with Content-ID 'root'"),
    "no root": (body(document(D)), "has parts 'd', expected one with Content-ID 'root', as Content-Type's start"),
    "cut in root": (body(ROOT)[:120], "ends before its closing boundary '--b--', in part 1"),
    "cut in header": (body(ROOT, b"Content-ID: <d", end=b""), "in part 2"),
    "cut in content": (body(ROOT, document(D), end=b""), "in part 2"),
    "cut in boundary": (body(ROOT, document(D), end=b"\r\n--b"), "in part 2"),
    "cut after boundary": (body(ROOT, document(D), end=b"\r\n--b\r\n"), "in part 3"),
    "one closing dash": (body(ROOT, document(D), end=b"\r\n--b-"), "in part 2"),
    "same Content-ID twice": (body(ROOT, document(D), document(D)), "Content-ID 'd' is given to two parts"),
    "root's Content-ID twice": (body(ROOT, document(D, content_id="root")), "Content-ID 'root' is given to two parts"),
    "two Content-ID fields": (body(ROOT, document(D, "Content-ID: <e>")), "two header fields 'content-id'"),
    "no header field": (body(ROOT, document(D, "nonsense")), "part 2 has 'nonsense' where a header field or an empty"),
    "unknown encoding": (
        body(ROOT, document(D, "Content-Transfer-Encoding: uuencode")),
        "Content-Transfer-Encoding of part 'd' is 'uuencode', expected binary, 8bit, 7bit, base64 or quoted-printable",
    ),
    "root of another type": (
        body(ROOT.replace(b"xop+xml", b"soap+xml")),
        "Content-Type of the root part is 'application/soap+xml', expected application/xop+xml",
    ),
    "root's charset": (body(ROOT.replace(b"UTF-8", b"UTF-16")), "charset is 'UTF-16', expected UTF-8"),
    "empty root": (body(b"Content-ID: <root>\r\n\r\n"), "the message is empty, expected a SOAP envelope"),
    "bad base64 root": (
        body(b"Content-ID: <root>\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!"),
        "root part: '!!!!' is not in the base64 alphabet",
    ),
}


@pytest.mark.parametrize(("data", "reason"), WRONG_MESSAGES.values(), ids=WRONG_MESSAGES.keys())
def test_wrong_message_is_a_fault_that_says_why(data, reason):
    for sizes in ((1 << 20,), (1,)):
        with pytest.raises(SoapFault) as fault:
            read(data, TYPE, None, *sizes)
        assert (fault.value.code, fault.value.status) == ("Sender", 400)
        assert reason in fault.value.reason


LIMITS = {
    "message": (body(ROOT, document(b"x" * 1000)), Limits(message=600), "message: more than the 600 octets"),
    "root": (body(ROOT), Limits(root=50), "root part: more than the 50 octets of limit 'root'"),
    "headers": (
        body(ROOT, document(D, "X: " + "x" * 900)),
        Limits(headers=500),
        "header fields of part 2: more than the 500",
    ),
    "header lines": (body(ROOT, document(D, *["X: y"] * 200)), Limits(headers=500), "header fields of part 2"),
    "parts": (body(ROOT, *[b"\r\n"] * 9), Limits(parts=5), "multipart message: more than the 5 parts of limit 'parts'"),
    "preamble": (
        b"x" * 2000 + body(ROOT),
        Limits(preamble=1000),
        "no boundary '--b' at the message's beginning: more than",
    ),
}


@pytest.mark.parametrize(("data", "limits", "reason"), LIMITS.values(), ids=LIMITS.keys())
def test_exceeded_limit_is_named_and_answered_with_413(data, limits, reason):
    for sizes in ((1 << 20,), (100,)):
        with pytest.raises(SoapFault) as fault:
            read(data, TYPE, limits, *sizes)
        assert fault.value.status == 413
        assert reason in fault.value.reason


def test_a_plain_message_is_limited_too():
    with pytest.raises(SoapFault, match="message: more than the 50 octets"):
        read_message(io.BytesIO(ENVELOPE), "application/soap+xml", Limits(message=50))


def test_undecodable_part_is_a_missing_document_and_the_next_part_is_read():
    """ITI TF-2 3.41.4.1.3: the message is sound, one document is not."""
    bad = "Content-Transfer-Encoding: base64"
    message = read_message(io.BytesIO(body(ROOT, document(b"QQ=A", bad), document(D, content_id="e"))), TYPE)
    part = next(message.parts)
    with pytest.raises(XDSError, match="part 'd': base64 is not in groups") as error:
        part.stream.read()
    assert (error.value.code, error.value.location) == ("XDSMissingDocument", "d")
    assert next(message.parts).stream.read() == D
    message.drain()


@pytest.mark.parametrize(("encoding", "bad"), [("base64", b"QUJD!"), ("quoted-printable", b"x" * 9000)])
def test_undecodable_content_is_found_in_any_piece(encoding, bad):
    data = body(ROOT, document(b"QUJD" * 100_000 + bad, f"Content-Transfer-Encoding: {encoding}"))
    message = read_message(io.BytesIO(data), TYPE)
    part = next(message.parts)
    with pytest.raises(XDSError):
        part.stream.read()
    message.drain()


def test_the_next_part_drains_the_one_before_and_ends_its_stream():
    message = read_message(io.BytesIO(body(ROOT, document(b"x" * 300_000), document(D, content_id="e"))), TYPE)
    first = next(message.parts)
    assert first.stream.read(10) == b"x" * 10
    second = next(message.parts)
    with pytest.raises(ValueError, match="parts are read one after the other"):
        first.stream.read(1)
    assert second.stream.read() == D


def test_without_start_there_must_still_be_a_root():
    with pytest.raises(SoapFault, match="has no part, expected at least the root part"):
        read(b"--b--", "multipart/related; boundary=b")


def test_a_message_that_was_closed_early_leaves_nothing_open():
    message = read_message(io.BytesIO(body(document(D), ROOT)), TYPE)
    part = next(message.parts)
    message.close()
    with pytest.raises(ValueError, match="closed file"):
        part.stream.read()


def test_a_full_disk_is_the_receiver_s_fault(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "write", full)
    with pytest.raises(SoapFault, match="no room to put the message's documents aside") as fault:
        read(body(document(D), ROOT))
    assert (fault.value.code, fault.value.status) == ("Receiver", 500)


def test_drain_notices_a_message_that_was_cut_off():
    message = read_message(io.BytesIO(body(ROOT, document(D), end=b"")), TYPE)
    with pytest.raises(SoapFault, match="ends before its closing boundary"):
        message.drain()


def test_the_stream_is_read_to_its_end_so_that_a_connection_can_be_kept():
    stream = io.BytesIO(body(ROOT) + b"epilogue" * 100_000)
    read_message(stream, TYPE).drain()
    assert stream.read() == b""


def test_part_has_its_headers_and_reads_into_buffers():
    message = read_message(io.BytesIO(body(ROOT, document(b"12345", "Content-Type: text/plain"))), TYPE)
    with message:
        part = next(message.parts)
        assert part.headers == {"content-id": "<d>", "content-type": "text/plain"}
        buffer = bytearray(3)
        assert (part.stream.readinto(buffer), buffer, part.stream.read(0)) == (3, b"123", b"")
        assert (part.stream.readinto(memoryview(buffer)), bytes(buffer[:2])) == (2, b"45")
        assert part.stream.readinto(buffer) == 0


def test_soap_1_1_is_let_through_to_the_envelope_s_own_fault():
    message = read_message(io.BytesIO(ENVELOPE), "text/xml; charset=utf-8")
    assert (message.root, message.is_mtom, list(message.parts)) == (ENVELOPE, False, [])


# --- Content-ID ------------------------------------------------------------------------------------------------

HREFS = {
    "cid:a@b": "a@b",
    "CID:a%40b": "a@b",
    "cid:http%3A%2F%2Ftempuri.org%2F1": "http://tempuri.org/1",
    " cid:%C3%A9 ": "é",
    "http://example.org/a": None,
    "file:///etc/passwd": None,
    "cid:": None,
    "": None,
}


@pytest.mark.parametrize(("href", "content_id"), HREFS.items(), ids=repr)
def test_href_names_a_content_id_or_nothing(href, content_id):
    assert cid_of(href) == content_id


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_cid_url_and_back_is_identity(content_id):
    assert cid_of(cid_url(content_id)) == content_id


def test_content_ids_are_new_every_time():
    assert new_content_id() != new_content_id()
    assert bare_content_id(f" <{new_content_id()}> ") is not None
    assert bare_content_id(" <> ") is None


# --- writing ---------------------------------------------------------------------------------------------------


def test_writer_sends_the_headers_of_the_standard():
    """ITI TF-2 V.3.6."""
    writer = MultipartWriter(ENVELOPE, [Attachment("d@x", "text/xml", 3, b"abc")], action="urn:ihe:iti:2007:X")
    sent = b"".join(writer)
    found = parse_content_type(writer.content_type)
    boundary, root = found.boundary, found.start
    assert writer.content_type == (
        f'multipart/related; boundary="{boundary}"; type="application/xop+xml"; start="<{root}>"; '
        'start-info="application/soap+xml"; action="urn:ihe:iti:2007:X"'
    )
    assert sent.decode() == (
        f'--{boundary}\r\nContent-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"\r\n'
        f"Content-Transfer-Encoding: binary\r\nContent-ID: <{root}>\r\n\r\n{ENVELOPE.decode()}"
        f"\r\n--{boundary}\r\nContent-Type: text/xml\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <d@x>\r\n\r\nabc\r\n--{boundary}--\r\n"
    )
    assert len(writer) == writer.content_length() == len(sent)


def test_boundaries_differ():
    assert MultipartWriter(ENVELOPE).content_type != MultipartWriter(ENVELOPE).content_type


BODIES = {
    "octets": lambda: b"abc" * 50_000,
    "stream": lambda: io.BytesIO(b"abc" * 50_000),
    "pieces": lambda: iter([b"abc"] * 50_000),
}


@pytest.mark.parametrize("make", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("writer", [MultipartWriter, InlineWriter])
def test_writer_takes_every_kind_of_body_and_counts_right(writer, make):
    root = b"<e>" + include("d@x") + b"</e>"
    message = writer(root, [Attachment("d@x", "text/plain", 150_000, make())])
    assert len(b"".join(message)) == len(message)


@pytest.mark.parametrize("writer", [MultipartWriter, InlineWriter])
def test_writer_without_a_length_is_sent_chunked(writer):
    """`requests` asks for `len` and takes a TypeError for "unknown"."""
    message = writer(b"<e>" + include("d") + b"</e>", [Attachment("d", "text/plain", None, iter([b"abc"]))])
    assert message
    assert message.content_length() is None
    with pytest.raises(TypeError, match="not known beforehand"):
        len(message)


@pytest.mark.parametrize(
    ("sent", "reason"), [(b"ab", "has 2 octets, expected 3"), (b"abcd", "has more than 3 octets, expected 3")]
)
def test_content_that_is_not_as_long_as_announced_breaks_the_transfer(sent, reason):
    writer = MultipartWriter(ENVELOPE, [Attachment("d", "text/plain", 3, io.BytesIO(sent))])
    with pytest.raises(ValueError, match=reason):
        list(writer)


def test_requests_sends_a_content_length_where_it_is_known_and_chunks_otherwise():
    for length, header in ((3, "Content-Length"), (None, "Transfer-Encoding")):
        writer = MultipartWriter(ENVELOPE, [Attachment("d", "text/plain", length, iter([b"abc"]))])
        request = requests.Request("POST", "https://repository.example", data=writer).prepare()
        assert request.headers[header] == ("chunked" if length is None else str(len(writer)))
        assert len(b"".join(request.body)) == len(
            b"".join(MultipartWriter(ENVELOPE, [Attachment("d", "text/plain", 3, b"abc")]))
        )


def test_close_closes_the_streams():
    stream = io.BytesIO(b"abc")
    MultipartWriter(
        ENVELOPE, [Attachment("d", "text/plain", 3, stream), Attachment("e", "text/plain", 3, b"abc")]
    ).close()
    assert stream.closed


def test_a_media_type_cannot_write_header_fields():
    writer = MultipartWriter(ENVELOPE, [Attachment("d", "text/xml\r\nX-Evil: 1", 1, b"x")])
    sent = b"".join(writer)
    assert b"Evil" not in sent
    assert b"Content-Type: application/octet-stream\r\n" in sent


def test_impossible_content_ids_and_actions_are_refused():
    with pytest.raises(ValueError, match=r"Content-ID is 'a>\\r\\nX'"):
        MultipartWriter(ENVELOPE, [Attachment("a>\r\nX", "text/xml", 1, b"x")])
    with pytest.raises(ValueError, match=r"action is 'urn:\\n'"):
        MultipartWriter(ENVELOPE, action="urn:\n")
    assert parse_content_type(MultipartWriter(ENVELOPE, action='a"\\').content_type).get("action") == 'a"\\'


def test_small_pieces_are_joined_and_large_ones_passed():
    parts = [Attachment(f"d{n}", "text/plain", 3, b"abc") for n in range(50)]
    assert len(list(MultipartWriter(ENVELOPE, parts))) == 1
    big = b"x" * 1_000_000
    pieces = list(MultipartWriter(ENVELOPE, [Attachment("d", "text/plain", None, io.BytesIO(big))]))
    assert max(map(len, pieces)) < 140_000


# --- both ways -------------------------------------------------------------------------------------------------

CONTENT = st.one_of(
    st.binary(max_size=300), st.lists(st.sampled_from([b"\r", b"\n", b"--", b"MIMEBoundary_", b"x"])).map(b"".join)
)
SIZES = st.lists(st.integers(1, 200), min_size=1, max_size=5)


@settings(deadline=None)
@given(st.lists(CONTENT, max_size=5), SIZES, st.integers(1, 100))
def test_write_then_read_is_identity_for_any_content_and_any_cut(contents, sizes, wanted):
    parts = [Attachment(f"{n}@x", "text/plain", None, iter([content])) for n, content in enumerate(contents)]
    writer = MultipartWriter(ENVELOPE, parts)
    message = read_message(Cut(b"".join(writer), *sizes), writer.content_type)
    assert message.root == ENVELOPE
    got = [b"".join(iter(lambda stream=part.stream: stream.read(wanted), b"")) for part in message.parts]
    assert got == contents


@settings(deadline=None)
@given(st.lists(CONTENT, max_size=5), SIZES)
def test_what_is_sent_inline_is_read_as_parts(contents, sizes):
    root = b"".join(
        b'<x:Document xmlns:x="urn:ihe:iti:xds-b:2007">%b</x:Document>' % include(f"{n}@x")
        for n in range(len(contents))
    )
    parts = [Attachment(f"{n}@x", "text/plain", len(content), content) for n, content in enumerate(contents)]
    writer = InlineWriter(b"<e>" + root + b"</e>", parts, action="urn:a")
    assert writer.content_type == 'application/soap+xml; charset=UTF-8; action="urn:a"'
    message = read_message(Cut(b"".join(writer), *sizes), writer.content_type)
    assert (message.is_mtom, message.action, message.broken) == (False, "urn:a", {})
    assert [part.stream.read() for part in message.parts] == contents


def test_base64_that_goes_on_after_its_padding_is_noticed_in_the_next_piece():
    decoder = Base64Decoder()
    assert decoder.feed(b"aA==") + decoder.feed(b" \r\n") == b"h"
    with pytest.raises(ValueError, match="goes on after its padding with 'aGVs'"):
        decoder.feed(b"aGVs")


@settings(deadline=None)
@given(st.binary(max_size=400), SIZES)
@example(b"\n\r\n", [1])  # as text, Python's encoder would make the line ends alike
def test_transfer_encodings_are_undone_in_any_cut(content, sizes):
    quoted = binascii.b2a_qp(content, istext=False)
    for name, encoded in (("base64", base64.encodebytes(content)), ("quoted-printable", quoted)):
        data = body(ROOT, document(encoded, f"Content-Transfer-Encoding: {name}"))
        assert read(data, TYPE, None, *sizes) == (ENVELOPE, [("d", content)])


def test_includes_may_be_written_in_any_form():
    root = (
        b'<e xmlns:q="http://www.w3.org/2004/08/xop/include"><d><q:Include href="cid:a%40x"></q:Include></d>'
        b'<Include xmlns="http://www.w3.org/2004/08/xop/include" href="cid:b"/>'
        b"<d><q:Include href='cid:c' >\n</q:Include ></d></e>"
    )
    parts = [
        Attachment("b", "a/b", None, b"b"),
        Attachment("a@x", "a/b", None, b"a"),
        Attachment("c", "a/b", None, b""),
    ]
    expected = b'<e xmlns:q="http://www.w3.org/2004/08/xop/include"><d>YQ==</d>Yg==<d></d></e>'
    assert b"".join(inline(root, parts)) == expected


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        (b"<e>" + include("y") + b"</e>", "xop:Include refers to 'y'"),
        (b"<e>" + include("x") * 2 + b"</e>", "xop:Include refers to 'x'"),
        (
            b'<Include xmlns="http://www.w3.org/2004/08/xop/include" href="http://x/"/>',
            "has href 'http://x/', expected a cid",
        ),
    ],
)
def test_include_of_no_part_is_refused_when_writing(root, reason):
    with pytest.raises(ValueError, match=reason):
        InlineWriter(root, [Attachment("x", "a/b", None, b"x")])


# --- memory and speed ------------------------------------------------------------------------------------------


def peak_of(run) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_document_of_256_mb_passes_in_constant_memory_and_quickly():
    head = b"--b\r\n" + ROOT + b"\r\n--b\r\nContent-ID: <d>\r\n\r\n"
    source = Synthetic(head, bytes(range(256)) * 512, 2048, b"\r\n--b--\r\n")
    total = 0

    def run():
        nonlocal total
        message = read_message(source, TYPE)
        for part in message.parts:
            while data := part.stream.read(65536):
                total += len(data)

    assert peak_of(run) < 2_000_000
    assert total == 256 << 20


def test_documents_before_the_root_wait_on_disk():
    head = b"--b\r\nContent-ID: <d>\r\n\r\n"
    source = Synthetic(head, b"x" * 131_072, 320, b"\r\n--b\r\n" + ROOT + b"\r\n--b--\r\n")
    total = 0

    def run():
        nonlocal total
        message = read_message(source, TYPE)
        assert message.root == ENVELOPE
        for part in message.parts:
            while data := part.stream.read(65536):
                total += len(data)

    assert peak_of(run) < 2_000_000
    assert total == 320 * 131_072


def test_sending_takes_constant_memory():
    block = b"x" * 131_072
    root = b"<e>" + include("d") + b"</e>"

    def run():
        for writer in (MultipartWriter, InlineWriter):
            size = sum(map(len, writer(root, [Attachment("d", "a/b", None, (block for _ in range(320)))])))
            assert size > 320 * len(block)

    assert peak_of(run) < 2_000_000
