# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Every figure: what it is in words, its goal, and why it may be missed. The tables of the document, in their order.

A goal is a ratio to the peer, unless `limit` says that it is a value of ours in the figure's own unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SLEEP = "_without_the_peers_sleep"


@dataclass(frozen=True)
class Row:
    """One figure. `why` is printed where its goal is missed."""

    title: str
    goal: float | None = None
    limit: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Table:
    """The figures of one benchmark, by name. `heads` name the columns of ours and `second`."""

    rows: Mapping[str, Row]
    heads: tuple[str, str] = ("plugind", "dockerd")
    second: str = "peer"


_CREATED = (
    "A volume is a file in a directory of its own: one commit of the file system's journal. dockerd overwrites"
    " pages of a database, which is none; both flush the disk twice. The rest is processor time, 2.6 ms against 1.4,"
    " of which 1.2 are a request with one question to the plugin. A record of its own survives any kill and can be"
    " read with any tool, so it stays."
)
_REMOVED = (
    "One commit of the file system's journal, dockerd none; both flush the disk twice. Processor time: 2.6 ms"
    " against 1.9."
)
_REQUEST = (
    "Processor time of a call: 1 to 1.2 ms against 0.9 to 1. HTTP alone is 0.6 of ours, the rest is the question"
    " to the plugin."
)
_LIST = (
    "Processor time of a call: 1.1 ms against 0.9, with 1,000 volumes 4.8 against 3.3. A thousand volumes are 0.2"
    " ms of decoding what the plugin says, 0.9 of making volumes of it, 1.1 of matching them with the records, 0.9"
    " of encoding."
)
_STOPPED = (
    "The plugin's own exit takes 2 ms, conmon's after it 2, and the record is two commits of the file system's"
    " journal (dockerd: one). Nobody waits for the runtime's clearing up."
)
_CREATE = (
    "Processor time decides, for 100 MB 1.1 s against 5.1: 0.45 s to compress, hash and write the layer, in a"
    " thread of its own, 0.2 to extract, more than half of it in the kernel; the rest takes in the client's tar and"
    " writes another."
)
_CREATE_SMALL = (
    "600 files are 0.11 s of processor time against 0.4, and eight commits of the file system's journal, dockerd"
    " ten: those take as long for a small plugin as for a large one."
)
_INSTALL = (
    "A pull of 100 MB is 0.55 s of processor time (dockerd and its unpigz: 1.4): 0.22 to decompress and hash, 0.22"
    " to extract 3,200 files, more than half of it in the kernel, and the rest to take in, hash and keep the blob."
    " After it 0.1 s of syncing is left, and the start of the plugin, which dockerd hides in its sleep."
)
_INSTALL_SMALL = (
    "About a third is the start of the plugin by conmon and runc, which dockerd hides in its sleep. The pull of 600"
    " files is 0.07 s of processor time against 0.2, and eight commits of the file system's journal, as dockerd's."
)
_TASK = (
    "Most of it is Ansible's own: `raw` below, and its copies of every value of a task and of a result. The rest is the"
    " start of Python on the host, and the agent's look at all plugins and volumes. The goal was set where Ansible's"
    " `ping` takes 150 ms."
)


def _calls() -> dict[str, Row]:
    return {
        "plugin_create": Row("plugin create, next to nothing in it"),
        "plugin_enable": Row(
            "plugin enable",
            0.15,
            why="The plugin's own start is part of it, and dockerd hides that in its sleep.",
        ),
        f"plugin_enable{SLEEP}": Row("plugin enable, without the peer's sleep"),
        "plugin_disable": Row(
            "plugin disable",
            0.5,
            why=_STOPPED,
        ),
        "plugin_rm": Row("plugin rm"),
        "plugin_inspect": Row("plugin inspect"),
        "plugin_ls": Row("plugin ls"),
    }


def _content() -> dict[str, Row]:
    rows = {}
    goals = {6: (0.33, 0.15), 100: (0.2, 0.33), 500: (0.2, 0.33)}
    for size, (create, _) in goals.items():
        why = _CREATE_SMALL if size == 6 else _CREATE
        rows |= {
            f"plugin_create_{size}mb": Row(f"plugin create, {size} MB", create, why=why),
            f"plugin_create_{size}mb_durable": Row(
                f"plugin create, {size} MB, durable", create, why=why
            ),
            f"blob_{size}mb": Row(f"its layer, {size} MB", 1.15),
        }
    for size, (_, install) in goals.items():
        why = _INSTALL_SMALL if size == 6 else _INSTALL
        base = f"plugin_install_{size}mb"
        rows |= {
            f"plugin_pull_{size}mb": Row(f"plugin pull, {size} MB"),
            base: Row(f"plugin install, {size} MB", install, why=why),
            f"{base}{SLEEP}": Row(f"plugin install, {size} MB, without the peer's sleep"),
            f"{base}_durable": Row(f"plugin install, {size} MB, durable", install, why=why),
            f"{base}_durable{SLEEP}": Row(
                f"plugin install, {size} MB, durable, without the peer's sleep"
            ),
        }
    return rows


def _volumes() -> dict[str, Row]:
    rows = {}
    why = {"create": _CREATED, "rm": _REMOVED, "inspect": _REQUEST, "ls": _LIST}
    for count in (1, 100, 1000):
        for verb, reason in why.items():
            title = f"volume {verb}, {count:,} volume{'s' if count > 1 else ''}"
            rows[f"volume_{verb}_{count}"] = Row(title, 1.0, why=reason)
    return rows


def _restart() -> dict[str, Row]:
    why = (
        "Most of our start are imports: aiohttp, jsonschema and what they bring. What is adopted afterwards"
        " takes a few milliseconds for each plugin."
    )
    return {
        "restart_20_plugins": Row("stop and start", 0.3, why=why),
        "start_20_plugins": Row("start alone"),
        "plugins_restarted": Row("plugins that were restarted by it", limit=0),
    }


def _converge() -> dict[str, Row]:
    return {
        "converge_first": Row(
            "first run, its tasks",
            0.125,
            why="Five plugins are installed and enabled one after the other.",
        ),
        f"converge_first{SLEEP}": Row("first run, its tasks, without the peer's five sleeps"),
        "converge_first_command": Row("first run, ansible-playbook as a whole"),
        "converge_noop": Row("nothing to do, its tasks", 0.01, why=_TASK),
        "converge_noop_command": Row("nothing to do, ansible-playbook as a whole"),
        "converge_noop_task": Row("nothing to do, the one task of ours", limit=60, why=_TASK),
    }


def _modules() -> dict[str, Row]:
    return {
        "module_plugin": Row("plugin: `plugin`, `docker_plugin`", 0.15, why=_TASK),
        "module_volume": Row("volume: `volume`, `docker_volume`", 0.15, why=_TASK),
        "module_ping": Row("`ansible.builtin.ping`, the smallest module there is"),
        "module_raw": Row("`ansible.builtin.raw`, a command without any module"),
    }


def _hosts() -> dict[str, Row]:
    rows = {}
    for count in (1, 10, 50):
        hosts = f"{count} host{'s' if count > 1 else ''}"
        for kind, title in (("first", "first run"), ("noop", "nothing to do")):
            rows[f"hosts_{count}_{kind}"] = Row(f"{hosts}, {title}: time of a host")
            rows[f"hosts_{count}_{kind}_cpu"] = Row(
                f"{hosts}, {title}: the controller's CPU for a host"
            )
    return rows


def _front() -> dict[str, Row]:
    titles = {"new": "a connection for each call", "kept": "one connection"}
    return {
        f"front_{method}_{kind}": Row(f"`VolumeDriver.{method.title()}`, {titles[kind]}")
        for method in ("get", "list")
        for kind in ("new", "kept")
    }


def _load() -> dict[str, Row]:
    calls = [
        f"{by}{verb}" for by in ("", "front_") for verb in ("create", "mount", "unmount", "remove")
    ]
    return {f"load_{call}": Row(call.replace("front_", "by the front: ")) for call in calls}


TABLES: dict[str, Table] = {
    "calls": Table(_calls()),
    "content": Table(_content()),
    "volumes": Table(_volumes()),
    "restart": Table(_restart()),
    "memory": Table(
        {
            f"memory_{count}_plugins": Row(
                f"{count} plugin{'s' if count > 1 else ''}",
                0.33,
                why="The agent is a Python process of 30 MiB before it does anything.",
            )
            for count in (1, 20)
        }
    ),
    "modules": Table(_modules(), ("plugind.engine", "community.docker")),
    "converge": Table(_converge(), ("plugind.engine", "community.docker")),
    "hosts": Table(_hosts(), ("plugind.engine", "")),
    "front": Table(_front(), ("front", "own socket")),
    "load": Table(_load(), ("median", "99th percentile"), "p99"),
}
