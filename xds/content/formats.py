"""What a document is by its templates and codes: tables (PCC TF-2; IHE FormatCode code system; HL7 C-CDA R2.1).

An affinity domain decides which codes are legal; these tables only propose, and `entry` takes what the domain knows.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from xds.metadata.model import Code, LocalizedString

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LOINC = "2.16.840.1.113883.6.1"
CONFIDENTIALITY = "2.16.840.1.113883.5.25"
IHE_FORMAT = "1.3.6.1.4.1.19376.1.2.3"
HL7_FORMAT = "2.16.840.1.113883.6.345"
IHE_CLASS = "1.3.6.1.4.1.19376.1.2.6.1"
WST500 = "2.16.156.10011.2.4"

MIME_TYPE_SUFFICIENT = Code(
    "urn:ihe:iti:xds:2017:mimeTypeSufficient", IHE_FORMAT, LocalizedString("mimeType Sufficient")
)
"""formatCode of what needs no format beyond its media type (ITI TF-3 4.2.3.2.9)."""

_PCC = "1.3.6.1.4.1.19376.1.5.3.1.1"
_CCDA = "2.16.840.1.113883.10.20.22.1.1"
_CCDA_UNSTRUCTURED = "2.16.840.1.113883.10.20.22.1.10"
_SCANNED = "1.3.6.1.4.1.19376.1.2.20"
_CCDA_RELEASES = (("2015-08-01", "2.1"), ("", "1.1"))  # newest first: a 2.1 document also carries the ids of 1.1

TEMPLATES: tuple[tuple[str, str], ...] = (
    (f"{_PCC}.7.1", "urn:ihe:iti:bppc-sd:2007"),
    (f"{_PCC}.7", "urn:ihe:iti:bppc:2007"),
    ("1.3.6.1.4.1.19376.1.3.3", "urn:ihe:lab:xd-lab:2008"),
    ("2.16.840.1.113883.10.22.1.1", "urn:ihe:pcc:ips:2020"),
    (f"{_PCC}.13.1.4", "urn:ihe:pcc:edes:2007"),
    (f"{_PCC}.10", "urn:ihe:pcc:edr:2007"),
    (f"{_PCC}.5", "urn:ihe:pcc:xphr:2007"),
    (f"{_PCC}.6", "urn:ihe:pcc:xphr:2007"),
    (f"{_PCC}.4", "urn:ihe:pcc:xds-ms:2007"),
    (f"{_PCC}.3", "urn:ihe:pcc:xds-ms:2007"),
    (f"{_PCC}.2", "urn:ihe:pcc:xds-ms:2007"),
)
"""Document template -> IHE formatCode; the more special first, as a document carries its base templates too."""


def format_codes(template_ids: Collection[tuple[str, str]], embedded: str | None) -> tuple[Code, ...]:
    """Propose formatCodes for a CDA document, best first.

    Args:
        template_ids: root and extension of each ClinicalDocument/templateId.
        embedded: media type of a nonXMLBody; None for a structured one.
    """
    roots = {root for root, _ in template_ids}
    found = [Code(code, IHE_FORMAT) for template, code in TEMPLATES if template in roots]
    if _SCANNED in roots and embedded:
        kind = "pdf" if embedded == "application/pdf" else "text"
        found.append(Code(f"urn:ihe:iti:xds-sd:{kind}:2008", IHE_FORMAT))
    unstructured = embedded is not None or _CCDA_UNSTRUCTURED in roots
    body = "nonXMLBody" if unstructured else "structuredBody"
    for extension, release in _CCDA_RELEASES:
        if (_CCDA, extension) in template_ids:
            found.append(Code(f"urn:hl7-org:sdwg:ccda-{body}:{release}", HL7_FORMAT))
    return tuple(found)


_DISCHARGE_SUMMARY = Code("18842-5", LOINC, LocalizedString("Discharge summary"))

GENERAL_TYPES: Mapping[str, Code] = MappingProxyType(
    {
        f"C0053^^{WST500}": _DISCHARGE_SUMMARY,  # 出院小结
        f"C0049^^{WST500}": _DISCHARGE_SUMMARY,  # 出院记录
        f"34105-7^^{LOINC}": _DISCHARGE_SUMMARY,  # hospital
        f"28655-9^^{LOINC}": _DISCHARGE_SUMMARY,  # attending physician
        f"11490-0^^{LOINC}": _DISCHARGE_SUMMARY,  # physician
        f"34106-5^^{LOINC}": _DISCHARGE_SUMMARY,  # physician, hospital
    },
)
"""Type of a document -> the general type an affinity domain is likelier to know; used if it does not know the first."""


def _classes(name: str, display: str, loinc: str) -> dict[str, Code]:
    return {f"{code}^^{LOINC}": Code(name, IHE_CLASS, LocalizedString(display)) for code in loinc.split()}


CLASSES: Mapping[str, Code] = MappingProxyType(
    _classes(
        "SUMMARIES",
        "Summaries",
        "18842-5 34133-9 34105-7 28655-9 11490-0 34106-5 18761-7 57055-6 60591-5 57133-1 28651-8 57058-0",
    )
    | _classes("REPORTS", "Reports", "11488-4 34117-2 11506-3 28570-0 11504-8 18748-4 11502-2 11528-7 26436-6 34746-8")
    | _classes("PLANS", "Treatment Plan or Protocol", "52521-2 56447-6")
    | _classes("PRESCRIPTIONS", "Prescribed Treatments and Diagnoses", "57833-6")
    | _classes("DISPENSATIONS", "Dispensations", "60593-1"),
)
"""typeCode -> classCode of the IHE document classes, for affinity domains that use these."""

SEXES: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("2.16.840.1.113883.5.1", "M"): "M",
        ("2.16.840.1.113883.5.1", "F"): "F",
        ("2.16.840.1.113883.5.1", "UN"): "O",  # undifferentiated is known, and neither of the two
        ("2.16.156.10011.2.3.3.4", "1"): "M",  # GB/T 2261.1
        ("2.16.156.10011.2.3.3.4", "2"): "F",
        ("2.16.156.10011.2.3.3.4", "0"): "U",
        ("2.16.156.10011.2.3.3.4", "9"): "U",
    },
)
"""administrativeGenderCode -> PID-8, HL7 table 0001."""
