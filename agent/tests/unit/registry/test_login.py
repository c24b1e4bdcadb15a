# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from fakes.registry import FakeRegistry
from plugind.model.credentials import Credentials
from plugind.model.manifest import Platform
from plugind.registry import client

PAIR = ("u", "hunter2")
USER = Credentials(username=PAIR[0], password=PAIR[1])


async def test_a_login_keeps_nothing_and_asks_no_mirror() -> None:
    async with FakeRegistry() as mirror, FakeRegistry(bearer=PAIR) as registry:
        asker = client.RegistryClient(
            platform=Platform(os="linux", architecture="amd64"),
            user_agent="plugind/test",
            mirrors={registry.host: (mirror.host,)},
        )
        try:
            for _ in range(2):
                await asker.log_in(registry.host, USER)
            assert asker._authorizations == {}
        finally:
            await asker.close()
        assert mirror.requests == []
        paths = [request.path for request in registry.requests]
        assert paths == ["/v2/", "/token", "/v2/"] * 2
