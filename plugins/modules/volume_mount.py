#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mount a volume at a path of the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_mount
short_description: Mount a volume at a path of the host
version_added: 0.1.0
author:
  - The plugind authors (@plugind)
description:
  - Mounts a volume of a managed plugin, or of the driver V(local), at a path of the host, for services that know
    nothing of containers.
  - The agent keeps the mount across its own restarts and reboots of the host, and makes it anew after a crash of the
    plugin. What was unmounted by hand is mounted again by the next run.
  - A real Docker Engine has no call for this, so together with O(engine) a mount is refused.
extends_documentation_fragment:
  - plugind.engine.agent
  - plugind.engine.attributes
  - plugind.engine.attributes.declares
options:
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
      - Required if O(state=mounted).
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
    description: How later mounts below are passed on, in the words of C(mount).
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
    description: Mount although there is something in the directory. It cannot be seen as long as the volume is mounted.
    type: bool
    default: false
  force:
    description:
      - Unmount although somebody uses the mount; they keep what they have open. Drop the mount, too, if its driver
        cannot unmount it.
    type: bool
    default: false
seealso:
  - module: plugind.engine.apply
    description: Plugins, volumes and mounts with one task.
  - module: plugind.engine.volume
  - module: ansible.posix.mount
"""

EXAMPLES = r"""
- name: The volume, where the backup service looks for it
  plugind.engine.volume_mount:
    path: /srv/backups
    volume: backups
    mode: "0750"
    group: backup

- name: To be read only
  plugind.engine.volume_mount:
    path: /srv/archive
    volume: archive
    read_only: true

- name: Not mounted any more, whoever uses it
  plugind.engine.volume_mount:
    path: /srv/backups
    state: absent
    force: true
"""

RETURN = r"""
mount:
  description:
    - The mount after the task. Empty if there is none.
    - In check mode the mount as it is.
  type: dict
  returned: success
  contains:
    Path:
      description: Where it is.
      type: str
      sample: /srv/backups
    Volume:
      description: The volume's name.
      type: str
      sample: backups
    ReadOnly:
      description: Whether nothing can be written there.
      type: bool
    Propagation:
      description: How later mounts below are passed on.
      type: str
      sample: rprivate
    State:
      description:
        - V(mounted), or what is wrong - V(unmounted) by hand, not yet mounted after a reboot, or its plugin is gone,
          V(stale) if its driver's mount is dead or gone, V(covered) if something else is mounted there.
      type: str
      sample: mounted
    Error:
      description: Why it is not mounted. Empty if it is.
      type: str
steps:
  description: What was done or, in check mode, would be done, in this order.
  type: list
  elements: dict
  returned: success, or failure of a step
  contains:
    resource:
      description: What the step is about.
      type: str
      sample: "mount//srv/backups"
    action:
      description: What kind of step it is.
      type: str
      sample: mount-create
    status:
      description: V(done), V(failed), V(skipped) because an earlier step failed, or V(planned) in check mode.
      type: str
      sample: done
    description:
      description: The step in words.
      type: str
      sample: mount volume backups at /srv/backups
    reason:
      description: Why the step failed or was skipped.
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
    module = _module.EngineModule(supports_check_mode=True, **_spec.for_module("volume_mount"))
    _module.carry_out(module, "volume_mount")


if __name__ == "__main__":
    main()
