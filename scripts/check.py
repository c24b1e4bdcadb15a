#!/usr/bin/env python3
"""Run the checks in noxfile.py, some at a time, and sum up in one plain last line.

check.py               the default sessions
check.py SESSION...    only these
check.py --nightly     the default sessions, then those tagged nightly
check.py --lanes N     how many at a time; one more than there are processors if nothing is said

The longest sessions wait for processes and sockets half of their time: one more than there are processors keeps all
of these busy. What cannot share the machine says so with a tag (noxfile.py). What a session prints comes whole, when
it has ended.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".build" / "reports"
NOX = (sys.executable, "-m", "nox")

# What must not run beside a session with one of these tags: those with one of the tags on the right.
EXCLUDES = {"machine": {"machine", "engines"}, "engines": {"machine"}, "ansible": {"ansible"}}
NOT_RUN = "not run"
# How long what was interrupted may take to clean up: daemons to end, mounts to undo.
GRACE = 90.0


@dataclass(frozen=True)
class Session:
    """A session as nox names it, with its parameter if it has one."""

    name: str
    tags: frozenset[str]

    @property
    def slug(self) -> str:
        """The name, fit for a file: slow(unit) -> slow-unit."""
        return self.name.replace("(", "-").replace(")", "")

    def excludes(self, other: Session) -> bool:
        """Whether the other one must not run while this one does."""
        return any(EXCLUDES.get(tag, set()) & other.tags for tag in self.tags)


@dataclass(frozen=True)
class Running:
    """A session that was started."""

    session: Session
    process: subprocess.Popen[bytes]
    since: float


def find(*args: str) -> list[Session]:
    """The sessions that nox would run with these arguments, in its order."""
    listed = subprocess.run(
        [*NOX, "--list", "--json", *args], cwd=ROOT, stdout=subprocess.PIPE, check=False
    )
    if listed.returncode:  # nox has said why
        sys.exit(listed.returncode)
    return [Session(each["session"], frozenset(each["tags"])) for each in json.loads(listed.stdout)]


def next_of(waiting: Sequence[Session], running: Iterable[Session]) -> Session | None:
    """Who may start beside those that run: long ones first, so that at the end nobody waits for one of them."""
    beside = list(running)
    free = [each for each in waiting if not any(each.excludes(other) for other in beside)]
    return min(free, key=lambda session: "long" not in session.tags, default=None)


# ------------------------------------------------------------------------------------------------------------ running


def start(session: Session) -> Running:
    """Start nox for one session, in a process group of its own."""
    print(f"check: {session.name} starts", flush=True)
    command = [*NOX, "--report", str(REPORTS / f"nox-{session.slug}.json"), "-s", session.name]
    with open(REPORTS / f"{session.slug}.log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
        )
    return Running(session, process, time.monotonic())


def wait(running: list[Running]) -> Running:
    """Wait for the first one to end, and take it off the list."""
    pid, status = os.wait()
    (ended,) = (each for each in running if each.process.pid == pid)
    ended.process.returncode = os.waitstatus_to_exitcode(status)
    running.remove(ended)
    return ended


def show(ended: Running, result: str) -> None:
    """What a session printed, below a line that says whose it is."""
    took = time.monotonic() - ended.since
    head = f"==== {ended.session.name}: {result}, {took:.0f} s "
    print(f"\n{head:=<119}", flush=True)
    with open(REPORTS / f"{ended.session.slug}.log", "rb") as log:
        shutil.copyfileobj(log, sys.stdout.buffer)
    sys.stdout.flush()


def result_of(ended: Running) -> str:
    """What nox says of the session, in its own word."""
    report = REPORTS / f"nox-{ended.session.slug}.json"
    found = json.loads(report.read_text())["sessions"] if report.exists() else []
    results = {str(each["result"]) for each in found}
    if len(results) == 1 and (results <= {"success", "skipped"}) == (ended.process.returncode == 0):
        return results.pop()
    return "failed"


def run(waiting: list[Session], lanes: int, tell: Callable[[Session, str], None]) -> None:
    """Run them all, at most `lanes` at a time; `tell` hears of each result.

    Interrupted, it interrupts those that run, waits for them to clean up, and goes on being interrupted.
    """
    waiting, running = list(waiting), []
    try:
        while waiting or running:
            while len(running) < lanes:
                chosen = next_of(waiting, [each.session for each in running])
                if chosen is None:
                    break
                waiting.remove(chosen)
                running.append(start(chosen))
            ended = wait(running)
            result = result_of(ended)
            show(ended, result)
            tell(ended.session, result)
    except KeyboardInterrupt:
        end(running)
        raise


def send(running: Running, number: signal.Signals) -> None:
    """Send a signal to a session's group, which may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.process.pid, number)


def end(running: list[Running]) -> None:
    """Interrupt as Ctrl-C would; kill what has not ended when the grace is over."""
    names = ", ".join(each.session.name for each in running)
    print(f"\ncheck: interrupted; {names} may clean up for {GRACE:.0f} s", flush=True)
    for each in running:
        send(each, signal.SIGINT)
    deadline = time.monotonic() + GRACE
    for each in running:
        try:
            each.process.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            deadline = 0.0
            send(each, signal.SIGKILL)
            each.process.wait()
        show(each, "interrupted")


# --------------------------------------------------------------------------------------------------------- summing up


def count_tests() -> dict[str, int]:
    """What pytest wrote down in all its runs (reports of our own making: no hostile XML)."""
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for report in REPORTS.glob("*.xml"):
        for suite in ET.parse(report).iter("testsuite"):  # noqa: S314
            for key in counts:
                counts[key] += int(suite.get(key, 0))
    return counts


def sum_up(results: dict[str, str], seconds: float) -> int:
    """Say it in a table and two lines; return the exit code."""
    print("\nchecks:")
    for name, result in results.items():
        print(f"  {result:8} {name}")
    words = list(results.values())
    passed, skipped, never = (words.count(word) for word in ("success", "skipped", NOT_RUN))
    failed = len(words) - passed - skipped - never
    more = f", {never} not run to their end" if never else ""
    print(f"{passed} checks passed, {failed} failed, {skipped} skipped{more}, in {seconds:.0f} s")
    tests = count_tests()
    bad = tests["failures"] + tests["errors"]
    good = tests["tests"] - bad - tests["skipped"]
    print(f"tests: {good} passed, {bad} failed, {tests['skipped']} skipped")
    # Nothing ran: that is no success.
    return 1 if failed or not passed else 0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Run the checks in noxfile.py.")
    parser.add_argument("sessions", nargs="*", metavar="SESSION")
    parser.add_argument("--nightly", action="store_true", help="what is tagged nightly, too")
    lanes = len(os.sched_getaffinity(0)) + 1
    parser.add_argument("--lanes", type=int, default=lanes, metavar="N", help="how many at a time")
    options = parser.parse_args(argv)
    # What ends a job in CI ends it as Ctrl-C does. A shell starts what is in the background deaf to Ctrl-C, and the
    # tests of signals with it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    started = time.monotonic()
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    chosen = [name.replace("-", "_") for name in options.sessions]
    sessions = find(*(["-s", *chosen] if chosen else []))
    if options.nightly:
        sessions += find("-t", "nightly")
    results = {session.name: NOT_RUN for session in sessions}
    try:
        run(sessions, options.lanes, lambda session, result: results.update({session.name: result}))
    except KeyboardInterrupt:
        sum_up(results, time.monotonic() - started)
        return 130
    return sum_up(results, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
