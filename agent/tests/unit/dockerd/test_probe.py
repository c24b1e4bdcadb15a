# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fakes.plugin import VolumePlugin
from plugind import errors
from plugind.dockerd import probe
from plugind.model.verify import PROBE_VOLUME, Verify

ID = "ab" * 32
VOLUME = Verify(volume={"o": "1"}, timeout=20)


class Bench:
    """A plugin that a Docker Engine has started, as it looks from the host."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "root/plugins" / ID / "propagated-mount"
        self.data.mkdir(parents=True)
        (directory / ID).mkdir()
        self.plugin = VolumePlugin({}, data=self.data, say=lambda stream, line: None)

    def locate(self, **changes: Any) -> probe.Place:
        interface = {"Socket": "plugin.sock", "Types": ["docker.volumedriver/1.0"], **changes}
        document = {
            "Name": "x:latest",
            "Id": ID,
            "Enabled": True,
            "Config": {"Interface": interface, "PropagatedMount": "/data"},
        }
        return probe.locate(document, str(self.directory / "root"), self.directory)

    async def probe(self, verify: Verify = VOLUME, **interface: Any) -> None:
        await probe.probe(self.locate(**interface), verify)

    def called(self) -> list[str]:
        return [method.rpartition(".")[2] for method, _ in self.plugin.calls]

    def files(self) -> list[list[str]]:
        return [files for _, _, files in os.walk(self.data) if files]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    # Short, because a socket's path holds 107 bytes and an id takes 64 of them.
    with tempfile.TemporaryDirectory(prefix="p-") as directory:
        found = Bench(Path(directory))
        server = await found.plugin.serve(Path(directory) / ID)
        assert server is not None
        yield found
        server.close()
        found.plugin.abort()
        await server.wait_closed()


async def test_a_volume_is_used_from_creation_to_removal(bench: Bench) -> None:
    await bench.probe()
    assert bench.called() == ["List", "Create", "Mount", "Unmount", "Remove"]
    created = bench.plugin.calls[1][1]
    assert created["Name"].startswith(PROBE_VOLUME)
    assert created["Opts"] == {"o": "1"}
    assert (bench.plugin.volumes, bench.files()) == ({}, [])


async def test_without_a_volume_the_socket_alone_is_asked(bench: Bench) -> None:
    await bench.probe(Verify(timeout=20))
    await bench.probe(Verify(timeout=20), Types=["docker.logdriver/1.0"])
    await bench.probe(Verify(timeout=20), Types=["docker.csinode/1.0"], ProtocolScheme="grpc")
    assert bench.called() == ["List", "Activate"]


@pytest.mark.parametrize("method", ["Create", "Mount"])
async def test_what_fails_is_undone(bench: Bench, method: str) -> None:
    bench.plugin.behaviour = f"fail=VolumeDriver.{method}:no backend"
    with pytest.raises(errors.System, match=r"^probe volume: no backend$"):
        await bench.probe()
    assert (bench.plugin.volumes, bench.files()) == ({}, [])


async def test_a_mount_that_is_not_there_fails(bench: Bench) -> None:
    bench.plugin.behaviour = 'answer=VolumeDriver.Mount:200:{"Mountpoint": "/data/elsewhere"}'
    with pytest.raises(errors.System, match=r'cannot open ".*/elsewhere": No such file'):
        await bench.probe()
    assert bench.called()[-2:] == ["Unmount", "Remove"]
    assert bench.plugin.volumes == {}


async def test_what_cannot_be_undone_is_said(bench: Bench) -> None:
    bench.plugin.behaviour = "fail=VolumeDriver.Remove:it is stuck"
    with pytest.raises(errors.System, match="it is stuck; its volume is left: it is stuck"):
        await bench.probe()


async def test_a_driver_that_hangs_is_not_waited_for(bench: Bench) -> None:
    bench.plugin.behaviour = "hang=VolumeDriver.Mount"
    with pytest.raises(errors.Unavailable, match=r"it was not done within 0\.2 s"):
        await bench.probe(Verify(activate=False, volume={}, timeout=0.2))
    assert bench.plugin.volumes == {}
    bench.plugin.behaviour = "hang=VolumeDriver.List"
    with pytest.raises(errors.Unavailable, match=r"it was not done within 0\.1 s"):
        await bench.probe(Verify(timeout=0.1))


async def test_who_gives_up_leaves_nothing(bench: Bench) -> None:
    bench.plugin.behaviour = "wait=VolumeDriver.Mount"
    probing = asyncio.ensure_future(bench.probe())
    while not bench.plugin.waiting:  # noqa: ASYNC110 - the fake raises no event
        await asyncio.sleep(0)
    probing.cancel()
    await asyncio.wait([probing])
    assert probing.cancelled()
    assert bench.plugin.volumes == {}
    bench.plugin.go_on()


async def test_nobody_who_listens_is_said(bench: Bench) -> None:
    with pytest.raises(errors.Unavailable, match="no such file"):
        await bench.probe(Verify(timeout=20), Socket="other.sock", ProtocolScheme="grpc")


async def test_a_volume_of_who_serves_none_cannot_be_meant(bench: Bench) -> None:
    with pytest.raises(errors.Unsupported, match="serves no volumes"):
        await bench.probe(Types=["docker.logdriver/1.0"])


@pytest.mark.parametrize("socket", ["", "../x.sock"])
def test_a_socket_that_lies_elsewhere_is_refused(bench: Bench, socket: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="no usable socket"):
        bench.locate(Socket=socket)


def test_a_disabled_plugin_serves_nothing(tmp_path: Path) -> None:
    document = {"Name": "x:latest", "Id": ID, "Enabled": False, "Config": {}}
    with pytest.raises(errors.Unavailable, match="x:latest is disabled"):
        probe.locate(document, str(tmp_path))
