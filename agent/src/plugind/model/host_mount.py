# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Host mounts: a volume that is mounted at a path of the host, without any container engine.

mounted      the volume is seen at the path
unmounted    recorded, and nothing of ours is at the path
stale        what is at the path is an earlier mount of the driver's, which is dead or gone
covered      something else is mounted there
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plugind import errors

MOUNTED, UNMOUNTED, STALE, COVERED = "mounted", "unmounted", "stale", "covered"
#: As in mount(8) and in Docker's bind mounts; the first one is the default.
PROPAGATIONS = ("rprivate", "private", "rslave", "slave", "rshared", "shared")
#: The zero is wanted, because YAML turns a bare 0777 into the number 511.
_MODE = re.compile(r"0[0-7]{3}", re.ASCII)
_LONGEST = 4095
#: What the kernel says after the path of a directory that is deleted; no path has two slashes.
_DELETED = "//deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a mount shows, as the kernel names it: a file system's device, and a directory in it."""

    device: str
    root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMount:
    """The record of a host mount.

    path           absolute and normal
    mode, owner,   of the directory, if it has to be made: octal digits, names or numbers; "" is
    group          0755, root, root
    created        directories that were made for it, outermost first
    bound          what was mounted there last, None if nothing was yet
    """

    path: str
    volume: str
    read_only: bool = False
    propagation: str = PROPAGATIONS[0]
    mode: str = ""
    owner: str = ""
    group: str = ""
    created: tuple[str, ...] = ()
    bound: Source | None = None

    def shows_the_same(self, other: HostMount) -> bool:
        """True if what is seen at the path is the same; how a directory was made is not seen."""
        return (self.path, self.volume, self.read_only, self.propagation) == (
            other.path,
            other.volume,
            other.read_only,
            other.propagation,
        )

    def to_record(self) -> dict[str, Any]:
        """Return the mount as `mount.json` keeps it."""
        bound = self.bound
        return {
            "path": self.path,
            "volume": self.volume,
            "read_only": self.read_only,
            "propagation": self.propagation,
            "mode": self.mode,
            "owner": self.owner,
            "group": self.group,
            "created": list(self.created),
            "bound": None if bound is None else {"device": bound.device, "root": bound.root},
        }

    def to_json(self, *, state: str, error: str) -> dict[str, Any]:
        """Return the mount as the native API shows it."""
        return {
            "Path": self.path,
            "Volume": self.volume,
            "ReadOnly": self.read_only,
            "Propagation": self.propagation,
            "State": state,
            "Error": error,
        }


def from_record(record: Mapping[str, Any]) -> HostMount:
    """Read `mount.json` back; KeyError or TypeError if it is broken."""
    bound = record["bound"]
    return HostMount(
        path=normal_path(record["path"]),
        volume=record["volume"],
        read_only=record["read_only"],
        propagation=_propagation(record["propagation"]),
        mode=record["mode"],
        owner=record["owner"],
        group=record["group"],
        created=tuple(record["created"]),
        bound=None if bound is None else Source(device=bound["device"], root=bound["root"]),
    )


def parse(document: Mapping[str, Any]) -> HostMount:
    """Return what a client asks for (keys as in a declaration); InvalidParameter says what is wrong."""
    mode = document.get("mode") or ""
    if mode and not _MODE.fullmatch(mode):
        raise errors.InvalidParameter(f'invalid mode "{mode}": want octal digits such as 0750')
    volume = document.get("volume") or ""
    if not volume:
        raise errors.InvalidParameter("cannot mount: no volume was named")
    return HostMount(
        path=normal_path(document.get("path") or ""),
        volume=volume,
        read_only=bool(document.get("read_only")),
        propagation=_propagation(document.get("propagation") or PROPAGATIONS[0]),
        mode=mode,
        owner=document.get("owner") or "",
        group=document.get("group") or "",
    )


def state(
    mount: HostMount,
    stack: Sequence[tuple[Source, bool]],
    shown: Source | None,
    own: Source,
) -> str:
    """Return the state of a mount.

    `stack` is what is mounted at its path, the topmost last, and whether it is read-only; `shown`
    is what should be seen there, None if the driver has nothing mounted now; `own` is the agent's
    data root.
    """
    if not stack:
        return UNMOUNTED
    top, read_only = stack[-1]
    if top == shown and read_only >= mount.read_only:
        return MOUNTED
    return STALE if top == shown or is_own(mount, top, own) else COVERED


def is_own(mount: HostMount, source: Source, own: Source) -> bool:
    """True if `source` is what was mounted last, wherever its directory is by now.

    The agent moves a plugin's directory to trash/, quarantine/ or previous/, and deletes it, while
    it is still seen at other places; `own` is the agent's data root.
    """
    bound = mount.bound
    if bound is None or source.device != bound.device:
        return False
    root = source.root.removesuffix(_DELETED)
    if root == bound.root:
        return True
    before, now = _inside(bound.root, own.root), _inside(root, own.root)
    if source.device != own.device or len(before) < 2 or not now:
        return False
    # plugins/<id>/rootfs/v is trash/<id>-<random>/rootfs/v now, for example.
    name, below = before[1], before[2:]
    above = now[: len(now) - len(below)]
    return now == above + below and any(f"{part}-".startswith(f"{name}-") for part in above)


def lies_in(mount: HostMount, directory: Source) -> bool:
    """True if what was mounted last is a directory below `directory`."""
    bound = mount.bound
    return (
        bound is not None
        and bound.device == directory.device
        and bool(_inside(bound.root, directory.root))
    )


def normal_path(text: str) -> str:
    """Return an absolute path without doubled and trailing slashes; InvalidParameter if it is none."""
    parts = [part for part in text.split("/") if part]
    if not text.startswith("/") or "\0" in text or "\n" in text:
        raise errors.InvalidParameter(f'invalid path "{text}": want an absolute path')
    if "." in parts or ".." in parts:
        raise errors.InvalidParameter(f'invalid path "{text}": "." and ".." are not allowed')
    if not parts:
        raise errors.InvalidParameter(f'invalid path "{text}": nothing is mounted on /')
    if len(text.encode("utf-8", "surrogateescape")) > _LONGEST:
        raise errors.InvalidParameter(f"invalid path: it is longer than {_LONGEST} bytes")
    return "/" + "/".join(parts)


def require_apart(path: str, own: Iterable[str]) -> None:
    """Raise InvalidParameter if `path` lies in a directory of the agent's own, or hides one."""
    for directory in own:
        if f"{path}/".startswith(f"{directory}/"):
            raise errors.InvalidParameter(
                f'cannot mount at "{path}": it is in "{directory}", which is the agent\'s own'
            )
        if f"{directory}/".startswith(f"{path}/"):
            raise errors.InvalidParameter(
                f'cannot mount at "{path}": it would hide "{directory}", which is the agent\'s own'
            )


def _inside(path: str, directory: str) -> list[str]:
    """Return the parts of `path` below `directory`; none if it is not below."""
    top = directory.rstrip("/") + "/"
    return path[len(top) :].split("/") if path.startswith(top) and path != top else []


def _propagation(text: str) -> str:
    if text not in PROPAGATIONS:
        raise errors.InvalidParameter(
            f'invalid propagation "{text}": want one of {", ".join(PROPAGATIONS)}'
        )
    return text
