"""How an object's ebRIM octets are kept: zstandard with a dictionary of what all of them share.

An entry's ebRIM is some 6 KB of which nearly all is the standard's own text; with the dictionary about a tenth is
stored, the row stays in its page, and unpacking costs less than reading the rest would. The first octet says how the
rest is packed, so that the dictionary can be replaced without touching what is stored.
"""

from __future__ import annotations

import threading
from importlib.resources import files

import zstandard

_PLAIN, _DICTIONARY_1 = b"\x00", b"\x01"
_LEVEL = 3


class _Codec(threading.local):
    """One compressor and one decompressor per thread: neither may be shared while it works."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=_LEVEL, dict_data=_dictionary()).compress
        self.decompress = zstandard.ZstdDecompressor(dict_data=_dictionary()).decompress


def _dictionary() -> zstandard.ZstdCompressionDict:
    data = files("registry").joinpath("body-1.dict").read_bytes()
    dictionary = zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    dictionary.precompute_compress(level=_LEVEL)
    return dictionary


_codec = _Codec()


def pack(body: str) -> bytes:
    """Pack an object's ebRIM for `registry_object.body`."""
    return _DICTIONARY_1 + _codec.compress(body.encode())


def unpack(packed: bytes) -> bytes:
    """The object's ebRIM octets.

    Raises:
        ValueError: if the octets were packed in a way this release does not know.
    """
    how = packed[:1]
    if how == _DICTIONARY_1:
        return _codec.decompress(packed[1:])
    if how == _PLAIN:
        return packed[1:]
    raise ValueError(f"body packed as {how!r}")
