# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The engine's functions can be called as the API calls them. mypy checks the types as well."""

from __future__ import annotations

import inspect

import pytest

from plugind.api import ports, stories

NAMES = [name for name in dir(ports.Stories) if not name.startswith("_")]


def test_every_story_is_exported():
    assert sorted(stories.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_fits(name):
    asked = list(inspect.signature(getattr(ports.Stories, name)).parameters.values())[1:]
    positional = [p.name for p in asked if p.kind is not p.KEYWORD_ONLY]
    keywords = {p.name: None for p in asked if p.kind is p.KEYWORD_ONLY}
    inspect.signature(getattr(stories, name)).bind(*positional, **keywords)
