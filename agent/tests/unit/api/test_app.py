# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The way of every request: headers, peers, versions, degraded, clients that go away."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import logging
import os
import shutil
import subprocess

import docker
import docker.errors
import pytest

from plugind import errors
from plugind.api import access, routes
from support import served as served_

HEAD = b"Host: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("_ping", 200),
        ("nosuch", 404),
        ("plugins/nosuch/json", 404),
        ("v9.99/info", 400),
        ("events?until=1", 200),
    ],
)
async def test_every_response_says_who_answers(served, path, status):
    got, headers, body = await served.request("GET", path)
    assert got == status
    assert headers["Api-Version"] == "1.47"
    assert headers["Docker-Experimental"] == "false"
    assert headers["Ostype"] == "linux"
    assert headers["Server"] == "Docker/1.2.3 (linux)"
    assert status == 200 or (json.loads(body)["message"] and body.endswith(b"}\n"))


async def test_empty_answers_have_no_content_type(served):
    for method, path in (("POST", "plugins/toy/enable?timeout=0"), ("DELETE", "volumes/v1")):
        _, headers, body = await served.request(method, path)
        assert body == b""
        assert "Content-Type" not in headers


TABLE = """
GET v9.99/version   400  .message=client version 9.99 is too new. Maximum supported \
API version is 1.47
GET v1.48/version   400  .message=~too new
GET v1.23/version   400  .message=client version 1.23 is too old. Minimum supported \
API version is 1.24, please upgrade your client to a newer version
GET v1.24/version   200
GET v1.41/version   200
GET v1.47/version   200
GET v/version       404  .message=page not found
GET v1.41           404  .message=page not found
GET v9.99/nosuch    404  .message=page not found
GET v1.41/v1.41/_ping  404  .message=page not found
"""


@pytest.mark.parametrize("line", served_.rows(TABLE))
async def test_versions(served, line):
    await served.say(line)


async def request(served, start, body=b"", headers=b""):
    """Send a request as bytes; return its status and message."""
    answer = await served.raw(start + b" HTTP/1.1\r\n" + HEAD + headers + b"\r\n" + body)
    head, _, text = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(text).get("message", "") if text[:1] == b"{" else text


JSON = b"Content-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("start", "headers", "body", "status", "message"),
    [
        (b"GET /plugins/%ff/json", b"", b"", 400, "invalid path"),
        (b"GET /plugins?filters=%ff", b"", b"", 400, "invalid query string"),
        (b"GET /plugins/%00/json", b"", b"", 404, "not found"),
        (b"GET /plugins/a%0ab/json", b"", b"", 404, "not found"),
        (b"GET /plugins/..%2f..%2fetc/json", b"", b"", 404, "not found"),
        (b"POST /volumes/create", JSON + b"Content-Length: 1\r\n", b"\xff", 400, "invalid JSON"),
        (b"POST /volumes/create", JSON + b"Content-Length: 4\r\n", b"    ", 400, "EOF"),
        (b"POST /volumes/create", b"Content-Length: 2\r\n", b"{}", 400, "malformed Content-Type"),
        (
            b"POST /volumes/create",
            JSON + b"Transfer-Encoding: chunked\r\n",
            b"0\r\n\r\n",
            400,
            "invalid JSON: got EOF while reading request body",
        ),
        (
            b"POST /volumes/create",
            JSON + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n",
            b"nope",
            400,
            "",
        ),
    ],
)
async def test_bad_input_is_the_clients_fault(served, start, headers, body, status, message):
    got, said = await request(served, start, body, headers)
    assert got == status
    assert message in said


NASTY = [
    b"{}", b"[]", b"null", b"1", b'"x"', b"[null]", b'[{"Name":1}]', b'{"Name":[]}', b"{", b"\xff",
    b'{"Name":"\\ud800"}', b'{"Holder":"\\u0000"}', b'{"Labels":{"a":{}}}', b"[[[[", b"-", b"\x00",
]  # fmt: skip
QUERIES = [
    "", "remote", "remote=%00", "remote=a&name=%0a", "timeout=%F0%9F%98%80", "tail=1e9",
    "since=-1&until=-2", "since=99999999999999999999", "filters=%7B%22a%22%3A%7B%7D%7D",
    "filters=1", "filters=%22", "force=%20", "&&&=&", "remote=" + "a/" * 500, "method=..",
]  # fmt: skip


@pytest.mark.parametrize("route", routes.ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
async def test_no_input_is_a_defect(served, route):
    method, path, *_ = route
    for name in ("x", "", "%00", "..%2f..", "%F0%9F%98%80", "a%0db", "x" * 4000):
        target = path.replace("{name}", name).lstrip("/")
        for query, body in itertools.zip_longest(QUERIES, NASTY, fillvalue=""):
            status, _, answer = await served.request(method, f"{target}?{query}", body=body or None)
            assert status != 500, (target, query, body, answer)


async def test_json_bodies_are_bounded(served):
    body = b'{"Name":"' + b"x" * 5_000_000 + b'"}'
    headers = JSON + b"Content-Length: %d\r\n" % len(body)
    status, message = await request(served, b"POST /volumes/create", body, headers)
    assert status == 413
    assert "4194304" in message


async def test_a_small_body_that_unpacks_to_a_large_one_is_bounded_too(served):
    body = gzip.compress(b'{"Name":"' + b"x" * 50_000_000 + b'"}')
    headers = JSON + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(body)
    status, _ = await request(served, b"POST /volumes/create", body, headers)
    assert status in (400, 413)


async def test_a_get_with_a_body_is_answered(served):
    answer = await request(served, b"GET /_ping", b"hello", b"Content-Length: 5\r\n")
    assert answer == (200, b"OK")


async def test_one_connection_serves_many_requests(served):
    line = b"GET /_ping HTTP/1.1\r\nHost: x\r\n"
    twice = line + b"\r\n" + line + b"Connection: close\r\n\r\n"
    assert (await served.raw(twice)).count(b"HTTP/1.1 200 OK") == 2


async def test_long_registry_tokens_fit_into_a_header(served):
    headers = {"X-Registry-Auth": "A" * 40_000}
    status, _, _ = await served.request("GET", "plugins/privileges?remote=a", headers=headers)
    assert status == 200


async def test_a_defect_is_a_500_and_is_logged_with_its_traceback(served, caplog):
    served.stories.fail["inspect_volume"] = ZeroDivisionError("oops")
    await served.say(
        "GET volumes/v1  500  .message=cannot GET /volumes/v1: ZeroDivisionError: oops"
    )
    assert "ZeroDivisionError" in caplog.text


async def test_a_degraded_engine_reads_and_does_not_write(served):
    served.engine.degraded = "cannot write: disk format 9 is newer than this agent"
    await served.say("GET plugins  200")
    await served.say("GET volumes/v1  200")
    await served.say("DELETE volumes/v1  503  .message=~disk format 9")
    await served.say("POST plugins/pull?remote=a  503  .message=~disk format 9")
    assert served.stories.calls[-1][0] == "inspect_volume"


@pytest.mark.parametrize(
    ("uid", "groups", "status"),
    [(0, {0}, 200), (4711, {4711}, 403), (4711, {4711, 900}, 200)],
)
async def test_root_and_the_group_may_everything_others_nothing(tmp_path, uid, groups, status):
    peer = access.Peer(uid=uid, groups=frozenset(groups))
    async with served_.serve(tmp_path, group_gid=900, peer_of=lambda _: peer) as served:
        for path in ("_ping", "plugins", "events?until=1"):
            got, _, _ = await served.request("GET", path)
            assert got == status


async def test_a_client_that_goes_away_cancels_a_pull(served):
    served.stories.hold = asyncio.Event()
    await hang_up_after_entering(served, b"POST /plugins/pull?remote=a HTTP/1.1\r\nHost: x\r\n\r\n")
    await served.stories.cancelled.wait()
    assert "a:latest" not in served.stories.plugins


async def test_a_client_that_goes_away_does_not_stop_an_enable(served):
    served.stories.hold = asyncio.Event()
    enable = b"POST /plugins/toy/enable?timeout=0 HTTP/1.1\r\nHost: x\r\n\r\n"
    await hang_up_after_entering(served, enable)
    # A second request on the loop proves that the hang-up has been seen meanwhile.
    await served.say("GET _ping  200")
    served.stories.hold.set()
    await served.runner.shutdown()
    assert served.stories.plugins["toy:latest"].enabled


async def test_an_error_after_the_client_left_is_rendered_to_nobody(served, caplog):
    served.stories.hold = asyncio.Event()
    enable = b"POST /plugins/nosuch/enable?timeout=0 HTTP/1.1\r\nHost: x\r\n\r\n"
    await hang_up_after_entering(served, enable)
    served.stories.hold.set()
    await served.runner.shutdown()
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize(
    ("path", "kind"), [("plugins/toy/set", "json"), ("plugins/create?name=n", "x-tar")]
)
async def test_a_client_that_goes_away_in_its_body_is_no_defect(served, caplog, path, kind):
    _, writer = await asyncio.open_unix_connection(str(served.path))
    head = f"POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/{kind}\r\n"
    writer.write(f"{head}Content-Length: 100\r\n\r\n[".encode())
    await writer.drain()
    await served.say("GET _ping  200")
    writer.close()
    await writer.wait_closed()
    await served.say("GET _ping  200")
    await served.runner.shutdown()
    assert [each for each in caplog.records if each.levelno > logging.INFO] == []
    assert "n:latest" not in served.stories.plugins


async def hang_up_after_entering(served, raw):
    _, writer = await asyncio.open_unix_connection(str(served.path))
    writer.write(raw)
    await served.stories.entered.wait()
    writer.close()
    await writer.wait_closed()


async def test_the_docker_sdk(served):
    def use():
        with docker_client(served) as client:
            assert client.version()["Version"] == served_.VERSION
            assert [plugin["Name"] for plugin in client.plugins()] == [
                "toy:latest",
                "vieux/sshfs:latest",
            ]
            asked = client.plugin_privileges("a/b")
            assert [entry["Name"] for entry in asked] == ["network", "capabilities"]
            lines = list(client.pull_plugin("a/b", asked, name="local"))
            assert lines == [{"status": "Complete"}]
            client.configure_plugin("local", {"DEBUG": "1"})
            client.enable_plugin("local", timeout=5)
            client.disable_plugin("local", force=True)
            client.remove_plugin("local", force=False)
            with pytest.raises(docker.errors.NotFound, match='plugin "local" not found'):
                client.inspect_plugin("local")
            assert client.create_volume("n", driver="toy:latest")["Driver"] == "toy:latest"
            assert client.volumes()["Warnings"] is None
            client.remove_volume("n")
            assert client.ping()
            assert client.info()["OSType"] == "linux"
            assert client.inspect_distribution("a/b")["Descriptor"]["size"] > 0
            assert list(client.events(since=1, until=2)) == []

    served.stories.lines = [{"status": "Complete"}]
    await asyncio.to_thread(use)


def docker_client(served):
    return docker.APIClient(base_url=f"http+unix://{served.path}", version="auto", timeout=20)


@pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker CLI here")
async def test_the_docker_cli(served, tmp_path):
    async def run(*args, answer=None, status=0):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "DOCKER_HOST": served.url,
        }
        done = await asyncio.to_thread(
            subprocess.run,
            ["docker", *args],
            env=environment,
            input=answer,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    shown = await run("version")
    assert "API version:      1.47 (minimum version 1.24)" in shown
    assert "Version:          1.2.3" in shown
    assert "vieux/sshfs:latest" in await run("plugin", "ls")
    assert "toy:latest" in await run("plugin", "inspect", "-f", "{{.Name}}", "toy")
    assert 'plugin "nosuch" not found' in await run("plugin", "inspect", "nosuch", status=1)

    refused = await run("plugin", "install", "a/b", answer="n\n", status=1)
    assert " - network: [host]" in refused
    assert " - capabilities: [CAP_SYS_ADMIN]" in refused
    served.stories.lines = [{"status": "Complete", "progressDetail": {}, "id": "e228169431e6"}]
    installed = await run("plugin", "install", "a/b", "DEBUG=1", answer="y\n")
    assert "e228169431e6: Complete" in installed
    assert "Installed plugin a/b" in installed
    assert served.stories.plugins["a/b:latest"].enabled

    served.stories.late = errors.System("cannot reach the registry")
    assert "cannot reach the registry" in await run("plugin", "push", "toy", status=1)
    assert "already disabled" in await run("plugin", "disable", "-f", "toy", status=1)
    assert "v1" in await run("volume", "ls", "-q", "--filter", "driver=toy:latest")
    assert "n" in await run("volume", "create", "-d", "toy", "-o", "a=b", "n")
    assert "Total reclaimed space: 0B" in await run("volume", "prune", "-af")
    assert "Local Volumes" in await run("system", "df")
    assert "Server Version: 1.2.3" in await run("info")
    assert await run("events", "--since", "3m", "--until", "0s") == ""
    assert "CONTAINER ID" in await run("ps", "-a")

    context = tmp_path / "context"
    (context / "rootfs").mkdir(parents=True)
    (context / "config.json").write_text("{}")
    (context / "rootfs" / "big").write_bytes(b"x" * 8_000_000)
    assert await run("plugin", "create", "made", str(context)) == "made\n"
    assert len(served.stories.created) > 8_000_000
    assert "already exists" in await run("plugin", "create", "made", str(context), status=1)
