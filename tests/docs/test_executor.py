# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""How pages are read and compared: a test that cannot fail says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import docs.pages as pages
from docs.matching import matches

PAGE = """
<!-- setup: agent plugin=localdir -->
<!-- slow -->

# A page

<!-- file: site.yml -->

```yaml
- hosts: all
```

<!-- fails: 1 -->

```console
$ plugind \\\\
    ls
ID   NAME
$ plugind rm x
no such plugin
```

1. In a list:

   ```console
   $ true
   ```

<!-- run: NAME=localdir data=a+b -->

    plugind logs NAME    # NAMES
    plugind NAME.x \\\\
      data

<!-- left to: tests/test_it.py -->

```console
$ true
it is
```

<!-- left to: tests/test_it.py -->

    systemctl restart plugind
    systemctl status plugind

    docker ps
"""


@pytest.fixture
def page(tmp_path: Path) -> pages.Page:
    path = tmp_path / "page.md"
    path.write_text(PAGE.replace("\\\\", "\\"))
    return pages.read(path)


def test_a_page_says_what_it_needs(page: pages.Page) -> None:
    assert (page.setup, page.slow) == (("agent", "plugin=localdir"), True)


def test_files_and_commands_come_in_their_order(page: pages.Page) -> None:
    assert page.steps == [
        pages.File(10, "site.yml", "- hosts: all\n"),
        pages.Command(16, "plugind \\\n    ls", "ID   NAME"),
        pages.Command(19, "plugind rm x", "no such plugin", status=1),
        pages.Command(26, "true", ""),
        pages.Command(31, "plugind logs localdir    # NAMES"),
        pages.Command(32, "plugind localdir.x \\\n  a b"),
    ]


def test_what_is_left_to_a_file_is_told_to_it(page: pages.Page, tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    (tmp_path / "docs").mkdir()
    page.path.rename(tmp_path / "docs" / "page.md")
    commands = pages.left_to("tests/test_it.py", tmp_path)["docs/page.md"]
    assert [(each.text, each.expected) for each in commands] == [
        ("true", "it is"),
        ("systemctl restart plugind", None),
        ("systemctl status plugind", None),
        ("docker ps", None),
    ]
    with pytest.raises(KeyError):
        pages.left_to("tests/test_other.py", tmp_path)


def test_commands_without_a_mark_are_found(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "    docker ps\n\ntext\n\n    a drawing\n\n```sh\nls\n```\n\n```\nplugind ls\n```\n"
    )
    assert pages.read(path).unmarked == [1, 8, 12]


def test_output_without_a_command_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("```console\nls\n```\n")
    with pytest.raises(ValueError, match=r"page\.md:2: output without a command"):
        pages.read(path)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("", ""),
        ("ID   NAME", "ID NAME   \n"),
        ("a ... c", "a b c\n"),
        ("...", ""),
        ("...\nend", "1\n2\nend\n"),
        ("begin\n...", "begin\n"),
        ("(1+1) [x]", "(1+1) [x]\n"),
        ("sha256:...", "sha256:12\n"),
    ],
)
def test_matches(expected: str, printed: str) -> None:
    assert matches(expected, printed)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("", "something\n"),
        ("a", "a\nb\n"),
        ("a ... c", "a b\nc\n"),
        ("a", "b\n"),
        ("...\nend", "end\nmore\n"),
        ("1+1", "11\n"),
    ],
)
def test_does_not_match(expected: str, printed: str) -> None:
    assert not matches(expected, printed)
