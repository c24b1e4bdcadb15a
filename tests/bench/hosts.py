# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""5 plugins and 50 volumes on 1, 10 and 50 hosts over ssh: what each of them costs, and the controller.

    python tests/bench/hosts.py [--most HOSTS] [--rounds N]

The hosts are those of tests/fleet: namespaces on this machine, so that they and the controller share its processors.
`hosts_N_*` is the time of the task until the last host is done, divided by N; `*_cpu` the processor time of
ansible-playbook and all that it starts on the controller, from its start to its end, divided by N. 50 hosts take some
minutes and 8 GiB; --most 10 leaves them out.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchlib import declared, playbooks
from benchlib.cli import run
from benchlib.figures import Figure, figure
from fleet.fleet import Fleet, lacking
from fleet.hosts import Host
from fleet.supplies import find_wheel, obtain_wheelhouse, publish

COUNTS = (1, 10, 50)
#: A run with nothing to do takes so little that it can be repeated.
REPEAT = 3
REPOSITORY = "bench/localdir"
Samples = dict[str, list[float]]


def measure(*, most: int = 50, rounds: int = 2) -> Iterator[Figure]:
    """Install the agent on all hosts, then measure on the first N of them."""
    if missing := lacking():
        pytest.skip(f"needs {', '.join(missing)}")
    counts = [count for count in COUNTS if count <= most]
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as place,
        Fleet(Path(place, "f"), counts[-1]) as fleet,
    ):
        install(fleet)
        times = Path(place, "times")
        os.environ |= playbooks.timing(times)
        for count in counts:
            yield from some(fleet, list(fleet)[:count], times, rounds)


def install(fleet: Fleet) -> None:
    """Bring the agent to all hosts, and plugins to the registry."""
    fleet.registry.start()
    tags = {str(n): {"description": f"Number {n}"} for n in range(declared.PLUGINS)}
    publish(fleet, "localdir", REPOSITORY, tags)
    variables = {
        "agent_wheel": str(find_wheel()),
        "agent_wheelhouse": str(obtain_wheelhouse(fleet.ground.lower)),
        "agent_options": {"registry": {"insecure": [fleet.registry.host]}},
        "plugins_plugins": [],
        "plugins_volumes": [],
    }
    done = fleet.play("plugind.engine.site", "--extra-vars", json.dumps(variables))
    if done.rc:
        raise SystemExit(f"cannot install the agent: {done.output[-3000:]}")


def some(fleet: Fleet, hosts: Sequence[Host], times: Path, rounds: int) -> Iterator[Figure]:
    """The figures of the first N hosts."""
    samples: Samples = {}
    for _ in range(rounds):
        for host in hosts:
            host.run("plugind", "apply", input=json.dumps(wanted(fleet, "absent")))
        once(fleet, hosts, times, "first", samples)
        for _ in range(REPEAT):
            once(fleet, hosts, times, "noop", samples)
    for name, values in samples.items():
        yield figure(f"hosts_{len(hosts)}_{name}", values)


def once(fleet: Fleet, hosts: Sequence[Host], times: Path, name: str, samples: Samples) -> None:
    """One ansible-playbook; its figures are added to `samples`."""
    task = {"name": "apply", "plugind.engine.apply": wanted(fleet)}
    play = {
        "hosts": "all",
        "gather_facts": False,
        "become": True,
        "tasks": [playbooks.CONNECT, task],
    }
    playbook = fleet.directory / "bench.yml"
    playbook.write_text(yaml.safe_dump([play]))
    times.write_text("")
    before = processor()
    done = fleet.play(playbook, "--limit", ",".join(host.name for host in hosts))
    spent = processor() - before
    if done.rc or (done.changed > 0) != (name == "first"):
        raise SystemExit(f"cannot measure: {done.output[-3000:]}")
    lines = [json.loads(line) for line in times.read_text().splitlines()]
    slowest = max(line["ms"] for line in lines if line["task"] == "apply")
    samples.setdefault(name, []).append(slowest / len(hosts))
    samples.setdefault(f"{name}_cpu", []).append(spent / len(hosts))


def wanted(fleet: Fleet, state: str = "") -> dict[str, Any]:
    """What is declared, or the same as absent."""
    volumes = [{"name": f"v{n}", "driver": declared.driver(n)} for n in range(declared.VOLUMES)]
    names = [declared.name(n) for n in range(declared.PLUGINS)]
    if state:
        return {
            "plugins": [{"name": name, "state": state, "force": True} for name in names],
            "volumes": [{**volume, "state": state} for volume in volumes],
        }
    source = f"{fleet.registry.host}/{REPOSITORY}"
    plugins = [{"name": name, "source": f"{source}:{n}"} for n, name in enumerate(names)]
    return {"plugins": plugins, "volumes": volumes}


def processor() -> float:
    """Milliseconds of all child processes that have ended and been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


if __name__ == "__main__":
    sys.exit(run(measure))
