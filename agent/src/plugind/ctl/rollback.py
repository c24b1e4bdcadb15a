# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind rollback`: go back from the last change of a host.

    plugind rollback [ID] [--dry-run] [--diff] [--json] [--engine URL] [--socket PATH]

What `plugind apply` changed last is undone. ID is the change that is meant, as `apply` answers it: if
it is not the last one, nothing is done. With --engine the change is one that `plugind apply --engine`
made on that Docker Engine, from this host. Exit codes are those of `plugind apply`.
"""

from __future__ import annotations

import argparse

from plugind.ctl import apply, parser

# As in typing, which costs as much as half of this verb.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(argv: list[str]) -> int:
    """Run `plugind rollback`; return the exit code."""
    return run(parser.parse("rollback", argv))


def run(options: argparse.Namespace) -> int:
    """Go back from the last change."""
    options.file = None
    return apply.run(
        options, _roll_back, lambda answer: apply.render_result(answer, diff=options.diff)
    )


def _roll_back(options: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    if options.engine:
        return _roll_back_docker(options)
    if options.id:
        document["id"] = options.id
    path = f"/plugind/rollback?dry_run={int(options.dry_run)}"
    if options.remove_volumes:
        path += "&remove_volumes=1"
    return apply.post(options, path, document)


def _roll_back_docker(options: argparse.Namespace) -> dict[str, Any]:
    import asyncio

    from plugind import carry
    from plugind.dockerd import execute, undo_log

    policy = apply.read_policy()
    log = undo_log.of_engine(options.engine)

    async def work() -> dict[str, Any]:
        record = carry.require_change(await log.last(), options.id)
        async with execute.open_target(options.engine, policy) as target:
            result = await carry.roll_back(
                record,
                target,
                undo_log=log,
                dry_run=options.dry_run,
                remove_volumes=options.remove_volumes,
            )
            return result.to_json()

    return asyncio.run(work())
