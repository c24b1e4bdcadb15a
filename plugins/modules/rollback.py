#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Go back to what a host was like before its last change."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback
short_description: Undo the last change of a host's managed plugins, volumes and mounts
version_added: 0.1.0
author:
  - The plugind authors (@plugind)
description:
  - Undoes the last change that M(plugind.engine.apply), M(plugind.engine.plugin), M(plugind.engine.volume) or
    M(plugind.engine.volume_mount) made on a host - other versions, settings and states of plugins, volumes and mounts
    that were made or removed.
  - A host remembers one change. What is undone is forgotten, so there is no way further back. Without a change to go
    back from, the task fails.
  - A plugin's earlier version is still on the host, so no registry is asked. A Docker Engine pulls it again.
  - The data of a volume that the change removed or recreated does not come back.
extends_documentation_fragment:
  - plugind.engine.agent
  - plugind.engine.attributes
  - plugind.engine.attributes.declares
attributes:
  idempotent:
    support: none
    details:
      - The second time there is no change to go back from, and the task fails.
options:
  id:
    description:
      - Which change is to be undone, see RV(plugind.engine.apply#module:undo). If it is not the host's last one, the
        task fails and changes nothing.
      - By default the last one, whoever made it.
    type: str
  remove_volumes:
    description:
      - Remove the volumes that the change created, too, B(with the data) that they have by now. By default they
        stay, and so does a plugin that they need.
    type: bool
    default: false
seealso:
  - module: plugind.engine.apply
"""

EXAMPLES = r"""
- name: A change
  plugind.engine.apply:
    plugins: "{{ plugins_plugins }}"
  register: applied

- name: Does the host do what it is there for?
  ansible.builtin.command: backup --dry-run
  register: checked
  changed_when: false
  ignore_errors: true

- name: Go back from that change
  plugind.engine.rollback:
    id: "{{ applied.undo.id }}"
  when: checked is failed and applied is changed

- name: Go back from the last change, whichever it was
  plugind.engine.rollback:
"""

RETURN = r"""
plugins:
  description: The plugins that are as before, as the Docker Engine API shows them. In check mode as they are.
  type: list
  elements: dict
  returned: success, or failure of a step
volumes:
  description: The volumes that are as before, as the Docker Engine API shows them. In check mode as they are.
  type: list
  elements: dict
  returned: success, or failure of a step
mounts:
  description:
    - The mounts that are as before, as RV(plugind.engine.volume_mount#module:mount). In check mode as they are.
  type: list
  elements: dict
  returned: success, or failure of a step
steps:
  description: What was done or, in check mode, would be done, in this order.
  type: list
  elements: dict
  returned: success, or failure of a step
  contains:
    resource:
      description: What the step is about.
      type: str
      sample: "plugin/sshfs:latest"
    action:
      description: What kind of step it is.
      type: str
      sample: plugin-upgrade
    status:
      description: V(done), V(failed), V(skipped) because an earlier step failed, or V(planned) in check mode.
      type: str
      sample: done
    description:
      description: The step in words.
      type: str
    reason:
      description: Why the step is needed, or why it failed or was skipped.
      type: str
    before:
      description: What the step changes, before it.
      type: raw
    after:
      description: What the step changes, after it.
      type: raw
undo:
  description: Nothing, because what is undone is forgotten. The change that can still be undone, if it failed.
  type: dict
  returned: success, or failure of a step
rolled_back:
  description: Whether the change is undone.
  type: bool
  returned: success, or failure of a step
engine:
  description: The engine that answered.
  type: raw
  returned: if the agent names it
"""

from ansible_collections.plugind.engine.plugins.module_utils import _module, _spec


def main() -> None:
    """Call the agent, report."""
    module = _module.EngineModule(supports_check_mode=True, **_spec.for_module("rollback"))
    _module.carry_out(module, "rollback")


if __name__ == "__main__":
    main()
