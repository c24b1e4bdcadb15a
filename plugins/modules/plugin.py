#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Declare one managed plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plugin
short_description: Declare a managed plugin
version_added: 0.1.0
author:
  - The plugind authors (@plugind)
description:
  - Declares one of Docker's managed plugins on a host - installed, at which version, with which privileges and
    settings, running or not.
  - The agent reads what is there, plans, and does what is missing, in one step - install, upgrade with a way
    back, settings, enable, disable, remove.
extends_documentation_fragment:
  - plugind.engine.agent
  - plugind.engine.credentials
  - plugind.engine.attributes
  - plugind.engine.attributes.declares
options:
  name:
    description:
      - The name of the plugin on the host, its alias. C(x) and C(x:latest) are the same.
      - By default, the repository and the tag of O(source). Required if there is no O(source).
    type: str
  source:
    description:
      - Where the plugin comes from - a reference to a registry, C(repository[:tag][@digest]).
      - If the plugin is installed from somewhere else, it is upgraded. Its id stays, so its volumes do, too.
      - With a digest exactly that plugin is wanted. Without one the plugin is fetched once, and a tag that has
        moved in the registry since is not looked at.
      - Required if the plugin has to be installed.
    type: str
  state:
    description:
      - V(enabled) - installed, set, and running.
      - V(present) - installed and set; running or not is left as it is. A plugin that this task installs is not
        enabled.
      - V(disabled) - installed, set, and not running.
      - V(absent) - not there.
    type: str
    choices: [enabled, present, disabled, absent]
    default: enabled
  grant:
    description:
      - The privileges that the plugin may have. If it asks for more, the task fails and names what is missing,
        before any layer is downloaded. A grant of more than it asks for is fine.
      - By default, no privileges.
      - V(all) grants whatever it asks for.
      - Otherwise a mapping from privileges, in Docker's words, to what is granted - V(network), V(mount),
        V(device) and V(capabilities) to lists; V(host ipc namespace), V(host pid namespace) and
        V(allow-all-devices) to V(true).
    type: raw
  settings:
    description:
      - Settings of the plugin. What is not mentioned stays as it is. A running plugin is restarted if that is
        needed to change them.
      - Values are texts. A number is its text, V(true) and V(false) are the texts C(true) and C(false). Quote
        what YAML would change, such as C("1.10"). A null value leaves the setting alone.
    type: dict
    suboptions:
      env:
        description: Values of the plugin's environment variables.
        type: dict
      args:
        description: The plugin's arguments, a list of texts or one text with blanks between them.
        type: raw
      mounts:
        description: Sources of the plugin's mounts, by the mounts' names.
        type: dict
      devices:
        description: Paths of the plugin's devices, by the devices' names.
        type: dict
  secret_settings:
    description:
      - Names of environment variables whose values are secrets although their names do not say so, and V(args) if
        the arguments are. The agent remembers it. Secrets are shown as C(********).
    type: list
    elements: str
  timeout:
    description:
      - How many seconds the plugin has until it answers on its socket when it is enabled. By default the
        agent's own limit, 30.
    type: float
  force:
    description:
      - Disable or remove the plugin even if volumes of it are in use.
      - An upgrade or other settings need it only on a Docker Engine. The agent replaces an enabled plugin in one step,
        mounts again what is mounted, and goes back to what ran before if the plugin does not start.
    type: bool
    default: false
  verify:
    description:
      - How it is found out that the plugin works. By default, nothing is done about it. Not with O(state)
        V(disabled) or V(absent).
      - V(true) - its socket answers, and a plugin that serves volumes also answers the calls that list them.
      - A mapping may say more. C(activate) - ask as V(true) does, by default V(true). C(volume) - a mapping with
        C(options); a volume is made with them, mounted, a file is written and read back, and all of it is removed.
        C(timeout) - how many seconds it is tried again, by default 30. C(when) - C(changed), by default, if
        this task changes the plugin or one that it requires, or an earlier verification did not pass; C(always)
        in every run.
      - A verification changes nothing. If it fails, the task fails, see O(rollback).
      - C(volume.options) may hold secrets. They reach the driver, and are not shown in results.
    type: raw
  rollback:
    description:
      - Whether everything that this task did is undone if a step or a verification fails.
      - By default V(true) if O(verify) is given, else V(false).
      - The data of a volume that was removed or recreated does not come back. Verifications are made before such steps.
    type: bool
seealso:
  - module: plugind.engine.rollback
  - module: plugind.engine.apply
    description: Many plugins and volumes with one task, which is quicker than a loop.
  - module: plugind.engine.plugin_info
  - module: community.docker.docker_plugin
"""

EXAMPLES = r"""
- name: A volume driver, running
  plugind.engine.plugin:
    name: sshfs
    source: registry.example.com/plugins/sshfs:3
    grant:
      network: [host]
      mount: [/var/lib/docker/plugins/]
      device: [/dev/fuse]
      capabilities: [CAP_SYS_ADMIN]
    settings:
      env:
        DEBUG: "1"

- name: Exactly this version, from a registry that wants a login
  plugind.engine.plugin:
    name: sshfs
    source: registry.example.com/plugins/sshfs:3@sha256:{{ sshfs_sha256 }}
    grant: all
    credentials:
      username: deploy
      password: "{{ registry_password }}"

- name: Another version, or the one that ran before
  plugind.engine.plugin:
    name: sshfs
    source: registry.example.com/plugins/sshfs:4
    grant: all
    verify: true

- name: Stop it, but keep it
  plugind.engine.plugin:
    name: sshfs
    state: disabled

- name: Remove it
  plugind.engine.plugin:
    name: sshfs
    state: absent

- name: The same on a real Docker Engine
  plugind.engine.plugin:
    name: sshfs
    source: registry.example.com/plugins/sshfs:3
    grant: all
    engine: unix:///var/run/docker.sock
"""

RETURN = r"""
plugin:
  description:
    - The plugin after the task, as the Docker Engine API shows it. Empty if there is none.
    - In check mode the plugin as it is.
  type: dict
  returned: success
  sample:
    Id: 8a2f5c0de1b49f6f4a8f2b4f9a7e31c67a1f7f6f7ee9d9a1c6b4b3a2f1e0d9c8
    Name: "sshfs:latest"
    Enabled: true
    PluginReference: "registry.example.com/plugins/sshfs:3"
    Settings:
      Env: ["DEBUG=1"]
steps:
  description: What was done or, in check mode, would be done, in this order.
  type: list
  elements: dict
  returned: success, or failure of a step
  contains:
    resource:
      description: What the step is about.
      type: str
      sample: "plugin sshfs:latest"
    action:
      description: What kind of step it is.
      type: str
      sample: install
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
rolled_back:
  description:
    - Whether something failed and all that had been done is undone. RV(steps) lists what was done for that, too, and
      C(msg) says what the host is like now.
  type: bool
  returned: success, or failure of a step
engine:
  description: The engine that answered.
  type: raw
  returned: if the agent names it
"""

from ansible_collections.plugind.engine.plugins.module_utils import _module, _spec


def main() -> None:
    """Declare, call the agent, report."""
    module = _module.EngineModule(supports_check_mode=True, **_spec.for_module("plugin"))
    _module.carry_out(module, "plugin")


if __name__ == "__main__":
    main()
