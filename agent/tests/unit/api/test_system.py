# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""docker-plugins reference 1.4, and what clients ask of an engine that has no containers."""

from __future__ import annotations

import asyncio
import json

import pytest

from plugind import errors
from plugind.model import event
from support import served as served_

TABLE = """
GET _ping                    200  =OK  Builder-Version:2  Swarm:inactive  Pragma:no-cache
GET _ping                    200  Cache-Control:no-cache, no-store, must-revalidate
GET _ping                    200  Content-Type:text/plain; charset=utf-8  Content-Length:2
HEAD _ping                   200  =  Api-Version:1.47  Content-Length:0
GET v1.30/_ping              200  =OK

GET version                  200  .Version=1.2.3  .ApiVersion=1.47  .MinAPIVersion=1.24  .Os=linux
GET version                  200  .Platform.Name=plugind  .Components.0.Name=Engine
GET version                  200  .Components.0.Details.ApiVersion=1.47
GET info                     200  .DockerRootDir=/root/of/plugind  .Swarm.LocalNodeState=inactive
GET info                     200  .Containers=0  .OSType=linux  .ServerVersion=1.2.3  .Warnings=null

GET events?until=1           200  Content-Type:application/json
GET events?since=x           400  .message=strconv.ParseInt: parsing "x": invalid syntax
GET events?until=1.x         400  .message=strconv.ParseInt: parsing "x": invalid syntax
GET events?since=2&until=1   400  .message=~cannot be after
GET events?filters={         400  .message=invalid filter
GET events?filters={"y":[]}  400  .message=invalid filter 'y'

GET containers/json          200  .=[]
GET containers/json?all=1    200  .=[]
GET images/json              200  .=[]
GET networks                 200  .=[]
GET containers/c1/json       404  .message=No such container: c1
GET images/a/b:c/json        404  .message=No such image: a/b:c
GET networks/n1              404  .message=network n1 not found
GET system/df                200  .Volumes.0.UsageData.Size=-1  .LayersSize=0  .BuildCache=[]

GET distribution/a/b/json    200  .Descriptor.mediaType=~manifest.v2  .Platforms=[]
GET distribution/A/json      400  .message=~invalid reference format

POST auth <{"username": "u", "password": "p"}  200  .Status=Login Succeeded  .IdentityToken=
POST auth <{"serveraddress": "r.example"}  400  .message=~neither a user's name nor a token
POST auth <[]                400  .message=~object

POST networks/prune          200  .NetworksDeleted=null
POST networks/prune?filters={"until":["1h"],"label":["a"]}  200  .NetworksDeleted=null
POST networks/prune?filters={"x":["1"]}  400  .message=invalid filter 'x'
POST build/prune?all=1&filters={"until":["1h"],"label!":["a"]}  200  .CachesDeleted=null  .SpaceReclaimed=0
POST build/prune?filters={"x":["1"]}  400  .message=invalid filter 'x'

GET v1.41/                   404  .message=page not found
GET nosuch                   404  .message=page not found
POST _ping                   404  .message=page not found
HEAD version                 404  =
"""


@pytest.mark.parametrize("line", served_.rows(TABLE))
async def test_conformance(served, line):
    await served.say(line)


def make_event(name, action="create", kind="volume", **attributes):
    return event.Event(
        type=kind, action=action, id=name, attributes=attributes, time_ns=1_500_000_000_250_000_000
    )


async def test_events_are_lines_in_the_originals_shape(served):
    served.stories.events = [make_event("v1", driver="local")]
    _, _, body = await served.request("GET", "events?until=2")
    assert body.endswith(b"}\n")
    assert json.loads(body) == {
        "Type": "volume",
        "Action": "create",
        "Actor": {"ID": "v1", "Attributes": {"driver": "local"}},
        "scope": "local",
        "time": 1_500_000_000,
        "timeNano": 1_500_000_000_250_000_000,
    }


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ('{"type":{"plugin":true}}', ["p"]),
        ('{"volume":["v1"]}', ["v1"]),
        ('{"event":["destroy"]}', ["v2"]),
        ('{"container":["c"]}', []),
        ('{"network":["n"]}', []),
        ("{}", ["v1", "v2", "p"]),
    ],
)
async def test_event_filters(served, filters, names):
    served.stories.events = [
        make_event("v1"),
        make_event("v2", action="destroy"),
        make_event("p", kind="plugin"),
    ]
    _, _, body = await served.request("GET", f"events?filters={filters}")
    assert [json.loads(line)["Actor"]["ID"] for line in body.splitlines()] == names


async def test_since_and_until_are_nanoseconds(served):
    await served.say("GET events?since=1795464821.5&until=1795465001.000000007  200")
    wanted = {"since_ns": 1795464821_500000000, "until_ns": 1795465001_000000007}
    assert served.stories.calls == [("subscribe", wanted)]


async def test_the_headers_of_events_do_not_wait_for_an_event(served):
    served.stories.hold = asyncio.Event()
    head = await served.raw(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n", until=b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    # The client is gone by now, and the stream with it.
    await served.stories.cancelled.wait()


async def test_distribution_asks_the_registry_with_the_clients_credentials(served):
    headers = {"X-Registry-Auth": "eyJpZGVudGl0eXRva2VuIjoidCJ9"}
    await served.request("GET", "distribution/a/b:1/json", headers=headers)
    [(_, call)] = served.stories.calls
    assert call["ref"] == "docker.io/a/b:1"
    assert call["credentials"].identity_token == "t"


async def test_a_login_is_checked_with_the_registry_that_is_named(served):
    body = b'{"Username": "u", "password": "hunter2", "ServerAddress": "r.example:5000"}'
    await served.request("POST", "v1.47/auth", body=body)
    [(_, call)] = served.stories.calls
    assert call["domain"] == "r.example:5000"
    assert (call["credentials"].username, call["credentials"].password) == ("u", "hunter2")
    served.stories.fail["log_in"] = errors.Unauthorized("cannot log in: 401 says the registry")
    status, _, answer = await served.request("POST", "auth", body=body)
    assert (status, json.loads(answer)["message"]) == (401, "cannot log in: 401 says the registry")


async def test_distribution_passes_the_registrys_error_on(served):
    served.stories.fail["resolve"] = errors.NotFound("error resolving plugin reference: x")
    await served.say("GET distribution/a/json  404  .message=error resolving plugin reference: x")
