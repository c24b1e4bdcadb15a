# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import build as ctl_build

NAME = "r.example/x:1"
PLUGIN = {"Name": NAME, "Id": "1" * 64, "Enabled": False}
SAME_BYTES = {"message": f"content sha256:{'a' * 64}: already exists"}
PUSHED = b'{"status": "Preparing"}\r\n{"aux": {"Digest": "sha256:feed"}}\r\n'


class Bench:
    """A source, an engine with canned answers, and a place for builds.json."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = path / "plugin"
        (self.source / "rootfs").mkdir(parents=True)
        (self.source / "config.json").write_text("{}")
        self.requests: list[unixhttp.Request] = []

    def build(self, *answers: Any, create: Any = (204, None), **order: Any) -> int:
        """Build; `answers` are the plugin as the engine shows it, None if it has none."""
        document = {"name": NAME, "path": str(self.source), **order}
        (self.path / "order.json").write_text(json.dumps(document))
        shown = [(404, {"message": "no"}) if a is None else (200, a) for a in answers]
        canned = {
            ("GET", f"/plugins/{NAME}/json"): shown,
            ("POST", "/plugins/create"): create,
            ("POST", f"/plugins/{NAME}/disable"): (200, b""),
            ("DELETE", f"/plugins/{NAME}"): (200, b""),
            ("POST", f"/plugins/{NAME}/push"): (200, PUSHED),
        }
        with unixhttp.serve(self.path / "s", canned) as requests:
            code = ctl_build.main_build(
                [
                    str(self.path / "order.json"),
                    "--json",
                    "--socket",
                    str(self.path / "s"),
                    "--state-dir",
                    str(self.path / "state"),
                ]
            )
        (self.path / "s").unlink()
        self.requests = requests
        return code

    @property
    def changes(self) -> list[str]:
        return [f"{r.method} {r.path}" for r in self.requests if r.method != "GET"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    def last() -> Any:
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return last


def test_create(bench: Bench, printed: Any) -> None:
    assert bench.build(None, PLUGIN) == 0
    assert bench.changes == [f"POST /plugins/create?name={NAME}"]
    assert b"rootfs/" in bench.requests[1].body
    answer = printed()
    assert (answer["changed"], answer["failed"], answer["pushed"]) == (True, False, False)
    assert answer["plugin"] == PLUGIN
    assert answer["diff"]["before"] == {f"plugin/{NAME}": {"state": "absent"}}
    assert answer["diff"]["after"][f"plugin/{NAME}"]["content"] == answer["digest"]


def test_the_same_again_is_no_change(bench: Bench, printed: Any) -> None:
    bench.build(None, PLUGIN)
    assert bench.build({**PLUGIN, "Enabled": True}) == 0
    assert bench.changes == []
    answer = printed()
    assert (answer["changed"], answer["msg"]) == (False, "nothing to do")
    assert answer["diff"]["before"] == answer["diff"]["after"]


def test_other_content_needs_force(bench: Bench, printed: Any) -> None:
    bench.build(None, PLUGIN)
    (bench.source / "rootfs/new").touch()
    assert bench.build(PLUGIN) == 1
    assert "was built from other content (force: true" in printed()["msg"]
    assert bench.changes == []
    assert bench.build({**PLUGIN, "Enabled": True}, {**PLUGIN, "Id": "2" * 64}, force=True) == 0
    assert bench.changes == [
        f"POST /plugins/{NAME}/disable?force=1",
        f"DELETE /plugins/{NAME}?force=1",
        f"POST /plugins/create?name={NAME}",
    ]
    assert bench.build({**PLUGIN, "Id": "2" * 64}) == 0
    assert bench.changes == []


def test_a_plugin_from_elsewhere_needs_force(bench: Bench, printed: Any) -> None:
    assert bench.build(PLUGIN) == 1
    assert "was not built by this tool on this host" in printed()["msg"]
    bench.build(PLUGIN, PLUGIN, force=True)
    assert bench.build({**PLUGIN, "Id": "3" * 64}) == 1


def test_push_once(bench: Bench, printed: Any) -> None:
    credentials = {"username": "me", "password": "p"}
    assert bench.build(None, PLUGIN, push=True, credentials=credentials) == 0
    assert bench.changes[-1] == f"POST /plugins/{NAME}/push"
    assert "X-Registry-Auth" in bench.requests[-1].headers
    answer = printed()
    assert (answer["pushed"], answer["pushed_digest"]) == (True, "sha256:feed")
    assert bench.build(PLUGIN, push=True) == 0
    assert bench.changes == []
    answer = printed()
    assert (answer["changed"], answer["pushed"], answer["pushed_digest"]) == (
        False,
        False,
        "sha256:feed",
    )


def test_a_failed_push_is_tried_again(bench: Bench, printed: Any) -> None:
    bench.build(None, PLUGIN)
    assert bench.build(PLUGIN, push=True) == 0
    assert bench.changes == [f"POST /plugins/{NAME}/push"]
    assert printed()["msg"] == f"pushed plugin {NAME}"


def test_a_dry_run_changes_nothing(bench: Bench, printed: Any) -> None:
    assert bench.build(None, dry_run=True, push=True) == 0
    assert bench.changes == []
    assert not (bench.path / "state").exists()
    predicted = printed()
    assert predicted["msg"] == f"would create and push plugin {NAME}"
    assert bench.build(None, PLUGIN, push=True) == 0
    assert printed()["diff"] == predicted["diff"]


def test_docker_refuses_bytes_that_it_has(bench: Bench) -> None:
    assert bench.build(None, PLUGIN, create=[(500, SAME_BYTES), (204, None)]) == 0
    first, second = (r.body for r in bench.requests if r.method == "POST")
    assert first != second
    assert len(first) == len(second)


def test_an_engines_error_is_the_answer(bench: Bench, printed: Any) -> None:
    assert bench.build(None, create=(500, {"message": "failed to parse config"})) == 1
    assert printed()["msg"] == "failed to parse config"
    assert not (bench.path / "state/builds.json").exists()


@pytest.mark.parametrize(
    "order",
    [{"name": "x@sha256:1"}, {"path": 3}, {"push": "yes"}, {"other": 1}, {"path": "/none/here"}],
)
def test_what_cannot_be_meant(bench: Bench, order: dict[str, Any], printed: Any) -> None:
    assert bench.build(None, **order) == 2
    assert printed()["failed"] is True


def test_a_config_that_is_no_json(bench: Bench, printed: Any) -> None:
    (bench.source / "config.json").write_text("{")
    assert bench.build(None) == 2
    assert "cannot read config.json" in printed()["msg"]


def test_a_broken_state_file_is_an_error(bench: Bench, printed: Any) -> None:
    (bench.path / "state").mkdir()
    (bench.path / "state/builds.json").write_text("{")
    assert bench.build(None) == 1
    assert "remove it to start anew" in printed()["msg"]


def test_no_engine(bench: Bench) -> None:
    order = bench.path / "order.json"
    order.write_text(json.dumps({"name": "x", "path": str(bench.source), "engine": "unix:///none"}))
    assert ctl_build.main_build([str(order), "--state-dir", str(bench.path / "state")]) == 3
