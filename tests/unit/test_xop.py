"""Inline base64 becomes `xop:Include` in passing (XOP; ITI TF-2 V.3.6): one form for all who come later."""

import base64
import io
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from xds.errors import SoapFault
from xds.soap.mime import Limits
from xds.soap.mtom import cid_of, read_message

XDSB = "urn:ihe:iti:xds-b:2007"
INCLUDE = "{http://www.w3.org/2004/08/xop/include}Include"


class Cut:
    def __init__(self, data: bytes, size: int):
        self.file = io.BytesIO(data)
        self.size = size

    def read(self, size):
        return self.file.read(min(size, self.size))


def in_envelope(*documents: str) -> bytes:
    return f'<?xml version="1.0"?>\n<x:R xmlns:x="{XDSB}" a="&lt;x:Document>">é{"".join(documents)}</x:R>\n'.encode()


def read(xml: bytes, size: int = 1 << 20, limits: Limits | None = None):
    """Read a plain message: root as a tree, cid -> octets, cid -> reason."""
    message = read_message(Cut(xml, size), "application/soap+xml", limits)
    parts = {part.content_id: part.stream.read() for part in message.parts}
    return etree.fromstring(message.root), parts, message.broken


def cids(root) -> list[str]:
    """Check that every Document holds exactly one Include and return what they refer to."""
    found = []
    for el in root.iter(f"{{{XDSB}}}Document"):
        (child,) = el
        assert child.tag == INCLUDE
        assert not ((el.text or "") + (child.tail or "")).strip()
        found.append(cid_of(child.get("href")))
    return found


GOOD = {
    "one line": ("<x:Document id='a'>aGVsbG8=</x:Document>", b"hello"),
    "no padding": ("<x:Document>aGV5</x:Document>", b"hey"),
    "white space anywhere": ("<x:Document>\r\n a\tGV\nsb G8\n=\n</x:Document>", b"hello"),
    "CDATA": ("<x:Document><![CDATA[aGVs]]>bG<![CDATA[]]>8=</x:Document>", b"hello"),
    "comment and instruction": ("<x:Document>aGVs<!-- <x:Document> --><?p x?>bG8=</x:Document>", b"hello"),
    "character references": ("<x:Document>aGVs&#10;&#x62;G8=&#13;</x:Document>", b"hello"),
    "empty": ("<x:Document></x:Document>", b""),
    "empty tag": ("<x:Document/>", b""),
    "empty tag with attribute": ("<x:Document id='/>' ></x:Document>", b""),
    "empty tag that ends in quotes": ('<x:Document id="a>"/>', b""),
    "white space only": ("<x:Document> \n<!-- none -->\t</x:Document>", b""),
    "default namespace": (f'<Document xmlns="{XDSB}" id="a">aGVsbG8=</Document>', b"hello"),
    "other prefix": (f"<q:Document\n xmlns:q='{XDSB}'\n id=\"it's\" >aGVsbG8=</q:Document\n>", b"hello"),
}


@pytest.mark.parametrize(("document", "octets"), GOOD.values(), ids=GOOD.keys())
def test_inline_document_becomes_a_part(document, octets):
    for size in (1 << 20, 1, 2, 7):
        root, parts, broken = read(in_envelope(document, "<x:Other>x</x:Other>", document), size)
        assert (cids(root), list(parts.values()), broken) == (list(parts), [octets, octets], {})
        assert root.text == "é"
        assert [el.tag for el in root] == [f"{{{XDSB}}}{name}" for name in ("Document", "Other", "Document")]


def test_attributes_of_the_document_stay():
    for document in ("<x:Document id='a' b=\"c\">QQ==</x:Document>", "<x:Document id='a' b=\"c\"/>"):
        root, _, _ = read(in_envelope(document))
        assert dict(root[0].attrib) == {"id": "a", "b": "c"}


BAD = {
    "alphabet": ("aGVs*G8=", "'*G8=' is not in the base64 alphabet"),
    "URL alphabet": ("a-_s", "'-_s' is not in the base64 alphabet"),
    "not ASCII": ("aGVé", "is not in the base64 alphabet"),
    "cut off": ("aGVsb", "base64 is not in groups of four characters"),
    "no padding": ("aGVsbG8", "base64 is not in groups of four characters"),
    "padding inside": ("aA==aGVs", "base64 is not in groups of four characters"),
    "goes on after padding": ("aA==<!-- -->aGVs", "base64 is not in groups of four characters"),
    "padding alone": ("====", "base64 is not in groups of four characters"),
    "element": ("aGVs<x:b>aGVs</x:b>", "element 'b' where base64 or xop:Include was expected"),
    "elements": ("<x:b><x:c/></x:b>aGVs", "element 'b' where base64 or xop:Include was expected"),
    "nested Document": ("<x:Document>aGVs</x:Document>", "element 'Document' where"),
    "text before Include": (
        "aGVs<i:Include xmlns:i='http://www.w3.org/2004/08/xop/include' href='cid:1'/>",
        "xop:Include beside other content",
    ),
    "text after Include": (
        "<i:Include xmlns:i='http://www.w3.org/2004/08/xop/include' href='cid:1'/> aGVs",
        "text beside xop:Include",
    ),
    "two Includes": (
        "<i:Include xmlns:i='http://www.w3.org/2004/08/xop/include' href='cid:1'/>" * 2,
        "xop:Include beside other content",
    ),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_base64_is_a_document_without_part_and_its_reason(content, reason):
    """ITI TF-2 3.41.4.1.3: the element is intact, so its document counts as missing."""
    good = "<x:Document>aGVsbG8=</x:Document>"
    for size in (1 << 20, 1, 3):
        root, parts, broken = read(in_envelope(good, f"<x:Document id='a'>{content}</x:Document>", good), size)
        first, missing, last = cids(root)
        assert parts == {first: b"hello", last: b"hello"}
        assert list(broken) == [missing]
        if size > 3:
            assert reason in broken[missing]


@pytest.mark.parametrize(
    "child", ["<xop:Include href='cid:1@x'/>", "\n <xop:Include href='cid:1@x'>\n</xop:Include>\n"]
)
def test_a_document_that_holds_an_include_stays_to_the_byte(child):
    xml = in_envelope(f"<x:Document id='a' xmlns:xop='http://www.w3.org/2004/08/xop/include'>{child}</x:Document>")
    for size in (1 << 20, 1):
        message = read_message(Cut(xml, size), "application/soap+xml")
        assert (message.root, list(message.parts), message.broken) == (xml, [], {})


def test_inline_and_included_documents_may_be_mixed():
    """NIST PnrXop, PnrNoXop."""
    xml = in_envelope(
        "<x:Document>aGVsbG8=</x:Document>",
        "<x:Document><i:Include xmlns:i='http://www.w3.org/2004/08/xop/include' href='cid:d'/></x:Document>",
    )
    part = b"Content-ID: <d>\r\n\r\n"
    data = b"--b\r\n" + part + b"arrived\r\n--b\r\nContent-ID: <r>\r\n\r\n" + xml + b"\r\n--b--"
    message = read_message(io.BytesIO(data), "multipart/related; boundary=b; start=r")
    got = {part.content_id: part.stream.read() for part in message.parts}
    inline, included = cids(etree.fromstring(message.root))
    assert got == {"d": b"arrived", inline: b"hello"}
    assert included == "d"


def test_elements_of_other_names_and_namespaces_are_left_alone():
    xml = in_envelope("<Document>aGVsbG8=</Document>", "<x:DocumentRequest>aGVs</x:DocumentRequest>", "Document ")
    message = read_message(io.BytesIO(xml), "application/soap+xml")
    assert (message.root, list(message.parts)) == (xml, [])


def test_root_without_any_document_is_returned_as_it_came():
    for xml in (
        b"<a>Documentation</a>",
        b"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?><a/>",
        b"<a>not well-formed",
    ):
        assert read_message(io.BytesIO(xml), "application/soap+xml").root == xml


@pytest.mark.parametrize("encoding", ["UTF-8", "utf-8", "US-ASCII", "ISO-8859-1", None])
def test_supersets_of_ascii_can_be_spliced(encoding):
    declaration = f'<?xml version="1.0" encoding="{encoding}"?>' if encoding else "\ufeff"
    xml = declaration + f"<r xmlns='{XDSB}'>{'' if encoding == 'US-ASCII' else 'é'}<Document>QQ==</Document></r>"
    root, parts, _ = read(xml.encode(encoding or "utf-8"))
    assert (cids(root), list(parts.values())) == (list(parts), [b"A"])
    assert root.text == (None if encoding == "US-ASCII" else "é")


DOCUMENT = f"<Document xmlns='{XDSB}'>QQ==</Document>"
REFUSED = {
    "DOCTYPE": (b"<!DOCTYPE r [<!ENTITY a 'b'>]><r>&a;</r>", "DOCTYPE declaration"),
    "DOCTYPE with document": (b"<!DOCTYPE Document><r/>", "DOCTYPE declaration"),
    "UTF-16": ("<?xml version='1.0' encoding='UTF-16'?><r/>".encode("utf-16"), "NUL octets (UTF-16 or no XML)"),
    "UTF-16 without mark": ("<r/>".encode("utf-16-le"), "NUL octets"),
    "UTF-16 declared": (b"<?xml version='1.0' encoding='UTF-16'?><r/>", "encoding 'UTF-16', expected UTF-8"),
    "UTF-7": (b"<?xml version='1.0' encoding='utf-7'?><r/>", "encoding 'utf-7', expected UTF-8"),
    "EBCDIC": (
        f"<?xml version='1.0' encoding='cp037'?>{DOCUMENT}".encode("cp037") + b"<Document ",
        "not well-formed XML",
    ),
    "not well-formed": (DOCUMENT.encode() + b"</r>", "not well-formed XML: "),
    "cut off": (DOCUMENT[:-4].encode(), "not well-formed XML: "),
    "unknown entity": (DOCUMENT.replace("QQ", "&x;").encode(), "not well-formed XML: undefined entity"),
    "unbound prefix": (b"<y:Document>QQ==</y:Document>", "not well-formed XML: unbound prefix"),
    "NUL late": (DOCUMENT[:-12].encode() + b"\0", "NUL octets"),
}


@pytest.mark.parametrize(("xml", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_root_that_is_no_safe_xml_is_a_fault(xml, reason):
    for size in (1 << 20, 1, 5):
        with pytest.raises(SoapFault) as fault:
            read(xml, size)
        assert fault.value.code == "Sender"
        assert reason in fault.value.reason


def test_lookalike_of_a_doctype_is_content():
    xml = in_envelope("<!-- <!DOCTYPE a> --><![CDATA[<!DOCTYPE a>]]><x:Document>QQ==</x:Document>")
    _, parts, _ = read(xml)
    assert list(parts.values()) == [b"A"]


def test_documents_do_not_count_for_the_root_s_limit_but_metadata_does():
    limits = Limits(root=150_000)
    _, parts, _ = read(in_envelope(f"<x:Document>{'QUJD' * 200_000}</x:Document>"), 65536, limits)
    assert list(map(len, parts.values())) == [600_000]
    with pytest.raises(SoapFault, match="root part: more than the 150000 octets of limit 'root'") as fault:
        read(in_envelope("<x:a/>" * 50_000, "<x:Document/>"), 65536, limits)
    assert fault.value.status == 413


@pytest.mark.parametrize("token", ["<!--{}-->", "<?p {}?>", "<a b='{}'/>"])
def test_huge_tokens_are_refused_before_expat_has_gathered_them(token):
    """Until expat 2.6 a token that arrives in pieces is scanned anew with each (CVE-2023-52425)."""
    xml = in_envelope("<x:Document>QUJD", token.format("x" * 3_000_000), "</x:Document>")
    with pytest.raises(SoapFault, match="limit 'token'"):
        read(xml, 65536)


LONG = f"<!--{'c' * 400_000}-->"
SPLIT = {
    "before": (f"{LONG}<x:Document>aGVsbG8=</x:Document>", b"hello"),
    "inside": (f"<x:Document>{'QUJD' * 5000}{LONG}{'QUJD' * 50}</x:Document>", b"ABC" * 5050),
    "in the tag": (f"<x:Document id='{'i' * 300_000}'>aGVsbG8=</x:Document>", b"hello"),
    "metadata and white space": (f"{'<x:Slot>v</x:Slot>' * 80_000}{' ' * 300_000}<x:Document>QQ==</x:Document>", b"A"),
}


@pytest.mark.parametrize("size", [131_072, 65_536, 30_000, 777])
@pytest.mark.parametrize(("document", "octets"), SPLIT.values(), ids=SPLIT)
def test_long_tokens_may_be_split_anywhere(document, octets, size):
    """Since 2.6 expat puts off what is split, and tells no index meanwhile."""
    root, parts, broken = read(in_envelope(document, "<x:Document>QUJD</x:Document>"), size)
    assert (cids(root), list(parts.values()), broken) == (list(parts), [octets, b"ABC"], {})


# --- properties ------------------------------------------------------------------------------------------------


@st.composite
def base64_content(draw):
    """Base64 in every XML form, and the octets it stands for."""
    octets = draw(st.binary(max_size=60))
    pieces = []
    for char in base64.b64encode(octets).decode():
        form = draw(
            st.sampled_from(
                ["{}"] * 12 + ["&#{1};", "&#x{1:x};", "<![CDATA[{}]]>", "{} \n", "\r\n\t{}", "{}<!--a-->", "<?p?>{}"]
            )
        )
        pieces.append(form.format(char, ord(char)))
    return "".join(pieces), octets


@st.composite
def envelopes(draw):
    documents, octets = [], []
    for content, expected in draw(st.lists(base64_content(), max_size=4)):
        prefix, quote = draw(st.sampled_from(["", "x:", "dé:"])), draw(st.sampled_from("'\""))
        declared = f"xmlns{':' * bool(prefix)}{prefix[:-1]}={quote}{XDSB}{quote}"
        space = draw(st.sampled_from([" ", "\n\t"]))
        documents.append(f"<{prefix}Document{space}{declared} id='>'{space}>{content}</{prefix}Document{space}>")
        octets.append(expected)
    filler = draw(st.sampled_from(["", "é€<a>&amp;</a>", "<Document/>", "<!-- <x:Document> -->", "Document "]))
    return f"<e>{filler}{filler.join(documents)}{filler}</e>".encode(), octets


@settings(deadline=None)
@given(envelopes(), st.integers(1, 100))
def test_the_filter_gives_what_a_tree_would_give(envelope, size):
    xml, expected = envelope
    tree = etree.fromstring(xml)
    documents = list(tree.iter(f"{{{XDSB}}}Document"))
    assert [base64.b64decode("".join(el.itertext(etree.Element))) for el in documents] == expected
    root, parts, broken = read(xml, size)
    assert (cids(root), list(parts.values()), broken) == (list(parts), expected, {})
    for mine, theirs in zip(root.iter(f"{{{XDSB}}}Document"), documents, strict=True):
        for el in (mine, theirs):
            el[:], el.text = [], None
    assert etree.tostring(root, method="c14n") == etree.tostring(tree, method="c14n")


def test_a_document_of_200_mb_inline_takes_little_memory():
    block = base64.b64encode(bytes(range(256)) * 384)
    head, tail = DOCUMENT.split("QQ==")
    pieces = iter([head.encode(), *[block] * 1600, tail.encode()])
    tracemalloc.start()
    message = read_message(type("Source", (), {"read": lambda _, size: next(pieces, b"")})(), "application/soap+xml")
    total = sum(
        len(data) for part in message.parts for data in iter(lambda stream=part.stream: stream.read(65536), b"")
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 1600 * 256 * 384
    assert peak < 3_000_000
