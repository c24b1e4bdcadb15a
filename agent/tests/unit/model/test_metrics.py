# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Metrics as Prometheus reads them."""

from __future__ import annotations

import re

import pytest

from plugind.model import metrics
from plugind.model.lifecycle import PluginState
from plugind.model.metrics import Counts, PluginCounts

SAMPLE = re.compile(r'(\w+)(?:\{(\w+)="((?:[^"\\\n]|\\[\\"n])*)"\})? (\d+)')


def samples(counts: Counts) -> dict[tuple[str, str], int]:
    """Every sample, by the metric's short name and its label's value."""
    found: dict[tuple[str, str], int] = {}
    for line in metrics.render(metrics.metrics(counts)).splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            found[match[1].removeprefix("plugind_"), match[3] or ""] = int(match[4])
    return found


def test_a_host_without_plugins_has_every_metric_that_needs_none() -> None:
    assert samples(Counts(version="1.2.3")) == {
        ("build_info", "1.2.3"): 1,
        ("degraded", ""): 0,
        **{("plugins", state.value): 0 for state in PluginState},
        ("host_mounts", ""): 0,
    }


def test_everything_is_counted() -> None:
    plugins = (
        PluginCounts(name="a:latest", state=PluginState.RUNNING, restarts=3, front_requests=7),
        PluginCounts(name="b:latest", state=PluginState.BACKOFF, front_requests=0, front_waiting=2),
        PluginCounts(name="c:latest", state=PluginState.RUNNING),
    )
    found = samples(
        Counts(
            version="1",
            degraded=True,
            plugins=plugins,
            volumes={"local": 1, "a:latest": 4},
            mounts={"a:latest": 5},
            host_mounts=6,
        )
    )
    assert found["degraded", ""] == 1
    assert (found["plugins", "running"], found["plugins", "backoff"]) == (2, 1)
    assert [found["plugin_up", f"{name}:latest"] for name in "abc"] == [1, 0, 1]
    assert found["plugin_restarts_total", "a:latest"] == 3
    assert (found["volumes", "local"], found["volumes", "a:latest"]) == (1, 4)
    assert (found["volume_mounts", "a:latest"], found["host_mounts", ""]) == (5, 6)
    assert (found["front_requests_total", "a:latest"], found["front_waiting", "b:latest"]) == (7, 2)
    assert ("front_requests_total", "c:latest") not in found


@pytest.mark.parametrize(
    ("name", "shown"),
    [('q"', 'q\\"'), ("b\\", "b\\\\"), ("n\nl", "n\\nl"), ("\udcff", "?"), ("\u00fc", "\u00fc")],
)
def test_a_name_cannot_break_out_of_its_label(name: str, shown: str) -> None:
    assert samples(Counts(version="1", volumes={name: 1}))["volumes", shown] == 1


def test_every_metric_says_what_it_is() -> None:
    text = metrics.render(metrics.metrics(Counts(version="1")))
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP ")]
    kinds = {
        line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE ")
    }
    assert names == list(kinds)
    assert text.endswith("\n")
    for name, kind in kinds.items():
        assert (kind == "counter") == name.endswith("_total")
        assert f"    {name}" in str(metrics.__doc__)
