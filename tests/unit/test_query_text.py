"""LIKE as stored queries know it (ITI TF-2 3.18.4.1.2.3.5): `%`, `_`, no escape character, whole value, case counts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds.queries.text import exact_pattern, like_pattern, line

CASES = {
    # name: pattern, value, does it match
    "whole value": ("Welby", "Welby", True),
    "not a part": ("Welby", "^Welby", False),
    "run at both ends": ("%Welby%", "11375^Welby^Marcus", True),
    "run may be empty": ("%Welby%", "Welby", True),
    "run in between": ("^W%s", "^Welby^Marcus", True),
    "run only": ("%", "x", True),
    "several runs": ("%%W%%y%%", "^Welby^", True),
    "parts in order": ("%b%a%", "ab", False),
    "parts do not overlap": ("aba%ba", "abba", False),
    "end must be left over": ("%ab%b", "ab", False),
    "the end is the last place": ("%ab%ab", "abxxab", True),
    "one character": ("W_lby", "Welby", True),
    "one character is not none": ("W_elby", "Welby", False),
    "one character in a run": ("%_b", "ab", True),
    "case counts": ("%welby%", "^Welby", False),
    "a point is a point": ("a.b", "axb", False),
    "a backslash does not escape": ("100\\%", "100%", False),
    "metacharacters": ("%(a|b)*[c]{d}^$+?\\", "x(a|b)*[c]{d}^$+?\\", True),
    "composed and decomposed": ("%M\u00fcller%", "^Mu\u0308ller", True),
    "line feed is a space": ("a\nb", "a b", True),
}


def matches(pattern: str, value: str, **options: bool) -> bool:
    return bool(re.search(like_pattern([pattern], **options), f"\n{line(value)}\n"))


@pytest.mark.parametrize("backtracking", [True, False])
@pytest.mark.parametrize(("pattern", "value", "expected"), CASES.values(), ids=CASES)
def test_like(pattern, value, expected, backtracking):
    assert matches(pattern, value, backtracking=backtracking) is expected


def like(pattern: str, value: str) -> bool:
    """LIKE by its definition."""
    if not pattern:
        return not value
    if pattern[0] == "%":
        return any(like(pattern[1:], value[start:]) for start in range(len(value) + 1))
    return bool(value) and pattern[0] in {"_", value[0]} and like(pattern[1:], value[1:])


@given(st.text("ab_%", min_size=1, max_size=8), st.text("ab", min_size=1, max_size=8))
def test_like_is_what_the_definition_says(pattern, value):
    """Atomic runs lose nothing."""
    assert matches(pattern, value) == matches(pattern, value, backtracking=False) == like(pattern, value)


@pytest.mark.timeout(10)
def test_a_hostile_pattern_takes_no_time():
    assert not matches("%a" * 120 + "b", "a" * 256)
    assert not matches("%".join("_" * 128) + "b", "a" * 256)


def test_any_line_may_match():
    assert re.search(like_pattern(["x", "b_d"]), "\na\nbcd\ne\n")


def test_a_pattern_does_not_reach_into_the_next_line():
    assert not re.search(like_pattern(["a%b"]), "\na\nb\n")


def test_one_of_several_exact_values():
    pattern = exact_pattern(["a.b", "50%_"])
    assert re.search(pattern, "\nx\n50%_\n")
    assert not re.search(pattern, "\naxb\n50%x\na.bc\n")
