# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The life of a plugin: every pair of state and trigger, and the backoff."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind import errors
from plugind.model import lifecycle
from plugind.model.lifecycle import PluginState, RestartPolicy, Trigger

PAIRS = list(itertools.product(PluginState, Trigger))


@pytest.mark.parametrize(("state", "trigger"), PAIRS, ids=lambda value: value.value)
def test_every_pair_moves_or_is_a_conflict(state: PluginState, trigger: Trigger) -> None:
    target = lifecycle.TRANSITIONS.get((state, trigger))
    if target is not None:
        assert lifecycle.advance(state, trigger) is target
        return
    with pytest.raises(errors.Conflict) as refused:
        lifecycle.advance(state, trigger)
    assert refused.value.message == f"cannot {trigger.value} a plugin that is {state.value}"


@pytest.mark.parametrize(
    "path",
    [
        "enable starting ready running disable stopping stopped disabled",
        "enable starting failed stopping stopped disabled",
        "enable starting ready running exited backoff elapsed starting ready running",
        "enable starting exited backoff limit failed enable starting",
        "enable starting exited backoff disable stopping stopped disabled",
        "enable starting exited backoff limit failed disable stopping stopped disabled",
        "adopt running exited backoff",
        "enable starting ready running disable stopping enable starting ready running",
        "adopt running disable stopping enable starting failed stopping enable starting",
    ],
)
def test_lives(path: str) -> None:
    words = path.split()
    state = PluginState.DISABLED
    for trigger, target in zip(words[::2], words[1::2], strict=True):
        state = lifecycle.advance(state, Trigger(trigger))
        assert state is PluginState(target)


def test_every_state_can_be_reached_and_disabled() -> None:
    for start in PluginState:
        reached = {start}
        for _ in PluginState:
            reached |= {
                target for (state, _), target in lifecycle.TRANSITIONS.items() if state in reached
            }
        assert PluginState.DISABLED in reached
        if start is PluginState.DISABLED:
            assert reached == set(PluginState)


def test_backoff_grows_to_its_bound_and_ends() -> None:
    policy = RestartPolicy(first=1, factor=2, longest=5, limit=4)
    assert [policy.delay(n) for n in range(1, 6)] == [1, 2, 4, 5, None]


@given(st.integers(min_value=1, max_value=10**9), st.floats(min_value=1, max_value=100))
def test_backoff_is_bounded_whatever_the_limit(failures: int, factor: float) -> None:
    policy = RestartPolicy(first=0.5, factor=factor, longest=60, limit=10**9)
    delay = policy.delay(failures)
    assert delay is not None
    assert 0.5 <= delay <= 60


@given(st.integers(min_value=1, max_value=2000))
def test_backoff_never_shrinks(failures: int) -> None:
    policy = RestartPolicy(limit=10**9)
    earlier, later = policy.delay(failures), policy.delay(failures + 1)
    assert earlier is not None
    assert later is not None
    assert earlier <= later
