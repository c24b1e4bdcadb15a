# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An engine as the planner's hands need it: one call a method, no decisions.

The agent's own engine (`engine.declaration.apply`) and a real Docker Engine (`dockerd.execute`) implement it.
A target maps every error of its own into `errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from plugind.model.credentials import Credentials
from plugind.model.host_mount import HostMount
from plugind.model.observed import Observation, Offer
from plugind.model.privileges import Privileges
from plugind.model.reference import Reference
from plugind.model.verify import Verify

Progress = Callable[[dict[str, Any]], None]


class Target(Protocol):
    """An engine. `name` is always canonical (`x:latest`); errors are `errors.PlugindError`."""

    @property
    def url(self) -> str:
        """Where the engine is, for results: `unix:///run/plugind/api.sock`."""
        ...

    async def observe(self) -> Observation:
        """Read plugins and volumes, once, without asking a registry; with secrets, for the plan."""
        ...

    async def offer(self, ref: Reference, credentials: Credentials | None) -> Offer:
        """Ask the registry what `ref` is and which privileges it wants. Changes nothing."""
        ...

    async def differing_options(self, name: str, options: Mapping[str, str]) -> tuple[str, ...]:
        """Return the names of the options that differ from those volume `name` was created with."""
        ...

    async def install(
        self,
        name: str,
        ref: Reference,
        privileges: Privileges,
        credentials: Credentials | None,
        progress: Progress,
        *,
        restored: bool = False,
    ) -> None:
        """Pull `ref` and install it, disabled, under `name`; `privileges` are exactly the offer's.

        `restored`: it was there before, and comes back with its tag, if it had one, where the
        engine can have that although it is named by digest.
        """
        ...

    async def upgrade(
        self,
        name: str,
        ref: Reference,
        privileges: Privileges,
        credentials: Credentials | None,
        progress: Progress,
    ) -> None:
        """Replace the content of a disabled plugin, keeping id, settings and volumes."""
        ...

    async def upgrade_in_place(
        self,
        name: str,
        ref: Reference,
        privileges: Privileges,
        credentials: Credentials | None,
        progress: Progress,
        *,
        arguments: tuple[str, ...],
        timeout: float,
    ) -> None:
        """Replace the content of an enabled plugin and set it, both or nothing.

        The new version has `timeout` seconds to answer. An error says what runs now: the old version
        with its old settings, if anything can. Only called if the observation said `in_place`.
        """
        ...

    async def set(self, name: str, arguments: tuple[str, ...]) -> None:
        """Set settings of a disabled plugin, all or none: `("DEBUG.value=1", ...)`."""
        ...

    async def set_in_place(self, name: str, arguments: tuple[str, ...], timeout: float) -> None:
        """Set settings of an enabled plugin, as `upgrade_in_place` does."""
        ...

    async def enable(self, name: str, timeout: float) -> None:
        """Enable the plugin; it has `timeout` seconds to answer."""
        ...

    async def disable(self, name: str, *, force: bool) -> None:
        """Disable the plugin; `force`: although it is in use."""
        ...

    async def remove(self, name: str, *, force: bool) -> None:
        """Remove the plugin; `force`: although it is in use or enabled."""
        ...

    async def create_volume(
        self, name: str, driver: str, options: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Create a volume."""
        ...

    async def remove_volume(self, name: str, *, force: bool) -> str:
        """Remove a volume with its data; `force`: only the record if the driver does not answer.

        Returns what could not be done, "" if everything was.
        """
        ...

    async def mount(self, mount: HostMount, *, allow_nonempty: bool) -> None:
        """Mount a volume at a path of the host."""
        ...

    async def unmount(self, path: str, *, force: bool) -> str:
        """Unmount a volume from a path of the host; `force`: although it is in use.

        Returns what could not be done, "" if everything was.
        """
        ...

    async def probe(self, name: str, verify: Verify) -> None:
        """Try once whether an enabled plugin serves; an error says what did not work.

        One try takes `verify.timeout` seconds at most, and whatever it made is gone afterwards, as
        far as that is possible; the error says what is left. No error has an option's value in it.
        """
        ...

    async def set_unverified(self, name: str, flag: bool) -> None:
        """Remember that the plugin was changed and not verified since, or that it was verified.

        An engine that cannot remember it does nothing.
        """
        ...

    async def inspect_plugin(self, name: str) -> Mapping[str, Any] | None:
        """Return the Engine API object, secrets included, or None if there is no such plugin."""
        ...

    async def inspect_volume(self, name: str) -> Mapping[str, Any] | None:
        """Return the Engine API object, or None if there is no such volume."""
        ...

    async def inspect_mount(self, path: str) -> Mapping[str, Any] | None:
        """Return the host mount at a path, or None if there is none."""
        ...

    async def info(self) -> Mapping[str, Any]:
        """Say what the engine is: at least Name and Version."""
        ...


class UndoLog(Protocol):
    """Where the declaration that undoes the last change of an engine is kept, across crashes.

    There is one record, of the last change: `{"id", "state", "rollback", "declaration", ...}`. Its state
    is `running` until `done` was called, and errors are `errors.PlugindError`.
    """

    async def begin(self, document: Mapping[str, Any], *, rollback: bool) -> str:
        """Record, before anything is changed, how it is undone; return the new change's id.

        Replaces the record of the change before. `rollback`: a run that does not come to its end is
        to be undone when the agent starts.
        """
        ...

    async def done(self, change: str) -> None:
        """Record that the run has come to its end: from now on only an operator undoes it."""
        ...

    async def drop(self, change: str) -> None:
        """Remove the record, because there is nothing left to undo."""
        ...

    async def last(self) -> Mapping[str, Any] | None:
        """Return the record of the last change, None if there is none."""
        ...


class Clock(Protocol):
    """Time for what is tried again."""

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


def ignore_progress(line: dict[str, Any]) -> None:
    """Take a progress line and do nothing with it."""
