# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Files and lists of declarations become one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.plugind.engine.plugins.plugin_utils import _declaration


def test_the_last_one_counts_and_keeps_the_place_of_the_first() -> None:
    merged = _declaration.merge([
        {"plugins": [{"name": "a", "grant": "all"}, {"source": "r.example/b:1"}], "volumes": [{"name": "v"}]},
        {"plugins": [{"name": "docker.io/library/a:latest"}, {"name": "r.example/b:1", "state": "absent"}]},
        {"volumes": [{"name": "v", "driver": "a"}, {"name": "w"}], "mounts": [{"path": "/m"}]},
    ])  # fmt: skip
    assert merged == {
        "plugins": [
            {"name": "docker.io/library/a:latest"},
            {"name": "r.example/b:1", "state": "absent"},
        ],
        "volumes": [{"name": "v", "driver": "a"}, {"name": "w"}],
        "mounts": [{"path": "/m"}],
    }


def test_what_one_list_names_twice_stays_for_the_agent_to_refuse() -> None:
    twice = [{"name": "a"}, {"name": "a:latest", "state": "absent"}]
    assert _declaration.merge([{"plugins": twice}])["plugins"] == twice


def test_plugins_that_do_not_say_how_they_are_verified() -> None:
    plugins = [
        {"name": "a"},
        {"name": "b", "verify": False},
        {"name": "c", "state": "absent"},
        {"name": "d", "state": "present"},
    ]
    merged = _declaration.merge([{"plugins": plugins}], True)["plugins"]
    assert [plugin.get("verify") for plugin in merged] == [True, False, None, True]
    assert _declaration.merge([{"plugins": plugins}])["plugins"] == plugins


def test_all_of_it_absent() -> None:
    merged = _declaration.merge([
        {"plugins": [{"source": "r.example/b:1@sha256:00"}], "volumes": [{"name": "v"}], "mounts": [{"path": "/m"}]}
    ])  # fmt: skip
    assert _declaration.absent(merged) == {
        "plugins": [{"name": "r.example/b:1", "state": "absent"}],
        "volumes": [{"name": "v", "state": "absent"}],
        "mounts": [{"path": "/m", "state": "absent"}],
    }


def test_a_file_may_have_the_names_of_the_role() -> None:
    assert _declaration.read({"plugins_plugins": [{"name": "a"}], "mounts": None}) == {
        "plugins": [{"name": "a"}],
        "mounts": [],
    }
    assert _declaration.read(None) == {}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (["a"], "want a mapping with plugins, volumes, mounts"),
        ({"plugin": []}, "plugin: nothing of that name can be declared"),
        ({"plugins": [], "plugins_plugins": []}, "plugins are declared twice"),
        ({"volumes": {"v": {}}}, "volumes: want a list of mappings"),
        ({"volumes": ["v"]}, "volumes: want a list of mappings"),
    ],
)
def test_what_is_no_declaration(document: Any, message: str) -> None:
    with pytest.raises(_declaration.Invalid, match=message):
        _declaration.read(document)


def test_files_are_found_templated_and_vaulted(play, tmp_path: Path) -> None:
    from ansible.parsing.vault import VaultLib, VaultSecret

    (tmp_path / "d").mkdir()
    (tmp_path / "d/1.yml").write_text('plugins: [{name: a, source: "r.example/a:{{ tag }}"}]')
    vault = VaultLib([("default", VaultSecret(b"a vault password"))])
    secret = vault.encrypt(yaml.safe_dump({"volumes": [{"name": "v"}]}))
    (tmp_path / "d/2.json").write_bytes(secret)
    (tmp_path / "password").write_text("a vault password")
    (tmp_path / "hosts").write_text("localhost")
    (tmp_path / "broken.yml").write_text("plugins: {}")
    look = "{{ lookup('plugind.engine.declaration', "
    done = play(
        {"ansible.builtin.debug": {"msg": look + "['d/*'], mounts=[{'path': '/m'}]) }}"}},
        {"ansible.builtin.debug": {"msg": look + "'d/none*') }}"}},
        {"ansible.builtin.debug": {"msg": look + "'broken.yml') }}"}},
        vars={"tag": "5"},
        inventory=str(tmp_path / "hosts"),
        arguments=(f"--vault-password-file={tmp_path}/password",),
    )
    found, missing, broken = done.results
    assert found["msg"] == {
        "plugins": [{"name": "a", "source": "r.example/a:5"}],
        "volumes": [{"name": "v"}],
        "mounts": [{"path": "/m"}],
    }
    assert f"{tmp_path}/d/none*: there is no such file" in missing["msg"]
    assert f"{tmp_path}/broken.yml: plugins: want a list of mappings" in broken["msg"]
