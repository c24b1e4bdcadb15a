# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Registry credentials. Their values never appear in a repr, a log line or an error."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a client sends in X-Registry-Auth (Docker's AuthConfig)."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    server_address: str = ""

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)
