"""Draws CPU per request as an SVG of horizontal bars, by hand: no plotting library needed.

One panel per scenario, one bar per server, a thin line from the lowest to the highest round. A bar too long
for the panel is cut off and carries its figure, so that one slow server does not flatten the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from loadtest.stats import Row

WIDTH = 760
LABEL = 150
FIGURES = 120
BAR = 16
GAP = 6
PANEL_HEAD = 34
# The longest bar shown in full, as a multiple of the panel's median server.
CUT = 2.5

SUBJECT_COLOUR = "#c2410c"
PEER_COLOUR = "#94a3b8"
STYLE = "text{font:12px sans-serif;fill:#1e293b}.h{font-weight:bold;font-size:14px}"


def panel(title: str, rows: Sequence[Row], subject: str, top: int) -> tuple[list[str], int]:
    """Return one panel's elements and the y where the next begins; rows: valid, in drawing order."""
    middle = sorted(row.figure("cpu_us").median for row in rows)[len(rows) // 2]
    longest = max(row.figure("cpu_us").highest for row in rows)
    scale = (WIDTH - LABEL - FIGURES) / min(longest, CUT * middle)
    out = [f'<text class="h" x="0" y="{top + 18}">{escape(title)}</text>']
    y = top + PANEL_HEAD
    for row in rows:
        cpu = row.figure("cpu_us")
        length = min(cpu.median * scale, WIDTH - LABEL - FIGURES)
        cut = " …" if length < cpu.median * scale else ""
        colour = SUBJECT_COLOUR if row.server == subject else PEER_COLOUR
        out.append(f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(row.server)}</text>')
        out.append(f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
        if not cut:
            low, high = LABEL + cpu.lowest * scale, min(LABEL + cpu.highest * scale, WIDTH - FIGURES)
            out.append(f'<path d="M{low:.1f} {y + BAR // 2}H{high:.1f}" stroke="#1e293b"/>')
        out.append(f'<text x="{WIDTH - FIGURES + 8}" y="{y + 12}">{cpu.median:,.1f} µs{cut}</text>')
        y += BAR + GAP
    return out, y + GAP


def draw(groups: Sequence[tuple[str, Sequence[Row]]], subject: str) -> str:
    """Return an SVG document; groups: per scenario a title and its rows at one number of connections."""
    out: list[str] = []
    y = 8
    for title, rows in groups:
        valid = sorted((row for row in rows if row.valid), key=lambda row: row.figure("cpu_us").median)
        if valid:
            elements, y = panel(title, valid, subject, y)
            out += elements
    size = f'width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *out, "</svg>", ""])
