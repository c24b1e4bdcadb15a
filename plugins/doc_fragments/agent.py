# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the agent is reached: the options that every module has."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of `_spec.COMMON`."""

    DOCUMENTATION = r"""
options:
  engine:
    description:
      - The engine to work on. By default, the engine of the agent itself.
      - A URL such as V(unix:///var/run/docker.sock) names a real Docker Engine. The agent then works on that
        one, through the Docker SDK for Python, with the same declaration and the same answer. The role
        R(plugind.engine.agent,ansible_collections.plugind.engine.agent_role) installs the SDK if
        O(plugind.engine.agent#role:main:agent_docker=true).
    type: str
  socket:
    description:
      - The socket of the agent, if it is not where the agent's own settings say.
      - Not used together with O(engine).
    type: path
  executable:
    description:
      - The path of C(plugind) on the target.
      - By default it is looked for in the environment variable E(PLUGIND), then as C(/usr/local/bin/plugind), then
        as C(/opt/plugind/bin/plugind).
    type: path
notes:
  - The agent does the work. The role R(plugind.engine.agent,ansible_collections.plugind.engine.agent_role)
    installs it.
  - Only root and members of the group C(plugind) may talk to the agent, so most plays want C(become).
  - If the connection can pass on standard input, the task runs on a fast path. The controller validates the
    options and pipes one JSON document to C(plugind) over the open connection; the module itself is not sent.
    With C(become) this needs the connection's setting C(pipelining) (E(ANSIBLE_PIPELINING)) and a become method
    that leaves standard input alone, which C(su) does not. Otherwise, and with C(async), the module is sent as
    usual. The result is the same. The variable C(plugind_fast_path) set to V(false) switches the fast path off.
  - Settings, volume options and variables whose names say that they hold a secret (C(password), C(token),
    C(secret), C(api_key) and the like) are masked in results, in diffs and in logs.
requirements:
  - plugind on the target
"""
