# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The way back: the module, and what those that change say of it."""

from __future__ import annotations

SOURCE = "registry.example/x:1"


def test_there_and_back(run_module, fake) -> None:
    run_module("plugin", name="x", source=SOURCE)
    changed = run_module("apply", plugins=[{"name": "x", "source": "registry.example/x:2"}])
    assert changed["undo"] == {"id": "1"}
    predicted = run_module("rollback", id="1", check=True)
    assert (predicted["changed"], predicted["rolled_back"]) == (True, False)
    done = run_module("rollback", id="1")
    assert (done["changed"], done["rolled_back"], done["undo"]) == (True, True, None)
    assert [plugin["PluginReference"] for plugin in done["plugins"]] == [SOURCE]
    assert [call["argv"] for call in fake.calls[2:]] == [
        ["rollback", "1", "--json", "--dry-run"],
        ["rollback", "1", "--json"],
    ]


def test_nothing_to_go_back_from(run_module) -> None:
    refused = run_module("rollback", id="other")
    assert refused["failed"]
    assert refused["msg"] == "cannot roll back: there is no change to go back from"
    assert not run_module("rollback")["changed"]


def test_what_changes_nothing_can_not_be_undone(run_module) -> None:
    assert run_module("volume", name="v")["undo"] == {"id": "1"}
    assert run_module("volume", name="v")["undo"] is None
    assert run_module("volume_mount", path="/v", volume="v")["undo"] == {"id": "1"}
    assert run_module("plugin", name="x", source=SOURCE)["undo"] == {"id": "1"}


def test_how_a_plugin_is_verified_stays_inside(run_module, fake) -> None:
    probe = {"volume": {"options": {"where": "planted-1", "password": "planted-2"}}}
    done = run_module("plugin", name="x", source=SOURCE, verify=probe)
    assert "planted" not in str(done)
    assert fake.calls[0]["document"]["plugins"][0]["verify"] == probe
