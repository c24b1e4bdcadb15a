# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An event source for ansible-rulebook: what happens on hosts with plugind."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import random
import re
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DOCUMENTATION = r"""
short_description: Events of plugind, the agent of managed plugins
requirements:
  - Python 3.11 or newer
  - aiohttp, which comes with ansible-rulebook
description:
  - Streams the events of one or many agents. A lost connection is made again, with growing pauses, from the last
    event on, so that none is lost or comes twice.
  - An agent keeps its last 256 events, in memory. If more happened meanwhile, or the agent was restarted, an event
    of type V(agent) and action V(gap) says that some may be missing.
  - Every event has C(host), C(type), C(action), C(plugin), C(id), C(time) (Unix time in nanoseconds) and
    C(attributes). C({{), C({%) and C({#) in texts from a host become C(({), C((%) and C((#), as templates on the
    controller must not come from there.
  - Of type V(plugin) and V(volume) is what the agent tells, such as V(died), V(restarted), V(gave up), V(enable).
    Of type V(agent) are V(connected), V(disconnected) and V(gap). Of type V(declaration) are V(drifted), with
    C(attributes.steps), V(in sync) and V(check failed).
options:
  socket:
    description: The agent's socket, on this host or on each of O(hosts).
    default: /run/plugind/api.sock
  name:
    description: What this host is called in C(host), if there are no O(hosts).
    default: localhost
  hosts:
    description:
      - Hosts to reach over ssh, by their names in the inventory, or mappings of C(name), C(address) (a destination
        for ssh; by default the name) and C(declaration) (in place of O(declaration)).
    type: list
  ssh_args:
    description: More arguments for ssh, which win over those of this plugin.
    type: list
  become:
    description: Call the agent's program on O(hosts) through C(sudo -n).
    default: false
  executable:
    description: The agent's program on O(hosts).
    default: /usr/local/bin/plugind
  since:
    description: Begin with events from this time on, in seconds of Unix time. By default, with what happens next.
  types:
    description: Types of the agent's events.
    default: [plugin, volume]
  declaration:
    description:
      - Plugins, volumes and mounts, as for M(plugind.engine.apply). Whether a host is still as declared is asked
        (nothing is changed) once it is connected, O(settle) seconds after an event, and every O(every) seconds.
      - V(drifted) comes when a host is first found to differ, or differs in another way.
  every:
    description: Seconds between two questions at which nothing seemed to happen.
    default: 300
  settle:
    description: Seconds after an event, so that what belongs together is looked at once.
    default: 2
  repeat:
    description: Tell V(drifted) again at each question of O(every) for as long as it is so.
    default: false
"""

EXAMPLES = r"""
- plugind.engine.agent_events:
    hosts:
      - web1
      - {name: web2, address: deploy@192.0.2.7}
    become: true
    declaration: "{{ declared }}"
"""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
PLAN_SECONDS = 120
#: More than an agent keeps: what may come twice after a lost connection.
REMEMBERED = 1024
LONGEST_LINE = 1 << 20
#: Change nothing that a declaration speaks of; mounts come and go all day.
_HARMLESS = ("pull", "push", "mount", "unmount")
_NANO = 1_000_000_000

log = logging.getLogger("plugind.engine.agent_events")


def _load_agents() -> Any:
    """Load the file beside this one, which ansible-rulebook runs by its path."""
    name = "plugind_engine_agents"
    path = Path(__file__).with_name("_agents.py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


_agents = _load_agents()
Lost, Local, Remote = _agents.Lost, _agents.Local, _agents.Remote
Event = dict[str, Any]
Emit = Callable[[Event], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]


# ------------------------------------------------------------------------------------------------------------- events


async def split_lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield whole lines of a stream in pieces; what comes after the last newline is not one."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > LONGEST_LINE:
            raise Lost(f"a line of more than {LONGEST_LINE} bytes")


def parse_event(host: str, line: bytes) -> Event | None:
    """Return the event of a line of `GET /events`; None for a line that is not one."""
    try:
        found = json.loads(line)
        actor = found["Actor"]
        attributes = actor.get("Attributes") or {}
        kind, action, id_, when = found["Type"], found["Action"], actor["ID"], found["timeNano"]
        plugin = attributes.get({"plugin": "name", "volume": "driver"}.get(kind, ""), "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not all(isinstance(text, str) for text in (kind, action, id_, plugin)):
        return None
    if not isinstance(when, int) or not 0 < when < 1 << 63:
        return None
    return make_event(host, kind, action, plugin=plugin, id_=id_, when=when, attributes=attributes)


def make_event(
    host: str, kind: str, action: str, *, when: int,
    plugin: str = "", id_: str = "", attributes: Mapping[str, Any] | None = None,
) -> Event:  # fmt: skip
    """Return an event as rules see it. `when` is Unix time in nanoseconds."""
    said = {"type": kind, "action": action, "plugin": plugin, "id": id_}
    return {**disarm(said), "host": host, "time": when, "attributes": disarm(attributes or {})}


def disarm(value: Any) -> Any:
    """Return a value in whose texts nothing begins a template.

    ansible-rulebook hands events to playbooks as extra variables, which Ansible trusts.
    """
    if isinstance(value, str):
        return re.sub(r"\{(?=[{%#])", "(", value)
    if isinstance(value, Mapping):
        return {disarm(str(key)): disarm(one) for key, one in value.items()}
    if isinstance(value, list):
        return [disarm(one) for one in value]
    return value


# ---------------------------------------------------------------------------------------------------------- following


@dataclass
class Backoff:
    """Pauses between attempts, in seconds: doubled up to the longest, less up to a half by chance."""

    chance: Callable[[], float] = random.random
    failures: int = 0

    def pause(self) -> float:
        """Return the next pause."""
        whole = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures, 30))
        self.failures += 1
        return whole * (1 - self.chance() / 2)


@dataclass
class Follower:
    """One agent's events to one queue, over as many connections as it takes.

    `since` and `seen` are where the next connection begins and what was told already; `due` is set
    when there is a reason to look whether the host is as declared.
    """

    host: str
    agent: Local | Remote
    emit: Emit
    types: list[str]
    since: int | None = None
    backoff: Backoff = field(default_factory=Backoff)
    sleep: Sleep = asyncio.sleep
    seen: dict[tuple[Any, ...], None] = field(default_factory=dict)
    connected: bool | None = None
    due: asyncio.Event = field(default_factory=asyncio.Event)
    rejoined: bool = False

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            try:
                async with contextlib.aclosing(self.agent.stream(self._query())) as pieces:
                    async with contextlib.aclosing(split_lines(pieces)) as lines:
                        async for line in lines:
                            await self._take(line)
                error = "the stream ended"
            except Lost as exc:
                error = str(exc)
            if self.connected is not False:
                self.connected = False
                await self._tell("disconnected", error=error)
            await self.sleep(self.backoff.pause())

    def _query(self) -> dict[str, str]:
        query = {"filters": json.dumps({"type": self.types})}
        if self.since is not None:
            query["since"] = f"{self.since // _NANO}.{self.since % _NANO:09d}"
        return query

    async def _take(self, line: bytes) -> None:
        event = parse_event(self.host, line)
        if event is None:
            if line.strip():
                log.warning("%s: not an event: %r", self.host, line[:200])
        elif (event["type"], event["action"]) == ("daemon", "subscribed"):
            await self._opened(event["time"])
        else:
            await self._deliver(event)

    async def _opened(self, when: int) -> None:
        self.backoff.failures = 0
        self.rejoined = bool(self.seen)
        if self.since is None:
            self.since = when
        self.connected = True
        await self._tell("connected")
        self.due.set()

    async def _deliver(self, event: Event) -> None:
        key = (event["time"], event["type"], event["action"], event["id"])
        known = key in self.seen
        if self.rejoined and not known:
            # An agent that still had the last one would have begun with it.
            await self._tell("gap", after=str(self.since), before=str(event["time"]))
        self.rejoined = False
        if known:
            return
        await self.emit(event)
        self.since = event["time"]
        self.seen[key] = None
        if len(self.seen) > REMEMBERED:
            del self.seen[next(iter(self.seen))]
        if event["action"] not in _HARMLESS or event["attributes"].get("destination"):
            self.due.set()

    async def _tell(self, action: str, **attributes: str) -> None:
        event = make_event(self.host, "agent", action, when=time.time_ns(), attributes=attributes)
        await self.emit(event)


# -------------------------------------------------------------------------------------------------------------- drift

State = tuple[str, dict[str, Any]]
IN_SYNC: State = ("in sync", {})


def judge(answer: bytes) -> State:
    """Return the action and attributes that tell what a dry run has found."""
    try:
        # The last line: login scripts of the host may have had their say first.
        found = json.loads(answer.strip().rpartition(b"\n")[2])
        failed, changed, msg = found["failed"], found["changed"], found["msg"]
        steps = [
            {name: step[name] for name in ("resource", "action", "description", "reason")}
            for step in found["steps"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        return "check failed", {"error": f"the answer is not that of plugind apply: {exc!r}"}
    if failed:
        return "check failed", {"error": str(msg)}
    return ("drifted", {"steps": steps}) if changed else IN_SYNC


@dataclass
class Watcher:
    """Looks whether a host is as declared, and tells when that changes. Times are in seconds."""

    follower: Follower
    declaration: Mapping[str, Any]
    every: float = 300
    settle: float = 2
    repeat: bool = False
    last: State = IN_SYNC

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            for_a_reason = await self._wait()
            if for_a_reason:
                await self.follower.sleep(self.settle)
            self.follower.due.clear()
            if self.follower.connected:
                await self._look(again=self.repeat and not for_a_reason)

    async def _wait(self) -> bool:
        """Wait for a reason to look, or for the time to do so; True if there is a reason."""
        reason = asyncio.ensure_future(self.follower.due.wait())
        timer = asyncio.ensure_future(self.follower.sleep(self.every))
        try:
            await asyncio.wait({reason, timer}, return_when=asyncio.FIRST_COMPLETED)
            return reason.done()
        finally:
            reason.cancel()
            timer.cancel()

    async def _look(self, *, again: bool) -> None:
        try:
            answer = await asyncio.wait_for(
                self.follower.agent.plan(self.declaration), PLAN_SECONDS
            )
            state = judge(answer)
        except Lost as exc:
            # An agent that has gone is the follower's business, who may find out in a moment.
            await self.follower.sleep(FIRST_PAUSE)
            if not self.follower.connected or self.follower.due.is_set():
                return
            state = ("check failed", {"error": str(exc)})
        except asyncio.TimeoutError:
            state = ("check failed", {"error": f"no answer within {PLAN_SECONDS} s"})
        if state == self.last and not (again and state[0] == "drifted"):
            return
        self.last = state
        action, attributes = state
        event = make_event(
            self.follower.host, "declaration", action, when=time.time_ns(), attributes=attributes
        )
        await self.follower.emit(event)


# --------------------------------------------------------------------------------------------------------------- main

DEFAULTS: dict[str, Any] = {
    "socket": "/run/plugind/api.sock", "name": "localhost", "hosts": [], "ssh_args": [],
    "become": False, "executable": "/usr/local/bin/plugind", "since": None,
    "types": ["plugin", "volume"], "declaration": None, "every": 300, "settle": 2, "repeat": False,
}  # fmt: skip


def configure(args: Mapping[str, Any], emit: Emit) -> tuple[list[Follower], list[Watcher]]:
    """Return what follows and watches the agents of a source's arguments; ValueError says what is wrong."""
    given = {name: value for name, value in args.items() if name != "eda_feedback_queue"}
    if unknown := sorted(given.keys() - DEFAULTS.keys()):
        raise ValueError(f"no such arguments: {', '.join(unknown)}")
    options = {**DEFAULTS, **given}
    followers, watchers = [], []
    for entry in options["hosts"] or [None]:
        host = {"name": entry} if isinstance(entry, str) else dict(entry or {})
        name = str(host.get("name") or options["name"])
        agent: Local | Remote = Local(options["socket"])
        if entry is not None:
            address = str(host.get("address") or name)
            agent = Remote(
                address, options["socket"], options["executable"], bool(options["become"]),
                tuple(map(str, options["ssh_args"])),
            )  # fmt: skip
        since = None if options["since"] is None else int(options["since"]) * _NANO
        follower = Follower(name, agent, emit, list(options["types"]), since)
        followers.append(follower)
        declaration = host.get("declaration", options["declaration"])
        if declaration is not None:
            if not isinstance(declaration, Mapping):
                raise ValueError(f"the declaration of {name} is not a mapping")
            every, settle = float(options["every"]), float(options["settle"])
            watchers.append(Watcher(follower, declaration, every, settle, bool(options["repeat"])))
    return followers, watchers


async def main(queue: asyncio.Queue[Event], args: dict[str, Any]) -> None:
    """Put events into the queue until cancelled."""
    followers, watchers = configure(args, queue.put)
    async with asyncio.TaskGroup() as tasks:
        for each in (*followers, *watchers):
            tasks.create_task(each.run())
