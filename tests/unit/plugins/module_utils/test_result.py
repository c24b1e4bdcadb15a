# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Answers -> results."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.plugind.engine.plugins.module_utils import _result

ANSWER: dict[str, Any] = {
    "changed": True,
    "failed": False,
    "msg": "1 step done",
    "engine": "unix:///run/plugind/api.sock",
    "steps": [{"action": "install", "status": "done"}],
    "diff": {"before": {"plugin/x": {}}, "after": {"plugin/x": {"env": {"PASSWORD": "p"}}}},
    "plugins": [{"Name": "x:latest", "Settings": {"Env": ["PASSWORD=p"]}}],
    "volumes": [{"Name": "v"}],
    "warnings": ["odd"],
}


def test_plugin() -> None:
    result = _result.task_result("plugin", ANSWER, {"name": "x"}, diff_mode=False)
    assert result == {
        "changed": True,
        "failed": False,
        "invocation": {"module_args": {"name": "x"}},
        "plugin": {"Name": "x:latest", "Settings": {"Env": ["PASSWORD=********"]}},
        "steps": [{"action": "install", "status": "done"}],
        "undo": None,
        "rolled_back": False,
        "msg": "1 step done",
        "warnings": ["odd"],
        "engine": "unix:///run/plugind/api.sock",
    }


def test_diff_only_in_diff_mode() -> None:
    assert _result.task_result("plugin", ANSWER, {}, diff_mode=True)["diff"] == {
        "before": {"plugin/x": {}},
        "after": {"plugin/x": {"env": {"PASSWORD": "********"}}},
        "before_header": "unix:///run/plugind/api.sock",
        "after_header": "unix:///run/plugind/api.sock",
    }


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("volume", {"volume": {"Name": "v"}}),
        ("apply", {"volumes": [{"Name": "v"}], "undo": None, "rolled_back": False}),
        ("volume", {"undo": None}),
        ("volume_info", {"volumes": [{"Name": "v"}], "info": {}}),
        ("plugin_build", {"plugin": {}, "digest": "", "pushed": False, "pushed_digest": ""}),
    ],
)
def test_kinds(kind: str, keys: dict[str, Any]) -> None:
    result = _result.task_result(kind, ANSWER, {}, diff_mode=False)
    assert {key: result[key] for key in keys} == keys


@pytest.mark.parametrize("kind", ["plugin", "apply", "rollback"])
def test_the_way_back(kind: str) -> None:
    answer = {**ANSWER, "undo": {"id": "5f"}, "rolled_back": False}
    assert _result.task_result(kind, answer, {}, diff_mode=False)["undo"] == {"id": "5f"}
    answer = {**ANSWER, "failed": True, "undo": None, "rolled_back": True}
    result = _result.task_result(kind, answer, {}, diff_mode=False)
    assert (result["failed"], result["undo"], result["rolled_back"]) == (True, None, True)


RAN: dict[str, Any] = {
    "changed": True, "failed": False, "msg": "", "rc": 0, "stdout": "PASSWORD=p\n\n", "stderr": "a\nb",
    "image": "app:1", "image_id": "sha256:1", "container": "c", "warnings": [], "engine": "e",
}  # fmt: skip


def test_run() -> None:
    result = _result.task_result("run", RAN, {"env": {"TOKEN": "t"}}, diff_mode=True)
    # What a command writes is not judged by its looks.
    assert result == {
        "changed": True, "failed": False, "rc": 0, "stdout": "PASSWORD=p\n\n",
        "stdout_lines": ["PASSWORD=p", ""], "stderr": "a\nb", "stderr_lines": ["a", "b"],
        "image": "app:1", "image_id": "sha256:1", "container": "c", "engine": "e",
        "invocation": {"module_args": {"env": {"TOKEN": "********"}}},
    }  # fmt: skip
    stripped = _result.task_result("run", RAN, {"strip_empty_ends": True}, diff_mode=False)
    assert (stripped["stdout"], stripped["stdout_lines"]) == ("PASSWORD=p", ["PASSWORD=p"])


def test_a_run_that_did_not_come_about() -> None:
    answer = {"changed": False, "failed": True, "msg": "cannot pull app:1: no"}
    result = _result.task_result("run", answer, {"strip_empty_ends": True}, diff_mode=False)
    assert (result["msg"], "rc" in result, "stdout" in result) == (
        "cannot pull app:1: no",
        False,
        False,
    )


def test_absent_is_an_empty_mapping() -> None:
    answer = {**ANSWER, "plugins": [], "volumes": []}
    assert _result.task_result("plugin", answer, {}, diff_mode=False)["plugin"] == {}
    assert _result.task_result("volume", answer, {}, diff_mode=False)["volume"] == {}


def test_a_failure_has_a_message_and_its_steps() -> None:
    answer = {"changed": True, "failed": True, "msg": "", "steps": [{"status": "failed"}]}
    result = _result.task_result("apply", answer, {}, diff_mode=False)
    assert (result["changed"], result["failed"]) == (True, True)
    assert result["msg"]
    assert result["steps"] == [{"status": "failed"}]


def test_no_answer() -> None:
    result = _result.failure("why", {"credentials": {"password": "p"}}, {"rc": 3})
    assert result == {
        "changed": False,
        "failed": True,
        "msg": "why",
        "rc": 3,
        "invocation": {"module_args": {"credentials": {"password": "********"}}},
    }
