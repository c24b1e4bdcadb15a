# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What an image archive says of itself: `manifest.json` of docker save, `index.json` of OCI.

manifest.json   [{"Config": path, "RepoTags": [name, ...], "Layers": [path, ...]}, ...]
index.json      an index of manifests (or of indexes); blobs lie at blobs/sha256/<hex>
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from plugind import errors
from plugind.model import reference
from plugind.model.digest import Digest

MANIFEST = "manifest.json"
INDEX = "index.json"
# containerd's, and what skopeo, buildah and podman write; the latter may be a bare tag.
_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One image of an archive: where its config and its layers are, and its names, familiar."""

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...] = ()


def parse_manifest(raw: bytes) -> tuple[Saved, ...]:
    """Read manifest.json; InvalidParameter says what is wrong with it."""
    try:
        document = json.loads(raw)
        found = tuple(
            Saved(
                config=_text(entry["Config"]),
                layers=tuple(_text(layer) for layer in entry["Layers"] or ()),
                names=tuple(parse_name(_text(name)) for name in entry.get("RepoTags") or ()),
            )
            for entry in document
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise errors.InvalidParameter(f"invalid archive: {MANIFEST} is malformed: {exc!r}") from exc
    if not found:
        raise errors.InvalidParameter(f"invalid archive: {MANIFEST} names no image")
    return found


def parse_name(text: str) -> str:
    """Return a name of an archive as it is kept: familiar and tagged."""
    ref = reference.parse(text)
    if ref.digest:
        raise errors.InvalidParameter(f'invalid archive: "{text}" is no tag')
    return ref.tagged().familiar


def blob_path(digest: Digest) -> str:
    """Return where an OCI layout has a blob."""
    return f"blobs/sha256/{digest.hex}"


def entry_names(raw_index: bytes) -> dict[str, tuple[str, ...]]:
    """Return, by digest, the names that the entries of an index are annotated with."""
    try:
        entries = json.loads(raw_index)["manifests"]
        annotated = [(_text(one["digest"]), one.get("annotations") or {}) for one in entries]
        return {digest: _annotated_name(annotations) for digest, annotations in annotated}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise errors.InvalidParameter(f"invalid archive: {INDEX} is malformed: {exc!r}") from exc


def _annotated_name(annotations: dict[str, Any]) -> tuple[str, ...]:
    name = annotations.get(_NAME) or annotations.get(_REF_NAME) or ""
    is_name = _NAME in annotations or ":" in _text(name)
    return (parse_name(name),) if name and is_name else ()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"want a text, got {value!r:.80}")
    return value
