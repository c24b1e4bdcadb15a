# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Registry credentials."""

from __future__ import annotations


class ModuleDocFragment:
    """Option `credentials`."""

    DOCUMENTATION = r"""
options:
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
        description: The registry that these are for. By default, the registry of what is pulled or pushed.
        type: str
"""
