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
PAGES = pages.find(ROOT)
RUN = [
    pytest.param(name, marks=[pytest.mark.slow] if page.slow else [])
    for name, page in PAGES.items()
    if page.commands
]
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
    counted: list[pages.Page],
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
    counted.append(page)


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
    """A block that looks like commands is typed, here or elsewhere."""
    left = [f"{name}:{line}" for name, page in PAGES.items() for line in page.unmarked]
    assert left == [], "mark these blocks as tests/docs/pages.py says"


@pytest.mark.parametrize("file", sorted({file for page in PAGES.values() for file in page.left}))
def test_what_is_left_to_a_file_is_read_by_it(file: str) -> None:
    assert f'left_to("{file}"' in (ROOT / file).read_text()


def test_every_setup_is_used() -> None:
    used = {word.partition("=")[0] for page in PAGES.values() for word in page.setup}
    assert used == {path.stem for path in (Path(__file__).parent / "setup").glob("*.sh")}
