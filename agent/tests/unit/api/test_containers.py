# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`/containers`: what clients send and get, over an engine in memory."""

from __future__ import annotations

import asyncio
import json

import pytest

from fakes.container_stories import make_entry
from plugind.model.containers.container import ContainerState, Status
from support import served as served_

TABLE = """
GET containers/json                     200  .=[]
GET containers/json?all=1               200  .0.Names=["/c1"]  .0.State=created  .0.Status=Created
GET containers/json?filters={"x":[]}    400  .message=invalid filter 'x'
GET containers/json?filters={"status":["x"]}  400  .message=invalid filter 'status=x'
GET containers/c1/json                  200  .Name=/c1  .State.Running=false  .HostConfig.Memory=0
GET containers/none/json                404  .message=No such container: none
POST containers/none/start              404  .message=No such container: none
POST containers/c1/start                204
POST containers/c1/stop?t=3             304
POST containers/c1/stop?t=x             400  .message=~invalid syntax
POST containers/c1/kill?signal=HUP      204
POST containers/c1/resize?h=1&w=2       409  .message=~is not running
POST containers/c1/resize?h=-1&w=2      400  .message=~invalid size
POST containers/c1/wait                 200  .StatusCode=0
POST containers/c1/wait?condition=x     400  .message=invalid condition: "x"
GET containers/c1/logs                  400  .message=~at least one stream
DELETE containers/c1?link=1             400  .message=~links
DELETE containers/c1?force=1&v=1        204
POST containers/prune                   200  .ContainersDeleted=null  .SpaceReclaimed=0
POST containers/c1/exec                 501  .message=plugind does not support exec of containers
POST containers/c1/pause                501  .message=~pause
GET containers/c1/top                   501  .message=~top
"""


@pytest.fixture
def entry(served):
    entry = served.stories.containers["c1"] = make_entry()
    return entry


@pytest.mark.parametrize("line", served_.rows(TABLE))
async def test_conformance(served, entry, line):
    await served.say(line)


async def create(served, path="containers/create", **body):
    status, _, answer = await served.request("POST", path, body=json.dumps(body).encode())
    return status, json.loads(answer)


async def test_create_answers_id_and_warnings(served):
    status, answer = await create(served, "containers/create?name=web", Image="busybox")
    assert status == 201
    assert answer["Id"] == "c0" * 32
    assert "no bridge network" in answer["Warnings"][0]
    status, answer = await create(served, Image="busybox", HostConfig={"NetworkMode": "none"})
    assert answer["Warnings"] == []


@pytest.mark.parametrize(
    ("body", "path", "status", "message"),
    [
        ({"Image": "other"}, "containers/create", 404, "No such image: other:latest"),
        ({"Image": "busybox"}, "containers/create?name=-", 400, "Invalid container name (-)"),
        ({"Image": "busybox"}, "containers/create?platform=linux/arm", 400, "platform"),
        (
            {"Image": "busybox", "HostConfig": {"PortBindings": {"80/tcp": None}}},
            "containers/create",
            400,
            "plugind does not support HostConfig.PortBindings",
        ),
    ],
)
async def test_create_refuses(served, body, path, status, message):
    got, answer = await create(served, path, **body)
    assert got == status
    assert message in answer["message"]


async def test_the_headers_of_wait_go_out_before_the_end(served, entry):
    """The client starts the container only when it has them."""
    reader, writer = await asyncio.open_unix_connection(served.path)
    writer.write(b"POST /containers/c1/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 " in await reader.readline()
    await reader.readuntil(b"\r\n\r\n")
    entry.end_run(ContainerState(status=Status.EXITED, exit_code=3))
    assert json.loads((await reader.readuntil(b"}")).partition(b"\r\n")[2]) == {"StatusCode": 3}
    writer.close()


async def test_a_waiter_that_goes_away_takes_the_end_from_nobody(served, entry):
    ended = entry.ended
    _, writer = await asyncio.open_unix_connection(served.path)
    writer.write(b"POST /containers/c1/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n")
    await writer.drain()
    writer.close()
    status, _, _ = await served.request("GET", "containers/json")
    assert status == 200
    assert not ended.cancelled()


async def attach(served, query, upgrade=True, version="v1.47"):
    reader, writer = await asyncio.open_unix_connection(served.path)
    lines = [f"POST /{version}/containers/c1/attach?{query} HTTP/1.1", "Host: x"]
    if upgrade:
        lines += ["Connection: Upgrade", "Upgrade: tcp"]
    writer.write(("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    return reader, writer, head


@pytest.mark.parametrize(
    ("tty", "version", "content_type"),
    [
        (False, "v1.47", "multiplexed-stream"),
        (False, "v1.41", "raw-stream"),
        (True, "v1.47", "raw-stream"),
    ],
)
async def test_attach_hands_the_connection_over(served, tty, version, content_type):
    served.stories.containers["c1"] = make_entry(tty=tty)
    served.stories.pieces = [(1, b"out"), (2, b"err")]
    reader, writer, head = await attach(served, "stream=1&stdout=1&stderr=1", version=version)
    assert head.startswith("HTTP/1.1 101 UPGRADED\r\n")
    assert f"Content-Type: application/vnd.docker.{content_type}\r\n" in head
    assert "Connection: Upgrade\r\nUpgrade: tcp\r\n" in head
    framed = b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err"
    assert await reader.read() == (b"outerr" if tty else framed)
    writer.close()


async def test_attach_without_an_upgrade_answers_200(served, entry):
    served.stories.pieces = [(1, b"x")]
    reader, writer, head = await attach(served, "stream=1&stdout=1", upgrade=False)
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "Upgrade" not in head
    assert (await reader.read()).endswith(b"x")
    writer.close()


async def test_a_client_may_say_its_last_word_and_go_on_listening(served, entry):
    reader, writer, _ = await attach(served, "stream=1&stdin=1&stdout=1")
    writer.write(b"abc")
    assert (await reader.readexactly(11))[8:] == b"ABC"
    writer.write(b"de")
    writer.write_eof()
    assert (await reader.read())[8:] == b"DE"
    writer.close()


async def test_a_lot_passes_both_ways(served, entry):
    """More than any buffer on the way holds."""
    reader, writer, _ = await attach(served, "stream=1&stdin=1&stdout=1")
    sent = b"x" * 3_000_000

    async def send():
        writer.write(sent)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    got = 0
    while header := await reader.read(8):
        header += await reader.readexactly(8 - len(header))
        data = await reader.readexactly(int.from_bytes(header[4:], "big"))
        assert data == b"X" * len(data)
        got += len(data)
    await sending
    assert got == len(sent)
    writer.close()


async def test_attach_to_nobody_is_an_ordinary_error(served):
    _, writer, head = await attach(served, "stream=1")
    assert head.startswith("HTTP/1.1 404 ")
    writer.close()


async def test_logs_are_framed(served, entry):
    served.stories.pieces = [(2, b"late\n")]
    query = "stderr=1&tail=5&since=1.5&timestamps=1"
    status, headers, body = await served.request("GET", f"containers/c1/logs?{query}")
    assert (status, body) == (200, b"\x02\0\0\0\0\0\0\x05late\n")
    assert headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
    wanted = served.stories.done[-1][1]
    assert (wanted.tail, wanted.since_ns, wanted.until_ns) == (5, 1_500_000_000, None)
    assert (wanted.stdout, wanted.stderr, wanted.timestamps) == (False, True, True)
