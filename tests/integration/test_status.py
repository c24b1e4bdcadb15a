# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The playbooks export and status: what there is becomes a declaration that nothing differs from, until it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"
SECRET = "s3cret-" + "0123456789abcdef"
TEMPLATE = "{{ lookup('pipe', 'id') }}"
PORT_OF_NOBODY = 1


def run(place: Path, playbook: str, *files: Path, **variables: Any) -> tuple[int, str]:
    """Run one of the collection's playbooks on this host, and on one that nobody can reach if it is asked for."""
    hosts = {"here": {"ansible_connection": "local"}}
    if variables.pop("nobody", False):
        hosts["gone"] = {"ansible_host": "127.0.0.1", "ansible_port": PORT_OF_NOBODY}
    inventory = place / "inventory.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    variables["ansible_python_interpreter"] = sys.executable
    given = [f"-e@{file}" for file in files] + ["-e", json.dumps(variables)]
    done = subprocess.run(
        [str(PLAYBOOK), "-i", str(inventory), f"plugind.engine.{playbook}", *given],
        capture_output=True, text=True, timeout=200, check=False, cwd=place,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
            "ANSIBLE_HOME": str(place / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_BECOME": "false",
        },
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def report(place: Path) -> dict[str, Any]:
    """The report that the playbook wrote."""
    found: dict[str, Any] = json.loads((place / "plugind-report.json").read_text())
    return found


def _reach(engine: dict[str, str]) -> dict[str, str]:
    """How the playbooks find the engine."""
    reach = {"plugins_executable": engine["executable"]}
    if "engine" in engine:
        reach["plugins_engine"] = engine["engine"]
    else:
        reach["plugins_socket"] = engine["socket"]
    return reach


def test_what_is_adopted_does_not_differ(
    play: Callable[..., str],
    engine: dict[str, str],
    registry: str,
    directories: dict[str, Path],
    tmp_path: Path,
) -> None:
    source = f"{registry}/examples/adopted:2"
    built = {"name": source, "path": str(directories["2"]), "push": True, "force": True}
    volumes = [
        {"name": "a-plain", "driver": "adopted", "labels": {"note": "{{ template }}"}},
        {"name": "a-secret", "options": {"type": "tmpfs", "device": "tmpfs",
                                         "o": "size=1m,password={{ secret }}"}},
    ]  # fmt: skip
    declared = {
        "plugins": [{"name": "adopted", "source": source, "grant": "all",
                     "settings": {"env": {"DEBUG": "1"}}}],
        "volumes": volumes,
    }  # fmt: skip
    text = tmp_path / "text.json"
    # Not a template: what a host says by itself.
    text.write_text(json.dumps({"secret": SECRET, "template": {"__ansible_unsafe": TEMPLATE}}))
    play(
        {
            "module_defaults": {"group/plugind.engine.plugind": engine},
            "vars": {"ansible_python_interpreter": sys.executable},
            "tasks": [
                {"plugind.engine.plugin_build": built},
                {"plugind.engine.plugin": {"name": source, "state": "absent"}},
                {"plugind.engine.apply": declared},
            ],
        },
        arguments=(f"-e@{text}",),
    )
    reach = _reach(engine)
    code, said = run(tmp_path, "export", plugind_export_dir=str(tmp_path / "out"), **reach)
    assert code == 0, said
    exported = tmp_path / "out" / "here.yml"
    assert SECRET not in exported.read_text()
    (name,) = [
        line for line in exported.read_text().splitlines() if line.startswith("#   plugind_")
    ]
    variable = name.split()[1].rstrip(":")
    found = yaml.safe_load(exported.read_text())
    (plugin,) = [p for p in found["plugins_plugins"] if p["name"] == "adopted:latest"]
    assert plugin["settings"]["env"] == {"DEBUG": "1"}
    assert plugin["grant"], "the privileges of this configuration"

    given = {**reach, variable: SECRET, "plugind_report_dir": str(tmp_path)}
    code, said = run(tmp_path, "status", exported, plugind_fail_on_drift=True, **given)
    assert code == 0, said
    assert report(tmp_path)["summary"]["states"]["ok"] == 1
    assert "all as declared" in said
    _drift(tmp_path, exported, found, given)
    clean = [{"name": volume["name"], "state": "absent"} for volume in volumes]
    gone = [{"name": "adopted", "state": "absent"}]
    play({
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [{"plugind.engine.apply": {**engine, "plugins": gone, "volumes": clean}}],
    })  # fmt: skip


def _drift(place: Path, exported: Path, found: dict[str, Any], given: dict[str, Any]) -> None:
    """Declare something else; it is told, changes nothing, and fails if that is asked for."""
    for plugin in found["plugins_plugins"]:
        if plugin["name"] == "adopted:latest":
            plugin["settings"]["env"]["DEBUG"] = "0"
            # A Docker Engine has to stop the plugin for that, and its volume holds it.
            plugin["force"] = True
    other = place / "other.yml"
    other.write_text(yaml.safe_dump({"plugins_plugins": found["plugins_plugins"]}))
    for fail_on_drift in (False, True):
        code, said = run(
            place, "status", exported, other, plugind_fail_on_drift=fail_on_drift, **given
        )
        assert (code != 0) is fail_on_drift, said
        (host,) = report(place)["hosts"]
        assert host["state"] == "drifted"
        paths = [d["path"] for change in host["changes"] for d in change["differences"]]
        assert "settings.env.DEBUG" in paths
    code, said = run(place, "status", exported, nobody=True, **given)
    assert code != 0, said
    assert {host["name"]: host["state"] for host in report(place)["hosts"]} == {
        "here": "ok",
        "gone": "unreachable",
    }
    page = (place / "plugind-report.html").read_text()
    assert 'data-host="gone"' in page
    assert SECRET not in page + said + (place / "plugind-report.json").read_text()
