# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest

from plugind.model.host_mount import HostMount
from support import served as served_

TABLE = """
GET plugind/mounts                                     200  .=[]
GET plugind/mounts/%2Fsrv                              404  .message=no volume is mounted at "/srv"
DELETE plugind/mounts/%2Fsrv                           404  .message=no volume is mounted at "/srv"
POST plugind/mounts <{"Path":"/srv","Volume":"v"}      200  .Path=/srv  .State=mounted
POST plugind/mounts <{"Path":"srv","Volume":"v"}       400  .message=~want an absolute path
POST plugind/mounts <{"Path":"/srv"}                   400  .message=~no volume was named
POST plugind/mounts <{"Path":1}                        400  .message=~cannot unmarshal number
POST plugind/mounts <{"Path":"/a","ReadOnly":"yes"}    400  .message=~field ReadOnly
POST plugind/mounts <[]                                400  .message=~cannot unmarshal array
"""


@pytest.mark.parametrize("line", served_.rows(TABLE))
async def test_conformance(served, line):
    await served.say(line)


async def test_mounts_are_made_shown_and_taken_away(served):
    body = (
        '{"Path":"/srv//a","Volume":"v","ReadOnly":true,"Propagation":"slave","Mode":"0750",'
        '"Owner":"1","Group":"2","AllowNonempty":true}'
    )
    await served.say(f"POST plugind/mounts <{body}  200  .Path=/srv/a  .ReadOnly=true")
    [(_, call)] = served.stories.calls
    assert call == {
        "wanted": HostMount(
            path="/srv/a", volume="v", read_only=True, propagation="slave", mode="0750",
            owner="1", group="2",
        ),
        "allow_nonempty": True,
    }  # fmt: skip
    await served.say("GET plugind/mounts  200  .0.Path=/srv/a")
    await served.say("GET plugind/mounts/%2Fsrv%2Fa  200  .Volume=v")
    await served.say("DELETE plugind/mounts/%2Fsrv%2Fa?force=1  200  .Warnings.0=~not asked")
    assert served.stories.calls[-1] == ("unmount_on_host", {"path": "/srv/a", "force": True})
    await served.say("GET plugind/mounts  200  .=[]")


async def test_a_degraded_engine_mounts_nothing(served):
    served.engine.degraded = "newer"
    await served.say('POST plugind/mounts <{"Path":"/srv","Volume":"v"}  503')
    await served.say("DELETE plugind/mounts/%2Fsrv  503")
    await served.say("GET plugind/mounts  200  .=[]")
