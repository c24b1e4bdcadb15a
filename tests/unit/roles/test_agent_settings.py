# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What `agent_options` of role agent says stands in plugind.toml, tables in tables too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import tomllib

ROLE = Path(__file__).parents[3] / "roles" / "agent"
ANSIBLE = Path(sys.executable).parent / "ansible"
OPTIONS = {
    "confinement": {
        "seccomp": "default",
        "memory": None,
        "cpus": 1.5,
        "plugins": {
            "sshfs": {"memory": "64m", "pids": None},
            "registry.example:5000/a/b:1": {"seccomp": "unconfined", "pids": 100},
        },
    },
    "registry": {"insecure": ["a:5000"], "mirrors": {"docker.io": ["m.example"]}},
    "runtime": {},
}


def test_every_table_arrives(tmp_path: Path) -> None:
    given, made = tmp_path / "given.json", tmp_path / "plugind.toml"
    given.write_text(json.dumps({"agent_options": OPTIONS}))
    template = f"src={ROLE}/templates/plugind.toml.j2 dest={made}"
    variables = [ROLE / "defaults" / "main.yml", ROLE / "vars" / "main.yml", given]
    argv = [ANSIBLE, "localhost", "-c", "local", "-i", "localhost,"]
    argv += ["-m", "ansible.builtin.template", "-a", template]
    argv += [word for file in variables for word in ("-e", f"@{file}")]
    argv += ["-e", f"ansible_python_interpreter={sys.executable}"]
    home = {"ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_LOCALHOST_WARNING": "false"}
    done = subprocess.run(
        argv, env={**os.environ, **home}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = tomllib.loads(made.read_text())
    assert written == {
        "daemon": {"group": "plugind"},
        "confinement": {
            "seccomp": "default",
            "cpus": 1.5,
            "plugins": {
                "sshfs": {"memory": "64m"},
                "registry.example:5000/a/b:1": {"seccomp": "unconfined", "pids": 100},
            },
        },
        "registry": OPTIONS["registry"],
    }
