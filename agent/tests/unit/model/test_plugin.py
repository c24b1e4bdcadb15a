# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from plugind import errors
from plugind.model import config, plugin, secrets, settings
from plugind.model.digest import Digest
from plugind.model.plugin import Plugin, Version
from plugind.model.secrets import DEFAULT

RAW = json.dumps(
    {
        "Description": "d",
        "Documentation": "https://example.org",
        "Entrypoint": ["/driver"],
        "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "driver.sock"},
        "Mounts": [
            {
                "Name": "state",
                "Source": "/var/lib/x",
                "Destination": "/x",
                "Type": "bind",
                "Options": ["rbind"],
                "Settable": ["source"],
            }
        ],
        "Linux": {"Devices": [{"Name": "fuse", "Path": "/dev/fuse", "Settable": ["path"]}]},
        "Env": [{"Name": "DEBUG", "Value": "0", "Settable": ["value"]}],
        "Args": {"Name": "args", "Value": ["-v"], "Settable": ["value"]},
        "X-Unknown": {"kept": True},
    }
).encode()


@pytest.fixture
def installed() -> Plugin:
    parsed = config.parse_config(RAW)
    changed = settings.apply_assignments(
        parsed,
        settings.default_settings(parsed),
        ["DEBUG=1", "state.source=/srv/x", "fuse.path=/dev/fuse2", "args=-v -v"],
    )
    return Plugin(
        id="a1" * 32,
        name="acme/driver:1",
        remote="docker.io/acme/driver:1",
        config=parsed,
        settings=changed,
        config_digest=Digest.of(RAW),
        manifest_digest=Digest.of(b"manifest"),
        layers=(Digest.of(b"one"), Digest.of(b"two")),
        enabled=True,
        enable_timeout=30.0,
    )


def test_the_record_round_trips_through_json(installed: Plugin) -> None:
    record = json.loads(json.dumps(installed.to_record()))
    assert plugin.from_record(record) == installed


def test_settings_to_go_back_to_are_on_record_until_they_are_confirmed(installed: Plugin) -> None:
    other = replace(installed.settings, env=("TOKEN=first",))
    unconfirmed = replace(installed, settings_before=other)
    record = json.loads(json.dumps(unconfirmed.to_record()))
    assert plugin.from_record(record) == unconfirmed
    assert unconfirmed.confirmed() == installed
    assert unconfirmed.reverted() == replace(installed, settings=other)
    assert installed.reverted() == installed
    assert "settings_before" not in installed.to_record()
    assert "first" in unconfirmed.secrets(DEFAULT)
    assert "first" not in repr(unconfirmed)


def test_what_an_upgrade_replaced_and_what_is_unverified_are_on_record(installed: Plugin) -> None:
    before = Version(
        remote="docker.io/acme/driver:0",
        manifest_digest=Digest.of(b"old manifest"),
        config_digest=Digest.of(b"old config"),
        layers=(Digest.of(b"one"),),
    )
    upgraded = replace(installed, previous_version=before, unverified=True)
    record = json.loads(json.dumps(upgraded.to_record()))
    assert plugin.from_record(record) == upgraded
    assert record["previous_version"]["remote"] == "docker.io/acme/driver:0"
    assert set(upgraded.kept_blobs) == {*installed.blobs, *before.blobs}
    assert installed.kept_blobs == installed.blobs
    shown = upgraded.to_native_json()
    assert shown["Unverified"] is True
    assert shown["PreviousVersion"] == {
        "PluginReference": "docker.io/acme/driver:0",
        "ManifestDigest": str(Digest.of(b"old manifest")),
        "ConfigDigest": str(Digest.of(b"old config")),
        "Layers": [str(Digest.of(b"one"))],
    }
    assert upgraded.to_json() == installed.to_json()


def test_a_record_of_0_1_has_no_version_before(installed: Plugin) -> None:
    record = installed.to_record()
    assert not {"previous_version", "unverified"} & record.keys()
    loaded = plugin.from_record(record)
    assert (loaded.previous_version, loaded.unverified) == (None, False)
    assert not {"PreviousVersion", "Unverified"} & loaded.to_native_json().keys()


def test_the_record_keeps_the_config_as_written(installed: Plugin) -> None:
    assert json.loads(installed.to_record()["config"])["X-Unknown"] == {"kept": True}


@pytest.mark.parametrize(
    "change",
    [
        {"config": "{"},
        {"config": None},
        {"config_digest": "sha256:short"},
        {"layers": None},
        {"settings": {}},
    ],
)
def test_a_broken_record_says_so(installed: Plugin, change: dict[str, Any]) -> None:
    with pytest.raises((errors.InvalidParameter, KeyError, TypeError, AttributeError)):
        plugin.from_record({**installed.to_record(), **change})


def test_a_record_that_does_not_fit_its_config(installed: Plugin) -> None:
    record = installed.to_record()
    record["settings"]["mount_sources"] = []
    with pytest.raises(ValueError, match="shorter"):
        plugin.from_record(record)


def test_blobs_are_what_a_push_needs(installed: Plugin) -> None:
    assert installed.blobs == (
        installed.manifest_digest,
        installed.config_digest,
        *installed.layers,
    )


def test_reference_and_interface(installed: Plugin) -> None:
    assert installed.reference.familiar == "acme/driver:1"
    assert installed.serves("volumedriver")
    assert not installed.serves("networkdriver")


def test_with_enabled_changes_nothing_else(installed: Plugin) -> None:
    assert installed.with_enabled(False) == replace(installed, enabled=False)


def test_json_is_the_engine_apis_object_in_its_order(installed: Plugin) -> None:
    shown = installed.to_json()
    assert list(shown) == ["Config", "Enabled", "Id", "Name", "PluginReference", "Settings"]
    assert shown["Enabled"] is True
    assert shown["PluginReference"] == "docker.io/acme/driver:1"
    assert shown["Settings"]["Env"] == ["DEBUG=1"]
    assert shown["Settings"]["Args"] == ["-v", "-v"]


def test_config_shows_present_sources_and_paths(installed: Plugin) -> None:
    shown = installed.to_json()
    assert shown["Config"]["Mounts"][0]["Source"] == "/srv/x"
    assert shown["Config"]["Linux"]["Devices"][0]["Path"] == "/dev/fuse2"


def test_absent_lists_and_reference(installed: Plugin) -> None:
    bare = config.parse_config(b'{"entrypoint": ["/x"], "interface": {"socket": "s", "types": []}}')
    shown = replace(
        installed, config=bare, settings=settings.default_settings(bare), remote=""
    ).to_json()
    assert "PluginReference" not in shown
    assert shown["Config"]["Mounts"] is None
    assert shown["Config"]["Linux"]["Devices"] is None
    assert shown["Settings"] == {"Args": [], "Devices": [], "Env": [], "Mounts": []}


@pytest.mark.parametrize(
    ("id", "plausible"), [("123456789012ab", False), ("12345678901a", True), ("ab" * 32, True)]
)
def test_plausible_ids(id: str, plausible: bool) -> None:
    assert plugin.is_plausible_id(id) is plausible


def test_names_of_secrets_are_shown(installed: Plugin) -> None:
    labels = {secrets.SETTINGS_LABEL: "b", secrets.OPTIONS_LABEL: "o"}
    told = config.parse_config(json.dumps({**json.loads(RAW), "Labels": labels}).encode())
    declared = replace(installed, config=told, secret_settings=frozenset({"a"}))
    shown = declared.to_native_json()
    assert (shown["SecretSettings"], shown["SecretOptions"]) == (["a", "b"], ["o"])
    assert not {"SecretSettings", "SecretOptions"} & installed.to_native_json().keys()
