# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp, world
from plugind import errors
from plugind.dockerd import execute
from plugind.model import privileges, reference
from plugind.model.host_mount import HostMount
from plugind.model.secrets import SecretPolicy
from plugind.model.verify import Verify

V = "/v1.41"
X = f"{V}/plugins/x:latest"
REF = reference.parse("x:2")
ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", "/version"): (200, {"ApiVersion": "1.41"}),
    ("GET", f"{V}/version"): (200, {"ApiVersion": "1.41", "Version": "20.10"}),
    ("POST", f"{V}/plugins/pull"): (200, b'{"status": "Pulling"}\r\n'),
    ("POST", f"{X}/upgrade"): (200, b'{"status": "Pulling"}\r\n'),
    ("POST", f"{X}/set"): (204, None),
    ("POST", f"{X}/enable"): (200, b""),
    ("POST", f"{X}/disable"): (200, b""),
    ("DELETE", X): (200, b""),
    ("POST", f"{V}/volumes/create"): (201, {"Name": "v"}),
    ("DELETE", f"{V}/volumes/v"): (204, None),
    ("GET", f"{V}/volumes/v"): (200, {"Name": "v", "Options": {"a": "1"}}),
}


class Bench:
    def __init__(self, target: execute.DockerTarget, requests: list[unixhttp.Request]) -> None:
        self.target = target
        self.requests = requests
        self.lines: list[dict[str, Any]] = []

    @property
    def last(self) -> tuple[str, Any]:
        request = self.requests[-1]
        body = json.loads(request.body) if request.body else None
        return f"{request.method} {request.path.removeprefix(V)}", body


@pytest.fixture
def answers() -> dict[tuple[str, str], Any]:
    return dict(ANSWERS)


@pytest.fixture
async def bench(tmp_path: Path, answers: dict[tuple[str, str], Any]) -> AsyncIterator[Bench]:
    with unixhttp.serve(tmp_path / "s", answers) as requests:
        async with execute.open_target(f"unix://{tmp_path}/s") as target:
            yield Bench(target, requests)


async def test_install_always_gives_a_name(bench: Bench) -> None:
    accepted = (privileges.Privilege(name="network", value=("host",)),)
    await bench.target.install("x:latest", REF, accepted, None, bench.lines.append)
    assert bench.last == (
        "POST /plugins/pull?remote=docker.io%2Flibrary%2Fx%3A2&name=x%3Alatest",
        [{"Name": "network", "Description": "", "Value": ["host"]}],
    )


async def test_upgrade_sets_the_mounts_again_that_docker_forgets(
    bench: Bench, answers: dict[tuple[str, str], Any]
) -> None:
    moved = [{**world.CONFIG["Mounts"][0], "Source": "/mine"}]
    before = {**world.plugin(enabled=False), "Config": {**world.CONFIG, "Mounts": moved}}
    answers["GET", f"{X}/json"] = [(200, before), (200, world.plugin(enabled=False))]
    await bench.target.upgrade("x:latest", REF, (), None, bench.lines.append)
    assert bench.last == ("POST /plugins/x:latest/set", ["data.source=/mine"])
    answers["GET", f"{X}/json"] = (200, world.plugin(enabled=False))
    await bench.target.upgrade("x:latest", REF, (), None, bench.lines.append)
    assert bench.last[0] == "GET /plugins/x:latest/json"


async def test_a_digest_is_refused_before_it_is_sent(bench: Bench) -> None:
    pinned = reference.parse(f"x@sha256:{'a' * 64}")
    for pull in (bench.target.install, bench.target.upgrade):
        with pytest.raises(errors.Unsupported):
            await pull("x:latest", pinned, (), None, bench.lines.append)
    assert bench.last[0] == "GET /version"


async def test_nothing_is_changed_in_place(bench: Bench) -> None:
    asked = len(bench.requests)
    with pytest.raises(errors.Unsupported, match="upgrades only what is disabled"):
        await bench.target.upgrade_in_place(
            "x:latest", REF, (), None, bench.lines.append, arguments=(), timeout=1
        )
    with pytest.raises(errors.Unsupported, match="sets only what is disabled"):
        await bench.target.set_in_place("x:latest", ("A.value=1",), 1)
    assert len(bench.requests) == asked


async def test_calls(bench: Bench) -> None:
    target = bench.target
    await target.set("x:latest", ("A.value=1",))
    assert bench.last == ("POST /plugins/x:latest/set", ["A.value=1"])
    await target.enable("x:latest", 2.5)
    assert bench.last[0] == "POST /plugins/x:latest/enable?timeout=3"
    await target.disable("x:latest", force=True)
    assert bench.last[0] == "POST /plugins/x:latest/disable?force=True"
    await target.remove("x:latest", force=False)
    assert bench.last[0] == "DELETE /plugins/x:latest?force=False"
    await target.create_volume("v", "x:latest", {"a": "1"}, {"l": "2"})
    assert bench.last[1] == {
        "Name": "v", "Driver": "x:latest", "DriverOpts": {"a": "1"}, "Labels": {"l": "2"},
    }  # fmt: skip
    assert await target.differing_options("v", {"a": "2"}) == ("a",)
    assert await target.info() == {"Name": "dockerd", "Version": "20.10", "ApiVersion": "1.41"}


async def test_force_of_a_volume(bench: Bench) -> None:
    await bench.target.remove_volume("v", force=True)
    assert bench.last[0] == "DELETE /volumes/v?force=1"


async def test_host_mounts_are_refused_by_name(bench: Bench) -> None:
    with pytest.raises(errors.Unsupported, match=r'^cannot mount volume v at "/m": a Docker Eng'):
        await bench.target.mount(HostMount(path="/m", volume="v"), allow_nonempty=False)
    with pytest.raises(errors.Unsupported, match=r'^cannot unmount "/m": a Docker Engine has no'):
        await bench.target.unmount("/m", force=True)
    assert await bench.target.inspect_mount("/m") is None


async def test_what_an_upgrade_finds_gone_is_said(bench: Bench) -> None:
    with pytest.raises(errors.NotFound, match='plugin "x:latest" not found'):
        await bench.target.upgrade("x:latest", REF, (), None, bench.lines.append)
    assert bench.last[0] == "GET /plugins/x:latest/json", "nothing was upgraded"


async def test_a_volume_that_is_in_use_is_not_removed(
    bench: Bench, answers: dict[tuple[str, str], Any]
) -> None:
    answers["DELETE", f"{V}/volumes/v"] = (409, {"message": "volume is in use - [abc]"})
    with pytest.raises(errors.Conflict, match=r"^cannot remove volume v: volume is in use - \[abc"):
        await bench.target.remove_volume("v", force=False)


async def test_options_of_a_volume_that_is_gone_all_differ(bench: Bench) -> None:
    assert await bench.target.differing_options("none", {"b": "1", "a": "2"}) == ("a", "b")


async def test_what_the_declaration_keeps_secret_is_observed_as_such(
    bench: Bench, answers: dict[tuple[str, str], Any]
) -> None:
    answers["GET", f"{V}/plugins"] = (200, [world.plugin()])
    answers["GET", f"{V}/volumes"] = (200, {"Volumes": [world.volume()]})
    answers["GET", f"{V}/info"] = (200, {})
    policy = SecretPolicy(patterns=("mine",))
    read = await execute.DockerTarget(bench.target._client, "x", policy).observe()
    assert read.policy == policy
    assert [p["Name"] for p in read.plugins] == ["x:latest"]
    assert [v["Name"] for v in read.volumes] == ["v"]


async def test_what_a_plugin_asks_for_is_the_registrys_word(
    bench: Bench, answers: dict[tuple[str, str], Any]
) -> None:
    asked = [{"Name": "network", "Description": "", "Value": ["host"]}]
    answers["GET", f"{V}/plugins/privileges"] = (200, asked)
    offer = await bench.target.offer(REF, None)
    assert [str(privilege) for privilege in offer.privileges] == ["network: [host]"]


@pytest.mark.parametrize("answer", [[], "x", None])
async def test_an_answer_that_is_no_object_is_an_error(
    bench: Bench, answers: dict[tuple[str, str], Any], answer: Any
) -> None:
    answers["GET", f"{X}/json"] = (200, answer)
    with pytest.raises(errors.System, match=r"^cannot inspect plugin x:latest: the engine answer"):
        await bench.target.inspect_plugin("x:latest")


async def test_an_engine_that_dies_while_it_pulls(tmp_path: Path) -> None:
    """Its stream ends in the middle of a chunk."""
    line = b'{"status": "Pulling"}'
    cut = b"Transfer-Encoding: chunked\r\n\r\n15\r\n" + line + b'\r\n20\r\n{"stat'
    lines: list[dict[str, Any]] = []
    with raw_server(tmp_path / "s", cut):
        async with execute.open_target(f"unix://{tmp_path}/s") as target:
            with pytest.raises(errors.Unavailable, match=r"^cannot pull x:2: the engine broke the"):
                await target.install("x:latest", REF, (), None, lines.append)
    assert lines == [{"status": "Pulling"}]


@contextlib.contextmanager
def raw_server(path: Path, rest: bytes) -> Iterator[None]:
    """A Docker Engine that tells its version, and then answers `rest` and ends."""
    version = json.dumps({"ApiVersion": "1.41"}).encode()
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
    answers = (head + b"Content-Length: %d\r\n\r\n" % len(version) + version, head + rest)

    def serve() -> None:
        listener.accept()[0].close()  # who only wants to know whether anybody listens
        for answer in answers:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as request:
                fields = b"".join(iter(request.readline, b"\r\n"))
                length = re.search(rb"content-length: (\d+)", fields.lower())
                request.read(int(length[1]) if length else 0)
                connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        serving = threading.Thread(target=serve)
        serving.start()
        yield
        serving.join()


class TestProbe:
    """A plugin is asked where the engine keeps it; what it then answers is in test_probe.py."""

    async def test_only_on_the_engines_own_host(self, bench: Bench) -> None:
        away = execute.DockerTarget(bench.target._client, "tcp://192.0.2.1:2375")
        with pytest.raises(
            errors.Unsupported, match=r"tcp://192\.0\.2\.1:2375 is not an engine on"
        ):
            await away.probe("x:latest", Verify(timeout=1))

    async def test_what_is_gone(self, bench: Bench) -> None:
        with pytest.raises(errors.NotFound, match='plugin "x:latest" not found'):
            await bench.target.probe("x:latest", Verify(timeout=1))

    @pytest.mark.parametrize("info", [{}, {"DockerRootDir": None}])
    async def test_an_engine_that_does_not_say_where(
        self, bench: Bench, answers: dict[tuple[str, str], Any], info: Any
    ) -> None:
        answers["GET", f"{X}/json"] = (200, world.plugin())
        answers["GET", f"{V}/info"] = (200, info)
        with pytest.raises(errors.System, match="its description has no DockerRootDir"):
            await bench.target.probe("x:latest", Verify(timeout=1))

    async def test_a_plugin_that_is_disabled(
        self, bench: Bench, answers: dict[tuple[str, str], Any]
    ) -> None:
        answers["GET", f"{X}/json"] = (200, world.plugin(enabled=False))
        answers["GET", f"{V}/info"] = (200, {"DockerRootDir": "/var/lib/docker"})
        with pytest.raises(errors.Unavailable, match="plugin x:latest is disabled"):
            await bench.target.probe("x:latest", Verify(timeout=1))


async def test_nothing_is_kept_of_what_is_not_verified(bench: Bench) -> None:
    asked = len(bench.requests)
    await bench.target.set_unverified("x:latest", flag=True)
    assert len(bench.requests) == asked


async def test_what_is_not_there_is_none(bench: Bench) -> None:
    assert await bench.target.inspect_plugin("none:latest") is None
    assert await bench.target.inspect_volume("none") is None
