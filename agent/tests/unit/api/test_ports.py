# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The fake has what the Protocol says, by name and by parameters."""

from __future__ import annotations

import inspect

import pytest

from fakes import stories
from plugind.api import ports

NAMES = [name for name in vars(ports.Stories) if not name.startswith("_")]


def parameters(function, skip=0):
    found = list(inspect.signature(function).parameters.values())[skip:]
    return [(p.name, p.kind) for p in found]


@pytest.mark.parametrize("name", NAMES)
def test_the_fake_fits(name):
    wanted = parameters(getattr(ports.Stories, name), skip=1)
    assert parameters(getattr(stories.FakeStories, name), skip=1) == wanted
