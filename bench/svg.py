"""Plots as SVG, written by hand: bars and lines, readable on light and dark pages, nothing to install."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

PALETTE = (
    "#2f6fb3", "#d9822b", "#3f9a5f", "#a14db0", "#c23b4a", "#6b7785", "#8a6d1d", "#1d8a8a", "#e58fb8", "#9bb83a",
)  # fmt: skip
"""As many series as can be told apart."""
_FONT = 'font-family="system-ui, sans-serif" fill="#6b7785"'
_MARK = "#c23b4a"
_WIDTH, _ROW, _LABEL, _LEGEND = 860, 22, 300, 16


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


def _rect(x: float, y: float, width: float, height: float, colour: str, *, told: str = "") -> str:
    title = f"<title>{escape(told)}</title>" if told else ""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {size} fill="{colour}">{title}</rect>'


def _mark(x: float, y: float, height: float) -> str:
    return _line(x, y, x, y + height, f'stroke="{_MARK}" stroke-width="2"')


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each series.

    Raises:
        ValueError: more series than colours.
    """
    if len(names) > len(PALETTE):
        raise ValueError(f"{len(names)} series: no more than {len(PALETTE)} can be told apart")
    return dict(zip(names, PALETTE, strict=False))


def _legend(coloured: Mapping[str, str], x: float, y: float) -> Iterator[str]:
    """A coloured square and a name each, one below the other."""
    for number, (name, colour) in enumerate(coloured.items()):
        yield _rect(x, y + number * _LEGEND - 9, 10, 10, colour)
        yield _text(x + 15, y + number * _LEGEND, name)


def steps(most: float, count: int = 6) -> list[float]:
    """Values for the marks of an axis: round ones from 0 on, of which the last is `most` or more.

    Args:
        most: the largest value that is shown.
        count: steps at most.
    """
    least = max(most, 1e-9) / count
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10, 20) if power * nice >= least)
    return [step * number for number in range(math.ceil(round(most / step, 9)) + 1)]


def bars(title: str, rows: Mapping[str, Mapping[str, float]], marks: Mapping[str, float], mark: str) -> str:
    """Horizontal bars, a group for each row, a colour for each series.

    Args:
        title: above the plot.
        rows: name -> series -> value.
        marks: name -> value of a tick on the row.
        mark: what the ticks are called.
    """
    coloured = colours(list(dict.fromkeys(name for row in rows.values() for name in row)))
    shown = {name: value for name, value in marks.items() if name in rows}
    axis = steps(max([value for row in rows.values() for value in row.values()] + list(shown.values())))
    scale, top = (_WIDTH - _LABEL - 60) / axis[-1], 40 + _LEGEND * (len(coloured) + 1)
    bottom = top + len(rows) * _ROW + 6
    parts = [*_legend(coloured, _LABEL, 40), _mark(_LABEL + 5, top - 26, 12), _text(_LABEL + 15, top - 16, mark)]
    for value in axis:
        x = _LABEL + value * scale
        parts += [_line(x, top, x, bottom), _text(x, bottom + 14, f"{value:g}", "middle")]
    for place, (name, row) in enumerate(rows.items()):
        y = top + place * _ROW
        parts += [_text(_LABEL - 8, y + _ROW / 2 + 2, name, "end"), *_group(row, coloured, y, scale)]
        if name in shown:
            parts.append(_mark(_LABEL + shown[name] * scale, y, _ROW - 3))
    return _document(_WIDTH, bottom + 24, title, parts)


def _group(row: Mapping[str, float], coloured: Mapping[str, str], y: float, scale: float) -> Iterator[str]:
    thick = max(4.0, (_ROW - 6) / len(coloured))
    for number, (name, colour) in enumerate(coloured.items()):
        if name in row:
            told = f"{name}: {row[name]:.2f}"
            yield _rect(_LABEL, y + 2 + number * thick, row[name] * scale, thick - 1, colour, told=told)


def lines(title: str, series: Mapping[str, Mapping[float, float]], unit: str) -> str:
    """Lines over powers of ten.

    Args:
        title: above the plot.
        series: name -> x -> y; x is shown as a power of ten.
        unit: of y.
    """
    left, top, width, height = 50.0, 56.0, 520.0, 300.0
    xs = sorted({x for line in series.values() for x in line})
    axis = steps(max(y for line in series.values() for y in line.values()))
    low, span = math.log10(xs[0]), max(1e-9, math.log10(xs[-1]) - math.log10(xs[0]))
    across = {x: left + (math.log10(x) - low) / span * width for x in xs}
    coloured = colours(list(series))
    parts = [*_legend(coloured, left + width + 20, top + 8), _text(left, top - 10, unit)]
    for x, at in across.items():
        parts += [_line(at, top, at, top + height), _text(at, top + height + 16, f"10^{math.log10(x):.0f}", "middle")]
    for value in axis:
        y = top + height - value / axis[-1] * height
        parts += [_line(left, y, left + width, y), _text(left - 6, y + 4, f"{value:g}", "end")]
    for name, line in series.items():
        points = " ".join(f"{across[x]:.1f},{top + height - y / axis[-1] * height:.1f}" for x, y in line.items())
        parts.append(f'<polyline points="{points}" fill="none" stroke="{coloured[name]}" stroke-width="2"/>')
    return _document(left + width + 280, top + height + 30, title, parts)


def stacks(title: str, columns: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """A bar for each column, made of its parts.

    Args:
        title: above the plot.
        columns: name -> part -> value.
        unit: of the values.
    """
    coloured = colours(list(dict.fromkeys(name for column in columns.values() for name in column)))
    most = max(sum(column.values()) for column in columns.values())
    left, top, height, step = 20.0, 66.0, 300.0, 90.0
    parts = [*_legend(coloured, left + step * len(columns) + 20, top + 8), _text(left, top - 24, unit)]
    for place, (name, column) in enumerate(columns.items()):
        x, y = left + place * step, top + height
        for part, value in column.items():
            tall = value / most * height
            y -= tall
            parts.append(_rect(x, y, step - 20, tall, coloured[part], told=f"{part}: {value:.0f}"))
        middle = x + (step - 20) / 2
        parts += [
            _text(middle, top + height + 16, name, "middle"),
            _text(middle, y - 4, f"{sum(column.values()):.0f}", "middle"),
        ]
    return _document(left + step * len(columns) + 360, top + height + 30, title, parts)
