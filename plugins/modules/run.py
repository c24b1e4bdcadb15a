#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a one-off container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run
short_description: Run a command in a one-off container, with volumes
version_added: 0.1.0
author:
  - The plugind authors (@plugind)
description:
  - Runs a container to its end, as C(docker run --rm) does, and returns what its command wrote and how it ended.
    Volumes of managed plugins are mounted in it. So a play can fill a volume, check it, or migrate what is in it.
  - The container is removed in every case - when the command ends, after O(timeout), and if the task is
    interrupted.
  - There is no terminal.
extends_documentation_fragment:
  - plugind.engine.agent
  - plugind.engine.credentials
  - plugind.engine.attributes
attributes:
  check_mode:
    support: partial
    details:
      - The command is not run. The task is skipped, or predicts a change if O(creates) or O(removes) say that the
        command would run.
      - A task that would fail because the engine does not answer, or because O(pull=never) and the image is
        missing, fails in check mode, too.
  diff_mode:
    support: none
    details:
      - What a command changes is not known.
  idempotent:
    support: partial
    details:
      - The command runs every time, unless O(creates) or O(removes) say that there is no need to.
options:
  image:
    description:
      - The image, C(repository[:tag][@digest]), or the id of one that is there.
    type: str
    required: true
  pull:
    description:
      - V(missing) - pull the image if the engine does not have it.
      - V(always) - pull it each time.
      - V(never) - fail if the engine does not have it.
    type: str
    choices: [missing, always, never]
    default: missing
  command:
    description:
      - What to run, a list of words, or one text that is split as a shell splits it. There is no shell that would
        expand anything in it.
      - By default, the image's own.
      - Everyone on the host can see a command. Pass secrets in O(env) or O(stdin).
    type: raw
  entrypoint:
    description:
      - What to run instead of the image's entrypoint, a list of words or one text. An empty one means none.
    type: raw
  env:
    description:
      - Environment variables. Values are texts; a number is its text, V(true) and V(false) are the texts C(true)
        and C(false). A null value leaves the variable out.
    type: dict
  working_dir:
    description: The directory to run in. By default, the image's own.
    type: str
  user:
    description: The user to run as, C(user[:group]), by name or number. By default, the image's own.
    type: str
  network:
    description:
      - The container's network, V(none) or V(host), or what else the engine knows.
      - By default, the engine's default. The agent's is V(none), with a warning that there is no bridge.
    type: str
  volumes:
    description:
      - What is mounted in the container. An element is either C(source:target[:options]), as C(docker run
        --volume) takes it, or a mapping.
      - The source is the name of a volume, or a path on the host. The target is a path in the container.
        C(options) are C(ro) and what else the engine knows.
      - A mapping has C(source), C(target), C(read_only) (by default V(false)), and C(driver), which is the driver
        that creates the volume if there is none of this name.
      - A volume that does not exist is created. With M(plugind.engine.volume) it can have options, too.
    type: list
    elements: raw
  volume_driver:
    description: The driver for the volumes in O(volumes) that do not exist and name no driver of their own.
    type: str
  name:
    description:
      - The container's name. The task fails if there is a container of this name.
      - By default the engine finds one.
    type: str
  labels:
    description: The container's labels.
    type: dict
  read_only:
    description: Do not let the command write in the container, other than to O(volumes).
    type: bool
    default: false
  stdin:
    description: What the command reads on its standard input. By default, that is closed.
    type: str
  stdin_add_newline:
    description: Add a newline to O(stdin).
    type: bool
    default: true
  strip_empty_ends:
    description: Strip empty lines from the ends of RV(stdout) and RV(stderr).
    type: bool
    default: true
  timeout:
    description:
      - How many seconds the command may take. After that it is killed, and the task fails. A pull does not count.
      - By default, as long as it likes.
    type: float
  creates:
    description:
      - An absolute path on the target, or a pattern for paths. If there is one, the command is not run.
    type: path
  removes:
    description:
      - An absolute path on the target, or a pattern for paths. If there is none, the command is not run.
    type: path
notes:
  - A return code other than 0 is a failure; C(failed_when) can say otherwise. A command that was run is a change;
    C(changed_when) can say otherwise.
  - The command may write 16 MiB on each of its two streams. If it writes more, it is killed, and the task fails.
    Write to a volume instead.
  - Output that is no UTF-8 comes with replacement characters (U+FFFD) in place of what cannot be decoded.
seealso:
  - module: plugind.engine.volume
  - module: plugind.engine.volume_mount
    description: A volume at a path of the host, without a container.
  - module: ansible.builtin.command
  - module: community.docker.docker_container
"""

EXAMPLES = r"""
- name: Fill a volume
  plugind.engine.run:
    image: registry.example.com/tools/restore:2
    command: [restore, --into, /data]
    volumes:
      - data:/data
    env:
      RESTORE_TOKEN: "{{ restore_token }}"
    timeout: 600

- name: Look whether it is sound, without touching it
  plugind.engine.run:
    image: registry.example.com/tools/restore:2
    command: verify /data
    volumes:
      - source: data
        target: /data
        read_only: true
    network: none
  changed_when: false
  register: verified

- name: Once only
  plugind.engine.run:
    image: registry.example.com/app:7
    command: migrate
    volumes:
      - /srv/app:/srv/app
    creates: /srv/app/migrated

- name: Pass a secret on standard input
  plugind.engine.run:
    image: registry.example.com/app:7
    command: import-key -
    stdin: "{{ private_key }}"
  no_log: true

- name: On a real Docker Engine
  plugind.engine.run:
    image: registry.example.com/app:7
    engine: unix:///var/run/docker.sock
"""

RETURN = r"""
rc:
  description: The command's return code, 137 if it was killed. 0 if the command was not run.
  type: int
  returned: if the command was run, or did not need to be
  sample: 0
stdout:
  description: What it wrote on its standard output.
  type: str
  returned: if the command was run, or did not need to be
stdout_lines:
  description: RV(stdout) in lines.
  type: list
  elements: str
  returned: if the command was run, or did not need to be
stderr:
  description: What it wrote on its standard error.
  type: str
  returned: if the command was run, or did not need to be
stderr_lines:
  description: RV(stderr) in lines.
  type: list
  elements: str
  returned: if the command was run, or did not need to be
msg:
  description: Why the command failed, was not run, or was killed.
  type: str
  returned: if there is something to say
image:
  description: The image as it was given.
  type: str
  returned: if the engine answered
image_id:
  description: The id of the image that was run. Empty if none was.
  type: str
  returned: if the engine answered
  sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
container:
  description: The id of the container, which is not there any more. Empty if there was none.
  type: str
  returned: if the engine answered
engine:
  description: The engine that answered.
  type: raw
  returned: if the agent names it
"""

from ansible_collections.plugind.engine.plugins.module_utils import _module, _spec


def main() -> None:
    """Run, report."""
    module = _module.EngineModule(supports_check_mode=True, **_spec.for_module("run"))
    _module.carry_out(module, "run")


if __name__ == "__main__":
    main()
