# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A one-off container: what was asked for, its record, and its states.

    created --start--> running --exited--> exited --start--> running ...
       `---------------- start failed ------->'

`config` and `host_config` are Docker's objects with the fields that are served, image defaults
filled in; the typed view of them is `Container.process`. The record is `container.json`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from plugind.model.containers.mounts import ContainerMount

ZERO_TIME = "0001-01-01T00:00:00Z"
SHORT_ID = 12


class Status(enum.Enum):
    """Docker's words for what a container does; those that occur here."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """What a container does, or did last. Times are RFC 3339; `pid` is 0 unless it runs."""

    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: str = ZERO_TIME
    finished_at: str = ZERO_TIME

    @property
    def running(self) -> bool:
        """True while its process runs."""
        return self.status is Status.RUNNING

    def started(self, pid: int, at: str) -> ContainerState:
        """Return the state after a start."""
        return ContainerState(status=Status.RUNNING, pid=pid, started_at=at)

    def exited(self, code: int, at: str, error: str = "") -> ContainerState:
        """Return the state after the end, or after a start that failed (`error` says why)."""
        # A container that never ran stays "created", as in the original.
        never = bool(error) and self.started_at == ZERO_TIME
        return replace(
            self,
            status=Status.CREATED if never else Status.EXITED,
            pid=0,
            exit_code=code,
            error=error,
            finished_at=ZERO_TIME if never else at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What runs in a container, and how. `args` is the entrypoint with its arguments."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    hostname: str = ""
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    stop_signal: str = ""
    stop_timeout: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container. `image` is what the client called it, `image_id` which one it was."""

    id: str
    name: str
    created_at: str
    image: str
    image_id: str
    process: Process
    config: Mapping[str, Any]
    host_config: Mapping[str, Any]
    mounts: tuple[ContainerMount, ...] = ()
    state: ContainerState = field(default_factory=ContainerState)

    @property
    def network(self) -> str:
        """`none`, `host` or `default` (as `none`, with a warning)."""
        return str(self.host_config["NetworkMode"])

    @property
    def auto_remove(self) -> bool:
        """True if it goes when it ends."""
        return bool(self.host_config["AutoRemove"])

    @property
    def read_only(self) -> bool:
        """True if its own file system may not be written."""
        return bool(self.host_config["ReadonlyRootfs"])

    @property
    def labels(self) -> dict[str, str]:
        """Its labels, the image's included."""
        return dict(self.config["Labels"] or {})

    @property
    def volumes(self) -> tuple[str, ...]:
        """The names of the volumes that it mounts."""
        names = [mount.source for mount in self.mounts if mount.type == "volume"]
        return tuple(dict.fromkeys(names))

    def with_state(self, state: ContainerState) -> Container:
        """Return the container in another state."""
        return replace(self, state=state)

    def to_record(self) -> dict[str, Any]:
        """Return the container as `container.json` keeps it."""
        state, process = self.state, self.process
        return {
            "id": self.id,
            "name": self.name,
            "created_at": self.created_at,
            "image": self.image,
            "image_id": self.image_id,
            "process": {
                "args": list(process.args),
                "env": list(process.env),
                "working_dir": process.working_dir,
                "user": process.user,
                "hostname": process.hostname,
                "tty": process.tty,
                "stdin": process.stdin,
                "stdin_once": process.stdin_once,
                "stop_signal": process.stop_signal,
                "stop_timeout": process.stop_timeout,
            },
            "config": dict(self.config),
            "host_config": dict(self.host_config),
            "mounts": [mount.to_record() for mount in self.mounts],
            "state": {
                "status": state.status.value,
                "pid": state.pid,
                "exit_code": state.exit_code,
                "error": state.error,
                "started_at": state.started_at,
                "finished_at": state.finished_at,
            },
        }


def from_record(record: Mapping[str, Any]) -> Container:
    """Read `container.json` back; KeyError, TypeError or ValueError if it is broken."""
    process, state = dict(record["process"]), dict(record["state"])
    for key in ("args", "env"):
        process[key] = tuple(process[key])
    state["status"] = Status(state["status"])
    host_config = record["host_config"]
    for key in ("NetworkMode", "AutoRemove", "ReadonlyRootfs"):
        if key not in host_config:
            raise KeyError(key)
    return Container(
        id=record["id"],
        name=record["name"],
        created_at=record["created_at"],
        image=record["image"],
        image_id=record["image_id"],
        process=Process(**process),
        config=record["config"],
        host_config=host_config,
        mounts=tuple(ContainerMount(**mount) for mount in record["mounts"]),
        state=ContainerState(**state),
    )
