#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Declare the plugins and volumes of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apply
short_description: Declare the managed plugins and volumes of a host
version_added: 0.1.0
author:
  - The plugind authors (@plugind)
description:
  - Declares any number of plugins and volumes in one task. The agent reads the host once, plans once, and
    carries the plan out in the order that the parts need - plugins before their volumes, and the other way
    round when they are removed.
  - What is not declared is left alone, unless O(prune) says otherwise.
  - If a step fails, what depends on it is skipped and the rest is done. The task fails then, and RV(steps) says
    what happened.
extends_documentation_fragment:
  - plugind.engine.agent
  - plugind.engine.attributes
  - plugind.engine.attributes.declares
options:
  plugins:
    description:
      - Managed plugins, each with the options of M(plugind.engine.plugin).
      - At least one of O(plugins), O(volumes) and O(mounts) is required; it may be empty.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The name of the plugin on the host, its alias. C(x) and C(x:latest) are the same.
          - By default, the repository and the tag of O(plugins[].source). Required if there is no
            O(plugins[].source).
        type: str
      source:
        description:
          - Where the plugin comes from - a reference to a registry, C(repository[:tag][@digest]).
          - If the plugin is installed from somewhere else, it is upgraded. Its id stays, so its volumes do, too.
          - With a digest exactly that plugin is wanted. Without one the plugin is fetched once, and a tag that
            has moved in the registry since is not looked at.
          - Required if the plugin has to be installed.
        type: str
      state:
        description:
          - V(enabled) - installed, set, and running.
          - V(present) - installed and set; running or not is left as it is. A plugin that this task installs is
            not enabled.
          - V(disabled) - installed, set, and not running.
          - V(absent) - not there.
        type: str
        choices: [enabled, present, disabled, absent]
        default: enabled
      grant:
        description:
          - The privileges that the plugin may have. If it asks for more, the task fails and names what is
            missing, before any layer is downloaded. A grant of more than it asks for is fine.
          - By default, no privileges.
          - V(all) grants whatever it asks for.
          - Otherwise a mapping from privileges, in Docker's words, to what is granted - V(network), V(mount),
            V(device) and V(capabilities) to lists; V(host ipc namespace), V(host pid namespace) and
            V(allow-all-devices) to V(true).
        type: raw
      settings:
        description:
          - Settings of the plugin. What is not mentioned stays as it is. A running plugin is restarted if that
            is needed to change them.
          - Values are texts. A number is its text, V(true) and V(false) are the texts C(true) and C(false).
            Quote what YAML would change, such as C("1.10"). A null value leaves the setting alone.
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
      credentials:
        description:
          - What to log in to the registry with. By default, nothing.
          - They travel to the agent on its standard input and are used for this one task; nothing is stored.
        type: dict
        suboptions:
          username:
            description: The user's name.
            type: str
          password:
            description: The user's password, or an access token that takes its place.
            type: str
          identity_token:
            description: An identity token (OAuth2 refresh token) instead of a password.
            type: str
          registry_token:
            description: A bearer token that is sent to the registry as it is.
            type: str
          server_address:
            description: The registry that these are for. By default, the registry of the plugin's source.
            type: str
      timeout:
        description:
          - How many seconds the plugin has until it answers on its socket when it is enabled. By default the
            agent's own limit, 30.
        type: float
      force:
        description:
          - Disable or remove the plugin even if volumes of it are in use.
          - An upgrade or other settings need it only on a Docker Engine, see M(plugind.engine.plugin).
        type: bool
        default: false
      requires:
        description:
          - Names of plugins, declared here too, without which this one does not work. It comes after them, and is
            left alone if a step of them fails.
        type: list
        elements: str
      verify:
        description:
          - How it is found out that the plugin works. By default, nothing is done about it. Not with O(plugins[].state)
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
  volumes:
    description:
      - Volumes, each with the options of M(plugind.engine.volume).
    type: list
    elements: dict
    suboptions:
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
            O(volumes[].secret_options) - reach the driver only. The agent keeps a keyed digest to see whether they
            differ, and shows C(********). A Docker Engine stores and shows them in clear; results and diffs mask
            them all the same.
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
          - What to do with a volume that has another driver, other options or other labels than declared. What
            is not declared is not compared.
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
  mounts:
    description:
      - Volumes mounted at paths of the host, each with the options of M(plugind.engine.volume_mount).
    type: list
    elements: dict
    suboptions:
      path:
        description:
          - Where the volume is mounted. An absolute path without symbolic links, C(.) and C(..). Nothing in it is
            expanded.
          - Neither a mount point of something else, nor in a directory of the agent's own.
        type: str
        required: true
      volume:
        description:
          - The name of the volume. It has to exist, see M(plugind.engine.volume).
          - Required if O(mounts[].state=mounted).
          - If another volume is mounted there by the agent, it is unmounted first.
        type: str
      state:
        description: Whether the volume is mounted there.
        type: str
        choices: [mounted, absent]
        default: mounted
      read_only:
        description: Whether nothing can be written there.
        type: bool
        default: false
      propagation:
        description: How later mounts below are passed on, in the words of C(mount(8\)).
        type: str
        choices: [rprivate, private, rslave, slave, rshared, shared]
        default: rprivate
      mode:
        description:
          - The mode of the directory, if it has to be made - octal digits with a leading zero, in quotes. By default
            C("0755").
          - A directory that the agent made is removed again with the mount, if it is empty then.
        type: str
      owner:
        description: The owner of the directory, if it has to be made, as a name or a number. By default, root.
        type: str
      group:
        description: The group of the directory, if it has to be made, as a name or a number. By default, root.
        type: str
      allow_nonempty:
        description:
          - Mount although there is something in the directory. It cannot be seen as long as the volume is mounted.
        type: bool
        default: false
      force:
        description:
          - Unmount although somebody uses the mount; they keep what they have open. Drop the mount, too, if its driver
            cannot unmount it.
        type: bool
        default: false
  prune:
    description:
      - Kinds of which everything is removed that is not declared. By default, nothing is.
      - V(volumes) - only those whose driver is a managed plugin, B(with their data).
      - Nothing is forced. What is in use makes the task fail before it changes anything.
    type: list
    elements: str
    choices: [plugins, volumes, mounts]
  rollback:
    description:
      - Whether everything that this task did is undone if a step or a verification fails.
      - By default V(true) if O(plugins[].verify) is given, else V(false).
      - The data of a volume that was removed or recreated does not come back. Verifications are made before such steps.
    type: bool
seealso:
  - module: plugind.engine.plugin
  - module: plugind.engine.volume
  - module: plugind.engine.rollback
"""

EXAMPLES = r"""
- name: A driver and its volumes
  plugind.engine.apply:
    plugins:
      - name: sshfs
        source: registry.example.com/plugins/sshfs:3
        grant:
          network: [host]
          device: [/dev/fuse]
          capabilities: [CAP_SYS_ADMIN]
      - name: old-driver
        state: absent
    volumes:
      - name: backups
        driver: sshfs
        options:
          sshcmd: backup@storage.example.com:/backups
          password: "{{ backup_password }}"
      - name: scratch
  register: applied

- name: Exactly this and nothing else, or what was before
  plugind.engine.apply:
    plugins:
      - name: keys
        source: registry.example.com/plugins/keys:2
      - name: sshfs
        source: registry.example.com/plugins/sshfs:4
        grant: all
        requires: [keys]
        verify:
          volume:
            options:
              sshcmd: backup@storage.example.com:/probe
              password: "{{ backup_password }}"
    prune: [plugins]

- name: Show what was done
  ansible.builtin.debug:
    msg: "{{ applied.steps | map(attribute='description') }}"
"""

RETURN = r"""
plugins:
  description: The declared plugins after the task, as the Docker Engine API shows them. In check mode as they are.
  type: list
  elements: dict
  returned: success, or failure of a step
volumes:
  description: The declared volumes after the task, as the Docker Engine API shows them. In check mode as they are.
  type: list
  elements: dict
  returned: success, or failure of a step
mounts:
  description:
    - The declared mounts that there are after the task, as RV(plugind.engine.volume_mount#module:mount). In check
      mode as they are.
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
    module = _module.EngineModule(supports_check_mode=True, **_spec.for_module("apply"))
    _module.carry_out(module, "apply")


if __name__ == "__main__":
    main()
