"""Names of ebRIM 3.0 elements as lxml writes them, and ids as we compare them (`rim.xsd`)."""

from __future__ import annotations

from xds.metadata.vocabulary import RIM

SLOT, NAME, DESCRIPTION = f"{{{RIM}}}Slot", f"{{{RIM}}}Name", f"{{{RIM}}}Description"
CLASSIFICATION, EXTERNAL_IDENTIFIER = f"{{{RIM}}}Classification", f"{{{RIM}}}ExternalIdentifier"
EXTRINSIC_OBJECT, REGISTRY_PACKAGE = f"{{{RIM}}}ExtrinsicObject", f"{{{RIM}}}RegistryPackage"
ASSOCIATION, OBJECT_REF = f"{{{RIM}}}Association", f"{{{RIM}}}ObjectRef"
REGISTRY_OBJECT_LIST, VERSION_INFO = f"{{{RIM}}}RegistryObjectList", f"{{{RIM}}}VersionInfo"
VALUE, LOCALIZED_STRING = f"{{{RIM}}}Value", f"{{{RIM}}}LocalizedString"
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
SPACE = " \t\r\n"
"""White space of XML around a value, which is not part of it; a no-break or ideographic space is."""


def normal_id(value: str) -> str:
    """An id as we compare and store it: UUIDs in lower case, symbolic ids as sent (ITI TF-3 4.2.3.1.5)."""
    value = value.strip(SPACE)
    return value.lower() if value[:9].lower() == "urn:uuid:" else value
