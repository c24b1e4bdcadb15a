# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from pathlib import Path

from plugind.dockerd import undo_log

BEFORE = {"plugins": [{"name": "x", "state": "absent"}]}
URL = "unix:///var/run/docker.sock"


async def test_each_engine_has_a_last_change_of_its_own(tmp_path: Path) -> None:
    environment = {undo_log.VARIABLE: str(tmp_path / "undo")}
    log, other = (undo_log.of_engine(url, environment) for url in (URL, "unix:///other.sock"))
    assert await log.last() is None
    assert not (tmp_path / "undo").exists()
    change = await log.begin(BEFORE, rollback=True)
    again = await undo_log.of_engine(URL, environment).last()
    assert again is not None
    assert (again["id"], again["state"], again["declaration"]) == (change, "running", BEFORE)
    assert await other.last() is None
    await log.done(change)
    done = await log.last()
    assert done is not None
    assert done["state"] == "done"
    await log.drop(change)
    assert await log.last() is None


def test_who_is_not_root_has_them_at_home() -> None:
    assert undo_log.directory({}, is_root=True) == Path("/var/lib/plugind")
    state = {"XDG_STATE_HOME": "/home/me/state"}
    assert undo_log.directory(state, is_root=False) == Path("/home/me/state/plugind")
    assert undo_log.directory({}, is_root=False) == Path.home() / ".local/state/plugind"
    assert undo_log.directory({undo_log.VARIABLE: "/x"}, is_root=True) == Path("/x")
