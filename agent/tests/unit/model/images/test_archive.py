# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
from typing import Any

import pytest

from plugind import errors
from plugind.model.digest import Digest
from plugind.model.images import archive
from plugind.model.images.archive import Saved

DIGEST = "sha256:" + "1" * 64


def test_what_docker_save_says() -> None:
    document = [
        {"Config": "c", "RepoTags": ["docker.io/library/a:1", "h:1/b"], "Layers": ["l", "m"]},
        {"Config": "d", "RepoTags": None, "Layers": None},
        {"Config": "e", "Layers": []},
    ]
    assert archive.parse_manifest(json.dumps(document).encode()) == (
        Saved(config="c", layers=("l", "m"), names=("a:1", "h:1/b:latest")),
        Saved(config="d", layers=()),
        Saved(config="e", layers=()),
    )


@pytest.mark.parametrize(
    "document",
    [
        None,
        1,
        [],
        {},
        [1],
        [{}],
        [{"Config": 1, "Layers": []}],
        [{"Config": "c", "Layers": [1]}],
        [{"Config": "c", "Layers": 1}],
        [{"Config": "c", "Layers": [], "RepoTags": [1]}],
        [{"Config": "c", "Layers": [], "RepoTags": ["UPPER"]}],
        [{"Config": "c", "Layers": [], "RepoTags": [f"a@{DIGEST}"]}],
    ],
)
def test_a_malformed_manifest(document: Any) -> None:
    with pytest.raises(
        errors.InvalidParameter, match=r"manifest\.json|is no tag|invalid reference"
    ):
        archive.parse_manifest(json.dumps(document).encode())


def test_no_json() -> None:
    with pytest.raises(errors.InvalidParameter, match=r"manifest\.json is malformed"):
        archive.parse_manifest(b"{")
    with pytest.raises(errors.InvalidParameter, match=r"index\.json is malformed"):
        archive.entry_names(b"[]")


@pytest.mark.parametrize(
    ("annotations", "names"),
    [
        (None, ()),
        ({}, ()),
        ({"io.containerd.image.name": "docker.io/library/a:1"}, ("a:1",)),
        ({"io.containerd.image.name": "a"}, ("a:latest",)),
        ({"org.opencontainers.image.ref.name": "localhost/a:1"}, ("localhost/a:1",)),
        # Only a tag, of nobody knows what.
        ({"org.opencontainers.image.ref.name": "latest"}, ()),
    ],
)
def test_names_of_an_oci_layout(annotations: dict[str, str] | None, names: tuple[str, ...]) -> None:
    index = {"manifests": [{"digest": DIGEST, "annotations": annotations}]}
    assert archive.entry_names(json.dumps(index).encode()) == {DIGEST: names}


def test_where_blobs_are() -> None:
    assert archive.blob_path(Digest.parse(DIGEST)) == "blobs/sha256/" + "1" * 64
