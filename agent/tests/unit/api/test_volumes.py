# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""docker-plugins reference 1.3: what this room decides of `/volumes`."""

from __future__ import annotations

import pytest

from plugind import errors
from support import served as served_

TABLE = """
GET volumes                                   200  .Volumes.0.Name=v1  .Warnings=null
GET v1.41/volumes                             200  .Volumes.0.Driver=toy:latest
GET volumes?filters={"dangling":["true"]}     200
GET volumes?filters={                         400  .message=error reading volume filters: invalid filter
GET volumes?filters=[]                        400  .message=error reading volume filters: invalid filter
GET volumes?filters={"x":["1"]}               400  .message=invalid filter 'x'
GET volumes?filters={"label!":["1"]}          400  .message=invalid filter 'label!'
GET volumes?filters={"dangling":["2"]}        400  .message=invalid filter 'dangling=[2]'

GET volumes/v1                                200  .Name=v1  .Labels=null  .Options=null
GET volumes/v1                                200  .CreatedAt=0001-01-01T00:00:00Z  .Scope=local
GET volumes/foo                               404  .message=get foo: no such volume
GET volumes/a/b                               404  .message=get a/b: no such volume
GET volumes/a%2Fb                             404  .message=get a/b: no such volume

POST volumes/create <{"Name":"n"}             201  .Name=n  .Driver=local
POST volumes/create <{"name":"n","DRIVER":"toy"}  201  .Name=n  .Driver=toy
POST volumes/create <{"Name":"n","DriverOpts":null,"Labels":{"a":"b"}}  201  .Labels={"a": "b"}
POST volumes/create <{"Name":"n","DriverOpts":{"size":null}}  201  .Options={"size": ""}
POST volumes/create                           201  .Driver=local
POST volumes/create <null                     201  .Driver=local
POST volumes/create <{"Name":1}               400  .message=~cannot unmarshal number into field Name
POST volumes/create <{"Labels":["a"]}         400  .message=~cannot unmarshal array into field Labels
POST volumes/create <{"DriverOpts":{"a":1}}   400  .message=~number into field DriverOpts
POST volumes/create <[]                       400  .message=~cannot unmarshal array
POST volumes/create <{invalid                 400  .message=invalid JSON: invalid character 'i' \
looking for beginning of object key string
POST volumes/create <{} trailing              400  .message=unexpected content after JSON
POST volumes/create Content-Type:text/plain <{}  400  .message=unsupported Content-Type header (text/plain): \
must be 'application/json'
POST volumes/create <{"ClusterVolumeSpec":{}}  503  .message=~not a swarm manager

DELETE volumes/v1                             204  =
DELETE volumes/foo                            404  .message=get foo: no such volume
DELETE volumes/foo?force=1                    204  =
DELETE volumes/foo?force=0                    404

PUT volumes/v1 <{}                            503  .message=volume update only valid for \
cluster volumes, but swarm is unavailable

POST volumes/prune                            200  .VolumesDeleted=[]  .SpaceReclaimed=0
POST volumes/prune?filters={                  400  .message=invalid filter
POST volumes/prune?filters={"name":["a"]}     400  .message=invalid filter 'name'
POST volumes/prune?filters={"all":["maybe"]}  400  .message=invalid filter 'all': strconv.ParseBool: \
parsing "maybe": invalid syntax

POST volumes                                  404  .message=page not found
POST volumes/v1                               404  .message=page not found
"""


@pytest.mark.parametrize("line", served_.rows(TABLE))
async def test_conformance(served, line):
    await served.say(line)


@pytest.mark.parametrize(
    ("path", "everything"),
    [
        ("volumes/prune", False),
        ("v1.47/volumes/prune", False),
        ("v1.42/volumes/prune", False),
        ("v1.41/volumes/prune", True),
        ('volumes/prune?filters={"all":{"true":true}}', True),
        ('volumes/prune?filters={"all":["1"]}', True),
        ('volumes/prune?filters={"all":["f"]}', False),
    ],
)
async def test_prune_takes_anonymous_volumes_only_since_1_42(served, path, everything):
    await served.say(f"POST {path}  200")
    assert served.stories.calls[0][1]["everything"] is everything


async def test_filters_reach_the_engine(served):
    filters = '{"name":{"a":true,"b":true},"driver":{"d":true},"label":{"k=v":true},"dangling":{"0":true}}'
    await served.say(f"GET volumes?filters={filters}  200")
    assert served.stories.calls == [
        (
            "list_volumes",
            {
                "names": frozenset("ab"),
                "drivers": frozenset("d"),
                "labels": frozenset({"k=v"}),
                "dangling": False,
            },
        )
    ]


async def test_prune_filters_reach_the_engine(served):
    await served.say('POST volumes/prune?filters={"label":["a"],"label!":["b=c"]}  200')
    wanted = {"labels": frozenset("a"), "without_labels": frozenset({"b=c"}), "everything": False}
    assert served.stories.calls == [("prune_volumes", wanted)]


async def test_warnings_are_a_list(served):
    served.stories.warnings = ["list toy:latest: down"]
    await served.say('GET volumes  200  .Warnings=["list toy:latest: down"]')


async def test_create_passes_what_was_asked(served):
    body = '{"Name":"n","Driver":"d","DriverOpts":{"a":"b"},"Labels":{"k":"v"}}'
    await served.say(f"POST volumes/create <{body}  201")
    wanted = {"name": "n", "driver": "d", "options": {"a": "b"}, "labels": {"k": "v"}}
    assert served.stories.calls == [("create_volume", wanted)]


async def test_the_engines_words_come_through(served):
    served.stories.fail["remove_volume"] = errors.Conflict("remove v1: volume is in use - [c1, c2]")
    await served.say("DELETE volumes/v1  409  .message=remove v1: volume is in use - [c1, c2]")
