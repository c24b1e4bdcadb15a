# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The metrics' socket, and when a collector is told to begin and to end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plugind.engine import metrics
from plugind.engine.front import publish
from plugind.engine.plugin import enable
from plugind.engine.volume import mounting, volumes
from plugind.model.plugin import Plugin
from support import fronts
from support.engine import World, until
from support.fronts import Answer

INTERFACE = {"types": ["docker.metricscollector/1.0"], "socket": "plugin.sock"}
START, STOP = "MetricsCollector.StartMetrics", "MetricsCollector.StopMetrics"


async def scrape(world: World, target: str = "metrics", verb: str = "GET") -> Answer:
    return await fronts.post(world.engine.metrics_socket, target, verb=verb)


def calls(world: World, plugin: Plugin) -> list[Any]:
    return [name for name, _ in world.host.calls(plugin.id)]


async def told(world: World, plugin: Plugin, *names: str) -> None:
    """Wait until the plugin's process has been told just this."""
    await until(lambda: calls(world, plugin) == list(names))


@pytest.fixture
async def collector(world: World) -> Plugin:
    plugin = await world.running("gauges", interface=INTERFACE)
    await told(world, plugin, START)
    return plugin


async def test_metrics_are_served_to_root_alone(world: World) -> None:
    answer = await scrape(world)
    assert (answer.status, answer.headers["content-type"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
    )
    assert b'plugind_plugins{state="running"} 0\n' in answer.content
    assert (await scrape(world, "metrics?x=y")).status == 200
    assert (await scrape(world, "other")).status == 404
    assert (await scrape(world, verb="POST")).status == 405
    assert world.engine.metrics_socket.stat().st_mode & 0o777 == 0o600


async def test_what_is_counted(world: World) -> None:
    plugin = await world.running()
    await volumes.create_volume(
        world.engine, name="remote", driver="toy", options=None, labels=None
    )
    await volumes.create_volume(
        world.engine, name="here", driver="local", options=None, labels=None
    )
    for holder in ("one", "two"):
        await mounting.mount_volume(world.engine, "remote", holder)
    await fronts.post(world.engine.fronts["toy:latest"].path, "Plugin.Activate")
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    text = (await scrape(world)).content.decode().splitlines()
    assert 'plugind_plugins{state="backoff"} 1' in text
    world.clock.advance(1)
    await until(lambda: world.entry(plugin).restarts)
    text = (await scrape(world)).content.decode().splitlines()
    for line in (
        'plugind_plugin_up{plugin="toy:latest"} 1',
        'plugind_plugin_restarts_total{plugin="toy:latest"} 1',
        'plugind_volumes{driver="toy:latest"} 1',
        'plugind_volumes{driver="local"} 1',
        'plugind_volume_mounts{driver="toy:latest"} 2',
        'plugind_volume_mounts{driver="local"} 0',
        'plugind_front_requests_total{plugin="toy:latest"} 1',
        'plugind_front_waiting{plugin="toy:latest"} 0',
    ):
        assert line in text, text


async def test_a_collector_is_told_when_it_starts_and_before_it_stops(
    world: World, collector: Plugin
) -> None:
    assert "content-length: 0" in world.host.processes[collector.id].plugin.headers[0].lower()
    process = world.host.processes[collector.id].plugin
    await enable.disable(world.engine, "gauges", force=False)
    assert [name for name, _ in process.calls] == [START, STOP]
    await enable.enable(world.engine, "gauges", timeout=0)
    await told(world, collector, START)


async def test_a_collector_that_crashed_is_told_again(world: World, collector: Plugin) -> None:
    dead = world.host.processes[collector.id].plugin
    world.host.kill(collector.id)
    await world.clock.sleeper()
    world.clock.advance(1)
    await until(lambda: world.entry(collector).restarts)
    await told(world, collector, START)
    assert [name for name, _ in dead.calls] == [START]


async def test_a_collector_that_was_adopted_goes_on_with_another_socket(
    world: World, collector: Plugin
) -> None:
    assert world.machine.offered == [collector.id]
    await world.reopen()
    assert world.machine.offered == [collector.id] * 2
    assert calls(world, collector) == [START]
    assert (await scrape(world)).status == 200


@pytest.mark.parametrize("fault", ["fail={}:no disk", "drop={}", "garbage", "answer={}:404:no"])
async def test_what_a_collector_answers_is_only_logged(
    world: World, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    plugin = await world.install(world.publish("gauges", interface=INTERFACE), "gauges")
    world.host.behave(plugin.id, ";".join(fault.format(name) for name in (START, STOP)))
    await enable.enable(world.engine, "gauges", timeout=0)
    await until(lambda: "StartMetrics failed" in caplog.text)
    await enable.disable(world.engine, "gauges", force=False)
    assert "StopMetrics failed" in caplog.text


async def test_other_plugins_are_told_nothing(world: World) -> None:
    plugin = await world.running()
    await world.reopen()
    assert world.machine.offered == []
    process = world.host.processes[plugin.id].plugin
    await enable.disable(world.engine, "toy", force=False)
    assert process.calls == []


async def test_an_agent_that_cannot_serve_metrics_works_all_the_same(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await metrics.close(world.engine)
    world.engine.metrics_socket.unlink()
    (world.engine.metrics_socket / "in the way").mkdir(parents=True)
    await metrics.serve(world.engine)
    assert "cannot serve metrics: Is a directory" in caplog.text
    await world.running()
    await publish.close(world.engine)


async def test_a_scrape_under_way_is_finished(world: World) -> None:
    reader, writer = await fronts.connect(world.engine.metrics_socket)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await fronts.read(reader)).status == 200
    closing = asyncio.ensure_future(metrics.close(world.engine))
    assert await reader.read() == b""
    await closing
    writer.close()
