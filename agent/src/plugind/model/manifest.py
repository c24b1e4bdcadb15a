# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Manifests and indexes, as registries serve them for plugins and for container images.

Docker pushes plugins as schema2 manifests with the config type
`application/vnd.docker.plugin.v1+json`; OCI manifests with that config type are read as well.
An image's manifest differs in the type of its config only: `require_plugin`, `require_image`.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Any

from plugind import errors
from plugind.model.digest import Digest
from plugind.model.reference import Reference

PLUGIN_CONFIG = "application/vnd.docker.plugin.v1+json"
DOCKER_IMAGE_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

IMAGE_CONFIGS = (DOCKER_IMAGE_CONFIG, OCI_IMAGE_CONFIG)
MANIFEST_TYPES = (DOCKER_MANIFEST, OCI_MANIFEST)
INDEX_TYPES = (DOCKER_LIST, OCI_INDEX)

# Media type -> compression. Docker's own push uses the gzip one; the others come from OCI tools.
LAYER_COMPRESSION = {
    DOCKER_LAYER: "none",
    DOCKER_LAYER_GZIP: "gzip",
    DOCKER_LAYER + ".zstd": "zstd",
    OCI_LAYER: "none",
    OCI_LAYER + "+gzip": "gzip",
    OCI_LAYER + "+zstd": "zstd",
}


class Kind(enum.Enum):
    """What a reference is expected to name: Docker has other words for each when it names nothing."""

    PLUGIN = "plugin"
    IMAGE = "image"

    def not_found(self, ref: Reference) -> errors.NotFound:
        """Return the error for a reference that the registry does not know."""
        name = ref.with_default_tag()
        if self is Kind.PLUGIN:
            return errors.NotFound(f"error resolving plugin reference: {name}: not found")
        return errors.NotFound(
            f"manifest for {name.familiar} not found: manifest unknown: manifest unknown"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Operating system and architecture in Go's words: linux, amd64, arm64, arm/v7."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def accepts(self, other: Platform) -> bool:
        """True if content for `other` runs on this platform."""
        same = (self.os, self.architecture) == (other.os, other.architecture)
        return same and (not other.variant or not self.variant or other.variant <= self.variant)


# What the kernel calls a machine (`uname -m`) -> Go's architecture and variant. What is not here
# has one name for both (s390x, ppc64le, riscv64).
_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "loongarch64": ("loong64", ""),
}


def platform_of(machine: str) -> Platform:
    """Return the platform of a Linux host by its machine name."""
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return Platform(os="linux", architecture=architecture, variant=variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A blob by type, digest and size in bytes (OCI image spec, "Descriptors")."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as manifests spell it."""
        return {"mediaType": self.media_type, "size": self.size, "digest": str(self.digest)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest. `raw` is the exact bytes that `digest` belongs to.

    `index` is the digest of the index that it was chosen from, if it was.
    """

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    digest: Digest
    raw: bytes
    index: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An OCI index or Docker manifest list."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    digest: Digest

    def select(self, platform: Platform, what: str) -> Descriptor:
        """Return the first manifest that runs on `platform`; NotFound lists what there is."""
        for candidate in self.manifests:
            if candidate.platform is None or platform.accepts(candidate.platform):
                return candidate
        offered = ", ".join(str(m.platform) for m in self.manifests) or "nothing"
        raise errors.NotFound(f"no manifest of {what} for {platform}: the index offers {offered}")


def parse(raw: bytes, media_type: str, what: str) -> Manifest | Index:
    """Parse a manifest or index. `what` names it in errors; System says what is malformed."""
    try:
        document = json.loads(raw)
        kind = document.get("mediaType") or media_type.partition(";")[0].strip()
        if "manifests" in document:
            return _index(document, kind, raw)
        if "config" not in document:
            raise errors.System(
                f"cannot read manifest of {what}: it has no config (media type {kind}, "
                f"schemaVersion {document.get('schemaVersion')})"
            )
        return Manifest(
            media_type=kind,
            config=_descriptor(document["config"]),
            layers=tuple(_descriptor(layer) for layer in document.get("layers") or ()),
            digest=Digest.of(raw),
            raw=raw,
        )
    except (ValueError, KeyError, TypeError, AttributeError, errors.InvalidParameter) as exc:
        raise errors.System(f"cannot read manifest of {what}: malformed: {exc}") from exc


def build(config: Descriptor, layers: tuple[Descriptor, ...]) -> Manifest:
    """Return the schema2 manifest that Docker would push for this config and these layers."""
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    raw = json.dumps(document, indent=3).encode()
    return Manifest(
        media_type=DOCKER_MANIFEST, config=config, layers=layers, digest=Digest.of(raw), raw=raw
    )


def require_plugin(manifest: Manifest, what: str) -> None:
    """Raise unless the manifest is a plugin's: an ordinary image is not one."""
    if manifest.config.media_type != PLUGIN_CONFIG:
        raise errors.System(
            f"did not find plugin config for specified reference {what}: "
            f"its config has media type {manifest.config.media_type}, want {PLUGIN_CONFIG}"
        )
    _require_layers(manifest, what)


def require_image(manifest: Manifest, what: str) -> None:
    """Raise, in Docker's words, unless the manifest is a container image's: a plugin is none."""
    found = manifest.config.media_type
    if found not in IMAGE_CONFIGS:
        kind = "plugin" if found == PLUGIN_CONFIG else "unknown"
        raise errors.System(f'Encountered remote "{found}"({kind}) when fetching')
    _require_layers(manifest, what)


def _require_layers(manifest: Manifest, what: str) -> None:
    for layer in manifest.layers:
        if layer.media_type not in LAYER_COMPRESSION:
            raise errors.System(
                f"cannot use layer {layer.digest} of {what}: unknown media type {layer.media_type}"
            )


def parse_platform(text: str) -> Platform:
    """Parse `os[/architecture[/variant]]`, or `architecture` alone, as `--platform` has it."""
    parts = text.lower().split("/")
    if not all(parts) or not 1 <= len(parts) <= 3:
        raise errors.InvalidParameter(
            f'"{text}" is an invalid OS component of a platform: want os/architecture[/variant]'
        )
    if len(parts) == 1:
        parts.insert(0, "linux")
    architecture, variant = _MACHINES.get(parts[1], (parts[1], ""))
    return Platform(
        os=parts[0], architecture=architecture, variant=parts[2] if len(parts) == 3 else variant
    )


def _index(document: dict[str, Any], kind: str, raw: bytes) -> Index:
    return Index(
        media_type=kind,
        manifests=tuple(_descriptor(entry) for entry in document["manifests"]),
        digest=Digest.of(raw),
    )


def _descriptor(document: dict[str, Any]) -> Descriptor:
    size = document["size"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"size {size!r} of {document.get('digest')} is not a number of bytes")
    platform = document.get("platform")
    return Descriptor(
        media_type=str(document["mediaType"]),
        digest=Digest.parse(document["digest"]),
        size=size,
        platform=Platform(
            os=str(platform.get("os", "")),
            architecture=str(platform.get("architecture", "")),
            variant=str(platform.get("variant", "")),
        )
        if platform
        else None,
    )
