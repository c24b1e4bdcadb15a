# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest

from plugind.ctl import parser, verbs

ALL = [
    (verb, f"plugind {name}")
    for group in verbs.VERBS
    for verb, name in (
        [(sub, f"{group.name} {sub.name}") for sub in group.verbs] or [(group, group.name)]
    )
]


@pytest.mark.parametrize(("verb", "path"), ALL, ids=[path for _, path in ALL])
def test_every_verb_has_a_parser_whose_help_fits_a_terminal(verb: verbs.Verb, path: str) -> None:
    said = parser.parser_of(verb, path).format_help()
    assert said.startswith(f"usage: {path} [-h]")
    assert f"{verb.summary}." in said
    assert all(argument.help in " ".join(said.split()) for argument in verb.arguments)
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "call", "socket"),
    [
        (["volumes"], "volumes:list_volumes", "/s"),
        (["volumes", "--json"], "volumes:list_volumes", "/s"),
        (["volumes", "--socket", "/t", "rm", "v"], "volumes:remove", "/t"),
        (["volumes", "rm", "v", "--socket", "/t"], "volumes:remove", "/t"),
        (["ls"], "plugins:list_plugins", "/s"),
    ],
)
def test_options_stand_on_both_sides_of_a_groups_verb(
    words: list[str], call: str, socket: str
) -> None:
    options = parser.parse(words[0], words[1:], "/s")
    assert (options.call, options.socket) == (call, socket)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("install", "plugind install REFERENCE [KEY=VALUE...]"),
        ("upgrade", "plugind upgrade NAME [REFERENCE] [KEY=VALUE...]"),
        ("exec", "plugind exec NAME [COMMAND...]"),
        ("ls", "plugind ls"),
    ],
)
def test_usage_has_the_places(name: str, shown: str) -> None:
    verb = verbs.find(name)
    assert verb is not None
    assert parser.usage(verb, f"plugind {name}") == shown
