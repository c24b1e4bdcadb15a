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
    secrets = pytest.importorskip("plugind.model.secrets")
    assert (secrets.MASK, secrets.PATTERNS) == (_secrets.MASK, _secrets.PATTERNS)
    parts = ("_LONG", "_ABOUT")
    assert [getattr(secrets, name) for name in parts] == [getattr(_secrets, n) for n in parts]
    assert secrets._WORD.pattern == _secrets._WORD.pattern
    words = (
        "password",
        "sshkey",
        "monkeys",
        "keyring",
        "pass",
        "passed",
        "AWSACCESSKEYID",
        "author",
    )
    names = [f"{first}{second}" for first in words for second in ("", "_file", "_x", "Token", "s")]
    assert [n for n in names if secrets.DEFAULT.covers(n)] == [
        n for n in names if _secrets.is_secret(n)
    ]


def test_names_of_the_task_and_of_the_agent() -> None:
    params = {
        "plugins": [
            {"secret_settings": ["A"], "settings": {"env": {"A": "aaaaaa", "B": "bbbbbb"}}}
        ],
        "volumes": [{"secret_options": ["c"], "options": {"c": "cccccc", "d": "dddddd"}}],
    }
    answer = {"secrets": {"volume/v": ["d"]}}
    assert _secrets.names("apply", params, answer) == {"A", "c", "d"}
    assert _secrets.names("apply", params, {}) is None
    assert _secrets.names("volume_info", {}, {}) == frozenset()
    assert _secrets.values(params) == {"aaaaaa", "cccccc"}
    assert _secrets.values(params, frozenset({"d"})) == {"aaaaaa", "cccccc", "dddddd"}


def test_arguments_can_be_secrets() -> None:
    params = {"settings": {"args": "--x sesame1", "env": None}, "secret_settings": ["args"]}
    assert _secrets.values(params) == {"sesame1"}
    named = _secrets.names("plugin", params, {"secrets": {}})
    assert _secrets.shown(params, named)["settings"] == {"args": _secrets.MASK, "env": None}


def test_parameters_are_shown_once_the_agent_has_judged_them() -> None:
    params = {
        "name": "v",
        "options": {"host": "h", "token": "t", "x": "1", "off": ""},
        "labels": None,
    }
    hidden = {"host": "********", "token": "********", "x": "********", "off": ""}
    assert _secrets.shown(params, None) == {**params, "options": hidden}
    judged = {"host": "h", "token": "********", "x": "********", "off": ""}
    assert _secrets.shown(params, frozenset({"x"})) == {**params, "options": judged}
    several = {"volumes": [params], "plugins": [{"settings": {"args": ["a"], "env": {"A": "1"}}}]}
    assert _secrets.shown(several, None) == {
        "volumes": [{**params, "options": hidden}],
        "plugins": [{"settings": {"args": "********", "env": {"A": "********"}}}],
    }


def test_options_of_a_verification_are_never_shown() -> None:
    probe = {"activate": True, "volume": {"options": {"host": "h", "password": "hunter22"}}}
    params = {"plugins": [{"name": "x", "verify": probe}, {"name": "y", "verify": True}]}
    shown = _secrets.shown(params, frozenset())["plugins"]
    assert shown[0]["verify"] == {
        "activate": True,
        "volume": {"options": {"host": _secrets.MASK, "password": _secrets.MASK}},
    }
    assert shown[1]["verify"] is True
    assert _secrets.values(params) == {"hunter22"}


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
