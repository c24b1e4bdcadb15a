# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Input that nobody should send: the right status, a clear text, and nothing left behind.

Over HTTP, on a real engine. What a plugin can do wrong once it runs is in `system/test_faulty.py`.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from plugind.api import app
from plugind.engine.plugin import enable
from support import content, invariants
from support.engine import World

Answer = tuple[int, str]
TAR = "application/x-tar"
JSON = "application/json"


@dataclasses.dataclass
class Api:
    """The engine's API on a socket."""

    world: World
    session: aiohttp.ClientSession

    async def post(self, path: str, body: Any = None, kind: str = JSON) -> Answer:
        """Return the status and the message; that of an error line, if the answer is a stream."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = URL(f"http://engine{path}", encoded=True)
        headers = {"Content-Type": kind}
        async with self.session.post(url, data=data, headers=headers) as response:
            text = await response.text()
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        last = lines[-1] if lines else {}
        return response.status, str(last.get("message") or last.get("error") or "")


@pytest.fixture
async def api(world: World, tmp_path: Path) -> AsyncIterator[Api]:
    application = app.make_app(world.engine, version="1.2.3", group_gid=None)
    runner = app.make_runner(application)
    await runner.setup()
    path = tmp_path / "api.sock"
    await web.UnixSite(runner, str(path)).start()
    connector = aiohttp.UnixConnector(str(path))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Api(world, session)
    await runner.cleanup()


def config(**changes: Any) -> bytes:
    return content.context(content.config(**changes))


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/volumes/create", b"{", 400, "invalid JSON"),
        ("/volumes/create", b"{} {}", 400, "unexpected content after JSON"),
        ("/volumes/create", b"[]", 400, "invalid JSON"),
        ("/volumes/create", {"Name": 1}, 400, "invalid JSON"),
        ("/volumes/create", {"Name": "ab", "Labels": []}, 400, "invalid JSON"),
        ("/volumes/create", {"Name": "ab", "DriverOpts": {"o": 1}}, 400, "invalid JSON"),
        ("/volumes/create", {"Name": "a/b"}, 400, "includes invalid characters"),
        ("/volumes/create", {"Name": "ab", "Driver": "none"}, 404, 'plugin "none" not found'),
        ("/plugins/toy/set", b'["DEBUG=1"', 400, "invalid JSON"),
        ("/plugins/toy/set", {"DEBUG": "1"}, 400, "invalid JSON"),
        ("/plugins/toy/set", [1], 400, "invalid JSON"),
        ("/plugins/toy/set", ["NOBODY=1"], 400, 'setting "NOBODY" not found'),
        ("/plugins/toy/set", ["DEBUG.path=1"], 400, "is not settable"),
        ("/plugins/toy/set", ["=1"], 400, "must be <name>"),
        ("/plugins/nobody/set", ["DEBUG=1"], 404, 'plugin "nobody" not found'),
        ("/plugins/toy/enable", None, 400, 'parsing "": invalid syntax'),
        ("/plugins/toy/enable?timeout=soon", None, 400, 'parsing "soon": invalid syntax'),
        ("/plugins/toy/enable?timeout=-1", None, 400, "negative"),
        ("/plugins/pull?remote=", [], 400, "invalid reference format"),
        ("/plugins/pull?remote=UPPER/Case", [], 400, "must be lowercase"),
        ("/plugins/pull?remote=a/b:t%20t", [], 400, "invalid reference format"),
        ("/plugins/pull?remote=a/b@sha256:12", [], 400, "invalid"),
        ("/plugins/pull?remote=a/b", {"a": 1}, 400, "invalid privileges"),
        ("/plugins/pull?remote=a/b", [{"Name": 1}], 400, "invalid privileges"),
        ("/plugins/pull?remote=a/b&name=x@sha256:12", [], 400, 'invalid digest "sha256:12"'),
        ("/plugind/apply", [], 400, "must be an object"),
        ("/plugind/apply", {"plugins": 1}, 400, "plugins"),
        ("/plugind/apply", {"plugin": []}, 400, "plugin"),
        ("/plugind/query", {"volumes": 1}, 400, "neither null nor a list"),
        ("/plugind/plugins/toy/rpc?method=Oh/no", {}, 400, "invalid method"),
        ("/plugind/volumes/ab/mount", {}, 400, "Holder is missing"),
    ],
)
async def test_bad_requests_change_nothing(
    api: Api, path: str, body: Any, status: int, message: str
) -> None:
    plugin = await api.world.install(api.world.publish())
    before = api.world.layout.plugin_record(plugin.id).read_bytes()
    answer = await api.post(path, body)
    assert answer[0] == status, answer
    assert message in answer[1], answer
    assert api.world.layout.plugin_record(plugin.id).read_bytes() == before
    assert invariants.load_volumes(api.world.layout.root) == {}
    invariants.check(api.world.layout.root)
    assert api.world.host.starts == []


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("new", b"", 400, "config not found"),
        ("new", content.context(None), 400, "config not found"),
        ("new", b"x" * 2000, 400, "failed to read from tar"),
        ("new", config()[:800], 400, "failed to read from tar"),
        ("new", gzip.compress(config())[:-30], 400, "failed to read from tar"),
        ("new", content.context(b"{"), 400, "failed to parse config: invalid JSON"),
        ("new", content.context(b"[]"), 400, "failed to parse config"),
        ("new", config(entrypoint=None), 400, "'entrypoint' is a required property"),
        ("new", config(entrypoint=[]), 400, ".entrypoint: "),
        ("new", config(env=[{"name": 1}]), 400, ".env[0].name: 1 is not of type 'string'"),
        ("new", content.context(content.config(), {"../x": b""}), 400, "../x"),
        ("UPPER", config(), 400, "must be lowercase"),
        ("", config(), 400, "invalid reference format"),
        ("new@sha256:" + "0" * 64, config(), 400, "canonical references are not permitted"),
        ("toy", config(), 409, "plugin toy:latest already exists"),
    ],
)
async def test_bad_creates_leave_nothing(
    api: Api, path: str, body: bytes, status: int, message: str
) -> None:
    await api.world.install(api.world.publish())
    answer = await api.post(f"/plugins/create?name={path}", body, TAR)
    assert answer[0] == status, answer
    assert message in answer[1], answer
    assert list(invariants.load_records(api.world.layout.root)) == ["toy:latest"]
    invariants.check(api.world.layout.root)


def fault(**faults: Any) -> Callable[[World], None]:
    def apply(world: World) -> None:
        world.publish("new", layers=[content.layer(size=20_000)])
        for name, value in faults.items():
            setattr(world.registry.faults, name, value)

    return apply


def publish(**changes: Any) -> Callable[[World], None]:
    return lambda world: world.publish("new", **changes) and None


NO_DIGEST = {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}


@pytest.mark.parametrize(
    ("arrange", "status", "message"),
    [
        (lambda world: None, 404, "error resolving plugin reference"),
        (fault(status=500), 503, "the registry is out of order"),
        (fault(status=401), 401, "cannot authenticate to registry"),
        (fault(wrong_digest_header=True), 500, "manifest of"),
        (fault(corrupt_blobs=True), 500, "sha256:"),
        (fault(truncate_blobs=True), None, "sha256:"),
        (fault(truncate_quietly=True), None, "sha256:"),
        (fault(lengthen_blobs=True), 500, "sha256:"),
        (fault(missing_blobs=True), 500, "blob unknown to registry"),
        (publish(**NO_DIGEST), 200, "diff_id"),
        (publish(layers=[b"no tar" * 500]), 200, "error applying layer for digest sha256:"),
        (publish(layers=[content.layer({"/../../x": b""})]), 200, "x"),
        (publish(entrypoint=None), 400, "'entrypoint' is a required property"),
        (publish(network={"type": "host"}), 400, "incorrect privileges: not granted: network"),
    ],
)
async def test_bad_pulls_leave_nothing(
    api: Api, arrange: Callable[[World], None], status: int | None, message: str
) -> None:
    arrange(api.world)
    answer = await api.post(f"/plugins/pull?remote={api.world.ref('new')}&name=new", [])
    assert status is None or answer[0] == status, answer
    assert message in answer[1], answer
    assert "Traceback" not in answer[1]
    invariants.check_empty(api.world.layout.root)


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"entrypoint": ["/absent"]}, 500, 'entrypoint "/absent"'),
        ({"entrypoint": ["absent"]}, 500, 'entrypoint "absent" is not in the rootfs'),
        (
            {"layers": [content.layer({"plugin": b"\x7fELF\2\1" + b"\0" * 12 + b"\x16\0"})]},
            500,
            "is built for s390x, this host is",
        ),
        ({"layers": [content.layer({"plugin": b"text"})]}, 500, "neither an ELF program nor"),
        ({"interface": {"types": [], "socket": "/"}}, 400, "no usable socket"),
        ({"env": [content.env("PLUGIN_BEHAVIOUR", "silent")]}, 500, "nothing listens on"),
        ({"env": [content.env("PLUGIN_BEHAVIOUR", "exit=7")]}, 500, "exited with status 7"),
    ],
)
async def test_what_cannot_run_says_why_and_stays_disabled(
    api: Api, changes: dict[str, Any], status: int, message: str
) -> None:
    plugin = await api.world.install(api.world.publish(**changes))
    answer = await api.post("/plugins/toy/enable?timeout=1", None)
    assert answer[0] == status, answer
    assert message in answer[1], answer
    assert not invariants.load_records(api.world.layout.root)["toy:latest"]["enabled"]
    assert not api.world.layout.socket_dir(plugin.id).exists()
    assert api.world.host.processes == {}


async def test_one_that_answers_garbage_is_a_server_error_and_loses_no_record(api: Api) -> None:
    world = api.world
    plugin = await world.install(world.publish())
    await enable.enable(world.engine, "toy", timeout=5)
    assert (await api.post("/volumes/create", {"Name": "v", "Driver": "toy"}))[0] == 201
    world.host.behave(plugin.id, "garbage")
    status, message = await api.post("/volumes/create", {"Name": "w", "Driver": "toy"})
    assert (status, "something that is not JSON" in message) == (500, True)
    status, message = await api.post("/plugind/volumes/v/mount", {"Holder": "web"})
    assert (status, "something that is not JSON" in message) == (500, True)
    assert list(invariants.load_volumes(world.layout.root)) == ["v"]
    assert world.engine.volume_store.mounts("v") == ()
