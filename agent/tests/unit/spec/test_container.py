# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A container's runtime spec."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from plugind.model.facts import Kernel
from plugind.model.seccomp import Seccomp
from plugind.spec import container as spec_
from plugind.spec import defaults
from unit.model.containers.test_container import ID, make

FILES = {"/etc/hosts": "/c/etc/hosts", "/etc/hostname": "/c/etc/hostname"}


def spec(user: spec_.UserIds | None = None, **body: Any) -> dict[str, Any]:
    place = spec_.Place(
        rootfs=PurePosixPath("/c/merged"),
        user=user or spec_.UserIds(),
        files=FILES,
        volumes={"/a": "/volumes/v/_data"},
        masked=("/sys/x",),
        kernel=Kernel(machine="x86_64", version=(6, 1)),
    )
    return spec_.container_spec(make(**body), place)


def mounts(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["destination"]: mount for mount in document["mounts"]}


def namespaces(document: dict[str, Any]) -> set[str]:
    return {one["type"] for one in document["linux"]["namespaces"]}


def test_dockers_default_container() -> None:
    made = spec(WorkingDir="/w", Env=["A=b"])
    assert made["process"]["args"] == ["sh"]
    assert made["process"]["cwd"] == "/w"
    assert "A=b" in made["process"]["env"]
    assert made["process"]["terminal"] is made["root"]["readonly"] is False
    assert made["process"]["capabilities"]["effective"] == list(defaults.CAPABILITIES)
    assert made["process"]["capabilities"]["inheritable"] == []
    assert made["hostname"] == ID[:12]
    assert made["linux"]["cgroupsPath"] == f"/plugind/{ID}"
    assert made["linux"]["maskedPaths"] == [*defaults.MASKED_PATHS, "/sys/x"]
    assert made["linux"]["readonlyPaths"] == list(defaults.READONLY_PATHS)
    assert namespaces(made) == {"mount", "network", "uts", "pid", "ipc"}
    assert made["linux"]["resources"]["devices"][0] == {"allow": False, "access": "rwm"}


def test_seccomp_is_the_default_profile_or_the_one_that_was_chosen() -> None:
    rules = spec()["linux"]["seccomp"]
    assert rules["defaultAction"] == "SCMP_ACT_ALLOW"
    assert "SCMP_ARCH_X32" in rules["architectures"]
    place = spec_.Place(rootfs=PurePosixPath("/c"), seccomp=Seccomp(name="unconfined"))
    assert "seccomp" not in spec_.container_spec(make(), place)["linux"]


def test_the_hosts_network_is_no_namespace() -> None:
    host = spec(HostConfig={"NetworkMode": "host"})
    assert "network" not in namespaces(host)
    assert "network" in namespaces(spec(HostConfig={"NetworkMode": "none"}))


def test_another_user_holds_no_capability() -> None:
    made = spec(spec_.UserIds(uid=1000, gid=1, groups=(2, 3)))
    assert made["process"]["user"] == {"uid": 1000, "gid": 1, "additionalGids": [2, 3]}
    assert made["process"]["capabilities"]["effective"] == []
    assert made["process"]["capabilities"]["bounding"] == list(defaults.CAPABILITIES)


def test_mounts() -> None:
    binds = {"Binds": ["v:/a", "/h:/b:ro"], "Tmpfs": {"/t": "size=1m,exec"}}
    found = mounts(spec(HostConfig=binds))
    assert found["/a"]["source"] == "/volumes/v/_data"
    assert found["/a"]["options"] == ["rbind", "rw", "rprivate"]
    assert (found["/b"]["source"], found["/b"]["options"][1]) == ("/h", "ro")
    assert found["/t"]["options"] == ["nosuid", "nodev", "size=1m", "exec"]
    assert found["/etc/hosts"]["source"] == "/c/etc/hosts"
    assert found["/proc"]["type"] == "proc"


def test_a_mount_of_the_containers_own_replaces_what_is_usually_there() -> None:
    made = spec(HostConfig={"Binds": ["/h:/etc/hosts", "/s:/dev/shm"], "ReadonlyRootfs": True})
    destinations = [mount["destination"] for mount in made["mounts"]]
    assert len(destinations) == len(set(destinations))
    assert mounts(made)["/etc/hosts"]["source"] == "/h"
    assert mounts(made)["/dev/shm"]["source"] == "/s"
    assert made["root"] == {"path": "/c/merged", "readonly": True}


def test_a_mount_below_another_comes_after_it() -> None:
    made = spec(HostConfig={"Binds": ["/x:/a/b", "v:/a"], "Tmpfs": {"/a/b/c": "ro"}})
    own = [mount["destination"] for mount in made["mounts"]][-3:]
    assert own == ["/a", "/a/b", "/a/b/c"]
    assert made["mounts"][-1]["options"] == ["noexec", "nosuid", "nodev", "ro"]
