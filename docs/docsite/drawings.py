# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Drawings as SVG that goes into a page and takes the page's colours, light and dark.

states(transitions)    a state machine, from its transition table
floors(layers)         a house, from import-linter's layers
flowchart(text)        a Mermaid flowchart, of the part of its language that our pages use

Laid out by Graphviz (`dot`), at build time: a page needs no script and no network.
"""

from __future__ import annotations

import html
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_HEAD = """digraph drawing {{
rankdir={direction}; bgcolor="transparent"; nodesep=0.3; ranksep={ranksep}; pad=0.1;
node [fontname="sans-serif", fontsize=13, shape=box, style="rounded", margin="0.14,0.07"];
edge [fontname="sans-serif", fontsize=11, arrowsize=0.7];
"""


#: In points.
_WIDEST = 800
#: Rooms beside each other in a drawing of floors.
_ABREAST = 5


class Unreadable(ValueError):
    """A drawing's source has something that is not understood here; says which line."""


# ------------------------------------------------------------------------------------------------------------ the table


def states(transitions: Iterable[tuple[str, str, str]], first: str) -> str:
    """Draw `(state, trigger, next state)`, several triggers between two states on one arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, trigger, target in transitions:
        arrows.setdefault((state, target), []).append(trigger)
    lines = [f'{_id(first)} [style="rounded,bold"];']
    for (state, target), triggers in arrows.items():
        label = _quote(f" {', '.join(triggers)} ")
        lines.append(f"{_id(state)} -> {_id(target)} [label={label}];")
    return _draw(lines, "TB", ranksep=0.45)


def floors(layers: Sequence[str]) -> str:
    """Draw import-linter's layers, the highest first; a name in parentheses may be missing."""
    rows = []
    for number, layer in enumerate(layers):
        rooms = re.findall(r"\w+", layer)
        lines = [rooms[at : at + _ABREAST] for at in range(0, len(rooms), _ABREAST)]
        rows.append(
            f'<tr><td border="0" align="right">{len(layers) - 1 - number}</td>'
            f'<td border="0"><table border="0" cellborder="0" cellspacing="0">'
            f"{''.join(f'<tr><td>{_corridor(line)}</td></tr>' for line in lines)}</table></td></tr>"
        )
    table = f'<table border="0" cellborder="0" cellspacing="0">{"".join(rows)}</table>'
    return _draw([f"house [shape=plain, label=<{table}>];"], "TB", ranksep=0.4)


def _corridor(rooms: Sequence[str]) -> str:
    cells = "".join(f'<td border="1" cellpadding="7">{html.escape(room)}</td>' for room in rooms)
    return f'<table border="0" cellborder="0" cellspacing="3"><tr>{cells}</tr></table>'


# ----------------------------------------------------------------------------------------------------------- flowcharts

_DIRECTION = re.compile(r"flowchart (LR|TB|TD)")
_NAME = r"[A-Za-z_][\w-]*?"
_NODE = re.compile(
    rf"(?P<id>{_NAME})(?:"
    r'\(\("?(?P<round>[^")]*)"?\)\)|\[\("?(?P<store>[^")]*)"?\)\]|\["?(?P<box>[^"\]]*)"?\])?'
    r"(?=\s|$)"
)
_ARROW = re.compile(
    r"\s*(?:-->\|(?P<a>[^|]*)\||-\.->\|(?P<b>[^|]*)\||-\. (?P<c>.*?) \.->|(?P<plain>-->)"
    r"|(?P<dotted>-\.->)|(?P<line>---))\s*"
)
_SHAPES = {"round": "ellipse", "store": "cylinder", "box": "box"}


@dataclass
class _Chart:
    nodes: dict[str, str] = field(default_factory=dict)
    edges: list[str] = field(default_factory=list)

    def node(self, line: str, position: int) -> tuple[str, int]:
        found = _NODE.match(line, position)
        if found is None:
            raise Unreadable(f"no node at column {position + 1}: {line}")
        kind = next((k for k in _SHAPES if found[k] is not None), None)
        if kind is not None:
            label = _quote(found[kind])
            self.nodes[found["id"]] = f"{_id(found['id'])} [label={label}, shape={_SHAPES[kind]}];"
        return found["id"], found.end()


def flowchart(text: str) -> str:
    """Draw a Mermaid flowchart; Unreadable names the line that is not understood."""
    first, *lines = [line.strip() for line in text.strip().splitlines()]
    direction = _DIRECTION.fullmatch(first)
    if direction is None:
        raise Unreadable(f"not a flowchart: {first}")
    chart = _Chart()
    for line in filter(None, lines):
        node, position = chart.node(line, 0)
        while position < len(line):
            arrow = _ARROW.match(line, position)
            if arrow is None:
                raise Unreadable(f"no arrow at column {position + 1}: {line}")
            target, position = chart.node(line, arrow.end())
            label = arrow["a"] or arrow["b"] or arrow["c"] or ""
            chart.edges.append(_edge(node, target, label.strip('"'), arrow))
            node = target
    parts = [*chart.nodes.values(), *chart.edges]
    drawn = _draw(parts, direction[1].replace("TD", "TB"), ranksep=0.5)
    # On a page the text beside a wide drawing would be twice its size.
    return drawn if _width(drawn) <= _WIDEST else _draw(parts, "TB", ranksep=0.5)


def _edge(source: str, target: str, label: str, arrow: re.Match[str]) -> str:
    look = [f"label={_quote(label)}"] if label else []
    if arrow["b"] is not None or arrow["c"] is not None or arrow["dotted"]:
        look.append("style=dashed")
    if arrow["line"]:
        look.append("dir=none")
    return f"{_id(source)} -> {_id(target)} [{', '.join(look)}];"


# ----------------------------------------------------------------------------------------------------------------- dot


def _id(name: str) -> str:
    return _quote(name)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _draw(lines: Iterable[str], direction: str, *, ranksep: float) -> str:
    source = _HEAD.format(direction=direction, ranksep=ranksep) + "\n".join(lines) + "\n}\n"
    done = subprocess.run(
        ["dot", "-Tsvg"], input=source, capture_output=True, text=True, check=True
    )
    svg = done.stdout[done.stdout.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<title>.*?</title>", "", svg, flags=re.DOTALL)
    # The page's own colour, whether it is light or dark.
    svg = svg.replace('stroke="black"', 'stroke="currentColor"')
    svg = svg.replace('fill="black"', 'fill="currentColor"').replace(
        "<text ", '<text fill="currentColor" '
    )
    # As wide as it is, or as the page if that is narrower.
    width = int(svg.partition(' width="')[2].partition("pt")[0])
    style = f'style="max-width: {width * 4 // 3}px"'
    return re.sub(r' width="\d+pt" height="\d+pt"', f" {style}", svg, count=1)


def _width(svg: str) -> float:
    """Return the drawing's width in points."""
    return float(svg.partition('viewBox="')[2].split()[2])
