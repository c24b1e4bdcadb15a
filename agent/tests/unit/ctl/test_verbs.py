# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The table of verbs, and docs/cli.md, which is made of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from plugind.ctl import verbs

ROOT = Path(__file__).parents[4]
#: Their output is not data, or all of it is JSON already.
WITHOUT_JSON = {"exec", "completion", "serve"}


def test_every_verb_whose_output_is_data_prints_json() -> None:
    for group in verbs.VERBS:
        for verb in group.verbs or (group,):
            has = verbs.JSON in verb.arguments
            assert has is (verb.name not in WITHOUT_JSON), verb.name


def test_names_are_unique_and_summaries_are_one_line() -> None:
    names = [verb.name for verb in verbs.VERBS]
    assert len(names) == len(set(names))
    for verb in verbs.VERBS:
        assert len(verb.summary) <= 60
        assert not verb.summary.endswith(".")


def test_the_document_is_current() -> None:
    spec = importlib.util.spec_from_file_location("cli_doc", ROOT / "scripts" / "cli_doc.py")
    assert spec is not None
    assert spec.loader is not None
    cli_doc = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cli_doc)
    document = (ROOT / "docs" / "cli.md").read_text()
    assert document == cli_doc.render(), "run: .venv/bin/python scripts/cli_doc.py"
