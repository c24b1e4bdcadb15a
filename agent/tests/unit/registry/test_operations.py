# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What is asked of a registry, against one that misbehaves."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import AsyncIterator

import pytest

from fakes.registry import FakeRegistry, Faults
from plugind import errors
from plugind.model import manifest as manifest_
from plugind.model import reference
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor, Platform
from plugind.model.reference import Reference
from plugind.registry import client, operations, transfer
from plugind.registry.endpoints import Endpoint

CONFIG = b'{"description": "x"}'
LAYER = bytes(range(256)) * 8192


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as fake:
        yield fake


@pytest.fixture
async def asker() -> AsyncIterator[client.RegistryClient]:
    made = client.RegistryClient(
        platform=Platform(os="linux", architecture="amd64"), user_agent="plugind/test"
    )
    yield made
    await made.close()


@pytest.fixture
def ref(registry: FakeRegistry) -> Reference:
    registry.add_plugin("vieux/sshfs", "v1", CONFIG, [LAYER], compression="none")
    return reference.parse(f"{registry.host}/vieux/sshfs:v1")


async def read(asker: client.RegistryClient, ref: Reference, blob: Descriptor) -> bytes:
    async with asker.open_blob(ref, blob, None) as chunks:
        return b"".join([chunk async for chunk in chunks])


# --------------------------------------------------------------------------------------- resolve


async def test_one_request_is_enough(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    found = await asker.resolve(ref, None)
    assert found == registry.manifest("vieux/sshfs", "v1")
    manifests = [r for r in registry.requests if "/manifests/" in r.path]
    assert len(manifests) == 1
    assert manifests[0].headers["Accept"].split(", ") == [
        *manifest_.MANIFEST_TYPES,
        *manifest_.INDEX_TYPES,
    ]
    assert manifests[0].headers["User-Agent"] == "plugind/test"


@pytest.mark.parametrize("kind", [manifest_.OCI_INDEX, manifest_.DOCKER_LIST])
async def test_the_platform_is_chosen_from_an_index(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference, kind: str
) -> None:
    ours = registry.add_plugin("vieux/sshfs", "amd64", b'{"description": "amd64"}', [])
    other = registry.add_plugin("vieux/sshfs", "arm64", b'{"description": "arm64"}', [])
    entries = {"linux/arm64": other, "linux/amd64": ours}
    index = registry.add_index("vieux/sshfs", "v1", entries, media_type=kind)
    assert (await asker.resolve(ref, None)).digest == ours
    by_digest = dataclasses.replace(ref, digest=index)
    assert (await asker.resolve(by_digest, None)).digest == ours


async def test_another_platform_may_be_asked_for(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    ours = registry.add_plugin("vieux/sshfs", "amd64", b'{"description": "amd64"}', [])
    other = registry.add_plugin("vieux/sshfs", "arm64", b'{"description": "arm64"}', [])
    entries = {"linux/amd64": ours, "linux/arm64": other}
    index = registry.add_index("vieux/sshfs", "v1", entries)
    found = await asker.resolve(ref, None, platform=Platform(os="linux", architecture="arm64"))
    assert (found.digest, found.index) == (other, index)
    direct = dataclasses.replace(ref, digest=other)
    assert (await asker.resolve(direct, None)).index is None


async def test_what_is_not_found_has_the_words_of_its_kind(
    asker: client.RegistryClient, ref: Reference
) -> None:
    missing = dataclasses.replace(ref, tag="none")
    with pytest.raises(errors.NotFound, match=r"^error resolving plugin reference: "):
        await asker.resolve(missing, None)
    with pytest.raises(errors.NotFound, match=f"^manifest for {missing.familiar} not found: "):
        await asker.resolve(missing, None, kind=manifest_.Kind.IMAGE)


async def test_an_index_without_our_platform(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    other = registry.add_plugin("vieux/sshfs", "arm64", CONFIG, [])
    registry.add_index("vieux/sshfs", "v1", {"linux/arm64": other, "linux/arm/v7": other})
    with pytest.raises(errors.NotFound, match="linux/amd64: the index offers linux/arm64, "):
        await asker.resolve(ref, None)


async def test_an_index_of_an_index(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    plugin = registry.add_plugin("vieux/sshfs", "amd64", CONFIG, [])
    inner = registry.add_index("vieux/sshfs", "inner", {"linux/amd64": plugin})
    registry.add_index("vieux/sshfs", "v1", {"linux/amd64": inner})
    with pytest.raises(errors.System, match="its index names another index"):
        await asker.resolve(ref, None)


async def test_a_registry_that_understands_one_type_at_a_time(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    registry.faults.one_accept_only = True
    registry.add_manifest(
        "vieux/sshfs", "v1", registry.manifests["vieux/sshfs", "v1"][1], manifest_.OCI_MANIFEST
    )
    assert (await asker.resolve(ref, None)).config.digest == Digest.of(CONFIG)


async def test_content_is_verified_against_the_digest_asked_for(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    digest = registry.manifest("vieux/sshfs", "v1").digest
    kind, raw = registry.manifests["vieux/sshfs", "v1"]
    registry.manifests["vieux/sshfs", str(digest)] = (kind, raw + b" ")
    with pytest.raises(errors.DigestMismatch, match=str(digest)):
        await asker.resolve(dataclasses.replace(ref, digest=digest), None)


async def test_content_is_verified_against_the_digest_given(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    registry.faults.wrong_digest_header = True
    with pytest.raises(errors.DigestMismatch, match=str(ref)):
        await asker.resolve(ref, None)


@pytest.mark.parametrize(("header", "good"), [("", True), ("sha256:12", False)])
async def test_the_digest_header(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference, header: str, good: bool
) -> None:
    registry.faults.digest_header = header
    if good:
        assert await asker.resolve(ref, None) == registry.manifest("vieux/sshfs", "v1")
    else:
        with pytest.raises(errors.System, match=f'the registry gives an invalid digest "{header}"'):
            await asker.resolve(ref, None)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"no JSON", "malformed"),
        (b"[]", "malformed"),
        (b'{"schemaVersion": 1, "fsLayers": []}', "no config"),
        (b" " * (operations.MAX_MANIFEST + 1), "larger than"),
    ],
)
async def test_what_is_no_manifest(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference, raw: bytes, why: str
) -> None:
    registry.add_manifest("vieux/sshfs", "v1", raw, manifest_.DOCKER_MANIFEST)
    with pytest.raises(errors.System, match=why):
        await asker.resolve(ref, None)


async def test_an_ordinary_image_resolves(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    """Whether it is a plugin is the caller's question, asked with require_plugin."""
    registry.add_plugin("vieux/sshfs", "v1", CONFIG, [], config_type="application/x")
    assert (await asker.resolve(ref, None)).config.media_type == "application/x"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.System),
        (403, errors.Forbidden),
        (406, errors.System),
        (429, errors.Unavailable),
        (500, errors.Unavailable),
    ],
)
async def test_refusals(
    registry: FakeRegistry,
    asker: client.RegistryClient,
    ref: Reference,
    status: int,
    kind: type[errors.PlugindError],
) -> None:
    registry.faults = Faults(status=status, message="come back later")
    with pytest.raises(kind, match="come back later") as caught:
        await asker.resolve(ref, None)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f'cannot resolve {ref}: registry "{registry.host}" says:')


# ----------------------------------------------------------------------------------------- blobs


async def test_a_config_has_a_limit(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    size = operations.MAX_BYTES + 1
    blob = Descriptor(media_type="x", digest=Digest.of(b""), size=size)
    with pytest.raises(errors.System, match=f"{size} bytes, at most"):
        await asker.fetch_bytes(ref, blob, None)
    assert registry.requests == []


async def test_a_config_is_verified(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    registry.faults.corrupt_blobs = True
    blob = registry.add_blob(CONFIG)
    with pytest.raises(errors.DigestMismatch, match=f"blob {blob.digest} of {ref}"):
        await asker.fetch_bytes(ref, blob, None)


@pytest.mark.parametrize(
    ("fault", "actual"),
    [
        ("truncate_blobs", str(len(LAYER) // 2)),
        ("truncate_quietly", f"only {len(LAYER) // 2}"),
        ("lengthen_blobs", "more"),
    ],
)
async def test_a_blob_of_another_size(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference, fault: str, actual: str
) -> None:
    setattr(registry.faults, fault, True)
    blob = registry.add_blob(LAYER)
    with pytest.raises(errors.System, match=f"{blob.digest}.* has {actual}"):
        await read(asker, ref, blob)


async def test_a_compressed_layer_arrives_as_it_is(
    registry: FakeRegistry, asker: client.RegistryClient
) -> None:
    registry.add_plugin("x/y", "z", CONFIG, [LAYER], compression="gzip")
    ref = reference.parse(f"{registry.host}/x/y:z")
    layer = (await asker.resolve(ref, None)).layers[0]
    assert await read(asker, ref, layer) == registry.blobs[str(layer.digest)]
    assert registry.requests[-1].headers["Accept-Encoding"] == "identity"


async def test_a_broken_connection_is_resumed(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    # More than the client buffers, so that it has read something when the connection breaks; how
    # much is up to the network.
    registry.faults.disconnect_after = [1 << 20, 1 << 18, 0]
    blob = registry.add_blob(LAYER)
    assert await read(asker, ref, blob) == LAYER
    ranges = [request.headers.get("Range") for request in registry.requests]
    assert len(ranges) == 4
    assert ranges[0] is None
    offsets = [int(str(text).removeprefix("bytes=").removesuffix("-")) for text in ranges[1:]]
    assert 0 < offsets[0] <= offsets[1] <= offsets[2] < len(LAYER)


async def test_a_connection_that_keeps_breaking(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    registry.faults.disconnect_after = [1] * 9
    with pytest.raises(errors.Unavailable, match=r"broken after \d of .* 3 resumes later"):
        await read(asker, ref, registry.add_blob(LAYER))
    assert len(registry.requests) == 4


async def test_a_registry_without_ranges(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    registry.faults = Faults(disconnect_after=[1 << 20], no_ranges=True)
    with pytest.raises(errors.Unavailable, match=r"broken after \d+ of .* cannot be resumed"):
        await read(asker, ref, registry.add_blob(LAYER))


async def test_a_reader_that_goes_away(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    blob = registry.add_blob(LAYER)
    async with asker.open_blob(ref, blob, None) as chunks:
        async for _ in chunks:
            break
    async with asker.open_blob(ref, blob, None):
        pass
    assert await read(asker, ref, blob) == LAYER


# ------------------------------------------------------------------------------------------ push


@pytest.mark.parametrize("absolute", [False, True])
async def test_an_upload_goes_where_the_registry_says(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference, absolute: bool
) -> None:
    registry.faults.absolute_location = absolute
    blob = Descriptor(media_type="x", digest=Digest.of(b"new"), size=3)
    assert await asker.push_blob(ref, blob, lambda: io.BytesIO(b"new"), None, lambda _: None)
    assert registry.paths()[-3:] == [
        f"HEAD /v2/vieux/sshfs/blobs/{blob.digest}",
        "POST /v2/vieux/sshfs/blobs/uploads/",
        "PUT /v2/vieux/sshfs/blobs/uploads/upload-0",
    ]
    assert registry.requests[-1].headers["Content-Length"] == "3"
    assert registry.blobs[str(blob.digest)] == b"new"


@pytest.mark.parametrize("content", [b"", b"ne", b"news"])
async def test_content_of_another_size_is_not_sent_whole(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference, content: bytes
) -> None:
    blob = Descriptor(media_type="x", digest=Digest.of(b"new"), size=3)
    with pytest.raises(errors.System, match=f"wrong size: expected 3 bytes, have {len(content)}"):
        await asker.push_blob(ref, blob, lambda: io.BytesIO(content), None, lambda _: None)
    assert str(blob.digest) not in registry.blobs


async def test_content_is_closed(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    blob = Descriptor(media_type="x", digest=Digest.of(b"new"), size=3)
    content = io.BytesIO(b"old")
    with pytest.raises(errors.System, match="did not match"):
        await asker.push_blob(ref, blob, lambda: content, None, lambda _: None)
    assert content.closed


async def test_a_manifest_keeps_its_media_type(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    raw = json.dumps({"schemaVersion": 2, "config": registry.add_blob(CONFIG).to_json()}).encode()
    parsed = manifest_.parse(raw, manifest_.OCI_MANIFEST, "test")
    assert isinstance(parsed, manifest_.Manifest)
    untagged = dataclasses.replace(ref, tag=None)
    assert await asker.push_manifest(untagged, parsed, None) == parsed.digest
    assert registry.manifests["vieux/sshfs", "latest"] == (manifest_.OCI_MANIFEST, raw)


async def test_a_registry_that_stores_something_else(
    registry: FakeRegistry, asker: client.RegistryClient, ref: Reference
) -> None:
    manifest = registry.manifest("vieux/sshfs", "v1")
    registry.faults.wrong_digest_header = True
    with pytest.raises(errors.DigestMismatch, match=f"manifest of {ref}"):
        await asker.push_manifest(ref, manifest, None)


def test_the_url_of_a_call() -> None:
    call = operations.Call(
        what="test", ref=reference.parse("vieux/sshfs"), credentials=None, path="blobs/x"
    )
    endpoint = Endpoint(url="https://example.org")
    assert call.url(endpoint) == "https://example.org/v2/vieux/sshfs/blobs/x"
    absolute = dataclasses.replace(call, path="https://other.example/x")
    assert absolute.url(endpoint) == "https://other.example/x"


def test_chunks_are_what_the_engine_expects() -> None:
    assert transfer.CHUNK == 1 << 20
