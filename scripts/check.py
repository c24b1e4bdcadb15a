#!/usr/bin/env python3
"""Run the checks in noxfile.py and sum up in one plain last line.

check.py               the default sessions
check.py SESSION...    only these
check.py --nightly     the default sessions, then those tagged nightly
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".build" / "reports"


def run_nox(name: str, *args: str) -> tuple[int, list[dict]]:
    """One run of nox: its exit code, and a record per session."""
    report = REPORTS / f"nox-{name}.json"
    command = [sys.executable, "-m", "nox", "--report", str(report), *args]
    code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode
    sessions = json.loads(report.read_text())["sessions"] if report.exists() else []
    return code, sessions


def name_of(session: dict) -> str:
    """A session with parameters has a signature, one without has a name."""
    return (session.get("signatures") or [session["name"]])[0]


def count_tests() -> dict[str, int]:
    """What pytest wrote down in all its runs (reports of our own making: no hostile XML)."""
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for report in REPORTS.glob("*.xml"):
        for suite in ET.parse(report).iter("testsuite"):  # noqa: S314
            for key in counts:
                counts[key] += int(suite.get(key, 0))
    return counts


def main(args: list[str]) -> int:
    started = time.monotonic()
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    nightly = "--nightly" in args
    chosen = [arg.replace("-", "_") for arg in args if arg != "--nightly"]
    code, sessions = run_nox("default", *(["-s", *chosen] if chosen else []))
    if nightly:
        nightly_code, more = run_nox("nightly", "-t", "nightly")
        code, sessions = code or nightly_code, sessions + more

    print("\nchecks:")
    for session in sessions:
        print(f"  {session['result']:8} {name_of(session)}")
    results = [session["result"] for session in sessions]
    passed, skipped = results.count("success"), results.count("skipped")
    print(
        f"{passed} checks passed, {len(results) - passed - skipped} failed, {skipped} skipped,"
        f" in {time.monotonic() - started:.0f} s"
    )
    tests = count_tests()
    failed = tests["failures"] + tests["errors"]
    good = tests["tests"] - failed - tests["skipped"]
    if not code and not passed:
        code = 1  # nothing ran: that is no success
    print(f"tests: {good} passed, {failed} failed, {tests['skipped']} skipped")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
