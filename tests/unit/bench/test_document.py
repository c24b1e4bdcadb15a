# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""docs/performance.md out of figures: tables, goals and what is missed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from benchlib import document
from benchlib.figures import figure, in_turn, without_sleep

WHERE = {
    "date": "2026-01-02", "cores": 2, "processor": "x", "memory": 4, "kernel": "6", "python": "3.11",
    "versions": {"runc": "1"}, "load": [0.1, 0.9],
}  # fmt: skip
TEMPLATE = "# Title\n\n@missed@\n\n@calls@\n\n@converge@\n"


def kept(*figures: object) -> str:
    return "\n".join(json.dumps(line) for line in (WHERE, *figures))


def test_a_goal_that_is_met_and_one_that_is_missed() -> None:
    enable, disable = (
        figure("plugin_enable", [80, 81, 300], [575, 580, 570]),
        figure("plugin_disable", [57.04], [72]),
    )
    text = document.compose(TEMPLATE, {"calls": kept(enable, disable)})
    lines = text.splitlines()
    assert (
        "| plugin enable | 81 ms (80 to 300) | 575 ms (570 to 580) | 0.141 | 0.15, met |" in lines
    )
    assert "| plugin disable | 57 ms | 72 ms | 0.792 | 0.5, missed with 0.792 |" in lines
    (missed,) = [line for line in lines if line.startswith("* ")]
    assert missed.startswith("* **plugin disable** (0.5, missed with 0.792). The plugin's own exit")
    assert "load before and after 0.1 and 0.9." in text
    assert lines[-1] == "Not measured yet."


def test_a_goal_in_milliseconds() -> None:
    line = figure("converge_noop_task", [59, 61, 63])
    text = document.compose(TEMPLATE, {"converge": kept(line)})
    assert (
        "| nothing to do, the one task of ours | 61 ms (59 to 63) | 60 ms, missed with 61 ms |"
        in text
    )


def test_goals_that_are_missed_for_one_reason_are_one_entry() -> None:
    lines = figure("volume_ls_1", [2], [1]), figure("volume_ls_100", [3], [1])
    text = document.compose("@missed@", {"volumes": kept(*lines)})
    (missed,) = text.splitlines()
    assert missed.startswith(
        "* **volume ls, 1 volume** (1, missed with 2), **volume ls, 100 volumes** (1, missed with 3). Processor"
    )


def test_a_figure_that_nobody_knows() -> None:
    with pytest.raises(ValueError, match="mystery"):
        document.compose(TEMPLATE, {"calls": kept(figure("mystery", [1]))})


def test_figures_without_the_peers_sleep() -> None:
    line = without_sleep("install", {"ours": [100.0], "peer": [1500.0]}, times=2)
    assert (line["peer"], line["ratio"]) == (500.0, 0.2)


def test_sides_take_turns_and_the_first_round_does_not_count() -> None:
    order = []

    def once(side: str, number: int):
        order.append(side + str(number))
        yield "call", float(number)

    samples = in_turn(("a", "b"), 2, once)
    assert order == ["a0", "b0", "b1", "a1", "a2", "b2"]
    assert samples == {"call": {"a": [1.0, 2.0], "b": [1.0, 2.0]}}
