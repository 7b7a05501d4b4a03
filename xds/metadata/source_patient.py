"""sourcePatientInfo: demographics of the patient at the source, one HL7 PID field per value (ITI TF-3 4.2.3.2.23)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

from xds.metadata.dtm import parse_dtm
from xds.metadata.hl7 import CX, Hl7, components
from xds.metadata.text import reading, shown

LAST_PID_FIELD = 39
ONCE = (7, 8)  # date of birth, sex


@dataclass(frozen=True, slots=True)
class SourcePatientField(Hl7):
    """One value of sourcePatientInfo, `PID-n|field` (ITI TF-3 4.2.3.2.23).

    Attributes:
        number: n, from 1 to 39.
        field: the HL7 field as on the wire; may be empty, may repeat with `~`.
    """

    FORM: ClassVar[str] = "PID-n|HL7 field"

    number: int
    field: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one value; PID-3 must be CX, PID-7 DTM, PID-8 of HL7 table 0001.

        Raises:
            ValueError: if the name is no PID field or the content is not of its type.
        """
        with reading("SourcePatientInfo", cls.FORM, text):
            name, bar, field = text.partition("|")
            number = _PID_NUMBERS.get(name)
            if number is None or not bar:
                raise ValueError(f"it does not start with PID-1| to PID-{LAST_PID_FIELD}|")
            components(field.replace("~", "^"))
            if number in ONCE and "~" in field:
                raise ValueError(f"{name} repeats")
            if field and number in _PID_PARSERS:
                for repetition in field.split("~"):
                    _PID_PARSERS[number](repetition)
            return cls(number, field)

    def format(self) -> str:
        """Write it, without trailing empty components."""
        return f"PID-{self.number}|{self.field}"


def _parse_sex(text: str) -> str:
    if text.rstrip("^") not in {"F", "M", "O", "U", "A", "N"}:
        raise ValueError(f"{shown(text)} is no administrative sex F, M, O, U, A or N (HL7 table 0001)")
    return text


_PID_NUMBERS = {f"PID-{number}": number for number in range(1, LAST_PID_FIELD + 1)}
_PID_PARSERS: dict[int, Callable[[str], object]] = {
    3: CX.parse,
    7: lambda text: parse_dtm(text.rstrip("^")),
    8: _parse_sex,
}
