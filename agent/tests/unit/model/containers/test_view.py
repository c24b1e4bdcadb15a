# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest

from plugind.model.containers import view
from plugind.model.containers.container import ContainerState, Status
from unit.model.containers.test_container import ID, make

PATHS = {name: f"/x/{name}" for name in ("log", "hosts", "resolv.conf", "hostname", "merged")}
CREATED = 1_767_225_600.5


def test_a_line_of_the_list() -> None:
    container = make(HostConfig={"Binds": ["v:/a", "/h:/b:ro"], "Tmpfs": {"/t": ""}})
    shown = view.summary(container, now=CREATED, places={"/a": "/somewhere"})
    assert shown["Id"] == ID
    assert shown["Names"] == ["/web"]
    assert (shown["Command"], shown["Created"], shown["State"]) == ("sh", int(CREATED), "created")
    assert shown["HostConfig"] == {"NetworkMode": "default"}
    assert shown["Mounts"] == [
        {
            "Type": "volume",
            "Name": "v",
            "Source": "/somewhere",
            "Destination": "/a",
            "Driver": "",
            "Mode": "",
            "RW": True,
            "Propagation": "",
        },
        {
            "Type": "bind",
            "Source": "/h",
            "Destination": "/b",
            "Mode": "ro",
            "RW": False,
            "Propagation": "rprivate",
        },
    ]


def test_inspect_has_what_clients_look_up() -> None:
    shown = view.inspect(make(Cmd=["sh", "-c", "x"]), paths=PATHS, places={})
    assert (shown["Path"], shown["Args"], shown["Name"]) == ("sh", ["-c", "x"], "/web")
    assert shown["State"]["Status"] == "created"
    assert shown["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert shown["HostConfig"]["LogConfig"]["Type"] == "json-file"
    assert shown["Config"]["Image"] == "busybox"
    assert list(shown["NetworkSettings"]["Networks"]) == ["none"]
    assert shown["LogPath"] == "/x/log"
    host = view.inspect(make(HostConfig={"NetworkMode": "host"}), paths=PATHS, places={})
    assert list(host["NetworkSettings"]["Networks"]) == ["host"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (300, "5 minutes"),
        (5400, "About an hour"),
        (7200, "2 hours"),
        (3 * 86400, "3 days"),
        (21 * 86400, "3 weeks"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    state = ContainerState().started(1, "2026-01-01T00:00:00.5Z")
    assert view.describe(state, CREATED + seconds) == f"Up {text}"
    ended = state.exited(2, "2026-01-01T00:00:00.5Z")
    assert view.describe(ended, CREATED + seconds) == f"Exited (2) {text} ago"
    assert view.describe(ContainerState(status=Status.CREATED), 0) == "Created"
