# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest

from plugind.model import masking


@pytest.mark.parametrize("name", ["PASSWORD", "api_token", "ssh-key", "client.secret", "passwd"])
def test_secret_names(name: str) -> None:
    assert masking.is_secret(name)
    assert masking.mask(name, "hunter2") == masking.MASK
    assert masking.mask(name, "") == ""


@pytest.mark.parametrize("name", ["DEBUG", "sshcmd", "port", "mode"])
def test_other_names(name: str) -> None:
    assert masking.mask(name, "hunter2") == "hunter2"


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--password=x", "--mode=1"], ["--password=********", "--mode=1"]),
        (["--token", "x", "y"], ["--token", "********", "y"]),
        (["--token", "--mode"], ["--token", "--mode"]),
        (["token"], ["token"]),
    ],
)
def test_arguments(args: list[str], shown: list[str]) -> None:
    assert masking.mask_args(args) == shown


def test_documents() -> None:
    plugin = {"Name": "x", "Settings": {"Env": ["TOKEN=t", "A=1", "B"], "Args": ["--key=k"]}}
    shown = masking.mask_plugin(plugin)
    assert shown["Settings"] == {"Env": ["TOKEN=********", "A=1", "B"], "Args": ["--key=********"]}
    assert plugin["Settings"] == {"Env": ["TOKEN=t", "A=1", "B"], "Args": ["--key=k"]}
    assert masking.mask_plugin({"Name": "x"}) == {"Name": "x"}
    volume = {"Name": "v", "Options": {"password": "p", "host": "h"}}
    assert masking.mask_volume(volume)["Options"] == {"password": "********", "host": "h"}
    assert masking.mask_volume({"Name": "v", "Options": None})["Options"] is None
