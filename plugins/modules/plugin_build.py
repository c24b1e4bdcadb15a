#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build a managed plugin on the target."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plugin_build
short_description: Build a managed plugin from a directory, and push it
version_added: 0.1.0
author:
  - The plugind authors (@plugind)
description:
  - Makes a managed plugin from a directory on the target that holds C(config.json) and C(rootfs/), as C(docker
    plugin create) does.
  - Can push it to a registry.
extends_documentation_fragment:
  - plugind.engine.agent
  - plugind.engine.credentials
  - plugind.engine.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A plugin that already is what the directory would make is neither built nor pushed again.
options:
  name:
    description: The name of the plugin, C(repository[:tag]). To be pushed, it has to name the registry.
    type: str
    required: true
  path:
    description: The directory on the target, with C(config.json) and C(rootfs/) in it.
    type: path
    required: true
  push:
    description: Push the plugin to the registry in its name.
    type: bool
    default: false
  force:
    description: Replace a plugin of this name that is made of something else. It must not be enabled.
    type: bool
    default: false
seealso:
  - module: plugind.engine.plugin
"""

EXAMPLES = r"""
- name: Build a plugin and publish it
  plugind.engine.plugin_build:
    name: registry.example.com/plugins/localdir:1
    path: /srv/build/localdir
    push: true
    credentials:
      username: publisher
      password: "{{ registry_password }}"
  register: built

- name: Install exactly this one on all hosts
  plugind.engine.plugin:
    name: localdir
    source: registry.example.com/plugins/localdir:1@{{ built.pushed_digest }}
  delegate_to: "{{ item }}"
  loop: "{{ groups['storage'] }}"
"""

RETURN = r"""
plugin:
  description: The plugin that was built, as the Docker Engine API shows it. In check mode what was there
    before, or empty.
  type: dict
  returned: success
digest:
  description: The digest of what the plugin was made from, by which a change is noticed.
  type: str
  returned: success
  sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
pushed:
  description: Whether it was pushed by this task.
  type: bool
  returned: success
pushed_digest:
  description: The digest of the plugin's manifest in the registry, to pin a plugin by. Empty if it was never
    pushed from here.
  type: str
  returned: success
  sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
engine:
  description: The engine that answered.
  type: raw
  returned: if the agent names it
"""

from ansible_collections.plugind.engine.plugins.module_utils import _module, _spec


def main() -> None:
    """Build, report."""
    module = _module.EngineModule(supports_check_mode=True, **_spec.for_module("plugin_build"))
    _module.carry_out(module, "plugin_build")


if __name__ == "__main__":
    main()
