# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Events: the Engine API's record, and the filters of `GET /events`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PLUGIN = "plugin"
VOLUME = "volume"
IMAGE = "image"
CONTAINER = "container"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. `time_ns` is Unix time in nanoseconds, given by whoever publishes."""

    type: str
    action: str
    id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    time_ns: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the event as `GET /events` streams it."""
        # Clients below API 1.52 read a container's event from these three.
        legacy = (
            {"status": self.action, "id": self.id, "from": self.attributes.get("image", "")}
            if self.type == CONTAINER
            else {}
        )
        return {
            **legacy,
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": dict(self.attributes)},
            "scope": "local",
            "time": self.time_ns // 1_000_000_000,
            "timeNano": self.time_ns,
        }


@dataclass(frozen=True, slots=True)
class Action:
    """What an action says, and which attributes come with it beside those of its type."""

    says: str
    attributes: tuple[str, ...] = ()


#: What every event of a type has among its attributes. Images and containers have their labels, too.
ATTRIBUTES = {
    PLUGIN: ("name",),
    VOLUME: ("driver",),
    IMAGE: ("name",),
    CONTAINER: ("image", "name"),
}

#: Every event that the engine publishes, by type and action.
ACTIONS: dict[str, dict[str, Action]] = {
    PLUGIN: {
        "pull": Action("fetched from a registry; its ID is the reference"),
        "create": Action("made of a directory on the host"),
        "enable": Action("runs, and has answered"),
        "disable": Action("was stopped by somebody"),
        "remove": Action("is gone"),
        "push": Action("was sent to a registry", ("digest",)),
        "set": Action("has other settings"),
        "upgrade": Action("is another version now", ("from", "to")),
        "rolled back": Action("the old version or settings are back", ("error",)),
        "died": Action("ended by itself, or was killed", ("exitCode", "reason")),
        "restarted": Action("runs again after it died", ("restarts",)),
        "gave up": Action("died too often in a row and is left alone", ("failures",)),
    },
    VOLUME: {
        "create": Action("is there"),
        "destroy": Action("is gone", ("forced", "left")),
        "mount": Action("a holder has it", ("container", "destination", "replayed")),
        "unmount": Action("a holder has let go of it", ("container", "reason")),
        "attach": Action("is seen at a path of the host", ("destination", "source", "replayed")),
        "detach": Action("is no longer seen there", ("destination", "reason")),
        "prune": Action("unused volumes were removed; bytes", ("reclaimed",)),
    },
    IMAGE: {
        "pull": Action("fetched from a registry; its ID is the reference"),
        "import": Action("made of an archive of files"),
        "load": Action("taken from an archive of an image"),
        "tag": Action("has another name"),
        "untag": Action("has one name less"),
        "delete": Action("is gone"),
    },
    CONTAINER: {
        "create": Action("is there"),
        "attach": Action("somebody reads its output or writes its input"),
        "start": Action("its program runs"),
        "stop": Action("was stopped by somebody"),
        "kill": Action("got a signal", ("signal",)),
        "die": Action("its program ended", ("exitCode",)),
        "destroy": Action("is gone"),
    },
}


FILTERS = ("type", "event", "plugin", "volume", "scope", "label", "container", "daemon", "image")


def matches(event: Event, filters: Mapping[str, frozenset[str]]) -> bool:
    """True if the event passes every filter; several values of one filter are alternatives."""
    return all(_matches_one(event, name, values) for name, values in filters.items() if values)


def _matches_one(event: Event, name: str, values: frozenset[str]) -> bool:
    if name == "type":
        return event.type in values
    if name == "event":
        return event.action in values
    if name == "scope":
        return "local" in values
    if name == "label":
        return all(_has_label(event, label) for label in values)
    if name not in (PLUGIN, VOLUME, IMAGE, CONTAINER):
        return False
    names: tuple[str, ...] = (event.id, event.attributes.get("name", ""))
    if name == IMAGE and event.type == CONTAINER:
        names = (event.attributes.get("image", ""),)
    elif event.type != name:
        return False
    return any(
        candidate.startswith(value)
        for candidate, value in itertools.product(names, values)
        if candidate
    )


def _has_label(event: Event, label: str) -> bool:
    key, equals, value = label.partition("=")
    present = event.attributes.get(key)
    return present is not None and (not equals or present == value)
