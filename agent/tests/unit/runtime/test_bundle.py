# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The bundle on disk: complete or not there, and for root alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plugind import errors
from plugind.runtime import bundle

LAUNCH = bundle.Launch(pid=1, start_time=2, conmon_pid=3, conmon_start_time=4)


@pytest.fixture
def box(tmp_path: Path) -> bundle.Bundle:
    return bundle.Bundle(run=tmp_path / "run", id="abc")


def test_a_bundle_is_for_root_alone(box: bundle.Bundle) -> None:
    box.write({"ociVersion": "1"})
    assert box.path.stat().st_mode & 0o777 == 0o700
    config = box.path / "config.json"
    assert config.stat().st_mode & 0o777 == 0o600
    assert json.loads(config.read_text()) == {"ociVersion": "1"}
    assert [path.name for path in box.path.iterdir()] == ["config.json"], "nothing staged is left"
    assert box.exits.is_dir()


def test_a_new_bundle_forgets_the_old_ones_life(box: bundle.Bundle) -> None:
    box.write({})
    box.write_launch(LAUNCH)
    (box.exits / box.id).write_text("7")
    box.write({})
    assert box.read_launch() is None
    assert box.read_exit_status() is None


def test_launch_is_read_back(box: bundle.Bundle) -> None:
    assert box.read_launch() is None
    box.write({})
    box.write_launch(LAUNCH)
    assert box.read_launch() == LAUNCH


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": 1}', '{"other": 1}'])
def test_a_broken_launch_counts_as_none(box: bundle.Bundle, content: str) -> None:
    box.write({})
    (box.path / "launch.json").write_text(content)
    assert box.read_launch() is None


@pytest.mark.parametrize(("content", "status"), [("0", 0), ("137\n", 137), ("", None), ("x", None)])
def test_exit_status(box: bundle.Bundle, content: str, status: int | None) -> None:
    assert box.read_exit_status() is None
    box.write({})
    (box.exits / box.id).write_text(content)
    assert box.read_exit_status() == status


def test_remove_takes_everything_and_can_be_repeated(box: bundle.Bundle) -> None:
    box.write({})
    (box.exits / box.id).write_text("0")
    box.remove()
    box.remove()
    assert not box.path.exists()
    assert list(box.exits.iterdir()) == []


def test_ids(tmp_path: Path) -> None:
    assert bundle.bundle_ids(tmp_path) == []
    for name in ("b", "a"):
        bundle.Bundle(run=tmp_path, id=name).write({})
    assert bundle.bundle_ids(tmp_path) == ["a", "b"]


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(errors.System, match=r'cannot (write|remove) bundle ".*/bundles/abc"'):
        bundle.Bundle(run=tmp_path / "run", id="abc").write({})


def test_the_control_group_is_the_one_of_the_spec(box: bundle.Bundle) -> None:
    assert box.read_cgroup() is None
    box.write({"linux": {"cgroupsPath": "/plugind/abc"}})
    assert box.read_cgroup() == "/plugind/abc"
    box.write({"linux": None})
    assert box.read_cgroup() is None
