# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind run` on the agent and on a real Docker Engine, with real containers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plugind.ctl import http
from support import daemon, docker_registry, dockerd, image

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@dataclass
class Lab:
    """An engine, and an image with a shell in a registry."""

    url: str
    registry: str
    directory: Path

    @property
    def image(self) -> str:
        return f"{self.registry}/tools/busybox:1"

    def argv(self, order: dict[str, Any]) -> list[str]:
        path = self.directory / "order.json"
        path.write_text(json.dumps({"image": self.image, **order}))
        return [sys.executable, "-m", "plugind", "run", str(path), "--json", "--engine", self.url]

    def run(self, *command: str, code: int = 0, **order: Any) -> dict[str, Any]:
        argv = self.argv({"command": list(command), **order})
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def request(self, method: str, path: str) -> Any:
        with contextlib.closing(http.connect(self.url)) as connection:
            return http.request_json(connection, method, path)

    def containers(self) -> list[Any]:
        found: list[Any] = self.request("GET", "/containers/json?all=1")
        return found


@contextlib.contextmanager
def agent(directory: Path) -> Iterator[str]:
    with daemon.run(directory) as running:
        yield running.url


@contextlib.contextmanager
def real(directory: Path) -> Iterator[str]:
    daemon.require("dockerd", "containerd", "runc")
    with dockerd.running(directory) as url:
        yield url


@pytest.fixture(scope="module", params=[agent, real], ids=["agent", "dockerd"])
def started(request: pytest.FixtureRequest) -> Iterator[Lab]:
    if image.REASON:
        pytest.skip(image.REASON)
    # dockerd wants an ordinary disk below it, and socket paths are short.
    directory = Path(tempfile.mkdtemp(prefix="plugind-", dir="/var/tmp"))
    try:
        (directory / "registry").mkdir()
        with docker_registry.run(directory / "registry") as registry:
            image.push(registry.host, "tools/busybox", *image.busybox(), tag="1")
            with request.param(directory / "engine") as url:
                yield Lab(url, registry.host, directory)
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def lab(started: Lab) -> Iterator[Lab]:
    yield started
    assert started.containers() == []


def test_output_code_and_removal(lab: Lab) -> None:
    script = "echo out; echo err >&2; exit 3"
    answer = lab.run("sh", "-c", script, code=1)
    assert (answer["rc"], answer["stdout"], answer["stderr"]) == (3, "out\n", "err\n")
    assert answer["image_id"].startswith("sha256:")
    with pytest.raises(http.Refused, match="No such container"):
        lab.request("GET", f"/containers/{answer['container']}/json")


def test_what_the_container_gets(lab: Lab) -> None:
    script = "id -u; id -g; pwd; echo $A; cat; echo x > /etc/x"
    answer = lab.run(
        "-c", script, entrypoint="sh", user="1000:2000", working_dir="/home", env={"A": "b"},
        stdin="given\n", read_only=True, network="host", name="one-off", labels={"l": "v"}, code=1,
    )  # fmt: skip
    assert answer["stdout"] == "1000\n2000\n/home\nb\ngiven\n"
    assert "can't create /etc/x" in answer["stderr"] or "Read-only" in answer["stderr"]


def test_volumes(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "from").write_text("host")
    volumes = ["data-run:/data", f"{tmp_path}:/host:ro"]
    lab.run("sh", "-c", "cat /host/from > /data/kept", volumes=volumes)
    there = {"source": "data-run", "target": "/data", "read_only": True}
    answer = lab.run("sh", "-c", "cat /data/kept; echo x > /data/kept", volumes=[there], code=1)
    assert answer["stdout"] == "host"
    assert "Read-only file system" in answer["stderr"]
    # Nothing holds it any more.
    lab.request("DELETE", "/volumes/data-run")


def test_nothing_of_much_output_is_lost(lab: Lab) -> None:
    answer = lab.run("sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x; echo end >&2")
    assert (answer["stdout"], answer["stderr"]) == ("x" * 5_000_000, "end\n")


def test_much_input(lab: Lab) -> None:
    text = "x" * 2_000_000
    assert lab.run("wc", "-c", stdin=text)["stdout"].split() == ["2000000"]
    assert lab.run("true", stdin=text)["rc"] == 0


def test_a_time_limit(lab: Lab) -> None:
    answer = lab.run("sh", "-c", "echo so far; exec sleep 1000", timeout=1, code=1)
    assert answer["msg"] == "the command did not end within 1 s and was killed"
    assert (answer["rc"], answer["stdout"]) == (137, "so far\n")


def test_too_much_output(lab: Lab) -> None:
    # In long lines: a Docker Engine writes each into its log.
    answer = lab.run("sh", "-c", "yes $(head -c 8000 /dev/zero | tr '\\0' y)", code=1)
    assert answer["msg"] == "the command was killed: stdout has more than 16777216 bytes"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal(lab: Lab, tmp_path: Path, number: int) -> None:
    os.mkfifo(tmp_path / "fifo")
    script = "echo up > /v/fifo; exec sleep 1000"
    argv = lab.argv({"command": ["sh", "-c", script], "volumes": [f"{tmp_path}:/v"]})
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert (tmp_path / "fifo").read_text() == "up\n"
        process.send_signal(number)
        process.communicate()
    assert process.returncode == 128 + number


def test_what_is_not_there(lab: Lab) -> None:
    answer = lab.run("nosuch", code=1)
    assert answer["msg"].startswith(f"cannot run {lab.image}: ")
    assert "nosuch" in answer["msg"]
    answer = lab.run("true", image=f"{lab.registry}/tools/none:1", code=1)
    assert answer["msg"].startswith(f"cannot pull {lab.registry}/tools/none:1: ")
    answer = lab.run("true", image=f"{lab.registry}/tools/busybox:2", pull="never", code=1)
    assert "pull is never" in answer["msg"]


def test_pull_always(lab: Lab) -> None:
    answer = lab.run("echo", "x", pull="always")
    assert answer["stdout"] == "x\n"
