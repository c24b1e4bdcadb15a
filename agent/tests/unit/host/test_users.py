# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import users

PASSWD = """# a comment
root:x:0:0:root:/root:/bin/sh
web:x:1000:1001:::
broken:x:no:1::
short:x
"""
GROUP = """root:x:0:
web:x:1001:
extra:x:2000:someone,web
docker:x:2001:web
numbers:x:9999999999:web
"""


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    etc = tmp_path / "rootfs" / "etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text(PASSWD)
    (etc / "group").write_text(GROUP)
    return tmp_path / "rootfs"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", (0, 0, ())),
        ("root", (0, 0, ())),
        ("web", (1000, 1001, (2000, 2001))),
        ("1000", (1000, 1001, (2000, 2001))),
        ("77", (77, 0, ())),
        ("77:88", (77, 88, ())),
        ("web:extra", (1000, 2000, ())),
        ("web:0", (1000, 0, ())),
        (":extra", (0, 2000, ())),
    ],
)
def test_names_and_numbers(rootfs: Path, text: str, ids: users.Ids) -> None:
    assert users.resolve(rootfs, text) == ids


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nosuch", "unable to find user nosuch: no matching entries in passwd file"),
        ("broken", "unable to find user broken"),
        ("99999999999", "unable to find user 99999999999"),
        ("web:nosuch", "unable to find group nosuch: no matching entries in group file"),
    ],
)
def test_nobody(rootfs: Path, text: str, message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=message):
        users.resolve(rootfs, text)


def test_an_image_without_users(tmp_path: Path) -> None:
    assert users.resolve(tmp_path, "5:6") == (5, 6, ())
    with pytest.raises(errors.InvalidParameter):
        users.resolve(tmp_path, "root")


def test_links_stay_inside(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("evil:x:0:0:::\n")
    passwd = rootfs / "etc" / "passwd"
    passwd.unlink()
    passwd.symlink_to(f"../../{tmp_path.name}/secret")
    with pytest.raises(errors.InvalidParameter):
        users.resolve(rootfs, "evil")
    passwd.unlink()
    passwd.symlink_to("/etc/real")
    (rootfs / "etc" / "real").write_text("inner:x:5:5:::\n")
    assert users.resolve(rootfs, "inner") == (5, 5, ())


def test_a_fifo_is_not_waited_for(rootfs: Path) -> None:
    (rootfs / "etc" / "passwd").unlink()
    os.mkfifo(rootfs / "etc" / "passwd")
    assert users.resolve(rootfs, "5") == (5, 0, ())
