# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Registry credentials. Their values never appear in a repr, a log line or an error."""

from __future__ import annotations

from dataclasses import dataclass, field

from plugind.model import reference

#: Docker's own registry, as clients have called it over the years.
_DOCKER = ("", "docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a client sends in X-Registry-Auth (Docker's AuthConfig)."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    server_address: str = ""

    @property
    def domain(self) -> str:
        """The registry that they are for, as references spell it: `server_address` may be a URL."""
        host = self.server_address.partition("://")[2] or self.server_address
        host = host.partition("/")[0]
        return reference.DEFAULT_DOMAIN if host in _DOCKER else host

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)
