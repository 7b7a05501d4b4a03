"""The rules a registration must pass (ITI TF-2 3.42.4.1.3; TF-3 4.1.4, 4.2.2, 4.2.3, 4.3.1).

Each rule is one small generator that yields an XDSError per fault; `STRUCTURE` and `CONTENT` list them in the order of
the phases. A fault of structure ends the examination, since the rest would only repeat it; everything else is reported
together. Rules do no I/O: what the registry already knows comes in as `Facts`.
"""

from __future__ import annotations

from xds.errors import XDSError
from xds.metadata.rules.message import (
    Facts,
    Finding,
    Identified,
    Message,
    Registered,
    Rule,
    citation,
    is_uuid,
    parts,
    patient_key,
    patient_of,
)
from xds.metadata.rules.registered import REGISTERED, TOGETHER
from xds.metadata.rules.structure import STRUCTURE
from xds.metadata.rules.values import VALUES

__all__ = [
    "CONTENT",
    "CONTENT_ALONE",
    "STRUCTURE",
    "Facts",
    "Finding",
    "Identified",
    "Message",
    "Registered",
    "check",
    "citation",
    "find",
    "is_uuid",
    "parts",
    "patient_key",
    "patient_of",
]

CONTENT_ALONE: tuple[Rule, ...] = (*VALUES, *TOGETHER)
"""What can be said of a message without a registry, once its structure is right."""

CONTENT: tuple[Rule, ...] = (*CONTENT_ALONE, *REGISTERED)
"""Everything that is reported together once the structure is right."""


def find(rules: tuple[Rule, ...], message: Message, facts: Facts) -> list[Finding]:
    """Apply one phase's rules and collect every fault once, with the section of the standard it breaks."""
    found = (Finding(error, citation(rule)) for rule in rules for error in rule(message, facts))
    return list(dict.fromkeys(found))


def check(rules: tuple[Rule, ...], message: Message, facts: Facts) -> list[XDSError]:
    """Apply one phase's rules and collect every fault."""
    return [finding.error for finding in find(rules, message, facts)]
