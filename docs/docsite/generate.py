#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Build the site: lay sources out below DIR, make what is made of code, call Sphinx. Nothing is fetched.

    generate.py DIR           DIR/source as the repository has it, DIR/html the site
    generate.py DIR --links   the addresses outside of the site, and where they stand; they are not visited

DIR/source has the same paths as the repository, so a link between two files works here and there.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import tables

ROOT = Path(__file__).parents[2]
SITE = Path("docs/docsite")
COLLECTION = SITE / "reference" / "collection"
#: What becomes part of the site as it is.
TAKEN = ("docs/**/*.md", "docs/*.json", "docs/*.yaml", "examples/plugins/**/*.md")

#: What stands in a page in the place of `<!-- made: NAME -->`.
MADE = {
    "options": tables.options,
    "events": tables.events,
    "routes": tables.routes,
    "config": lambda: tables.schema("config"),
    "declaration": lambda: tables.schema("declaration"),
    "states": tables.states,
    "floors": tables.floors,
}


def lay_out(source: Path) -> None:
    """Copy what the site is made of, with what is made of code; a file that is no longer there goes."""
    wanted = {path for pattern in TAKEN for path in ROOT.glob(pattern)}
    for path in wanted:
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target, complete(path.read_text()))
    for path in source.rglob("*.md"):
        if ROOT / path.relative_to(source) not in wanted:
            path.unlink()


def complete(text: str) -> str:
    """Put in what is made; KeyError if nobody makes it."""
    return re.sub(r"<!-- made: (\w+) -->", lambda found: MADE[found[1]](), text)


def write(path: Path, text: str) -> None:
    """Write only what has changed, so that Sphinx reads only that again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def describe_collection(directory: Path) -> None:
    """Have antsibull-docs describe modules, roles and filters."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    subprocess.run(
        ["antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--fail-on-error",
         "--dest-dir", str(directory), "plugind.engine"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for page in directory.rglob("*.rst"):
        # The theme has a table of contents of its own beside each page.
        page.write_text(re.sub(r"\.\. contents::\n(   :.*\n)*", "", page.read_text()))


def build(directory: Path, *options: str) -> int:
    """Run Sphinx; a warning is an error."""
    source, html = directory / "source", directory / "html"
    argv = [
        sys.executable, "-m", "sphinx", "-b", "html", "-n", "-W", "--keep-going", "-q", "-j", "2",
        "-c", str(ROOT / SITE), "-d", str(directory / "doctrees"), *options, str(source), str(html),
    ]  # fmt: skip
    return subprocess.run(argv, check=False).returncode


def list_links(html: Path) -> str:
    """Return every address outside of the site, and one page that has it."""
    found: dict[str, set[str]] = defaultdict(set)
    for page in html.rglob("*.html"):
        for address in re.findall(r'<a [^>]*href="(https?://[^"]+)"', page.read_text()):
            found[address].add(str(page.relative_to(html)))
    return "".join(f"{address}\t{min(pages)}\n" for address, pages in sorted(found.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the site.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--links", action="store_true", help="list addresses outside of the site")
    options, more = parser.parse_known_args()
    directory = options.directory.absolute()
    if options.links:
        print(list_links(directory / "html"), end="")
        return 0
    source = directory / "source"
    lay_out(source)
    describe_collection(source / COLLECTION)
    return build(directory, *more)


if __name__ == "__main__":
    sys.exit(main())
