# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
import stat

import pytest

from plugind import errors
from plugind.model.containers.container import Container
from plugind.store import containers
from plugind.store.layout import Layout
from unit.model.containers.test_container import ID, make


@pytest.fixture
def store(layout: Layout) -> containers.ContainerStore:
    return containers.ContainerStore(layout)


@pytest.fixture
def container(store: containers.ContainerStore) -> Container:
    made = make()
    store.create(made)
    return made


def test_a_container_appears_complete(
    store: containers.ContainerStore, container: Container
) -> None:
    dirs = store.dirs(ID)
    assert stat.S_IMODE(dirs.root.stat().st_mode) == 0o700
    for directory in (dirs.upper, dirs.work, dirs.merged):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o755
    assert sorted(path.name for path in (dirs.root / "etc").iterdir()) == sorted(containers.FILES)
    assert store.load_all() == ([container], [])
    assert not any(dirs.root.parent.with_name("staging").iterdir())


def test_save_and_remove(store: containers.ContainerStore, container: Container) -> None:
    running = container.with_state(container.state.started(7, "2026-01-01T00:00:00Z"))
    store.save(running)
    assert store.load_readable() == [running]
    (store.dirs(ID).upper / "changed").write_text("x")
    store.remove(ID)
    assert store.load_all() == ([], [])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 1}'])
def test_a_broken_record_is_set_aside(
    store: containers.ContainerStore, layout: Layout, container: Container, text: str
) -> None:
    (store.dirs(ID).root / containers.RECORD).write_text(text)
    assert store.load_readable() == []
    assert store.load_all() == ([], [ID])
    assert [path.name for path in layout.quarantine.iterdir()] == [f"{ID}-1"]


def test_a_record_in_the_wrong_place(
    store: containers.ContainerStore, container: Container
) -> None:
    path = store.dirs(ID).root / containers.RECORD
    path.write_text(json.dumps({**container.to_record(), "id": "other"}))
    assert store.load_all()[1] == [ID]


def test_what_is_not_there_cannot_be_removed(store: containers.ContainerStore) -> None:
    with pytest.raises(errors.System, match="cannot remove"):
        store.remove(ID)
