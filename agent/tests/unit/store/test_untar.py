# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Each test is named for the attack, or for the promise, that it is about."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from plugind import errors
from plugind.store import untar
from plugind.store.limits import Limits
from support import tars
from support.extraction import extract, refused
from support.tars import archive, directory, file, hardlink, header, symlink


def up(root: Path) -> bytes:
    return b"../" * 20 + os.fsencode(root.parent / "outside").lstrip(b"/")


# -- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"../outside/x", b"a/../../outside/x", b"..", b"a/..", b"/../x"])
def test_climbing_name(root: Path, name: bytes) -> None:
    refused(root, directory(b"a"), file(name, b"x"), match=r'climbs with "\.\."')


def test_absolute_name_is_taken_from_the_root(root: Path) -> None:
    extract(root, file(b"/etc/passwd", b"x"), file(b"//etc//./shadow", b"y"))
    assert (root / "etc" / "passwd").read_bytes() == b"x"
    assert (root / "etc" / "shadow").read_bytes() == b"y"


def test_empty_name(root: Path) -> None:
    refused(root, file(b"", b"x"), match="its name is empty")


def test_nul_in_a_pax_name(root: Path) -> None:
    refused(root, tars.pax({b"path": b"a\0b"}), file(b"a"), match="holds a NUL")
    refused(root, tars.pax({b"linkpath": b"a\0b"}), symlink(b"a", b"b"), match="holds a NUL")


def test_error_names_the_entry_printably(root: Path) -> None:
    refused(root, file(b"../\x1b[31m\xff\n" + b"a" * 80), match=r'^cannot extract "\.\./\\x1b\[31m')


def test_too_deep(root: Path) -> None:
    extract(root, directory(b"/".join([b"d"] * 20)), limits=Limits(depth=20))
    refused(root, file(b"/".join([b"d"] * 21)), match="deeper than 20", limits=Limits(depth=20))


def test_too_deep_by_links_that_add_up(root: Path) -> None:
    parts = (directory(b"a/b/c/d"), symlink(b"l", b"a/b/c/d"), file(b"l/e/f/g/h", b"x"))
    refused(root, *parts, match="nested deeper than 6", limits=Limits(depth=6))


def test_too_long_a_name(root: Path) -> None:
    name = b"d/" * 100 + b"f"
    limits = Limits(path_bytes=200)
    refused(root, tars.pax({b"path": name}), file(b"x"), match="longer than 200", limits=limits)


def test_too_long_a_component(root: Path) -> None:
    refused(root, tars.pax({b"path": b"n" * 300}), file(b"x"), match="File name too long")


# -- links ------------------------------------------------------------------------------------


def test_symlinked_parent_relative(root: Path) -> None:
    refused(root, symlink(b"out", up(root)), file(b"out/x", b"x"), match="No such file")


def test_symlinked_parent_absolute_stays_inside(root: Path) -> None:
    extract(root, directory(b"etc"), symlink(b"out", b"/etc"), file(b"out/x", b"x"))
    assert (root / "etc" / "x").read_bytes() == b"x"
    assert (root / "out").is_symlink()


def test_symlinked_parent_climbing_stops_at_the_root(root: Path) -> None:
    extract(root, directory(b"etc"), symlink(b"a/out", b"../../../../etc"), file(b"a/out/x", b"x"))
    assert (root / "etc" / "x").read_bytes() == b"x"


def test_new_directory_below_a_symlinked_parent(root: Path) -> None:
    extract(root, directory(b"usr/lib"), symlink(b"lib", b"usr/lib"), file(b"lib/new/x", b"x"))
    assert (root / "usr" / "lib" / "new" / "x").read_bytes() == b"x"


def test_dangling_symlink_as_parent(root: Path) -> None:
    refused(root, symlink(b"out", b"nowhere"), file(b"out/x", b"x"), match="No such file")
    assert not (root / "nowhere").exists()


def test_symlink_loop_as_parent(root: Path) -> None:
    parts = (symlink(b"a", b"b"), symlink(b"b", b"a"), file(b"a/x", b"x"))
    refused(root, *parts, match="Too many levels")


def test_file_as_parent(root: Path) -> None:
    refused(root, file(b"a", b"x"), file(b"a/x", b"x"), match="not a directory")


def test_writing_through_a_symlink_replaces_the_link(root: Path) -> None:
    secret = os.fsencode(root.parent / "outside" / "secret")
    extract(root, symlink(b"a", secret), file(b"a", b"mine"))
    assert not (root / "a").is_symlink()
    assert (root / "a").read_bytes() == b"mine"


def test_directory_entry_over_a_symlink_replaces_the_link(root: Path) -> None:
    extract(root, symlink(b"a", os.fsencode(root.parent / "outside")), directory(b"a", mode=0o700))
    assert not (root / "a").is_symlink()
    assert (root / "a").is_dir()


def test_directory_replaced_by_a_symlink_then_written_through(root: Path) -> None:
    outside = os.fsencode(root.parent / "outside")
    first = (directory(b"a/b"), file(b"a/b/f", b"1"))
    refused(root, *first, symlink(b"a", outside), file(b"a/b/secret", b"x"), match="No such file")
    refused(root, *first, symlink(b"a/b", up(root)), file(b"a/b/secret", b"x"), match="No such")


def test_directory_replaced_by_a_symlink_is_not_remembered_as_a_directory(root: Path) -> None:
    first = (directory(b"other"), file(b"a/f", b"1"), file(b"a/g", b"2"))
    extract(root, *first, symlink(b"a", b"other"), file(b"a/f", b"3"))
    assert (root / "other" / "f").read_bytes() == b"3"
    assert (root / "a").is_symlink()


def test_times_and_modes_are_not_set_through_a_symlink(root: Path) -> None:
    outside = os.fsencode(root.parent / "outside")
    extract(root, directory(b"a", mtime=5, mode=0o777), symlink(b"a", outside))
    assert (root / "a").is_symlink()


def test_hardlink_outside(root: Path) -> None:
    target = os.fsencode(root.parent / "outside" / "secret")
    refused(root, hardlink(b"a", b"../outside/secret"), match=r'climbs with "\.\."')
    refused(root, hardlink(b"a", target), match='"a", a hard link to ".*": No such file')
    refused(root, hardlink(b"a", b""), match="a link target of 0 bytes")


def test_hardlink_through_a_symlinked_parent(root: Path) -> None:
    parts = (symlink(b"out", up(root)), hardlink(b"a", b"out/secret"))
    refused(root, *parts, match="No such file")


def test_hardlink_to_a_symlink_links_the_link(root: Path) -> None:
    secret = os.fsencode(root.parent / "outside" / "secret")
    extract(root, symlink(b"a", secret), hardlink(b"b", b"a"))
    assert os.readlink(root / "b") == os.fsdecode(secret)
    assert (root.parent / "outside" / "secret").stat().st_nlink == 1


def test_hardlink_to_a_directory_or_the_root(root: Path) -> None:
    refused(root, directory(b"d"), hardlink(b"a", b"d"), match="a hard link to a directory")
    refused(root, hardlink(b"a", b"/"), match="a hard link to the root")


def test_hardlinks_share_an_inode_and_replace(root: Path) -> None:
    extract(root, file(b"a", b"x"), file(b"b", b"y"), hardlink(b"b", b"/a"), hardlink(b"c", b"./a"))
    assert (root / "a").stat().st_ino == (root / "b").stat().st_ino == (root / "c").stat().st_ino


def test_hardlink_to_itself_keeps_the_file(root: Path) -> None:
    extract(root, file(b"a", b"x"), hardlink(b"a", b"a"))
    assert (root / "a").read_bytes() == b"x"


def test_a_link_may_state_a_size_without_having_content(root: Path) -> None:
    extract(root, file(b"a", b"x"), header(b"b", b"1", link=b"a", size=9000), file(b"c", b"z"))
    assert (root / "b").read_bytes() == b"x"
    assert (root / "c").read_bytes() == b"z"


# -- types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b".", b"./", b"/"])
@pytest.mark.parametrize("entry", [file, lambda name: symlink(name, b"/etc")])
def test_root_entry_may_not_change_type(root: Path, name: bytes, entry: object) -> None:
    refused(root, entry(name), match="the root must stay a directory")  # type: ignore[operator]


def test_root_entry_sets_mode_and_time_of_the_root(root: Path) -> None:
    extract(root, directory(b"./", mode=0o711, mtime=77), file(b"a"))
    assert stat.S_IMODE(root.stat().st_mode) == 0o711
    assert root.stat().st_mtime == 77


@pytest.mark.root
def test_devices_are_made_inside_only(root: Path) -> None:
    extract(
        root, header(b"dev/null", b"3", major=1, minor=3, mode=0o666), header(b"sda", b"4", major=8)
    )
    null = (root / "dev" / "null").stat()
    assert stat.S_ISCHR(null.st_mode)
    assert (null.st_rdev, stat.S_IMODE(null.st_mode)) == (os.makedev(1, 3), 0o666)
    assert stat.S_ISBLK((root / "sda").stat().st_mode)


def test_overlayfs_whiteout_device(root: Path) -> None:
    refused(root, header(b"a", b"3"), match="device 0:0 is an overlayfs whiteout")


def test_device_over_a_symlink_replaces_the_link(root: Path) -> None:
    secret = os.fsencode(root.parent / "outside" / "secret")
    extract(root, symlink(b"a", secret), header(b"a", b"6", mode=0o600))
    assert stat.S_ISFIFO((root / "a").lstat().st_mode)


def test_sparse_and_unknown_types(root: Path) -> None:
    refused(root, header(b"a", b"S"), match="sparse files are not supported")
    refused(root, tars.pax({b"GNU.sparse.major": b"1"}), file(b"a"), match="sparse")
    refused(root, header(b"a", b"M"), match="unknown entry type 'M'")


def test_directory_over_a_directory_merges(root: Path) -> None:
    extract(root, file(b"d/a", b"1"), directory(b"d", mode=0o750), file(b"d/b", b"2"))
    assert sorted(os.listdir(root / "d")) == ["a", "b"]
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o750


def test_file_over_a_directory_replaces_it_with_all_below(root: Path) -> None:
    extract(root, file(b"d/a/b", b"1"), file(b"d", b"2"))
    assert (root / "d").read_bytes() == b"2"


# -- metadata ---------------------------------------------------------------------------------


@pytest.mark.root
def test_owner_before_mode_keeps_setuid(root: Path) -> None:
    extract(root, file(b"su", b"x", mode=0o6755, uid=1234, gid=4321))
    found = (root / "su").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o6755, 1234, 4321)


def test_mode_does_not_depend_on_the_umask(root: Path) -> None:
    old = os.umask(0o077)
    try:
        extract(root, file(b"implied/a", mode=0o666))
    finally:
        os.umask(old)
    assert stat.S_IMODE((root / "implied").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "implied" / "a").stat().st_mode) == 0o666


def test_times_of_directories_survive_their_content(root: Path) -> None:
    extract(root, directory(b"d", mtime=5), file(b"d/a", mtime=6), directory(b"d/e", mtime=7))
    assert [(root / name).stat().st_mtime for name in ("d", "d/a", "d/e")] == [5, 6, 7]


def test_pax_times_have_nanoseconds(root: Path) -> None:
    extract(root, tars.pax({b"mtime": b"12.000000345"}), file(b"a"))
    assert (root / "a").stat().st_mtime_ns == 12_000_000_345


def test_extended_attributes_are_filtered(root: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    attributes = {
        b"SCHILY.xattr.security.capability": capability,
        b"SCHILY.xattr.trusted.overlay.opaque": b"y",
        b"SCHILY.xattr.user.overlay": b"kept",
        b"SCHILY.xattr.security.selinux": b"label",
        b"SCHILY.xattr.system.posix_acl_access": b"x",
    }
    extract(root, tars.pax(attributes), file(b"a", b"x", uid=0))
    kept = set(os.listxattr(root / "a"))
    assert kept <= {"security.capability", "user.overlay"}
    if os.geteuid() == 0:
        assert os.getxattr(root / "a", "security.capability") == capability


# -- whiteouts --------------------------------------------------------------------------------


def test_whiteout_hides_what_a_lower_layer_has(root: Path) -> None:
    extract(root, file(b"d/a/b", b"1"), file(b"d/c", b"2"))
    extract(root, file(b"d/.wh.a"), file(b"d/.wh.absent"), file(b"nowhere/.wh.x"))
    assert os.listdir(root / "d") == ["c"]
    assert os.listdir(root) == ["d"]


def test_whiteout_spares_its_own_layer(root: Path) -> None:
    extract(root, file(b"d/low", b"1"))
    extract(root, file(b"d/high", b"2"), file(b".wh.d"), file(b"d/.wh.high"))
    assert os.listdir(root / "d") == ["high"]


def test_opaque_hides_lower_content_at_any_depth_but_not_its_own(root: Path) -> None:
    extract(root, file(b"d/low", b"1"), file(b"d/e/low", b"1"), file(b"x", b"1"))
    extract(root, file(b"d/e/high", b"2"), file(b"d/.wh..wh..opq"), file(b"d/later", b"2"))
    assert sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()) == [
        "d/e/high", "d/later", "x",
    ]  # fmt: skip


def test_opaque_root(root: Path) -> None:
    extract(root, file(b"low", b"1"))
    extract(root, file(b".wh..wh..opq"), file(b"high", b"2"))
    assert os.listdir(root) == ["high"]


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b"d/.wh..."])
def test_whiteout_of_nothing_or_of_the_parent(root: Path, name: bytes) -> None:
    extract(root, file(b"d/kept", b"1"))
    refused(root, file(name), match="a whiteout of nothing")
    assert (root / "d" / "kept").exists()


def test_whiteout_through_a_symlink(root: Path) -> None:
    extract(root, symlink(b"out", os.fsencode(root.parent / "outside")), symlink(b"up", up(root)))
    for name in (b"out/.wh.secret", b"up/.wh.secret", b"out/.wh..wh..opq", b"up/.wh..wh..opq"):
        extract(root, file(name))
    extract(root, file(b".wh.out"))
    assert os.listdir(root) == ["up"]


def test_whiteout_as_a_directory(root: Path) -> None:
    refused(root, file(b".wh.a/b", b"x"), match="a whiteout stands where a directory should")


def test_aufs_bookkeeping_is_skipped(root: Path) -> None:
    extract(root, directory(b".wh..wh.plnk"), file(b".wh..wh.plnk/1.2", b"x"), file(b"a", b"y"))
    assert os.listdir(root) == ["a"]


# -- limits and damage ------------------------------------------------------------------------


def test_too_many_entries(root: Path) -> None:
    parts = [file(b"f%d" % number) for number in range(5)]
    extract(root, *parts, limits=Limits(entries=5))
    refused(root, *parts, match='"f4".*more than 4 entries', limits=Limits(entries=4))


def test_huge_size_in_a_header(root: Path) -> None:
    limits = Limits(file_bytes=100)
    refused(root, file(b"a", size=101), match="it has 101 bytes, the limit is 100", limits=limits)
    huge = b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7
    refused(root, header(b"a", size=huge), match="the limit is")
    negative = b"\xff" * 12
    refused(root, header(b"a", size=negative), match="impossible size")


def test_too_many_bytes(root: Path) -> None:
    limits = Limits(total_bytes=10_000)
    refused(root, file(b"a", bytes(20_000)), match="more than 10000 bytes", limits=limits)


def test_truncated_at_every_block(root: Path) -> None:
    whole = tars.pax({b"path": b"long"}) + file(b"a", b"x" * 700) + directory(b"d")
    for length in (1, 511, 512, 1024, 1500, 2000, 2048, 2500, len(whole)):
        with pytest.raises(errors.System, match="truncated"):
            untar.extract_layer(io.BytesIO(whole[:length]), root)


def test_an_empty_stream_is_an_empty_layer(root: Path) -> None:
    untar.extract_layer(io.BytesIO(b""), root)
    extract(root)
    assert os.listdir(root) == []


def test_a_full_disk_is_not_the_archives_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(errors.System, match='cannot extract "a": No space left') as caught:
        extract(root, file(b"a", b"x"))
    assert not isinstance(caught.value, errors.HostileArchive)


def test_a_root_that_is_a_link_is_refused(root: Path) -> None:
    (root / "link").symlink_to(root)
    with pytest.raises(errors.System, match="cannot open"):
        untar.extract_layer(archive(), root / "link")
