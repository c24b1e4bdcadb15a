# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the documentation shows of many hosts, typed on three: each test goes on where the one before has ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import docs.pages as pages
import pytest

from fleet import cli, typed
from fleet.controller import BIN, Result, Terminal, inventory
from fleet.fleet import Fleet
from fleet.rootfs import REPOSITORY as ROOT
from fleet.site import REPOSITORY, assert_sound, read_plugins, tags
from fleet.supplies import obtain_wheelhouse, publish

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]

ROLLOUT = "docs/rollout.md"
BY_HAND = "docs/testing-fleet.md"
COMMANDS = pages.left_to("tests/fleet/test_documents.py", ROOT)
INSTALL, ROLL_OUT = COMMANDS["README.md"]
(
    UPGRADE, ROLL_ON, ROLL_STORAGE, ROLL_CHECKED, ROLL_DRY,
    MAKE_CONTROL, ROLL_HELD, HOLD, GO_ON, STOP, LIFT,
    BACK, BACK_ON_HOST,
    REMOVE, REMOVE_VOLUMES, REMOVE_ALL, REMOVE_AGENT,
) = COMMANDS[ROLLOUT]  # fmt: skip
UP, WHEELHOUSE, PUBLISH, PLAY, LIST, CUT, PING, DOWN = COMMANDS[BY_HAND]

NAMES = {"h1", "h2", "h3"}
STORAGE = {"h2", "h3"}
WORDS = {"INVENTORY": "inventory.json"}
MOUNT = {"path": "/srv/data", "volume": "data"}
# What the page's check asks.
SERVICE = """
mkdir /run/www && touch /run/www/health
python3 -m http.server --directory /run/www 8080 >/run/www/log 2>&1 </dev/null &
"""


class Reader:
    """Somebody with an inventory, who follows the pages in a directory of their own."""

    terminal: Terminal

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.directory = fleet.directory / "reader"
        self.directory.mkdir()
        self.typed: list[pages.Command] = []
        self._given = {
            "agent_wheelhouse": str(obtain_wheelhouse(fleet.ground.lower)),
            "agent_options": {"registry": {"insecure": [fleet.registry.host]}},
        }

    def declare(self, tag: str = "1", **others: object) -> None:
        """Write the inventory; without `others`, a plugin, a volume and a mount are declared."""
        declared = {
            "plugins_plugins": [self.plugin("localdir", tag)],
            "plugins_volumes": [{"name": "data", "driver": "localdir"}],
            "plugins_mounts": [MOUNT],
        }
        listed = inventory(self.fleet, **{**self._given, **declared, **others})
        listed["storage"] = {"hosts": {name: {} for name in sorted(STORAGE)}}
        (self.directory / WORDS["INVENTORY"]).write_text(json.dumps(listed))

    def plugin(self, name: str, tag: str) -> dict[str, str]:
        """Declare a plugin."""
        return {"name": name, "source": f"{self.fleet.registry.host}/{REPOSITORY}:{tag}"}

    def type(self, command: pages.Command, status: int = 0) -> Result:
        """Type a command of a page at the controller."""
        self.typed.append(command)
        return typed.at(self.terminal, command, WORDS, status)

    def type_on(self, name: str, command: pages.Command) -> Result:
        """Type one on a host."""
        self.typed.append(command)
        return typed.on_host(self.fleet[name], command)

    def report(self) -> dict[str, str]:
        """What became of each host, by the report in the directory that the pages name."""
        found = json.loads((self.directory / "reports/plugind-rollout.json").read_text())
        page = (self.directory / "reports/plugind-rollout.html").read_text()
        assert found["rollout"]["message"] in page
        return {host["name"]: host["rollout"]["outcome"] for host in found["hosts"]}

    def tags(self) -> str:
        """The plugin's tag on each host in their order, all that runs."""
        return " ".join(tags(self.fleet).values())

    def plugins(self) -> list[set[str]]:
        """The names of the plugins that each host has."""
        return [set(read_plugins(host)) for host in self.fleet]


@pytest.fixture(scope="module")
def known(needed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with Fleet(tmp_path_factory.mktemp("r"), len(NAMES)) as fleet:
        fleet.registry.start()
        versions = {str(n): {"description": f"Version {n}"} for n in range(1, 7)}
        publish(fleet, "localdir", REPOSITORY, versions)
        yield Reader(fleet)


@pytest.fixture
def reader(known: Reader) -> Iterator[Reader]:
    known.terminal = known.fleet.controller.open_terminal(known.directory)
    yield known
    known.terminal.close()


def changed(result: Result, hosts: set[str] = NAMES) -> set[str]:
    """The hosts that a play has changed, which has to have gone well on these."""
    assert set(result.recap) == hosts, result.output
    assert result.broken() == set(), result.output
    return {name for name, counts in result.recap.items() if counts["changed"]}


def file_of(page: str) -> str:
    """What the page tells its reader to write into a file."""
    (content,) = (s.content for s in pages.read(ROOT / page).steps if isinstance(s, pages.File))
    return content


def test_on_many_hosts(reader: Reader) -> None:
    reader.declare("1")
    assert changed(reader.type(INSTALL)) == NAMES
    assert reader.plugins() == [set()] * 3
    assert changed(reader.type(ROLL_OUT)) == NAMES
    assert reader.report() == dict.fromkeys(NAMES, "updated")
    assert reader.tags() == "1 1 1"
    for host in reader.fleet:
        assert "/srv/data" in host.run("plugind", "mounts")
        assert_sound(host)


def test_the_agent_comes_first(reader: Reader) -> None:
    reader.declare("2")
    assert changed(reader.type(UPGRADE)) == set()
    assert reader.tags() == "1 1 1"


def test_run(reader: Reader) -> None:
    assert changed(reader.type(ROLL_ON)) == NAMES
    assert reader.tags() == "2 2 2"
    reader.declare("3")
    assert changed(reader.type(ROLL_STORAGE), STORAGE) == STORAGE
    assert reader.tags() == "2 3 3"


def test_run_with_a_check_of_ones_own(reader: Reader) -> None:
    reader.declare("4")
    (reader.directory / "check.yml").write_text(file_of(ROLLOUT))
    for host in reader.fleet:
        host.run("sh", "-c", SERVICE)
    result = reader.type(ROLL_CHECKED)
    assert changed(result) == NAMES
    assert result.output.count("TASK [Ask for health]") == 3  # a batch has one host here
    for host in reader.fleet:
        assert '"GET /health HTTP/1.1" 200' in host.run("cat", "/run/www/log")
    assert reader.report() == dict.fromkeys(NAMES, "updated")
    assert reader.tags() == "4 4 4"


def test_say_what_would_be_done(reader: Reader) -> None:
    reader.declare("5")
    assert changed(reader.type(ROLL_DRY)) == NAMES
    assert reader.tags() == "4 4 4"


def test_hold_and_stop(reader: Reader) -> None:
    terminal = reader.terminal
    reader.type(MAKE_CONTROL)
    reader.type(ROLL_HELD)
    terminal.until("TASK [Apply the declaration]")
    reader.type(HOLD)
    terminal.until("held before batch 2")
    assert reader.tags() == "5 4 4"
    reader.type(GO_ON)
    terminal.until("TASK [Apply the declaration]", times=2)
    reader.type(STOP)
    assert terminal.type("wait $!").rc == 2
    assert "stopped before batch 3 by the file" in " ".join(terminal.output.split())
    assert reader.tags() == "5 5 4"
    reader.type(LIFT)
    # It goes on where it stopped.
    assert changed(reader.type(ROLL_ON)) == {"h3"}
    assert reader.tags() == "5 5 5"


def test_going_back_later(reader: Reader) -> None:
    result = reader.type(BACK)
    assert {f"{name} | CHANGED" in result.output for name in STORAGE} == {True}, result.output
    assert reader.tags() == "5 4 4"
    reader.type_on("h1", BACK_ON_HOST)
    assert reader.tags() == "4 4 4"
    for host in reader.fleet:
        assert_sound(host)


def test_taking_away_what_is_declared(reader: Reader) -> None:
    spare, other = (reader.plugin(name, "6") for name in ("spare", "other"))
    reader.declare(plugins_plugins=[spare, other], plugins_volumes=[])
    reader.type(ROLL_ON)
    assert reader.plugins() == [{"localdir", "spare", "other"}] * 3
    reader.declare(plugins_plugins=[spare], plugins_volumes=[])
    assert changed(reader.type(REMOVE)) == NAMES
    assert reader.plugins() == [{"localdir", "other"}] * 3
    for host in reader.fleet:
        assert "/srv/data" not in host.run("plugind", "mounts")


def test_taking_away_volumes_as_well(reader: Reader) -> None:
    reader.declare("4")
    result = reader.type(REMOVE, status=2)
    assert set(result.recap) == {"h1"}, "the first batch in which a host fails is the last one"
    assert "unless remove_volumes=true" in " ".join(result.output.split())
    assert reader.tags() == "4 4 4"
    assert changed(reader.type(REMOVE_VOLUMES)) == NAMES
    assert reader.plugins() == [{"other"}] * 3
    for host in reader.fleet:
        assert json.loads(host.run("plugind", "volumes", "ls", "--json"))["Volumes"] == []


def test_taking_away_all(reader: Reader) -> None:
    assert changed(reader.type(REMOVE_ALL)) == NAMES
    assert reader.plugins() == [set()] * 3
    for host in reader.fleet:
        assert_sound(host)
    assert changed(reader.type(REMOVE_AGENT)) == NAMES
    for host in reader.fleet:
        assert host.call("ls", "/usr/local/bin/plugind").returncode != 0
        with pytest.raises(ValueError, match="0 of them"):
            host.find("plugind serve")


def test_every_command_was_typed(known: Reader) -> None:
    commands = [*COMMANDS["README.md"], *COMMANDS[ROLLOUT]]
    assert [command for command in commands if command not in known.typed] == []


@pytest.fixture
def by_hand(needed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for a fleet, which is ended if the page has not come to that."""
    directory = tmp_path_factory.mktemp("b") / "f"
    yield directory
    cli.main(["down", str(directory)])


@pytest.fixture
def checkout(by_hand: Path) -> Iterator[Terminal]:
    """A terminal at the top of the checkout."""
    environ = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_HOME": str(by_hand.parent),
        "ANSIBLE_NOCOLOR": "1",
    }
    terminal = Terminal((), environ, ROOT)
    yield terminal
    terminal.close()
    terminal.end()


def test_a_fleet_by_hand(checkout: Terminal, by_hand: Path) -> None:
    words = {"/tmp/f": str(by_hand)}
    by_hand.with_suffix(".yml").write_text(pages.replace(file_of(BY_HAND), words))
    for command in (UP, WHEELHOUSE, PUBLISH):
        typed.at(checkout, command, words)
    assert changed(typed.at(checkout, PLAY, words)) == NAMES
    (listed,) = typed.at(checkout, LIST, words).output.splitlines()[1:]
    assert {"localdir:latest", "running"} <= set(listed.split())
    typed.at(checkout, CUT, words)
    said = typed.at(checkout, PING, words, status=4).output
    assert {f"{name} | SUCCESS" in said for name in ("h1", "h3")} == {True}, said
    assert "h2 | UNREACHABLE!" in said
    typed.at(checkout, DOWN, words)
    assert not by_hand.exists()
