"""Registry objects <-> ebRIM 3.0 elements, driven by `attributes.TABLE` (ITI TF-3 4.2.3.1; `rim.xsd`)."""

from __future__ import annotations

from xds.ebxml.rim.decode import decode_list, decode_served, decode_submission
from xds.ebxml.rim.encode import encode, encode_submission
from xds.ebxml.rim.names import (
    ASSOCIATION,
    CLASSIFICATION,
    DESCRIPTION,
    EXTERNAL_IDENTIFIER,
    EXTRINSIC_OBJECT,
    LOCALIZED_STRING,
    NAME,
    OBJECT_REF,
    REGISTRY_OBJECT_LIST,
    REGISTRY_PACKAGE,
    SLOT,
    SPACE,
    VALUE,
    VERSION_INFO,
    XML_LANG,
    normal_id,
)

__all__ = [
    "ASSOCIATION",
    "CLASSIFICATION",
    "DESCRIPTION",
    "EXTERNAL_IDENTIFIER",
    "EXTRINSIC_OBJECT",
    "LOCALIZED_STRING",
    "NAME",
    "OBJECT_REF",
    "REGISTRY_OBJECT_LIST",
    "REGISTRY_PACKAGE",
    "SLOT",
    "SPACE",
    "VALUE",
    "VERSION_INFO",
    "XML_LANG",
    "decode_list",
    "decode_served",
    "decode_submission",
    "encode",
    "encode_submission",
    "normal_id",
]
