# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from typing import Any

from plugind.model import observed
from plugind.model.observed import Observation


def plugin(**changes: Any) -> dict[str, Any]:
    return {"Id": "1", "Name": "x:latest", "Enabled": True, "Config": {}, **changes}


def read(document: dict[str, Any], **more: Any) -> observed.ObservedPlugin:
    return observed.read(Observation(plugins=(document,), **more)).plugins["x:latest"]


def test_nulls_and_missing_members_are_nothing() -> None:
    config = {
        "Args": None, "Env": None, "Mounts": None, "Network": None,
        "Linux": {"Devices": None, "Capabilities": None},
    }  # fmt: skip
    found = read(plugin(Config=config, Settings=None))
    assert found.settings.env == ()
    assert found.settings.mounts == ()
    assert read({"Id": "1", "Name": "x:latest"}).enabled is False


def test_a_plugin_without_reference_came_from_its_name() -> None:
    assert str(read(plugin()).reference) == "docker.io/library/x:latest"
    assert read(plugin(PluginReference="y:2")).reference.familiar == "y:2"
    assert read(plugin(PluginReference="NOT A REFERENCE")).reference.domain == ""


def test_a_short_stop_disturbs_mounted_volumes_where_the_engine_knows_them() -> None:
    volumes = ({"Name": "b", "Driver": "x:latest"}, {"Name": "a", "Driver": "x:latest"})
    every = ("volume/a", "volume/b")
    unknown = read(plugin(), volumes=volumes)
    assert (unknown.holders, unknown.disturbed) == (every, every)
    none = read(plugin(), volumes=volumes, mounted={})
    assert (none.holders, none.disturbed) == (every, ())
    one = read(plugin(), volumes=volumes, mounted={"x:latest": ("volume/a",)})
    assert (one.holders, one.disturbed) == (every, ("volume/a",))


def test_devices_come_from_settings_unless_docker_has_forgotten_some() -> None:
    devices = [{"Name": "d", "Path": "/dev/null"}, {"Name": "e", "Path": "/dev/zero"}]
    config = {"Linux": {"Devices": devices}}
    moved = [{"Name": "d", "Path": "/dev/full"}, devices[1]]
    found = read(plugin(Config=config, Settings={"Devices": moved}))
    assert [d.path for d in found.settings.devices] == ["/dev/full", "/dev/zero"]
    forgotten = read(plugin(Config=config, Settings={"Devices": []}))
    assert [d.path for d in forgotten.settings.devices] == ["/dev/null", "/dev/zero"]


def test_dockers_one_empty_argument_is_none() -> None:
    assert read(plugin(Settings={"Args": [""]})).settings.args == ()


def test_volumes_and_differing_options() -> None:
    world = observed.read(Observation(volumes=({"Name": "v", "Driver": "local"},)))
    assert world.volumes["v"].options == {}
    assert observed.differing({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == ("a", "b", "c")
    assert observed.differing({"a": "1"}, {"a": "1"}) == ()


def test_a_plugin_that_was_not_verified_since_it_was_changed() -> None:
    assert not read(plugin()).unverified
    assert read(plugin(Unverified=True)).unverified
