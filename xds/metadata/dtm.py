"""DTM, the time of the metadata: digits in UTC, of any precision from year to second (ITI TF-3 Table 4.2.3.1.7-2)."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from xds.metadata.text import reading, shown

DTM_FORM = "YYYY[MM[DD[hh[mm[ss]]]]] in UTC"

_DTM = re.compile(
    r"(?!0000)[0-9]{4}(?:(?:0[1-9]|1[0-2])(?:(?:0[1-9]|[12][0-9]|3[01])(?:(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){0,2})?)?)?"
)
_TS = re.compile(r"([0-9]{4}(?:[0-9]{2}){0,4}|([0-9]{14})(?:\.[0-9]+)?)(?:([+-])([0-9]{2})([0-5][0-9]))?")


def _dtm_fault(text: str) -> str:
    """Say why a text is no DTM; empty if it is one."""
    if not (text.isascii() and text.isdigit()):
        return "only digits may be there: UTC, no time zone, no fraction" if text else "it is empty"
    if len(text) not in (4, 6, 8, 10, 12, 14):
        return f"it has {len(text)} digits, not 4, 6, 8, 10, 12 or 14"
    year, month, *rest = (
        int(text[at : at + size] or 1) for at, size in ((0, 4), (4, 2), (6, 2), (8, 2), (10, 2), (12, 2))
    )
    if not (year and 1 <= month <= 12):  # noqa: PLR2004 - months
        return f"there is no month {month:02} in the year {year:04}"
    ranges = (("day", 1, monthrange(year, month)[1]), ("hour", 0, 23), ("minute", 0, 59), ("second", 0, 59))
    bad = (
        f"there is no {name} {part:02}"
        for part, (name, low, high) in zip(rest, ranges, strict=True)
        if not low <= part <= high
    )
    return next(bad, "")


def is_dtm(text: str) -> bool:
    """Decide fast whether a text is a DTM."""
    return bool(_DTM.fullmatch(text)) and (text[6:8] < "29" or not _dtm_fault(text))


def parse_dtm(text: str) -> str:
    """Check a DTM and give it back.

    Raises:
        ValueError: if it is no UTC time of 4, 6, 8, 10, 12 or 14 digits, or is not in the calendar.
    """
    with reading("DTM", DTM_FORM, text):
        if fault := _dtm_fault(text):
            raise ValueError(fault)
        return text


def dtm_now() -> str:
    """Give the present time as a DTM of 14 digits, UTC."""
    return f"{datetime.now(UTC):%Y%m%d%H%M%S}"


def dtm_not_after(one: str, other: str) -> bool:
    """Tell whether `one` is not after `other` in the digits both have: 2025 is not after 202503, nor before it."""
    digits = min(len(one), len(other))
    return one[:digits] <= other[:digits]


def to_utc(time: str, default_zone: tzinfo) -> str:
    """Convert an HL7 TS with zone and fraction, as in CDA headers, to a DTM (ITI TF-3 Table 4.2.3.1.7-2).

    Args:
        time: such as `20251117093045.123+0800`.
        default_zone: zone of times that name none.

    Returns:
        The DTM in UTC with the precision of `time`, fraction cut off. Year, month and day alone are not shifted, and
        hours are cut to the hour where the zone has half hours.

    Raises:
        ValueError: if `time` is no such time.
    """
    match = _TS.fullmatch(time)
    if not match:
        raise ValueError(f"{shown(time)} is no time: expected YYYY[MM[DD[hh[mm[ss[.f]]]]]][+hhmm|-hhmm]")
    digits = parse_dtm(match[2] or match[1])
    if len(digits) <= len("YYYYMMDD"):
        return digits
    try:
        zone = (
            timezone(int(f"{match[3]}1") * timedelta(hours=int(match[4]), minutes=int(match[5])))
            if match[3]
            else default_zone
        )
        moment = datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{shown(time)} cannot be converted to UTC: {error}") from None
    return f"{moment.year:04}{moment:%m%d%H%M%S}"[: len(digits)]
