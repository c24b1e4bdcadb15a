# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Parameters -> documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.plugind.engine.plugins.module_utils import _declare, _spec

SCHEMA = Path(__file__).parents[4] / "agent/src/plugind/model/declaration.schema.json"


def validated(kind: str, **params: Any) -> dict[str, Any]:
    result = ArgumentSpecValidator(**_spec.for_controller(kind)).validate(params)
    assert not result.error_messages
    return result.validated_parameters


def document(kind: str, *, check_mode: bool = False, **params: Any) -> dict[str, Any]:
    made = _declare.document(kind, validated(kind, **params), check_mode=check_mode)
    if _declare.VERBS[kind] == "apply" and SCHEMA.exists():
        jsonschema.validate(made, json.loads(SCHEMA.read_text()))
    return made


def test_the_least_plugin() -> None:
    assert document("plugin", name="x") == {
        "plugins": [{"name": "x", "state": "enabled", "force": False}],
        "volumes": [],
    }


def test_a_plugin_with_everything() -> None:
    (made,) = document(
        "plugin",
        name="x",
        source="registry.example/x:1",
        state="disabled",
        grant={
            "network": "host",
            "capabilities": ["CAP_SYS_ADMIN"],
            "host pid namespace": True,
        },
        settings={
            "env": {"A": 1, "B": True, "C": "", "D": 1.5, "E": None},
            "args": ["--verbose", 3],
            "mounts": {"data": "/srv"},
            "devices": {"fuse": "/dev/fuse"},
        },
        credentials={"username": "u", "password": "p"},
        timeout=5,
        force=True,
    )["plugins"]
    assert made == {
        "name": "x",
        "source": "registry.example/x:1",
        "state": "disabled",
        "grant": {
            "network": ["host"],
            "capabilities": ["CAP_SYS_ADMIN"],
            "host pid namespace": True,
        },
        "settings": {
            "env": {"A": "1", "B": "true", "C": "", "D": "1.5"},
            "args": ["--verbose", "3"],
            "mounts": {"data": "/srv"},
            "devices": {"fuse": "/dev/fuse"},
        },
        "credentials": {"username": "u", "password": "p"},
        "timeout": 5.0,
        "force": True,
    }


PROBE = {"volume": {"options": {"size": "5", "on": "true"}}}


@pytest.mark.parametrize(
    ("given", "declared"),
    [
        (True, True),
        ("yes", True),
        (
            {"volume": {"options": {"size": 5, "on": True, "no": None}}, "when": "always"},
            {**PROBE, "when": "always"},
        ),
        ({"activate": "no", "timeout": "7", **PROBE}, {"activate": False, "timeout": 7.0, **PROBE}),
        ({"volume": {}, "timeout": None}, {"volume": {"options": {}}}),
        ({}, {}),
    ],
)
def test_how_a_plugin_is_verified(given: Any, declared: Any) -> None:
    (made,) = document("plugin", name="x", verify=given)["plugins"]
    assert made["verify"] == declared


@pytest.mark.parametrize("given", [None, False, "no", ""])
def test_a_plugin_that_is_not_verified(given: Any) -> None:
    (made,) = document("plugin", name="x", verify=given)["plugins"]
    assert "verify" not in made


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("maybe", "x: verify: want true, false or a mapping"),
        ({"activate": "maybe"}, r"x: verify\.activate: want"),
        ({"timeout": "soon"}, r"x: verify\.timeout: want a number of seconds"),
        ({"volume": True}, r"x: verify\.volume: want a mapping"),
        ({"volume": {"options": ["a"]}}, r"x: verify\.volume: want a mapping"),
        ({"volume": {"options": {"a": []}}}, r"x: verify\.volume\.options\.a: want a text"),
    ],
)
def test_a_verification_that_cannot_be_meant(given: Any, named: str) -> None:
    with pytest.raises(_declare.Invalid, match=named):
        document("plugin", name="x", verify=given)


def test_what_is_said_of_the_whole_declaration() -> None:
    made = document(
        "apply",
        plugins=[{"name": "a"}, {"name": "b", "requires": ["a"]}],
        prune=["plugins", "mounts"],
        rollback=False,
    )
    assert made["plugins"][1]["requires"] == ["a"]
    assert (made["prune"], made["rollback"]) == (["plugins", "mounts"], False)
    assert document("plugin", name="a", rollback=True)["rollback"] is True
    assert document("rollback", id="5f") == {}


def test_grant_all_and_args_as_one_text() -> None:
    (made,) = document("plugin", source="x", grant="all", settings={"args": "-a -b"})["plugins"]
    assert made["grant"] == "all"
    assert made["settings"] == {"args": "-a -b"}


@pytest.mark.parametrize("grant", ["ALL", ["network"], 1, {"network": None}, {"device": [{}]}])
def test_a_grant_that_cannot_be_meant(grant: Any) -> None:
    with pytest.raises(_declare.Invalid, match=r"^x: grant"):
        document("plugin", name="x", grant=grant)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"env": {"A": ["b"]}}, r"x: settings\.env\.A"),
        ({"args": {"a": "b"}}, r"x: settings\.args"),
        ({"mounts": {"m": {}}}, r"x: settings\.mounts\.m"),
    ],
)
def test_settings_that_are_no_texts(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(_declare.Invalid, match=named):
        document("plugin", name="x", settings=settings)


def test_volume() -> None:
    assert document("volume", name="v") == {
        "plugins": [],
        "volumes": [
            {
                "name": "v",
                "driver": "local",
                "state": "present",
                "recreate": "never",
                "force": False,
            }
        ],
    }
    (made,) = document("volume", name="v", options={"size": 5, "no": None}, labels={"a": True})[
        "volumes"
    ]
    assert made["options"] == {"size": "5"}
    assert made["labels"] == {"a": "true"}


def test_apply_keeps_the_order() -> None:
    made = document(
        "apply",
        plugins=[{"name": "b"}, {"source": "a"}],
        volumes=[{"name": "v", "driver": "b"}],
    )
    assert [item.get("name", item.get("source")) for item in made["plugins"]] == ["b", "a"]
    assert [item["name"] for item in made["volumes"]] == ["v"]


def test_apply_with_one_list() -> None:
    assert document("apply", plugins=[]) == {"plugins": [], "volumes": []}


def test_queries() -> None:
    assert document("plugin_info") == {"plugins": None, "volumes": []}
    assert document("plugin_info", name=["a"]) == {"plugins": ["a"], "volumes": []}
    assert document("volume_info") == {"plugins": [], "volumes": None}
    assert document("volume_info", name=[]) == {"plugins": [], "volumes": []}


def test_build_order() -> None:
    assert document("plugin_build", name="r/x:1", path="/p", push=True, check_mode=True) == {
        "name": "r/x:1",
        "path": "/p",
        "push": True,
        "force": False,
        "dry_run": True,
    }


def test_the_least_run_order() -> None:
    assert document("run", image="app:1") == {
        "image": "app:1",
        "pull": "missing",
        "read_only": False,
        "dry_run": False,
    }


def test_a_run_order_with_everything() -> None:
    mount = {"source": "far", "target": "/c", "driver": None}
    given = {
        "image": "app:1", "pull": "always", "credentials": {"username": "u"}, "working_dir": "/w",
        "user": "1:2", "network": "none", "volume_driver": "sshfs", "name": "n", "read_only": True,
        "timeout": 3.0, "creates": "/c", "removes": "/r",
    }  # fmt: skip
    made = document(
        "run", command=["sleep", 3], entrypoint="/bin/tini --", env={"A": 1, "B": True, "C": None},
        labels={"l": 1.5}, volumes=["data:/data:ro", mount], stdin="text", check_mode=True, **given,
    )  # fmt: skip
    assert made == {
        **given, "command": ["sleep", "3"], "entrypoint": "/bin/tini --",
        "env": {"A": "1", "B": "true"}, "labels": {"l": "1.5"}, "stdin": "text\n", "dry_run": True,
        "volumes": ["data:/data:ro", {"source": "far", "target": "/c"}],
    }  # fmt: skip
    assert document("run", image="a", stdin="text", stdin_add_newline=False)["stdin"] == "text"
    # The agent reads what is made here.
    run = pytest.importorskip("plugind.model.run")
    assert run.parse_run(made).volumes[1].target == "/c"


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"env": {"A": ["b"]}}, r"env\.A"),
        ({"command": {"a": "b"}}, "command"),
        ({"command": [["a"]]}, "command"),
        ({"volumes": [["a"]]}, "volumes"),
    ],
)
def test_a_run_order_that_is_no_texts(params: dict[str, Any], named: str) -> None:
    with pytest.raises(_declare.Invalid, match=named):
        document("run", image="app:1", **params)


def test_a_plugin_needs_a_name_or_a_source() -> None:
    for kind, params in (("plugin", {}), ("apply", {"plugins": [{}]})):
        result = ArgumentSpecValidator(**_spec.for_controller(kind)).validate(params)
        assert "one of the following is required: name, source" in result.error_messages[0]


def test_paths_are_the_targets() -> None:
    params = validated("plugin_build", name="x", path="~/x")
    assert params["path"] == "~/x"
    assert _spec.needs_expansion("plugin_build", params)
    assert _spec.needs_expansion("plugin", {"executable": "$HOME/plugind"})
    assert not _spec.needs_expansion("plugin", {"executable": "/opt/plugind", "socket": None})
