# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A driver whose volumes are, or become, symbolic links: nobody sees the host through them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugind import checkpoint
from plugind.ctl.http import Refused
from plugind.host import mounts
from support import daemon
from support.daemon import Agent

pytestmark = pytest.mark.root
TRIES = 20


@pytest.fixture(scope="module")
def trickster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver, built."""
    source = Path(__file__).parent / "plugins" / "trickster"
    return daemon.build_plugin(str(source), tmp_path_factory.mktemp("trickster") / "plugin")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A directory of the host's that is none of the plugin's business."""
    secret = tmp_path / "secret"
    secret.mkdir()
    return secret


@pytest.fixture
def box(agent: Agent, archive: Path, trickster: Path) -> Agent:
    """An agent with the driver, not enabled, and the image `busybox`."""
    agent.cli("load", "-i", str(archive))
    agent.cli("plugin", "create", "trickster", str(trickster))
    return agent


def enable(agent: Agent, *settings: str) -> None:
    if settings:
        agent.cli("plugin", "set", "trickster", *settings)
    agent.cli("plugin", "enable", "trickster")


def create(agent: Agent, *names: str) -> None:
    for name in names:
        agent.cli("volume", "create", "-d", "trickster", name)


def run(agent: Agent, *arguments: str) -> tuple[int, str]:
    argv = ["run", "--rm", "--network", "none", *arguments]
    done = agent.docker(*argv)
    return done.returncode, (done.stdout + done.stderr).decode()


def held(agent: Agent, name: str) -> list[str]:
    return [str(ref["Holder"]) for ref in agent.request("GET", f"/plugind/volumes/{name}/holders")]


def mount_on_host(agent: Agent, path: Path) -> str:
    """Mount the volume `flip`; return why that was refused, "" if it was not."""
    try:
        agent.request("POST", "/plugind/mounts", {"path": str(path), "volume": "flip"})
    except Refused as exc:
        return str(exc)
    return ""


def test_a_link_is_an_error_that_says_so(box: Agent, secret: Path, place: Path) -> None:
    enable(box, f"TARGET={secret}")
    create(box, "before", "plain")
    why = f'("before" there is a link to "{secret}", inside the plugin)'
    # /bin of the image holds something, which would be copied to the empty volume.
    for target in ("/v", "/bin"):
        status, words = run(box, "-v", f"before:{target}", "busybox", "ls", "/v")
        assert status in (125, 126, 127)
        assert why in words
    assert why in box.verb("mounts", "mount", "before", str(place / "v"), status=1)
    with pytest.raises(Refused, match="a link to"):
        box.request("POST", "/plugind/volumes/before/mount", {"Holder": "me"})
    assert os.listdir(secret) == []
    assert not place.exists()
    assert held(box, "before") == []
    assert box.cli("ps", "-aq") == ""
    # What is a directory serves as ever.
    assert run(box, "-v", "plain:/v", "busybox", "sh", "-c", "echo kept > /v/f")[0] == 0
    assert run(box, "-v", "plain:/v:ro", "busybox", "cat", "/v/f") == (0, "kept\n")
    box.cli("volume", "rm", "plain")


def test_who_changes_it_all_the_time_shows_nothing_of_the_host(box: Agent, place: Path) -> None:
    enable(box)
    create(box, "flip")
    root = box.root / "plugins" / box.plugin("trickster")["Id"]
    # A link to /etc is one to the plugin's own, which it may show to whom it likes.
    own = {
        os.stat(root / "rootfs/etc").st_ino,
        *(entry.inode() for entry in os.scandir(root / "propagated-mount") if entry.is_dir()),
    }
    assert os.stat("/etc").st_ino not in own
    box.request("POST", "/plugind/volumes/flip/mount", {"Holder": "keeps it flipping"})
    seen = set()
    for number in range(TRIES):
        status, words = run(box, "-v", "flip:/v", "busybox", "ls", "-id", "/v")
        assert status == 0, words
        seen.add(int(words.split()[0]))
        path = place / str(number)
        # It may change between a look and the bind; then that is said.
        said = mount_on_host(box, path)
        if said:
            assert "its driver has changed a symbolic link meanwhile" in said
            assert not path.exists()
        else:
            seen.add(os.stat(path).st_ino)
            mounts.umount(path)
    assert seen <= own
    assert not mounts.mounts_under(box.root / "containers")


def test_what_was_granted_may_be_shown(box: Agent, tmp_path: Path) -> None:
    granted = tmp_path / "granted"
    (granted / "v").mkdir(parents=True)
    enable(box, f"shared.source={granted}", f"TARGET={granted}/v")
    create(box, "before")
    assert run(box, "-v", "before:/v", "busybox", "sh", "-c", "echo kept > /v/f")[0] == 0
    assert (granted / "v/f").read_text() == "kept\n"
    answer = box.request("POST", "/plugind/volumes/before/mount", {"Holder": "me"})
    assert answer == {"Mountpoint": str(granted / "v")}


@pytest.mark.parametrize("point", ["container-start:after-volumes", "container-start:after-create"])
def test_a_crash_leaves_no_place_mounted(box: Agent, point: str) -> None:
    enable(box)
    create(box, "plain")
    box.kill()
    box.start({checkpoint.VARIABLE: point})
    assert run(box, "-v", "plain:/v", "busybox", "true")[0] != 0
    box.wait()
    [container] = (box.root / "containers").iterdir()
    assert mounts.mounts_under(container / "volumes")
    box.start()
    assert not mounts.mounts_under(box.root / "containers")
    assert not (container / "volumes").exists()
    assert held(box, "plain") == []
    assert run(box, "-v", "plain:/v", "busybox", "true") == (0, "")
