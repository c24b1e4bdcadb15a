# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""docker-plugins reference 1.2: rows, messages, names, streams."""

from __future__ import annotations

import base64
import io
import json

import pytest

from fakes import stories as stories_
from plugind import errors
from plugind.model import reference
from plugind.model.credentials import Credentials
from support import served as served_

TOY = stories_.make_plugin("toy:latest").id
PRIVILEGES = '[{"Name":"network","Description":"d","Value":["host"]}]'
AUTH = base64.urlsafe_b64encode(b'{"username":"me","password":"secret"}').decode()


TABLE = """
# List
GET plugins                                   200  .0.Name=toy:latest  .1.Name=vieux/sshfs:latest
GET v1.41/plugins                             200  Content-Type:application/json
GET plugins?filters={"enabled":{"true":true}}  200  .0.Name=vieux/sshfs:latest
GET plugins?filters={"enabled":["false"]}     200  .0.Name=toy:latest
GET plugins?filters={                         400  .message=invalid filter
GET plugins?filters={"foo":["1"]}             400  .message=invalid filter 'foo'
GET plugins?filters={"enabled":["foo"]}       400  .message=invalid filter 'enabled=[foo]'
GET plugins?filters={"enabled":[]}            400  .message=invalid filter 'enabled'

# Inspect
GET plugins/toy/json                          200  .Name=toy:latest  .Enabled=false
GET plugins/vieux/sshfs/json                  200  .PluginReference=docker.io/vieux/sshfs:latest
GET plugins/vieux%2Fsshfs:latest/json         200  .Name=vieux/sshfs:latest
GET v1.44/plugins/vieux/sshfs:latest/json     200  .Enabled=true
GET plugins/$TOY/json                         200  .Id=$TOY
GET plugins/nosuch/json                       404  .message=plugin "nosuch" not found
GET plugins/a%40sha256:b/json                 404  .message=plugin "a@sha256:b" not found
GET plugins//json                             404  .message=plugin "" not found

# Privileges
GET plugins/privileges?remote=a/b             200  .0.Name=network  .0.Value=["host"]
GET plugins/privileges?remote=a/b             200  .1.Name=capabilities
GET plugins/privileges?remote=a/b             200  .0.Description=permissions to access a network
GET plugins/privileges?remote=A               400  .message=~invalid reference format
GET plugins/privileges                        400  .message=~invalid reference format

# Pull
POST plugins/pull?remote=a/b <$PRIVILEGES     200  Docker-Plugin-Name:a/b:latest
POST plugins/pull?name=&remote=a/b            200  Docker-Plugin-Name:a/b:latest
POST plugins/pull?name=al&remote=h:1/b:v1     200  Docker-Plugin-Name:al:latest
POST plugins/pull?remote=a <null              200  Content-Type:application/json
POST plugins/pull?remote=toy                  400  .message=plugin toy:latest already exists
POST plugins/pull?remote=toy                  400  Docker-Plugin-Name:toy:latest
POST plugins/pull?remote=A                    400  .message=~invalid reference format
POST plugins/pull?remote=a&name=A             400  .message=~invalid reference format
POST plugins/pull?remote=a&name=b@$DIGEST     400  .message=~cannot use digest in plugin tag
POST plugins/pull?remote=a <{                 400  .message=invalid JSON: unexpected EOF
POST plugins/pull?remote=a <{"a":1}                400  .message=~invalid privileges
POST plugins/pull?remote=a <[] x              400  .message=unexpected content after JSON

# Create
POST plugins/create?name=new $TAR <tar        204  =
POST plugins/create?name=toy $TAR <tar        409  .message=plugin toy:latest already exists
POST plugins/create?name=A $TAR <tar          400  .message=~failed to parse reference A: invalid
POST plugins/create $TAR <tar                 400  .message=~failed to parse reference : invalid
POST plugins/create?name=a@$DIGEST $TAR <tar  400  .message=canonical references are not permitted

# Enable, disable, remove
POST plugins/toy/enable?timeout=0             200  =  Content-Length:0
POST plugins/toy/enable                       400  .message=strconv.Atoi: parsing "": invalid syntax
POST plugins/toy/enable?timeout=1.5           400  .message=strconv.Atoi: parsing "1.5": invalid syntax
POST plugins/toy/enable?timeout=-1            400  .message=negative value for timeout
POST plugins/nosuch/enable?timeout=1          404  .message=plugin "nosuch" not found
POST plugins/vieux/sshfs/enable?timeout=30    409  .message=~plugin already enabled: plugin vieux/sshfs
POST plugins/vieux/sshfs/disable              200  =
POST plugins/toy/disable                      409  .message=~plugin is already disabled: plugin toy
DELETE plugins/toy                            200  =
DELETE plugins/nosuch?force=1                 404  .message=plugin "nosuch" not found

# Set
POST plugins/toy/set <["DEBUG=1"]             204  =
POST plugins/toy/set                          204  =
POST plugins/toy/set <null                    204  =
POST plugins/toy/set <["NOPE=1"]              400  .message=~setting "NOPE" not found in the plugin
POST plugins/toy/set <[1]                     400  .message=~cannot unmarshal number
POST plugins/toy/set <{}                      400  .message=~cannot unmarshal object

# Upgrade, push
POST plugins/toy/upgrade?remote=a/b           200  Docker-Plugin-Name:toy:latest
POST plugins/nosuch/upgrade?remote=a/b        404  .message=plugin "nosuch" not found
POST plugins/toy/upgrade?remote=A             400  .message=~invalid reference format
POST plugins/toy/push                         200  Content-Type:application/json
POST plugins/nosuch/push                      404  .message=plugin "nosuch" not found

# What is no endpoint
GET plugins/toy                               404  .message=page not found
PUT plugins                                   404  .message=page not found
GET plugins/toy/enable                        404  .message=page not found
"""
WORDS = {
    "$TOY": TOY,
    "$DIGEST": "sha256:" + "0" * 64,
    "$PRIVILEGES": PRIVILEGES,
    "$TAR": "Content-Type:application/x-tar",
}


@pytest.mark.parametrize("line", served_.rows(TABLE))
async def test_conformance(served, line):
    for word, text in WORDS.items():
        line = line.replace(word, text)
    await served.say(line)


async def test_privileges_are_null_when_there_are_none(served):
    served.stories.asked = ()
    _, _, body = await served.request("GET", "plugins/privileges?remote=a")
    assert body == b"null\n"


async def test_an_error_of_the_registry_is_an_error(served):
    served.stories.fail["fetch_privileges"] = errors.Unauthorized("cannot read a: denied")
    await served.say("GET plugins/privileges?remote=a  401  .message=cannot read a: denied")


async def test_list_is_empty_not_null(served):
    served.stories.plugins.clear()
    _, headers, body = await served.request("GET", "plugins")
    assert body == b"[]\n"
    assert headers["Content-Length"] == "3"


async def test_filters_reach_the_engine(served):
    filters = '{"enabled":{"1":true},"capability":{"volumedriver":true,"log":true}}'
    await served.say(f"GET plugins?filters={filters}  200")
    wanted = {"enabled": True, "capabilities": frozenset({"volumedriver", "log"})}
    assert served.stories.calls == [("list_plugins", wanted)]


@pytest.mark.parametrize(
    ("query", "ref", "name"),
    [
        ("remote=a", "docker.io/library/a:latest", "a:latest"),
        (f"remote=a@sha256:{'0' * 64}", f"docker.io/library/a@sha256:{'0' * 64}", "a:latest"),
        (f"remote=a:1@sha256:{'0' * 64}", f"docker.io/library/a:1@sha256:{'0' * 64}", "a:1"),
        ("remote=h:1/a:v&name=docker.io/x/y:z", "h:1/a:v", "x/y:z"),
    ],
)
async def test_pull_passes_reference_name_privileges_and_credentials(served, query, ref, name):
    status, headers, _ = await served.request(
        "POST", f"plugins/pull?{query}", body=PRIVILEGES, headers={"X-Registry-Auth": AUTH}
    )
    assert (status, headers["Docker-Plugin-Name"]) == (200, name)
    [(_, call)] = served.stories.calls
    assert call["ref"] == ref
    assert call["name"] == reference.parse(name)
    assert [str(privilege) for privilege in call["accepted"]] == ["network: [host]"]
    assert call["credentials"] == Credentials(username="me", password="secret")


async def test_credentials_that_cannot_be_decoded_are_none(served):
    headers = {"X-Registry-Auth": "?"}
    await served.request("GET", "plugins/privileges?remote=a", headers=headers)
    assert served.stories.calls[0][1]["credentials"] is None


async def test_pull_streams_lines_as_the_original(served):
    served.stories.lines = [
        {"status": "Pulling from a/b", "id": "latest"},
        {"status": "Complete", "progressDetail": {}, "id": "e228169431e6"},
    ]
    status, headers, body = await served.request("POST", "plugins/pull?remote=a/b")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert headers["Transfer-Encoding"] == "chunked"
    assert body == b"".join(
        json.dumps(line, separators=(",", ":")).encode() + b"\r\n" for line in served.stories.lines
    )


async def test_push_passes_the_aux_line_through(served):
    aux = {"progressDetail": {}, "aux": {"Tag": "latest", "Digest": "sha256:0", "Size": 1}}
    served.stories.lines = [aux]
    _, _, body = await served.request("POST", "plugins/toy/push")
    assert json.loads(body) == aux


async def test_create_streams_a_body_of_any_size(served):
    size = 9 * 1024 * 1024
    headers = {"Content-Type": "application/x-tar"}
    body = io.BytesIO(b"x" * size)
    status, _, _ = await served.request("POST", "plugins/create?name=n", body=body, headers=headers)
    assert status == 204
    assert len(served.stories.created) == size


@pytest.mark.parametrize(("text", "force"), [("False", False), ("True", True), ("1", True)])
async def test_force_is_read_as_pythons_and_the_clis_words(served, text, force):
    await served.say(f"DELETE plugins/toy?force={text}  200")
    assert served.stories.calls == [("remove", {"text": "toy", "force": force})]
