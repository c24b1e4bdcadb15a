# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest

from fakes import stories
from plugind.api import access
from support import served as served_

TABLE = """
GET plugind/version                            200  .Version=1.2.3  .Degraded=null  .Confinement.Seccomp=default
GET plugind/plugins                            200  .1.Name=vieux/sshfs:latest  .1.Status.State=running
GET plugind/plugins/vieux/sshfs                200  .Status.State=running
GET plugind/plugins/nosuch                     404  .message=plugin "nosuch" not found

GET plugind/plugins/toy/logs                   200  =line 1\\nline 2\\n  Content-Type:text/plain
GET plugind/plugins/vieux/sshfs/logs?tail=all  200
GET plugind/plugins/nosuch/logs                404  .message=plugin "nosuch" not found
GET plugind/plugins/toy/logs?tail=x            400  .message=strconv.Atoi: parsing "x": invalid syntax
GET plugind/plugins/toy/logs?tail=-1           400  .message=~invalid tail

POST plugind/plugins/toy/rpc?method=VolumeDriver.List <{}  200  .Volumes=[]
POST plugind/plugins/toy/rpc?method=A.B        200  .Err=
POST plugind/plugins/toy/rpc?method=A.B <[]    400  .message=~must be an object

POST plugind/plugins/toy/upgrade?remote=toy:2  200
POST plugind/plugins/toy/upgrade?remote=toy:2 <[]  400  .message=~cannot unmarshal array
POST plugind/plugins/toy/upgrade?remote=toy:2 <{"Settings":[1]}  400  .message=~cannot unmarshal
POST plugind/plugins/toy/upgrade?remote=toy:2&timeout=-1  400  .message=negative value for timeout
POST plugind/plugins/nosuch/upgrade?remote=toy:2  404  .message=plugin "nosuch" not found
POST plugind/plugins/toy/set <{"Settings":["DEBUG=1"]}  204  =
POST plugind/plugins/toy/set <{"Settings":"DEBUG=1"}  400  .message=~cannot unmarshal string
POST plugind/plugins/nosuch/set <{}            404  .message=plugin "nosuch" not found

POST plugind/volumes/v1/mount <{"Holder":"h"}  200  .Mountpoint=/host/v1
POST plugind/volumes/v1/mount <{}              400  .message=~Holder is missing
POST plugind/volumes/v1/mount <{"Holder":1}    400  .message=~cannot unmarshal number
POST plugind/volumes/v1/unmount <{}            400  .message=~Holder is missing
GET plugind/volumes/v1/holders                 200  .=[]
DELETE plugind/volumes/nosuch                  404  .message=get nosuch: no such volume
DELETE plugind/volumes/nosuch?force=1          200  .Warnings=[]

POST plugind/apply <{"plugins":[]}             200  .changed=true
POST plugind/apply?dry_run=1 <{"plugins":[]}   200  .changed=false
POST plugind/apply                             400  .message=~must be an object
POST plugind/apply <[]                         400  .message=~must be an object
POST plugind/query <{}                         200  .plugins=[]
GET plugind/apply                              404  .message=page not found
"""


@pytest.mark.parametrize("line", served_.rows(TABLE))
async def test_conformance(served, line):
    await served.say(line)


async def test_mount_unmount_and_holders_go_together(served):
    await served.say('POST plugind/volumes/a/b/mount <{"Holder":"h"}  200  .Mountpoint=/host/a/b')
    await served.say("GET plugind/volumes/a%2Fb/holders  200  .0.Holder=h")
    await served.say('POST plugind/volumes/a/b/unmount <{"holder":"h"}  204  =')
    await served.say("GET plugind/volumes/a/b/holders  200  .=[]")


async def test_what_force_could_not_do_is_said(served):
    served.stories.left = "the driver was not asked"
    await served.say("DELETE plugind/volumes/v1?force=1  200  .Warnings.0=the driver was not asked")
    await served.say("DELETE volumes/v1?force=1  204  =")


async def test_logs_pass_tail_and_follow(served):
    await served.say("GET plugind/plugins/toy/logs?tail=5&follow=1  200")
    [(_, call)] = served.stories.calls
    assert (call["tail"], call["follow"]) == (5, True)


async def test_rpc_passes_method_and_body(served):
    await served.say('POST plugind/plugins/toy/rpc?method=A.B <{"Name":"n"}  200')
    wanted = {"text": "toy", "method": "A.B", "body": {"Name": "n"}}
    assert served.stories.calls == [("call", wanted)]


async def test_an_upgrade_in_place_passes_what_is_granted_and_set(served):
    granted = '[{"Name":"network","Description":"","Value":["host"]}]'
    body = '{"Privileges":' + granted + ',"Settings":["DEBUG=1"]}'
    served.stories.lines = [{"status": "Replacing toy:1"}]
    line = f"POST plugind/plugins/toy/upgrade?remote=toy:2&timeout=5 <{body}  200"
    await served.say(line + "  .status=Replacing toy:1")
    ((_, call),) = served.stories.calls
    assert (call["text"], call["ref"]) == ("toy", "docker.io/library/toy:2")
    assert [(one.name, one.value) for one in call["accepted"]] == [("network", ("host",))]
    assert (call["arguments"], call["timeout"]) == (["DEBUG=1"], 5.0)


async def test_a_query_is_answered_and_a_declaration_refused_while_degraded(served):
    served.engine.degraded = "cannot write: the format on disk is newer"
    await served.say("POST plugind/query <{}  200")
    await served.say("GET plugind/version  200  .Degraded=~newer")
    await served.say("POST plugind/apply?dry_run=1 <{}  503  .message=~newer")


async def test_a_rollback_passes_the_change_that_is_meant(served):
    await served.say("POST plugind/rollback  200  .changed=true")
    await served.say('POST plugind/rollback?dry_run=1 <{"id":"0123"}  200  .changed=false')
    await served.say("POST plugind/rollback?remove_volumes=1  200")
    await served.say('POST plugind/rollback <{"id":7}  400')
    names = ("change", "dry_run", "remove_volumes")
    wanted = [(None, False, False), ("0123", True, False), (None, False, True)]
    calls = [("roll_back", dict(zip(names, values, strict=True))) for values in wanted]
    assert served.stories.calls == calls


@pytest.mark.parametrize(("uid", "status"), [(0, 200), (901, 403)])
async def test_only_root_sees_secrets(tmp_path, uid, status):
    document = {**stories.CONFIG, "env": [{"name": "TOKEN", "value": "planted"}]}
    peer = access.Peer(uid=uid, groups=frozenset({900}))
    async with served_.serve(tmp_path, group_gid=900, peer_of=lambda _: peer) as served:
        made = stories.make_plugin("secretive:latest", document=document)
        served.stories.plugins[made.name] = made
        shown = "GET plugind/plugins/secretive  200  .Settings.Env.0=TOKEN=********"
        await served.say(shown)
        await served.say(shown.replace("secretive ", "secretive?secrets=0 "))
        await served.say("GET plugins/secretive/json  200  .Settings.Env.0=TOKEN=********")
        clear = ".Settings.Env.0=TOKEN=planted" if status == 200 else ".message=~only root may see"
        await served.say(f"GET plugind/plugins/secretive?secrets=1  {status}  {clear}")
