# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from typing import Any

import pytest

from plugind import errors
from plugind.model.containers import request
from plugind.model.images.image import ImageConfig

ID = "abcdef012345" + "0" * 52
IMAGE = ImageConfig(
    entrypoint=("/start",),
    cmd=("serve",),
    env=("A=image", "B=image"),
    working_dir="/srv",
    user="web",
    labels={"i": "1"},
    volumes=("/data",),
    stop_signal="SIGQUIT",
)


def merge(image: ImageConfig = IMAGE, **body: Any) -> Any:
    parsed = request.parse({"Image": "x", **body})
    return request.merge(parsed, image, ID, "the-host")


def test_the_image_is_the_default() -> None:
    process, config = merge()
    assert process.args == ("/start", "serve")
    assert (process.working_dir, process.user, process.stop_signal) == ("/srv", "web", "SIGQUIT")
    assert process.hostname == config["Hostname"] == ID[:12]
    assert config["Labels"] == {"i": "1"}
    assert config["Volumes"] == {"/data": {}}


@pytest.mark.parametrize(
    ("body", "args"),
    [
        ({"Cmd": ["x"]}, ("/start", "x")),
        ({"Cmd": []}, ("/start", "serve")),
        ({"Entrypoint": ["/own"]}, ("/own",)),
        ({"Entrypoint": "/own"}, ("/own",)),
        ({"Entrypoint": ["/own"], "Cmd": ["x"]}, ("/own", "x")),
        ({"Entrypoint": [""], "Cmd": ["x"]}, ("x",)),
        ({"Entrypoint": []}, ("serve",)),
    ],
)
def test_commands(body: dict[str, Any], args: tuple[str, ...]) -> None:
    assert merge(**body)[0].args == args


def test_nothing_to_run() -> None:
    with pytest.raises(errors.InvalidParameter, match="no command specified"):
        merge(ImageConfig())


def test_the_environment() -> None:
    process, config = merge(Env=["B=own", "PATH", "C=", "D"], Tty=True)
    assert config["Env"] == ["B=own", "PATH", "C=", "D", "A=image", f"PATH={request.PATH}"]
    env = dict(entry.split("=", 1) for entry in process.env)
    assert env == {
        "PATH": request.PATH,
        "HOSTNAME": ID[:12],
        "TERM": "xterm",
        "B": "own",
        "C": "",
        "A": "image",
    }


def test_the_host_network_shares_the_hosts_name() -> None:
    assert merge(HostConfig={"NetworkMode": "host"})[0].hostname == "the-host"
    own = merge(HostConfig={"NetworkMode": "host"}, Hostname="own")
    assert own[0].hostname == "own"


def test_the_default_network_is_warned_of() -> None:
    assert request.parse({"Image": "x"}).warnings == (request.NO_NETWORK,)
    none = request.parse({"Image": "x", "HostConfig": {"NetworkMode": "none"}})
    assert none.warnings == ()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Image": ""}, "config cannot be empty"),
        ({"HostConfig": {"NetworkMode": "bridge"}}, 'HostConfig.NetworkMode "bridge"'),
        ({"HostConfig": {"NetworkMode": "container:x"}}, "NetworkMode"),
        ({"WorkingDir": "srv"}, "needs to be an absolute path"),
        ({"Hostname": "a b"}, "invalid hostname"),
        ({"Env": ["=x"]}, "invalid environment variable: =x"),
        ({"StopSignal": "SIGNOPE"}, "invalid signal: SIGNOPE"),
        ({"Cmd": [1]}, "Cmd is no list of strings"),
        ({"Tty": "yes"}, "Tty must not be of type str"),
        ({"User": 7}, "User must not be of type int"),
        ({"Labels": {"a": 1}}, "Labels must not be of type int"),
        ({"Volumes": []}, "Volumes must not be of type list"),
        ({"StopTimeout": "1"}, "StopTimeout"),
        ({"HostConfig": {"Binds": "a:/b"}}, "HostConfig.Binds"),
        ({"HostConfig": {"AutoRemove": 1}}, "HostConfig.AutoRemove"),
        ({"HostConfig": {"ConsoleSize": [1]}}, "ConsoleSize"),
        ({"HostConfig": {"ConsoleSize": [1, "x"]}}, "ConsoleSize"),
    ],
)
def test_bad_bodies(body: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=message):
        request.parse({"Image": "x", **body})


def test_names() -> None:
    assert request.require_name("/web-1.a_b") == "web-1.a_b"
    for name in ("", "-a", "a", "a b", "\u00e41", "//ab"):
        with pytest.raises(errors.InvalidParameter, match="Invalid container name"):
            request.require_name(name)


def test_mounts_take_the_images_volumes() -> None:
    parsed = request.parse({"Image": "x", "Volumes": {"/own": {}}})
    assert [one.target for one in request.mounts(parsed, IMAGE)] == ["/data", "/own"]


def test_a_path_of_ones_own_is_kept() -> None:
    process, config = merge(Env=["PATH=/opt/bin"])
    assert "PATH=/opt/bin" in process.env
    assert [entry for entry in config["Env"] if entry.startswith("PATH=")] == ["PATH=/opt/bin"]


def test_the_image_as_the_client_calls_it() -> None:
    assert request.parse({"Image": "busybox:latest"}).image == "busybox:latest"
