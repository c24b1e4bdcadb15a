# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json

import pytest

from plugind import errors
from support import served as served_

DIGEST = "sha256:" + "a" * 64

TABLE = """
GET images/json                              200  .0.RepoTags.0=box:latest  .0.Containers=-1
GET v1.47/images/json?all=1&digests=1        200  .1.RepoTags=[]  .1.RepoDigests=[]
GET v1.42/images/json                        200  .1.RepoTags.0=<none>:<none>  .0.VirtualSize=0
GET images/json?filters={"x":["y"]}          400  .message=invalid filter 'x'
GET images/json?filters={"dangling":["x"]}   400  .message=~invalid filter 'dangling
GET images/json?filters={"since":["x"]}      501  .message=image filter 'since' is not supported by plugind

GET images/box:latest/json                   200  .Config.Cmd.0=/b  .RootFS.Type=layers  .Os=linux
GET v1.40/images/box:latest/json             200  .VirtualSize=0
GET images/a/b:c/json                        404  .message=No such image: a/b:c

POST images/box:latest/tag?repo=x/y&tag=1    201  =
POST images/box:latest/tag?repo=x/y          201  =
POST images/box:latest/tag?repo=UP           400  .message=~must be lowercase
POST images/box:latest/tag                   400  .message=~at least one component
POST images/box:latest/tag?repo=x@DIGEST     400  .message=~digest reference
POST images/none/tag?repo=x                  404  .message=No such image: none

DELETE images/box:latest?force=1             200  .0.Untagged=box:latest  .1.Deleted=~sha256:
DELETE images/none                           404  .message=No such image: none
POST images/prune                            200  .ImagesDeleted=null  .SpaceReclaimed=0
POST images/prune?filters={"until":["1"]}    501  .message=~'until' is not supported

POST images/create?fromImage=box             501  .message=pull of all tags is not supported by plugind
POST images/create?fromImage=BOX&tag=1       400  .message=~invalid reference format
POST images/create?fromImage=b&tag=1&platform=a/b/c/d  400  .message=~invalid OS component
POST images/create?fromSrc=http://x          501  .message=~import from "http://x" is not supported
POST images/create                           501  .message=~import from "" is not supported
POST images/create?fromSrc=-&changes=FOO+1   400  .message=FOO is not a valid change command
POST images/create?fromSrc=-&changes=ONBUILD+1  501  .message=~ONBUILD is not supported by plugind

POST images/box/push                         501  .message=image push is not supported by plugind
GET images/box/get                           501  .message=image save is not supported by plugind
GET images/get?names=box                     501  .message=image save is not supported by plugind
GET images/box/history                       501  .message=image history is not supported by plugind
GET images/search?term=x                     501  .message=image search is not supported by plugind
POST build                                   501  .message=image build is not supported by plugind
POST commit                                  501  .message=image commit is not supported by plugind

GET system/df                                200  .Images.0.Containers=3  .Images.0.SharedSize=0
GET v1.41/system/df                          200  .Images.0.VirtualSize=0
"""


@pytest.fixture
async def images(served):
    served.stories.add_image("box:latest", Cmd=["/b"])
    served.stories.add_image(None)
    return served


@pytest.mark.parametrize("line", served_.rows(TABLE))
async def test_conformance(images, line):
    await images.say(line.replace("DIGEST", DIGEST))


async def last(served, method, path, **more):
    """Return status, body and the arguments of the last story."""
    status, _, body = await served.request(method, path, **more)
    return status, body.decode(), served.stories.calls[-1][1]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("fromImage=box&tag=1", "docker.io/library/box:1"),
        ("fromImage=docker.io/library/box&tag=latest", "docker.io/library/box:latest"),
        ("fromImage=h:1/a/box:2", "h:1/a/box:2"),
        ("fromImage=h:1/a/box:2&tag=3", "h:1/a/box:3"),
        (f"fromImage=box&tag={DIGEST}", f"docker.io/library/box@{DIGEST}"),
        (f"fromImage=box@{DIGEST}", f"docker.io/library/box@{DIGEST}"),
    ],
)
async def test_what_a_pull_names(images, query, wanted):
    images.stories.lines = [{"status": "s"}]
    status, body, asked = await last(images, "POST", f"images/create?{query}&platform=arm64")
    assert (status, asked["ref"], asked["platform"]) == (200, wanted, "linux/arm64")
    assert json.loads(body) == {"status": "s"}


async def test_credentials_are_passed_on(images):
    header = {"X-Registry-Auth": "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAifQ=="}
    asked = (await last(images, "POST", "images/create?fromImage=b&tag=1", headers=header))[2]
    assert (asked["credentials"].username, asked["credentials"].password) == ("u", "p")


async def test_errors_of_a_pull(images):
    images.stories.fail["pull_image"] = errors.NotFound("manifest for b:1 not found")
    await images.say("POST images/create?fromImage=b&tag=1  404  .message=~manifest for b:1")
    images.stories.fail.clear()
    images.stories.lines, images.stories.late = [{"status": "s"}], errors.System("torn")
    status, body, _ = await last(images, "POST", "images/create?fromImage=b&tag=1")
    assert (status, json.loads(body.splitlines()[-1])["error"]) == (200, "torn")


async def test_import(images):
    status, body, asked = await last(
        images,
        "POST",
        "images/create?fromSrc=-&repo=made&tag=2&message=m&changes=CMD+a&changes=ENV+A=1%0AUSER+u",
        body=b"tar",
        headers={"Content-Type": "application/x-tar"},
    )
    assert asked == {
        "name": "docker.io/library/made:2",
        "config": {"Cmd": ["/bin/sh", "-c", "a"], "Env": ["A=1"], "User": "u"},
        "message": "m",
        "platform": "None",
        "content": b"tar",
    }
    assert (status, json.loads(body)["status"][:7]) == (200, "sha256:")


@pytest.mark.parametrize(("quiet", "lines"), [("0", 2), ("1", 1)])
async def test_load(images, quiet, lines):
    tar = {"Content-Type": "application/x-tar"}
    path = f"images/load?quiet={quiet}"
    status, body, asked = await last(images, "POST", path, body=b"tar", headers=tar)
    assert (status, asked["content"]) == (200, b"tar")
    shown = [json.loads(line) for line in body.splitlines()]
    assert len(shown) == lines
    assert shown[-1] == {"stream": "Loaded image: x:latest\n"}


async def test_filters_reach_the_engine(images):
    filters = '{"reference":{"b*":true},"label":{"l=1":true},"dangling":{"true":true}}'
    asked = (await last(images, "GET", f"images/json?filters={filters}"))[2]
    assert (asked["references"], asked["labels"], asked["dangling"]) == ({"b*"}, {"l=1"}, True)
    filters = '{"dangling":["false"],"label!":["keep"]}'
    asked = (await last(images, "POST", f"images/prune?filters={filters}"))[2]
    assert asked == {"dangling": False, "labels": set(), "without_labels": {"keep"}}
    assert (await last(images, "POST", "images/prune"))[2]["dangling"] is True
