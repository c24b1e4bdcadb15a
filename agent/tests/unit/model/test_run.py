# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Orders to run a container, and what an engine is asked for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from plugind import errors
from plugind.model import run


def body(**order: Any) -> dict[str, Any]:
    return run.create_body(run.parse_run({"image": "app:1", **order}))


def test_the_least() -> None:
    assert body() == {
        "Image": "app:1", "Env": [], "Labels": {}, "Tty": False, "OpenStdin": False,
        "StdinOnce": False, "AttachStdin": False, "AttachStdout": True, "AttachStderr": True,
        "HostConfig": {"AutoRemove": True, "Binds": [], "Mounts": [], "ReadonlyRootfs": False},
    }  # fmt: skip
    assert body(user=None, timeout=None) == body()


def test_everything() -> None:
    found = body(
        command="psql -c 'select 1'", entrypoint=["/bin/tini", "--"], env={"A": "1", "B": ""},
        working_dir="/srv", user="1:2", network="none", volume_driver="sshfs", name="me",
        labels={"a": "b"}, read_only=True, stdin="", timeout=3, creates="/x", removes="/y",
        volumes=["data:/data", "/etc/app:/app:ro"], pull="never", credentials={"username": "u"},
    )  # fmt: skip
    assert found == {
        "Image": "app:1", "Cmd": ["psql", "-c", "select 1"], "Entrypoint": ["/bin/tini", "--"],
        "Env": ["A=1", "B="], "WorkingDir": "/srv", "User": "1:2", "Labels": {"a": "b"},
        "Tty": False, "OpenStdin": True, "StdinOnce": True, "AttachStdin": True,
        "AttachStdout": True, "AttachStderr": True,
        "HostConfig": {
            "AutoRemove": True, "Binds": ["data:/data", "/etc/app:/app:ro"], "Mounts": [],
            "NetworkMode": "none", "ReadonlyRootfs": True, "VolumeDriver": "sshfs",
        },
    }  # fmt: skip


@pytest.mark.parametrize("entrypoint", ["", []])
def test_no_entrypoint_is_not_the_images_own(entrypoint: Any) -> None:
    assert body(entrypoint=entrypoint)["Entrypoint"] == [""]
    assert body(command=[])["Cmd"] == []


def test_volumes_as_mappings() -> None:
    host = body(
        volumes=[
            {"source": "data", "target": "/a", "read_only": True},
            {"source": "/srv", "target": "/b"},
            {"source": "far", "target": "/c", "driver": "sshfs", "read_only": True},
        ]
    )["HostConfig"]
    assert host["Binds"] == ["data:/a:ro", "/srv:/b"]
    driver = {"DriverConfig": {"Name": "sshfs"}}
    assert host["Mounts"] == [
        {
            "Type": "volume",
            "Source": "far",
            "Target": "/c",
            "ReadOnly": True,
            "VolumeOptions": driver,
        }
    ]


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ({"image": None}, ".image: is missing"),
        ({"image": ""}, ".image: is missing"),
        ({"image": 1}, ".image: want a text"),
        ({"colour": "red"}, ".colour: unknown"),
        ({"pull": "often"}, ".pull: want one of missing, always, never"),
        ({"command": 1}, ".command: want a text or a list of texts"),
        ({"command": ["a", 1]}, ".command: want a text or a list of texts"),
        ({"entrypoint": "'"}, ".entrypoint: No closing quotation"),
        ({"env": ["A=1"]}, ".env: want a mapping of texts"),
        ({"env": {"A": 1}}, ".env: want a mapping of texts"),
        ({"env": {"A=B": "1"}}, '.env: a variable needs a name without "="'),
        ({"env": {"": "1"}}, '.env: a variable needs a name without "="'),
        ({"labels": {"a": None}}, ".labels: want a mapping of texts"),
        ({"read_only": "yes"}, ".read_only: want true or false"),
        ({"timeout": 0}, ".timeout: want a number of seconds above 0"),
        ({"timeout": float("inf")}, ".timeout: want a number of seconds above 0"),
        ({"timeout": True}, ".timeout: want a number of seconds above 0"),
        ({"creates": "x"}, ".creates: want an absolute path"),
        ({"volumes": "a:/b"}, ".volumes: want a list"),
        ({"volumes": ["a:/b", "a"]}, ".volumes[1]: want a source, and a target"),
        ({"volumes": ["a:b"]}, ".volumes[0]: want a source, and a target"),
        ({"volumes": [1]}, ".volumes[0]: want source:target[:options] or a mapping"),
        ({"volumes": [{"source": "a"}]}, ".volumes[0]: want a source, and a target"),
        ({"volumes": [{"src": "a"}]}, ".volumes[0]: knows only source, target"),
        ({"volumes": [{"source": 1}]}, ".volumes[0]: want texts"),
        ({"volumes": [{"source": "a:b", "target": "/c"}]}, '.volumes[0]: there is no ":"'),
        (
            {"volumes": [{"source": "/a", "target": "/b", "driver": "x"}]},
            ".volumes[0]: a path of the host has no driver",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(order: dict[str, Any], problem: str) -> None:
    with pytest.raises(
        errors.InvalidParameter, match=f"^invalid run order: .*{re.escape(problem)}"
    ):
        run.parse_run({"image": "app:1", **order})


def test_all_problems_at_once_and_no_secret() -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        run.parse_run({"env": {"PASSWORD=planted": "planted"}, "timeout": -1})
    assert str(caught.value).count(";") == 2
    assert "planted" not in str(caught.value)
    order = run.parse_run({"image": "a", "env": {"P": "planted"}, "stdin": "planted"})
    assert "planted" not in repr(order)


def test_what_it_would_run() -> None:
    parse = run.parse_run
    assert parse({"image": "app:1"}).describe() == "app:1"
    assert parse({"image": "app:1", "command": "a --key k"}).describe() == "app:1 a"
    assert parse({"image": "app:1", "command": "b", "entrypoint": "a"}).describe() == "app:1 a"
