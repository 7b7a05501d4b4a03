"""Fixed identifiers: namespaces, UUIDs and URNs (ITI TF-3 4.2.5; ITI TF-2 Appendix V; ebRIM 3.0).

UUIDs carry their `urn:uuid:` prefix, as on the wire.
"""

from __future__ import annotations

from enum import StrEnum

# Namespaces
RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
RS = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"
LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
QUERY = "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"
XDSB = "urn:ihe:iti:xds-b:2007"
SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
XOP = "http://www.w3.org/2004/08/xop/include"
WSA_ANONYMOUS = f"{WSA}/anonymous"

# Objects and node classifications (Table 4.2.5.2-1, 4.2.5.2-2)
STABLE = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
ON_DEMAND = "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248"
SUBMISSION_SET_NODE = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"
FOLDER_NODE = "urn:uuid:d9d542f3-6cc4-48b6-8870-ea235fbc94c2"
LIMITED_METADATA_NODES = frozenset(
    {
        "urn:uuid:ab9b591b-83ab-4d03-8f5d-f93b1fb92e85",  # DocumentEntry
        "urn:uuid:5003a9db-8d8d-49e6-bf0c-990e34ac7707",  # SubmissionSet
        "urn:uuid:2c144a76-29a9-4b7c-af54-b25409fe7d03",  # Folder
    },
)
ASSOCIATION_DOCUMENTATION_SCHEME = "urn:uuid:abd807a3-4432-4053-87b4-fd82c643d1f3"

_OBJECT_TYPE = "urn:oasis:names:tc:ebxml-regrep:ObjectType:RegistryObject:"
CLASSIFICATION_TYPE = _OBJECT_TYPE + "Classification"
EXTERNAL_IDENTIFIER_TYPE = _OBJECT_TYPE + "ExternalIdentifier"
REGISTRY_PACKAGE_TYPE = _OBJECT_TYPE + "RegistryPackage"
ASSOCIATION_TYPE = _OBJECT_TYPE + "Association"


class AvailabilityStatus(StrEnum):
    """availabilityStatus (ITI TF-3 4.2.3.2.2)."""

    APPROVED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
    DEPRECATED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated"


class AssociationType(StrEnum):
    """Associations a source may submit in ITI-41, 42 and 61 (ITI TF-3 Table 4.2.2-1)."""

    HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
    RPLC = "urn:ihe:iti:2007:AssociationType:RPLC"
    XFRM = "urn:ihe:iti:2007:AssociationType:XFRM"
    APND = "urn:ihe:iti:2007:AssociationType:APND"
    XFRM_RPLC = "urn:ihe:iti:2007:AssociationType:XFRM_RPLC"
    SIGNS = "urn:ihe:iti:2007:AssociationType:signs"
    IS_SNAPSHOT_OF = "urn:ihe:iti:2010:AssociationType:IsSnapshotOf"


REPLACEMENTS = frozenset({AssociationType.RPLC, AssociationType.XFRM_RPLC})
RELATIONSHIPS = frozenset(AssociationType) - {AssociationType.HAS_MEMBER}
DOCUMENTED = frozenset({AssociationType.RPLC, AssociationType.XFRM, AssociationType.APND, AssociationType.XFRM_RPLC})

EMPTY_SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
