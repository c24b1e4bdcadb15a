# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One request, as a handler sees it: the engine, its stories, the parsed query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from plugind.api import wire
from plugind.api.access import Peer
from plugind.api.ports import Stories
from plugind.model import privileges, reference
from plugind.model.credentials import Credentials
from plugind.model.reference import Reference
from plugind.registry import credentials

if TYPE_CHECKING:
    from plugind.engine.context import Engine

#: Where `Call.headers` waits for the response, of whatever kind it will be.
HEADERS: web.RequestKey[dict[str, str]] = web.RequestKey("headers", dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What this server says of itself, read once."""

    version: str
    kernel: str
    machine: str
    hostname: str
    operating_system: str
    cpus: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that was let in. `name` is the `{name}` of its path, decoded."""

    request: web.Request
    engine: Engine
    stories: Stories
    server: Server
    name: str = ""
    api_version: tuple[int, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    peer: Peer | None = None

    @property
    def doing(self) -> str:
        """What errors in the log call this request; queries may carry more than the log should."""
        return f"{self.request.method} {self.request.path}"

    @property
    def credentials(self) -> Credentials | None:
        """The registry credentials that the client sent along."""
        return credentials.parse_header(self.request.headers.get(credentials.HEADER))

    def flag(self, name: str) -> bool:
        """Return a boolean query parameter."""
        return wire.parse_bool(self.query.get(name, ""))

    def remote(self) -> Reference:
        """Return the `remote` parameter as a reference that names one manifest."""
        return reference.parse(self.query.get("remote", "")).with_default_tag()

    def set_header(self, name: str, value: str) -> None:
        """Add a header to the response, be it a result, a stream or an error."""
        self.request.setdefault(HEADERS, {})[name] = value

    async def json(self) -> Any:
        """Return the decoded body, None if it is empty."""
        return await wire.read_json(self.request)

    async def object(self) -> dict[str, Any]:
        """Return the body as an object, keys in lower case."""
        return wire.require_object(await self.json())

    async def privileges(self) -> privileges.Privileges:
        """Return the body as the privileges that the client grants."""
        return privileges.parse_privileges(await self.json())
