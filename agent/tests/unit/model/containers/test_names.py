# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from plugind.model.containers import names as container_names
from plugind.model.containers import request


def test_every_number_gives_a_name_that_is_allowed() -> None:
    names = {container_names.generate(number, ()) for number in range(1024)}
    assert len(names) == 1024
    assert {request.require_name(name) for name in names} == names


def test_a_taken_name_gets_a_number() -> None:
    first = container_names.generate(5, ())
    assert container_names.generate(5, (first,)) == f"{first}1"
    assert container_names.generate(5, (first, f"{first}1")) == f"{first}2"
