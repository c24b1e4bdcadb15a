# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A play with planted secrets, at its most talkative: none of them is in its output, its log or its results."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.root
NAMES = ("inline", "other_inline", "named", "wrong_env", "other_key")


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "module"])
def test_a_talkative_play_tells_no_secret(
    play: Callable[..., str], engine: dict[str, str], tmp_path: Path, *, fast: bool
) -> None:
    planted = {name: secrets.token_hex(10) for name in NAMES}
    # By variables: an error of Ansible's shows the lines of the playbook that it comes from.
    variables, log = tmp_path / "vars.json", tmp_path / "ansible.log"
    variables.write_text(json.dumps(planted))
    name = f"secretive-{'fast' if fast else 'module'}"
    options = {"type": "tmpfs", "device": "{{ named }}", "o": "size=1m,password={{ inline }}"}
    # The label tells a Docker Engine's volume_info, too, which has nobody else to ask.
    labels = {"engine.plugind.secret-options": "device"}
    declared = {**engine, "name": name, "options": options, "secret_options": ["device"]}
    declared["labels"] = labels
    drifted = {**declared, "options": {**options, "o": "size=1m,password={{ other_inline }}"}}
    recreated = {**drifted, "recreate": "options-changed"}
    volume = "plugind.engine.volume"
    tasks = [
        {volume: declared, "register": "made"},
        {volume: declared, "register": "again"},
        {volume: drifted, "register": "refused", "ignore_errors": True},
        {volume: recreated, "check_mode": True},
        {volume: recreated, "register": "new"},
        {
            "plugind.engine.plugin": {
                **engine,
                "name": "no-such-plugin",
                "settings": {"env": {"API_TOKEN": "{{ wrong_env }}"}, "args": "--key={{ other_key }}"},
            },
            "ignore_errors": True,
        },
        {"plugind.engine.volume_info": {**engine, "name": [name]}, "register": "info"},
        {"ansible.builtin.debug": {"msg": "{{ [made, again, refused, new, info] }}"}},
        {
            "ansible.builtin.assert": {
                "that": [
                    "made is changed", "again is not changed", "refused is failed", "new is changed",
                    "refused.msg is search('created with other options .o.')",
                    "made.volume.Options.o == 'size=1m,password=********'",
                    "made.volume.Options.device == '********'",
                ]
            }
        },
        {volume: {**engine, "name": name, "state": "absent"}},
    ]  # fmt: skip
    output = play(
        {
            "tasks": tasks,
            "vars": {"plugind_fast_path": fast, "ansible_python_interpreter": sys.executable},
        },
        arguments=("-vvvv", "--diff", f"-e@{variables}"),
        ANSIBLE_LOG_PATH=str(log),
    )
    assert "password=******** (changed)" in output
    for where in (output, log.read_text()):
        assert [name for name, secret in planted.items() if secret in where] == []
