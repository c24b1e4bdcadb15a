#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Declare one volume."""

from __future__ import annotations

DOCUMENTATION = r"""
module: volume
short_description: Declare a volume
version_added: 0.1.0
author:
  - The plugind authors (@plugind)
description:
  - Declares a volume of a managed plugin, or of the engine's own driver V(local).
  - A volume that is there is never deleted to change it, unless O(recreate) says so.
extends_documentation_fragment:
  - plugind.engine.agent
  - plugind.engine.attributes
  - plugind.engine.attributes.declares
attributes:
  idempotent:
    support: partial
    details:
      - Not with O(recreate=always), which says that every run makes the volume anew.
options:
  name:
    description: The name of the volume.
    type: str
    required: true
  driver:
    description:
      - The driver, by any of its plugin's names. C(x) and C(x:latest) are the same.
    type: str
    default: local
  options:
    description:
      - Options of the driver. Values are texts, see O(plugind.engine.plugin#module:settings).
      - Secrets among them - by their names (password, token, key, ...), by the plugin's label, or by
        O(secret_options) - reach the driver only. The agent keeps a keyed digest to see whether they differ, and
        shows C(********). A Docker Engine stores and shows them in clear; results and diffs mask them all the same.
    type: dict
  labels:
    description: Labels of the volume. Other labels that it has are left alone.
    type: dict
  secret_options:
    description:
      - Names of options whose values are secrets although their names do not say so.
    type: list
    elements: str
  state:
    description: Whether the volume is there.
    type: str
    choices: [present, absent]
    default: present
  recreate:
    description:
      - What to do with a volume that has another driver, other options or other labels than declared. What is
        not declared is not compared.
      - V(never) - leave it alone and fail.
      - V(options-changed) - delete it, B(with its data), and create it again.
      - V(always) - delete it, B(with its data), and create it again, in every run.
    type: str
    choices: [never, options-changed, always]
    default: never
  force:
    description:
      - Remove the record of the volume even if its driver does not answer.
    type: bool
    default: false
seealso:
  - module: plugind.engine.apply
    description: Many plugins and volumes with one task, which is quicker than a loop.
  - module: plugind.engine.volume_info
  - module: community.docker.docker_volume
"""

EXAMPLES = r"""
- name: A volume of a plugin
  plugind.engine.volume:
    name: backups
    driver: sshfs
    options:
      sshcmd: backup@storage.example.com:/backups
      password: "{{ backup_password }}"
    labels:
      owner: operations

- name: No volume
  plugind.engine.volume:
    name: backups
    state: absent
"""

RETURN = r"""
volume:
  description:
    - The volume after the task, as the Docker Engine API shows it. Empty if there is none.
    - In check mode the volume as it is.
  type: dict
  returned: success
  sample:
    Name: backups
    Driver: "sshfs:latest"
    Mountpoint: ""
    Labels:
      owner: operations
    Options:
      sshcmd: "backup@storage.example.com:/backups"
    Scope: local
steps:
  description: What was done or, in check mode, would be done, in this order.
  type: list
  elements: dict
  returned: success, or failure of a step
  contains:
    resource:
      description: What the step is about.
      type: str
      sample: "volume backups"
    action:
      description: What kind of step it is.
      type: str
      sample: create
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
  description:
    - The C(id) of what was changed, for M(plugind.engine.rollback). Nothing if nothing was changed or all was undone.
  type: dict
  returned: success, or failure of a step
  sample:
    id: 5f0c6c1a9d3b7e24
engine:
  description: The engine that answered.
  type: raw
  returned: if the agent names it
"""

from ansible_collections.plugind.engine.plugins.module_utils import _module, _spec


def main() -> None:
    """Declare, call the agent, report."""
    module = _module.EngineModule(supports_check_mode=True, **_spec.for_module("volume"))
    _module.carry_out(module, "volume")


if __name__ == "__main__":
    main()
