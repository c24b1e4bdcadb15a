# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Plugins, volumes and configs in few words, for tests of the planner and its hands."""

from __future__ import annotations

from typing import Any

from plugind.model import desired, observed, privileges
from plugind.model.observed import Observation, Offer
from plugind.model.plans import plan
from plugind.model.steps import Plan

CONFIG: dict[str, Any] = {
    "Entrypoint": ["/driver"],
    "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "x.sock"},
    "Network": {"Type": "host"},
    "Linux": {
        "Capabilities": ["CAP_SYS_ADMIN"],
        "Devices": [{"Name": "dev", "Path": "/dev/fuse", "Settable": ["path"]}],
    },
    "Mounts": [{"Name": "data", "Source": "/srv", "Destination": "/d", "Settable": ["source"]}],
    "Env": [
        {"Name": "DEBUG", "Value": "0", "Settable": ["value"]},
        {"Name": "PASSWORD", "Settable": ["value"]},
        {"Name": "linode.token", "Value": "", "Settable": ["value"]},
        {"Name": "FIXED", "Value": "1"},
    ],
    "Args": {"Name": "args", "Value": ["--a"], "Settable": ["value"]},
}
#: What CONFIG asks for.
GRANT = {
    "network": "host",
    "mount": "/srv",
    "device": "/dev/fuse",
    "capabilities": ["CAP_SYS_ADMIN"],
}
DIGEST = "sha256:" + "1" * 64
OTHER_DIGEST = "sha256:" + "2" * 64


def plugin(
    name: str = "x:latest", *, enabled: bool = True, source: str = "x:1", env: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return an Engine API plugin object."""
    return {
        "Id": name.partition(":")[0].ljust(64, "0"),
        "Name": name,
        "Enabled": enabled,
        "PluginReference": source,
        "Config": CONFIG,
        "Settings": {
            "Env": [*env, *(() if env else ("DEBUG=0",)), "linode.token=", "FIXED=1"],
            "Args": ["--a"],
            "Mounts": CONFIG["Mounts"],
            "Devices": CONFIG["Linux"]["Devices"],
        },
    }


def volume(name: str = "v", driver: str = "x:latest", **more: Any) -> dict[str, Any]:
    """Return an Engine API volume object."""
    return {"Name": name, "Driver": driver, "Options": None, "Labels": None, **more}


def offer(*, known: bool = True, digest: str = DIGEST) -> Offer:
    """Return what a registry has: CONFIG; `known`: to an engine that reads it itself."""
    config = observed.read_config(CONFIG)
    asked = privileges.compute_privileges(config)
    return (
        Offer(privileges=asked, digest=digest, config=config) if known else Offer(privileges=asked)
    )


def plan_for(
    declaration: dict[str, Any],
    *documents: dict[str, Any],
    offers: dict[str, Offer] | None = None,
    **observation: Any,
) -> Plan:
    """Plan a declaration on an engine with these plugins and volumes, options compared."""
    wanted = desired.parse_declaration(declaration)
    world = observed.read(
        Observation(
            plugins=tuple(d for d in documents if "Id" in d),
            volumes=tuple(d for d in documents if "Id" not in d),
            **observation,
        )
    )
    needs = plan.needs(wanted, world)
    known = {"x:latest": offer()} if offers is None else offers
    return plan.plan(
        wanted,
        observed.Observed(
            plugins=world.plugins,
            volumes=world.volumes,
            mounts=world.mounts,
            drivers=world.drivers,
            in_place=world.in_place,
            offers={p.name: known[p.name] for p in needs.offers if p.name in known},
            drift={
                v.name: observed.differing(v.options or {}, world.volumes[v.name].options)
                for v in needs.comparisons
            },
        ),
    )


def kinds(made: Plan) -> list[str]:
    """Return the kinds of a plan's steps, in order; a plan with problems is a failure."""
    assert made.problems == ()
    return [step.kind for step in made.steps]


def problem(made: Plan) -> str:
    """Return the message of a plan's only problem."""
    assert len(made.problems) == 1, made.problems
    return made.problems[0].message
