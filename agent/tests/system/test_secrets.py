# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Planted secrets, and every byte that the agent wrote or answered.

A plugin that says all it knows is installed, set, enabled, used, broken, upgraded and removed through
a proxy that records the API. Then the records, the daemon's log, the clients' output and every file
below the agent's directories are searched. KEPT has the only places where a secret may be.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import secrets
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugind.ctl import http as ctl_http
from support import daemon, recorder
from support.daemon import Agent
from support.docker_registry import DockerRegistry
from support.recorder import Recorder

pytestmark = pytest.mark.root

#: secret -> what it is planted as; the random part is what is searched for
PLANTED = {name: secrets.token_hex(10) for name in (
    "option", "quoted", "labelled option", "named option", "inline", "volume label", "local",
    "env", "labelled env", "named env", "args", "changed option", "changed env", "set by cli",
    "refused", "userinfo",
)}  # fmt: skip
SETTINGS = ("env", "labelled env", "named env", "args", "changed env", "set by cli")
#: Where a secret may be, and which: what a plugin needs at each start, or after going back, and what
#: mount(8) needs. None of it is open to other users.
KEPT = (
    (r"lib/plugins/[0-9a-f]{64}/plugin\.json", SETTINGS),
    (r"lib/undo\.json", SETTINGS),
    (r"run/bundles/[0-9a-f]{64}/config\.json", SETTINGS),
    (r"run/runc/[0-9a-f]{64}/state\.json", SETTINGS),
    (r"lib/volumes/[0-9a-f]{64}/options\.json", ("local",)),
)


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin that says everything, built."""
    source = Path(__file__).parent / "plugins" / "talker"
    return daemon.build_plugin(str(source), tmp_path_factory.mktemp("talker") / "plugin")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "d"


@pytest.fixture
def agent(directory: Path) -> Iterator[Agent]:
    with daemon.run(directory) as running:
        yield running


@pytest.fixture
def recorded(tmp_path: Path, agent: Agent) -> Iterator[Recorder]:
    """Everything that clients are answered; they all come through it."""
    with recorder.run(tmp_path / "proxy.sock", agent.socket) as running:
        agent.socket = running.path
        yield running


def plugin(published: str, tag: str, token: str = "env") -> dict[str, Any]:
    return {
        "name": "talker",
        "source": f"{published}:{tag}",
        "grant": "all",
        "settings": {
            "env": {
                "API_TOKEN": PLANTED[token],
                "LABELLED": PLANTED["labelled env"],
                "NAMED": PLANTED["named env"],
            },
            "args": ["--x", PLANTED["args"]],
        },
        "secret_settings": ["NAMED"],
        "force": True,
    }


def volume(name: str, option: str = "option", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "driver": "talker",
        "options": {
            "password": PLANTED[option],
            "passphrase": f"q\"{PLANTED['quoted']}\\' x",
            "sesame": PLANTED["labelled option"],
            "plain": PLANTED["named option"],
            "o": f"user=u,password={PLANTED['inline']},vers=3",
            "proxy": f"http://u:{PLANTED['userinfo']}@h:1",
        },
        "secret_options": ["plain"],
        **more,
    }


def apply(agent: Agent, *arguments: str, status: int = 0, **document: Any) -> str:
    text = json.dumps(document)
    shown = agent.verb("apply", "-", "--diff", *arguments, input=text, status=status)
    return shown + agent.verb("apply", "-", "--json", "--dry-run", input=text, status=status)


def look(agent: Agent) -> str:
    """Every way to look at what is there."""
    verbs = [
        agent.verb(*words)
        for words in (
            ("ls",), ("ls", "--json"), ("inspect", "talker"), ("logs", "talker"),
            ("volumes",), ("volumes", "--json"),
        )
    ]  # fmt: skip
    clients = [
        agent.cli(*words)
        for words in (
            ("plugin", "ls", "--no-trunc"), ("plugin", "inspect", "talker"), ("volume", "ls"),
            ("info",), ("system", "df", "-v"),
        )
    ]  # fmt: skip
    volumes = json.loads(agent.verb("volumes", "--json"))["Volumes"]
    clients += [agent.cli("volume", "inspect", found["Name"]) for found in volumes]
    queried = agent.verb("query", input='{"plugins": null, "volumes": null}')
    return "\n".join([*verbs, *clients, queried])


def refused(agent: Agent, method: str, path: str, document: Any = None) -> str:
    with pytest.raises(ctl_http.Refused) as caught:
        agent.request(method, path, document)
    return str(caught.value)


def use_and_break(agent: Agent) -> str:
    """Mount, fail, crash, restart: what is said of it."""
    said = [agent.verb("rpc", "talker", "VolumeDriver.Get", '{"Name": "data"}')]
    said.append(agent.verb("rpc", "talker", "VolumeDriver.List"))
    said.append(refused(agent, "POST", "/plugind/volumes/bad/mount", {"Holder": "web"}))
    assert "cannot mount: options" in said[-1]
    agent.verb("volumes", "mount", "data", "--holder", "web")
    said.append(refused(agent, "POST", "/plugind/volumes/crash/mount", {"Holder": "web"}))
    agent.verb("volumes", "holders", "data")  # and the plugin is back
    agent.verb("volumes", "unmount", "data", "--holder", "web")
    said.append(refused(agent, "POST", "/plugind/volumes/local/mount", {"Holder": "web"}))
    assert "mount" in said[-1]
    said.append(refused(agent, "POST", "/volumes/create", "garbage"))
    options = {"password": PLANTED["refused"]}
    document = {"Name": "refused", "Driver": "talker", "DriverOpts": options}
    said.append(refused(agent, "POST", "/volumes/create", document))
    assert "refused: options" in said[-1]
    said.append(
        refused(agent, "POST", "/volumes/create", {**document, "Name": "data", "Driver": "local"})
    )
    return "\n".join(said)


def fail_to_enable(agent: Agent) -> str:
    """Set by the docker CLI, and end with last words."""
    agent.cli("plugin", "disable", "-f", "talker")
    said = [agent.cli("plugin", "set", "talker", f"API_TOKEN={PLANTED['set by cli']}", "FAIL=1")]
    said.append(agent.cli("plugin", "enable", "talker", status=1))
    assert "last output of the plugin" in said[-1]
    said.append(agent.cli("plugin", "set", "talker", f"NOPE={PLANTED['set by cli']}", status=1))
    said.append(agent.cli("plugin", "set", "talker", f"={PLANTED['set by cli']}", status=1))
    said.append(agent.verb("inspect", "talker"))
    agent.cli("plugin", "set", "talker", "FAIL=")
    agent.cli("plugin", "enable", "talker")
    return "\n".join(said)


def declaration(published: str) -> dict[str, Any]:
    """A plugin and volumes, with every kind of secret that can be declared."""
    local = {
        "name": "local",
        "options": {
            "type": "tmpfs",
            "device": "tmpfs",
            "o": f"size=1m,password={PLANTED['local']}",
        },
    }
    labels = {"engine.plugind.secret-options": "free"}
    marked = {"name": "marked", "driver": "talker", "options": {"free": PLANTED["volume label"]}}
    return {
        "plugins": [plugin(published, "1")],
        "volumes": [
            volume("data"),
            volume("bad"),
            volume("crash"),
            local,
            {**marked, "labels": labels},
        ],
    }


def test_no_secret_is_written_or_answered(
    agent: Agent, recorded: Recorder, registry: DockerRegistry, talker: Path, directory: Path
) -> None:
    published = f"{registry.host}/talker"
    for tag in ("1", "2"):
        agent.cli("plugin", "create", f"{published}:{tag}", str(talker))
        agent.cli("plugin", "push", f"{published}:{tag}")
        agent.cli("plugin", "rm", f"{published}:{tag}")
    events = ctl_http.connect(agent.url)
    events.request("GET", "/events?since=1")
    everything = declaration(published)
    shown = [apply(agent, "--dry-run", **everything), apply(agent, **everything)]
    shown.append(look(agent))
    assert_reached_the_plugin(agent)
    shown.append(use_and_break(agent))
    shown.append(look(agent))
    # Stopping means that everything that was printed until now has been read.
    agent.stop()
    assert_clean(directory, recorded, shown)

    # A restart, after which volumes' secrets are known by their digests only.
    agent.start()
    shown.append(look(agent))
    assert "nothing to do" in apply(agent, **everything)
    said = refused(agent, "POST", "/plugind/volumes/bad/mount", {"Holder": "web"})
    assert "cannot mount: options" in said
    shown.append(said)

    # Drift, an upgrade, other settings, another password, and what fails.
    shown.append(apply(agent, status=1, volumes=[volume("data", "changed option")]))
    changed = volume("data", "changed option", recreate="options-changed")
    shown.append(apply(agent, plugins=[plugin(published, "2", "changed env")], volumes=[changed]))
    shown.append(fail_to_enable(agent))
    shown.append(look(agent))
    agent.stop()
    assert_clean(directory, recorded, shown)

    agent.start()
    agent.kill()
    agent.start()
    for name in ("data", "bad", "crash", "marked", "local"):
        agent.cli("volume", "rm", name)
    agent.cli("plugin", "disable", "talker")
    shown.append(agent.cli("plugin", "rm", "talker"))
    agent.stop()
    with contextlib.suppress(OSError, ValueError):
        shown.append(events.getresponse().read().decode())
    events.close()
    assert_clean(directory, recorded, shown)
    assert places(directory) == []


def test_root_may_see_the_settings_and_nobody_else(
    agent: Agent, talker: Path, directory: Path
) -> None:
    agent.cli("plugin", "create", "talker", str(talker))
    agent.cli("plugin", "set", "talker", f"API_TOKEN={PLANTED['env']}")
    assert PLANTED["env"] not in agent.verb("inspect", "talker")
    assert f"API_TOKEN={PLANTED['env']}" in agent.verb("inspect", "--secrets", "talker")
    # A member of the socket's group, which is the group of root here.
    code = (
        "import sys; from plugind.ctl import http; "
        "http.request_json(http.connect(sys.argv[1]), 'GET', sys.argv[2], None)"
    )
    for parent in (directory, *directory.parents):
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    for query, status in (("", 0), ("?secrets=1", 1)):
        argv = [sys.executable, "-c", code, agent.url, f"/plugind/plugins/talker{query}"]
        done = subprocess.run(
            argv, user=65534, group=0, extra_groups=[], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
    assert "cannot show secrets: only root may see them" in done.stderr


def assert_reached_the_plugin(agent: Agent) -> None:
    """The plugin got them: it tells who asks it without the agent."""
    plugin_id = agent.plugin("talker")["Id"]
    connection = http.client.HTTPConnection("plugin")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(agent.sockets / plugin_id / "talker.sock"))
    said = ""
    for name in ("data", "marked"):
        connection.request("POST", "/VolumeDriver.Get", json.dumps({"Name": name}))
        said += connection.getresponse().read().decode()
    connection.close()
    asked = set(PLANTED) - {"local", "changed option", "changed env", "set by cli", "refused"}
    assert [name for name in sorted(asked) if PLANTED[name] not in said] == []


def assert_clean(directory: Path, recorded: Recorder, shown: list[str]) -> None:
    assert len(recorded.answered) > 10_000
    assert found_in(recorded.answered) == []
    assert found_in("\n".join(shown).encode()) == []
    wrong = {}
    for path, names in places(directory):
        kept = [allowed for pattern, allowed in KEPT if re.fullmatch(pattern, path)]
        beyond = set(names) - set(kept[0] if kept else ())
        if beyond or is_open_to_others(directory, path):
            wrong[path] = sorted(beyond)
    assert wrong == {}


def places(directory: Path) -> list[tuple[str, list[str]]]:
    """Return every file below the agent's directories that has secrets in it, and which."""
    found = []
    for path in sorted(directory.rglob("*")):
        # A plugin's rootfs is what was pulled; special files have no content.
        if path.is_symlink() or not path.is_file() or "/rootfs/" in str(path):
            continue
        names = found_in(path.read_bytes())
        if names:
            found.append((str(path.relative_to(directory)), names))
    return found


def found_in(content: bytes) -> list[str]:
    return [name for name, secret in PLANTED.items() if secret.encode() in content]


def is_open_to_others(directory: Path, path: str) -> bool:
    """True if a user who is neither root nor in root's group could read the file."""
    file = directory / path
    if not stat.S_IMODE(file.stat().st_mode) & stat.S_IROTH:
        return False
    inner = [parent for parent in file.parents if directory in parent.parents]
    return all(stat.S_IMODE(parent.stat().st_mode) & stat.S_IXOTH for parent in inner)
