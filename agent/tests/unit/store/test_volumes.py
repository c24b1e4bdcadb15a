# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace

import pytest

from plugind import checkpoint, errors
from plugind.model.volume import MountRef, Volume
from plugind.store import records
from plugind.store.layout import Layout
from plugind.store.volumes import VolumeStore

VOLUME = Volume(name="data/../x y", driver="acme/driver:1", options={"k": "v"}, labels={})
LOCAL = Volume(name="plain", driver="local")
REF = MountRef(holder="pid 1", id="abc", mountpoint="/m")


class PowerCut(BaseException):
    """Stands for SIGKILL."""


def test_save_load_delete(volumes: VolumeStore, layout: Layout) -> None:
    volumes.save(VOLUME)
    volumes.save(LOCAL)
    loaded, broken = volumes.load_all()
    assert sorted(loaded, key=lambda volume: volume.name) == [VOLUME, LOCAL]
    assert broken == []
    volumes.delete(VOLUME.name)
    assert volumes.load_all() == ([LOCAL], [])
    assert os.listdir(layout.trash) == []
    assert os.listdir(layout.staging) == []


def test_only_local_volumes_have_data(volumes: VolumeStore, layout: Layout) -> None:
    volumes.save(VOLUME)
    volumes.save(LOCAL)
    data = volumes.data_dir("plain")
    assert stat.S_IMODE(data.stat().st_mode) == 0o755
    assert stat.S_IMODE(data.parent.stat().st_mode) == 0o700
    assert not volumes.data_dir(VOLUME.name).exists()


def test_save_again_keeps_references_and_data(volumes: VolumeStore) -> None:
    volumes.save(LOCAL)
    (volumes.data_dir("plain") / "file").touch()
    volumes.save_mounts("plain", [REF])
    relabelled = Volume(name="plain", driver="local", labels={"a": "b"})
    volumes.save(relabelled)
    assert volumes.load_all() == ([relabelled], [])
    assert volumes.mounts("plain") == (REF,)
    assert (volumes.data_dir("plain") / "file").exists()


def test_mounts(volumes: VolumeStore) -> None:
    assert volumes.mounts("plain") == ()
    volumes.save(LOCAL)
    assert volumes.mounts("plain") == ()
    volumes.save_mounts("plain", (REF, REF))
    assert volumes.mounts("plain") == (REF, REF)
    volumes.save_mounts("plain", ())
    assert volumes.mounts("plain") == ()


def test_what_is_absent(volumes: VolumeStore) -> None:
    with pytest.raises(errors.NoSuchVolume, match="get plain: no such volume"):
        volumes.delete("plain")
    with pytest.raises(errors.NoSuchVolume):
        volumes.save_mounts("plain", [REF])


@pytest.mark.parametrize("text", ["", "[]", '{"name": "plain"}', '{"name": 1}'])
def test_a_broken_volume_is_set_aside(volumes: VolumeStore, layout: Layout, text: str) -> None:
    volumes.save(LOCAL)
    directory = layout.volume_dir("plain")
    (directory / "volume.json").write_text(text)
    assert volumes.load_all() == ([], [directory.name])
    assert (layout.quarantine / f"{directory.name}-1" / "_data").is_dir()


def test_a_record_in_a_foreign_directory_is_broken(volumes: VolumeStore, layout: Layout) -> None:
    volumes.save(LOCAL)
    layout.volume_dir("plain").rename(layout.volumes / "elsewhere")
    assert volumes.load_all() == ([], ["elsewhere"])


def test_a_volume_that_cannot_be_read_now_stays(volumes: VolumeStore, layout: Layout) -> None:
    volumes.save(LOCAL)
    (layout.volume_dir("plain") / "volume.json").unlink()
    (layout.volume_dir("plain") / "volume.json").mkdir()
    assert volumes.load_all() == ([], [layout.volume_dir("plain").name])
    assert layout.volume_dir("plain").is_dir()


@pytest.mark.parametrize("text", ["", "{}x", '[{"holder": "h"}]', "3"])
def test_broken_references_are_an_error_not_nobody(
    volumes: VolumeStore, layout: Layout, text: str
) -> None:
    volumes.save(LOCAL)
    (layout.volume_dir("plain") / "mounts.json").write_text(text)
    reopened = VolumeStore(layout)
    assert reopened.load_all() == ([LOCAL], []), "the record itself is fine"
    for _ in range(2):
        with pytest.raises(records.Broken):
            reopened.mounts("plain")


def test_references_are_answered_from_memory(volumes: VolumeStore, layout: Layout) -> None:
    ref = MountRef(holder="web", id="1", mountpoint="/x")
    volumes.save(LOCAL)
    volumes.save_mounts("plain", [ref])
    reopened = VolumeStore(layout)
    reopened.load_all()
    (layout.volume_dir("plain") / "mounts.json").unlink()
    assert reopened.mounts("plain") == volumes.mounts("plain") == (ref,)
    reopened.delete("plain")
    reopened.save(LOCAL)
    assert reopened.mounts("plain") == ()


@pytest.mark.parametrize("when", ["before-commit", "before-sync", "after-commit"])
def test_killed_while_creating(
    volumes: VolumeStore, layout: Layout, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    kill(monkeypatch, f"volume-create:{when}", lambda: volumes.save(LOCAL))
    layout.prepare()
    reopened = VolumeStore(layout)
    assert reopened.load_all() == ([] if when == "before-commit" else [LOCAL], [])
    assert not list(layout.volumes.glob("*/new"))
    reopened.save(LOCAL)
    assert VolumeStore(layout).load_all() == ([LOCAL], [])


@pytest.mark.parametrize("lost", ["content", "record"])
def test_what_the_power_took_of_a_creation_goes(
    volumes: VolumeStore, layout: Layout, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    kill(monkeypatch, "volume-create:before-sync", lambda: volumes.save(LOCAL))
    record = layout.volume_dir(LOCAL.name) / "volume.json"
    record.write_bytes(b"") if lost == "content" else record.unlink()
    layout.prepare()
    assert volumes.load_all() == ([], [])
    for path in (layout.volumes, layout.quarantine, layout.trash):
        assert os.listdir(path) == []
    volumes.save(LOCAL)
    assert volumes.load_all() == ([LOCAL], [])


@pytest.mark.parametrize("name", ["_data/file", "mounts.json"])
def test_what_somebody_has_used_is_never_dropped(
    volumes: VolumeStore, layout: Layout, name: str
) -> None:
    volumes.save(LOCAL)
    directory = layout.volume_dir(LOCAL.name)
    (directory / "new").touch()  # its removal is not synced, so a power cut may bring it back
    (directory / name).write_text("[]")
    assert volumes.load_all() == ([LOCAL], [])
    assert not (directory / "new").exists()
    (directory / "new").touch()
    (directory / "volume.json").write_bytes(b"")
    assert volumes.load_all() == ([], [directory.name])
    assert (layout.quarantine / f"{directory.name}-1" / name).exists()


def test_a_creation_that_cannot_be_synced_is_taken_back(
    volumes: VolumeStore, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        if name == "volume-create:before-sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "hook", fail)
        with pytest.raises(errors.System, match='cannot create volume "plain": Input/output error'):
            volumes.save(LOCAL)
    for path in (layout.volumes, layout.staging, layout.trash):
        assert os.listdir(path) == []
    assert volumes.load_all() == ([], [])


def test_a_creation_that_was_left_is_ended_by_the_next_one(
    volumes: VolumeStore, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(monkeypatch, "volume-create:before-sync", lambda: volumes.save(LOCAL))
    relabelled = replace(LOCAL, labels={"a": "b"})
    volumes.save(relabelled)
    assert not list(layout.volumes.glob("*/new"))
    assert volumes.load_all() == ([relabelled], [])


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_removing(
    volumes: VolumeStore, layout: Layout, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    volumes.save(LOCAL)
    kill(monkeypatch, f"volume-remove:{when}-commit", lambda: volumes.delete("plain"))
    layout.prepare()
    assert volumes.load_all() == ([LOCAL] if when == "before" else [], [])
    assert os.listdir(layout.trash) == []


def kill(monkeypatch: pytest.MonkeyPatch, point: str, work: Callable[[], None]) -> None:
    """Do it up to a crash point, and nothing after that."""

    def cut(name: str) -> None:
        if name == point:
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "hook", cut)
        with pytest.raises(PowerCut):
            work()


@pytest.mark.parametrize("options", [{"password": "x"}, {"o": "a=b,token=x"}])
def test_no_record_is_written_with_a_secret(
    volumes: VolumeStore, layout: Layout, options: dict[str, str]
) -> None:
    with pytest.raises(errors.System, match="cannot record volume"):
        volumes.save(replace(VOLUME, options=options))
    assert os.listdir(layout.volumes) == []


def test_only_a_local_volume_keeps_what_it_needs_to_be_mounted(
    volumes: VolumeStore, layout: Layout
) -> None:
    sealed = {"options": {"o": "password=********"}, "secret_digests": {"o": "x"}}
    clear = {"o": "password=x"}
    volumes.save(replace(VOLUME, **sealed), clear)
    volumes.save(replace(LOCAL, **sealed), clear)
    assert volumes.mount_options(VOLUME.name) is None
    assert volumes.mount_options(LOCAL.name) == clear
    path = layout.volume_dir(LOCAL.name) / "options.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("[]")
    with pytest.raises(records.Broken):
        volumes.mount_options(LOCAL.name)
