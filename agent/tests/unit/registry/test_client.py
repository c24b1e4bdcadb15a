# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""How calls are carried out: endpoints, authorization, redirects, and what errors become."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.registry import FakeRegistry, Faults
from plugind import errors
from plugind.model import reference
from plugind.model.credentials import Credentials
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor, Platform
from plugind.model.reference import Reference
from plugind.registry import client
from support import tls

CONFIG = b'{"description": "x"}'
LAYER = bytes(range(256)) * 4096
USER = Credentials(username="u", password="hunter2")
PAIR = ("u", "hunter2")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextlib.asynccontextmanager
async def ask(**options: Any) -> AsyncIterator[client.RegistryClient]:
    made = client.RegistryClient(
        platform=Platform(os="linux", architecture="amd64"), user_agent="plugind/test", **options
    )
    try:
        yield made
    finally:
        await made.close()


def publish(registry: FakeRegistry) -> Reference:
    registry.add_plugin("vieux/sshfs", "v1", CONFIG, [LAYER], compression="none")
    return reference.parse(f"{registry.host}/vieux/sshfs:v1")


async def pull(asker: client.RegistryClient, ref: Reference, user: Credentials | None) -> bytes:
    manifest = await asker.resolve(ref, user)
    assert await asker.fetch_bytes(ref, manifest.config, user) == CONFIG
    async with asker.open_blob(ref, manifest.layers[0], user) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def push(asker: client.RegistryClient, ref: Reference, user: Credentials | None) -> None:
    blob = Descriptor(media_type="x", digest=Digest.of(b"new"), size=3)
    assert await asker.push_blob(ref, blob, lambda: io.BytesIO(b"new"), user, lambda _: None)


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address where nothing listens: bound, so nobody else gets it, and never listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


# --------------------------------------------------------------------------------- authorization


async def test_basic() -> None:
    async with FakeRegistry(basic=PAIR) as registry, ask() as asker:
        assert await pull(asker, publish(registry), USER) == LAYER
        sent = [request.headers.get("Authorization", "")[:5] for request in registry.requests]
        # Asked once, then known.
        assert sent == ["", "Basic", "Basic", "Basic"]


async def test_bearer() -> None:
    async with FakeRegistry(bearer=PAIR) as registry, ask() as asker:
        ref = publish(registry)
        assert await pull(asker, ref, USER) == LAYER
        await push(asker, ref, USER)
        tokens = [request for request in registry.requests if request.path == "/token"]
        assert [token.query["scope"] for token in tokens] == [
            ["repository(plugin):vieux/sshfs:pull", "repository:vieux/sshfs:pull"],
            ["repository(plugin):vieux/sshfs:pull,push", "repository:vieux/sshfs:pull"],
        ]
        assert tokens[0].query["service"] == ["fake, registry"]


async def test_a_token_server_that_knows_no_class() -> None:
    async with FakeRegistry(bearer=PAIR, reject_plugin_class=True) as registry, ask() as asker:
        assert await pull(asker, publish(registry), USER) == LAYER


async def test_pull_for_everybody() -> None:
    async with FakeRegistry(bearer=PAIR, anonymous_pull=True) as registry, ask() as asker:
        ref = publish(registry)
        assert await pull(asker, ref, None) == LAYER
        with pytest.raises(errors.Unauthorized, match="authentication required"):
            await push(asker, ref, None)


async def test_an_identity_token() -> None:
    async with FakeRegistry(bearer=PAIR, identity_token="i") as registry, ask() as asker:
        ref = publish(registry)
        assert await pull(asker, ref, Credentials(identity_token="i")) == LAYER
        with pytest.raises(errors.Unauthorized, match="invalid refresh token"):
            await pull(asker, ref, Credentials(identity_token="another"))


async def test_a_registry_token() -> None:
    async with FakeRegistry(bearer=PAIR, registry_token="r") as registry, ask() as asker:
        assert await pull(asker, publish(registry), Credentials(registry_token="r")) == LAYER
        assert "GET /token" not in registry.paths()


async def test_a_token_that_ran_out_is_replaced() -> None:
    async with FakeRegistry(bearer=PAIR) as registry, ask() as asker:
        ref = publish(registry)
        await pull(asker, ref, USER)
        registry.tokens = {name: [] for name in registry.tokens}
        assert await pull(asker, ref, USER) == LAYER
        assert registry.paths().count("GET /token") == 2


async def test_an_upload_is_repeated_when_its_token_ran_out() -> None:
    async with FakeRegistry(bearer=PAIR) as registry, ask() as asker:
        ref = publish(registry)
        opened = 0

        def open_content() -> io.BytesIO:
            nonlocal opened
            opened += 1
            if opened == 1:
                registry.tokens = {name: [] for name in registry.tokens}
            return io.BytesIO(LAYER[:-1])

        blob = Descriptor(media_type="x", digest=Digest.of(LAYER[:-1]), size=len(LAYER) - 1)
        assert await asker.push_blob(ref, blob, open_content, USER, lambda _: None)
        assert opened == 2


@pytest.mark.parametrize("kind", ["basic", "bearer"])
async def test_a_token_is_lent_to_nobody(kind: Any) -> None:
    async with FakeRegistry(**{kind: PAIR}) as registry, ask() as asker:
        ref = publish(registry)
        await pull(asker, ref, USER)
        for other in (None, Credentials(username="u"), Credentials(username="u", password="x")):
            with pytest.raises(errors.Unauthorized) as caught:
                await asker.resolve(ref, other)
            assert "hunter2" not in str(caught.value)


async def test_tokens_are_kept_for_a_limited_number_of_users() -> None:
    async with FakeRegistry(basic=PAIR) as registry, ask() as asker:
        ref = publish(registry)
        registry.basic = None
        for number in range(300):
            asker._remember((registry.url, "scope", Credentials(username=str(number))), "x")
        assert len(asker._authorizations) == 256
        await pull(asker, ref, None)


async def test_nothing_is_sent_to_a_realm_in_the_clear() -> None:
    async with FakeRegistry(bearer=PAIR) as registry, ask() as asker:
        registry.realm = "http://auth.example/token"
        with pytest.raises(errors.System, match=r"http://auth\.example/token is not https"):
            await asker.resolve(publish(registry), USER)


async def test_a_token_server_that_is_away(closed_port: str) -> None:
    async with FakeRegistry(bearer=PAIR) as registry, ask() as asker:
        registry.realm = f"http://{closed_port}/token"
        with pytest.raises(errors.Unavailable, match=f'token server "{closed_port}": connection'):
            await asker.resolve(publish(registry), USER)
        # The registry answered: its other scheme is not tried.
        assert len(registry.requests) == 1


# ------------------------------------------------------------------------------------- redirects


@pytest.mark.parametrize("kind", ["basic", "bearer"])
async def test_a_storage_server_sees_no_credentials(kind: Any) -> None:
    async with FakeRegistry(**{kind: PAIR}) as registry, ask() as asker:
        registry.faults.redirect_blobs = True
        assert await pull(asker, publish(registry), USER) == LAYER
        stored = [request for request in registry.requests if request.host == registry.storage_host]
        assert len(stored) == 2
        assert all("Authorization" not in request.headers for request in stored)
        assert stored[0].query == {"key": ["secret"]}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, errors.Unauthorized), (403, errors.Forbidden), (503, errors.Unavailable)],
)
async def test_a_storage_server_that_refuses(status: int, kind: type[Exception]) -> None:
    async with FakeRegistry(basic=PAIR) as registry, ask() as asker:
        ref = publish(registry)
        registry.faults = Faults(redirect_blobs=True, storage_status=status)
        with pytest.raises(kind, match="storage is out of order"):
            await pull(asker, ref, USER)


async def test_a_storage_server_that_is_away(closed_port: str) -> None:
    async with FakeRegistry() as registry, ask() as asker:
        registry.faults.redirect_to = f"http://{closed_port}/blob?key=secret"
        with pytest.raises(errors.Unavailable, match=f'storage server "{closed_port}"') as caught:
            await pull(asker, publish(registry), None)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("location", ["http://[::1/x", "http://h:99999/x", "http://h..x/", ""])
async def test_redirects_to_nowhere(location: str) -> None:
    async with FakeRegistry() as registry, ask() as asker:
        registry.faults.redirect_to = location or "mailto:x"
        with pytest.raises((errors.System, errors.Unavailable), match="cannot "):
            await pull(asker, publish(registry), None)


async def test_redirects_without_end() -> None:
    async with FakeRegistry() as registry, ask() as asker:
        blob = registry.add_blob(CONFIG)
        ref = publish(registry)
        registry.faults.redirect_to = f"/v2/vieux/sshfs/blobs/{blob.digest}"
        with pytest.raises(errors.System, match="more than 5 redirects"):
            await asker.fetch_bytes(ref, blob, None)
        assert len(registry.requests) == 6


async def test_a_resumed_download_asks_the_registry_anew() -> None:
    """The storage server's URL may have run out in between."""
    async with FakeRegistry() as registry, ask() as asker:
        registry.faults = Faults(redirect_blobs=True, disconnect_after=[len(CONFIG), 1 << 19])
        assert await pull(asker, publish(registry), None) == LAYER
        assert registry.requests[-2].headers["Range"] == registry.requests[-1].headers["Range"]


# ------------------------------------------------------------------------------------- endpoints


async def test_nothing_listens(closed_port: str) -> None:
    async with ask() as asker:
        ref = reference.parse(f"{closed_port}/vieux/sshfs:v1")
        with pytest.raises(errors.Unavailable) as caught:
            await asker.resolve(ref, None)
    assert str(caught.value) == (
        f'cannot reach registry "{closed_port}": https: connection refused; http: connection refused'
    )


async def test_a_name_that_does_not_exist() -> None:
    async with ask() as asker:
        with pytest.raises(errors.Unavailable, match=r'cannot reach registry "registry\.invalid"'):
            await asker.resolve(reference.parse("registry.invalid/x/y"), None)


async def test_a_port_that_cannot_be() -> None:
    async with ask() as asker:
        with pytest.raises(errors.InvalidParameter, match='invalid registry "localhost:99999"'):
            await asker.resolve(reference.parse("localhost:99999/x/y"), None)


async def test_loopback_by_tls_needs_no_certificate_authority(tmp_path: Path) -> None:
    certificate = tls.make_certificate(tmp_path, "elsewhere.example")
    async with FakeRegistry(tls=certificate.context) as registry, ask() as asker:
        assert await pull(asker, publish(registry), None) == LAYER


@pytest.mark.parametrize(
    ("status", "kind"), [(401, errors.Unauthorized), (500, errors.Unavailable)]
)
async def test_a_refusal_by_tls_is_not_repeated_in_the_clear(
    tmp_path: Path, status: int, kind: type[Exception]
) -> None:
    certificate = tls.make_certificate(tmp_path, "127.0.0.1")
    async with FakeRegistry(tls=certificate.context, basic=PAIR) as registry, ask() as asker:
        ref = publish(registry)
        if status == 500:
            registry.faults.status = 500
        with pytest.raises(kind, match=r"says: |wants a username"):
            await asker.resolve(ref, None)
        assert len(registry.requests) == 1


async def test_the_endpoint_that_answered_is_remembered() -> None:
    async with FakeRegistry() as registry, ask() as asker:
        ref = publish(registry)
        await pull(asker, ref, None)
        assert asker._answering == {registry.host: registry.url}


async def test_a_mirror_serves_first_and_without_credentials() -> None:
    async with FakeRegistry(basic=PAIR) as registry, FakeRegistry() as mirror:
        ref = publish(registry)
        publish(mirror)
        async with ask(mirrors={registry.host: (mirror.url,)}) as asker:
            assert await pull(asker, ref, USER) == LAYER
            assert registry.requests == []
            assert all("Authorization" not in request.headers for request in mirror.requests)
            await push(asker, ref, USER)
        assert all(request.method == "GET" for request in mirror.requests)


@pytest.mark.parametrize("fault", ["empty", "basic", "status", "away"])
async def test_what_a_mirror_lacks_the_registry_has(fault: str, closed_port: str) -> None:
    pair = PAIR if fault == "basic" else None
    async with FakeRegistry() as registry, FakeRegistry(basic=pair) as mirror:
        ref = publish(registry)
        mirror.faults.status = 500 if fault == "status" else None
        url = f"http://{closed_port}" if fault == "away" else mirror.url
        async with ask(mirrors={registry.host: (url,)}) as asker:
            assert await pull(asker, ref, USER) == LAYER


async def test_a_certificate_authority_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tls.make_certificate(tmp_path, "registry.example")
    async with FakeRegistry(tls=certificate.context, basic=PAIR) as registry:
        publish(registry)
        ref = reference.parse("registry.example/vieux/sshfs:v1")
        async with tls.proxy(registry.host) as proxy:
            monkeypatch.setenv("https_proxy", proxy.url)
            async with ask(ca_file=str(certificate.ca_file)) as asker:
                assert await pull(asker, ref, USER) == LAYER
            assert proxy.lines[0].startswith("CONNECT registry.example:443 ")
            async with ask() as asker:
                with pytest.raises(errors.Unavailable, match="certificate verify failed"):
                    await asker.resolve(ref, USER)


async def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        async with ask(ca_file=str(tmp_path / name)) as asker:
            with pytest.raises(errors.System, match=f'cannot read CA file ".*{name}"'):
                await asker.resolve(reference.parse("registry.example/x/y"), None)


async def test_an_insecure_host_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeRegistry() as registry:
        publish(registry)
        ref = reference.parse("registry.example/vieux/sshfs:v1")
        async with tls.proxy(registry.host, refuse=["CONNECT"]) as proxy:
            monkeypatch.setenv("https_proxy", proxy.url)
            monkeypatch.setenv("http_proxy", proxy.url)
            async with ask(insecure=frozenset({"registry.example"})) as asker:
                assert await pull(asker, ref, None) == LAYER
            assert len([line for line in proxy.lines if line.startswith("CONNECT")]) == 1
            async with ask() as asker:
                with pytest.raises(errors.Unavailable, match="https: 403, message='Forbidden'"):
                    await asker.resolve(ref, None)


# ---------------------------------------------------------------------------------------- faults


async def test_something_else_listens() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, ask() as asker:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(errors.Unavailable, match=f"127.0.0.1:{port}"):
            await asker.resolve(reference.parse(f"127.0.0.1:{port}/x/y"), None)


async def test_a_slow_blob_can_be_given_up() -> None:
    async with FakeRegistry() as registry, ask() as asker:
        registry.faults.hold_blobs = asyncio.Event()
        ref = publish(registry)
        manifest = await asker.resolve(ref, None)
        reading = asyncio.create_task(asker.fetch_bytes(ref, manifest.config, None))
        await registry.held.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_closing_twice_and_asking_again() -> None:
    async with FakeRegistry() as registry, ask() as asker:
        ref = publish(registry)
        await pull(asker, ref, None)
        await asker.close()
        await asker.close()
        assert await pull(asker, ref, None) == LAYER
