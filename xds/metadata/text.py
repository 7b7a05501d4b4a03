"""Texts of the metadata: how they are shown and compared, and OID, UUID and URI, of which other types are made.

(ITI TF-3 Table 4.2.3.1.7-2; ITI TF-2 Appendix B and F.)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHOWN = 80  # characters of a bad value repeated in a message


def shown(value: str) -> str:
    """Quote a value for a message: control characters visible, at most 80 characters of it."""
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in value[: SHOWN + 1])
    return f"'{text}'" if len(text) <= SHOWN else f"'{text[:SHOWN]}…'"


def nfc(text: str) -> str:
    """Give the form in which texts are compared: Unicode NFC (ITI TF-2 Appendix F)."""
    return unicodedata.normalize("NFC", text)


# --- reading --------------------------------------------------------------------------------------------------------


class DataTypeError(ValueError):
    """A value is not of its data type; the text says what was found and what is expected."""


@contextmanager
def reading(kind: str, form: str, text: str) -> Iterator[None]:
    """Turn a ValueError met while reading `text` as a `kind` into a DataTypeError that names the expected form."""
    try:
        yield
    except DataTypeError as fault:  # a part of this value: it names its own form
        raise DataTypeError(f"{shown(text)} is no {kind}: {fault}") from None
    except ValueError as fault:
        raise DataTypeError(f"{shown(text)} is no {kind}: {fault}; expected {form}") from None


def token_parser(
    kind: str, form: str, matches: Callable[[str], object], fault: Callable[[str], str]
) -> Callable[[str], str]:
    """Make the parser of a type that is one token: it gives the text back, or says why not."""

    def parse(text: str) -> str:
        with reading(kind, form, text):
            if not matches(text):
                raise ValueError(fault(text) if text else "it is empty")
            return text

    return parse


# --- OID, UUID, URI; possessive quantifiers keep the patterns linear on hostile input ---------------------------------

OID = r"(?![0-9.]{65})[0-2](?:\.(?:0|[1-9][0-9]*+))++"
UUID = r"urn:uuid:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
URI = r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]++|%[0-9A-Fa-f]{2})++"

OID_FORM = "numbers and dots such as 1.2.840.113619"
UUID_FORM = "urn:uuid: and 8-4-4-4-12 hexadecimal digits"
URI_FORM = "characters of RFC 3986"


def oid_fault(text: str) -> str:
    """Say why a text is no OID (ITI TF-2 Appendix B)."""
    arcs = text.split(".")
    if "" in arcs:
        return "an arc is empty"
    if bad := next((arc for arc in arcs if not (arc.isascii() and arc.isdigit())), None):
        return f"{shown(bad)} is no number"
    if bad := next((arc for arc in arcs if arc[0] == "0" and arc != "0"), None):
        return f"the arc {shown(bad)} has a leading zero"
    if arcs[0] not in ("0", "1", "2"):
        return f"the first arc is {shown(arcs[0])}, not 0, 1 or 2"
    return "it has a single arc" if len(arcs) == 1 else f"it has {len(text)} characters, at most 64"


def _uri_fault(text: str) -> str:
    stray = re.search(r"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]|%(?![0-9A-Fa-f]{2})", text)
    return f"RFC 3986 does not allow the character {shown(stray[0]) if stray else ''}"


def _uuid_fault(text: str) -> str:
    return "it does not start with urn:uuid:" if not text.startswith("urn:uuid:") else "the digits are not of this form"


is_oid, is_uuid, is_uri = (re.compile(pattern).fullmatch for pattern in (OID, UUID, URI))
parse_oid = token_parser("OID", OID_FORM, is_oid, oid_fault)
parse_uuid = token_parser("UUID", UUID_FORM, is_uuid, _uuid_fault)
parse_uri = token_parser("URI", URI_FORM, is_uri, _uri_fault)
