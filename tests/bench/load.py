# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Load: clients that create, mount, unmount and remove volumes while plugins are killed at random.

    python tests/bench/load.py [--volumes 10000] [--clients 64] [--plugins 3] [--seed 1]

A third of the clients use the plugins' front sockets, as Podman and dockerd do, the others the API. A call that
fails because a plugin was killed under it is made again, as any client would. A tenth of the volumes is kept
mounted until everything else is done; then the agent itself is killed and started again, and the kept volumes
must be listed, held and mounted as before. At the end nothing may be left: no record, no reference, no mount, no
volume in any plugin, and every plugin is disabled without force.

Exit status 1 and a line per complaint if something was lost, leaked or stuck. A JSON line for each kind of call, and
one for the whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from benchlib import ROOT, cli
from benchlib.figures import Figure, figure

from plugind.host import mounts
from support import daemon

PLUGIN = ROOT / "agent" / "tests" / "system" / "plugins" / "binder"
#: A plugin needs about half a second to come back, so this many tries outlast many crashes.
TRIES = 60
KEPT = 10  # every tenth volume stays mounted until the end


@dataclass(frozen=True)
class Options:
    """How much there is to do."""

    volumes: int
    clients: int
    plugins: int
    seed: int


@dataclass
class Run:
    """What was done, how long it took, and what went wrong."""

    times: dict[str, list[float]] = field(default_factory=dict)
    repeated: Counter[str] = field(default_factory=Counter)
    kept: list[Job] = field(default_factory=list)
    kills: int = 0
    complaints: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """One volume's life. `by_front`: through the plugin's front socket."""

    name: str
    plugin: str
    by_front: bool
    keep: bool

    @property
    def holder(self) -> str:
        return f"load-{self.name}"


class Client:
    """Calls of one client; every one is repeated until it is known to have been carried out."""

    def __init__(self, agent: daemon.Agent, plugins: list[str], run: Run) -> None:
        self.run = run
        self.api = _session(agent.socket)
        self.fronts = {name: _session(_front(agent, name)) for name in plugins}

    async def close(self) -> None:
        for session in (self.api, *self.fronts.values()):
            await session.close()

    async def live(self, job: Job) -> None:
        """Create, mount, write, read; then unmount and remove unless the volume is kept."""
        await self.create(job)
        await asyncio.to_thread(self.use, job, Path(await self.mount(job)))
        if job.keep:
            self.run.kept.append(job)
            return
        await self.end(job)

    async def survive(self, job: Job) -> None:
        """Live; a job that cannot be brought to its end is a complaint, and the others go on."""
        try:
            await self.live(job)
        except (RuntimeError, OSError, aiohttp.ClientError, TimeoutError) as exc:
            self.run.complaints.append(f"{job.name}: {type(exc).__name__} {exc}")

    def use(self, job: Job, path: Path) -> None:
        """Write and read; between a kill and the replay the mount is away, which is counted.

        What is kept is written until it is in the volume, not in the directory beneath the mount.
        """
        stored = path.parents[1] / "store" / job.name / "content"
        for _ in range(TRIES if job.keep else 1):
            try:
                (path / "content").write_text(job.name)
                if stored.read_text() == job.name:
                    return
                self.run.complaints.append(f"{job.name}: read something else than was written")
            except OSError:
                self.run.repeated["write"] += 1
            time.sleep(0.05)

    async def end(self, job: Job) -> None:
        """Unmount and remove."""
        await self.unmount(job)
        await self.remove(job)

    async def create(self, job: Job) -> None:
        if job.by_front:
            await self.rpc(job, "Create", {"Name": job.name, "Opts": {}})
        else:
            body = {"Name": job.name, "Driver": job.plugin}
            await self.call("create", "POST", "/volumes/create", body)

    async def mount(self, job: Job) -> str:
        if job.by_front:
            answer = await self.rpc(job, "Mount", {"Name": job.name, "ID": job.holder})
        else:
            path = f"/plugind/volumes/{quote(job.name)}/mount"
            answer = await self.call("mount", "POST", path, {"Holder": job.holder})
        return str(answer["Mountpoint"])

    async def unmount(self, job: Job) -> None:
        if job.by_front:
            await self.rpc(job, "Unmount", {"Name": job.name, "ID": job.holder})
        else:
            path = f"/plugind/volumes/{quote(job.name)}/unmount"
            await self.call("unmount", "POST", path, {"Holder": job.holder})

    async def remove(self, job: Job) -> None:
        if job.by_front:
            await self.rpc(job, "Remove", {"Name": job.name})
        else:
            await self.call("remove", "DELETE", f"/volumes/{quote(job.name)}", None)

    async def rpc(self, job: Job, method: str, body: dict[str, Any]) -> Any:
        session, path = self.fronts[job.plugin], f"/VolumeDriver.{method}"
        return await self.repeat(f"front {method.lower()}", session, "POST", path, body)

    async def call(self, what: str, method: str, path: str, body: Any) -> Any:
        return await self.repeat(what, self.api, method, path, body)

    async def repeat(
        self, what: str, session: aiohttp.ClientSession, method: str, path: str, body: Any
    ) -> Any:
        """Make the call until it succeeds, or says that it was carried out before."""
        text = ""
        for number in range(TRIES):
            started = time.perf_counter()
            async with session.request(method, f"http://plugind{path}", json=body) as response:
                text = await response.text()
                status = response.status
            if status < 400:
                self.run.times.setdefault(what, []).append(time.perf_counter() - started)
                return json.loads(text) if text.strip() else {}
            if number and _was_done(what, text):
                return {}
            self.run.repeated[what] += 1
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{what} {path} failed {TRIES} times: {text.strip()}")


def _was_done(what: str, text: str) -> bool:
    """True if an earlier try was carried out though its answer was lost."""
    if what.endswith("unmount"):
        return "not mounted" in text
    return what.endswith("remove") and ("no such volume" in text or "not found" in text)


def _session(socket: Path) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(str(socket)), timeout=aiohttp.ClientTimeout(total=180)
    )


def _front(agent: daemon.Agent, name: str) -> Path:
    return Path(agent.plugin(name)["Status"]["Front"])


async def kill_at_random(agent: daemon.Agent, plugins: list[str], run: Run, seed: int) -> None:
    """Kill -9 a plugin's process now and then, until cancelled."""
    chance = random.Random(seed)
    while True:
        await asyncio.sleep(chance.uniform(1.0, 3.0))
        name = chance.choice(plugins)
        status = (await asyncio.to_thread(agent.plugin, name))["Status"]
        if status.get("Pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(status["Pid"], signal.SIGKILL)
                run.kills += 1


async def work(agent: daemon.Agent, plugins: list[str], options: Options) -> Run:
    """Let the clients share the volumes while plugins are killed."""
    run = Run()
    jobs = iter(
        [
            Job(f"v{n}", plugins[n % len(plugins)], by_front=n % 3 == 0, keep=n % KEPT == 7)
            for n in range(options.volumes)
        ]
    )

    async def client() -> None:
        one = Client(agent, plugins, run)
        try:
            for job in jobs:
                await one.survive(job)
        finally:
            await one.close()

    killer = asyncio.create_task(kill_at_random(agent, plugins, run, options.seed))
    try:
        await asyncio.gather(*(client() for _ in range(options.clients)))
    finally:
        killer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await killer
    return run


async def finish(agent: daemon.Agent, plugins: list[str], run: Run) -> None:
    """Unmount and remove what was kept."""
    one = Client(agent, plugins, run)
    try:
        for job in run.kept:
            await one.end(job)
    finally:
        await one.close()


def replayed(wanted: int) -> set[str]:
    """What is mounted; a plugin that was killed last may need a while for its replay."""
    for _ in range(600):
        mounted = {mount.path for mount in mounts.read_mounts() if "/mnt/v" in mount.path}
        if len(mounted) == wanted:
            break
        time.sleep(0.1)
    return mounted


def check_kept(agent: daemon.Agent, plugins: list[str], run: Run, when: str) -> None:
    """Every kept volume is listed, held and mounted; nothing else is."""
    for name in plugins:
        if not agent.plugin(name)["Enabled"]:
            run.complaints.append(f"{when}: the agent gave up on {name}")
    listed = {item["Name"]: item for item in agent.request("GET", "/volumes")["Volumes"]}
    kept = {job.name: job for job in run.kept}
    for name in sorted(listed.keys() ^ kept.keys()):
        run.complaints.append(f"{when}: {name} is {'left' if name in listed else 'lost'}")
    mounted = replayed(len(kept))
    for job in run.kept:
        held = agent.request("GET", f"/plugind/volumes/{job.name}/holders")
        if len(held) != 1:
            run.complaints.append(f"{when}: {job.name} has {len(held)} holders, not one")
        elif held[0]["Mountpoint"] not in mounted:
            run.complaints.append(f"{when}: {job.name} is not mounted")
        elif Path(held[0]["Mountpoint"], "content").read_text() != job.name:
            run.complaints.append(f"{when}: {job.name} has lost its content")
    if len(mounted) != len(kept):
        run.complaints.append(f"{when}: {len(mounted)} mounts for {len(kept)} kept volumes")


def check_nothing_left(agent: daemon.Agent, plugins: list[str], run: Run) -> None:
    """No record, no volume, no mount, no reference."""
    if left := agent.request("GET", "/volumes")["Volumes"]:
        run.complaints.append(f"end: {len(left)} volumes are left")
    if left := sorted((agent.root / "volumes").iterdir()):
        run.complaints.append(f"end: {len(left)} records are left")
    for name in plugins:
        agent.request("POST", f"/plugins/{name}/disable")
    if left := [mount for mount in mounts.read_mounts() if mount.path.startswith(str(agent.root))]:
        run.complaints.append(f"end: {len(left)} mounts are left")


def figures(run: Run, options: Options, seconds: float) -> Iterator[Figure]:
    """Milliseconds per call, and how often a call had to be made again."""
    for what, times in sorted(run.times.items()):
        if len(times) > 1:
            spent = [time * 1000 for time in times]
            worst = statistics.quantiles(spent, n=100)[98]
            yield figure(f"load_{what.replace(' ', '_')}", spent, p99=round(worst, 1))
    rate = sum(map(len, run.times.values())) / seconds
    more = {"kills": run.kills, "repeated": dict(sorted(run.repeated.items()))}
    whole = {**dataclasses.asdict(options), "seconds": round(seconds, 1), **more}
    yield figure("load", [rate], unit="calls/s", complaints=len(run.complaints), **whole)


def measure(
    *, volumes: int = 10_000, clients: int = 64, plugins: int = 3, seed: int = 1
) -> Iterator[Figure]:
    """Load; SystemExit after the figures if there are complaints."""
    options = Options(volumes, clients, plugins, seed)
    daemon.require("runc", "conmon")
    with tempfile.TemporaryDirectory(prefix="load-") as directory:
        run, seconds = load(Path(directory), options)
    yield from figures(run, options, seconds)
    for complaint in run.complaints[:50]:
        print(complaint, file=sys.stderr)
    if run.complaints:
        raise SystemExit(1)


def load(place: Path, options: Options) -> tuple[Run, float]:
    """All of it; what happened, and the seconds that the clients took."""
    restarts = {"restart-healthy-after": "0.5", "restart-longest": "0.5"}
    built = daemon.build_plugin(str(PLUGIN), place / "plugin")
    with daemon.run(place / "agent", restarts) as agent:
        names = [f"binder{n}:latest" for n in range(options.plugins)]
        for name in names:
            (built / "rootfs" / "name").write_text(name)
            agent.cli("plugin", "create", name, str(built))
            agent.cli("plugin", "enable", name)
        started = time.perf_counter()
        run = asyncio.run(work(agent, names, options))
        seconds = time.perf_counter() - started
        check_kept(agent, names, run, "after the load")
        agent.kill()
        agent.start()
        check_kept(agent, names, run, "after the agent's restart")
        asyncio.run(finish(agent, names, run))
        check_nothing_left(agent, names, run)
    return run, seconds


if __name__ == "__main__":
    sys.exit(cli.run(measure))
