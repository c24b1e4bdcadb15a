# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind mounts`: volumes at paths of the host.

plugind mounts [ls] [--json]                     what is mounted where, and its state
plugind mounts mount [OPTIONS] VOLUME PATH       mount, or repair what is recorded
plugind mounts unmount [-f] PATH                 unmount, for good

mounted      the volume is seen at the path          stale     its driver's mount is dead or gone
unmounted    recorded, and nothing is there          covered   something else is mounted there
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import sys
from collections.abc import Callable
from typing import Any

from plugind import ctl_http

_PROPAGATIONS = ("rprivate", "private", "rslave", "slave", "rshared", "shared")
Call = Callable[[str, str, Any], Any]


def main(arguments: list[str]) -> int:
    """Run `plugind mounts`; return the exit status."""
    options = _parser().parse_args(arguments, argparse.Namespace(json=False, socket=None))
    verb: Callable[[argparse.Namespace, Call], int] = options.verb
    url = ctl_http.agent_url(ctl_http.agent_socket(options.socket))
    try:
        with contextlib.closing(ctl_http.connect(url)) as connection:
            return verb(options, functools.partial(ctl_http.request_json, connection))
    except (ctl_http.Unreachable, ctl_http.Refused) as exc:
        print(f"plugind: {exc}", file=sys.stderr)
        lost = isinstance(exc, ctl_http.Unreachable)
        return ctl_http.UNREACHABLE if lost else ctl_http.FAILED


def _parser() -> argparse.ArgumentParser:
    # No defaults here: those of a verb would replace what stands before it.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument("--socket", help="the agent's socket")
    parser = argparse.ArgumentParser(
        prog="plugind mounts",
        description=(__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.set_defaults(verb=list_mounts)
    verbs = parser.add_subparsers(metavar="VERB")
    verbs.add_parser("ls", parents=[common], help="list").set_defaults(verb=list_mounts)
    mounting = verbs.add_parser("mount", parents=[common], help="mount a volume at a path")
    mounting.add_argument("volume")
    mounting.add_argument("path")
    mounting.add_argument("--read-only", action="store_true")
    mounting.add_argument("--propagation", choices=_PROPAGATIONS, default=_PROPAGATIONS[0])
    for name in ("mode", "owner", "group"):
        mounting.add_argument(f"--{name}", default="", help="of the directory, if it is made")
    mounting.add_argument("--allow-nonempty", action="store_true", help="hide what is there")
    mounting.set_defaults(verb=mount)
    leaving = verbs.add_parser("unmount", parents=[common], help="unmount")
    leaving.add_argument("path")
    leaving.add_argument("-f", "--force", action="store_true", help="although it is in use")
    leaving.set_defaults(verb=unmount)
    return parser


def list_mounts(options: argparse.Namespace, call: Call) -> int:
    """List host mounts."""
    found = call("GET", "/plugind/mounts", None)
    if options.json:
        print(json.dumps(found, indent=2))
        return ctl_http.OK
    rows = [("PATH", "VOLUME", "STATE", "OPTIONS")]
    for one in found:
        how = f"{'ro' if one['ReadOnly'] else 'rw'},{one['Propagation']}"
        rows.append((one["Path"], one["Volume"], one["State"], how))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("   ".join(cells).rstrip())
    for one in found:
        if one["Error"]:
            print(f"{one['Path']}: {one['Error']}", file=sys.stderr)
    return ctl_http.OK


def mount(options: argparse.Namespace, call: Call) -> int:
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
    shown = call("POST", "/plugind/mounts", body)
    print(json.dumps(shown, indent=2) if options.json else shown["Path"])
    return ctl_http.OK


def unmount(options: argparse.Namespace, call: Call) -> int:
    """Unmount."""
    path = f"/plugind/mounts/{ctl_http.quote(options.path)}?force={int(options.force)}"
    answer = call("DELETE", path, None)
    print(json.dumps(answer, indent=2) if options.json else options.path)
    for warning in answer["Warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    return ctl_http.OK
