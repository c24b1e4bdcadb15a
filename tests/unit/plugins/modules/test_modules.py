# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Modules call a real executable and report what it says."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml

from ansible_collections.plugind.engine.plugins.module_utils import _spec

SOURCE = "registry.example/x:1"


def test_first_run_changes_second_does_not(run_module, fake) -> None:
    first = run_module("plugin", name="x", source=SOURCE)
    assert first["changed"]
    assert first["plugin"]["PluginReference"] == SOURCE
    assert [step["status"] for step in first["steps"]] == ["done"]
    assert "diff" not in first
    second = run_module("plugin", name="x", source=SOURCE)
    assert (second["changed"], second["steps"]) == (False, [])
    assert [call["argv"] for call in fake.calls] == [["apply", "-", "--json"]] * 2


def test_check_mode_predicts_and_changes_nothing(run_module, fake) -> None:
    predicted = run_module("plugin", name="x", source=SOURCE, check=True, diff=True)
    assert predicted["changed"]
    assert predicted["plugin"] == {}
    assert predicted["steps"][0]["status"] == "planned"
    assert fake.state["plugins"] == {}
    done = run_module("plugin", name="x", source=SOURCE, diff=True)
    assert done["diff"] == predicted["diff"]
    assert done["diff"]["before"] == {"plugin x": None}


def test_volume(run_module) -> None:
    made = run_module("volume", name="v", driver="x", options={"size": 1})
    assert made["volume"] == {"Name": "v", "Driver": "x", "Options": {"size": "1"}}
    gone = run_module("volume", name="v", state="absent")
    assert (gone["changed"], gone["volume"]) == (True, {})


def test_volume_mount(run_module, fake) -> None:
    given = {"path": "/srv/v", "volume": "v", "mode": "0750", "owner": "me", "group": 5}
    predicted = run_module("volume_mount", check=True, diff=True, **given)
    assert (predicted["changed"], predicted["mount"]) == (True, {})
    made = run_module("volume_mount", diff=True, **given)
    assert made["diff"] == predicted["diff"]
    assert made["mount"] == {"Path": "/srv/v", "Volume": "v", "State": "mounted"}
    assert not run_module("volume_mount", **given)["changed"]
    assert fake.calls[1]["document"] == {
        "plugins": [],
        "volumes": [],
        "mounts": [
            {
                **given,
                "group": "5",
                "state": "mounted",
                "read_only": False,
                "propagation": "rprivate",
                "allow_nonempty": False,
                "force": False,
            }
        ],
    }
    gone = run_module("volume_mount", path="/srv/v", state="absent", force=True)
    assert (gone["changed"], gone["mount"]) == (True, {})
    refused = run_module("volume_mount", path="/srv/v")
    assert refused["msg"] == "state is mounted but all of the following are missing: volume"


def test_mounts_are_applied_with_plugins_and_volumes(run_module) -> None:
    applied = run_module(
        "apply", volumes=[{"name": "v"}], mounts=[{"path": "/srv/v", "volume": "v"}]
    )
    assert [mount["Path"] for mount in applied["mounts"]] == ["/srv/v"]
    refused = run_module("apply", mounts=[{"path": "/srv/v"}])
    assert refused["failed"]
    assert "are missing: volume" in refused["msg"]


def test_apply_and_info(run_module) -> None:
    applied = run_module(
        "apply",
        plugins=[{"name": "x", "source": SOURCE}, {"name": "y", "source": SOURCE}],
        volumes=[{"name": "v", "driver": "x"}],
    )
    assert [plugin["Name"] for plugin in applied["plugins"]] == ["x", "y"]
    assert len(applied["steps"]) == 3
    one = run_module("plugin_info", name=["y", "missing"])
    assert [plugin["Name"] for plugin in one["plugins"]] == ["y"]
    assert not one["changed"]
    assert run_module("volume_info")["volumes"][0]["Name"] == "v"


def test_build(run_module, fake) -> None:
    built = run_module("plugin_build", name="r/x:1", path="/p", push=True, check=True)
    assert (built["digest"], built["pushed"]) == ("sha256:00", True)
    assert fake.calls[0]["document"]["dry_run"] is True


def test_run(run_module, fake) -> None:
    done = run_module("run", image="app:1", env={"A": 1}, stdin="b")
    assert (done["changed"], done["rc"]) == (True, 0)
    assert (done["stdout"], done["stdout_lines"]) == ("A=1\nb", ["A=1", "b"])
    assert (done["stderr"], done["container"]) == ("a", "c")
    assert fake.calls[0]["argv"] == ["run", "-", "--json"]
    failed = run_module("run", image="app:1", command=["exit", 3])
    assert (failed["failed"], failed["rc"], failed["msg"]) == (True, 3, "non-zero return code")
    skipped = run_module("run", image="app:1", check=True)
    assert (skipped["skipped"], skipped["changed"], skipped["rc"]) == (True, False, 0)
    assert run_module("run", image="refuse")["msg"].endswith(".image: is missing")


def test_secrets_of_a_run_stay_inside(run_module, fake) -> None:
    secrets = {"API_TOKEN": "planted-1", "PIN_TOKEN": "123"}
    done = run_module("run", image="app:1", env=secrets, credentials={"password": "planted-2"})
    assert "planted" not in str(done)
    assert done["invocation"]["module_args"]["env"]["PIN_TOKEN"] == "********"
    assert fake.calls[0]["document"]["env"] == secrets


def test_engine_and_socket_are_passed_on(run_module, fake) -> None:
    run_module("plugin_info", engine="unix:///e", socket="/s")
    assert fake.calls[0]["argv"][3:] == ["--engine", "unix:///e", "--socket", "/s"]


def test_warnings(run_module) -> None:
    result = run_module("plugin", name="warn", source=SOURCE)
    assert "this one is odd" in str(result["warnings"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("refuse", "plugind refused the declaration: plugins[0].source"),
        ("unreachable", "the agent on this host does not answer: cannot reach"),
        ("crash", "plugind on this host gave no answer (exit code 1)"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_failures(run_module, name: str, message: str, check: bool) -> None:
    result = run_module("plugin", name=name, source=SOURCE, check=check)
    assert result["failed"]
    assert message in result["msg"]


def test_not_installed(run_module) -> None:
    result = run_module("plugin", name="x", executable="/none/plugind")
    assert result["msg"] == (
        "/none/plugind is not an executable file on this host: "
        "run role plugind.engine.agent, or set executable"
    )


def test_what_cannot_be_declared(run_module, fake) -> None:
    result = run_module("plugin", name="x", settings={"env": {"A": ["b"]}})
    assert result["failed"]
    assert result["msg"] == "x: settings.env.A: want a text, not a list"
    assert fake.calls == []


def test_secrets_stay_inside(run_module, fake) -> None:
    secrets = {"password": "planted-1"}
    settings = {"env": {"DB_PASSWORD": "planted-2", "PIN_TOKEN": "123", "DEBUG": "1"}}
    failed = run_module(
        "plugin", name="fail", source=SOURCE, credentials=secrets, settings=settings
    )
    assert failed["failed"]
    assert "planted" not in str(failed)
    assert failed["invocation"]["module_args"]["settings"]["env"]["PIN_TOKEN"] == "********"
    done = run_module(
        "plugin", name="x", source=SOURCE, credentials=secrets, settings=settings, diff=True
    )
    assert "planted" not in str(done)
    assert "DEBUG=1" in done["plugin"]["Settings"]["Env"]
    # It got them all the same, and not where others can see them.
    sent = fake.calls[-1]["document"]["plugins"][0]
    assert sent["credentials"]["password"] == "planted-1"
    assert sent["settings"]["env"]["PIN_TOKEN"] == "123"
    assert "planted" not in str(fake.calls[-1]["argv"])


def options_of(documentation: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "suboptions": options_of(option.get("suboptions") or {}),
            **{key: option.get(key) for key in ("type", "elements", "choices", "default")},
            "required": option.get("required", False),
        }
        for name, option in documentation.items()
    }


def options_in(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "suboptions": options_in(option.get("options") or {}),
            **{key: option.get(key) for key in ("type", "elements", "choices", "default")},
            "required": option.get("required", False),
        }
        for name, option in spec.items()
    }


@pytest.mark.parametrize("kind", sorted(_spec.MODULES))
def test_documentation_and_spec_agree(kind: str) -> None:
    base = "ansible_collections.plugind.engine.plugins"
    module = importlib.import_module(f"{base}.modules.{kind}")
    documentation = yaml.safe_load(module.DOCUMENTATION)
    options = dict(documentation["options"])
    for fragment in documentation["extends_documentation_fragment"]:
        name, part = [*fragment.split(".")[2:], ""][:2]
        holder = importlib.import_module(f"{base}.doc_fragments.{name}").ModuleDocFragment
        text = getattr(holder, part.upper() or "DOCUMENTATION")
        options.update(yaml.safe_load(text)["options"])
    assert options_of(options) == options_in(_spec.MODULES[kind]["argument_spec"])


@pytest.mark.parametrize("kind", sorted(_spec.MODULES))
def test_examples_are_valid(kind: str, run_module) -> None:
    base = "ansible_collections.plugind.engine.plugins.modules"
    examples = yaml.safe_load(importlib.import_module(f"{base}.{kind}").EXAMPLES)
    tasks = [task for task in examples if f"plugind.engine.{kind}" in task]
    assert tasks
    for task in tasks:
        if kind == "rollback":
            run_module("volume", name="v")
            task[f"plugind.engine.{kind}"] = {"id": "1"} if task[f"plugind.engine.{kind}"] else {}
        result = run_module(kind, **(task[f"plugind.engine.{kind}"] or {}))
        assert not result.get("failed"), result["msg"]
