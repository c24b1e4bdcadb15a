# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from plugind.model import masking
from plugind.model.secrets import DEFAULT, MASK


def test_plugins() -> None:
    settings = {"Env": ["TOKEN=t", "A=1", "B", "SESAME=s"], "Args": ["--key=k"]}
    config = {
        "Env": [{"Name": "TOKEN", "Value": "t"}, {"Name": "A", "Value": "1"}, {"Name": "KEY"}],
        "Args": {"Value": ["--key=k"]},
    }
    plugin = {"Name": "x", "Settings": settings, "Config": config, "SecretSettings": ["SESAME"]}
    shown = masking.mask_plugin(plugin, DEFAULT)
    assert shown["Settings"] == {
        "Env": [f"TOKEN={MASK}", "A=1", "B", f"SESAME={MASK}"],
        "Args": [f"--key={MASK}"],
    }
    assert shown["Config"] == {
        "Env": [{"Name": "TOKEN", "Value": MASK}, {"Name": "A", "Value": "1"}, {"Name": "KEY"}],
        "Args": {"Value": [f"--key={MASK}"]},
    }
    assert settings["Env"][0] == "TOKEN=t"
    assert masking.mask_plugin({"Name": "x"}, DEFAULT) == {"Name": "x"}


def test_volumes() -> None:
    volume = {
        "Name": "v",
        "Options": {"password": "p", "host": "h", "sesame": "open1"},
        "Labels": {"engine.plugind.secret-options": "sesame"},
        "Status": {"said": "open1", "host": "h"},
    }
    shown = masking.mask_volume(volume, DEFAULT)
    assert shown["Options"] == {"password": MASK, "host": "h", "sesame": MASK}
    assert shown["Status"] == {"said": MASK, "host": "h"}
    assert masking.mask_volume({"Name": "v", "Options": None}, DEFAULT)["Options"] is None


def test_mappings() -> None:
    shown = masking.mask_mapping({"token": "t", "a": "1"}, DEFAULT)
    assert list(shown.items()) == [("a", "1"), ("token", MASK)]
