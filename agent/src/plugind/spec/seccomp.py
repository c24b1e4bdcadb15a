# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The default seccomp profile: everything is allowed but what has no business in a plugin.

    compute_filter(seccomp, capabilities, kernel) -> `linux.seccomp`, or None for unconfined

A call is denied with EPERM unless the process may have one of the capabilities that the kernel asks
for it: what was granted works. The kernel checks capabilities itself; the profile keeps what is
denied away from its code, and denies what needs no capability but is not namespaced, or leads to a
user namespace in which every capability is held.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from plugind.model.facts import Kernel
from plugind.model.seccomp import (
    UNCONFINED,
    Argument,
    Condition,
    Profile,
    Rule,
    Seccomp,
)

_EPERM, _ENOSYS = 1, 38
_ADMIN = "CAP_SYS_ADMIN"
_DENY = "SCMP_ACT_ERRNO"

#: (calls, the capabilities of which one is enough), with the reason above each. No capability: never.
_DENIED: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Code in the kernel.
    ("init_module finit_module delete_module", ("CAP_SYS_MODULE",)),
    ("bpf", ("CAP_BPF", _ADMIN)),
    # The whole machine.
    ("kexec_load kexec_file_load reboot", ("CAP_SYS_BOOT",)),
    ("swapon swapoff quotactl quotactl_fd", (_ADMIN,)),
    ("settimeofday stime clock_settime clock_settime64", ("CAP_SYS_TIME",)),
    ("acct", ("CAP_SYS_PACCT",)),
    ("sethostname setdomainname", (_ADMIN,)),
    # The hardware, past the kernel.
    ("iopl ioperm pciconfig_read pciconfig_write pciconfig_iobase", ("CAP_SYS_RAWIO",)),
    # What the kernel and other processes do.
    ("perf_event_open", ("CAP_PERFMON", _ADMIN)),
    ("lookup_dcookie", ("CAP_PERFMON", _ADMIN)),
    ("syslog", ("CAP_SYSLOG", _ADMIN)),
    ("kcmp pidfd_getfd", ("CAP_SYS_PTRACE",)),
    ("fanotify_init", (_ADMIN,)),
    ("vhangup", ("CAP_SYS_TTY_CONFIG",)),
    # Keys belong to users, not to namespaces. mount.ceph puts its secret there.
    ("keyctl add_key request_key", (_ADMIN,)),
    # Every file of a file system, wherever the root is.
    ("open_by_handle_at", ("CAP_DAC_READ_SEARCH",)),
    ("name_to_handle_at", ("CAP_DAC_READ_SEARCH", _ADMIN)),
    # Mounts and namespaces.
    ("mount umount umount2 pivot_root mount_setattr open_tree open_tree_attr", (_ADMIN,)),
    ("move_mount fsopen fsconfig fsmount fspick setns", (_ADMIN,)),
    # Page faults that a program answers hold up the kernel where an attack wants it.
    ("userfaultfd", ("CAP_SYS_PTRACE",)),
    # Calls that pass by every other rule here, in code that is young and has been broken often.
    ("io_uring_setup io_uring_enter io_uring_register", ()),
    # What nobody has called for a long time.
    ("create_module get_kernel_syms query_module nfsservctl uselib ustat sysfs", ()),
    ("_sysctl bdflush vm86 vm86old", ()),
)
#: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_NAMESPACES = (1 << 17, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30)
#: CLONE_NEWTIME: for clone these bits are a signal.
_TIME_NAMESPACE = 1 << 7
#: Where clone takes its flags second.
_SWAPPED = frozenset(("s390", "s390x"))


def compute_filter(
    seccomp: Seccomp, capabilities: Collection[str], kernel: Kernel
) -> dict[str, Any] | None:
    """Return the filter of a process that may ever have `capabilities` (its bounding set)."""
    if seccomp.name == UNCONFINED:
        return None
    return (seccomp.profile or PROFILE).resolve(capabilities, kernel)


def _deny(calls: str, capabilities: tuple[str, ...]) -> Rule:
    return Rule(
        names=tuple(calls.split()),
        action=_DENY,
        errno=_EPERM,
        excludes=Condition(capabilities=frozenset(capabilities)),
    )


def _deny_flag(call: str, index: int, flag: int, *, only: bool | None = None) -> Rule:
    """Deny a call with a flag; `only`: on machines that swap clone's arguments, or on the others."""
    return Rule(
        names=(call,),
        action=_DENY,
        errno=_EPERM,
        arguments=(
            Argument(index=index, value=flag, value_two=flag, operator="SCMP_CMP_MASKED_EQ"),
        ),
        includes=Condition(machines=_SWAPPED if only else frozenset()),
        excludes=Condition(
            capabilities=frozenset((_ADMIN,)),
            machines=_SWAPPED if only is False else frozenset(),
        ),
    )


PROFILE = Profile(
    default_action="SCMP_ACT_ALLOW",
    rules=(
        *(_deny(calls, capabilities) for calls, capabilities in _DENIED),
        *(_deny_flag("unshare", 0, flag) for flag in (_TIME_NAMESPACE, *_NAMESPACES)),
        *(_deny_flag("clone", 0, flag, only=False) for flag in _NAMESPACES),
        *(_deny_flag("clone", 1, flag, only=True) for flag in _NAMESPACES),
        # Its flags are in memory, where a filter cannot look; libc falls back to clone.
        Rule(
            names=("clone3",),
            action=_DENY,
            errno=_ENOSYS,
            excludes=Condition(capabilities=frozenset((_ADMIN,))),
        ),
    ),
)
