# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind mounts`: volumes at paths of the host."""

from __future__ import annotations

import argparse
import sys

from plugind.ctl import agent, http, screen


def list_mounts(options: argparse.Namespace) -> int:
    """List host mounts."""
    found = agent.get(options, "/plugind/mounts")
    if options.json:
        screen.print_json(found)
        return http.OK
    rows = [
        (
            one["Path"],
            one["Volume"],
            one["State"],
            f"{'ro' if one['ReadOnly'] else 'rw'},{one['Propagation']}",
        )
        for one in found
    ]
    titles = ("PATH", "VOLUME", "STATE", "OPTIONS")
    screen.print_table(titles, rows, cut=("PATH", "VOLUME"), state="STATE")
    for one in found:
        if one["Error"]:
            print(f"{one['Path']}: {one['Error']}", file=sys.stderr)
    return http.OK


def mount(options: argparse.Namespace) -> int:
    """Mount a volume at a path."""
    body = {
        "Path": options.path,
        "Volume": options.volume,
        "ReadOnly": options.read_only,
        "Propagation": options.propagation,
        "Mode": options.mode,
        "Owner": options.owner,
        "Group": options.group,
        "AllowNonempty": options.allow_nonempty,
    }
    shown = agent.call(options, "POST", "/plugind/mounts", body)
    if options.json:
        screen.print_json(shown)
    else:
        print(shown["Path"])
    return http.OK


def unmount(options: argparse.Namespace) -> int:
    """Unmount."""
    path = f"/plugind/mounts/{agent.quote(options.path)}?force={int(options.force)}"
    answer = agent.call(options, "DELETE", path)
    if options.json:
        screen.print_json(answer)
    else:
        print(options.path)
    for warning in answer["Warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    return http.OK
