# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Names of fronts, and the files that consumers find them by."""

from __future__ import annotations

import tomllib
from pathlib import PurePath

import pytest

from plugind.model import publishing

FRONTS = PurePath("/run/plugind/fronts")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("sshfs:latest", "sshfs:latest.sock"),
        ("acme/nfs:1.2", "acme/nfs:1.2.sock"),
        ("registry.example:5000/a/b:t", "registry.example:5000/a/b:t.sock"),
    ],
)
def test_a_front_has_the_plugin_s_name(name: str, path: str) -> None:
    assert publishing.front_path(FRONTS, name) == FRONTS / path


def test_a_path_is_never_longer_than_a_socket_s_may_be() -> None:
    fitting = "a/" + "b" * 78 + ":t"
    assert len(str(publishing.front_path(FRONTS, fitting))) == publishing.LONGEST_PATH
    for name in (fitting + "oo", "registry.example:5000/" + "c" * 200 + ":latest"):
        path = publishing.front_path(FRONTS, name)
        assert len(str(path)) <= publishing.LONGEST_PATH
        assert path.parent == FRONTS
        assert path == publishing.front_path(FRONTS, name)
    assert publishing.front_path(FRONTS, "c" * 200 + ":a") != publishing.front_path(
        FRONTS, "c" * 200 + ":b"
    )


def test_latest_has_two_spellings() -> None:
    assert publishing.spellings("acme/nfs:latest") == ("acme/nfs:latest", "acme/nfs")
    assert publishing.spellings("acme/nfs:1") == ("acme/nfs:1",)


def test_the_drop_in_is_toml_that_names_every_spelling() -> None:
    fronts = {name: publishing.front_path(FRONTS, name) for name in ("b/x:1", "a:latest")}
    text = publishing.podman_content(fronts, 90)
    assert text.startswith(publishing.MARK + "\n")
    assert tomllib.loads(text) == {
        "engine": {
            "volume_plugin_timeout": 90,
            "volume_plugins": {
                "a:latest": "/run/plugind/fronts/a:latest.sock",
                "a": "/run/plugind/fronts/a:latest.sock",
                "b/x:1": "/run/plugind/fronts/b/x:1.sock",
            },
        }
    }


def test_a_spec_is_ours_by_where_it_points() -> None:
    content = publishing.spec_content(FRONTS / "a:latest.sock")
    assert content == "unix:///run/plugind/fronts/a:latest.sock\n"
    assert publishing.is_our_spec(content, FRONTS)
    for other in ("", "tcp://127.0.0.1:1", "unix:///run/plugind/frontsX/a", "# unix:///run"):
        assert not publishing.is_our_spec(other, FRONTS)


@pytest.mark.parametrize(
    ("process", "mount_id", "holder"),
    [
        ("podman", "2f73349cfc46" + "0" * 52, "podman:2f73349cfc46"),
        ("", "a" * 64, "unknown:aaaaaaaaaaaa"),
        ("a b/\n:c\x00\u00e9", "a" * 64, "abc:aaaaaaaaaaaa"),
        ("dockerd", "", "dockerd:e3b0c44298fc"),
        ("dockerd", "A" * 64, "dockerd:d53eda7a637c"),
    ],
)
def test_a_holder_is_its_process_and_a_short_id(process: str, mount_id: str, holder: str) -> None:
    assert publishing.holder(process, mount_id) == holder
    assert publishing.holder_process(holder) == holder.partition(":")[0]


def test_a_drop_in_is_ours_by_its_mark_and_its_fronts() -> None:
    text = publishing.podman_content({"a:1": publishing.front_path(FRONTS, "a:1")}, 90)
    assert publishing.is_our_drop_in(text, FRONTS)
    assert not publishing.is_our_drop_in(text, PurePath("/run/other/fronts"))
    assert not publishing.is_our_drop_in(text, FRONTS.parent / "front")
    assert not publishing.is_our_drop_in(text.removeprefix("#"), FRONTS)
    assert not publishing.is_our_drop_in("", FRONTS)


@pytest.mark.parametrize("holder", ["web", "mount:/srv", "x:short", "a" * 64, ":"])
def test_other_holders_have_no_process(holder: str) -> None:
    assert publishing.holder_process(holder) is None
