# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The OCI runtime's command line, 1:1: `runc --root ROOT COMMAND ID`. crun has the same."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugind import errors, log
from plugind.host import proc

_NO_SECCOMP = "see `plugind doctor`, and [confinement] seccomp in plugind.toml"
_MESSAGE = re.compile(r'msg="((?:[^"\\]|\\.)*)"')
#: A healthy runtime takes 10 to 100 ms; minutes mean a hanging mount below it.
_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Oci:
    """A runtime binary and the directory in which it keeps its state."""

    binary: str
    root: Path

    def argv(self, *words: str) -> list[str]:
        """Return the command line for `words`."""
        return [self.binary, "--root", str(self.root), *words]

    async def start(self, container_id: str) -> None:
        """Let a created container run its program."""
        await self._run("start", container_id)

    async def state(self, container_id: str) -> dict[str, Any] | None:
        """Return what the runtime says about the container, None if it does not know it."""
        if not (self.root / container_id).exists():
            return None
        done = await proc.run(self.argv("state", container_id), timeout=_TIMEOUT, check=False)
        if done.returncode != 0:
            return None
        try:
            state = json.loads(done.stdout)
        except ValueError as exc:
            raise errors.System(f"cannot read state of container {container_id}: {exc}") from exc
        return state if isinstance(state, dict) else None

    async def kill_all(self, container_id: str) -> None:
        """SIGKILL every process of the container, also those outside its first one's namespace."""
        await self._run("kill", "--all", container_id, "KILL")

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        """Remove the runtime's state and the cgroup; `force` kills first."""
        if not (self.root / container_id).exists():
            return
        try:
            await self._run("delete", *(["--force"] if force else []), container_id)
        except errors.System as exc:
            if (self.root / container_id).exists():
                raise
            # runc gives the kernel 0.3 s to let go of a cgroup, and forgets the container anyway.
            log.warning("something of a container is left", container=container_id, cause=exc)

    def list_ids(self) -> list[str]:
        """Return the ids that the runtime has state of, whatever state that is."""
        try:
            return sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        except FileNotFoundError:
            return []

    async def _run(self, *words: str) -> None:
        try:
            await proc.run(self.argv(*words), timeout=_TIMEOUT)
        except proc.ToolFailed as exc:
            if exc.status is None:
                raise
            name = os.path.basename(self.binary)
            raise errors.System(
                f"cannot {words[0]} container {words[-1]}: {name}: {complaint(exc.tail)}"
            ) from exc


def complaint(output: str) -> str:
    """Return the last error in a runtime's output, with what to do about it where we know."""
    text = _last_error(output)
    return f"{text} ({_NO_SECCOMP})" if "seccomp" in text.lower() else text


def _last_error(output: str) -> str:
    """Return plain text, or `msg` of a runtime's log lines."""
    messages = _MESSAGE.findall(output)
    if messages:
        text: str = messages[-1]
        return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), text)
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def find_program(name: str) -> str:
    """Return the absolute path of a program, because conmon does not search for its runtime."""
    found = shutil.which(name, path=proc.ENVIRONMENT["PATH"])
    return found or name
