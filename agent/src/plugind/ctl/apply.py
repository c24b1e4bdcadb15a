# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind apply` and `plugind query`: a thin pipe to the agent, or to a real Docker Engine.

    plugind apply [FILE|-] [--dry-run] [--diff] [--json] [--engine URL] [--socket PATH]
    plugind query [FILE|-] [--json] [--engine URL] [--socket PATH]

Without --engine the document is posted to the agent and its answer printed: nothing but the
standard library is imported, and what Ansible's tasks ask for is done by `pipe` with even less. With
--engine the planner runs in this process.

    0  done, or nothing to do             2  the document or the usage is wrong
    1  something failed; JSON is printed   3  nobody answers there
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping

from plugind import errors
from plugind.ctl import parser, wire

# As in typing, which costs as much as half of this verb.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from plugind.model.secrets import SecretPolicy

    Work = Callable[[argparse.Namespace, dict[str, Any]], dict[str, Any]]

_MARKS = {"install": "+", "create": "+", "remove": "-"}


def main_apply(argv: list[str]) -> int:
    """Run `plugind apply`; return the exit code."""
    return apply(parser.parse("apply", argv))


def main_query(argv: list[str]) -> int:
    """Run `plugind query`; return the exit code."""
    return query(parser.parse("query", argv))


def apply(options: argparse.Namespace) -> int:
    """Make a declaration true."""
    return run(options, _apply, lambda answer: render_result(answer, diff=options.diff))


def query(options: argparse.Namespace) -> int:
    """Read plugins and volumes; always prints JSON."""
    options.json = True
    return run(options, _query, lambda _: ())


def run(
    options: argparse.Namespace, work: Work, render: Callable[[dict[str, Any]], Iterator[str] | tuple[()]]
) -> int:  # fmt: skip
    """Read the document, do the work, print the answer; every error becomes an exit code.

    A verb that takes no document has None for its file.
    """
    try:
        answer = work(options, {} if options.file is None else read_document(options.file))
    except (wire.Unreachable, wire.Refused, errors.PlugindError) as exc:
        return fail(exc, json_too=options.json)
    if options.json:
        return finish(answer)
    for line in render(answer):
        print(_coloured(line))
    return _end(answer)


def finish(answer: Mapping[str, Any]) -> int:
    """Print an answer as JSON; return the exit code."""
    print(json.dumps(answer, sort_keys=True))
    return _end(answer)


def _end(answer: Mapping[str, Any]) -> int:
    if answer.get("failed"):
        print(f"plugind: {answer.get('msg')}", file=sys.stderr)
        return wire.FAILED
    return wire.OK


def _coloured(line: str) -> str:
    if not sys.stdout.isatty():
        return line
    from plugind.ctl import screen

    colours = {
        "+": screen.GREEN,
        "-": screen.RED,
        "~": screen.YELLOW,
        "!": screen.RED,
    }
    return screen.paint(line, colours.get(line[:1], ""), sys.stdout)


def fail(exc: Exception, *, json_too: bool) -> int:
    """Report an error that left no result; return the exit code."""
    if json_too:
        print(json.dumps({"changed": False, "failed": True, "msg": str(exc)}))
    print(f"plugind: {exc}", file=sys.stderr)
    if isinstance(exc, errors.InvalidParameter) or (
        isinstance(exc, wire.Refused) and exc.status == 400
    ):
        return wire.INVALID
    unreachable = isinstance(exc, (wire.Unreachable, errors.Unavailable))
    return wire.UNREACHABLE if unreachable else wire.FAILED


def read_document(file: str) -> dict[str, Any]:
    """Read a JSON object from a file or, for `-`, from standard input."""
    try:
        document = json.loads(_read(file))
    except (OSError, ValueError) as exc:
        where = "standard input" if file == "-" else file
        raise errors.InvalidParameter(f"cannot read {where}: {exc}") from exc
    if not isinstance(document, dict):
        raise errors.InvalidParameter("invalid document: want a JSON object")
    return document


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    with open(file, "rb") as opened:
        return opened.read()


def render_result(answer: Mapping[str, Any], *, diff: bool) -> Iterator[str]:
    """Yield the lines that a person reads: + created, ~ changed, - removed, ! failed."""
    for step in answer.get("steps", ()):
        verb = step["action"].rpartition("-")[2]
        mark = _MARKS.get(verb, "~")
        if step["status"] == "failed":
            yield f"! {step['description']}: {step['reason']}"
        elif step["status"] == "skipped":
            yield f"  {step['description']} (skipped: {step['reason']})"
        else:
            yield f"{mark} {step['description']}" + (
                f" ({step['reason']})" if step["reason"] else ""
            )
    if diff:
        yield from render_diff(answer.get("diff", {}))
    for warning in answer.get("warnings", ()):
        yield f"warning: {warning}"
    if not answer.get("failed"):
        yield str(answer.get("msg"))


def render_diff(diff: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a unified diff of each resource that differs."""
    import difflib

    before, after = diff.get("before", {}), diff.get("after", {})
    for resource in sorted(before.keys() | after.keys()):
        old, new = (
            json.dumps(side.get(resource), indent=2, sort_keys=True).splitlines()
            for side in (before, after)
        )
        names = f"before: {resource}", f"after: {resource}"
        yield from difflib.unified_diff(old, new, *names, lineterm="")


def _apply(options: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    if options.engine:
        return _apply_to_docker(options.engine, document, dry_run=options.dry_run)
    return post(options, f"/plugind/apply?dry_run={int(options.dry_run)}", document)


def _query(options: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    if options.engine:
        return _query_docker(options.engine, document)
    return post(options, "/plugind/query", document)


def post(options: argparse.Namespace, path: str, document: dict[str, Any]) -> dict[str, Any]:
    """Post a document to the agent; return its answer."""
    return wire.post_json(wire.agent_socket(options.socket), path, document)


def _apply_to_docker(url: str, document: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    import asyncio

    from plugind import carry
    from plugind.dockerd import execute, undo_log
    from plugind.model import desired

    wanted = desired.parse_declaration(document)
    policy = read_policy()

    async def work() -> dict[str, Any]:
        async with execute.open_target(url, policy) as target:
            log = undo_log.of_engine(url)
            result = await carry.apply(wanted, target, dry_run=dry_run, undo_log=log)
            return result.to_json()

    return asyncio.run(work())


def _query_docker(url: str, document: dict[str, Any]) -> dict[str, Any]:
    import asyncio

    from plugind import carry
    from plugind.dockerd import execute

    policy = read_policy()

    async def work() -> dict[str, Any]:
        async with execute.open_target(url, policy) as target:
            return await carry.query(target, document)

    return asyncio.run(work())


def read_policy() -> SecretPolicy:
    """Return what the agent's options on this host say of secrets; the built-in if there are none."""
    import os

    from plugind import options

    return options.load(None, os.environ, {}).secret_policy
