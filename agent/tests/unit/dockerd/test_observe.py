# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugind import errors
from plugind.dockerd import observe
from plugind.model import reference

ASKED = [{"Name": "network", "Description": "", "Value": ["host"]}]


class FakeClient:
    """The SDK's methods that reading needs; `asked` is used up in order."""

    api_version = "1.41"

    def __init__(self, *asked: Any, distribution: Exception | None = None) -> None:
        self.asked = list(asked)
        self.distribution = distribution
        self.calls: list[str] = []
        self.listed: Any = {"Volumes": None, "Warnings": ["list x: gone"]}
        self.described: Any = {"Plugins": {"Volume": ["local", "old"]}}

    def plugin_privileges(self, name: str) -> Any:
        self.calls.append("privileges")
        return self.asked.pop(0)

    def inspect_distribution(self, name: str) -> Any:
        self.calls.append("distribution")
        if self.distribution:
            raise self.distribution

    def plugins(self) -> Any:
        return None

    def volumes(self) -> Any:
        return self.listed

    def info(self) -> Any:
        return self.described


def offer(client: FakeClient, ref: str = "x:1") -> Any:
    return observe.read_offer(client, reference.parse(ref), None)


def test_privileges() -> None:
    client = FakeClient(ASKED)
    assert [str(p) for p in offer(client).privileges] == ["network: [host]"]
    assert client.calls == ["privileges"]


def test_null_is_a_plugin_that_asks_for_nothing() -> None:
    client = FakeClient(None)
    assert offer(client).privileges == ()
    assert client.calls == ["privileges"]


def test_an_empty_list_hides_an_error_which_is_found() -> None:
    client = FakeClient([], distribution=errors.NotFound("manifest unknown"))
    with pytest.raises(errors.NotFound, match="manifest unknown"):
        offer(client)
    again = FakeClient([], ASKED)
    assert len(offer(again).privileges) == 1
    assert again.calls == ["privileges", "distribution", "privileges"]


def test_digests_are_refused_where_they_crash_the_engine() -> None:
    pinned = f"x@sha256:{'a' * 64}"
    client = FakeClient(ASKED)
    with pytest.raises(errors.Unsupported, match="crashes when a plugin is named by digest"):
        offer(client, pinned)
    assert client.calls == []
    client.api_version = "1.45"
    assert len(offer(client, pinned).privileges) == 1


def test_the_engine_is_read_without_nulls() -> None:
    observation = observe.read_engine(FakeClient())
    assert (observation.plugins, observation.volumes) == ((), ())
    assert observation.warnings == ("list x: gone",)
    assert {"local", "old"} <= set(observation.drivers)
    assert not observation.in_place


def test_an_engine_that_says_little_has_little() -> None:
    client = FakeClient()
    client.listed, client.described = None, {"Plugins": None}
    observation = observe.read_engine(client)
    assert (observation.volumes, observation.warnings) == ((), ())
    assert "local" in observation.drivers


def test_who_answers_something_else_is_no_docker_engine() -> None:
    client = FakeClient()
    client.listed = ["v"]
    with pytest.raises(errors.System, match="cannot read volumes: the engine answered"):
        observe.read_engine(client)
    client.listed, client.described = {}, None
    with pytest.raises(errors.System, match="cannot read the engine's description: the engine"):
        observe.read_engine(client)


def test_legacy_plugins_are_found_where_docker_looks(tmp_path: Path) -> None:
    run, etc = tmp_path / "run", tmp_path / "etc"
    for path in (
        run / "a.sock", run / "b/b.sock", run / "0123/managed.sock",
        etc / "c.spec", etc / "d.json", etc / "e.txt",
    ):  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    places = ((run, (".sock",)), (etc, (".spec", ".json")), (tmp_path / "none", (".spec",)))
    assert observe.find_legacy_drivers(places) == ["a", "b", "c", "d"]
