"""Small SVG plots for the page of a report. Colours are classes of the page, so that they follow light and dark."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite, log10

HEIGHT = 180
_LEFT, _BOTTOM, _TOP = 38, 22, 10


def bars(rows: Sequence[tuple[str, float, str]], unit: str) -> str:
    """A bar for each row of label, value and CSS class; what a bar stands for is said when one points at it."""
    finite = [value for _, value, _ in rows if isfinite(value)]
    top = _nice(max([*finite, 1.0]))
    step = max(7.0, min(28.0, 620 / max(len(rows), 1)))
    width = _LEFT + step * len(rows) + 8
    parts = [_grid(width, top, unit)]
    for i, (label, value, kind) in enumerate(rows):
        shown = min(max(value, 0.0), top)
        high = (HEIGHT - _BOTTOM - _TOP) * shown / top
        x, y = _LEFT + i * step, HEIGHT - _BOTTOM - high
        text = f"{label}: {value:.1f} {unit}" if isfinite(value) else f"{label}: exact"
        parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{step * 0.8:.1f}" height="{max(high, 1):.1f}">'
            f"<title>{escape(text)}</title></rect>"
        )
    return _svg(width, parts, f"{len(rows)} bars, in {unit}")


def histogram(title: str, counts: Sequence[float], low: float, high: float, marks: Sequence[float] = ()) -> str:
    """Counts on a logarithmic scale from `low` to `high`, with lines at the marks."""
    width, floor = 240.0, 120.0
    most = max([*counts, 1.0])
    step = width / max(len(counts), 1)
    parts = []
    for i, count in enumerate(counts):
        tall = (floor - 10) * log10(1 + 999 * count / most) / 3
        if tall > 0:
            parts.append(f'<rect class="a" x="{i * step:.1f}" y="{floor - tall:.1f}" width="{step:.1f}" height="{tall:.1f}"/>')
    span = (high - low) or 1.0
    for mark in marks:
        x = min(max((mark - low) / span, 0.0), 1.0) * width
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{floor}"><title>{mark:.4g}</title></line>')
    parts.append(f'<line class="axis" x1="0" x2="{width}" y1="{floor}" y2="{floor}"/>')
    parts.append(f'<text x="{width}" y="12" text-anchor="end">{escape(title)}</text>')
    parts.append(f'<text x="0" y="{floor + 14}">{low:.3g}</text>')
    parts.append(f'<text x="{width}" y="{floor + 14}" text-anchor="end">{high:.3g}</text>')
    return _svg(width, parts, f"histogram of {title} from {low:.3g} to {high:.3g}", floor + 18)


def scatter(points: Sequence[tuple[str, float, float]], x_unit: str) -> str:
    """Labelled points, x from zero, y from a little below the lowest."""
    width, right = 640.0, 600.0
    most = max(x for _, x, _ in points) or 1.0
    lowest, highest = min(y for _, _, y in points), max(y for _, _, y in points)
    slack = max((highest - lowest) * 0.15, 1e-4)
    lowest, highest = lowest - slack, highest + slack
    floor = HEIGHT - _BOTTOM
    parts = [f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{floor}" y2="{floor}"/>']
    for share in (0.0, 0.5, 1.0):
        y = floor - (floor - _TOP) * share
        value = lowest + (highest - lowest) * share
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{value:.3f}</text>')
        x = _LEFT + (right - _LEFT) * share
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{most * share:.2g} {x_unit}</text>')
    for label, size, value in points:
        x = _LEFT + (right - _LEFT) * size / most
        y = floor - (floor - _TOP) * (value - lowest) / (highest - lowest)
        about = escape(f"{label}: {size:.3g} {x_unit}, {value:.4f}")
        parts.append(f'<circle class="a" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{about}</title></circle>')
        parts.append(f'<text x="{x:.1f}" y="{y - 9:.1f}" text-anchor="middle">{escape(label)}</text>')
    return _svg(width, parts, f"{len(points)} points: size and accuracy")


def _grid(width: float, top: float, unit: str) -> str:
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * share
        lines.append(f'<line class="{"grid" if share else "axis"}" x1="{_LEFT}" x2="{width - 8:.1f}" y1="{y}" y2="{y}"/>')
        lines.append(f'<text x="{_LEFT - 4}" y="{y + 4}" text-anchor="end">{top * share:g}</text>')
    return "".join(lines) + f'<text x="2" y="{HEIGHT - 4}">{escape(unit)}</text>'


def _nice(value: float) -> float:
    """The next of 10, 20, 30, .. above."""
    return 10.0 * -(-value // 10)


def _svg(width: float, parts: Sequence[str], about: str, height: float = HEIGHT) -> str:
    head = f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img"'
    return f'{head} aria-label="{escape(about)}">{"".join(parts)}</svg>'
