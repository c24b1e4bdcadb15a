# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Times taken in turn -> medians with minimum and maximum. A figure is one line of JSON."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

#: What dockerd sleeps in each enable, whatever the plugin does.
PEER_SLEEP = 500.0
Figure = dict[str, Any]
#: name -> side -> values, one for each round
Samples = dict[str, dict[str, list[float]]]


def timed(call: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def figure(
    name: str, ours: Sequence[float], peer: Sequence[float] = (), unit: str = "ms", **more: object
) -> Figure:
    """One figure: medians, their ratio (none without a peer, or beside nothing), and between what they lie."""
    line: Figure = {"name": name, "ours": median(ours), "peer": None, "unit": unit, "ratio": None}
    line["n"] = len(ours)
    line["ours_min_max"] = [_rounded(min(ours)), _rounded(max(ours))]
    if peer:
        line["peer"] = median(peer)
        if line["peer"]:
            line["ratio"] = round(line["ours"] / line["peer"], 4)
        line["peer_min_max"] = [_rounded(min(peer)), _rounded(max(peer))]
    return {**line, **more}


def median(values: Sequence[float]) -> float:
    """The median, rounded as all figures are."""
    return _rounded(statistics.median(values))


def _rounded(value: float) -> float:
    return round(value, 3 if abs(value) < 10 else 1)


def without_sleep(name: str, line: dict[str, list[float]], times: int = 1) -> Figure:
    """The same figure a second time, without what the peer only sleeps."""
    rest = [spent - times * PEER_SLEEP for spent in line["peer"]]
    return figure(f"{name}_without_the_peers_sleep", line["ours"], rest)


def in_turn(
    sides: Iterable[str],
    rounds: int,
    once: Callable[[str, int], Iterator[tuple[str, float]]],
    warm_up: int = 1,
) -> Samples:
    """Call `once` for each side and round; who comes first changes with each round.

    `once` yields names and values; those of the first `warm_up` rounds are left out.
    """
    samples: Samples = {}
    order = list(sides)
    for number in range(rounds + warm_up):
        for side in order:
            for name, value in once(side, number):
                if number >= warm_up:
                    samples.setdefault(name, {}).setdefault(side, []).append(value)
        order.reverse()
    return samples


def figures(samples: Samples, unit: str = "ms") -> Iterator[Figure]:
    """A figure for each name."""
    for name, sides in samples.items():
        yield figure(name, sides["ours"], sides["peer"], unit)
