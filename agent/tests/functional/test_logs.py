# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A plugin's output: copied into the daemon log, read, followed, rotated."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from plugind import errors, log
from plugind.engine import logs
from plugind.engine.plugin import enable
from plugind.model.plugin import Plugin
from support import content
from support.engine import OPTIONS, World, until


@pytest.fixture
def daemon_log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log.setup("info", stream)
    yield stream
    log.logger.handlers.clear()
    log.logger.propagate = True


async def talkative(world: World, output: str = "hello|!oops") -> Plugin:
    variables = [content.env("PLUGIN_OUTPUT", output), content.env("PLUGIN_BEHAVIOUR")]
    return await world.running(env=variables)


def say(world: World, plugin: Plugin, line: str) -> None:
    world.host.processes[plugin.id].plugin._say("stdout", line)


async def collect(lines: AsyncIterator[bytes], count: int) -> list[str]:
    """Return the texts of the first `count` lines."""
    found: list[str] = []
    while len(found) < count:
        line = await anext(lines)
        found.append(logs.parse_line(line.rstrip(b"\n"))[2])
    return found


async def read(world: World, *, tail: int | None = None) -> list[str]:
    return [
        logs.parse_line(line.rstrip(b"\n"))[2]
        async for line in logs.read(world.engine, "toy", tail=tail, follow=False)
    ]


async def test_output_is_in_the_daemon_log_with_the_plugins_id(
    world: World, daemon_log: io.StringIO
) -> None:
    plugin = await talkative(world)
    await enable.disable(world.engine, "toy", force=False)
    lines = daemon_log.getvalue().splitlines()
    assert [line.partition(" ")[2] for line in lines if f"plugin={plugin.id}" in line] == [
        f"level=info msg=hello plugin={plugin.id}",
        f"level=error msg=oops plugin={plugin.id}",
    ]


async def test_what_was_copied_before_is_not_copied_again_after_a_restart_of_the_agent(
    world: World, daemon_log: io.StringIO
) -> None:
    plugin = await talkative(world)
    await until(lambda: "oops" in daemon_log.getvalue())
    await world.reopen()
    say(world, plugin, "still here")
    await until(lambda: "still here" in daemon_log.getvalue())
    assert daemon_log.getvalue().count("hello") == 1


async def test_all_lines_or_the_last_ones_are_read(world: World) -> None:
    await talkative(world, "a|b|!c")
    assert await read(world) == ["a", "b", "c"]
    assert await read(world, tail=2) == ["b", "c"]
    assert await read(world, tail=0) == []
    assert await read(world, tail=99) == ["a", "b", "c"]


async def test_output_outlives_the_process(world: World) -> None:
    await talkative(world, "a")
    await enable.disable(world.engine, "toy", force=False)
    assert await read(world) == ["a"]


async def test_without_output_there_is_nothing(world: World) -> None:
    await world.install(world.publish())
    assert await read(world) == []
    with pytest.raises(errors.NotFound):
        async for _ in logs.read(world.engine, "nobody", tail=None, follow=False):
            pass


async def test_a_follower_gets_each_line_once_across_the_seam(world: World) -> None:
    plugin = await talkative(world, "a|b")
    lines = logs.read(world.engine, "toy", tail=1, follow=True)
    assert await collect(lines, 1) == ["b"]
    for text in ("c", "d"):
        say(world, plugin, text)
        assert await collect(lines, 1) == [text]
    await lines.aclose()


async def test_half_a_line_waits_for_its_other_half(world: World) -> None:
    plugin = await talkative(world, "a")
    with world.engine.log_path(plugin.id).open("a") as file:
        file.write("2026-01-01T00:00:00Z stdout F ha")
        file.flush()
        assert await read(world) == ["a"]
        lines = logs.read(world.engine, "toy", tail=None, follow=True)
        assert await collect(lines, 1) == ["a"]
        file.write("lf\n")
    assert await collect(lines, 1) == ["half"]
    await lines.aclose()


async def test_output_is_rotated_once_and_nothing_is_lost(
    tmp_path: Path, daemon_log: io.StringIO
) -> None:
    small = dataclasses.replace(OPTIONS, log_max_bytes=2000)
    async with World(tmp_path, small) as world:
        plugin = await talkative(world, "first")
        path = world.engine.log_path(plugin.id)
        for number in range(60):
            say(world, plugin, f"line-{number:03}")
            await until(lambda number=number: f"line-{number:03}" in daemon_log.getvalue())
        assert path.stat().st_size <= 2100
        assert path.with_suffix(".log.1").stat().st_size <= 2100
        shown = await read(world)
        assert shown[-20:] == [f"line-{number:03}" for number in range(40, 60)]
        text = daemon_log.getvalue()
        assert [text.count(f"msg=line-{number:03} ") for number in range(60)] == [1] * 60


async def test_a_follower_goes_over_to_the_new_file(tmp_path: Path) -> None:
    small = dataclasses.replace(OPTIONS, log_max_bytes=500)
    async with World(tmp_path, small) as world:
        plugin = await talkative(world, "first")
        found: list[bytes] = []

        async def follow() -> None:
            async for line in logs.read(world.engine, "toy", tail=None, follow=True):
                found.append(line)  # noqa: PERF401 - it is looked at while it grows

        following = asyncio.create_task(follow())
        rotated = world.engine.log_path(plugin.id).with_suffix(".log.1")
        for number in range(40):
            await until(lambda number=number: len(found) > number)
            if number == 20:
                # The follower may be faster than the rotation, which a thread does.
                await until(rotated.exists)
            say(world, plugin, f"line-{number:03}")
        await until(lambda: len(found) > 40)
        following.cancel()
        assert [line.split()[-1] for line in found] == [
            b"first", *(b"line-%03d" % number for number in range(40)),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (b"2026-01-01T00:00:00Z stderr F a b", ("2026-01-01T00:00:00Z", "stderr", "a b")),
        (b"T stdout P ", ("T", "stdout", "")),
        (b"no such format", ("", "stdout", "no such format")),
        (b"T other F text", ("", "stdout", "T other F text")),
        (b"T stdout F \xff", ("T", "stdout", "\ufffd")),
        (b"", ("", "stdout", "")),
    ],
)
def test_lines_of_any_kind_are_read(line: bytes, parts: tuple[str, str, str]) -> None:
    assert logs.parse_line(line) == parts


def test_last_lines_start_where_the_run_started(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert logs.last_lines(path, 0, 5) == ()
    old = b"T stdout F old\n"
    path.write_bytes(old + b"T stdout F a\nT stderr F b\nT stderr F c\n")
    assert logs.last_lines(path, len(old), 5) == ("a", "b", "c")
    assert logs.last_lines(path, len(old), 2) == ("b", "c")
    assert logs.last_lines(path, 10_000, 1) == ("c",)  # rotated meanwhile
