# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Starts that fail half-way, with scripts that play conmon and runc and real processes below them."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import pidfd
from plugind.runtime import OciRuntime, bundle
from support import descriptors

ID = "abc"
REFUSE = """answer '{"data": -1, "message": "no such mount"}'\n"""
CONMON = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    --bundle) BUNDLE=$2 ;;
    --conmon-pidfile) PIDFILE=$2 ;;
    esac
    shift
done
answer() { echo "$1" > /proc/self/fd/$_OCI_SYNCPIPE; }
"""
#: What conmon does when all goes well; here the container is a process that sleeps.
CREATE = """
exec 2>/dev/null
mkdir -p {base}/state/abc
(
    sleep 1000 & CONTAINER=$!
    echo $CONTAINER > {base}/container
    sh -c 'echo $PPID' > $PIDFILE
    {trouble}
    answer "{{\\"data\\": $CONTAINER}}"
    wait $CONTAINER
) &
"""
RUNC = """
case $3 in
start) {start} ;;
delete) kill -9 $(cat {base}/container); rm -r {base}/state/abc ;;
esac
"""


class Stage:
    """Directories, and programs that do what a test says."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.log = base / "log" / "abc.log"
        self.box = bundle.Bundle(run=base / "run", id=ID)
        self.play("runc", RUNC.format(base=base, start=""))
        self.runtime = OciRuntime(
            binary=str(base / "runc"),
            conmon=str(base / "conmon"),
            root=base / "state",
            run=base / "run",
            conmon_timeout=0.05,
        )

    def play(self, program: str, script: str) -> None:
        path = self.base / program
        path.write_text((CONMON if program == "conmon" else "#!/bin/sh\n") + script)
        path.chmod(0o755)

    def create(self, trouble: str = "") -> str:
        return CREATE.format(base=self.base, trouble=trouble)

    async def fail(self, why: str) -> None:
        """Start, and see that no descriptor, process or bundle is left of it."""
        before = descriptors.opened()
        with pytest.raises(errors.PluginFailed, match=why):
            await self.runtime.start(ID, {}, self.log)
        assert descriptors.opened() <= before
        assert not self.box.path.exists()
        if (self.base / "container").exists():
            assert not is_alive(int((self.base / "container").read_text()))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["/bin/sleep", "1000"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def small_disk(stage: Stage) -> Iterator[None]:
    """What is on /run has 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    run = stage.base / "run"
    run.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "full", run], check=True)
    yield
    subprocess.run(["umount", run], check=True)


async def test_a_container_that_was_killed_before_we_saw_it(
    stage: Stage, sleeper: subprocess.Popen[bytes]
) -> None:
    sleeper.kill()
    sleeper.wait()
    stage.play("conmon", f"echo 1 > $PIDFILE; answer '{{\"data\": {sleeper.pid}}}'")
    await stage.fail("cannot start plugin: the container was killed while it was being created")


async def test_a_program_that_the_runtime_does_not_start_is_killed(stage: Stage) -> None:
    stage.play("conmon", stage.create())
    stage.play("runc", RUNC.format(base=stage.base, start="echo 'no cgroup' >&2; exit 1"))
    await stage.fail("cannot start plugin: cannot start container abc: runc: no cgroup")


async def test_a_note_of_who_runs_that_cannot_be_written(stage: Stage) -> None:
    """Without it the next agent could not adopt the container, so it does not run."""
    stage.play("conmon", stage.create("mkdir $BUNDLE/launch.json"))
    await stage.fail(r'cannot write bundle ".*/bundles/abc": Is a directory')


@pytest.mark.root
@pytest.mark.usefixtures("small_disk")
async def test_a_full_disk(stage: Stage) -> None:
    stage.play("conmon", stage.create("dd if=/dev/zero of=$BUNDLE/full bs=4k"))
    await stage.fail(r'cannot write bundle ".*/bundles/abc": No space left on device')
    with pytest.raises(errors.PluginFailed, match="No space left on device"):
        await stage.runtime.start(ID, {"big": "x" * 100_000}, stage.log)
    assert not stage.box.path.exists()


async def test_what_cannot_be_cleared_away_does_not_hide_why_it_failed(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.play("conmon", f"mkdir -p {stage.base}/state/{ID}\n{REFUSE}")
    stage.play("runc", "echo 'device or resource busy' >&2; exit 1")
    with pytest.raises(errors.PluginFailed, match=r"^cannot start plugin: no such mount$"):
        await stage.runtime.start(ID, {}, stage.log)
    assert "something of a failed start is left" in caplog.text
    assert await stage.runtime.list_ids() == [ID], "the next boot finds it"


async def test_a_directory_of_logs_that_cannot_be_made(stage: Stage) -> None:
    (stage.base / "log").touch()
    await stage.fail('cannot make directory ".*/log": File exists')


async def test_no_descriptor_is_free(stage: Stage) -> None:
    """There is room for one of conmon's three pipes; it is closed again."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(number) for number, _ in descriptors.opened())
    fillers = [os.open("/dev/null", os.O_RDONLY)]
    while fillers[-1] < highest:
        fillers.append(os.open("/dev/null", os.O_RDONLY))
    before = descriptors.opened()
    try:
        # Every number below the last filler's is taken.
        resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 4, limits[1]))
        with pytest.raises(errors.PluginFailed, match="cannot run conmon: Too many open files"):
            await stage.runtime.start(ID, {}, stage.log)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        after = descriptors.opened()
        for fd in fillers:
            os.close(fd)
    assert after <= before
    assert not stage.box.path.exists()


async def test_who_gives_up_while_conmon_starts_waits_for_it(stage: Stage) -> None:
    """Its descriptors must stay open for as long as it may still take them."""
    for name in ("there", "go"):
        os.mkfifo(stage.base / name)
    script = f"echo > {stage.base}/there; read _ < {stage.base}/go\n"
    stage.play("conmon", script + stage.create())
    starting = asyncio.ensure_future(stage.runtime.start(ID, {}, stage.log))
    await asyncio.to_thread((stage.base / "there").read_text)
    starting.cancel()
    await asyncio.sleep(0)
    assert not starting.done()
    await asyncio.to_thread((stage.base / "go").write_text, "\n")
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await stage.runtime.list_ids() == []


async def test_a_conmon_that_does_not_end_is_killed(
    stage: Stage, sleeper: subprocess.Popen[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    stage.box.write({})
    started = pidfd.start_time(sleeper.pid)
    assert started is not None
    stage.box.write_launch(
        bundle.Launch(pid=0, start_time=0, conmon_pid=sleeper.pid, conmon_start_time=started)
    )
    await stage.runtime.purge(ID)
    assert sleeper.wait() == -9
    assert "conmon did not end" in caplog.text
    assert not stage.box.path.exists()


async def test_the_status_of_who_ended_without_us(stage: Stage) -> None:
    assert stage.runtime.exit_status(ID) is None
    stage.box.write({})
    (stage.box.exits / ID).write_text("3")
    assert stage.runtime.exit_status(ID) == 3


async def test_a_log_that_cannot_be_opened_anew(stage: Stage) -> None:
    stage.box.write({})
    stage.box.control.mkdir()
    with pytest.raises(errors.System, match=r"cannot reopen log of plugin abc: Is a directory"):
        await stage.runtime.reopen_log(ID)


async def test_a_runtime_that_talks_nonsense_adopts_nothing(
    stage: Stage, sleeper: subprocess.Popen[bytes]
) -> None:
    """Adoption is refused with the reason, and neither descriptor is left open."""
    started = pidfd.start_time(sleeper.pid)
    assert started is not None
    stage.box.write({})
    stage.box.write_launch(
        bundle.Launch(pid=sleeper.pid, start_time=started, conmon_pid=0, conmon_start_time=0)
    )
    (stage.base / "state" / ID).mkdir(parents=True)
    stage.play("runc", "echo '{'")
    before = descriptors.opened()
    with pytest.raises(errors.System, match="cannot read state of container abc"):
        await stage.runtime.adopt(ID)
    assert descriptors.opened() <= before
    assert sleeper.poll() is None
