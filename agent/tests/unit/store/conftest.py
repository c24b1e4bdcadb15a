# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A prepared data root, and the smallest plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugind.model import config, settings
from plugind.model.digest import Digest
from plugind.model.plugin import Plugin
from plugind.store.content import ContentStore
from plugind.store.layout import Layout
from plugind.store.plugins import PluginStore
from plugind.store.volumes import VolumeStore

CONFIG = (
    b'{"description": "d", "documentation": "", "entrypoint": ["/driver"],'
    b' "interface": {"types": ["docker.volumedriver/1.0"], "socket": "driver.sock"}}'
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "lib", tmp_path / "run", tmp_path / "log", tmp_path / "sockets")
    made.prepare()
    return made


@pytest.fixture
def content(layout: Layout) -> ContentStore:
    return ContentStore(layout)


@pytest.fixture
def plugins(layout: Layout) -> PluginStore:
    return PluginStore(layout)


@pytest.fixture
def volumes(layout: Layout) -> VolumeStore:
    return VolumeStore(layout)


@pytest.fixture
def plugin() -> Plugin:
    parsed = config.parse_config(CONFIG)
    return Plugin(
        id="ab" * 32,
        name="acme/driver:1",
        config=parsed,
        settings=settings.default_settings(parsed),
        config_digest=Digest.of(CONFIG),
        manifest_digest=Digest.of(b"manifest"),
        layers=(Digest.of(b"layer"),),
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root; beside it, something that nobody may touch."""
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return tmp_path / "root"
