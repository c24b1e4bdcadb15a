# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Declarations for a real Docker Engine that are verified and undone, from the host of the engine.

The private dockerd has a mount namespace of its own, so the command is run in it, as it would be on a
host whose engine it is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plugind.ctl import build as ctl_build
from plugind.dockerd import undo_log
from support import docker_registry, dockerd
from support.faulty import make_version

#: Versions of the faulty driver, which is localdir without a fault, by tag.
FAULTS = {"1": "", "2": "", "unfit": "mount-error"}
VERIFY = {"volume": {}, "timeout": 2}

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not dockerd.is_usable(), reason="needs root, dockerd and runc"),
]


@dataclass
class Lab:
    """A Docker Engine and a registry with every version."""

    url: str
    host: str
    directory: Path

    def run(self, *arguments: str, document: Any = None) -> tuple[int, dict[str, Any]]:
        """Run a verb where the engine is; return its status and its answer."""
        pid = (self.directory / "engine/pid").read_text().strip()
        argv = ["nsenter", "--mount", "--target", pid, sys.executable, "-m", "plugind", *arguments]
        done = subprocess.run(
            [*argv, "--json", "--engine", self.url],
            input=json.dumps(document),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, undo_log.VARIABLE: str(self.directory / "undo")},
        )
        assert done.stdout, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, answer

    def apply(self, tag: str, **more: Any) -> tuple[int, dict[str, Any]]:
        plugin = {"name": "driver", "source": f"{self.host}/driver:{tag}", **more}
        return self.run("apply", document={"plugins": [plugin]})

    def state(self) -> tuple[Any, ...]:
        """Return what there is of the plugin, and of any volume."""
        _, found = self.run("query", document={"plugins": None, "volumes": None})
        assert found["volumes"] == []
        return tuple(
            (one["Enabled"], one["PluginReference"].rpartition(":")[2], one["Settings"]["Env"])
            for one in found["plugins"]
        )


@pytest.fixture(scope="module")
def lab(faulty: Path) -> Iterator[Lab]:
    # dockerd wants an ordinary disk below it, and socket paths are short.
    directory = Path(tempfile.mkdtemp(prefix="plugind-", dir="/var/tmp"))
    docker_registry.require()
    try:
        with (
            docker_registry.run(directory / "registry") as registry,
            dockerd.running(directory / "engine") as url,
        ):
            lab = Lab(url, registry.host, directory)
            for tag, fault in FAULTS.items():
                build(lab, faulty, tag, fault)
            yield lab
    finally:
        shutil.rmtree(directory)


def build(lab: Lab, faulty: Path, tag: str, fault: str) -> None:
    """Push a version, and leave nothing of it in the engine."""
    version = make_version(faulty, lab.directory, tag, fault)
    name = f"{lab.host}/driver:{tag}"
    path = lab.directory / "order.json"
    path.write_text(json.dumps({"name": name, "path": str(version), "push": True}))
    state = str(lab.directory / "state")
    assert ctl_build.main_build([str(path), "--engine", lab.url, "--state-dir", state]) == 0
    code, answer = lab.run("apply", document={"plugins": [{"name": name, "state": "absent"}]})
    assert code == 0, answer


def test_what_does_not_serve_is_undone_and_what_does_can_be_taken_back(lab: Lab) -> None:
    code, fresh = lab.apply("unfit", verify=VERIFY)
    assert (code, fresh["rolled_back"], lab.state()) == (1, True, ())
    assert "mount failed on purpose" in fresh["msg"]
    code, installed = lab.apply("1", settings={"env": {"DEBUG": "1"}}, verify=VERIFY)
    assert code == 0, installed
    assert installed["steps"][-1]["action"] == "plugin-verify"
    (before,) = lab.state()
    assert before[:2] == (True, "1")
    # A Docker Engine keeps every setting across an upgrade, and the fault is one.
    code, failed = lab.apply("unfit", settings={"env": {"FAULT": "mount-error"}}, verify=VERIFY)
    assert (code, failed["rolled_back"]) == (1, True), failed
    assert lab.state() == (before,)
    code, upgraded = lab.apply("2", settings={"env": {"DEBUG": "0"}}, verify=VERIFY)
    assert code == 0, upgraded
    assert lab.state()[0][:2] == (True, "2")
    change = upgraded["undo"]["id"]
    code, refused = lab.run("rollback", "0123456789abcdef")
    assert (code, change in refused["msg"]) == (1, True)
    code, back = lab.run("rollback", change)
    assert (code, back["rolled_back"]) == (0, True), back
    assert lab.state() == (before,)
    code, refused = lab.run("rollback")
    assert (code, "no change to go back from" in refused["msg"]) == (1, True)
