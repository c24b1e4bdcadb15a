# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind volumes`: list, mount and release volumes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from plugind.ctl import agent, http, screen


def list_volumes(options: argparse.Namespace) -> int:
    """List volumes."""
    answer = agent.get(options, "/volumes")
    if options.json:
        screen.print_json(answer)
        return http.OK
    rows = [(v["Driver"], v["Name"], v["Scope"], v["Mountpoint"]) for v in answer["Volumes"]]
    titles = ("DRIVER", "NAME", "SCOPE", "MOUNTPOINT")
    screen.print_table(titles, rows, cut=("DRIVER", "NAME", "MOUNTPOINT"))
    return _warn(answer["Warnings"] or ())


def mount(options: argparse.Namespace) -> int:
    """Mount a volume for a holder."""
    answer = agent.call(options, "POST", f"{_path(options)}/mount", {"Holder": options.holder})
    if options.json:
        screen.print_json(answer)
    else:
        print(answer["Mountpoint"])
    return http.OK


def unmount(options: argparse.Namespace) -> int:
    """Release a holder's mount."""
    agent.call(options, "POST", f"{_path(options)}/unmount", {"Holder": options.holder})
    if options.json:
        screen.print_json({"Name": options.name, "Holder": options.holder})
    return http.OK


def holders(options: argparse.Namespace) -> int:
    """Say who has a volume mounted."""
    found = agent.get(options, f"{_path(options)}/holders")
    if options.json:
        screen.print_json(found)
        return http.OK
    rows = [(one["Holder"], one["Mountpoint"]) for one in found]
    screen.print_table(("HOLDER", "MOUNTPOINT"), rows, cut=("HOLDER", "MOUNTPOINT"))
    return http.OK


def remove(options: argparse.Namespace) -> int:
    """Remove a volume, and say what could not be done."""
    answer = agent.call(options, "DELETE", f"{_path(options)}?force={int(options.force)}")
    if options.json:
        screen.print_json(answer)
        return http.OK
    return _warn(answer["Warnings"])


def _path(options: argparse.Namespace) -> str:
    return f"/plugind/volumes/{agent.quote(options.name)}"


def _warn(warnings: Iterable[str]) -> int:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return http.OK
