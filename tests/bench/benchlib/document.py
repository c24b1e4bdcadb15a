# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""docs/performance.md: the prose of performance.md.in with a table in the place of each `@NAME@`.

Figures are kept in figures/NAME.jsonl, so that a benchmark can be repeated alone: the first line there says where
and when, each other one is a figure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchlib import ROOT, machine
from benchlib.catalogue import TABLES, Row, Table
from benchlib.figures import Figure

HERE = Path(__file__).resolve().parents[1]
TEMPLATE = HERE / "performance.md.in"
KEPT = HERE / "figures"
TARGET = ROOT / "docs" / "performance.md"


def keep(name: str, where: machine.Machine, lines: Sequence[Figure]) -> None:
    """Keep what one benchmark has found."""
    KEPT.mkdir(exist_ok=True)
    text = [json.dumps(where.to_json()), *(json.dumps(line) for line in lines)]
    (KEPT / f"{name}.jsonl").write_text("\n".join(text) + "\n")


def write() -> None:
    """Write the document."""
    kept = {path.stem: path.read_text() for path in KEPT.glob("*.jsonl")}
    TARGET.write_text(compose(TEMPLATE.read_text(), kept))


def compose(text: str, kept: Mapping[str, str]) -> str:
    """Put tables into the template; `kept` are the figures' files by the names of benchmarks."""
    missed = []
    for name, table in TABLES.items():
        if name not in kept:
            text = text.replace(f"@{name}@", "Not measured yet.")
            continue
        first, *lines = [json.loads(line) for line in kept[name].splitlines()]
        where = machine.Machine(**first)
        figures = {line["name"]: line for line in lines}
        parts = [render(table, figures), *whole(figures), where.describe()]
        text = text.replace(f"@{name}@", "\n\n".join(parts))
        missed += misses(table, figures)
    return text.replace("@missed@", "\n".join(missed) or "None is.")


def render(table: Table, figures: dict[str, Figure]) -> str:
    """One table, in Markdown; ValueError for a figure of which the catalogue knows nothing."""
    unknown = figures.keys() - table.rows.keys() - {"load"}
    if unknown:
        raise ValueError(f"cannot describe {sorted(unknown)}: not in the catalogue")
    rows = {name: row for name, row in table.rows.items() if name in figures}
    has_peer = any(figures[name].get(table.second) is not None for name in rows)
    has_goal = any(row.goal is not None or row.limit is not None for row in rows.values())
    heads = ["", table.heads[0]]
    has_ratio = any(figures[name]["ratio"] is not None for name in rows)
    heads += [table.heads[1]] if has_peer else []
    heads += ["ratio"] if has_ratio else []
    heads += ["goal"] if has_goal else []
    lines = [_row(heads), _row(["---"] * len(heads))]
    for name, row in rows.items():
        figure = figures[name]
        cells = [row.title, _values(figure, "ours")]
        cells += [_values(figure, table.second)] if has_peer else []
        cells += [_ratio(figure)] if has_ratio else []
        if has_goal:
            cells.append(_verdict(row, figure))
        lines.append(_row(cells))
    return "\n".join(lines)


def whole(figures: Mapping[str, Figure]) -> list[str]:
    """What the load was as a whole, if this is it."""
    if "load" not in figures:
        return []
    load = figures["load"]
    amount = f"{load['volumes']:,} volumes, {load['clients']} clients"
    rate = f"{load['seconds']:.0f} s, {load['kills']} kills, {load['ours']:.0f} calls a second"
    return [f"{amount}: {rate}, {load['complaints']} complaints."]


def misses(table: Table, figures: dict[str, Figure]) -> list[str]:
    """A line of a list for each reason why goals are missed, and which these are."""
    missed: dict[str, list[str]] = {}
    for name, row in table.rows.items():
        if name in figures and is_met(row, figures[name]) is False:
            goal = f"**{row.title}** ({_verdict(row, figures[name])})"
            missed.setdefault(row.why, []).append(goal)
    return [f"* {', '.join(goals)}. {why}".rstrip() for why, goals in missed.items()]


def is_met(row: Row, figure: Figure) -> bool | None:
    """Whether the goal is met; None if there is none, or nothing to compare with."""
    if row.limit is not None:
        return bool(figure["ours"] <= row.limit)
    if row.goal is None or figure["ratio"] is None:
        return None
    return bool(figure["ratio"] <= row.goal)


def _verdict(row: Row, figure: Figure) -> str:
    met = is_met(row, figure)
    if met is None:
        return ""
    goal = f"{row.limit:g} {figure['unit']}" if row.limit is not None else f"{row.goal:g}"
    reached = (
        f"{figure['ours']:g} {figure['unit']}"
        if row.limit is not None
        else f"{figure['ratio']:.3g}"
    )
    return f"{goal}, met" if met else f"{goal}, missed with {reached}"


def _ratio(figure: Figure) -> str:
    return "" if figure["ratio"] is None else f"{figure['ratio']:.3g}"


def _values(figure: Figure, side: str) -> str:
    if figure.get(side) is None:
        return ""
    low, high = figure.get(f"{side}_min_max", (figure[side], figure[side]))
    between = "" if low == high else f" ({_number(low)} to {_number(high)})"
    return f"{_number(figure[side])} {figure['unit']}{between}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
