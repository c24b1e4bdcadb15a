# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Side by side with dockerd, both through their API, in turn, in one run: ratios, never verdicts.

    make bench                  or: python tests/bench [ROUNDS]

One JSON object a line: medians in milliseconds with minimum and maximum, `ratio` is ours / peer.
`plugin_enable` is given a second time without the 500 ms that the peer always sleeps. Both data roots
lie on one journaled ext4 image, because creating many files on a file system without a journal costs
both sides more than the work that is measured.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "agent" / "tests"))

from plugind import ctl_http, ctl_pack  # noqa: E402
from support import daemon, dockerd  # noqa: E402

PEER_SLEEP = 500.0
Calls = dict[str, Callable[[], object]]


def main(arguments: list[str]) -> int:
    """Measure and print."""
    rounds = int(arguments[0]) if arguments else 10
    daemon.require("dockerd", "runc", "conmon", "mkfs.ext4")
    with journaled_directory() as place:
        plugin = daemon.build_plugin("localdir", place / "plugin")
        with daemon.run(place / "ours") as agent, dockerd.running(place / "peer") as peer:
            sides = {"ours": agent.url, "peer": peer}
            times = measure(sides, plugin, rounds)
    report(times)
    return 0


@contextlib.contextmanager
def journaled_directory() -> Iterator[Path]:
    """Give a directory on an ext4 image of its own, which has a journal whatever / has."""
    with tempfile.TemporaryDirectory(prefix="bench-") as parent:
        image, place = Path(parent, "image"), Path(parent, "disk")
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(4 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)


def measure(sides: dict[str, str], plugin: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Time every call on both sides in turn; the order of the sides changes with each round."""
    times: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds + 1):
        order = list(sides) if number % 2 else list(reversed(sides))
        for side in order:
            # The peer refuses content that it has seen before.
            (plugin / "rootfs" / "round").write_text(f"{number} {side}")
            for name, call in calls(sides[side], plugin).items():
                started = time.perf_counter()
                call()
                spent = (time.perf_counter() - started) * 1000
                if number:  # the first round warms both up
                    times.setdefault(name, {}).setdefault(side, []).append(spent)
    return times


def calls(url: str, plugin: Path) -> Calls:
    """What is measured, in the order in which it can be done."""

    def call(method: str, path: str, document: object = None) -> object:
        connection = ctl_http.connect(url)
        try:
            return ctl_http.request_json(connection, method, path, document)
        finally:
            connection.close()

    def create() -> None:
        connection = ctl_http.connect(url)
        path = "/plugins/create?name=bench"
        with ctl_http.open_body(connection, "POST", path, "application/x-tar") as body:
            ctl_pack.write_tar(plugin, body)
        connection.close()

    volume = {"Name": "bench-volume", "Driver": "bench"}
    return {
        "plugin_create_22mb": create,
        "plugin_enable": lambda: call("POST", "/plugins/bench/enable?timeout=30"),
        "plugin_inspect": lambda: call("GET", "/plugins/bench/json"),
        "volume_create": lambda: call("POST", "/volumes/create", volume),
        "volume_inspect": lambda: call("GET", "/volumes/bench-volume"),
        "volume_ls": lambda: call("GET", "/volumes"),
        "volume_rm": lambda: call("DELETE", "/volumes/bench-volume"),
        "plugin_disable": lambda: call("POST", "/plugins/bench/disable"),
        "plugin_rm": lambda: call("DELETE", "/plugins/bench"),
    }


def report(times: dict[str, dict[str, list[float]]]) -> None:
    """Print a line per figure."""
    for name, sides in times.items():
        print(json.dumps(line(name, sides["ours"], sides["peer"])))
        if name == "plugin_enable":
            rest = [spent - PEER_SLEEP for spent in sides["peer"]]
            print(json.dumps(line(f"{name}_without_the_peers_sleep", sides["ours"], rest)))


def line(name: str, ours: list[float], peer: list[float]) -> dict[str, object]:
    """Return one figure."""
    a, b = statistics.median(ours), statistics.median(peer)
    return {
        "name": name,
        "ours": round(a, 2),
        "peer": round(b, 2),
        "unit": "ms",
        "ratio": round(a / b, 3),
        "n": len(ours),
        "ours_min_max": [round(min(ours), 2), round(max(ours), 2)],
        "peer_min_max": [round(min(peer), 2), round(max(peer), 2)],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
