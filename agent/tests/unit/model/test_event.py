# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Events: the record, and the filters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import plugind
from plugind.model import event

ENABLE = event.Event(
    type=event.PLUGIN,
    action="enable",
    id="abcdef",
    attributes={"name": "vieux/sshfs:latest", "driver": ""},
    time_ns=1_700_000_000_123_456_789,
)
CREATE = event.Event(type=event.VOLUME, action="create", id="v1", attributes={"driver": "local"})


def matches(found: event.Event, **filters: str | tuple[str, ...]) -> bool:
    values = {k: frozenset((v,) if isinstance(v, str) else v) for k, v in filters.items()}
    return event.matches(found, values)


def test_record() -> None:
    assert ENABLE.to_json() == {
        "Type": "plugin",
        "Action": "enable",
        "Actor": {"ID": "abcdef", "Attributes": {"name": "vieux/sshfs:latest", "driver": ""}},
        "scope": "local",
        "time": 1_700_000_000,
        "timeNano": 1_700_000_000_123_456_789,
    }


def test_a_record_is_not_tied_to_the_event() -> None:
    ENABLE.to_json()["Actor"]["Attributes"]["name"] = "x"
    assert ENABLE.attributes["name"] == "vieux/sshfs:latest"


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"type": ()},
        {"type": "plugin"},
        {"type": ("plugin", "volume")},
        {"event": ("disable", "enable")},
        {"scope": "local"},
        {"scope": ("swarm", "local")},
        {"plugin": "abcdef"},
        {"plugin": "abc"},
        {"plugin": "vieux/sshfs"},
        {"plugin": ("other", "vieux/sshfs:latest")},
        {"label": "name"},
        {"label": "name=vieux/sshfs:latest"},
        {"label": "driver"},
        {"label": "driver="},
        {"label": ("name", "driver")},
        {"type": "plugin", "event": "enable", "plugin": "abc"},
    ],
)
def test_passes(filters: dict[str, str | tuple[str, ...]]) -> None:
    assert matches(ENABLE, **filters)


@pytest.mark.parametrize(
    "filters",
    [
        {"type": "volume"},
        {"event": "disable"},
        {"event": "enabl"},
        {"scope": "swarm"},
        {"plugin": "bcdef"},
        {"plugin": "sshfs"},
        {"volume": "abcdef"},
        {"label": "missing"},
        {"label": "name=other"},
        {"label": ("name", "missing")},
        {"container": "x"},
        {"image": "x"},
        {"daemon": "x"},
        {"type": "plugin", "event": "disable"},
        {"plugin": "abc", "volume": "abc"},
    ],
)
def test_does_not_pass(filters: dict[str, str | tuple[str, ...]]) -> None:
    assert not matches(ENABLE, **filters)


def test_a_container_is_found_by_its_image_too() -> None:
    started = event.Event(
        type=event.CONTAINER, action="start", id="c1", attributes={"image": "busybox:latest"}
    )
    assert matches(started, image="busybox")
    assert not matches(started, image="c1")
    assert matches(started, container="c")


def test_volumes_have_no_name_but_their_id() -> None:
    assert matches(CREATE, volume="v")
    assert not matches(CREATE, volume="w")
    assert not matches(CREATE, plugin="v1")


# How the engine publishes: the called name, which argument the action is, and the event's type.
CALLS = {
    "plugin": (0, event.PLUGIN),
    "volume": (0, event.VOLUME),
    "image": (0, event.IMAGE),
    "publish": (1, event.CONTAINER),
    "_tell": (1, event.VOLUME),
}


def published() -> Iterator[tuple[str, str, set[str]]]:
    """Every type, action and spelled-out attribute that the engine's sources publish."""
    for file in (Path(plugind.__file__).parent / "engine").rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if not isinstance(call, ast.Call):
                continue
            called = ast.unparse(call.func)
            position, kind = CALLS.get(called.rpartition(".")[2], (None, ""))
            if called.endswith("events.publish_pull"):
                yield event.PLUGIN, "pull", set()
            elif position is not None and position < len(call.args):
                action = call.args[position]
                if isinstance(action, ast.Constant) and isinstance(action.value, str):
                    yield kind, action.value, {k.arg for k in call.keywords if k.arg}


def test_the_table_has_what_is_published_and_nothing_else() -> None:
    found = list(published())
    table = {(kind, action) for kind, actions in event.ACTIONS.items() for action in actions}
    assert {(kind, action) for kind, action, _ in found} == table
    for kind, action, attributes in found:
        known = {*event.ACTIONS[kind][action].attributes, *event.ATTRIBUTES[kind]}
        assert attributes - {"id"} <= known, (kind, action)
