# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What hosts without a network need: wheels for the agent, and plugins in the fleet's registry."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fleet.rootfs import CACHE, REPOSITORY

if TYPE_CHECKING:
    from fleet.fleet import Fleet

AGENT = REPOSITORY / "agent"


def find_wheel() -> Path:
    """The agent's wheel, as `make wheel` has built it."""
    (wheel,) = (REPOSITORY / "roles/agent/files").glob("plugind-*.whl")
    return wheel


def obtain_wheelhouse(lower: Path, cache: Path = CACHE) -> Path:
    """A directory with the wheels that the agent depends on, for the Python in the tree `lower`.

    Downloaded once, from the index that pip on this machine is configured for.
    """
    pythons = sorted(path.name for path in (lower / "usr/bin").glob("python3.[0-9]*"))
    version = pythons[-1].removeprefix("python")
    depends = re.findall(r"(?ms)^dependencies = \[(.*?)^\]", (AGENT / "pyproject.toml").read_text())
    key = hashlib.sha256(f"{version} {depends}".encode()).hexdigest()[:16]
    place = cache / f"wheelhouse-{key}"
    with open(cache / "wheelhouse.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix=".wheelhouse-") as beside:
                download_wheels(Path(beside, "wheels"), f"--python-version={version}")
                Path(beside, "wheels", find_wheel().name).unlink()
                Path(beside, "wheels").rename(place)
    return place


def download_wheels(directory: Path, *options: str) -> None:
    """Put the agent's wheel and all that it depends on into `directory`, by default for this Python."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--only-binary=:all:", f"--dest={directory}", *options, str(find_wheel())],
        check=True, stdout=sys.stderr,
    )  # fmt: skip


def build_wheel(directory: Path, version: str) -> Path:
    """Build the agent's wheel into `directory` out of the same sources, with another version number."""
    source = directory / "source"
    shutil.copytree(
        AGENT, source / "agent", ignore=shutil.ignore_patterns("tests", "__pycache__", ".*")
    )
    galaxy = (REPOSITORY / "galaxy.yml").read_text()
    (source / "galaxy.yml").write_text(re.sub(r"(?m)^version: .*$", f"version: {version}", galaxy))
    code = f"import hatchling.build; print(hatchling.build.build_wheel({str(directory)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source / "agent",
        check=True,
        capture_output=True,
        text=True,
    )
    shutil.rmtree(source)
    return directory / done.stdout.split()[-1]


def publish(
    fleet: Fleet, plugin: str, repository: str, tags: Mapping[str, Mapping[str, object]]
) -> None:
    """Build an example plugin and push it to the fleet's registry, once for each tag.

    A tag's mapping is what is different in its config.json. References are
    `{fleet.registry.host}/{repository}:{tag}`.
    """
    sys.path.append(str(AGENT / "tests"))
    from support import daemon

    with tempfile.TemporaryDirectory(prefix="plugind-publish-") as name:
        place = Path(name)
        built = daemon.build_plugin(plugin, place / "built")
        config = json.loads((built / "config.json").read_text())
        settings = place / "plugind.toml"
        settings.write_text(f'[registry]\ninsecure = ["{fleet.registry.host}"]\n')
        # On the controller, in its network and with its own everything else.
        prefix = ("nsenter", "--target", str(fleet.ground.keeper.pid), "--net", "--")
        with daemon.run(place / "agent", {"config": str(settings)}, prefix) as agent:
            for tag, changes in tags.items():
                (built / "config.json").write_text(json.dumps({**config, **changes}))
                reference = f"{fleet.registry.host}/{repository}:{tag}"
                agent.cli("plugin", "create", reference, str(built))
                agent.cli("plugin", "push", reference)
