# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The Runtime and Container ports: the fake one, and runc under conmon.

The plugin is `fakes/plugin.py` in both: in this process, and in a container on the host's /usr.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from plugind import errors
from plugind.rpc import client
from support.runtime_room import ID, Room, fake_room, real_room


@pytest.fixture(params=[fake_room, pytest.param(real_room, marks=pytest.mark.root)])
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Room]:
    async with request.param(tmp_path) as found:
        yield found


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[Room]:
    async with real_room(tmp_path) as found:
        yield found


async def test_a_plugin_serves_and_stops(room: Room) -> None:
    container = await room.start()
    driver = await room.listening(container)
    await driver.create("v1", {"size": "1"})
    assert await driver.mount("v1", "m" * 64) == "/data/v1"
    assert (room.base / "propagated-mount" / "v1").is_dir()
    assert (await driver.get("v1")).status == {"options": {"size": "1"}}
    assert await room.runtime.list_ids() == [ID]
    assert await container.stop(10) == 0
    assert await container.stop(10) == 0, "stopping twice gives the same answer"
    await container.delete()
    await container.delete()
    assert await room.runtime.list_ids() == []


async def test_exit_status_and_output_of_a_plugin_that_ends_by_itself(room: Room) -> None:
    container = await room.start("exit=3", output="hello|!no backend")
    assert await container.wait() == 3
    assert await container.wait() == 3
    await container.delete()
    lines = [line.split(" ", 3)[1:] for line in room.log.read_text().splitlines()]
    assert sorted(lines) == [["stderr", "F", "no backend"], ["stdout", "F", "hello"]]


async def test_a_crash_is_seen_with_its_signal(room: Room) -> None:
    container = await room.start()
    await room.listening(container)
    waiters = [asyncio.ensure_future(container.wait()) for _ in range(3)]
    room.crash(container)
    assert await asyncio.gather(*waiters) == [137, 137, 137]
    await container.delete()
    assert await room.runtime.list_ids() == []


async def test_a_waiter_that_gives_up_takes_nothing_from_the_others(room: Room) -> None:
    container = await room.start()
    impatient, patient = (asyncio.ensure_future(container.wait()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await room.listening(container)
    assert await container.stop(10) == 0
    assert await patient == 0
    assert impatient.cancelled()


async def test_sigterm_is_ignored_so_it_is_killed(room: Room) -> None:
    container = await room.start("stubborn")
    await room.listening(container)
    assert await container.stop(0.05) == 137
    await container.delete()
    assert await room.runtime.list_ids() == []


async def test_a_silent_plugin_never_listens(room: Room) -> None:
    container = await room.start("silent")
    with pytest.raises(errors.Unavailable, match=r"within 0.05 s: no such file"):
        await client.SocketDialer().wait_listening(room.socket, 0.05, exited=container.wait())
    # The wait was given up, the plugin was not: it must still be there, and stop as always.
    assert await room.runtime.list_ids() == [ID]
    await container.stop(0.5)


async def test_waiting_for_the_socket_ends_with_the_process(room: Room) -> None:
    container = await room.start("exit=7")
    with pytest.raises(errors.Unavailable, match="process has ended"):
        await client.SocketDialer().wait_listening(room.socket, 30, exited=container.wait())
    assert await container.wait() == 7


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({"entrypoint": ("/missing",)}, r"/missing.*no such file"),
        ({"bind": "/missing/source"}, r"/missing/source.*no such file"),
    ],
)
async def test_a_start_that_fails_says_why_and_leaves_nothing(
    room: Room, what: dict[str, object], why: str
) -> None:
    with pytest.raises(errors.PluginFailed, match=why):
        await room.start(**what)
    assert await room.runtime.list_ids() == []
    container = await room.start()
    await room.listening(container)
    assert await container.stop(10) == 0


async def test_the_same_id_twice_is_refused(room: Room) -> None:
    container = await room.start()
    with pytest.raises(errors.Conflict, match="exists"):
        await room.start()
    driver = await room.listening(container)
    assert await driver.list() == (), "the first one was not disturbed"


async def test_the_next_agent_adopts(room: Room) -> None:
    container = await room.start()
    await (await room.listening(container)).create("v1", None)
    later = room.another_agent()
    adopted = await later.adopt(ID)
    assert adopted is not None
    assert adopted.pid == container.pid
    assert [v.name for v in await (await room.listening(adopted)).list()] == ["v1"]
    assert await adopted.stop(10) == 0
    await adopted.delete()
    assert await later.list_ids() == []
    assert await container.wait() in (0, None)


async def test_what_has_ended_or_never_was_is_not_adopted(room: Room) -> None:
    assert await room.runtime.adopt(ID) is None
    container = await room.start("exit=1")
    await container.wait()
    later = room.another_agent()
    assert await later.adopt(ID) is None
    assert await later.list_ids() == [ID]
    await later.purge(ID)
    assert await later.list_ids() == []


async def test_purge_kills_what_runs(room: Room) -> None:
    container = await room.start("stubborn")
    await room.listening(container)
    await room.runtime.purge(ID)
    assert await container.wait() in (137, None)
    assert await room.runtime.list_ids() == []
    await room.runtime.purge(ID)


async def test_output_goes_to_a_new_file_after_a_rotation(room: Room) -> None:
    container = await room.start(output="first")
    await room.listening(container)
    await room.first_output()
    old = room.log.rename(room.log.with_suffix(".log.1"))
    await room.runtime.reopen_log(ID)
    await container.stop(10)
    assert "first" in old.read_text()
    assert room.log.exists()
    assert "first" not in room.log.read_text()
    await container.delete()
    with pytest.raises(errors.NotFound, match="does not run"):
        await room.runtime.reopen_log(ID)


# --- only the real one --------------------------------------------------------------------------


@pytest.mark.root
async def test_runc_lists_and_executes_by_id(real: Room) -> None:
    container = await real.start()
    await real.listening(container)
    runc = ["runc", "--root", str(real.base / "runc")]
    shown = await asyncio.to_thread(subprocess.check_output, [*runc, "list", "--format", "json"])
    assert [(c["id"], c["status"], c["pid"]) for c in json.loads(shown)] == [
        (ID, "running", container.pid)
    ]
    inside = await asyncio.to_thread(
        subprocess.check_output, [*runc, "exec", ID, "cat", "/proc/1/cmdline"]
    )
    assert inside.split(b"\0")[-2] == b"/plugin.py"


@pytest.mark.root
async def test_a_mount_over_the_socket_directory_is_the_plugins_own(real: Room) -> None:
    await real.listening(await real.start())
    assert os.listdir(real.base / "sockets") == ["plugin.sock"]


@pytest.mark.root
async def test_a_reused_pid_is_not_adopted(real: Room) -> None:
    container = await real.start()
    path = real.base / "run" / "bundles" / ID / "launch.json"
    launch = json.loads(path.read_text())
    path.write_text(json.dumps({**launch, "start_time": launch["start_time"] + 1}))
    assert await real.runtime.adopt(ID) is None
    path.write_text("{")
    assert await real.runtime.adopt(ID) is None
    await real.runtime.purge(ID)
    assert await container.wait() in (137, None)


@pytest.mark.root
async def test_a_created_container_is_not_adopted_but_purged(real: Room) -> None:
    """The agent died between `runc create` and `runc start`."""
    from plugind.runtime import bundle, conmon, oci

    tools = oci.Oci(binary=oci.find_program("runc"), root=real.base / "runc")
    box = bundle.Bundle(run=real.base / "run", id=ID)
    box.write(real.spec())
    real.log.parent.mkdir()
    argv = conmon.conmon_argv(oci.find_program("conmon"), tools, box, real.log, 0)
    deadline = asyncio.get_running_loop().time() + 30
    launched = await conmon.launch(argv, box, deadline=deadline)
    assert await real.runtime.adopt(ID) is None
    await real.runtime.purge(ID)
    assert await real.runtime.list_ids() == []
    assert not is_alive(launched.pid)


@pytest.mark.root
async def test_a_start_that_is_cancelled_leaves_nothing(real: Room) -> None:
    for moment in (0.0, 0.01, 0.03):
        starting = asyncio.ensure_future(real.start())
        await asyncio.sleep(moment)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert await real.runtime.list_ids() == []


@pytest.mark.root
async def test_secrets_in_the_bundle_are_for_root_alone(real: Room) -> None:
    await real.start()
    box = real.base / "run" / "bundles" / ID
    assert box.stat().st_mode & 0o077 == 0
    assert (box / "config.json").stat().st_mode & 0o077 == 0


@pytest.mark.root
async def test_with_the_hosts_pid_namespace_children_are_killed_too(real: Room) -> None:
    script = "trap '' TERM; sleep 1000 & echo $!; wait; wait"
    container = await real.start(entrypoint=("/bin/sh", "-c", script), pid_host=True)
    await real.first_output()
    child = int(real.log.read_text().split()[-1])
    assert await container.stop(0.05) == 137
    await container.delete()
    assert not is_alive(child)


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
