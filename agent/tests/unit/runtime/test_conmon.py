# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""conmon: its command line, and its side of the pipes played by a script."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from plugind import errors
from plugind.runtime import bundle, conmon, oci

TOOLS = oci.Oci(binary="/usr/sbin/runc", root=Path("/run/runc"))


@pytest.fixture
def box(tmp_path: Path) -> bundle.Bundle:
    made = bundle.Bundle(run=tmp_path, id="abc")
    made.write({})
    return made


def pairs(argv: list[str]) -> list[tuple[str, str]]:
    return list(itertools.pairwise(argv))


def test_argv(box: bundle.Bundle) -> None:
    argv = conmon.conmon_argv("/usr/bin/conmon", TOOLS, box, Path("/log/x"), 0)
    assert argv[0] == "/usr/bin/conmon"
    for pair in (
        ("--cid", "abc"),
        ("--runtime", "/usr/sbin/runc"),
        ("--runtime-arg", "--root"),
        ("--runtime-arg", "/run/runc"),
        ("--bundle", str(box.path)),
        ("--container-pidfile", str(box.pidfile)),
        ("--conmon-pidfile", str(box.conmon_pidfile)),
        ("--exit-dir", str(box.exits)),
        ("--log-path", "k8s-file:/log/x"),
    ):
        assert pair in pairs(argv)
    assert "--log-size-max" not in argv
    assert "--exit-command" not in argv, "nothing of ours runs when the agent is away"


def test_argv_with_a_bounded_log(box: bundle.Bundle) -> None:
    argv = conmon.conmon_argv("conmon", TOOLS, box, Path("/log/x"), 1 << 20)
    assert ("--log-size-max", "1048576") in pairs(argv)


async def launch(box: bundle.Bundle, script: str, seconds: float = 10) -> conmon.Launched:
    """Run a shell script as conmon; $OUT is the sync pipe, $IN the start pipe."""
    prelude = "OUT=/proc/self/fd/$_OCI_SYNCPIPE IN=/proc/self/fd/$_OCI_STARTPIPE\n"
    deadline = asyncio.get_running_loop().time() + seconds
    return await conmon.launch(["/bin/sh", "-c", prelude + script], box, deadline=deadline)


async def test_a_created_container(box: bundle.Bundle) -> None:
    box.conmon_pidfile.write_text("42\n")
    script = 'test "$(head -c 1 $IN | wc -c)" = 1 && echo \'{"data": 7}\' > $OUT'
    assert await launch(box, script) == conmon.Launched(pid=7, conmon_pid=42)


async def test_conmon_goes_on_while_we_have_our_answer(box: bundle.Bundle) -> None:
    box.conmon_pidfile.write_text("42\n")
    found = await launch(box, "(echo '{\"data\": 7}' > $OUT; exec sleep 3) 2>/dev/null &")
    assert found.pid == 7


async def test_the_runtimes_refusal(box: bundle.Bundle) -> None:
    script = (
        """echo '{"data": -1, "message": "level=error msg=\\"no such mount\\""}' > $OUT; exit 1"""
    )
    with pytest.raises(conmon.CreateFailed, match=r"^no such mount$"):
        await launch(box, script)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'unknown option' >&2; exit 1", "cannot run conmon: unknown option"),
        ("exit 3", "cannot run conmon: it ended with status 3"),
        ("echo nonsense > $OUT", "cannot run conmon: it answered b'nonsense"),
        ("echo '{}' > $OUT", "cannot run conmon: it answered b'{}"),
        ("echo '{\"data\": 7}' > $OUT", "its pid file is unusable"),
    ],
)
async def test_conmon_itself_fails(box: bundle.Bundle, script: str, why: str) -> None:
    with pytest.raises(errors.System, match=why):
        await launch(box, script)


async def test_it_takes_too_long(box: bundle.Bundle) -> None:
    with pytest.raises(conmon.CreateFailed, match="in time"):
        await launch(box, "exec sleep 3 2>/dev/null &", 0.05)


async def test_conmon_is_not_there(box: bundle.Bundle) -> None:
    with pytest.raises(errors.System, match="cannot run /no/conmon: No such file"):
        await conmon.launch(["/no/conmon"], box, deadline=asyncio.get_running_loop().time() + 1)
