# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The default profile: what is denied to whom."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind.model.facts import Kernel
from plugind.model.seccomp import Profile, Seccomp
from plugind.spec import defaults, seccomp

AMD64 = Kernel(machine="x86_64", version=(6, 1))
EVERY = (
    "CAP_BPF", "CAP_DAC_READ_SEARCH", "CAP_NET_ADMIN", "CAP_PERFMON", "CAP_SYSLOG",
    "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_MODULE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG",
)  # fmt: skip
ADMIN = (
    "add_key bpf clone3 fanotify_init fsconfig fsmount fsopen fspick keyctl lookup_dcookie mount "
    "mount_setattr move_mount name_to_handle_at open_tree open_tree_attr perf_event_open pivot_root "
    "quotactl quotactl_fd request_key setdomainname sethostname setns swapoff swapon syslog umount "
    "umount2"
)
NEVER = {
    "_sysctl", "bdflush", "create_module", "get_kernel_syms", "io_uring_enter", "io_uring_register",
    "io_uring_setup", "nfsservctl", "query_module", "sysfs", "uselib", "ustat", "vm86", "vm86old",
}  # fmt: skip


def rules(*granted: str, kernel: Kernel = AMD64) -> list[dict[str, Any]]:
    made = seccomp.compute_filter(Seccomp(), (*defaults.CAPABILITIES, *granted), kernel)
    assert made is not None
    assert made["defaultAction"] == "SCMP_ACT_ALLOW"
    found: list[dict[str, Any]] = made["syscalls"]
    return found


def denied(*granted: str) -> set[str]:
    """Calls that are denied whatever their arguments."""
    return {name for rule in rules(*granted) if "args" not in rule for name in rule["names"]}


def flags(call: str, *granted: str, kernel: Kernel = AMD64) -> int:
    """The flags with which a call is denied."""
    found = 0
    for rule in rules(*granted, kernel=kernel):
        if rule["names"] == [call]:
            [argument] = rule["args"]
            assert argument["op"] == "SCMP_CMP_MASKED_EQ"
            assert argument["value"] == argument["valueTwo"]
            found |= argument["value"]
    return found


@pytest.mark.parametrize(
    ("capability", "calls"),
    [
        ("CAP_SYS_MODULE", "init_module finit_module delete_module"),
        ("CAP_SYS_BOOT", "reboot kexec_load kexec_file_load"),
        ("CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
        ("CAP_SYS_PACCT", "acct"),
        ("CAP_SYS_RAWIO", "iopl ioperm pciconfig_read pciconfig_write pciconfig_iobase"),
        ("CAP_BPF", "bpf"),
        ("CAP_PERFMON", "perf_event_open lookup_dcookie"),
        ("CAP_SYSLOG", "syslog"),
        ("CAP_SYS_PTRACE", "kcmp pidfd_getfd userfaultfd"),
        ("CAP_SYS_TTY_CONFIG", "vhangup"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at name_to_handle_at"),
        (
            "CAP_SYS_ADMIN",
            ADMIN,
        ),
        ("CAP_NET_ADMIN", ""),
    ],
)
def test_a_capability_allows_its_calls_and_no_others(capability: str, calls: str) -> None:
    assert denied() - denied(capability) == set(calls.split())


def test_what_no_capability_allows() -> None:
    assert denied(*EVERY) == NEVER


def test_ordinary_work_is_allowed() -> None:
    ordinary = (
        "open read write socket execve fork vfork chroot mknod chown setuid ptrace mmap futex"
    )
    assert not denied() & set(ordinary.split())


def test_namespaces_need_cap_sys_admin() -> None:
    every = 0x7E02_0000
    assert flags("clone") == every
    assert flags("unshare") == every | 0x80, "a time namespace; for clone that is a signal"
    assert flags("clone", "CAP_SYS_ADMIN") == flags("unshare", "CAP_SYS_ADMIN") == 0
    assert {rule["args"][0]["index"] for rule in rules() if rule["names"] == ["clone"]} == {0}
    s390x = [r for r in rules(kernel=Kernel(machine="s390x")) if r["names"] == ["clone"]]
    assert {rule["args"][0]["index"] for rule in s390x} == {1}
    assert flags("clone", kernel=Kernel(machine="s390x")) == every


@given(st.integers(0, (1 << 64) - 1))
def test_an_unshare_passes_if_it_makes_no_namespace(argument: int) -> None:
    hit = any(
        argument & rule["args"][0]["value"] == rule["args"][0]["valueTwo"]
        for rule in rules()
        if rule["names"] == ["unshare"]
    )
    assert hit is bool(argument & 0x7E02_0080)


def test_denials_are_eperm_but_for_clone3_from_which_libc_falls_back() -> None:
    for rule in rules():
        assert rule["action"] == "SCMP_ACT_ERRNO"
        assert rule["errnoRet"] == (38 if rule["names"] == ["clone3"] else 1)


def test_the_choice() -> None:
    assert seccomp.compute_filter(Seccomp(name="unconfined"), (), AMD64) is None
    own = Seccomp(name="/p", profile=Profile(default_action="SCMP_ACT_LOG"))
    made = seccomp.compute_filter(own, (), AMD64)
    assert made is not None
    assert (made["defaultAction"], made["syscalls"]) == ("SCMP_ACT_LOG", [])
