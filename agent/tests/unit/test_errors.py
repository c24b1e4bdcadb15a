# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import re

from plugind import errors


def test_the_drawing_shows_every_class_below_its_parent() -> None:
    drawn = re.findall(r"^    ([| `-]*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    parents: list[str] = []
    for indent, name in drawn:
        depth = len(indent) // 4
        parents[depth:] = [name]
        kind = getattr(errors, name)
        if depth:
            assert kind.__bases__ == (getattr(errors, parents[depth - 1]),), name
    defined = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert {name for _, name in drawn} == defined


def test_an_error_is_its_message() -> None:
    exc = errors.NotFound('plugin "x" not found')
    assert str(exc) == exc.message == 'plugin "x" not found'


def test_a_failed_plugin_has_the_last_word() -> None:
    exc = errors.PluginFailed("cannot enable", exit_status=3, last_lines=("a", "b"))
    assert str(exc) == "cannot enable; last output of the plugin:\n  a\n  b"
    assert (exc.exit_status, exc.last_lines) == (3, ("a", "b"))
    assert str(errors.PluginFailed("cannot enable")) == "cannot enable"
