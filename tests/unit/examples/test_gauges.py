# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""gauges, with a small engine that serves metrics."""

from __future__ import annotations

import queue
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pluginserver import Server

TEXT = r"""# HELP engine_info What this is.
# TYPE engine_info gauge
engine_info{version="1",commit="a\"} b"} 1

states{state="running"} 3
  states{state="stopped",} 0 1767225600000
latency_bucket{le="+Inf"} +Inf
latency_sum NaN
"""


class Metrics(BaseHTTPRequestHandler):
    """GET /metrics."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(TEXT.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def address_string(self) -> str:
        return "plugin"


@pytest.fixture
def metrics(short: Path) -> Iterator[Path]:
    """The socket of an engine."""
    path = short / "metrics.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield path
        server.shutdown()
        thread.join()


def test_samples_are_counted(gauges: ModuleType) -> None:
    assert gauges.count_samples(TEXT) == {
        "engine_info": 1, "states": 2, "latency_bucket": 1, "latency_sum": 1,
    }  # fmt: skip
    assert gauges.count_samples("") == {}


@pytest.mark.parametrize(
    "line", ["x", "x y", "1x 1", "x{a=\"b} 1", "x 1 2 3", "<html>", "x{a=\"b\"}1 {"]
)  # fmt: skip
def test_what_is_not_a_sample(gauges: ModuleType, line: str) -> None:
    with pytest.raises(gauges.MetricsError, match="not a sample"):
        gauges.count_samples(line)


def test_scraping(gauges: ModuleType, metrics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gauges.scrape(metrics) == TEXT
    monkeypatch.setattr(Metrics, "status", 503)
    with pytest.raises(gauges.MetricsError, match="status 503"):
        gauges.scrape(metrics)
    with pytest.raises(gauges.MetricsError, match="FileNotFoundError"):
        gauges.scrape(metrics.with_name("none"))


def test_it_collects_from_start_to_stop(gauges: ModuleType, metrics: Path, serving, ask) -> None:
    said: queue.Queue[str] = queue.Queue()
    driver = gauges.Gauges(metrics, 0.01, said.put)
    connection = serving(driver.service(), Server)
    for _ in range(2):
        assert ask(connection, "MetricsCollector.StartMetrics") == (200, {"Err": ""})
    thread = driver.thread
    for _ in range(3):
        assert said.get(timeout=10) == "Collected 5 samples of 4 metrics"
    for _ in range(2):
        assert ask(connection, "MetricsCollector.StopMetrics") == (200, {"Err": ""})
    assert not thread.is_alive()
    ask(connection, "MetricsCollector.StartMetrics")
    assert driver.thread is not thread
    ask(connection, "MetricsCollector.StopMetrics")


def test_an_engine_without_metrics_is_no_reason_to_stop(
    gauges: ModuleType, short: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    driver = gauges.Gauges(short / "none", 60)
    driver.start({})
    driver.stop({})
    assert "cannot collect metrics: FileNotFoundError" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["", "0", "-1", "x", "1e3", "1234567"])
def test_an_interval_is_a_number_of_seconds(gauges: ModuleType, value: str) -> None:
    with pytest.raises(ValueError, match="INTERVAL"):
        gauges.parse_interval(value)
    assert gauges.parse_interval("1.5") == 1.5
