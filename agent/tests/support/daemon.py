# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The real daemon on directories of its own, with real conmon and runc.

    with daemon.run(tmp_path) as agent:
        agent.cli("plugin", "ls")          # the docker CLI against it
        agent.verb("ls", "--json")         # plugind's own client
        agent.kill(); agent.start()        # as often as a test likes

Starting waits for the log line that says that the API listens. At the end every plugin is stopped
and what was mounted below the directory is unmounted.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from plugind.ctl.http import connect, request_json
from plugind.host import mounts

REPOSITORY = Path(__file__).parents[3]
#: A daemon that takes longer to end than this is killed.
SECONDS = 20.0
TOOLS = ("runc", "conmon", "docker", "mmdebstrap")


def require(*programs: str) -> None:
    """Skip the test if a program is missing or we are not root."""
    lacking = [name for name in programs if shutil.which(name) is None]
    if os.geteuid() != 0:
        lacking.append("root")
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)}")


class Agent:
    """A daemon that can be started, stopped and killed."""

    def __init__(
        self,
        directory: Path,
        options: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.root = directory / "lib"
        self.run = directory / "run"
        self.logs = directory / "log"
        # Short, because a socket's path holds 107 bytes and an id takes 64 of them.
        self.sockets = Path(tempfile.mkdtemp(prefix="p-"))
        self.socket = self.run / "api.sock"
        self.output = directory / "daemon.log"
        self._options = dict(options or {})
        self._prefix = tuple(prefix)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self, env: Mapping[str, str] | None = None, *, check: bool = True) -> bool:
        """Start it and wait until the API listens; False if it ended instead."""
        self.run.parent.mkdir(parents=True, exist_ok=True)
        argv = [*self._prefix, sys.executable, "-m", "plugind", "serve", "--group", "root"]
        for name in ("root", "run", "logs", "sockets"):
            argv += [f"--{name}", str(getattr(self, name))]
        for name, value in self._options.items():
            argv += [f"--{name}", value]
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        listening = threading.Event()
        self._reader = threading.Thread(target=self._copy, args=(self._process, listening))
        self._reader.start()
        listening.wait()
        up = self._process.poll() is None
        if check and not up:
            raise AssertionError(f"the daemon ended: {self.log()}")
        return up

    def _copy(self, process: subprocess.Popen[str], listening: threading.Event) -> None:
        assert process.stderr is not None
        with self.output.open("a") as copy, process.stderr:
            for line in process.stderr:
                copy.write(line)
                copy.flush()
                if "API listen on" in line:
                    listening.set()
        process.wait()
        listening.set()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit status."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        status = self._process.wait()
        assert self._reader is not None
        self._reader.join()
        self._process = None
        return status

    def kill(self) -> None:
        """Kill -9."""
        self.stop(signal.SIGKILL)

    def kill_plugin(self, name: str) -> None:
        """Kill -9 a plugin, and wait for its end: until then it takes connections, and drops them."""
        pid = self.plugin(name)["Status"]["Pid"]
        ended = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            select.select([ended], [], [])
        finally:
            os.close(ended)

    def wait(self) -> int:
        """Wait until it ends by itself (at a crash point)."""
        assert self._process is not None
        status = self._process.wait()
        assert self._reader is not None
        self._reader.join()
        self._process = None
        return status

    def log(self) -> str:
        """What it has logged so far, over all its lives."""
        return self.output.read_text() if self.output.exists() else ""

    def request(self, method: str, path: str, document: Any = None) -> Any:
        """One API request; plugind.ctl.http.Refused for an error status."""
        connection = connect(self.url)
        try:
            return request_json(connection, method, path, document)
        finally:
            connection.close()

    def cli(self, *arguments: str, input: str | None = None, status: int = 0) -> str:
        """Run the docker CLI against it; return what it printed, both streams."""
        env = {**os.environ, "DOCKER_HOST": self.url, "DOCKER_CONFIG": str(self.run)}
        return _run(["docker", *arguments], env, input, status)

    def docker(self, *arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run the docker CLI against it, its streams apart, however it ends."""
        env = {**os.environ, "DOCKER_HOST": self.url, "DOCKER_CONFIG": str(self.run)}
        argv = ["docker", *arguments]
        return subprocess.run(argv, env=env, input=input, capture_output=True, check=False)

    def verb(self, *arguments: str, input: str | None = None, status: int = 0) -> str:
        """Run a verb of plugind's client."""
        env = {**os.environ, "PLUGIND_SOCKET": str(self.socket)}
        return _run([sys.executable, "-m", "plugind", *arguments], env, input, status)

    def plugin(self, name: str) -> dict[str, Any]:
        """The native view of one plugin."""
        found: dict[str, Any] = self.request("GET", f"/plugind/plugins/{name}")
        return found

    def runc(self, *arguments: str, status: int = 0) -> str:
        """Run runc on the documented root."""
        return _run(["runc", "--root", str(self.run / "runc"), *arguments], None, None, status)

    def running(self) -> list[str]:
        """The plugins' containers that have not ended; runc is let forget the others in the background."""
        listed = json.loads(self.runc("list", "--format", "json")) or []
        return [found["id"] for found in listed if found["status"] != "stopped"]

    def clean_up(self) -> None:
        """Stop everything that was started below the directory."""
        self._end()
        listed = self.runc("list", "-q").split() if (self.run / "runc").exists() else []
        for container in listed:
            self.runc("delete", "--force", container)
        self._end_containers()
        mounts.unmount_tree(self.root)
        shutil.rmtree(self.sockets)

    def _end(self) -> None:
        """Let it end by itself, because what a killed daemon ran is not measured."""
        if self._process is None:
            return
        self._process.terminate()
        assert self._reader is not None
        self._reader.join(SECONDS)
        self.kill()

    def _end_containers(self) -> None:
        """Kill what containers are left; their conmon ends with them."""
        binary = self._options.get("runtime-binary", "runc")
        root = self.run / f"{binary}-containers"
        for container in sorted(root.iterdir()) if root.exists() else []:
            argv = [binary, "--root", str(root), "delete", "--force", container.name]
            _run(argv, None, None, 0)


def _run(argv: list[str], env: Mapping[str, str] | None, input: str | None, status: int) -> str:
    done = subprocess.run(
        argv, env=env, input=input, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, stdin=subprocess.DEVNULL if input is None else None,
    )  # fmt: skip
    assert done.returncode == status, f"{argv} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@contextlib.contextmanager
def run(
    directory: Path, options: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> Iterator[Agent]:
    """Run a daemon for the length of the block; `prefix` is a command that becomes it (unshare)."""
    require("runc", "conmon")
    agent = Agent(directory, options, prefix)
    try:
        agent.start()
        yield agent
    finally:
        agent.clean_up()


def build_plugin(name: str, target: Path, *options: str) -> Path:
    """Build a plugin (`localdir`, `sshfs`, or a directory) into `target`; cached between runs."""
    require("mmdebstrap")
    cache = REPOSITORY / ".build" / "rootfs"
    cache.mkdir(parents=True, exist_ok=True)
    builder = REPOSITORY / "examples" / "plugins" / "build.py"
    argv = [sys.executable, str(builder), name, "--output", str(target), "--cache", str(cache)]
    _run([*argv, *options], None, None, 0)
    return target


def parse_lines(text: str) -> list[dict[str, Any]]:
    """Parse JSON lines."""
    return [json.loads(line) for line in text.splitlines() if line.strip()]
