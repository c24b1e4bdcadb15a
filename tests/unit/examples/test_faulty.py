# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The plugin that misbehaves: a fault must be the one that was asked for."""

from __future__ import annotations

import http.client
from pathlib import Path
from types import ModuleType

import pytest


def test_faults_are_parsed(faulty: ModuleType) -> None:
    fault = faulty.Fault
    assert faulty.parse("") == []
    assert faulty.parse("exit:3, hang,slow:0.5") == [
        fault("exit", number=3), fault("hang"), fault("slow", number=0.5),
    ]  # fmt: skip
    assert faulty.parse("mount-error") == [fault("error", "mount")]
    assert faulty.parse("crash-on:Mount,crash-once:get") == [
        fault("crash-on", "mount"), fault("crash-once", "get"),
    ]  # fmt: skip
    assert faulty.parse("hold:unmount:2") == [fault("hold", "unmount", 2)]


@pytest.mark.parametrize("word", ["exit", "boom", "crash-on:", "hold:mount", "activate-error"])
def test_an_unknown_fault_is_an_error(faulty: ModuleType, word: str) -> None:
    with pytest.raises(ValueError, match="no such fault"):
        faulty.parse(word)


def test_only_the_named_method_fails(faulty: ModuleType, serving, ask, tmp_path: Path) -> None:
    driver = faulty.Faulty(tmp_path, faulty.parse("mount-error"))
    connection = serving(driver, faulty.FaultyServer)
    assert ask(connection, "Create", Name="v")[0] == 200
    assert ask(connection, "Mount", Name="v", ID="1") == (500, {"Err": "mount failed on purpose"})
    assert ask(connection, "Get", Name="v")[0] == 200


def test_errors_with_status_200(faulty: ModuleType, serving, ask, tmp_path: Path) -> None:
    driver = faulty.Faulty(tmp_path, faulty.parse("err-200"))
    connection = serving(driver, faulty.FaultyServer)
    assert ask(connection, "Get", Name="v") == (200, {"Err": "volume v not found"})


def test_garbage_is_http_but_not_json(faulty: ModuleType, serving, tmp_path: Path) -> None:
    driver = faulty.Faulty(tmp_path, faulty.parse("garbage"))
    connection: http.client.HTTPConnection = serving(driver, faulty.FaultyServer)
    connection.request("POST", "/VolumeDriver.List", body="{}")
    assert connection.getresponse().read().startswith(b"<html>")


def test_crash_once_remembers(
    faulty: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes: list[int] = []
    monkeypatch.setattr("os._exit", crashes.append)
    driver = faulty.Faulty(tmp_path, faulty.parse("crash-once:create"))
    driver.create("v", {})
    driver.create("v", {})
    assert crashes == [faulty.CRASHED]
    assert [volume["Name"] for volume in driver.list()] == ["v"]
