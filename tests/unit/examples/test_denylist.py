# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""denylist: rules, and the ways around them."""

from __future__ import annotations

import base64
import json
from types import ModuleType
from typing import Any

import pytest
from pluginserver import Server

PRIVILEGED = "POST /containers/create HostConfig.Privileged"
CREATE = "/v1.41/containers/create?name=x"


def encode(body: Any) -> str:
    text = body if isinstance(body, str) else json.dumps(body)
    return base64.b64encode(text.encode()).decode()


def decide(module: ModuleType, rules: str, method: str, uri: str, body: Any = None) -> bool:
    arguments = {"requestmethod": method, "requesturi": uri}
    if body is not None:
        arguments["requestbody"] = encode(body)
    allowed = module.DenyList(module.parse_rules(rules)).request(arguments)["Allow"]
    assert isinstance(allowed, bool)
    return allowed


@pytest.mark.parametrize(
    ("rule", "method", "uri", "allowed"),
    [
        ("", "DELETE", "/containers/x", True),
        ("DELETE /containers/.*", "DELETE", "/v1.41/containers/x", False),
        ("DELETE /containers/.*", "GET", "/v1.41/containers/x", True),
        ("delete /containers/.*", "DELETE", "/containers/x", False),
        ("* /plugins(/.*)?", "GET", "/plugins", False),
        ("* /plugins(/.*)?", "POST", "/v1.41/plugins/pull?remote=x", False),
        ("* /plugins", "GET", "/plugins/x", True),
        ("GET /a; \n* /b", "POST", "/b", False),
    ],
)
def test_rules(denylist: ModuleType, rule: str, method: str, uri: str, allowed: bool) -> None:
    assert decide(denylist, rule, method, uri) is allowed


@pytest.mark.parametrize(
    "uri",
    [
        CREATE,
        "/containers/create",
        "/containers/creat%65",
        "/v1.41//containers/./x/../create",
        "//containers/create",
        "http://docker/v1.41/containers/create",
        "/v1.41/containers%2Fcreate",
    ],
)
def test_a_path_in_disguise_is_the_same_path(denylist: ModuleType, uri: str) -> None:
    assert not decide(denylist, "POST /containers/create", "POST", uri)


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        ({"HostConfig": {"Privileged": False}}, True),
        ({"HostConfig": {}}, True),
        ({"HostConfig": None}, True),
        ({"Privileged": True}, True),
        ({}, True),
        ({"HostConfig": {"Privileged": True}}, False),
        ({"hostconfig": {"PRIVILEGED": True}}, False),
        ('{"HostConfig":{"Privileged":true},"hostConfig":{"Privileged":false}}', False),
        ('{"HostConfig":{"Privileged":false,"privileged":true}}', False),
        ('{"Ho\u017ftConfig":{"Privileged":true}}', False),  # the engine takes a long s for an s
        ("not JSON", False),
        ("[" * 100_000, False),
    ],
)
def test_fields_of_the_body(denylist: ModuleType, body: Any, allowed: bool) -> None:
    assert decide(denylist, PRIVILEGED, "POST", CREATE, body) is allowed


def test_a_body_that_is_not_shown_is_not_trusted(denylist: ModuleType) -> None:
    assert not decide(denylist, PRIVILEGED, "POST", CREATE)
    assert decide(denylist, PRIVILEGED, "POST", "/containers/x/start")


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ("POST", "not METHOD PATH"),
        ("POST /x a b", "not METHOD PATH"),
        ("/x POST", "'/x' is not a method"),
        ("POST /(", "not a regular expression"),
    ],
)
def test_a_rule_that_is_wrong_is_an_error(denylist: ModuleType, rule: str, error: str) -> None:
    with pytest.raises(denylist.BadRule, match=error):
        denylist.parse_rules(f"GET /x; {rule}")


def test_over_the_socket(denylist: ModuleType, serving, ask, capsys) -> None:
    driver = denylist.DenyList(denylist.parse_rules(PRIVILEGED))
    connection = serving(driver.service(), Server)
    assert ask(connection, "Plugin.Activate")[1]["Implements"] == ["authz"]
    asked = {"RequestMethod": "POST", "RequestUri": CREATE, "User": "a\nb"}
    bad = encode({"HostConfig": {"Privileged": True}})
    status, answer = ask(connection, "AuthZPlugin.AuthZReq", **asked, RequestBody=bad)
    assert (status, answer["Allow"]) == (200, False)
    assert answer["Msg"] == f"denied by the rule '{PRIVILEGED}'"
    good = encode({"Filler": "x" * 2_000_000})  # larger than what other plugins are asked
    assert ask(connection, "AuthZPlugin.AuthZReq", **asked, RequestBody=good)[1]["Allow"] is True
    assert ask(connection, "AuthZPlugin.AuthZRes", **asked)[1]["Allow"] is True
    assert ask(connection, "AuthZPlugin.AuthZReq")[0] == 400
    assert ask(connection, "AuthZPlugin.AuthZRes")[0] == 400
    assert capsys.readouterr().out.splitlines() == [
        rf"deny POST '/containers/create' user='a\nb' rule='{PRIVILEGED}'",
        r"allow POST '/containers/create' user='a\nb'",
    ]
