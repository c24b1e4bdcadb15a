# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from plugind import release


def test_it_is_what_the_installed_distribution_says() -> None:
    assert release.version() == metadata.version("plugind")


def test_it_is_in_a_name(tmp_path: Path) -> None:
    for name in (
        "plugind",
        "plugind-99.1.dist-info",
        "plugind_more-1.dist-info",
        "pip-1.dist-info",
    ):
        (tmp_path / name).mkdir()
    assert release.version(str(tmp_path)) == "99.1"


@pytest.mark.parametrize("names", [(), ("plugind-1.dist-info", "plugind-2.dist-info")])
def test_what_is_not_clear_is_looked_up(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    assert release.version(str(tmp_path)) == metadata.version("plugind")
