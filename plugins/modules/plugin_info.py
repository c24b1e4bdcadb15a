#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which plugins there are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plugin_info
short_description: Tell which managed plugins there are
version_added: 0.1.0
author:
  - The plugind authors (@plugind)
description:
  - Returns managed plugins as the Docker Engine API shows them, all of them or those that are named.
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
  - module: plugind.engine.plugin
"""

EXAMPLES = r"""
- name: Ask for all
  plugind.engine.plugin_info:
  register: found

- name: Show their names
  ansible.builtin.debug:
    msg: "{{ found.plugins | map(attribute='Name') }}"

- name: Ask for one
  plugind.engine.plugin_info:
    name: sshfs
  register: one

- name: Insist that it is there
  ansible.builtin.assert:
    that: one.plugins | length == 1
"""

RETURN = r"""
plugins:
  description:
    - The managed plugins, by name.
    - Of the agent's own engine each has a C(Status) beside what Docker shows - its C(State), C(Restarts), C(LastExit),
      C(LastError), C(ManifestDigest) and more.
  type: list
  elements: dict
  returned: success
  sample: [{"Name": "sshfs:latest", "Enabled": true, "PluginReference": "registry.example.com/plugins/sshfs:3"}]
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
    module = _module.EngineModule(supports_check_mode=True, **_spec.for_module("plugin_info"))
    _module.carry_out(module, "plugin_info")


if __name__ == "__main__":
    main()
