"""Plots as SVG, written by hand: bars and lines, readable on light and dark pages, nothing to install."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

PALETTE = ("#2f6fb3", "#d9822b", "#3f9a5f", "#a14db0", "#c23b4a", "#6b7785", "#8a6d1d", "#1d8a8a")
_FONT = 'font-family="system-ui, sans-serif" fill="#6b7785"'
_WIDTH, _ROW, _LABEL = 860, 22, 300


def _document(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}" {_FONT} font-size="12">\n'
        f'<text x="8" y="20" font-size="15">{escape(title)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str = 'stroke="#9aa5b1" stroke-width="0.5"') -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def legend(names: Sequence[str], x: float, y: float) -> list[str]:
    """A coloured square and a name each, one below the other."""
    parts = []
    for number, name in enumerate(names):
        colour = PALETTE[number % len(PALETTE)]
        parts.append(f'<rect x="{x:.1f}" y="{y + number * 16 - 9:.1f}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(x + 15, y + number * 16, name))
    return parts


def bars(
    title: str, rows: Mapping[str, Mapping[str, float]], *, most: float, marks: Mapping[str, float] | None = None
) -> str:
    """Horizontal bars, a group for each row, a colour for each series.

    Args:
        title: above the plot.
        rows: name -> series -> value.
        most: value at the right edge; longer bars are cut there.
        marks: name -> value of a tick on the row, such as a target.
    """
    series = list(dict.fromkeys(name for row in rows.values() for name in row))
    thick = max(4.0, (_ROW - 6) / max(1, len(series)))
    scale, top = (_WIDTH - _LABEL - 60) / most, 40 + 16 * len(series)
    parts = legend(series, _LABEL, 40)
    for place, (name, row) in enumerate(rows.items()):
        y = top + place * _ROW
        parts.append(_text(_LABEL - 8, y + _ROW / 2 + 2, name, "end"))
        for number, one in enumerate(series):
            if one in row:
                length = min(row[one], most) * scale
                at = y + 2 + number * thick
                parts.append(
                    f'<rect x="{_LABEL}" y="{at:.1f}" width="{length:.1f}" height="{thick - 1:.1f}" '
                    f'fill="{PALETTE[number % len(PALETTE)]}"><title>{escape(one)}: {row[one]:.2f}</title></rect>'
                )
        if marks and name in marks:
            x = _LABEL + marks[name] * scale
            parts.append(_line(x, y, x, y + _ROW - 3, 'stroke="#c23b4a" stroke-width="2"'))
    bottom = top + len(rows) * _ROW + 6
    steps = [most * number / 4 for number in range(5)]
    for value in steps:
        x = _LABEL + value * scale
        parts += [_line(x, top, x, bottom), _text(x, bottom + 14, f"{value:g}", "middle")]
    return _document(_WIDTH, bottom + 24, title, parts)


def lines(title: str, series: Mapping[str, Mapping[float, float]], unit: str) -> str:
    """Lines over powers of ten.

    Args:
        title: above the plot.
        series: name -> x -> y; x is shown as a power of ten.
        unit: of y.
    """
    left, top, width, height = 50.0, 40.0, 520.0, 300.0
    xs = sorted({x for line in series.values() for x in line})
    most = max((y for line in series.values() for y in line.values()), default=1.0) * 1.1
    low, span = math.log10(xs[0]), max(1e-9, math.log10(xs[-1]) - math.log10(xs[0]))
    parts = legend(list(series), left + width + 20, top + 8)
    for x in xs:
        at = left + (math.log10(x) - low) / span * width
        parts += [_line(at, top, at, top + height), _text(at, top + height + 16, f"10^{math.log10(x):.0f}", "middle")]
    for number in range(5):
        y = top + height - height * number / 4
        parts += [_line(left, y, left + width, y), _text(left - 6, y + 4, f"{most * number / 4:.2g}", "end")]
    parts.append(_text(left, top - 6, unit))
    for number, line in enumerate(series.values()):
        points = " ".join(
            f"{left + (math.log10(x) - low) / span * width:.1f},{top + height - y / most * height:.1f}"
            for x, y in sorted(line.items())
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{PALETTE[number % len(PALETTE)]}" stroke-width="2"/>'
        )
    return _document(left + width + 280, top + height + 30, title, parts)


def stacks(title: str, columns: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """A bar for each column, made of its parts.

    Args:
        title: above the plot.
        columns: name -> part -> value.
        unit: of the values.
    """
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    most = max((sum(column.values()) for column in columns.values()), default=1.0)
    left, top, height, step = 60.0, 40.0, 300.0, 70.0
    parts = [*legend(names, left + step * len(columns) + 20, top + 8), _text(left, top - 6, unit)]
    for place, (name, column) in enumerate(columns.items()):
        y = top + height
        for part, value in column.items():
            tall = value / most * height
            y -= tall
            colour = PALETTE[names.index(part) % len(PALETTE)]
            parts.append(
                f'<rect x="{left + place * step:.1f}" y="{y:.1f}" width="{step - 16:.0f}" height="{tall:.1f}" '
                f'fill="{colour}"><title>{escape(part)}: {value:.0f}</title></rect>'
            )
        middle = left + place * step + (step - 16) / 2
        parts += [
            _text(middle, top + height + 16, name, "middle"),
            _text(middle, y - 4, f"{sum(column.values()):.0f}", "middle"),
        ]
    return _document(left + step * len(columns) + 320, top + max(height + 30, 16 * len(names) + 20), title, parts)
