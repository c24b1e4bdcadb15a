# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
from typing import Any

import pytest

from plugind import errors
from plugind.model.digest import Digest
from plugind.model.images import image

DIFF_ID = "sha256:" + "1" * 64
DOCUMENT: dict[str, Any] = {
    "architecture": "arm64",
    "variant": "v8",
    "os": "linux",
    "created": "2024-02-03T04:05:06.789123456Z",
    "author": "somebody",
    "docker_version": "20.10",
    "config": {
        "Entrypoint": ["/e"],
        "Cmd": ["a", "b"],
        "Env": ["A=1", "B="],
        "WorkingDir": "/w",
        "User": "u:g",
        "Labels": {"k": "v", "empty": None},
        "Volumes": {"/v2": {}, "/v1": {}},
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["NONE"]},
        "OnBuild": ["RUN x"],
    },
    "history": [{"comment": "first"}, {"comment": "last"}],
    "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
}
RAW = json.dumps(DOCUMENT).encode()


def changed(**members: Any) -> bytes:
    return json.dumps(DOCUMENT | members).encode()


def test_a_config_blob_is_an_image() -> None:
    found = image.parse(RAW)
    assert found.id == Digest.of(RAW)
    assert str(found.platform) == "linux/arm64/v8"
    assert found.layers == (Digest.parse(DIFF_ID),)
    assert found.config == image.ImageConfig(
        entrypoint=("/e",),
        cmd=("a", "b"),
        env=("A=1", "B="),
        working_dir="/w",
        user="u:g",
        labels={"k": "v", "empty": ""},
        volumes=("/v1", "/v2"),
        exposed_ports=("80/tcp",),
        stop_signal="SIGINT",
    )


def test_an_image_may_say_next_to_nothing() -> None:
    found = image.parse(b'{"rootfs": {"type": "layers", "diff_ids": null}, "config": null}')
    assert found.config == image.ImageConfig()
    assert (found.os, found.architecture, found.layers, found.created) == ("linux", "", (), "")
    shown = image.inspect(found, rootfs="/r")
    assert (shown["Created"], shown["Comment"], shown["Config"]["Cmd"]) == (
        image.ZERO_TIME,
        "",
        None,
    )
    assert image.summary(found)["Created"] == 0
    assert "Variant" not in shown


def test_an_empty_entrypoint_is_not_none() -> None:
    found = image.parse(changed(config={"Entrypoint": [], "Cmd": None}))
    assert (found.config.entrypoint, found.config.cmd) == ((), None)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"{", "invalid image config: no JSON: "),
        (b"[]", "invalid image config: want an object"),
        (b'{"a": "\\ud800"}', "invalid image config: no JSON: "),
        (changed(rootfs=None), 'invalid image config: rootfs.type: want "layers"'),
        (changed(rootfs=[]), "invalid image config: rootfs: want an object"),
        (
            changed(rootfs={"type": "layers", "diff_ids": ["x"]}),
            "invalid image config: rootfs.diff_ids: invalid digest",
        ),
        (changed(os=1), "invalid image config: os: want a text"),
        (changed(created="a\0b"), "invalid image config: created: want a text"),
        (changed(config="x"), "invalid image config: config: want an object"),
        (changed(config={"Cmd": "sh"}), "invalid image config: config.Cmd: want a list of texts"),
        (changed(config={"Env": [1]}), "invalid image config: config.Env: want a list of texts"),
        (changed(config={"Env": ["A=\0"]}), "invalid image config: config.Env: want a list"),
        (changed(config={"Labels": {"a": 1}}), "invalid image config: config.Labels: want texts"),
        (changed(config={"Volumes": ["/a"]}), "invalid image config: config.Volumes: want an obj"),
        (
            changed(config={"Volumes": {"\0": {}}}),
            "invalid image config: config.Volumes: want text",
        ),
    ],
)
def test_each_problem_is_named(raw: bytes, why: str) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        image.parse(raw)
    assert str(caught.value).startswith(why)


def named() -> image.Image:
    return image.parse(RAW).named("b:1", "a:1", f"a@{DIFF_ID}", serial=3, tagged_at="then")


def test_names_come_and_go() -> None:
    found = named()
    assert (found.names, found.digests) == (("a:1", "b:1"), (f"a@{DIFF_ID}",))
    more = found.named("a:1", "c:1", serial=4, tagged_at="now")
    assert (more.names, more.serial, more.tagged_at) == (("a:1", "b:1", "c:1"), 4, "now")
    less = more.without("b:1", f"a@{DIFF_ID}", "nosuch:1")
    assert less.references == ("a:1", "c:1")


def test_a_record_is_read_back() -> None:
    record = json.loads(json.dumps(named().to_record()))
    assert image.from_record(record) == named()


@pytest.mark.parametrize(
    "change",
    [
        {"id": "sha256:" + "0" * 64},
        {"config": "{}"},
        {"serial": None},
        {"names": None},
        {"config": None},
    ],
)
def test_a_broken_record_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((errors.InvalidParameter, KeyError, TypeError, AttributeError)):
        image.from_record(named().to_record() | change)


def test_the_summary() -> None:
    assert image.summary(named()) == {
        "Containers": -1,
        "Created": 1706933106,
        "Id": str(Digest.of(RAW)),
        "Labels": {"k": "v", "empty": ""},
        "ParentId": "",
        "RepoDigests": [f"a@{DIFF_ID}"],
        "RepoTags": ["a:1", "b:1"],
        "SharedSize": -1,
        "Size": 0,
    }
    counted = image.summary(named(), containers=0)
    assert (counted["Containers"], counted["SharedSize"]) == (0, 0)


def test_what_inspect_shows() -> None:
    shown = image.inspect(named(), rootfs="/r")
    assert shown["GraphDriver"] == {"Name": "plugind", "Data": {"RootFS": "/r"}}
    assert shown["RootFS"] == {"Type": "layers", "Layers": [DIFF_ID]}
    assert (shown["Comment"], shown["Author"], shown["Variant"]) == ("last", "somebody", "v8")
    assert shown["DockerVersion"] == "20.10"
    assert shown["Metadata"] == {"LastTagTime": "then"}
    config = shown["Config"]
    assert config["ExposedPorts"] == {"80/tcp": {}}
    assert config["Volumes"] == {"/v1": {}, "/v2": {}}
    assert (config["StopSignal"], config["OnBuild"]) == ("SIGINT", ["RUN x"])
    assert config["Healthcheck"] == {"Test": ["NONE"]}
    assert config["Entrypoint"] == ["/e"]


def test_a_user_is_named() -> None:
    assert str(image.ImageUser(id="c" * 64, running=True)) == "running container cccccccccccc"
    assert str(image.ImageUser(id="c" * 64, running=False)) == "stopped container cccccccccccc"
