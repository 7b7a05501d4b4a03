"""A SubmitObjectsRequest as far as the message alone can tell: schema, shape, structure (ITI TF-2 3.42.4.1.3).

The Registry begins every registration here, and whoever has no registry ends here; so both say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from xds.ebxml import rim
from xds.ebxml.schema import validate
from xds.ebxml.xml import Element
from xds.errors import Code, XDSError
from xds.metadata import rules
from xds.metadata.rules import Facts, Finding, Message

SCHEMA_SECTION = "ITI TF-3 4.2.3.1; ebRS 3.0 lcm.xsd, rim.xsd"
SHAPE_SECTION = "ITI TF-3 4.2.3.1"


@dataclass(frozen=True)
class Examination:
    """What the message alone can tell.

    Attributes:
        message: its objects, as far as they were understood.
        structure: faults after which nothing else is looked at, since the rest would only repeat them.
        shape: faults of single objects, to be reported together with those of their values.
        schema: faults of the XML; they end the examination as well.
    """

    message: Message
    structure: tuple[Finding, ...]
    shape: tuple[Finding, ...]
    schema: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Whether the rules of content can be applied."""
        return not self.structure and not self.schema

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them: structure, shape, schema."""
        return (*self.structure, *self.shape, *self.schema)


def examine(request: Element, facts: Facts) -> Examination:
    """Examine a submission's schema, shape and structure; a fault of one does not hide those of the others.

    Args:
        request: the lcm:SubmitObjectsRequest element; it is not changed.
        facts: the affinity domain, and whether it is ITI-61.
    """
    invalid = (
        XDSError(Code.XDSRegistryMetadataError, str(violation), violation.location) for violation in validate(request)
    )
    schema = tuple(Finding(error, SCHEMA_SECTION) for error in invalid)
    submission, shape = rim.decode_submission(request)
    message = Message(submission)
    structure = rules.find(rules.STRUCTURE, message, facts)
    return Examination(message, tuple(structure), tuple(Finding(error, SHAPE_SECTION) for error in shape), schema)


def examine_alone(request: Element, facts: Facts) -> tuple[Finding, ...]:
    """Everything that can be found without a registry: what `examine` finds, then the values and what must agree."""
    examination = examine(request, facts)
    if not examination.is_sound:
        return examination.findings
    return (*examination.shape, *rules.find(rules.CONTENT_ALONE, examination.message, facts))
