# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Every crash point of every operation: die there, boot, look at what must hold, do it again."""

from __future__ import annotations

import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functional import crash_child
from plugind import checkpoint, errors
from plugind.model.containers.container import Status
from plugind.model.images.image import Image
from plugind.model.lifecycle import PluginState
from plugind.model.verify import PROBE_VOLUME
from support import invariants
from support.engine import World

#: Points that no operation of this engine passes; the stores' own tests do.
NOT_REACHED = {
    "pull:before-commit", "pull:after-commit", "volume-seal:after-options",
}  # fmt: skip
FRONT_HOLDER = "podman:ffffffffffff"
#: What an operation that was done before the crash says when it is done again.
DONE_ALREADY = (errors.Conflict, errors.InvalidParameter, errors.NotFound)


class Crasher:
    """The process that forks one process for each operation."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        path = os.pathsep.join(filter(None, sys.path))
        # For what worlds make there and, killed, leave: short, because sockets are among it.
        self._temporary = tempfile.TemporaryDirectory(prefix="c-")
        self._process = subprocess.Popen(
            [sys.executable, crash_child.__file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": self._temporary.name},
        )  # fmt: skip
        self.run(directory / "prepared", "prepare")

    def run(self, base: Path, name: str, point: str = "", *, status: int = 0) -> None:
        base.mkdir(exist_ok=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{base} {name} {point}\n")
        answer = self._process.stdout.readline().strip()
        assert answer == str(status), f"{name} at {point or 'no point'} ended with {answer}"

    def fresh(self, base: Path) -> Path:
        """Return a copy of the prepared world."""
        sockets = shutil.ignore_patterns("*.sock")
        prepared = self.directory / "prepared"
        return Path(shutil.copytree(prepared, base, symlinks=True, ignore=sockets))

    def trace(self, name: str, base: Path) -> list[str]:
        """Return the points that an operation passes, the N-th time as `point:N`."""
        self.run(self.fresh(base), name)
        counts: collections.Counter[str] = collections.Counter()
        points = []
        for point in (base / "trace").read_text().split():
            counts[point] += 1
            points.append(f"{point}:{counts[point]}")
        return points

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._temporary.cleanup()


# Some operations have a hundred points. Beyond its time a test would leave the crasher in the middle of a run.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def crasher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crasher]:
    found = Crasher(tmp_path_factory.mktemp("crash"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def traces(crasher: Crasher) -> dict[str, list[str]]:
    """The points of every operation."""
    base = crasher.directory
    return {name: crasher.trace(name, base / name) for name in crash_child.OPERATIONS}


def test_every_point_is_passed_by_some_operation(traces: dict[str, list[str]]) -> None:
    passed = {point.rpartition(":")[0] for points in traces.values() for point in points}
    assert set(checkpoint.NAMES) - passed == NOT_REACHED


@pytest.mark.parametrize("name", list(crash_child.OPERATIONS))
async def test_whatever_is_killed_in_the_middle_can_be_done_again(
    crasher: Crasher, traces: dict[str, list[str]], name: str, tmp_path: Path
) -> None:
    points = traces[name]
    if name == "declare-and-go-back":  # up to there it is like any other declaration
        points = points[points.index("undo-done:after-commit:1") :]
    for number, point in enumerate(points):
        base = crasher.fresh(tmp_path / str(number))
        crasher.run(base, name, point, status=-9)
        async with crash_child.boot(base) as world:
            await crash_child.settle(world)
            check(world, base, name, point)
            world.host.starts.clear()
            try:
                await crash_child.OPERATIONS[name](world)
            except DONE_ALREADY as exc:
                done_already = str(exc)
            else:
                done_already = ""
            await world.swept()
            check_done(world, name, f"{point} {done_already}")
            await world.reopen()
            await crash_child.settle(world)
            check_done(world, name, point)


def check(world: World, base: Path, name: str, point: str) -> None:
    """What must hold after any crash."""
    where = f"{name} at {point}"
    invariants.check(world.layout.root)
    undo = world.layout.undo
    assert not undo.exists() or json.loads(undo.read_bytes())["state"] == "done", where
    records = invariants.load_records(world.layout.root)
    for entry in world.engine.entries.values():
        plugin = entry.plugin
        assert records[plugin.name]["enabled"] == plugin.enabled, where
        wanted = PluginState.RUNNING if plugin.enabled else PluginState.DISABLED
        assert entry.state is wanted, (where, plugin.name, entry.state)
        assert world.host.is_running(plugin.id) == plugin.enabled, where
    assert "kept:1" in image_names(world) or name == "remove-image", where
    assert "toy:latest" in records or name == "remove", where
    # Whatever was tried in place: one version is there, with settings that it ran with.
    used = records.get("used:latest")
    if used is not None:
        assert "settings_before" not in used, where
        assert not used["remote"].endswith((":bad", ":unfit")), where
        assert "PLUGIN_BEHAVIOUR=exit=1" not in used["settings"]["env"], where
    # Once it has answered, it comes back; before, it does not.
    if name == "enable":
        answered = point in ("save:after-commit:1", "enable:after-commit:1")
        assert records["toy:latest"]["enabled"] == answered, where
    check_volumes(world, base, where)


def check_volumes(world: World, base: Path, where: str) -> None:
    volumes = invariants.load_volumes(world.layout.root)
    calls = crash_child.read_journal(base)
    assert volumes["kept"]["labels"] == {"of": "kept"}, where
    if "free" in volumes:
        assert volumes["free"]["labels"] == {"of": "free"}, where
    else:
        assert ("Remove", {"Name": "free"}) in calls, where
    # Of what was to be tried out nothing is left, at the driver only until it is tried out again.
    assert not [name for name in volumes if name.startswith(PROBE_VOLUME)], where
    calls = [call for call in calls if not str(call[1].get("Name")).startswith(PROBE_VOLUME)]
    # A mount that the driver was asked for has its reference, until the driver undid it.
    undone = [body["ID"] for method, body in calls if method == "Unmount"]
    for method, body in calls:
        if method == "Mount" and body["ID"] not in undone:
            refs = world.engine.volume_store.mounts(body["Name"])
            assert body["ID"] in [ref.id for ref in refs], where
    if not undone:
        held = {ref.holder for ref in world.engine.volume_store.mounts("kept")}
        assert held == {"holder", FRONT_HOLDER}, where


def image_names(world: World) -> dict[str, Image]:
    """Return the engine's images by name."""
    return {name: image for image in world.engine.images.values() for name in image.names}


def check_done(world: World, name: str, where: str) -> None:
    """What must hold once the operation was done again."""
    invariants.check(world.layout.root)
    records = invariants.load_records(world.layout.root)
    volumes = invariants.load_volumes(world.layout.root)
    holders = {v: [r.holder for r in world.engine.volume_store.mounts(v)] for v in volumes}
    images = image_names(world)
    every = [entry.container for entry in world.engine.containers.entries.values()]
    containers = {container.name: container for container in every}
    assert holders.get("local", []) == [], where
    done = {
        "pull-image": lambda: any(one.endswith("/test/box:latest") for one in images),
        "import-image": lambda: "made:1" in images,
        "load-image": lambda: images["kept:1"].raw == crash_child.IMAGE,
        "tag-image": lambda: images["alias:1"] is images["kept:1"],
        "remove-image": lambda: "kept:1" not in images,
        "create-container": lambda: containers["new"].state.status is Status.CREATED,
        "run-container": lambda: containers["job"].state.status is Status.EXITED,
        "remove-container": lambda: "old" not in containers,
        "create": lambda: "new:latest" in records,
        "install": lambda: "new:latest" in records,
        "upgrade": lambda: records["toy:latest"]["remote"].endswith(":v2"),
        "upgrade-used": lambda: is_used(records, ":v2", "DEBUG="),
        "upgrade-used-badly": lambda: is_used(records, ":latest", "DEBUG="),
        "set-used": lambda: is_used(records, ":latest", "DEBUG=1"),
        "set-used-badly": lambda: is_used(records, ":latest", "PLUGIN_BEHAVIOUR="),
        "set": lambda: "DEBUG=1" in records["toy:latest"]["settings"]["env"],
        "enable": lambda: records["toy:latest"]["enabled"],
        "disable": lambda: not records["used:latest"]["enabled"],
        "remove": lambda: "toy:latest" not in records,
        "remove-used": lambda: "used:latest" not in records and "kept" in volumes,
        "create-volume": lambda: volumes["new"]["labels"] == {"l": "1"},
        "remove-volume": lambda: "free" not in volumes,
        "mount": lambda: holders["free"] == ["web"],
        "unmount": lambda: holders["kept"] == [FRONT_HOLDER],
        "host-mount": lambda: is_on_host(world, "new"),
        "host-unmount": lambda: not is_on_host(world, "old"),
        "probe": lambda: sorted(backend_of(world)) == ["free", "kept", "seen"],
        "declare-badly": lambda: is_as_before(world, records, volumes),
        "declare-and-go-back": lambda: is_as_before(world, records, volumes),
        "front-create": lambda: volumes["new"]["options"] == {"o": "1"},
        "front-remove": lambda: "free" not in volumes,
        "front-mount": lambda: holders["free"] == [FRONT_HOLDER],
        "front-unmount": lambda: holders["kept"] == ["holder"],
    }[name]
    assert done(), where


def is_used(records: dict[str, dict[str, Any]], tag: str, setting: str) -> bool:
    """True if `used` is enabled, of that version, and has that setting."""
    record = records["used:latest"]
    is_version = record["enabled"] and record["remote"].endswith(tag)
    return is_version and setting in record["settings"]["env"]


def backend_of(world: World) -> dict[str, Any]:
    """Return the volumes that the backend of `used` has."""
    (entry,) = [one for one in world.engine.entries.values() if one.plugin.name == "used:latest"]
    return world.host.volumes[entry.plugin.id]


def is_as_before(
    world: World, records: dict[str, dict[str, Any]], volumes: dict[str, dict[str, Any]]
) -> bool:
    """True if a declaration has left nothing, not even the way back from it."""
    paths = [path for path in world.engine.host_mounts if path.endswith("/new")]
    # A record of what its driver does not have is shown to nobody, as in Docker.
    known = [name for name in volumes if name == "local" or name in backend_of(world)]
    gone = not paths and sorted(known) == ["free", "kept", "local", "seen"]
    return gone and is_used(records, ":latest", "DEBUG=") and not world.layout.undo.exists()


def is_on_host(world: World, name: str) -> bool:
    """True if the mount is recorded, held and seen, False if it is none of them."""
    recorded = [path for path in world.engine.host_mounts if path.endswith(f"/{name}")]
    refs = world.engine.volume_store.mounts("seen")
    held = [ref.holder for ref in refs if ref.holder.endswith(f"/{name}")]
    assert held == [f"mount:{path}" for path in recorded]
    seen = [mount.path for mount in world.machine.table if mount.path.endswith(f"/{name}")]
    assert seen == recorded
    return bool(recorded)
