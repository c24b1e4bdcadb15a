# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The Registry port against a registry: the fake one, and Debian's docker-registry.

What the fake claims to do is what the real one does; everything else is tested on the fake alone
(`unit/registry/test_client.py`), because a real registry does not break on demand.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes.registry import FakeRegistry
from plugind import errors
from plugind.engine import ports
from plugind.model import manifest as manifest_
from plugind.model import reference
from plugind.model.credentials import Credentials
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor, Manifest, Platform
from plugind.registry import client
from support import docker_registry, image

CONFIG = b'{"description": "a plugin"}'
LAYER = bytes(range(256)) * 4096  # larger than one chunk
TESTER = Credentials(username=docker_registry.USERNAME, password=docker_registry.PASSWORD)


@dataclasses.dataclass(frozen=True)
class Room:
    """A registry, and a client for it."""

    host: str
    client: ports.Registry
    credentials: Credentials | None

    def ref(self, text: str) -> reference.Reference:
        return reference.parse(f"{self.host}/{text}")

    async def push(self, ref: reference.Reference) -> Manifest:
        manifest = manifest_.build(
            descriptor(CONFIG, manifest_.PLUGIN_CONFIG),
            (descriptor(LAYER, manifest_.DOCKER_LAYER),),
        )
        for content, blob in ((CONFIG, manifest.config), (LAYER, manifest.layers[0])):
            await self.push_blob(ref, blob, content)
        assert await self.client.push_manifest(ref, manifest, self.credentials) == manifest.digest
        return manifest

    async def push_blob(
        self, ref: reference.Reference, blob: Descriptor, content: bytes
    ) -> tuple[bool, list[int]]:
        seen: list[int] = []
        sent = await self.client.push_blob(
            ref, blob, lambda: io.BytesIO(content), self.credentials, seen.append
        )
        return sent, seen


def descriptor(content: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(content), size=len(content))


REAL = pytest.mark.root


@pytest.fixture(
    params=[
        "fake",
        "fake-basic",
        "fake-bearer",
        pytest.param("real", marks=REAL),
        pytest.param("real-basic", marks=REAL),
    ]
)
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Room]:
    kind, _, auth = request.param.partition("-")
    registry = client.RegistryClient(
        platform=Platform(os="linux", architecture="amd64"), user_agent="plugind/test"
    )
    credentials = TESTER if auth else None
    pair = (TESTER.username, TESTER.password)
    try:
        if kind == "fake":
            async with FakeRegistry(**({auth: pair} if auth else {})) as fake:
                yield Room(fake.host, registry, credentials)
                await registry.close()
        else:
            with docker_registry.run(tmp_path, credentials=bool(auth)) as real:
                yield Room(real.host, registry, credentials)
    finally:
        await registry.close()


async def test_what_is_pushed_is_pulled(room: Room) -> None:
    ref = room.ref("vieux/sshfs:v1")
    pushed = await room.push(ref)
    found = await room.client.resolve(ref, room.credentials)
    assert found == pushed
    assert await room.client.fetch_bytes(ref, found.config, room.credentials) == CONFIG
    async with room.client.open_blob(ref, found.layers[0], room.credentials) as chunks:
        received = [chunk async for chunk in chunks]
    assert b"".join(received) == LAYER
    assert max(map(len, received)) <= 256 << 10


async def test_resolve_by_digest(room: Room) -> None:
    ref = room.ref("vieux/sshfs:v1")
    pushed = await room.push(ref)
    by_digest = dataclasses.replace(ref, tag=None, digest=pushed.digest)
    assert await room.client.resolve(by_digest, room.credentials) == pushed


async def test_a_reference_without_tag_is_latest(room: Room) -> None:
    pushed = await room.push(room.ref("sshfs:latest"))
    assert await room.client.resolve(room.ref("sshfs"), room.credentials) == pushed


@pytest.mark.parametrize("text", ["no/such:v1", f"no/such@sha256:{'0' * 64}", "no/such"])
async def test_no_such_reference_is_said_in_dockers_words(room: Room, text: str) -> None:
    ref = room.ref(text)
    with pytest.raises(errors.NotFound) as caught:
        await room.client.resolve(ref, room.credentials)
    full = str(ref.with_default_tag())
    assert str(caught.value) == f"error resolving plugin reference: {full}: not found"


async def test_no_such_tag(room: Room) -> None:
    await room.push(room.ref("vieux/sshfs:v1"))
    with pytest.raises(errors.NotFound, match="sshfs:v2: not found"):
        await room.client.resolve(room.ref("vieux/sshfs:v2"), room.credentials)


async def test_a_blob_is_sent_once(room: Room) -> None:
    ref, blob = room.ref("vieux/sshfs:v1"), descriptor(LAYER, "application/octet-stream")
    sent, seen = await room.push_blob(ref, blob, LAYER)
    assert sent
    assert seen[-1] == len(LAYER)
    assert seen == sorted(seen)
    assert await room.push_blob(ref, blob, LAYER) == (False, [])


async def test_an_empty_blob(room: Room) -> None:
    ref, blob = room.ref("vieux/sshfs:v1"), descriptor(b"", "application/octet-stream")
    assert await room.push_blob(ref, blob, b"") == (True, [])
    assert await room.client.fetch_bytes(ref, blob, room.credentials) == b""


async def test_content_that_is_not_its_digest_is_refused(room: Room) -> None:
    ref, blob = room.ref("vieux/sshfs:v1"), descriptor(LAYER, "application/octet-stream")
    with pytest.raises(errors.System, match=f"cannot push blob {blob.digest}.*did not match"):
        await room.push_blob(ref, blob, bytes(len(LAYER)))


async def test_a_manifest_without_its_blobs_is_refused(room: Room) -> None:
    manifest = manifest_.build(descriptor(b"{}", manifest_.PLUGIN_CONFIG), ())
    with pytest.raises(errors.System, match=r"cannot push manifest of .*blob unknown"):
        await room.client.push_manifest(room.ref("x/y:z"), manifest, room.credentials)


async def test_no_such_blob(room: Room) -> None:
    ref = room.ref("vieux/sshfs:v1")
    await room.push(ref)
    missing = descriptor(b"missing", "application/octet-stream")
    with pytest.raises(errors.System, match=f"cannot fetch blob {missing.digest}.*blob unknown"):
        await room.client.fetch_bytes(ref, missing, room.credentials)


async def test_wrong_credentials(room: Room) -> None:
    if room.credentials is None:
        return  # this registry lets everybody in
    ref = room.ref("vieux/sshfs:v1")
    for credentials in (None, dataclasses.replace(TESTER, password="wrong")):
        with pytest.raises(errors.Unauthorized) as caught:
            await room.client.resolve(ref, credentials)
        assert room.host in str(caught.value)
        assert "wrong" not in str(caught.value)


async def test_the_rest_of_a_blob_can_be_asked_for(room: Room) -> None:
    """What resuming relies on. The fake's answer is the real one's."""
    ref = room.ref("vieux/sshfs:v1")
    await room.push(ref)
    # Through the client's own door: the port has no such operation.
    from plugind.registry.operations import Call

    registry = room.client
    assert isinstance(registry, client.RegistryClient)
    call = Call(
        what="test",
        ref=ref,
        credentials=room.credentials,
        path=f"blobs/{Digest.of(LAYER)}",
        headers={"Range": "bytes=1000-"},
        expect=(206,),
    )
    async with registry._request(call) as answer:
        size = len(LAYER)
        assert answer.headers["Content-Range"] == f"bytes 1000-{size - 1}/{size}"
        assert answer.headers["Content-Length"] == str(size - 1000)
        assert (await answer.read(10)) == LAYER[1000:1010]


@pytest.mark.parametrize("oci", [True, False])
async def test_an_image_is_pulled(room: Room, oci: bool) -> None:
    """Schema2 and OCI manifests with an image's config, through the same calls as a plugin's."""
    ref = room.ref("library/box:v1")
    raw = image.config([LAYER])
    made = image.make_manifest(raw, [LAYER], oci=oci)
    for content, blob in ((raw, made.config), (LAYER, made.layers[0])):
        await room.push_blob(ref, blob, content)
    assert await room.client.push_manifest(ref, made, room.credentials) == made.digest
    found = await room.client.resolve(ref, room.credentials, kind=manifest_.Kind.IMAGE)
    assert found == made
    manifest_.require_image(found, "box")
    assert await room.client.fetch_bytes(ref, found.config, room.credentials) == raw


async def test_no_such_image_is_said_in_dockers_words(room: Room) -> None:
    ref = room.ref("no/such:v1")
    with pytest.raises(errors.NotFound) as caught:
        await room.client.resolve(ref, room.credentials, kind=manifest_.Kind.IMAGE)
    assert str(caught.value) == (
        f"manifest for {ref.familiar} not found: manifest unknown: manifest unknown"
    )


async def test_credentials_are_checked_when_asked(room: Room) -> None:
    await room.client.log_in(room.host, room.credentials)
    wrong = Credentials(username=TESTER.username, password="hunter2")
    if room.credentials is None:
        await room.client.log_in(room.host, wrong)  # nobody asks for them
        return
    for credentials in (wrong, None):
        with pytest.raises(errors.Unauthorized) as caught:
            await room.client.log_in(room.host, credentials)
        assert room.host in str(caught.value)
        assert "hunter2" not in str(caught.value)
    # What was good is asked again, too.
    await room.client.log_in(room.host, room.credentials)
