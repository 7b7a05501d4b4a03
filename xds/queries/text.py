"""How texts compare in a stored query: Unicode NFC (ITI TF-2 Appendix F) and SQL LIKE (ITI TF-2 3.18.4.1.2.3.5).

Several values of one attribute (authors, references) are searched as lines of one text, each between line feeds, so
that one pattern finds a whole value among them: a line feed inside a value or a pattern counts as a space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from xds.metadata.text import nfc

_METACHARACTERS = frozenset(".^$*+?()[]{}|\\")
_WILDCARD_RUN = re.compile("%+")
ANY = "[^\n]"


def line(value: str) -> str:
    """One value as it stands among the lines: NFC, without a line feed."""
    return nfc(value).replace("\n", " ")


def like_pattern(patterns: Iterable[str], *, backtracking: bool = True) -> str:
    """Translate LIKE patterns into one regular expression for text in lines.

    `%` stands for any run of characters within a value, `_` for one; there is no escape character; case counts.

    Args:
        patterns: alternatives.
        backtracking: for an engine that goes back (Python's `re`): every run up to the next fixed part is made atomic,
            or `%a%a%a%a%b` would take exponential time. An engine without atomic groups and without that weakness
            (PostgreSQL's) gets plain runs.
    """
    return _lines(_like(_WILDCARD_RUN.split(line(pattern)), backtracking=backtracking) for pattern in patterns)


def exact_pattern(values: Iterable[str]) -> str:
    """A regular expression that finds one of several values, exactly, in text in lines."""
    return _lines("".join(map(_escape, line(value))) for value in values)


def _lines(alternatives: Iterable[str]) -> str:
    return f"\n(?:{'|'.join(alternatives)})\n"


def _like(parts: list[str], *, backtracking: bool) -> str:
    first, *inner, last = map(_fixed, parts) if len(parts) > 1 else (_fixed(parts[0]), None)
    if last is None:
        return first
    # The leftmost place for each part is as good as any other, so that nothing is lost by never going back to it.
    run = "(?>{any}*?{part})" if backtracking else "{any}*{part}"
    return first + "".join(run.format(any=ANY, part=part) for part in inner) + f"{ANY}*{last}"


def _fixed(part: str) -> str:
    return "".join(ANY if char == "_" else _escape(char) for char in part)


def _escape(char: str) -> str:
    return f"\\{char}" if char in _METACHARACTERS else char
