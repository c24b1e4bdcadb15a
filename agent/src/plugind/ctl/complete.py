# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Completion for bash and zsh. The scripts ask this program, which knows the verbs and asks the agent.

    plugind completion bash             the script
    plugind completion -- WORD...       what the last word may become: a line each, tab, what it is

A line that is only `:file` or `:directory` leaves it to the shell.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

from plugind.ctl import hints
from plugind.ctl import verbs as ctl_verbs
from plugind.ctl.verbs import Argument, Verb

Candidate = tuple[str, str]
Names = Callable[[str | None, str], list[str]]

_BASH = """\
# bash completion for plugind; made by `plugind completion bash`
_plugind() {
    local line words=() current=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    # Colons of tags are parts of words; COMP_WORDS has them apart, COMP_LINE has not.
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    local typed=${words[-1]}
    while IFS= read -r line; do
        case $line in
            :file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
            :directory) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
            *) line=${line%%$'\\t'*}; COMPREPLY+=("${line#"${typed%"$current"}"}") ;;
        esac
    done < <("${words[0]}" completion -- "${words[@]:1}" 2>/dev/null)
}
complete -F _plugind plugind
"""

_ZSH = """\
#compdef plugind
# zsh completion for plugind; made by `plugind completion zsh`
_plugind() {
    local line
    local -a found
    while IFS= read -r line; do
        case $line in
            :file) _files; return ;;
            :directory) _files -/; return ;;
            *) found+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}") ;;
        esac
    done < <("${words[1]}" completion -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    _describe plugind found
}
# Loaded by compinit, this is its first call; sourced, it has to say what it completes.
if (( $funcstack[(I)_plugind] )); then _plugind "$@"; else compdef _plugind plugind; fi
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH}


def run(options: argparse.Namespace) -> int:
    """Print a script."""
    print(SCRIPTS[options.shell], end="")
    return 0


def answer(words: Sequence[str]) -> int:
    """Print what the last of the words may become."""
    for word, meaning in candidates(words, hints.names):
        print(f"{word}\t{meaning}" if meaning else word)
    return 0


def candidates(words: Sequence[str], names: Names) -> list[Candidate]:
    """Return what the last word may become; the words before it are complete."""
    *before, current = words or [""]
    socket, before = _take_socket(before)
    if before[-1:] == ["--socket"]:
        return [(":file", "")]
    if not before:
        verbs = [(verb.name, verb.summary) for verb in ctl_verbs.VERBS]
        options = [("--help", "say what the verbs are"), ("--socket", ctl_verbs.SOCKET.help)]
        return _fitting([*verbs, *options], current)
    verb = ctl_verbs.find(before.pop(0))
    if verb is not None and verb.verbs:
        found = next((word for word in before if not word.startswith("-")), None)
        if found is None and not current.startswith("-"):
            return _fitting([(sub.name, sub.summary) for sub in verb.verbs], current)
        if found is not None:
            before.remove(found)
        verb = ctl_verbs.find(found or "ls", verb.verbs)
    if verb is None:
        return []
    return _fitting(list(_of_verb(verb, before, current, socket, names)), current)


def _of_verb(
    verb: Verb, before: list[str], current: str, socket: str | None, names: Names
) -> Iterator[Candidate]:
    places = [argument for argument in verb.arguments if not argument.is_option]
    taken = 0
    waiting: Argument | None = None
    for word in before:
        if waiting is not None:
            waiting = None
        elif word.startswith("-") and len(word) > 1:
            option = _option(verb, word.partition("=")[0])
            if option is not None and option.takes_value and "=" not in word:
                waiting = option
        else:
            taken += 1
    if waiting is not None:
        yield from _values(waiting, socket, names)
    elif current.startswith("-"):
        given = {word.partition("=")[0] for word in before}
        for option in verb.arguments:
            if option.is_option and not given & set(option.names):
                yield option.names[-1], option.help
        yield "--help", "say what it takes"
    elif taken < len(places):
        yield from _values(places[taken], socket, names)


def _values(argument: Argument, socket: str | None, names: Names) -> Iterator[Candidate]:
    choices = argument.how.get("choices")
    if isinstance(choices, tuple):
        yield from ((str(choice), argument.help) for choice in choices)
    elif argument.completes in (ctl_verbs.FILE, ctl_verbs.DIRECTORY):
        yield f":{argument.completes}", ""
    elif argument.completes:
        yield from ((name, argument.completes) for name in names(socket, argument.completes))


def _option(verb: Verb, name: str) -> Argument | None:
    return next((argument for argument in verb.arguments if name in argument.names), None)


def _take_socket(words: list[str]) -> tuple[str | None, list[str]]:
    """Take `--socket PATH` out of the words."""
    socket, left = None, list(words)
    for position, word in enumerate(words):
        if word.startswith("--socket="):
            socket = word.partition("=")[2]
            left = [*words[:position], *words[position + 1 :]]
        elif word == "--socket" and position + 1 < len(words):
            socket = words[position + 1]
            left = [*words[:position], *words[position + 2 :]]
    return socket, left


def _fitting(found: Sequence[Candidate], current: str) -> list[Candidate]:
    return [one for one in found if one[0].startswith((current, ":"))]
