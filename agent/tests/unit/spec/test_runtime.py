# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The runtime spec, sentence by sentence of what Docker makes, and what is mended."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from plugind import errors
from plugind.model import config as config_
from plugind.model import facts as facts_
from plugind.model import plugin as plugin_
from plugind.model import settings as settings_
from plugind.model.config import PluginDevice
from plugind.model.confinement import Confinement
from plugind.model.digest import Digest
from plugind.model.seccomp import Seccomp
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
FUSE = facts_.DeviceNode(path="/dev/fuse", type="c", major=10, minor=229, mode=0o666)
DEFAULT_CAPABILITIES = [
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
]


def facts(**more: Any) -> facts_.HostFacts:
    return facts_.HostFacts(**{"devices": {}, **more})


def make(
    *,
    settings: settings_.Settings | None = None,
    host: facts_.HostFacts | None = None,
    confinement: Confinement | None = None,
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
    return runtime.runtime_spec(plugin, DIRS, host or facts(), confinement or Confinement())


def namespaces(spec: dict[str, Any]) -> list[str]:
    assert all(set(namespace) == {"type"} for namespace in spec["linux"]["namespaces"])
    return [namespace["type"] for namespace in spec["linux"]["namespaces"]]


# --- process ----------------------------------------------------------------------------------


def test_root_is_the_rootfs_writable() -> None:
    assert make()["root"] == {"path": "/p/rootfs", "readonly": False}


def test_process_is_root_without_terminal_limits_or_profiles() -> None:
    process = make()["process"]
    assert process["user"] == {"uid": 0, "gid": 0}
    assert process["terminal"] is False
    assert process["noNewPrivileges"] is False
    assert process["cwd"] == "/"
    for absent in ("rlimits", "apparmorProfile", "selinuxLabel", "oomScoreAdj"):
        assert absent not in process


def test_no_limits_but_for_devices_unless_they_are_set() -> None:
    assert set(make()["linux"]["resources"]) == {"devices"}
    limits = Confinement(memory=64 << 20, cpus=1.5, pids=7)
    made = make(confinement=limits)["linux"]["resources"]
    assert made["memory"] == {"limit": 64 << 20}
    assert made["cpu"] == {"quota": 150_000, "period": 100_000}
    assert made["pids"] == {"limit": 7}
    swap = make(confinement=limits, host=facts(swap_accounted=True))["linux"]["resources"]
    assert swap["memory"] == {"limit": 64 << 20, "swap": 64 << 20}, "none of it may be swap"


def test_seccomp_allows_what_was_granted() -> None:
    def denied(**more: Any) -> set[str]:
        rules = make(**more)["linux"]["seccomp"]["syscalls"]
        return {name for rule in rules for name in rule["names"]}

    assert {"keyctl", "mount", "reboot"} <= denied()
    assert not {"keyctl", "mount"} & denied(capabilities=("CAP_SYS_ADMIN",))
    unconfined = Confinement(seccomp=Seccomp(name="unconfined"))
    assert "seccomp" not in make(confinement=unconfined)["linux"]


def test_the_cgroup_does_not_depend_on_the_agents_own() -> None:
    assert make()["linux"]["cgroupsPath"] == f"/plugind/{ID}"


def test_user_is_honoured() -> None:
    assert make(uid=1000, gid=100)["process"]["user"] == {"uid": 1000, "gid": 100}


def test_environment_is_path_and_then_the_settings() -> None:
    env = (config_.PluginEnv(name="A", value="1"), config_.PluginEnv(name="UNSET"))
    assert make(env=env)["process"]["env"] == [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "A=1",
    ]
    changed = settings_.Settings(env=("A=2", "PATH=/x", "linode-token=t"))
    assert make(env=env, settings=changed)["process"]["env"][1:] == [
        "A=2",
        "PATH=/x",
        "linode-token=t",
    ]


def test_arguments_are_entrypoint_and_then_the_settings() -> None:
    args = config_.PluginArgs(value=("--a",))
    assert make(entrypoint=("run", "x"), args=args)["process"]["args"] == ["run", "x", "--a"]
    changed = settings_.Settings(args=("--b",))
    assert make(args=args, settings=changed)["process"]["args"] == ["/driver", "--b"]


def test_a_relative_entrypoint_stays_relative_to_workdir() -> None:
    process = make(entrypoint=("./run.py",), work_dir="/app")["process"]
    assert (process["args"], process["cwd"]) == (["./run.py"], "/app")


# --- capabilities, namespaces, paths ----------------------------------------------------------


def test_default_capabilities() -> None:
    capabilities = make()["process"]["capabilities"]
    for name in ("bounding", "permitted", "effective"):
        assert capabilities[name] == DEFAULT_CAPABILITIES
    assert capabilities["inheritable"] == []
    assert "ambient" not in capabilities


def test_more_capabilities_go_into_all_four_sets() -> None:
    capabilities = make(capabilities=("CAP_SYS_ADMIN", "CAP_MKNOD"))["process"]["capabilities"]
    for name in ("bounding", "permitted", "effective"):
        assert capabilities[name] == [*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"], "none twice"
    assert capabilities["inheritable"] == ["CAP_SYS_ADMIN", "CAP_MKNOD"]
    assert "ambient" not in capabilities


def test_what_was_asked_for_reaches_a_user_other_than_root() -> None:
    capabilities = make(capabilities=("CAP_SYS_ADMIN",), uid=1)["process"]["capabilities"]
    assert capabilities["ambient"] == ["CAP_SYS_ADMIN"]
    assert "ambient" not in make(uid=1)["process"]["capabilities"]


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ({}, set()),
        ({"network_type": "bridge"}, set()),
        ({"network_type": "none"}, set()),
        ({"network_type": "host"}, {"network"}),
        ({"pid_host": True}, {"pid"}),
        ({"ipc_host": True}, {"ipc"}),
        (
            {"network_type": "host", "pid_host": True, "ipc_host": True},
            {"network", "pid", "ipc"},
        ),
    ],
)
def test_namespaces(config: dict[str, Any], missing: set[str]) -> None:
    found = namespaces(make(**config))
    assert set(found) == {"mount", "network", "uts", "pid", "ipc"} - missing
    assert len(found) == len(set(found))


def test_masked_and_readonly_paths() -> None:
    linux = make(host=facts(thermal_throttle=("/sys/devices/system/cpu/cpu0/x",)))["linux"]
    proc = "acpi asound interrupts kcore keys latency_stats sched_debug scsi timer_list timer_stats"
    assert linux["maskedPaths"] == [
        *(f"/proc/{name}" for name in proc.split()),
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
        "/sys/devices/system/cpu/cpu0/x",
    ]
    assert linux["readonlyPaths"] == [
        f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger")
    ]


# --- devices ----------------------------------------------------------------------------------

DEVICE = PluginDevice(path="/dev/fuse")
HAS_FUSE = facts(devices={"/dev/fuse": (FUSE,)})


def rules(spec: dict[str, Any]) -> list[tuple[Any, ...]]:
    keys = ("allow", "type", "major", "minor", "access")
    return [tuple(rule.get(key) for key in keys) for rule in spec["linux"]["resources"]["devices"]]


def test_default_device_rules() -> None:
    spec = make()
    assert rules(spec) == [
        (False, None, None, None, "rwm"),
        *((True, "c", *n, "rwm") for n in ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))),
        (False, "c", 10, 229, "rwm"),
    ]
    assert spec["linux"]["devices"] == []


def test_a_device_is_created_and_allowed_by_a_later_rule() -> None:
    spec = make(devices=(DEVICE,), host=HAS_FUSE)
    assert spec["linux"]["devices"] == [
        {
            "path": "/dev/fuse",
            "type": "c",
            "major": 10,
            "minor": 229,
            "fileMode": 0o666,
            "uid": 0,
            "gid": 0,
        }
    ]
    assert rules(spec)[-2:] == [(False, "c", 10, 229, "rwm"), (True, "c", 10, 229, "rwm")]


def test_a_directory_of_devices() -> None:
    nodes = tuple(dataclasses.replace(FUSE, path=f"/dev/d/{n}", minor=n) for n in range(3))
    spec = make(devices=(PluginDevice(path="/dev/d"),), host=facts(devices={"/dev/d": nodes}))
    assert [device["minor"] for device in spec["linux"]["devices"]] == [0, 1, 2]


def test_allow_all_devices_is_one_rule_and_no_node() -> None:
    spec = make(allow_all_devices=True)
    assert rules(spec) == [(True, None, None, None, "rwm")]
    assert spec["linux"]["devices"] == []
    with_fuse = make(allow_all_devices=True, devices=(DEVICE,), host=HAS_FUSE)
    assert rules(with_fuse) == [(True, None, None, None, "rwm"), (True, "c", 10, 229, "rwm")]


def test_devices_come_from_the_settings() -> None:
    moved = settings_.Settings(devices=(PluginDevice(path="/dev/other"),))
    node = dataclasses.replace(FUSE, path="/dev/other", minor=7)
    host = facts(devices={"/dev/other": (node,)})
    spec = make(devices=(DEVICE,), settings=moved, host=host)
    assert [device["path"] for device in spec["linux"]["devices"]] == ["/dev/other"]


def test_devices_that_cannot_be_made() -> None:
    with pytest.raises(errors.System, match="device path is not specified"):
        make(devices=(PluginDevice(),))
    with pytest.raises(errors.System, match='cannot add device "/dev/fuse"'):
        make(devices=(DEVICE,))


# --- real ones --------------------------------------------------------------------------------


def real_configs() -> list[Path]:
    beside = Path(__file__).resolve().parents[4] / "../shared"
    directory = Path(os.environ.get("PLUGIND_SHARED", beside)) / "configs"
    return [path for path in sorted(directory.glob("*.json")) if "template" not in path.name]


@pytest.mark.parametrize("path", real_configs(), ids=lambda path: path.stem)
def test_real_configs_make_a_spec(path: Path) -> None:
    parsed = config_.parse_config(path.read_bytes())
    settings = settings_.default_settings(parsed)
    given = tuple(
        dataclasses.replace(mount, source=mount.source or "") for mount in settings.mounts
    )
    devices = tuple(device for device in settings.devices if device.path is not None)
    plugin = plugin_.Plugin(
        id=ID,
        name="x/y:latest",
        config=parsed,
        settings=dataclasses.replace(settings, mounts=given, devices=devices),
        config_digest=NOTHING,
        manifest_digest=NOTHING,
    )
    host = facts(devices={device.path: (FUSE,) for device in devices if device.path})
    spec = runtime.runtime_spec(plugin, DIRS, host, Confinement())
    assert json.loads(json.dumps(spec)) == spec
    assert spec["process"]["args"][: len(parsed.entrypoint or ())] == list(parsed.entrypoint or ())
    assert all(mount["source"] for mount in spec["mounts"])
    denied = {name for rule in spec["linux"]["seccomp"]["syscalls"] for name in rule["names"]}
    assert ("mount" in denied) is ("CAP_SYS_ADMIN" not in (parsed.capabilities or ()))
    for capability in parsed.capabilities or ():
        assert capability in spec["process"]["capabilities"]["effective"]
