# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Manifests, indexes and platforms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugind import errors
from plugind.model import manifest, reference
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor, Index, Manifest, Platform

CONFIG = Descriptor(media_type=manifest.PLUGIN_CONFIG, digest=Digest.of(b"c"), size=1)
LAYER = Descriptor(media_type=manifest.DOCKER_LAYER_GZIP, digest=Digest.of(b"l"), size=7)
AMD64 = Platform(os="linux", architecture="amd64")


def parse(document: Any, media_type: str = "") -> Manifest | Index:
    return manifest.parse(json.dumps(document).encode(), media_type, "x/y:z")


def entry(platform: dict[str, str] | None, content: bytes = b"m") -> dict[str, Any]:
    found = Descriptor(
        media_type=manifest.DOCKER_MANIFEST, digest=Digest.of(content), size=1
    ).to_json()
    return found if platform is None else found | {"platform": platform}


# ------------------------------------------------------------------------------------- manifests


def test_what_is_built_is_what_docker_pushes() -> None:
    built = manifest.build(CONFIG, (LAYER,))
    assert json.loads(built.raw) == {
        "schemaVersion": 2,
        "mediaType": manifest.DOCKER_MANIFEST,
        "config": {"mediaType": manifest.PLUGIN_CONFIG, "size": 1, "digest": str(CONFIG.digest)},
        "layers": [
            {"mediaType": manifest.DOCKER_LAYER_GZIP, "size": 7, "digest": str(LAYER.digest)}
        ],
    }
    assert built.digest == Digest.of(built.raw)
    assert manifest.parse(built.raw, "", "x/y:z") == built


@pytest.mark.parametrize(
    ("inside", "outside", "kind"),
    [
        (manifest.OCI_MANIFEST, manifest.DOCKER_MANIFEST, manifest.OCI_MANIFEST),
        (None, manifest.OCI_MANIFEST, manifest.OCI_MANIFEST),
        (None, manifest.OCI_MANIFEST + "; charset=utf-8", manifest.OCI_MANIFEST),
    ],
)
def test_the_media_type_stands_inside_or_outside(
    inside: str | None, outside: str, kind: str
) -> None:
    document = {"schemaVersion": 2, "config": CONFIG.to_json(), "layers": []}
    parsed = parse(document | ({"mediaType": inside} if inside else {}), outside)
    assert isinstance(parsed, Manifest)
    assert parsed.media_type == kind


@pytest.mark.parametrize("layers", [{}, {"layers": None}, {"layers": []}])
def test_without_layers(layers: dict[str, Any]) -> None:
    """dockerd pushes `"layers": null` for a plugin whose layers it has lost."""
    parsed = parse({"config": CONFIG.to_json()} | layers)
    assert isinstance(parsed, Manifest)
    assert parsed.layers == ()


def change(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (document | changes).items() if value is not ...}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        1,
        {"config": None},
        {"config": []},
        {"config": {}},
        {"config": change(CONFIG.to_json(), digest=...)},
        {"config": change(CONFIG.to_json(), digest="sha256:12")},
        {"config": change(CONFIG.to_json(), digest=1)},
        {"config": change(CONFIG.to_json(), size=...)},
        {"config": change(CONFIG.to_json(), size=-1)},
        {"config": change(CONFIG.to_json(), size=True)},
        {"config": change(CONFIG.to_json(), size="1")},
        {"config": change(CONFIG.to_json(), size=1.0)},
        {"config": change(CONFIG.to_json(), mediaType=...)},
        {"config": CONFIG.to_json(), "layers": [None]},
        {"config": CONFIG.to_json(), "layers": 1},
        {"manifests": None},
        {"manifests": [{}]},
        {"manifests": [entry({"os": "linux"}) | {"platform": "linux/amd64"}]},
    ],
)
def test_malformed(document: Any) -> None:
    with pytest.raises(errors.System, match=r"cannot read manifest of x/y:z: malformed"):
        parse(document)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"<html>"])
def test_no_json(raw: bytes) -> None:
    with pytest.raises(errors.System, match=r"cannot read manifest of x/y:z: malformed"):
        manifest.parse(raw, "", "x/y:z")


def test_an_old_manifest_says_what_it_is() -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    with pytest.raises(errors.System, match=r"no config.*v1.*schemaVersion 1"):
        parse({"schemaVersion": 1, "fsLayers": []}, kind)


# ---------------------------------------------------------------------------------------- plugin


@pytest.mark.parametrize("media_type", manifest.LAYER_COMPRESSION)
def test_layers_that_we_know(media_type: str) -> None:
    layer = Descriptor(media_type=media_type, digest=LAYER.digest, size=1)
    manifest.require_plugin(manifest.build(CONFIG, (layer,)), "x/y:z")


def test_compressions() -> None:
    assert manifest.LAYER_COMPRESSION == {
        "application/vnd.docker.image.rootfs.diff.tar": "none",
        "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
        "application/vnd.oci.image.layer.v1.tar": "none",
        "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
    }


def test_an_image_is_no_plugin() -> None:
    image = Descriptor(
        media_type="application/vnd.docker.container.image.v1+json", digest=CONFIG.digest, size=1
    )
    with pytest.raises(
        errors.System, match="did not find plugin config for specified reference x/y:z"
    ):
        manifest.require_plugin(manifest.build(image, (LAYER,)), "x/y:z")


def test_a_layer_that_we_do_not_know() -> None:
    layer = Descriptor(media_type="application/x", digest=LAYER.digest, size=1)
    with pytest.raises(errors.System, match=f"cannot use layer {layer.digest}.*application/x"):
        manifest.require_plugin(manifest.build(CONFIG, (layer,)), "x/y:z")


# --------------------------------------------------------------------------------------- indexes


@pytest.mark.parametrize("kind", manifest.INDEX_TYPES)
def test_an_index(kind: str) -> None:
    document = {
        "mediaType": kind,
        "manifests": [entry({"os": "linux", "architecture": "arm", "variant": "v7"})],
    }
    parsed = parse(document)
    assert isinstance(parsed, Index)
    assert parsed.media_type == kind
    assert parsed.digest == Digest.of(json.dumps(document).encode())
    assert parsed.manifests[0].platform == Platform(os="linux", architecture="arm", variant="v7")


def test_the_first_that_runs_is_chosen() -> None:
    parsed = parse(
        {
            "manifests": [
                entry({"os": "windows", "architecture": "amd64"}, b"1"),
                entry({"os": "linux", "architecture": "amd64"}, b"2"),
                entry({"os": "linux", "architecture": "amd64"}, b"3"),
            ]
        }
    )
    assert isinstance(parsed, Index)
    assert parsed.select(AMD64, "x").digest == Digest.of(b"2")


def test_an_entry_without_platform_runs_everywhere() -> None:
    parsed = parse({"manifests": [entry(None)]})
    assert isinstance(parsed, Index)
    assert parsed.select(AMD64, "x").digest == Digest.of(b"m")


@pytest.mark.parametrize(
    ("entries", "offered"),
    [
        ([], "nothing"),
        ([entry({"os": "linux", "architecture": "arm", "variant": "v7"})], "linux/arm/v7"),
        ([entry({"os": "unknown", "architecture": "unknown"})], "unknown/unknown"),
    ],
)
def test_nothing_runs(entries: list[Any], offered: str) -> None:
    parsed = parse({"manifests": entries})
    assert isinstance(parsed, Index)
    with pytest.raises(errors.NotFound, match=f"x/y:z for linux/amd64: the index offers {offered}"):
        parsed.select(AMD64, "x/y:z")


# ------------------------------------------------------------------------------------- platforms


@pytest.mark.parametrize(
    ("machine", "platform"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("armv8l", "linux/arm/v8"),
        ("armv7l", "linux/arm/v7"),
        ("armv6l", "linux/arm/v6"),
        ("armv5tel", "linux/arm/v5"),
        ("i386", "linux/386"),
        ("i686", "linux/386"),
        ("ppc64le", "linux/ppc64le"),
        ("s390x", "linux/s390x"),
        ("riscv64", "linux/riscv64"),
        ("loongarch64", "linux/loong64"),
        ("something-new", "linux/something-new"),
    ],
)
def test_platform_of(machine: str, platform: str) -> None:
    assert str(manifest.platform_of(machine)) == platform


@pytest.mark.parametrize(
    ("ours", "theirs", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/arm64", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm/v7", "linux/arm/v8", False),
    ],
)
def test_accepts(ours: str, theirs: str, runs: bool) -> None:
    def platform(text: str) -> Platform:
        os, architecture, variant = (*text.split("/"), "")[:3]
        return Platform(os=os, architecture=architecture, variant=variant)

    assert platform(ours).accepts(platform(theirs)) is runs
    assert str(platform(theirs)) == theirs


@settings(deadline=None)  # other tests may need the processor
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda s: (
            st.lists(s, max_size=3)
            | st.dictionaries(
                st.sampled_from(["config", "layers", "manifests", "digest", "size", "platform"]), s
            )
        ),
    )
)
def test_any_document_is_read_or_refused(document: Any) -> None:
    try:
        parse(document)
    except errors.System as exc:
        assert "x/y:z" in str(exc)  # noqa: PT017 - either outcome is right; no other may come


def image_manifest(config_type: str, *layers: Descriptor) -> Manifest:
    config = Descriptor(media_type=config_type, digest=CONFIG.digest, size=1)
    return manifest.build(config, layers)


@pytest.mark.parametrize("kind", manifest.IMAGE_CONFIGS)
def test_an_image_is_an_image(kind: str) -> None:
    manifest.require_image(image_manifest(kind, LAYER), "x/y:z")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (
            image_manifest(manifest.PLUGIN_CONFIG),
            'Encountered remote "application/vnd.docker.plugin.v1+json"(plugin) when fetching',
        ),
        (
            image_manifest("application/vnd.x"),
            'Encountered remote "application/vnd.x"(unknown) when fetching',
        ),
        (
            image_manifest(
                manifest.OCI_IMAGE_CONFIG,
                Descriptor(media_type="a/b", digest=LAYER.digest, size=1),
            ),
            f"cannot use layer {LAYER.digest} of x/y:z: unknown media type a/b",
        ),
    ],
)
def test_what_is_no_image(found: Manifest, why: str) -> None:
    with pytest.raises(errors.System) as caught:
        manifest.require_image(found, "x/y:z")
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("plugin", "x", "error resolving plugin reference: docker.io/library/x:latest: not found"),
        ("image", "x", "manifest for x:latest not found: manifest unknown: manifest unknown"),
        ("image", "h:1/x:y", "manifest for h:1/x:y not found: manifest unknown: manifest unknown"),
    ],
)
def test_each_kind_has_its_words(kind: str, text: str, said: str) -> None:
    assert str(manifest.Kind(kind).not_found(reference.parse(text))) == said


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", "linux/amd64"),
        ("LINUX/x86_64", "linux/amd64"),
        ("arm64", "linux/arm64"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("armv7l", "linux/arm/v7"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_platforms_as_people_write_them(text: str, platform: str) -> None:
    assert str(manifest.parse_platform(text)) == platform


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "/amd64"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="invalid OS component"):
        manifest.parse_platform(text)
