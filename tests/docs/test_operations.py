# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The playbooks of docs/operations.md, one after the other, on a host by ssh that has no agent yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import docs.host as host
import docs.pages as pages
from support import daemon

ROOT = daemon.REPOSITORY
COMMANDS = pages.left_to("tests/docs/test_operations.py", ROOT)
SETUP = ("sshd", "wheelhouse", "registry")
INVENTORY = """\
all:
  hosts:
    web1.example.com:
      ansible_user: root
      plugins_plugins: [{name: localdir, source: "registry.example.com/plugins/localdir:1"}]
      plugins_volumes: [{name: data, driver: localdir}]
"""
EXPORTED = """\
plugins_plugins:
- name: localdir:latest
  source: registry.example.com/plugins/localdir:1
  state: enabled
plugins_volumes:
- name: data
  driver: localdir:latest
"""

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]


def run(shell: host.Shell, command: str) -> str:
    done = shell.type(command)
    assert done.status == 0, f"$ {command}\n{done.output}"
    return done.output


def test_playbooks(
    tmp_path: Path, environment: dict[str, str], wheelhouse: Callable[[], Path]
) -> None:
    assert set(COMMANDS) == {"docs/operations.md"}
    words = {"INVENTORY": "inventory.yml"}
    site, status, export = (
        pages.replace(command.text, words) for command in COMMANDS["docs/operations.md"]
    )
    env = {**environment, "PAGES_WHEELHOUSE": str(wheelhouse())}
    with host.running(tmp_path / "h", env) as shell:
        for script in SETUP:
            run(shell, f'. "$PAGES_SETUP/{script}.sh" ""')
        (shell.home / "inventory.yml").write_text(INVENTORY)
        run(shell, site)
        assert "localdir:latest   running" in run(shell, "plugind ls")
        assert '"msg": "all as declared"' in run(shell, status)
        report = (shell.home / "reports" / "plugind-report.html").read_text()
        assert "web1.example.com" in report
        run(shell, export)
        assert (shell.home / "host_vars" / "web1.example.com.yml").read_text().endswith(EXPORTED)
