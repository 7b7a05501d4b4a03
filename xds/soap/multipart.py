"""multipart/related read as a stream (RFC 2046 5.1, RFC 2387; ITI TF-2 V.3.6).

A message is cut into parts while it arrives. No part is held in memory: the reader keeps one read's worth of octets,
hands content on as slices of it, and looks for the boundary with `bytes.find` alone. XOP and SOAP are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from xds.soap.mime import CHUNK, Limits, Part, Readable, Stream, bare_content_id, limit_fault, sender_fault, shown

_PADDING = 256  # transport padding after a boundary (RFC 2046 5.1.1) that is still taken for padding
_LINE_REST = re.compile(rb"(--)?[ \t]*\r?\n")
_LINE_REST_CUT = re.compile(rb"(?:-?|(--)?[ \t]*\r?)\Z")
_SINGLE = frozenset({"content-id", "content-type", "content-transfer-encoding"})


class MultipartReader:
    """Cut a multipart body into its parts while it arrives.

    Only CRLF, two hyphens, the whole boundary, and a line that holds nothing else but padding (or the two hyphens of
    the end) ends a part: `--boundary2` of a nested multipart is content. Line feeds alone pass in header fields and
    before the first boundary.

    Args:
        stream: the body; its `read` returns b"" at the end of the body.
        boundary: the boundary parameter.
        limits: see `Limits`.
    """

    def __init__(self, stream: Readable, boundary: str, limits: Limits) -> None:
        self._source = stream
        self._limits = limits
        self._boundary = boundary
        self._mark = b"\n--" + boundary.encode("ascii")  # what ends the preamble; parts need the CR as well
        self._buffer = b"\r\n"  # as if a line had ended before the message: it may begin with the boundary
        self._at = 0  # next octet of the buffer to hand out
        self._content = 0  # octets before this index are known to be content
        self._after = 0  # the boundary line that begins at _content ends here; 0 as long as none was found
        self._serial = 0  # number of the open part; 0 is the preamble
        self._last = False  # the boundary found is the closing one
        self._total = 0
        self._eof = False

    def parts(self) -> Iterator[Part]:
        """Yield the parts as they arrive, their content still in its transfer encoding; each drains the one before.

        Raises:
            SoapFault: the message is malformed, ends too early, or exceeds a limit.
        """
        self._skip_preamble()
        seen: set[str] = set()
        while not self._last:
            yield self._open(seen)
            self._drain()
        while self._receive():  # the epilogue; a kept-alive connection must be read to its end
            pass

    def _skip_preamble(self) -> None:
        skipped = -2
        while data := self._body(0, CHUNK):
            skipped += len(data)
            if skipped > self._limits.preamble:
                raise limit_fault(
                    f"no boundary {shown('--' + self._boundary)} at the message's beginning",
                    self._limits.preamble,
                    "preamble",
                )
        self._mark = b"\r" + self._mark

    def _drain(self) -> None:
        while self._body(self._serial, CHUNK):
            pass

    def _open(self, seen: set[str]) -> Part:
        self._at, self._after = self._after, 0
        self._serial += 1
        if self._serial > self._limits.parts:
            raise limit_fault("multipart message", self._limits.parts, "parts", "parts")
        headers = self._headers()
        self._find_content()
        content_id = bare_content_id(headers.get("content-id", ""))
        if content_id in seen:
            raise sender_fault(f"Content-ID {shown(content_id or '')} is given to two parts")
        if content_id:
            seen.add(content_id)
        return Part(content_id, headers, Stream(partial(self._body, self._serial)))

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        name, budget = "", self._limits.headers
        while line := self._line(budget):
            budget -= len(line)
            text = line.decode("utf-8", "replace")
            if text[0] in " \t" and name:
                headers[name] += " " + text.strip()
                continue
            name, colon, value = text.partition(":")
            name = name.strip().lower()
            if not colon or not name:
                raise sender_fault(
                    f"part {self._serial} has {shown(text)} where a header field or an empty line was expected"
                )
            if name in headers and name in _SINGLE:
                raise sender_fault(f"part {self._serial} has two header fields {shown(name)}")
            headers[name] = value.strip()
        return headers

    def _line(self, budget: int) -> bytes:
        """Take a header line without its end."""
        start = self._at
        while (end := self._buffer.find(b"\n", start)) < 0 and len(self._buffer) - self._at <= budget:
            start = len(self._buffer) - self._at
            self._more()
        if end < 0 or end - self._at > budget:
            raise limit_fault(f"header fields of part {self._serial}", self._limits.headers, "headers")
        line = self._buffer[self._at : end]
        self._at = end + 1
        return line.removesuffix(b"\r")

    def _find_content(self) -> None:
        """Set the content's beginning; the empty line after the header may itself begin a boundary (RFC 2046 5.1.1)."""
        if not self._buffer.endswith(b"\r\n", 0, self._at):
            self._content = self._at
            return
        self._at = self._content = self._at - 2
        while self._content == self._at and not self._after:
            self._scan()
        if self._content > self._at:
            self._at += 2

    def _body(self, serial: int, size: int) -> bytes:
        """Hand out content of the open part, b"" at its end."""
        if serial != self._serial:
            raise ValueError("the content of this part has passed: parts are read one after the other")
        while self._at == self._content:
            if self._after:
                return b""
            self._scan()
        end = min(self._content, self._at + size)
        data = self._buffer[self._at : end]
        self._at = end
        return data

    def _scan(self) -> None:
        """Learn how far the content reaches within the buffer; read on if that is not known of a single octet."""
        found = self._buffer.find(self._mark, self._at)
        while found >= 0:
            after = self._boundary_end(found)
            if after:
                self._content, self._after = found, after
                return
            if after is None:
                break
            found = self._buffer.find(self._mark, found + 1)
        self._content = found if found >= 0 else self._uncut()
        if self._content == self._at:
            self._more()

    def _boundary_end(self, found: int) -> int | None:
        """Judge a mark: where its line ends, 0 if it is content after all, None if more octets are needed."""
        rest = found + len(self._mark)
        match = _LINE_REST.match(self._buffer, rest, rest + _PADDING)
        if not match and len(self._buffer) < rest + _PADDING:
            match = _LINE_REST_CUT.match(self._buffer, rest)
            if match and not self._eof:
                return None
            match = match if match and match[1] else None  # the closing boundary may be the very end
        if not match:
            return 0
        self._last = bool(match[1])
        return match.end()

    def _uncut(self) -> int:
        """Return the end of what is content even if the boundary's beginning ends the buffer."""
        size = len(self._buffer)
        tail = self._buffer.rfind(self._mark[:1], max(self._at, size - len(self._mark)))
        return tail if tail >= 0 and self._mark.startswith(self._buffer[tail:]) else size

    def _more(self) -> None:
        """Read on into the buffer, dropping what was handed out."""
        if self._eof:
            closing = shown(f"--{self._boundary}--")
            raise sender_fault(f"the message ends before its closing boundary {closing}, {self._where()}")
        chunk = self._receive()
        self._eof = not chunk
        self._buffer = self._buffer[self._at :] + chunk if self._at < len(self._buffer) else chunk
        self._content -= self._at
        self._at = 0

    def _where(self) -> str:
        return f"in part {self._serial}" if self._serial else "before the first part"

    def _receive(self) -> bytes:
        chunk = self._source.read(CHUNK)
        self._total += len(chunk)
        if self._total > self._limits.message:
            raise limit_fault("message", self._limits.message, "message")
        return chunk
