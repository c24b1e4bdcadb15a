# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Parsers and help, made of the table in `verbs`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from plugind.ctl import verbs
from plugind.ctl.verbs import Argument, Verb

_DEFAULT = "ls"


def parse(name: str, arguments: Sequence[str], socket: str | None = None) -> argparse.Namespace:
    """Parse what a verb takes; `call` of the answer is the function that does it.

    A usage error ends the process with 2, `--help` with 0, as always with argparse.
    """
    verb = verbs.find(name)
    if verb is None:
        raise ValueError(f"no such verb: {name}")
    words, path = list(arguments), f"plugind {name}"
    if verb.verbs:
        verb, words = _sub_verb(verb, path, words)
        path = f"{path} {verb.name}"
    parser = parser_of(verb, path)
    places = [
        str(argument.how.get("nargs", "")) for argument in verb.arguments if not argument.is_option
    ]
    # Options may stand between what may be left out and what comes before it.
    mixed = len(places) > 1 and "..." not in places
    options = parser.parse_intermixed_args(words) if mixed else parser.parse_args(words)
    options.call = verb.call
    options.socket = getattr(options, "socket", None) or socket
    return options


def parser_of(verb: Verb, path: str) -> argparse.ArgumentParser:
    """Return the parser of one verb."""
    parser = argparse.ArgumentParser(
        prog=path,
        description=f"{verb.summary}.",
        epilog=verb.more or None,
        formatter_class=_formatter,
    )
    for argument in verb.arguments:
        parser.add_argument(*argument.names, help=argument.help, **argument.how)  # type: ignore[arg-type]
    return parser


def usage(verb: Verb, path: str) -> str:
    """Return a verb with its arguments, without its options."""
    places = [argument for argument in verb.arguments if not argument.is_option]
    return " ".join([path, *(_place(argument) for argument in places)])


def group_help(verb: Verb) -> str:
    """Return the help of a group of verbs."""
    lines = [f"usage: plugind {verb.name} [VERB] ...", "", f"{verb.summary}.", ""]
    for sub in verb.verbs:
        lines += [f"  {usage(sub, f'plugind {verb.name} {sub.name}')}", f"      {sub.summary}"]
    return "\n".join([*lines, "", f"plugind {verb.name} VERB --help says what each takes."])


def whole_help() -> str:
    """Return what `plugind --help` prints."""
    lines = ["usage: plugind [--socket PATH] VERB ...", "", "Managed plugins without dockerd.", ""]
    lines += [f"  {verb.name:<10} {verb.summary}" for verb in verbs.VERBS]
    lines += [
        "",
        "plugind VERB --help says what each takes. PLUGIND_SOCKET is the agent's socket.",
        "",
    ]
    lines += ["Exit codes:"]
    return "\n".join([*lines, *(f"  {code}  {meaning}" for code, meaning in verbs.EXIT_CODES)])


def _formatter(prog: str) -> argparse.HelpFormatter:
    # Without a width it imports shutil, and bz2 and lzma with it, for every option that is added.
    return argparse.RawDescriptionHelpFormatter(prog, width=80)


def _place(argument: Argument) -> str:
    repeated = {"*": "[{}...]", "...": "[{}...]", "?": "[{}]"}
    return repeated.get(str(argument.how.get("nargs", "")), "{}").format(argument.shown)


def _sub_verb(verb: Verb, path: str, words: list[str]) -> tuple[Verb, list[str]]:
    """Take a group's verb out of the words; options may stand on both sides of it."""
    position = 0
    while position < len(words) and words[position].startswith("-"):
        if words[position] in ("-h", "--help"):
            print(group_help(verb))
            sys.exit(0)
        position += 2 if words[position] == "--socket" else 1
    name = words[position] if position < len(words) else _DEFAULT
    found = verbs.find(name, verb.verbs)
    if found is None:
        names = ", ".join(sub.name for sub in verb.verbs)
        print(f'plugind: "{path} {name}" is no verb: want one of {names}', file=sys.stderr)
        sys.exit(2)
    return found, [*words[:position], *words[position + 1 :]]
