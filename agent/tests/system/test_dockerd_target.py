# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A real Docker Engine as target, with a plugin of our own and a real registry."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plugind.ctl import apply as ctl_apply
from plugind.ctl import build as ctl_build
from plugind.dockerd import execute, undo_log
from support import daemon, docker_registry, dockerd

EXAMPLES = Path(__file__).parents[3] / "examples/plugins"
ASKED = "network: [host], mount: [/etc], device: [/dev/null], capabilities: [CAP_SYS_ADMIN]"

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not dockerd.is_usable(), reason="needs root, dockerd and runc"),
]


@dataclass
class Lab:
    """A Docker Engine and a registry with localdir:1, and :2 which asks for privileges."""

    url: str
    host: str
    directory: Path
    capsys: Any = None

    def run(self, verb: Any, document: dict[str, Any], *arguments: str) -> tuple[int, Any]:
        path = self.directory / "document.json"
        path.write_text(json.dumps(document))
        code = verb([str(path), "--json", "--engine", self.url, *arguments])
        return code, json.loads(self.capsys.readouterr().out)

    def apply(self, document: dict[str, Any], *arguments: str) -> tuple[int, Any]:
        return self.run(ctl_apply.main_apply, document, *arguments)

    def build(self, **order: Any) -> tuple[int, Any]:
        state = ("--state-dir", str(self.directory / "state"))
        return self.run(ctl_build.main_build, order, *state)


@pytest.fixture(scope="module")
def engine() -> Iterator[Lab]:
    # dockerd wants an ordinary disk below it, and socket paths are short.
    directory = Path(tempfile.mkdtemp(prefix="plugind-", dir="/var/tmp"))
    try:
        source = daemon.build_plugin("localdir", directory / "localdir1")
        other = directory / "localdir2"
        shutil.copytree(source, other, symlinks=True)
        shutil.copy(EXAMPLES / "localdir/config-privileges.json", other / "config.json")
        registry_directory = directory / "registry"
        registry_directory.mkdir()
        with docker_registry.run(registry_directory) as registry:
            with dockerd.running(directory / "engine") as url:
                yield Lab(url, registry.host, directory)
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def lab(
    engine: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lab]:
    """The lab with both tags pushed, and nothing installed under the name localdir."""
    engine.capsys = capsys
    monkeypatch.setenv(undo_log.VARIABLE, str(engine.directory / "undo"))
    for tag in ("1", "2"):
        path = str(engine.directory / f"localdir{tag}")
        code, answer = engine.build(name=f"{engine.host}/localdir:{tag}", path=path, push=True)
        assert code == 0, answer
    yield engine
    gone = {
        "plugins": [{"name": "localdir", "state": "absent", "force": True}],
        "volumes": [{"name": "v1", "state": "absent", "force": True}],
    }
    code, answer = engine.apply(gone)
    assert code == 0, answer


def localdir(lab: Lab, tag: str = "1", **more: Any) -> dict[str, Any]:
    settings = {"env": {"DEBUG": 1}, "args": ["--mode=0700"]}
    return {
        "name": "localdir",
        "source": f"{lab.host}/localdir:{tag}",
        "settings": settings,
        **more,
    }


def actions(answer: Any) -> list[tuple[str, str]]:
    return [(step["action"], step["status"]) for step in answer["steps"]]


def test_install_with_volume_is_predicted_done_and_idempotent(lab: Lab) -> None:
    declaration = {"plugins": [localdir(lab)], "volumes": [{"name": "v1", "driver": "localdir"}]}
    code, predicted = lab.apply(declaration, "--dry-run")
    assert (code, predicted["changed"]) == (0, True)
    code, done = lab.apply(declaration)
    assert (code, done["msg"]) == (0, "4 steps done"), done
    assert done["diff"] == predicted["diff"]
    assert done["plugins"][0]["Enabled"] is True
    assert done["plugins"][0]["Settings"]["Env"] == ["DEBUG=1"]
    assert done["volumes"][0]["Driver"] == "localdir:latest"
    code, again = lab.apply(declaration)
    assert (code, again["changed"], again["steps"]) == (0, False, [])
    assert again["diff"]["before"] == again["diff"]["after"] == done["diff"]["after"]


def test_upgrade_keeps_id_settings_and_volumes(lab: Lab) -> None:
    volumes = [{"name": "v1", "driver": "localdir", "labels": {"a": 1}}]
    code, before = lab.apply({"plugins": [localdir(lab)], "volumes": volumes})
    assert code == 0, before
    refused = {"plugins": [localdir(lab, "2")]}
    for arguments in (("--dry-run",), ()):
        code, answer = lab.apply(refused, *arguments)
        assert code == 1
        assert f"not granted: {ASKED}" in answer["msg"]
    granted = {"plugins": [localdir(lab, "2", grant="all")], "volumes": volumes}
    code, answer = lab.apply(granted)
    assert code == 1
    assert "in use by volume/v1" in answer["msg"]
    granted["plugins"][0]["force"] = True
    code, after = lab.apply(granted)
    assert code == 0, after
    assert [action for action, _ in actions(after)] == [
        "plugin-disable",
        "plugin-upgrade",
        "plugin-set",
        "plugin-enable",
    ]
    assert after["plugins"][0]["Id"] == before["plugins"][0]["Id"]
    assert after["plugins"][0]["Settings"]["Args"] == ["--mode=0700"]
    assert after["volumes"][0]["Labels"] == {"a": "1"}
    assert lab.apply(granted)[1]["changed"] is False


def test_changing_a_setting_of_an_enabled_plugin(lab: Lab) -> None:
    lab.apply({"plugins": [localdir(lab)]})
    code, answer = lab.apply({"plugins": [{"name": "localdir", "settings": {"env": {"DEBUG": 0}}}]})
    assert code == 0, answer
    assert [a for a, _ in actions(answer)] == ["plugin-disable", "plugin-set", "plugin-enable"]


def test_a_failed_install_leaves_nothing(lab: Lab) -> None:
    bad = localdir(lab, settings={"env": {"NONE": 1}})
    code, answer = lab.apply({"plugins": [bad]})
    assert code == 1
    assert 'setting "NONE' in answer["msg"]
    assert actions(answer)[:3] == [
        ("plugin-install", "done"),
        ("plugin-set", "failed"),
        ("plugin-remove", "done"),
    ]
    assert not answer["changed"]
    code, found = lab.run(ctl_apply.main_query, {"plugins": ["localdir"], "volumes": []})
    assert (code, found["plugins"]) == (0, [])


@pytest.mark.parametrize("source", ["localdir:none", "none:1"])
def test_a_registry_error_is_said_in_a_dry_run(lab: Lab, source: str) -> None:
    declaration = {"plugins": [{"name": "localdir", "source": f"{lab.host}/{source}"}]}
    code, answer = lab.apply(declaration, "--dry-run")
    assert code == 1
    assert f"cannot read what {lab.host}/{source} asks for" in answer["msg"]
    assert "unknown" in answer["msg"]


def test_a_digest_does_not_kill_the_engine(lab: Lab) -> None:
    pinned = f"{lab.host}/localdir:1@sha256:{'0' * 64}"
    code, answer = lab.apply({"plugins": [{"name": "localdir", "source": pinned}]})
    assert code == 1
    assert (
        "crashes when a plugin is named by digest" in answer["msg"] or "read what" in answer["msg"]
    )
    assert lab.run(ctl_apply.main_query, {"plugins": [], "volumes": []})[0] == 0


def test_volumes_of_the_local_driver(lab: Lab) -> None:
    declaration = {"volumes": [{"name": "v1", "options": {"type": "tmpfs", "device": "tmpfs"}}]}
    assert lab.apply(declaration)[0] == 0
    assert lab.apply(declaration)[1]["changed"] is False
    declaration["volumes"][0]["options"] = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    code, answer = lab.apply(declaration)
    assert code == 1
    assert "other options (o)" in answer["msg"]
    declaration["volumes"][0]["recreate"] = "options-changed"
    code, answer = lab.apply(declaration)
    assert actions(answer) == [("volume-remove", "done"), ("volume-create", "done")]


def test_build_is_idempotent_and_refuses_other_content(lab: Lab) -> None:
    order = {"name": f"{lab.host}/localdir:1", "path": str(lab.directory / "localdir1")}
    code, answer = lab.build(**order, push=True)
    assert (code, answer["changed"]) == (0, False)
    assert answer["pushed_digest"].startswith("sha256:")
    code, answer = lab.build(**{**order, "path": str(lab.directory / "localdir2")})
    assert code == 1
    assert "built from other content" in answer["msg"]


async def test_what_the_engine_says_of_itself(engine: Lab) -> None:
    async with execute.open_target(engine.url) as target:
        assert (await target.info())["Name"] == "dockerd"
        assert (await target.observe()).drivers[0] == "local"
