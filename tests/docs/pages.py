# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A page as its reader works through it: commands to type, what they print, files to write.

A fenced block `console` has commands after `$ ` and below each what it prints; see `matching`. Comments in the
page's source, invisible to its reader, say the rest. Before the first block:

    <!-- setup: agent plugin=localdir -->     what the page takes for granted: tests/docs/setup/*.sh
    <!-- slow -->                             runs nightly

and before a block:

    <!-- run: NAME=localdir -->     each line is a command, with these words in place of its own (`+` for a blank);
                                    nothing is compared
    <!-- first: COMMAND -->         typed before the block, and not shown
    <!-- file: site.yml -->         its reader writes this file
    <!-- fails: 1 -->               the block's last command ends with this status
    <!-- answers: y -->             typed in when the block's commands ask
    <!-- follows -->                commands without an end: each is left after its first line
    <!-- left to: tests/x.py -->    that file types them: it asks `left_to` for them
    <!-- text -->                   looks like commands and is none

Every block that looks like commands has to be one of these; `Page.unmarked` names those that are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

COMMENT = re.compile(
    r"<!-- (setup|slow|run|first|file|fails|answers|follows|left to|text)(?:: ?(.*?))? ?-->"
)
FENCE = re.compile(r"( *)(```+)([\w-]*)\s*")
#: A line that begins so is a command.
PROGRAMS = re.compile(
    r"(sudo |export |\$ )|(docker|plugind|podman|runc|crun|conmon|dockerd|ansible[\w-]*|make|python3?|curl|systemctl"
    r"|journalctl|service|mount|umount|findmnt|pip|apt-get|git|nox|\.venv/bin/\w+|examples/\S+\.(sh|py))( |$)"
)
SHELL = ("console", "sh", "bash", "shell")
#: Made from a table by a program with a test of its own; its blocks are synopses.
MADE = ("docs/cli.md",)


@dataclass(frozen=True)
class Command:
    """One command: the line where it stands, what is typed, what must be printed (None: anything)."""

    line: int
    text: str
    expected: str | None = None
    status: int = 0
    answers: str = ""
    follows: bool = False


@dataclass(frozen=True)
class File:
    """A file that the reader is told to write."""

    line: int
    name: str
    content: str


@dataclass
class Page:
    """What there is to do on a page, from top to bottom."""

    path: Path
    setup: tuple[str, ...] = ()
    slow: bool = False
    steps: list[Command | File] = field(default_factory=list)
    left: dict[str, list[Command]] = field(default_factory=dict)  # by the file that types them
    unmarked: list[int] = field(default_factory=list)

    @property
    def commands(self) -> int:
        return sum(isinstance(step, Command) for step in self.steps)


@dataclass(frozen=True)
class _Block:
    line: int
    language: str  # empty for an indented block and for a fence that names none
    lines: list[str]


def find(root: Path) -> dict[str, Page]:
    """Read every page of a checkout, by its name from there."""
    places = ("docs/**/*.md", "examples/plugins/**/*.md")
    found = [root / "README.md", *(path for place in places for path in root.glob(place))]
    names = {str(path.relative_to(root)) for path in found}.difference(MADE)
    return {name: read(root / name) for name in sorted(names)}


def left_to(file: str, root: Path) -> dict[str, list[Command]]:
    """Return the commands that pages leave to a file, page by page; KeyError if there are none.

    Whoever asks types all of them.
    """
    found = {name: page.left[file] for name, page in find(root).items() if file in page.left}
    if not found:
        raise KeyError(f"no page leaves commands to {file}")
    return found


def read(path: Path) -> Page:
    """Read a page; ValueError names the line that makes no sense."""
    page = Page(path)
    marks: dict[str, str] = {}
    for part in _parts(path.read_text().splitlines()):
        if isinstance(part, _Block):
            _add(page, part, marks)
            marks = {}
        elif part[0] == "setup":
            page.setup = tuple(part[1].split())
        elif part[0] == "slow":
            page.slow = True
        else:
            marks[part[0]] = part[1]
    return page


def _parts(lines: list[str]) -> Iterator[_Block | tuple[str, str]]:
    """Yield comments and blocks in their order."""
    number, after_blank = 0, True
    while number < len(lines):
        line, start = lines[number], number
        fence = FENCE.fullmatch(line)
        if fence:
            number += 1
            while number < len(lines) and lines[number].strip() != fence[2]:
                number += 1
            inner = [text.removeprefix(fence[1]) for text in lines[start + 1 : number]]
            yield _Block(start + 2, fence[3], inner)
        elif after_blank and line.startswith("    ") and line.strip():
            while number < len(lines) and (
                lines[number].startswith("    ") or not lines[number].strip()
            ):
                number += 1
            yield _Block(start + 1, "", [text[4:] for text in lines[start:number]])
            continue
        elif comment := COMMENT.fullmatch(line.strip()):
            yield comment[1], comment[2] or ""
            number, after_blank = number + 1, True
            continue
        after_blank = not line.strip()
        number += 1


def _add(page: Page, block: _Block, marks: dict[str, str]) -> None:
    text = "\n".join(block.lines)
    if "first" in marks:
        page.steps.append(Command(block.line, marks["first"]))
    if "file" in marks:
        page.steps.append(File(block.line, marks["file"], text.rstrip() + "\n"))
    elif "run" in marks:
        words = dict(word.split("=", 1) for word in marks["run"].split())
        page.steps += _plain(block, words, marks)
    elif "left to" in marks:
        shown = any(line.startswith("$ ") for line in block.lines)
        typed = _console(page, block, marks) if shown else list(_plain(block, {}, marks))
        page.left.setdefault(marks["left to"], []).extend(typed)
    elif "text" in marks:
        pass
    elif block.language == "console":
        page.steps += _console(page, block, marks)
    elif block.language in SHELL or (
        not block.language and any(PROGRAMS.match(line) for line in block.lines)
    ):
        page.unmarked.append(block.line)


def _console(page: Page, block: _Block, marks: dict[str, str]) -> list[Command]:
    """Return the commands of a transcript, each with what is printed below it."""
    found: list[tuple[int, str, list[str]]] = []
    going_on = False
    for number, line in enumerate(block.lines, block.line):
        if going_on:
            at, command, printed = found.pop()
            found.append((at, f"{command}\n{line.removeprefix('> ')}", printed))
        elif line.startswith("$ "):
            found.append((number, line[2:], []))
        elif found:
            found[-1][2].append(line)
        else:
            raise ValueError(f"{page.path}:{number}: output without a command")
        going_on = (going_on or line.startswith("$ ")) and line.endswith("\\")
    last = len(found) - 1
    return [
        Command(
            at, command, "\n".join(printed).strip("\n"),
            status=int(marks.get("fails", 0)) if index == last else 0,
            answers=marks.get("answers", ""), follows="follows" in marks,
        )
        for index, (at, command, printed) in enumerate(found)
    ]  # fmt: skip


def _plain(block: _Block, words: dict[str, str], marks: dict[str, str]) -> Iterator[Command]:
    for number, line in _joined(block):
        line = replace(line, {word: meant.replace("+", " ") for word, meant in words.items()})
        yield Command(number, line, answers=marks.get("answers", ""), follows="follows" in marks)


def replace(text: str, words: Mapping[str, str]) -> str:
    """Put others in place of whole words."""
    for word, meant in words.items():
        there = rf"(?<![\w$-]){re.escape(word)}(?![\w-])"
        text = re.sub(there, lambda _, meant=meant: meant, text)
    return text


def _joined(block: _Block) -> Iterator[tuple[int, str]]:
    """Yield the commands of a block, lines that end with a backslash joined with the next."""
    begun: list[str] = []
    for number, line in enumerate(block.lines, block.line):
        if not line.strip():
            continue
        begun.append(line)
        if not line.endswith("\\"):
            yield number - len(begun) + 1, "\n".join(begun).removeprefix("$ ")
            begun = []
