# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""VolumeDriver 1.0: what a volume plugin can be asked, with Docker's time limits.

`get` tells "there is no such volume" from "the driver could not say": the first is NoSuchVolume
and may end a record's life, the second is System and must not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from plugind import errors, log
from plugind.model import volume as volume_
from plugind.rpc import client

INTERFACE = "VolumeDriver"
#: Create and Mount may format and attach; the rest only look.
SLOW, QUICK = 120.0, 60.0
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_ABSENT = ("not found", "does not exist", "doesn't exist", "unknown volume", "no volume")
_MEMBERS = frozenset(("Name", "Mountpoint", "CreatedAt", "Status"))
#: Something else is missing: a helper program, a name in DNS, a method.
_NOT_THE_VOLUME = ("executable", "$path", "command not found", "page not found", "host")


class Caller(Protocol):
    """The one thing needed of a plugin's socket."""

    async def call(
        self,
        method: str,
        body: dict[str, Any] | None,
        *,
        timeout: float,
    ) -> Any:
        """POST the method and return the answer, a JSON object."""
        ...


class VolumeDriver:
    """One plugin as a volume driver. `enable_timeout` > 0 shortens every limit, as in Docker."""

    def __init__(self, socket: Caller, *, enable_timeout: float = 0.0) -> None:
        self._socket = socket
        self._longest = enable_timeout if enable_timeout > 0 else SLOW

    async def create(self, name: str, options: Mapping[str, str] | None) -> None:
        """Create a volume; what that means is the driver's business."""
        opts = dict(options) if options else None
        await self._call("Create", {"Name": name, "Opts": opts}, SLOW)

    async def get(self, name: str) -> volume_.DriverVolume:
        """Return the volume; NoSuchVolume only if the driver definitely does not have it."""
        try:
            answer = await self._call("Get", {"Name": name}, QUICK)
        except client.DriverError as exc:
            if means_absent(exc.text, name):
                raise errors.NoSuchVolume(exc.message) from exc
            raise
        found = client.field(answer, "Volume")
        if not found:
            raise errors.NoSuchVolume(f"get {name}: no such volume")
        if not isinstance(found, dict):
            raise errors.System(f"{INTERFACE}.Get: plugin answered with a Volume that is no object")
        # What was asked for: a driver's word does not make it another volume, perhaps not its own.
        return replace(_volume(found, name), name=name)

    async def list(self) -> tuple[volume_.DriverVolume, ...]:
        """Return the volumes that the driver has."""
        answer = await self._call("List", {}, QUICK)
        found = client.field(answer, "Volumes") or []
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise errors.System(f"{INTERFACE}.List: plugin answered with broken Volumes")
        return tuple([_volume(entry, "") for entry in found])

    async def remove(self, name: str) -> None:
        """Remove a volume and what is in it; NoSuchVolume if there was none."""
        try:
            await self._call("Remove", {"Name": name}, QUICK)
        except client.DriverError as exc:
            if means_absent(exc.text, name):
                raise errors.NoSuchVolume(exc.message) from exc
            raise

    async def path(self, name: str) -> str:
        """Return the mountpoint, a path inside the plugin; "" if it is not mounted."""
        return _mountpoint(await self._call("Path", {"Name": name}, QUICK))

    async def mount(self, name: str, mount_id: str) -> str:
        """Mount for the holder `mount_id`; return a path inside the plugin."""
        return _mountpoint(await self._call("Mount", {"Name": name, "ID": mount_id}, SLOW))

    async def unmount(self, name: str, mount_id: str) -> None:
        """Undo one `mount`, with the same id."""
        await self._call("Unmount", {"Name": name, "ID": mount_id}, QUICK)

    async def capabilities(self) -> str:
        """Return the scope, `local` or `global`; whatever goes wrong means `local`."""
        try:
            answer = await self._call("Capabilities", {}, QUICK)
        except errors.PlugindError as exc:
            # Optional in the protocol: many drivers answer 404, and that is no news.
            log.debug("driver has no capabilities", cause=exc)
            return "local"
        shown = client.field(answer, "Capabilities")
        scope = client.field(shown, "Scope") if isinstance(shown, dict) else None
        return "global" if isinstance(scope, str) and scope.lower() == "global" else "local"

    async def _call(self, method: str, body: dict[str, Any], limit: float) -> dict[str, Any]:
        answer: dict[str, Any] = await self._socket.call(
            f"{INTERFACE}.{method}", body, timeout=min(limit, self._longest)
        )
        return answer


def means_absent(text: str, name: str) -> bool:
    """True if a driver's error says for sure that the volume is not there.

    The protocol has no code for it, only words. "not found" alone is not enough: a helper, a
    server or a token may be what was not found, and then the volume's record must live.
    """
    said = text.strip().lower()
    if "no such volume" in said:
        return True
    if any(word in said.replace(name.lower(), "") for word in _NOT_THE_VOLUME):
        return False
    if not any(word in said for word in _ABSENT):
        return False
    return "volume" in said or name.lower() in said or said.rstrip(".!") in _ABSENT


def _volume(found: dict[str, Any], name: str) -> volume_.DriverVolume:
    if not found.keys() <= _MEMBERS:  # else no member needs to be looked for in another spelling
        found = {member: client.field(found, member) for member in _MEMBERS}
    created = found.get("CreatedAt")
    status = found.get("Status")
    return volume_.DriverVolume(
        name=_text(found.get("Name") or name),
        mountpoint=_text(found.get("Mountpoint")),
        # Some drivers send another format; Docker calls the volume absent then, we drop the date.
        created_at=created if isinstance(created, str) and _RFC3339.fullmatch(created) else "",
        status=status if isinstance(status, dict) else {},
    )


def _mountpoint(answer: dict[str, Any]) -> str:
    return _text(client.field(answer, "Mountpoint"))


def _text(value: Any) -> str:
    """Return a name or a path; a lone surrogate, which has no UTF-8, is a question mark in it."""
    if isinstance(value, str) and value.isascii():  # nearly all; a list has thousands
        return value
    return str(value or "").encode("utf-8", "replace").decode("utf-8")
