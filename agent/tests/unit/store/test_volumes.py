# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import os
import stat
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


def test_what_is_staged_is_seen_once_it_is_committed(volumes: VolumeStore, layout: Layout) -> None:
    staged = volumes.stage(LOCAL)
    assert volumes.load_all() == ([], [])
    volumes.commit(staged)
    assert volumes.load_all() == ([LOCAL], [])
    volumes.discard(staged)  # nothing to do any more
    for again in (volumes.commit, volumes.discard):  # over one that is there already, and never
        again(volumes.stage(LOCAL))
    assert VolumeStore(layout).load_all() == ([LOCAL], [])
    assert not list(layout.staging.iterdir())


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_creating_or_removing(
    volumes: VolumeStore, layout: Layout, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def cut(name: str) -> None:
        if name.endswith(f"{when}-commit"):
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "hook", cut)
        with pytest.raises(PowerCut):
            volumes.save(LOCAL)
    layout.prepare()
    assert volumes.load_all() == ([LOCAL] if when == "after" else [], [])
    volumes.save(LOCAL)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "hook", cut)
        with pytest.raises(PowerCut):
            volumes.delete("plain")
    layout.prepare()
    assert volumes.load_all() == ([LOCAL] if when == "before" else [], [])
    assert os.listdir(layout.trash) == []


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
