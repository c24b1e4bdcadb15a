# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from plugind import checkpoint, errors
from plugind.model.images import image as image_
from plugind.model.images.image import Image
from plugind.store import images
from plugind.store.layout import Layout
from support import image as made


@pytest.fixture
def store(layout: Layout) -> images.ImageStore:
    return images.ImageStore(layout)


def make(cmd: str = "a", *names: str, serial: int = 1) -> Image:
    image = image_.parse(made.config([b""], Cmd=[cmd]))
    return image.named(*names, serial=serial, tagged_at="then")


def add(store: images.ImageStore, image: Image) -> Image:
    with store.stage() as stage:
        (stage.rootfs / "file").write_bytes(b"content")
        stage.commit(image)
    return image


def test_what_is_committed_is_loaded(layout: Layout, store: images.ImageStore) -> None:
    image = add(store, make("a", "a:1"))
    assert store.load_all() == ([image], [])
    assert store.load_readable() == [image]
    rootfs = store.rootfs(image.id)
    assert (rootfs / "file").read_bytes() == b"content"
    assert rootfs == layout.root / "images" / image.id.hex / "rootfs"
    assert (rootfs.parent.stat().st_mode & 0o777, rootfs.stat().st_mode & 0o777) == (0o700, 0o755)
    assert not list(layout.staging.iterdir())


def test_what_is_not_committed_is_gone(layout: Layout, store: images.ImageStore) -> None:
    with store.stage() as stage:
        (stage.rootfs / "file").write_bytes(b"content")
    assert not list(layout.staging.iterdir())
    assert store.load_all() == ([], [])


def test_an_image_is_committed_once(store: images.ImageStore) -> None:
    add(store, make())
    with pytest.raises(errors.Conflict, match="exists"):
        add(store, make())


def test_the_size_is_that_of_files_and_links_count_once(store: images.ImageStore) -> None:
    with store.stage() as stage:
        (stage.rootfs / "d").mkdir()
        (stage.rootfs / "d" / "a").write_bytes(b"12345")
        os.link(stage.rootfs / "d" / "a", stage.rootfs / "b")
        (stage.rootfs / "link").symlink_to("d")
        os.mkfifo(stage.rootfs / "fifo")
        assert stage.measure() == 5


def test_a_record_is_replaced(store: images.ImageStore) -> None:
    image = add(store, make("a", "a:1"))
    more = image.named("b:1", serial=2, tagged_at="now")
    store.save(more)
    assert store.load_all() == ([more], [])


def test_removal(layout: Layout, store: images.ImageStore) -> None:
    image = add(store, make())
    store.remove(image.id)
    assert store.load_all() == ([], [])
    assert not list(layout.trash.iterdir())
    with pytest.raises(errors.NotFound, match=f"No such image: {image.id}"):
        store.remove(image.id)


def test_of_two_claims_the_later_wins(store: images.ImageStore) -> None:
    old = add(store, make("a", "x:1", "x:2", serial=7))
    new = add(store, make("b", "x:1", "y:1", serial=8))
    kept = old.without("x:1")
    wanted = sorted([kept, new], key=lambda one: one.id)
    assert store.load_readable() == wanted
    assert json.loads((store.rootfs(old.id).parent / "image.json").read_bytes())["names"] == [
        "x:1",
        "x:2",
    ]
    assert store.load_all() == (wanted, [])
    record = json.loads((store.rootfs(old.id).parent / "image.json").read_bytes())
    assert record["names"] == ["x:2"]


def break_record(directory: Path) -> None:
    (directory / "image.json").write_text("{")


def break_content(directory: Path) -> None:
    record = json.loads((directory / "image.json").read_bytes())
    (directory / "image.json").write_text(json.dumps(record | {"config": "{}"}))


def break_name(directory: Path) -> None:
    directory.rename(directory.with_name("0" * 64))


def break_rootfs(directory: Path) -> None:
    (directory / "rootfs").rename(directory / "other")


@pytest.mark.parametrize("how", [break_record, break_content, break_name, break_rootfs])
def test_what_is_broken_is_set_aside(layout: Layout, store: images.ImageStore, how: object) -> None:
    assert callable(how)
    bad, good = add(store, make("bad")), add(store, make("good"))
    how(layout.image_dir(bad.id))
    loaded, broken = store.load_all()
    assert loaded == [good]
    assert len(broken) == 1
    assert len(list(layout.quarantine.iterdir())) == 1
    assert store.load_all() == ([good], [])


def test_looking_sets_nothing_aside(layout: Layout, store: images.ImageStore) -> None:
    image = add(store, make())
    break_record(layout.image_dir(image.id))
    assert store.load_readable() == []
    assert layout.image_dir(image.id).exists()


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    ("point", "there"),
    [
        ("image:before-commit", False),
        ("image:after-commit", True),
        ("image-remove:before-commit", True),
        ("image-remove:after-commit", False),
        ("image-save:before-commit", True),
        ("image-save:after-commit", True),
    ],
)
def test_kill_points(
    layout: Layout,
    store: images.ImageStore,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    there: bool,
) -> None:
    def kill(passed: str) -> None:
        if passed == point:
            raise Killed

    operation = point.partition(":")[0]
    image = make("a", "a:1")
    more = image.named("b:1", serial=2, tagged_at="now")
    if operation != "image":
        add(store, image)
    monkeypatch.setattr(checkpoint, "hook", kill)
    with pytest.raises(Killed):
        {
            "image": lambda: add(store, image),
            "image-remove": lambda: store.remove(image.id),
            "image-save": lambda: store.save(more),
        }[operation]()
    monkeypatch.setattr(checkpoint, "hook", None)
    layout.prepare()
    loaded, broken = store.load_all()
    wanted = more if point == "image-save:after-commit" else image
    assert (loaded, broken) == ([wanted] if there else [], [])
    assert not list(layout.staging.iterdir())
    assert not list(layout.trash.iterdir())
