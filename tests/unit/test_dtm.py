"""DTM: every precision, order, the present time, and local times made UTC."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds.metadata.datatypes import DATATYPES
from xds.metadata.dtm import dtm_not_after, dtm_now, to_utc
from xds.metadata.text import shown

_moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001 - both ends of the calendar
_precision = st.sampled_from([4, 6, 8, 10, 12, 14])


def _dtm(moment, digits=14):
    return f"{moment.year:04}{moment:%m%d%H%M%S}"[:digits]


@given(_moments, _precision)
def test_every_moment_is_a_dtm_at_every_precision(moment, digits):
    assert DATATYPES["DTM"].check(_dtm(moment, digits)) is None


@given(_moments, _moments, _precision, _precision)
def test_order_of_times_is_that_of_the_digits_both_have(one, other, digits, others):
    common = min(digits, others)
    expected = _dtm(one, common) <= _dtm(other, common)
    assert dtm_not_after(_dtm(one, digits), _dtm(other, others)) == expected
    if one <= other:
        assert dtm_not_after(_dtm(one, digits), _dtm(other, others))


def test_a_year_is_not_after_a_month_in_it():
    """serviceStartTime 2025, serviceStopTime 202503 (ITI TF-3 4.2.3.2.19)."""
    assert dtm_not_after("2025", "202503")
    assert dtm_not_after("202503", "2025")
    assert not dtm_not_after("202504", "202503")
    assert not dtm_not_after("2026", "20251231")


def test_now_is_a_dtm_of_14_digits_in_utc():
    now = dtm_now()
    assert DATATYPES["DTM"].check(now) is None
    assert abs(datetime.strptime(now, "%Y%m%d%H%M%S").replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(seconds=5)


SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("20251117093045.123+0800", "20251117013045"),
        ("20251117093045.9", "20251117013045"),
        ("20251117093045+0000", "20251117093045"),
        ("20251117003045-0330", "20251117040045"),
        ("202511170030", "202511161630"),
        ("2025111700", "2025111616"),
        ("2025010107+0800", "2024123123"),
        ("2025111709+0530", "2025111703"),  # cut to the hour
        ("20251117+0800", "20251117"),  # days are not shifted
        ("20251117", "20251117"),
        ("202511", "202511"),
        ("2025", "2025"),
        ("09991231235959+0000", "09991231235959"),
    ],
)
def test_local_times_become_utc_with_their_precision(time, expected):
    assert to_utc(time, SHANGHAI) == expected


@pytest.mark.parametrize(
    "time",
    [
        "",
        "2025-11-17",
        "20251117093045Z",
        "20251117093045.",
        "2025.5",
        "20251317",
        "20251117093045+08",
        "20251117093045+2500",
        "00010101000000+0800",
        "99991231235959-0800",
        "202511170930451",
    ],
)
def test_what_is_no_time_is_refused(time):
    with pytest.raises(ValueError, match=re.escape(shown(time))):
        to_utc(time, SHANGHAI)


@given(_moments, st.integers(-14 * 60, 14 * 60))
def test_to_utc_agrees_with_datetime(moment, minutes):
    zone = timezone(timedelta(minutes=minutes))
    written = _dtm(moment) + f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    assert to_utc(written, UTC) == _dtm(moment.replace(tzinfo=zone).astimezone(UTC))
    assert to_utc(_dtm(moment), zone) == to_utc(written, UTC)
