# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The constant parts of a plugin's runtime spec: Docker's defaults for plugins (moby `oci`).

Every function returns fresh objects, so that the spec made from them can be changed freely.
"""

from __future__ import annotations

from typing import Any

OCI_VERSION = "1.0.2"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Where a plugin finds the directory of its socket, and other plugins' clients do not.
RUNTIME_DIR = "/run/docker/plugins"
LOG_FIFOS = "/run/docker/logging"
METRICS_SOCKET = "/run/docker/metrics.sock"
#: Parent of every plugin's cgroup. Absolute: a relative one lands below the agent's own service,
#: and a service manager that stops the agent would then stop every plugin.
CGROUP_PARENT = "/plugind"

CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)
NAMESPACES = ("mount", "network", "uts", "pid", "ipc")
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)
_MOUNTS = (
    ("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
    ("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev")),
    ("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    ("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777")),  # noqa: S108  in there
)
#: zero, null, urandom, random, tty, console
_ALLOWED_DEVICES = ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))
_FUSE = (10, 229)


def mounts() -> list[dict[str, Any]]:
    """Return the default mounts, in their order."""
    return [
        {"destination": destination, "type": type_, "source": source, "options": list(options)}
        for destination, type_, source, options in _MOUNTS
    ]


def device_rules() -> list[dict[str, Any]]:
    """Return the default rules of the device cgroup; a later rule wins."""
    return [
        {"allow": False, "access": "rwm"},
        *(device_rule("c", major, minor) for major, minor in _ALLOWED_DEVICES),
        {**device_rule("c", *_FUSE), "allow": False},
    ]


def device_rule(type_: str, major: int, minor: int) -> dict[str, Any]:
    """Return the rule that allows everything with one device."""
    return {"allow": True, "type": type_, "major": major, "minor": minor, "access": "rwm"}
