# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from plugind.model import requires

NAMES = list("abcdef")
graphs = st.dictionaries(
    st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), unique=True, max_size=3)
)


@given(names=st.permutations(NAMES), graph=graphs)
def test_the_order_keeps_to_what_is_required_and_else_to_what_was_given(
    names: list[str], graph: dict[str, list[str]]
) -> None:
    found = requires.circle(graph)
    if found:
        after = [*found[1:], found[0]]
        assert all(other in graph[name] for name, other in zip(found, after, strict=True))
        return
    ordered = requires.order(names, graph)
    assert sorted(ordered) == NAMES
    place = {name: position for position, name in enumerate(ordered)}
    for name, needed in graph.items():
        assert all(place[other] < place[name] for other in needed)
        assert set(needed) <= set(requires.reach(name, graph))
        for other in requires.reach(name, graph):
            assert place[other] < place[name]
    # Whoever stands before one that was declared earlier is what that one needs, or is needed by nobody else.
    for first, second in itertools.pairwise(ordered):
        assert names.index(first) < names.index(second) or first in requires.reach(second, graph)


@given(names=st.permutations(NAMES))
def test_without_requirements_the_order_is_the_declared_one(names: list[str]) -> None:
    assert requires.order(names, {}) == names
    assert requires.order(names, {names[0]: ["not there"]}) == names


@given(graph=graphs)
def test_no_circle_is_overlooked(graph: dict[str, list[str]]) -> None:
    turning = [name for name in graph if name in _reachable(name, graph)]
    assert bool(requires.circle(graph)) == bool(turning)


def _reachable(name: str, graph: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    left = list(graph.get(name, ()))
    while left:
        other = left.pop()
        if other not in found:
            found.add(other)
            left += graph.get(other, ())
    return found


def test_the_shortest_circle() -> None:
    assert requires.circle({"a": ["a"]}) == ["a"]
    assert requires.inverted({"a": ["b", "c"], "d": ["b"]}) == {"b": ["a", "d"], "c": ["a"]}
