# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Every command of the documentation, typed page by page, each with the output that the page shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import docs.host as host
import docs.pages as pages
from docs.matching import matches
from support import daemon

ROOT = daemon.REPOSITORY
#: Made from a table by a program with a test of its own; its blocks are synopses.
MADE = ("docs/cli.md",)
FOUND = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/plugins/**/*.md")]
NAMES = sorted({str(path.relative_to(ROOT)) for path in FOUND}.difference(MADE))
PAGES = {name: pages.read(ROOT / name) for name in NAMES}
RUN = [
    pytest.param(name, marks=[pytest.mark.slow] if page.slow else [])
    for name, page in PAGES.items()
    if page.commands
]
#: Why a command may stay without a test. There is one list, so that it does not grow unseen.
REASONS = (
    "needs a package archive",
    "needs a package index",
    "needs a fleet",
    "runs the project's own checks",
    "is run by",
)
#: A command without an end, until it has printed a line.
FOLLOW = """mkfifo following
{{ exec {}
}} >following &
read -r line <following && echo "$line"; said=$?
kill $!; wait $!; rm following; (exit $said)"""


@pytest.mark.root
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", RUN)
def test_page(
    name: str,
    tmp_path: Path,
    environment: dict[str, str],
    wheelhouse: Callable[[], Path],
    counted: list[pages.Count],
) -> None:
    page = PAGES[name]
    env = dict(environment)
    if "wheelhouse" in page.setup:
        env["PAGES_WHEELHOUSE"] = str(wheelhouse())
    with host.running(tmp_path / "h", env) as shell:
        for word in page.setup:
            script, _, argument = word.partition("=")
            done = shell.type(f'. "$PAGES_SETUP/{script}.sh" "{argument}"')
            assert done.status == 0, f"{name}: setup {word}\n{done.output}"
        for step in page.steps:
            if isinstance(step, pages.File):
                path = shell.home / step.name
                shell.type(f"mkdir -p '{path.parent}'; cat >'{path}'", answers=step.content)
            else:
                follow(shell, step, f"{name}:{step.line}")
    counted.append((name, page.commands, page.not_run))


def follow(shell: host.Shell, step: pages.Command, where: str) -> None:
    """Type one command; its status and its output must be those of the page."""
    text = FOLLOW.format(step.text) if step.follows else step.text
    done = shell.type(text, step.answers.replace(",", "\n") + "\n" if step.answers else "")
    said = f"{where}: $ {step.text}\nended with {done.status} and printed\n{done.output}"
    assert done.status == step.status, said
    if step.expected is not None:
        # Without a terminal nobody echoes what is typed.
        printed = done.output
        for answer in filter(None, step.answers.split(",")):
            printed = printed.replace("[y/N] ", f"[y/N] {answer}\n", 1)
        assert matches(step.expected, printed), f"{said}\nthe page has\n{step.expected}"


def test_no_command_is_left_out() -> None:
    """A block that looks like commands is run, or says why not."""
    left = [f"{name}:{line}" for name, page in PAGES.items() for line in page.unmarked]
    assert left == [], "mark these blocks as tests/docs/pages.py says"


def test_what_is_not_run_has_a_known_reason(counted: list[pages.Count]) -> None:
    """A reason is on the list, and a file that is said to run it exists."""
    counted += [
        (n, 0, page.not_run) for n, page in PAGES.items() if page.not_run and not page.commands
    ]
    unknown = [
        f"{name}:{line}: {reason}"
        for name, page in PAGES.items()
        for line, _, reason in page.not_run
        if not reason.startswith(REASONS) or not is_there(reason)
    ]
    assert unknown == []


def is_there(reason: str) -> bool:
    """True unless the reason names a file that is not there."""
    named = reason.partition("is run by ")[2].partition(",")[0]
    return not named or (ROOT / named).exists()


def test_every_setup_is_used() -> None:
    used = {word.partition("=")[0] for page in PAGES.values() for word in page.setup}
    assert used == {path.stem for path in (Path(__file__).parent / "setup").glob("*.sh")}
