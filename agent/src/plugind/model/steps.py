# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What a plan is made of: steps in order, and why it may be impossible.

    Draft --add/problem/warn--> Plan(steps, problems, warnings, before, after)

A step names the resource it changes (`plugin/sshfs:latest`, `volume/data`), the resource's state
before and after it, and the steps it depends on, by position. States are what the diff shows:
small mappings, secrets already masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plugind.model import desired as desired_
from plugind.model import requires
from plugind.model.desired import Desired, DesiredMount, DesiredPlugin, DesiredVolume
from plugind.model.observed import Observed, Offer

State = Mapping[str, Any]
GONE: State = {"state": "absent"}

PLUGIN_INSTALL = "plugin-install"
PLUGIN_UPGRADE = "plugin-upgrade"
PLUGIN_SET = "plugin-set"
PLUGIN_ENABLE = "plugin-enable"
PLUGIN_DISABLE = "plugin-disable"
PLUGIN_REMOVE = "plugin-remove"
PLUGIN_VERIFY = "plugin-verify"
VOLUME_CREATE = "volume-create"
VOLUME_REMOVE = "volume-remove"
MOUNT_CREATE = "mount-create"
MOUNT_REMOVE = "mount-remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call to the engine. What it needs to be carried out is in the last fields.

    arguments   of `set`, which an upgrade in place does as well; None: to be computed once the
                plugin's config is known
    in_place    the plugin runs before and afterwards, and with what it had if this fails
    temporary   a disable that a later step of this plan undoes
    watches     of a verification: the resources a change of which leaves the plugin unverified, if
                this plan changes one of them
    unverified  of a verification: the plugin counts as unverified until it has passed
    """

    kind: str
    resource: str
    text: str
    before: State
    after: State
    depends: tuple[int, ...] = ()
    plugin: DesiredPlugin | None = None
    volume: DesiredVolume | None = None
    mount: DesiredMount | None = None
    driver: str = ""
    offer: Offer | None = None
    arguments: tuple[str, ...] | None = field(default=None, repr=False)
    in_place: bool = False
    temporary: bool = False
    watches: tuple[str, ...] = ()
    unverified: bool = False

    def describe(self) -> str:
        """Say what the step does, for check mode and for people."""
        return self.text

    @property
    def changes(self) -> bool:
        """False for a step that only looks."""
        return self.kind != PLUGIN_VERIFY

    @property
    def wanted_plugin(self) -> DesiredPlugin:
        """The plugin of a plugin's step."""
        if self.plugin is None:
            raise TypeError(f"{self.kind} is not a step of a plugin")
        return self.plugin

    @property
    def wanted_volume(self) -> DesiredVolume:
        """The volume of a volume's step."""
        if self.volume is None:
            raise TypeError(f"{self.kind} is not a step of a volume")
        return self.volume

    @property
    def wanted_mount(self) -> DesiredMount:
        """The host mount of a mount's step."""
        if self.mount is None:
            raise TypeError(f"{self.kind} is not a step of a host mount")
        return self.mount


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a resource cannot become what is declared."""

    resource: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in the order in which to carry them out; with problems, none of them is."""

    steps: tuple[Step, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    before: Mapping[str, State] = field(default_factory=dict)
    after: Mapping[str, State] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """True if carrying the plan out changes anything."""
        return any(step.changes for step in self.steps)


class Draft:
    """A plan being written. Lives within one call of `plan.plan` only."""

    def __init__(self, desired: Desired, observed: Observed) -> None:
        self.desired = desired
        self.observed = observed
        self.before: dict[str, State] = {}
        self.now: dict[str, State] = {}
        self.last: dict[str, int] = {}
        self.steps: list[Step] = []
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        #: positions of the volume removals that a plugin's disable or remove waits for
        self.released: dict[str, list[int]] = {}
        #: by a plugin's resource, the resources whose last steps its own steps wait for
        self.waits = _waits(desired)

    def start(self, resource: str, state: State) -> None:
        """Say what state a declared resource is in before the plan."""
        self.before[resource] = self.now[resource] = state

    def add(
        self, kind: str, resource: str, text: str, after: State, *, depends: tuple[int, ...] = (),
        **details: Any,
    ) -> int:  # fmt: skip
        """Append a step; return its position.

        It depends on the resource's previous one, and on the last ones of what the resource requires.
        """
        before = (resource, *self.waits.get(resource, ()))
        chain = [self.last[other] for other in before if other in self.last]
        step = Step(
            kind=kind,
            resource=resource,
            text=text,
            before=self.now[resource],
            after=after,
            depends=tuple(sorted({*chain, *depends})),
            **details,
        )
        self.steps.append(step)
        self.now[resource] = after
        self.last[resource] = len(self.steps) - 1
        return self.last[resource]

    def problem(self, resource: str, message: str) -> None:
        """Note why the resource cannot become what is declared."""
        self.problems.append(Problem(resource=resource, message=message))

    def is_impossible(self, resource: str) -> bool:
        """True if the resource has a problem."""
        return any(problem.resource == resource for problem in self.problems)

    def finish(self) -> Plan:
        """Return the plan."""
        return Plan(
            steps=tuple(self.steps),
            problems=tuple(self.problems),
            warnings=tuple(self.warnings),
            before=dict(sorted(self.before.items())),
            after=dict(sorted(self.now.items())),
        )


def _waits(desired: Desired) -> dict[str, tuple[str, ...]]:
    """Return what plugins wait for: for what they require, and to be removed for who requires them."""
    needed = {plugin.name: plugin.requires for plugin in desired.plugins}
    needing = requires.inverted(needed)
    absent = {p.name for p in desired.plugins if p.state == desired_.ABSENT}
    found: dict[str, tuple[str, ...]] = {}
    for plugin in desired.plugins:
        if plugin.name in absent:
            others = [name for name in requires.reach(plugin.name, needing) if name in absent]
        else:
            others = requires.reach(plugin.name, needed)
        found[plugin.resource] = tuple(f"plugin/{name}" for name in others)
    return found
