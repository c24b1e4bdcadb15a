# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Can this host run it? Every answer names the reason."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import arch
from plugind.model.config import PluginConfig, PluginEnv, PluginMount

NUMBERS = {name: number for number, name in arch.MACHINES.items()}


def elf(machine: str = "x86_64", *, big: bool = False, number: int | None = None) -> bytes:
    order = ">" if big else "<"
    code = NUMBERS[machine] if number is None else number
    return (
        b"\x7fELF\x02"
        + (b"\x02" if big else b"\x01")
        + bytes(10)
        + struct.pack(order + "HH", 2, code)
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    put(tmp_path, "bin/driver", elf())
    put(tmp_path, "bin/sh", elf())
    (tmp_path / "usr").mkdir()
    return tmp_path


def put(tree: Path, name: str, content: bytes, mode: int = 0o755) -> None:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_bytes(content)
    (tree / name).chmod(mode)


def check(
    tree: Path, *entrypoint: str, env: tuple[str, ...] | None = None, **config: object
) -> None:
    parsed = PluginConfig(entrypoint=entrypoint, **config)  # type: ignore[arg-type]
    arch.check_entrypoint(tree, parsed, env, machine="x86_64")


def test_headers() -> None:
    assert arch.elf_machine(elf("aarch64")) == "aarch64"
    assert arch.elf_machine(elf("s390x", big=True)) == "s390x"
    assert arch.elf_machine(elf("ppc64")) == "ppc64le"
    assert arch.elf_machine(elf(number=9999)) == "machine 9999"
    assert arch.elf_machine(b"\x7fELF") is None
    assert arch.elf_machine(b"#!/bin/sh\n") is None
    assert arch.script_interpreter(b"#! /usr/bin/env python\n") == "/usr/bin/env"
    assert arch.script_interpreter(b"#!\n") == ""
    assert arch.script_interpreter(elf()) is None


@pytest.mark.parametrize("name", ["/bin/driver", "driver", "/bin/../bin/driver", "bin/driver"])
def test_what_runs(tree: Path, name: str) -> None:
    check(tree, name)


def test_relative_to_workdir(tree: Path) -> None:
    check(tree, "./driver", work_dir="/bin")
    with pytest.raises(errors.System, match="No such file"):
        check(tree, "./driver", work_dir="/usr")


def test_path_of_the_settings_wins_over_that_of_the_config(tree: Path) -> None:
    put(tree, "opt/x/tool", elf())
    env = (PluginEnv(name="PATH", value="/opt/x"),)
    check(tree, "tool", env=("PATH=/no", "PATH=/opt/x"))
    arch.check_entrypoint(tree, PluginConfig(entrypoint=("tool",), env=env), machine="x86_64")
    with pytest.raises(errors.System, match=r'"tool" is not in the rootfs, looked in /no, /none$'):
        check(tree, "tool", env=("PATH=/opt/x", "PATH=/no:/none"))


def test_another_architecture(tree: Path) -> None:
    put(tree, "bin/driver", elf("aarch64"))
    with pytest.raises(
        errors.System, match=r"entrypoint /bin/driver is built for aarch64, this host is x86_64$"
    ):
        check(tree, "/bin/driver")


def test_programs_of_32_bits_run_too(tree: Path) -> None:
    put(tree, "bin/driver", elf("i686"))
    check(tree, "/bin/driver")


@pytest.mark.parametrize(
    ("mode", "content", "why"),
    [
        (0o644, b"", "is not executable"),
        (0o755, b"text\n", "neither an ELF program nor a #! script"),
        (0o755, b"", "neither an ELF program nor a #! script"),
        (0o755, b"#!\n", "no usable #! line"),
        (0o755, b"#!/bin/none\n", 'is a script for "/bin/none": No such file'),
        (0o755, b"#!/bin/x\n", "no usable #! line"),
    ],
)
def test_what_does_not_run(tree: Path, mode: int, content: bytes, why: str) -> None:
    put(tree, "bin/x", content, mode)
    with pytest.raises(errors.System, match=why):
        check(tree, "/bin/x")


def test_scripts(tree: Path) -> None:
    put(tree, "run.sh", b"#!/bin/sh -e\n")
    check(tree, "/run.sh")
    put(tree, "bin/sh", elf("aarch64"))
    with pytest.raises(errors.System, match=r'"/bin/sh", interpreter of /run.sh, is built for'):
        check(tree, "/run.sh")


def test_directories_and_devices(tree: Path) -> None:
    with pytest.raises(errors.System, match="is a directory"):
        check(tree, "/usr")
    os.mkfifo(tree / "fifo", 0o777)
    with pytest.raises(errors.System, match="is not executable"):
        check(tree, "/fifo")


def test_links_stay_inside(tree: Path) -> None:
    (tree / "link").symlink_to("/bin/driver")
    check(tree, "/link")
    (tree / "out").symlink_to(f"../../../../../..{tree.parent}/outside")
    (tree.parent / "outside").write_bytes(elf())
    (tree.parent / "outside").chmod(0o755)
    with pytest.raises(errors.System, match="No such file"):
        check(tree, "/out")


def test_what_a_mount_will_bring_passes(tree: Path) -> None:
    host = PluginMount(source="/", destination="/host", type="bind", options=("rbind",))
    check(tree, "/host/bin/driver", mounts=(host,))
    check(tree, "/data/x", propagated_mount="/data")
    with pytest.raises(errors.System):
        check(tree, "/hostile", mounts=(host,))
    put(tree, "run.sh", b"#!/host/bin/sh\n")
    check(tree, "/run.sh", mounts=(host,))


def test_no_entrypoint_and_no_rootfs(tree: Path) -> None:
    with pytest.raises(errors.InvalidParameter, match="no entrypoint"):
        check(tree)
    with pytest.raises(errors.System, match="cannot check rootfs"):
        check(tree / "missing", "/x")


def test_this_host_runs_its_own_shell() -> None:
    arch.check_entrypoint(Path("/"), PluginConfig(entrypoint=("sh",)))
