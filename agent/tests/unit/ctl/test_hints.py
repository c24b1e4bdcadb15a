# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import hints, wire

NAMES = ["vieux/sshfs:latest", "registry.example/acme/s3fs:2", "localdir:latest"]


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("sshfs", "vieux/sshfs:latest"),
        ("vieux/sshf", "vieux/sshfs:latest"),
        ("s3fs", "registry.example/acme/s3fs:2"),
        ("locadir", "localdir:latest"),
    ],
)
def test_the_nearest_name(word: str, first: str) -> None:
    assert hints.nearest(word, NAMES)[0] == first


def test_nothing_is_near() -> None:
    assert hints.nearest("qqqq", NAMES) == []


@pytest.mark.parametrize(
    ("message", "given", "hint"),
    [
        ('plugin "loca" not found', {"name": "local"}, "did you mean localdir:latest?"),
        ('plugin "qqqq" not found', {"name": "qqqq"}, "`plugind ls` lists what there is"),
        ("get fotos: no such volume", {"name": "fotos"}, "did you mean photos?"),
        ("get fotos: no such volume", {"volume": "fotos"}, "did you mean photos?"),
        ("plugin x is in use", {"force": True}, ""),
        ("disk full", {}, ""),
    ],
)
def test_what_helps(tmp_path: Path, message: str, given: dict[str, Any], hint: str) -> None:
    answers = {
        ("GET", "/plugins"): (200, [{"Name": name} for name in NAMES]),
        ("GET", "/volumes"): (200, {"Volumes": [{"Name": "photos"}], "Warnings": None}),
    }
    with unixhttp.serve(tmp_path / "s", answers):
        options = argparse.Namespace(socket=str(tmp_path / "s"), **given)
        assert hints.after(options, wire.Refused(404, message)) == hint


def test_an_agent_that_is_gone_by_then_has_no_names(tmp_path: Path) -> None:
    options = argparse.Namespace(socket=str(tmp_path / "none"), name="x")
    error = wire.Refused(404, 'plugin "x" not found')
    assert hints.after(options, error) == "there is none (`plugind ls`)"
