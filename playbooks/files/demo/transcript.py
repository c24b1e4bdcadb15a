#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Docker's documentation of managed plugins, typed in and compared: command by command, with the docker CLI.

    NAME=127.0.0.1:5000/sshfs DATA=.build/plugins/sshfs ... transcript.py

Each command runs in a shell as it is printed. Below it stands what is expected, from the documentation:
blanks stand for any blanks, <12 hex> and <64 hex> for an ID, <number> for a number, <...> for anything.
The first output of another shape ends the demo. What goes to standard error is printed and not compared.

What is typed comes from a generator, `session`, which runs nothing itself: a test compares it with the excerpt in
README.md.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from textwrap import dedent
from typing import TypeVar

NAME = os.environ["NAME"]  # what the documentation calls vieux/sshfs
DATA = os.environ["DATA"]  # config.json and rootfs/
SSHCMD, PORT, PASSWORD_FILE = (os.environ[key] for key in ("SSHCMD", "PORT", "PASSWORD_FILE"))
LOG = os.environ["LOG"]  # a command that prints the agent's log
SHARE = os.environ["SHARE"]  # the directory on the SSH server
IMAGE = os.environ["IMAGE"]  # an archive with the image busybox
MOUNT = os.environ["MOUNT"]  # where on this host the volume is mounted

Result = TypeVar("Result")

HOLES = {
    "<12 hex>": "[0-9a-f]{12}",
    "<64 hex>": "[0-9a-f]{64}",
    "<number>": "[0-9.]+",
    "<...>": "[\\s\\S]*",
}


@dataclass(frozen=True)
class Step:
    """A command, and the shape of what it prints; `answers` are typed after their prompts, `remark` is said before."""

    command: str
    expected: str = "<...>"
    answers: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""

    @property
    def wanted(self) -> str:
        """What is expected, as text with holes."""
        return dedent(self.expected).strip().format(name=NAME)


#: Steps, each of which is sent what its command has printed.
Steps = Generator[Step, str, Result]


def show(step: Step) -> str:
    """Type a command, print what it prints, insist on its shape."""
    if step.remark:
        print(f"\n# {step.remark}", flush=True)
    command, wanted = step.command, step.wanted
    print("$ " + command.replace("\n", "\n  "), flush=True)
    remarks, output, status = (
        on_terminal(command, step.answers) if step.answers else in_pipe(command)
    )
    for text in filter(None, (remarks, output)):
        print(text, flush=True)
    if status != 0 or not re.fullmatch(pattern(wanted), output.strip()):
        sys.exit(
            f"demo: {command!r} ended with {status} and the output above; the documentation has\n{wanted}"
        )
    return output.strip()


def pattern(wanted: str) -> str:
    """Turn an expected output into a regular expression."""
    parts = re.split("(" + "|".join(map(re.escape, HOLES)) + r"|\s+)", wanted)
    return "".join(
        HOLES.get(part) or (r"\s+" if part.isspace() else re.escape(part)) for part in parts
    )


def in_pipe(command: str) -> tuple[str, str, int]:
    """Run a command without a terminal; return standard error, standard output, and exit code."""
    done = subprocess.run(
        ["bash", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stderr.rstrip(), done.stdout.rstrip(), done.returncode


def on_terminal(command: str, answers: Mapping[str, str]) -> tuple[str, str, int]:
    """Run a command on a terminal of its own and type each answer when its prompt is there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("timeout", ["timeout", "--foreground", "60", "bash", "-c", command])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 160, 0, 0))
    seen, waiting, start = "", list(answers.items()), 0
    while chunk := read_terminal(terminal):
        seen += chunk
        while waiting and (at := seen.find(waiting[0][0], start)) >= 0:
            prompt, answer = waiting.pop(0)
            start = at + len(prompt)
            os.write(terminal, answer.encode() + b"\n")
    os.close(terminal)
    return "", as_on_screen(seen), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def read_terminal(terminal: int) -> str:
    """Read what is there; the terminal of a process that has ended is an error to Linux."""
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:
        return ""


def as_on_screen(text: str) -> str:
    """Return what a terminal shows in the end: progress lines are drawn over and over."""
    lines, row, column = [""], 0, 0
    for code in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+|\x1b", text):
        number = int("".join(re.findall("[0-9]+", code)[:1] or "1")) if code[0] == "\x1b" else 0
        if code == "\r":
            column = 0
        elif code == "\n":
            row += 1
        elif code[0] == "\x1b":
            row = max(0, row + {"A": -number, "B": number}.get(code[-1], 0))
            if code[-1] == "K" and row < len(lines):
                lines[row] = lines[row][:column] if number != 2 else ""
        else:
            lines[row] = lines[row][:column].ljust(column) + code + lines[row][column + len(code) :]
            column += len(code)
        lines += [""] * (row + 1 - len(lines))
    return "\n".join(line.rstrip() for line in lines).strip()


def developing() -> Steps[None]:
    """Chapter "Developing a plugin": create, list, push."""
    yield Step(
        f"ls {DATA}",
        "config.json\nrootfs",
        remark="Developing a plugin: config.json and rootfs/ become a plugin, and go to a registry",
    )
    yield Step(f"docker plugin create {NAME} {DATA}", "{name}")
    yield Step("docker plugin ls", """
        ID NAME DESCRIPTION ENABLED
        <12 hex> {name}:latest sshFS plugin for Docker false""")  # fmt: skip
    yield Step(f"docker plugin push {NAME}", """
        The push refers to repository [{name}]
        <...>latest: digest: sha256:<64 hex> size: <number>""")  # fmt: skip
    yield Step(f"docker plugin rm {NAME}", "{name}")


def installing() -> Steps[str]:
    """Chapter "Installing and using a plugin", to where a volume is there; return the plugin's ID."""
    yield Step(f"docker plugin install {NAME}", """
        Plugin "{name}" is requesting the following privileges:
         - network: [host]
         - device: [/dev/fuse]
         - capabilities: [CAP_SYS_ADMIN]
        Do you grant the above permissions? [y/N] y
        <...>
        Installed plugin {name}""", answers={"[y/N] ": "y"},
               remark="Installing and using a plugin: it asks for privileges, and we grant them")  # fmt: skip
    yield Step("docker plugin ls", """
        ID NAME DESCRIPTION ENABLED
        <12 hex> {name}:latest sshFS plugin for Docker true""")  # fmt: skip
    yield Step(
        f"docker volume create \\\n-d {NAME} \\\n--name sshvolume \\\n-o sshcmd={SSHCMD} \\\n"
        f"-o port={PORT} \\\n-o password=$(cat {PASSWORD_FILE})",
        "sshvolume",
    )
    yield Step("docker volume ls", """
        DRIVER VOLUME NAME
        {name}:latest sshvolume""")  # fmt: skip
    plugin = yield Step("docker plugin inspect -f '{{.Id}}' " + NAME, "<64 hex>")
    return plugin


def using() -> Steps[None]:
    """Start a container that uses the volume; look at the volume."""
    content = "\n".join(sorted(os.listdir(SHARE)))
    yield Step(
        f"docker load -i {IMAGE}",
        "Loaded image: busybox:latest",
        remark="Starting a container that uses the volume. The image comes from a file: no Internet here",
    )
    yield Step("docker run --rm -v sshvolume:/data busybox ls /data", content)
    yield Step(
        "docker run --rm -v sshvolume:/data busybox cat /data/hello.txt",
        "hello from the other side",
    )
    yield Step(
        "docker volume inspect -f '{{json .Options}}' sshvolume",
        f'{{{{"password":"********","port":"{PORT}","sshcmd":"{SSHCMD}"}}}}',
        remark="The documentation warns that your password is shown in plain text when the volume is inspected."
        " Not here",
    )
    yield Step(
        f"plugind mounts mount sshvolume {MOUNT}",
        remark="Not in the documentation: the same volume at a path of this host, for what runs in no container",
    )
    yield Step(f"ls {MOUNT}", content)
    yield Step(f"findmnt -n -o FSTYPE,SOURCE {MOUNT}", f"fuse.sshfs {SSHCMD}")


def using_podman() -> Steps[None]:
    """The same volume in containers of Podman, which finds the plugin by the agent's front."""
    yield Step(
        f"podman load -q -i {IMAGE}",
        "<...>busybox:latest",
        remark="Not in the documentation: the same volume in Podman",
    )
    yield Step("podman volume reload", "<...>sshvolume<...>")
    yield Step("podman volume ls", "<...>sshvolume")
    yield Step(
        "podman run --rm --network none -v sshvolume:/data busybox ls /data",
        "\n".join(sorted(os.listdir(SHARE))),
    )


def debugging(plugin: str) -> Steps[None]:
    """Chapter "Debugging plugins": the log, the runtime, the socket."""
    yield Step(f"{LOG} | grep plugin={plugin}", f"""
        <...>Starting... Found 0 volumes on startup" plugin={plugin}
        <...>Create called... name=sshvolume ok" plugin={plugin}
        <...>Mount called... name=sshvolume id=<64 hex> ok" plugin={plugin}<...>""",
               remark="Debugging plugins: its output is in the agent's log, with plugin=<ID>")  # fmt: skip
    runc = "runc --root /run/plugind/runc"
    yield Step(f"{runc} list", f"""
        ID PID STATUS BUNDLE CREATED OWNER
        {plugin} <number> running /run/plugind/bundles/{plugin} <...> root""",
               remark="Debugging plugins: runc lists it, and runs commands and a shell in it")  # fmt: skip
    yield Step(f"{runc} exec {plugin} ls /plugin", "<...>sshfs_driver<...>")
    yield Step(f"{runc} exec -t {plugin} sh", "<...># mount | grep sshfs\n<...> type fuse.sshfs <...># exit",
               answers={"# ": "mount | grep sshfs", "\n/plugin # ": "exit"})  # fmt: skip
    yield Step(
        """curl -sS -H "Content-Type: application/json" -XPOST -d '{}' """
        f"--unix-socket /var/run/docker/plugins/{plugin}/sshfs.sock http://localhost/VolumeDriver.List",
        '{{"Volumes": [{{"Name": "sshvolume", "Mountpoint": "/mnt/volumes/sshvolume"}}], "Err": ""}}',
        remark="Debugging plugins: curl talks to its socket",
    )


def removing() -> Steps[None]:
    """The end of the chapter: volume and plugin go."""
    yield Step(f"plugind mounts unmount {MOUNT}", remark="Removing volume and plugin")
    yield Step("docker volume rm sshvolume", "sshvolume")
    yield Step(f"docker plugin disable {NAME}", "{name}")
    yield Step(f"docker plugin rm {NAME}", "{name}")
    yield Step("docker plugin ls", "ID NAME DESCRIPTION ENABLED")


def session(*, has_podman: bool) -> Steps[None]:
    """All of it, in the documentation's order but for the plugin that has to be made first."""
    yield Step("export DOCKER_HOST=unix:///run/plugind/api.sock", "")
    yield from developing()
    plugin = yield from installing()
    yield from using()
    if has_podman:
        yield from using_podman()
    yield from debugging(plugin)
    yield from removing()


def walk(steps: Steps[None], show: Callable[[Step], str]) -> str:
    """Show each step, and send back what it printed; return the closing line."""
    step, count = next(steps), 1
    while True:
        try:
            step = steps.send(show(step))
        except StopIteration:
            return f"{count} commands typed, each with the output that was expected"
        count += 1


def main() -> None:
    """Type it all."""
    os.environ["DOCKER_HOST"] = "unix:///run/plugind/api.sock"
    closing = walk(session(has_podman=shutil.which("podman") is not None), show)
    print(f"\n{closing}")


if __name__ == "__main__":
    main()
