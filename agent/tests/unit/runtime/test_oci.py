# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The runtime's command line, on a script that plays it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import proc
from plugind.runtime import oci


@pytest.fixture
def tools(tmp_path: Path) -> oci.Oci:
    """A runtime that writes down its arguments and does what the file `script` says."""
    binary = tmp_path / "myrunc"
    here = tmp_path
    binary.write_text(f'#!/bin/sh\necho "$@" >> {here}/argv\n. {here}/script\n')
    binary.chmod(0o755)
    (tmp_path / "script").touch()
    (tmp_path / "state" / "abc").mkdir(parents=True)
    return oci.Oci(binary=str(binary), root=tmp_path / "state")


def argv(tmp_path: Path) -> list[str]:
    file = tmp_path / "argv"
    return file.read_text().splitlines() if file.exists() else []


async def test_commands_are_one_to_one(tools: oci.Oci, tmp_path: Path) -> None:
    await tools.start("abc")
    await tools.kill_all("abc")
    await tools.delete("abc")
    await tools.delete("abc", force=True)
    root = f"--root {tmp_path}/state"
    assert argv(tmp_path) == [
        f"{root} start abc",
        f"{root} kill --all abc KILL",
        f"{root} delete abc",
        f"{root} delete --force abc",
    ]


def test_a_runtime_without_seccomp_is_told_with_what_to_do() -> None:
    said = oci.complaint("seccomp: config provided but seccomp not supported")
    assert said == (
        "seccomp: config provided but seccomp not supported "
        "(see `plugind doctor`, and [confinement] seccomp in plugind.toml)"
    )
    assert oci.complaint("no space left") == "no space left"


async def test_a_container_that_is_gone_was_deleted(tools: oci.Oci, tmp_path: Path) -> None:
    fails = "echo 'level=error msg=\"Failed to remove cgroup\"' >&2; exit 1"
    (tmp_path / "script").write_text(fails)
    with pytest.raises(
        errors.System, match="cannot delete container abc: myrunc: Failed to remove"
    ):
        await tools.delete("abc", force=True)
    (tmp_path / "script").write_text(f"rmdir {tmp_path}/state/abc; {fails}")
    await tools.delete("abc", force=True)


async def test_state(tools: oci.Oci, tmp_path: Path) -> None:
    (tmp_path / "script").write_text('echo \'{"status": "running", "pid": 7}\'')
    assert await tools.state("abc") == {"status": "running", "pid": 7}
    (tmp_path / "script").write_text("exit 1")
    assert await tools.state("abc") is None
    (tmp_path / "script").write_text("echo '{'")
    with pytest.raises(errors.System, match="cannot read state of container abc"):
        await tools.state("abc")


async def test_what_the_runtime_does_not_know_costs_no_process(
    tools: oci.Oci, tmp_path: Path
) -> None:
    assert await tools.state("other") is None
    await tools.delete("other", force=True)
    assert argv(tmp_path) == []


async def test_a_failure_gives_the_runtimes_reason(tools: oci.Oci, tmp_path: Path) -> None:
    (tmp_path / "script").write_text('echo \'time="x" level=error msg="no \\"x\\""\' >&2; exit 1')
    with pytest.raises(errors.System, match=r'^cannot start container abc: myrunc: no "x"$'):
        await tools.start("abc")


async def test_a_missing_runtime_is_said_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(proc.ToolFailed, match="/no/runc: No such file"):
        await oci.Oci(binary="/no/runc", root=tmp_path).start("abc")


def test_ids(tools: oci.Oci, tmp_path: Path) -> None:
    (tmp_path / "state" / "lock").touch()
    (tmp_path / "state" / "b").mkdir()
    assert tools.list_ids() == ["abc", "b"]
    assert oci.Oci(binary="runc", root=tmp_path / "none").list_ids() == []


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("", "no reason given"),
        ("\n \n", "no reason given"),
        ("first\nlast\n", "last"),
        ('time="t" level=error msg="exec: \\"x\\": no"', 'exec: "x": no'),
        ('level=warning msg="a"\nlevel=error msg="b\\nc"\n', "b\nc"),
        (json.dumps({"msg": "plain"}), '{"msg": "plain"}'),
    ],
)
def test_complaint(output: str, shown: str) -> None:
    assert oci.complaint(output) == shown


def test_programs_are_found_or_left_alone() -> None:
    assert oci.find_program("sh").endswith("/sh")
    assert oci.find_program("/bin/sh") == "/bin/sh"
    assert oci.find_program("no-such-program") == "no-such-program"
