# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""localdir with faults: a volume driver that misbehaves as its FAULT setting says, for tests of an engine.

    exit:N              print a line on stderr and end with status N instead of listening
    hang                never listen
    slow:S              listen after S seconds
    deaf                do not end on SIGTERM
    garbage             answer every call with something that is not JSON
    err-200             report errors with status 200, as some plugins in the wild do
    METHOD-error        the call fails, for example mount-error or get-error
    hold:METHOD:S       the call takes S seconds
    crash-on:METHOD     the process dies in the middle of the call, with status 13
    eat:METHOD          the process takes all the memory that it can get
    crash-once:METHOD   the same, but only the first time in the life of the volumes

METHOD is one of create get list path remove mount unmount; its case does not matter. Several faults are
separated by commas. Without a fault this is localdir.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driver import ROOT, LocalDir
from volumeplugin import DriverError, Handler, Server, complain, log, run, serve

SOCKET = Path("/run/docker/plugins/faulty.sock")
METHODS = ("create", "get", "list", "path", "remove", "mount", "unmount")
CRASHED = 13


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    kind: str
    method: str = ""
    number: float = 0.0


def parse(value: str) -> list[Fault]:
    """The FAULT setting."""
    return [parse_one(word.strip().lower()) for word in value.split(",") if word.strip()]


def parse_one(word: str) -> Fault:
    """One fault; ValueError for one that does not exist, lest a test passes because of a typing error."""
    method = "|".join(METHODS)
    if re.fullmatch("hang|deaf|garbage|err-200", word):
        return Fault(word)
    if found := re.fullmatch(r"(exit|slow):(\d+(?:\.\d+)?)", word):
        return Fault(found[1], number=float(found[2]))
    if found := re.fullmatch(f"({method})-error", word):
        return Fault("error", found[1])
    if found := re.fullmatch(f"(crash-on|crash-once|eat):({method})", word):
        return Fault(found[1], found[2])
    if found := re.fullmatch(rf"hold:({method}):(\d+(?:\.\d+)?)", word):
        return Fault("hold", found[1], float(found[2]))
    raise ValueError(f"no such fault: {word!r}")


class Faulty(LocalDir):
    """localdir, with faults in its methods."""

    def __init__(self, root: Path, faults: list[Fault]) -> None:
        super().__init__(root)
        self.faults = faults

    def suffer(self, method: str) -> None:
        """Whatever befalls this method."""
        for fault in self.faults:
            if fault.method == method:
                EFFECTS[fault.kind](self, fault)

    def create(self, name: str, options: Mapping[str, str]) -> None:
        self.suffer("create")
        super().create(name, options)

    def get(self, name: str) -> dict[str, Any]:
        self.suffer("get")
        return super().get(name)

    def list(self) -> list[dict[str, Any]]:
        self.suffer("list")
        return super().list()

    def path(self, name: str) -> str:
        self.suffer("path")
        return super().path(name)

    def remove(self, name: str) -> None:
        self.suffer("remove")
        super().remove(name)

    def mount(self, name: str, mount_id: str) -> str:
        self.suffer("mount")
        return super().mount(name, mount_id)

    def unmount(self, name: str, mount_id: str) -> None:
        self.suffer("unmount")
        super().unmount(name, mount_id)


def fail(driver: Faulty, fault: Fault) -> None:
    raise DriverError(f"{fault.method} failed on purpose")


def hold(driver: Faulty, fault: Fault) -> None:
    wait(fault.number)


def crash(driver: Faulty, fault: Fault) -> None:
    complain(f"crashing on purpose in {fault.method}")
    os._exit(CRASHED)


def eat(driver: Faulty, fault: Fault) -> None:
    complain(f"eating memory on purpose in {fault.method}")
    eaten = []
    while True:
        eaten.append(bytearray(1 << 20))


def crash_once(driver: Faulty, fault: Fault) -> None:
    mark = driver.root / f".crashed-{fault.method}"
    if not mark.exists():
        mark.touch()
        crash(driver, fault)


EFFECTS: dict[str, Callable[[Faulty, Fault], None]] = {
    "error": fail,
    "hold": hold,
    "crash-on": crash,
    "eat": eat,
    "crash-once": crash_once,
}


class FaultyHandler(Handler):
    """Faults in the answers."""

    def answer(self, status: int, document: Mapping[str, Any], *, close: bool = False) -> None:
        driver = self.server.driver
        kinds = {fault.kind for fault in driver.faults} if isinstance(driver, Faulty) else set()
        if "garbage" in kinds:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n<html>it works!\r\n>")
        else:
            super().answer(200 if "err-200" in kinds else status, document, close=close)


class FaultyServer(Server):
    """The server with faults."""

    handler = FaultyHandler


def wait(seconds: float) -> None:
    """Nothing happens for a while. SIGUSR2 stands for an event that never comes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    signal.sigtimedwait({signal.SIGUSR2}, seconds)


def main() -> int:
    """Suffer what happens before listening, then serve."""
    try:
        faults = parse(os.environ.get("FAULT", ""))
    except ValueError as error:
        complain(f"faulty: {error}")
        return 2
    kinds = {fault.kind: fault for fault in faults}
    log(f"faulty: {', '.join(kinds) or 'no faults'}")
    if "exit" in kinds:
        complain(f"faulty: exiting with status {int(kinds['exit'].number)} on purpose")
        return int(kinds["exit"].number)
    if "hang" in kinds:
        signal.pause()
    if "slow" in kinds:
        wait(kinds["slow"].number)
    driver = Faulty(ROOT, faults)
    if "deaf" in kinds:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        FaultyServer(driver, SOCKET).start()
        signal.pause()
    serve(driver, SOCKET, FaultyServer)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
