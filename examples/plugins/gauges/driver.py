# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""gauges: a metrics collector that reads the engine's metrics at intervals and counts them.

The engine puts a socket into the plugin, at /run/docker/metrics.sock, and says when to start and when
to stop. In between, ``GET /metrics`` is answered in Prometheus's text format, a line for each sample:

    engine_daemon_container_states_containers{state="running"} 3

A collector of yours would send them somewhere; this one writes a line to its log.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from pluginserver import Arguments, Method, Service, complain, log, run, serve

SOCKET = Path("/run/docker/plugins/gauges.sock")
METRICS = Path("/run/docker/metrics.sock")
SECONDS = 10  # until an engine that does not answer is given up
LIMIT = 16 << 20  # of an answer, in bytes

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABELS = r'\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}'
SAMPLE = re.compile(rf"({NAME})(?:{LABELS})?\s+(\S+)(?:\s+-?\d+)?\s*")


class MetricsError(Exception):
    """Why there are no metrics."""


def count_samples(text: str) -> Counter[str]:
    """How many samples each metric has; MetricsError if a line is not one."""
    counts: Counter[str] = Counter()
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = SAMPLE.fullmatch(line.lstrip())
        if not found or not is_number(found[2]):
            raise MetricsError(f"not a sample: {line!r}")
        counts[found[1]] += 1
    return counts


def is_number(value: str) -> bool:
    """Whether a sample can have this value; "NaN" and "+Inf" are numbers here."""
    try:
        float(value)
    except ValueError:
        return False
    return True


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def scrape(path: Path) -> str:
    """The engine's metrics, as text."""
    try:
        with closing(Connection(path)) as connection:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            content = response.read(LIMIT + 1)
    except (OSError, http.client.HTTPException) as error:
        raise MetricsError(f"{type(error).__name__}: {error}") from None
    if response.status != 200:
        raise MetricsError(f"the engine answers with status {response.status}")
    if len(content) > LIMIT:
        raise MetricsError(f"the answer is larger than {LIMIT} bytes")
    return content.decode(errors="replace")


class Gauges:
    """The collector: a thread between StartMetrics and StopMetrics."""

    def __init__(self, path: Path, interval: float, report: Callable[[str], None] = log) -> None:
        self.path = path
        self.interval = interval
        self.report = report
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self, _arguments: Arguments) -> dict[str, Any]:
        with self.lock:
            if self.thread is None:  # an engine that lost our answer asks again
                self.stopping.clear()
                self.thread = threading.Thread(target=self.collect, daemon=True)
                self.thread.start()
        return {}

    def stop(self, _arguments: Arguments) -> dict[str, Any]:
        with self.lock:
            if self.thread is not None:
                self.stopping.set()
                self.thread.join()
                self.thread = None
        return {}

    def collect(self) -> None:
        """Read at once, and after every interval. A failure is said, and is no reason to stop."""
        while True:
            try:
                counts = count_samples(scrape(self.path))
                self.report(f"Collected {counts.total()} samples of {len(counts)} metrics")
            except MetricsError as error:
                complain(f"cannot collect metrics: {error}")
            if self.stopping.wait(self.interval):
                return

    def service(self) -> Service:
        """The protocol's methods."""
        methods: dict[str, Method] = {
            "MetricsCollector.StartMetrics": self.start,
            "MetricsCollector.StopMetrics": self.stop,
        }
        return Service(("MetricsCollector",), methods)


def parse_interval(value: str) -> float:
    """The INTERVAL setting, in seconds."""
    if not re.fullmatch(r"\d{1,5}(\.\d+)?", value) or float(value) == 0:
        raise ValueError(f"setting INTERVAL: {value!r} is not a number of seconds")
    return float(value)


def main() -> int:
    """Serve until told to stop."""
    try:
        gauges = Gauges(METRICS, parse_interval(os.environ.get("INTERVAL") or "15"))
        serve(gauges.service(), SOCKET)
    except (OSError, ValueError) as error:
        complain(f"gauges: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
