# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The mounts: every one at its place, and the plugin's own never lost."""

from __future__ import annotations

import dataclasses
from pathlib import PurePosixPath
from typing import Any

import pytest

from plugind import errors
from plugind.model import config as config_
from plugind.model import facts as facts_
from plugind.model import plugin as plugin_
from plugind.model import settings as settings_
from plugind.model.config import PluginMount
from plugind.model.confinement import Confinement
from plugind.model.digest import Digest
from plugind.spec import runtime

ID = "ab" * 32
NOTHING = Digest.of(b"")
DIRS = facts_.PluginDirs(
    root=PurePosixPath("/p"),
    rootfs=PurePosixPath("/p/rootfs"),
    propagated_mount=PurePosixPath("/p/propagated-mount"),
    sockets=PurePosixPath("/run/docker/plugins/id"),
    empty=PurePosixPath("/run/empty"),
)


def facts(**more: Any) -> facts_.HostFacts:
    return facts_.HostFacts(**{"devices": {}, **more})


def make(
    *,
    settings: settings_.Settings | None = None,
    host: facts_.HostFacts | None = None,
    **config: Any,
) -> dict[str, Any]:
    """The spec of a plugin whose config has the given fields."""
    parsed = config_.PluginConfig(**{"entrypoint": ("/driver",), **config})
    plugin = plugin_.Plugin(
        id=ID,
        name="x/y:latest",
        config=parsed,
        settings=settings or settings_.default_settings(parsed),
        config_digest=NOTHING,
        manifest_digest=NOTHING,
    )
    return runtime.runtime_spec(plugin, DIRS, host or facts(), Confinement())


def destinations(spec: dict[str, Any]) -> list[str]:
    return [mount["destination"] for mount in spec["mounts"]]


def mount_at(spec: dict[str, Any], destination: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        mount for mount in reversed(spec["mounts"]) if mount["destination"] == destination
    )
    return found


DEFAULT_PLACES = [
    "/proc",
    "/dev",
    "/dev/pts",
    "/sys",
    "/sys/fs/cgroup",
    "/dev/mqueue",
    "/dev/shm",
]
LOG = PluginMount(source="/var/log", destination="/log", type="bind", options=("rbind",))


def test_default_mounts_in_order() -> None:
    spec = make()
    assert destinations(spec) == [*DEFAULT_PLACES, "/run/docker/plugins"]
    assert mount_at(spec, "/dev") == {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    }
    assert "ro" in mount_at(spec, "/sys")["options"]
    assert "ro" in mount_at(spec, "/sys/fs/cgroup")["options"]


def test_every_part_has_its_place() -> None:
    spec = make(propagated_mount="/mnt", mounts=(LOG,), network_type="host")
    assert destinations(spec)[len(DEFAULT_PLACES) :] == [
        "/mnt",
        "/log",
        "/run/docker/plugins",
        "/etc/hosts",
        "/etc/resolv.conf",
    ]


def test_the_socket_directory() -> None:
    assert mount_at(make(), "/run/docker/plugins") == {
        "destination": "/run/docker/plugins",
        "type": "bind",
        "source": "/run/docker/plugins/id",
        "options": ["rbind", "rshared"],
    }


def test_propagated_mount_is_shared_both_ways() -> None:
    spec = make(propagated_mount="/mnt/volumes")
    assert mount_at(spec, "/mnt/volumes") == {
        "destination": "/mnt/volumes",
        "type": "bind",
        "source": "/p/propagated-mount",
        "options": ["rbind", "rw", "rshared"],
    }
    assert spec["linux"]["rootfsPropagation"] == "rshared"
    assert "rootfsPropagation" not in make()["linux"]


@pytest.mark.parametrize("network_type", ["host", "bridge", "none", "null", "anything"])
def test_any_network_type_brings_the_hosts_names(network_type: str) -> None:
    spec = make(network_type=network_type)
    for path in ("/etc/hosts", "/etc/resolv.conf"):
        assert mount_at(spec, path)["source"] == path
        assert mount_at(spec, path)["options"] == ["rbind", "ro"]


def test_a_host_without_resolv_conf() -> None:
    spec = make(network_type="host", host=facts(network_files=("/etc/hosts",)))
    assert "/etc/resolv.conf" not in destinations(spec)


def test_a_collector_sees_the_metrics_of_each_start_of_the_agent() -> None:
    assert "/run/docker/metrics.sock" not in destinations(make())
    # A plugin may have its propagated mount above all that is below /run/docker.
    spec = make(host=facts(metrics_socket="/p/metrics.sock"), propagated_mount="/run/docker")
    assert destinations(spec)[-2:] == ["/run/docker/plugins", "/run/docker/metrics.sock"]
    assert mount_at(spec, "/run/docker/metrics.sock") == {
        "destination": "/run/docker/metrics.sock",
        "type": "bind",
        "source": "/p/metrics.sock",
        "options": ["rbind", "ro", "rslave"],
    }


def test_the_fifos_of_a_dockerd_are_where_it_says_that_they_are() -> None:
    assert "/run/docker/logging" not in destinations(make())
    mount = mount_at(make(host=facts(log_fifos="/run/docker/logging")), "/run/docker/logging")
    assert (mount["source"], mount["options"]) == ("/run/docker/logging", ["rbind", "rslave"])


def test_mounts_come_from_the_settings_not_from_the_config() -> None:
    moved = settings_.Settings(mounts=(dataclasses.replace(LOG, source="/elsewhere"),))
    assert mount_at(make(mounts=(LOG,), settings=moved), "/log")["source"] == "/elsewhere"


def test_a_mount_without_source_is_refused() -> None:
    with pytest.raises(errors.System, match=r"^mount source is not specified$"):
        make(mounts=(dataclasses.replace(LOG, source=None),))


def test_an_empty_source_is_an_empty_directory_not_the_bundle() -> None:
    mount = dataclasses.replace(LOG, source="", options=("rbind", "rw"))
    assert mount_at(make(mounts=(mount,)), "/log") == {
        "destination": "/log",
        "type": "bind",
        "source": "/run/empty",
        "options": ["bind", "ro"],
    }


@pytest.mark.parametrize("type_", ["none", "", "bind"])
def test_whatever_has_the_option_bind_is_one(type_: str) -> None:
    mount = dataclasses.replace(LOG, type=type_, options=("bind", "ro"))
    found = mount_at(make(mounts=(mount,)), "/log")
    assert (found["type"], found["options"]) == ("bind", ["bind", "ro"])


def test_type_bind_without_the_option_is_one_too() -> None:
    mount = dataclasses.replace(LOG, options=None)
    assert mount_at(make(mounts=(mount,)), "/log")["options"] == ["rbind"]


def test_other_types_are_left_alone() -> None:
    mount = PluginMount(source="", destination="/t", type="tmpfs", options=("size=1m",))
    assert mount_at(make(mounts=(mount,)), "/t") == {
        "destination": "/t",
        "type": "tmpfs",
        "source": "",
        "options": ["size=1m"],
    }


@pytest.mark.parametrize("destination", ["/dev/shm", "/dev/shm/", "//dev//shm"])
def test_a_mount_of_the_plugins_over_dev_replaces_the_default(destination: str) -> None:
    spec = make(mounts=(dataclasses.replace(LOG, destination=destination),))
    assert destinations(spec) == [
        *(place for place in DEFAULT_PLACES if place != "/dev/shm"),
        destination,
        "/run/docker/plugins",
    ]


def test_several_mounts_over_dev_all_stay() -> None:
    places = ("/dev/shm", "/dev/mqueue", "/dev/disk")
    spec = make(mounts=tuple(dataclasses.replace(LOG, destination=place) for place in places))
    for place in places:
        assert destinations(spec).count(place) == 1
        assert mount_at(spec, place)["source"] == "/var/log"


@pytest.mark.parametrize("destination", ["/dev", "/dev/"])
def test_the_hosts_dev_replaces_all_of_it(destination: str) -> None:
    spec = make(mounts=(dataclasses.replace(LOG, source="/dev", destination=destination),))
    assert destinations(spec) == [
        "/proc",
        "/sys",
        "/sys/fs/cgroup",
        destination,
        "/run/docker/plugins",
    ]


def test_mounts_beside_dev_replace_nothing() -> None:
    for place in ("/device", "/sys", "/proc"):
        spec = make(mounts=(dataclasses.replace(LOG, destination=place),))
        assert destinations(spec)[: len(DEFAULT_PLACES)] == DEFAULT_PLACES
