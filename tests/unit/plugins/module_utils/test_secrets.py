# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What is hidden, and what is not."""

from __future__ import annotations

import pytest

from ansible_collections.plugind.engine.plugins.module_utils import _secrets


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWD", "api_key", "TOKEN", "client-secret", "AWS_ACCESS_KEY_ID"]
)
def test_telling_names(name: str) -> None:
    assert _secrets.is_secret(name)


@pytest.mark.parametrize("name", ["DEBUG", "size", "sshcmd", "credentials", "device"])
def test_harmless_names(name: str) -> None:
    assert not _secrets.is_secret(name)


def test_the_agent_judges_alike() -> None:
    masking = pytest.importorskip("plugind.model.masking")
    assert masking.MASK == _secrets.MASK
    assert masking._SECRET.pattern == _secrets._TELLING.pattern


def test_values_are_collected_at_any_depth() -> None:
    params = {
        "plugins": [{"settings": {"env": {"PASSWORD": "hunter22", "DEBUG": "loudly"}}}],
        "volumes": [{"options": {"token": 12345678}}],
        "credentials": {"username": "somebody", "password": "topsecret"},
    }
    assert _secrets.values(params) == {"hunter22", "12345678", "topsecret"}


def test_short_and_common_values_would_censor_too_much() -> None:
    assert _secrets.values({"password": "a", "token": "false", "key": True, "secret": ""}) == set()


def test_masking_by_place() -> None:
    assert _secrets.masked(
        {
            "Env": ["PASSWORD=x", "DEBUG=1", "PASSWORD=", "just a sentence, key=value"],
            "Options": {"token": "y", "size": "1", "secret": ""},
            "Config": [{"Name": "API_KEY", "Value": "z"}, {"Name": "DEBUG", "Value": "1"}],
            "credentials": {"username": "u", "password": "p"},
            "key": None,
        }
    ) == {
        "Env": ["PASSWORD=********", "DEBUG=1", "PASSWORD=", "just a sentence, key=value"],
        "Options": {"token": "********", "size": "1", "secret": ""},
        "Config": [{"Name": "API_KEY", "Value": "********"}, {"Name": "DEBUG", "Value": "1"}],
        "credentials": {"username": "u", "password": "********"},
        "key": None,
    }
