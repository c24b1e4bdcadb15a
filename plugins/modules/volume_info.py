#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which volumes there are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_info
short_description: Tell which volumes there are
version_added: 0.1.0
author:
  - The plugind authors (@plugind)
description:
  - Returns volumes as the Docker Engine API shows them, all of them or those that are named.
extends_documentation_fragment:
  - plugind.engine.agent
  - plugind.engine.attributes
  - plugind.engine.attributes.info
options:
  name:
    description:
      - The names to look for. A name that does not exist is no error; it is missing in the answer.
      - By default, all.
    type: list
    elements: str
seealso:
  - module: plugind.engine.volume
"""

EXAMPLES = r"""
- name: Ask for all
  plugind.engine.volume_info:
  register: found

- name: Show their names
  ansible.builtin.debug:
    msg: "{{ found.volumes | map(attribute='Name') }}"

- name: Ask for one
  plugind.engine.volume_info:
    name: backups
  register: one

- name: Insist that it is there
  ansible.builtin.assert:
    that: one.volumes | length == 1
"""

RETURN = r"""
volumes:
  description: The volumes, by name.
  type: list
  elements: dict
  returned: success
  sample: [{"Name": "backups", "Driver": "sshfs:latest", "Scope": "local"}]
mounts:
  description:
    - The host mounts of these volumes, as RV(plugind.engine.volume_mount#module:mount). A Docker Engine has none.
  type: list
  elements: dict
  returned: success
info:
  description: What the agent tells about the engine.
  type: dict
  returned: success
engine:
  description: The engine that answered.
  type: raw
  returned: if the agent names it
"""

from ansible_collections.plugind.engine.plugins.module_utils import _module, _spec


def main() -> None:
    """Ask the agent, report."""
    module = _module.EngineModule(supports_check_mode=True, **_spec.for_module("volume_info"))
    _module.carry_out(module, "volume_info")


if __name__ == "__main__":
    main()
