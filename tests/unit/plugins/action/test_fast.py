# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The fast path in real playbooks: same results as the module, and the module where it must be."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

SOURCE = "registry.example/x:1"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def plugin(fake, **params: Any) -> dict[str, Any]:
    return {"plugind.engine.plugin": {"source": SOURCE, "executable": str(fake.path), **params}}


def run(fake, **params: Any) -> dict[str, Any]:
    return {"plugind.engine.run": {"image": "app:1", "executable": str(fake.path), **params}}


def by_module(call: dict[str, Any]) -> bool:
    return "AnsiballZ" in " ".join(call["parent"])


def test_fast_by_default(play, fake) -> None:
    done = play(plugin(fake, name="x"), plugin(fake, name="x"))
    assert [result["changed"] for result in done.results] == [True, False]
    assert [by_module(call) for call in fake.calls] == [False, False]


@pytest.mark.parametrize(
    ("task", "environ"),
    [
        ({"vars": {"plugind_fast_path": False}}, {}),
        ({"vars": {"plugind_fast_path": "no"}}, {}),
        ({"async": 30, "poll": 1}, {}),
        ({}, {"ANSIBLE_KEEP_REMOTE_FILES": "1"}),
    ],
)
def test_by_module_where_it_must_be(
    play, fake, task: dict[str, Any], environ: dict[str, str]
) -> None:
    done = play({**plugin(fake, name="x"), **task}, environ=environ)
    assert done.result["changed"], done.output
    assert [by_module(call) for call in fake.calls] == [True]


def test_a_run_is_fast_too(play, fake) -> None:
    done = play(
        run(fake, env={"A": 1}), {**run(fake), "check_mode": True}, run(fake, creates="~/x")
    )
    assert (done.results[0]["stdout_lines"], done.results[0]["rc"]) == (["A=1"], 0), done.output
    assert (done.results[1]["skipped"], done.results[1]["changed"]) == (True, False)
    assert [by_module(call) for call in fake.calls] == [False, False, True]


def test_a_path_for_the_target_to_expand(play, fake) -> None:
    environ = {"FAKE_HOME": str(fake.path.parent)}
    done = play(
        {"plugind.engine.plugin_info": {"executable": "$FAKE_HOME/plugind"}}, environ=environ
    )
    assert not done.result["failed"], done.output
    assert by_module(fake.calls[0])


def strip(result: dict[str, Any]) -> dict[str, Any]:
    # Which Python ran the module is for the module's result alone.
    return {key: value for key, value in result.items() if key != "ansible_facts"}


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=2)))
def test_both_paths_return_the_same(play, fake, flags: tuple[bool, bool]) -> None:
    check, diff = flags
    settings = {"env": {"PASSWORD": "planted", "A": 1}}
    credentials = {"username": "u", "password": "planted too"}
    tasks = [
        plugin(fake, name="x", settings=settings, credentials=credentials),
        plugin(fake, name="fail", settings=settings, credentials=credentials),
        plugin(fake, name="refuse"),
        plugin(fake, name="x", executable="/none/plugind"),
        plugin(fake, name="x", settings={"env": {"A": []}}),
        plugin(fake, name="warn"),
        {"plugind.engine.volume_info": {"executable": str(fake.path)}},
        run(fake, command=["warn"], env={"PASSWORD": "planted", "A": 1}, stdin="text"),
        run(fake, command=["exit", 3]),
        run(fake, image="refuse"),
        {"plugind.engine.rollback": {"executable": str(fake.path), "id": "1"}},
    ]
    results = []
    for fast in (True, False):
        (fake.path.parent / "state.json").unlink(missing_ok=True)
        done = play(*tasks, vars={"plugind_fast_path": fast}, check_mode=check, diff=diff)
        results.append([strip(result) for result in done.results])
    assert len(results[0]) == len(tasks)
    for mine, modules in zip(*results, strict=True):
        for result in (mine, modules):
            # The controller knows a host's name, the module only that it is on it; a traceback is the module's.
            result["msg"] = result.get("msg", "").replace("localhost", "this host")
            result.pop("exception", None)
        assert mine == modules
    assert results[0][0]["changed"]
    assert ("diff" in results[0][0]) == diff
    assert (results[0][0]["plugin"] == {}) == check


CALLBACK = """
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "looks"
    def v2_runner_on_ok(self, result):
        self._display.display(f"ok {result.task_name}: {'invocation' in result.result}")
    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._display.display(f"failed {result.task_name}: {'invocation' in result.result}")
"""


@pytest.mark.parametrize("verbosity", [2, 3])
def test_callbacks_are_told_the_arguments_if_somebody_looks(
    play, fake, tmp_path: Path, verbosity: int
) -> None:
    (tmp_path / "looks.py").write_text(CALLBACK)
    done = play(
        {"name": "good", **plugin(fake, name="x")},
        {"name": "refused", **plugin(fake, name="refuse")},
        {"name": "wrong", **plugin(fake, name="x", state="off")},
        arguments=("-" + "v" * verbosity,),
        environ={
            "ANSIBLE_CALLBACK_PLUGINS": str(tmp_path),
            # What decides since ansible-core 2.21, for modules, too.
            "ANSIBLE_INJECT_INVOCATION": str(verbosity == 3),
        },
    )
    for what in ("ok good", "failed refused", "failed wrong"):
        assert f"{what}: {verbosity == 3}" in done.output


def test_check_mode_changes_nothing(play, fake) -> None:
    done = play(plugin(fake, name="x"), arguments=("--check", "--diff"))
    assert done.result["changed"]
    assert fake.calls[0]["argv"] == ["apply", "-", "--json", "--dry-run"]
    assert fake.state["plugins"] == {}
    assert '+    "plugin x": {' in done.output


def secretive(fake, credentials: dict[str, str]) -> dict[str, Any]:
    """A declaration with secrets in every place that can hold one."""
    env = {"NAMED": "{{ seven }}", "LABELLED": "{{ eight }}"}
    declared = {
        "source": SOURCE,
        "name": "y",
        "credentials": credentials,
        "settings": {"env": env, "args": ["--x", "{{ nine }}"]},
        "secret_settings": ["NAMED", "args"],
        "verify": {"volume": {"options": {"password": "{{ twelve }}", "x": "{{ four }}"}}},
    }
    options = {"password": "{{ six }}", "named": "{{ ten }}", "labelled": "{{ eleven }}"}
    volume = {"name": "v", "options": options, "secret_options": ["named"]}
    given = {"executable": str(fake.path), "plugins": [declared], "volumes": [volume]}
    return {"plugind.engine.apply": given}


@pytest.mark.parametrize("fast", [True, False])
def test_secrets_are_nowhere(play, fake, tmp_path: Path, fast: bool) -> None:
    log = tmp_path / "ansible.log"
    # By variables: an error of Ansible's shows the lines of the playbook that it comes from.
    numbers = [
        "one",
        "two",
        "three",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ]
    values = {number: f"planted-{number}" for number in numbers}
    variables = tmp_path / "vars.json"
    variables.write_text(json.dumps({**values, "four": "p-4"}))
    secrets = {
        "credentials": {"username": "u", "password": "{{ one }}", "identity_token": "{{ two }}"},
        "settings": {"env": {"DB_PASSWORD": "{{ three }}"}},
    }
    # Too short to be censored wherever it stands, but masked where it belongs.
    short = {**secrets, "settings": {"env": {"SHORT_TOKEN": "{{ four }}"}}}
    done = play(
        plugin(fake, name="x", **short),
        plugin(fake, name="fail", **secrets),
        plugin(fake, name="crash", **secrets),
        plugin(fake, name="x", nonsense="{{ five }}", credentials={"password": "{{ five }}"}),
        secretive(fake, secrets["credentials"]),
        arguments=("-vvvv", "--diff", f"-e@{variables}"),
        environ={"ANSIBLE_LOG_PATH": str(log)},
        vars={"plugind_fast_path": fast},
    )
    assert len(done.results) == 5, done.output
    assert fake.calls[0]["document"]["plugins"][0]["credentials"]["password"] == "planted-one"
    assert "planted" not in " ".join(fake.calls[0]["parent"])
    for where in (done.output, log.read_text(), str(done.results)):
        assert "planted" not in where
        assert "p-4" not in where


def test_a_vaulted_secret(play, fake, tmp_path: Path) -> None:
    variables = tmp_path / "vars.yml"
    password = tmp_path / "vault"
    password.write_text("a vault password")
    from ansible.parsing.vault import VaultLib, VaultSecret

    secret = VaultLib([("default", VaultSecret(b"a vault password"))]).encrypt("planted-7")
    lines = "\n".join("  " + line for line in secret.decode().splitlines())
    variables.write_text(f"registry_password: !vault |\n{lines}\n")
    done = play(
        plugin(fake, name="x", credentials={"password": "{{ registry_password }}"}),
        arguments=("-vvvv", f"--vault-password-file={password}", f"-e@{variables}"),
    )
    assert not done.result["failed"], done.output
    assert fake.calls[0]["document"]["plugins"][0]["credentials"]["password"] == "planted-7"
    assert "planted" not in done.output


def test_no_log_on_the_task(play, fake) -> None:
    done = play({**plugin(fake, name="visible"), "no_log": True}, arguments=("-vvv",))
    assert "the output has been hidden" in done.output
    assert "registry.example" not in done.output


@pytest.mark.parametrize("fast", [True, False])
def test_not_installed(play, fast: bool) -> None:
    task = {"plugind.engine.plugin_info": {"executable": "/none/plugind"}}
    done = play(task, vars={"plugind_fast_path": fast})
    assert done.result["failed"]
    assert "run role plugind.engine.agent, or set executable" in done.result["msg"]


def test_environment_reaches_the_agent(play, fake) -> None:
    task = {
        "plugind.engine.plugin_info": {},
        "environment": {"PLUGIND": str(fake.path), "SEEN_IT": 'it\'s "here" $HOME'},
    }
    done = play(task, {**task, "vars": {"plugind_fast_path": False}})
    assert not done.results[0]["failed"], done.output
    assert [call["environ"] for call in fake.calls] == [{"SEEN_IT": 'it\'s "here" $HOME'}] * 2
    assert [by_module(call) for call in fake.calls] == [False, True]


def test_group_defaults(play, fake) -> None:
    done = play(
        {"plugind.engine.plugin_info": {}},
        module_defaults={"group/plugind.engine.plugind": {"executable": str(fake.path)}},
    )
    assert done.result["plugins"] == [], done.output


def test_arguments_are_validated_on_the_controller(play, fake) -> None:
    done = play(plugin(fake, state="off"), plugin(fake, colour="red"), {"plugind.engine.apply": {}})
    messages = [result["msg"] for result in done.results]
    assert (
        "value of state must be one of: enabled, present, disabled, absent, got: off" in messages[0]
    )
    assert "Unsupported parameters for (plugind.engine.plugin) module: colour" in messages[1]
    assert "one of the following is required: plugins, volumes" in messages[2]
    assert fake.calls == []


def test_task_timeout(play, fake) -> None:
    fake.path.write_text("#!/bin/sh\nexec sleep 30\n")
    done = play({**plugin(fake, name="x"), "timeout": 1})
    assert done.result["failed"]
    assert "1 second" in done.result["msg"] or "timed out" in str(done.result).lower()


def test_delegation_names_the_host(play) -> None:
    task = {
        "plugind.engine.plugin_info": {"executable": "/none/plugind"},
        "delegate_to": "other",
        "vars": {"ansible_connection": "local"},
    }
    done = play(task, inventory="somewhere,", connection="local")
    assert "/none/plugind is not an executable file on other" in done.result["msg"]


@ROOT
@pytest.mark.parametrize(
    ("method", "pipelining", "fast"),
    [("su", "1", False), ("su", "0", False), ("sudo", "1", True), ("sudo", "0", False)],
)
def test_become(play, public_fake, method: str, pipelining: str, fast: bool) -> None:
    if shutil.which(method) is None:
        pytest.skip(f"{method} is not installed")
    done = play(
        {**plugin(public_fake, name="x"), "become": True},
        environ={
            "ANSIBLE_PIPELINING": pipelining,
            "ANSIBLE_REMOTE_TMP": f"{public_fake.path.parent}/tmp-${{USER}}",
        },
        vars={
            "ansible_become_method": method,
            "ansible_become_user": "nobody",
            "ansible_become_flags": "-s /bin/sh" if method == "su" else "-n -H",
            "ansible_shell_allow_world_readable_temp": True,
            "ansible_python_interpreter": "/usr/bin/python3",
        },
    )
    assert done.result["changed"], done.output
    (call,) = public_fake.calls
    assert call["uid"] != 0
    assert by_module(call) is not fast
