# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Privileges: what is asked for, and whether exactly that was granted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind import errors
from plugind.model import privileges
from plugind.model.config import PluginConfig, PluginDevice, PluginMount
from plugind.model.privileges import Privilege, Privileges

PRIVILEGE = st.builds(
    lambda name, value: Privilege(name=name, value=tuple(value)),
    st.sampled_from(privileges.NAMES),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
)
LISTS = st.lists(PRIVILEGE, max_size=5).map(tuple)


def asked(**config: Any) -> list[tuple[str, tuple[str, ...]]]:
    computed = privileges.compute_privileges(PluginConfig(**config))
    assert all(privilege.description for privilege in computed)
    return [(privilege.name, privilege.value) for privilege in computed]


def test_nothing_is_asked_for() -> None:
    assert asked() == []


@pytest.mark.parametrize("network_type", ["", "null", "bridge"])
def test_networks_that_are_not_asked_for(network_type: str) -> None:
    assert asked(network_type=network_type) == []


@pytest.mark.parametrize("network_type", ["host", "none", "acme"])
def test_networks_that_are(network_type: str) -> None:
    assert asked(network_type=network_type) == [("network", (network_type,))]


def test_everything_in_order() -> None:
    assert asked(
        capabilities=("CAP_B", "CAP_A"),
        allow_all_devices=True,
        devices=(PluginDevice(path="/dev/fuse"), PluginDevice(), PluginDevice(path="")),
        mounts=(PluginMount(source="/s"), PluginMount(), PluginMount(source="")),
        pid_host=True,
        ipc_host=True,
        network_type="host",
    ) == [
        ("network", ("host",)),
        ("host ipc namespace", ("true",)),
        ("host pid namespace", ("true",)),
        ("mount", ("/s",)),
        ("mount", ("",)),
        ("device", ("/dev/fuse",)),
        ("device", ("",)),
        ("allow-all-devices", ("true",)),
        ("capabilities", ("CAP_B", "CAP_A")),
    ]


def test_wire_and_prompt() -> None:
    (privilege,) = privileges.compute_privileges(PluginConfig(network_type="host"))
    assert privilege.to_json() == {
        "Name": "network",
        "Description": "permissions to access a network",
        "Value": ["host"],
    }
    assert str(Privilege(name="capabilities", value=("A", "B"))) == "capabilities: [A B]"


@given(LISTS)
def test_what_is_rendered_can_be_parsed(given_: Privileges) -> None:
    document = json.loads(json.dumps([privilege.to_json() for privilege in given_]))
    assert privileges.parse_privileges(document) == given_


def test_parsing_is_as_lenient_as_gos() -> None:
    assert privileges.parse_privileges(None) == ()
    assert privileges.parse_privileges({}) == (), "the docker SDK's null"
    assert privileges.parse_privileges([{"name": "mount", "VALUE": None}]) == (
        Privilege(name="mount", value=()),
    )


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"Name": "a"}, "want an array"),
        ("x", "want an array"),
        ([1], r"\[0\] is not an object"),
        ([{"Name": "a"}, {}], r"\[1\] has no Name"),
        ([{"Name": ""}], r"\[0\] has no Name"),
        ([{"Name": 1}], r"\[0\] has no Name"),
        ([{"Name": "a", "Value": "x"}], r"\[0\].Value is not an array of strings"),
        ([{"Name": "a", "Value": [1]}], r"\[0\].Value is not an array of strings"),
    ],
)
def test_what_cannot_be_parsed(document: Any, why: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=f"invalid privileges: {why}"):
        privileges.parse_privileges(document)


@given(LISTS, st.randoms(use_true_random=False))
def test_order_does_not_matter(requested: Privileges, random: Any) -> None:
    shuffled = []
    for privilege in random.sample(requested, len(requested)):
        values = random.sample(privilege.value, len(privilege.value))
        shuffled.append(Privilege(name=privilege.name, value=tuple(values), description="other"))
    privileges.require_accepted(requested, tuple(shuffled))


@given(LISTS, st.integers(min_value=0))
def test_one_entry_more_or_less_is_refused_whichever_it_is(
    requested: Privileges, number: int
) -> None:
    if not requested:
        return
    position = number % len(requested)  # CVE-2026-33997: one entry was never looked at
    fewer = requested[:position] + requested[position + 1 :]
    with pytest.raises(errors.InvalidParameter, match=r"^incorrect privileges: not granted: "):
        privileges.require_accepted(requested, fewer)
    with pytest.raises(errors.InvalidParameter, match="granted but not requested: "):
        privileges.require_accepted(fewer, requested)


def test_the_message_names_both_sides() -> None:
    requested = (Privilege(name="mount", value=("/a",)), Privilege(name="network", value=("host",)))
    accepted = (Privilege(name="mount", value=("/b",)), Privilege(name="network", value=("host",)))
    with pytest.raises(errors.InvalidParameter) as refused:
        privileges.require_accepted(requested, accepted)
    assert refused.value.message == (
        "incorrect privileges: not granted: mount: [/a]; granted but not requested: mount: [/b]"
    )


MOUNTS = (Privilege(name="mount", value=("/a",)), Privilege(name="mount", value=("/b",)))


@pytest.mark.parametrize(
    ("grant", "missing"),
    [
        (None, []),
        ({"mount": ["/a", "/b"]}, []),
        ({"mount": ["/b", "/a", "/c"], "network": ["host"]}, []),
        ({"mount": ["/a"]}, ["mount: [/b]"]),
        ({"mount": []}, ["mount: [/a]", "mount: [/b]"]),
        ({}, ["mount: [/a]", "mount: [/b]"]),
    ],
)
def test_a_grant_by_name(grant: Any, missing: list[str]) -> None:
    assert [str(privilege) for privilege in privileges.missing_from(MOUNTS, grant)] == missing


def test_what_is_missing_is_named_value_by_value() -> None:
    (left,) = privileges.missing_from(
        (Privilege(name="capabilities", value=("A", "B", "C"), description="d"),),
        {"capabilities": ["B"]},
    )
    assert left == Privilege(name="capabilities", value=("A", "C"), description="d")


def test_a_privilege_without_values_must_be_named_too() -> None:
    nothing = (Privilege(name="capabilities", value=()),)
    assert privileges.missing_from(nothing, {}) == nothing
    assert privileges.missing_from(nothing, {"capabilities": []}) == ()


@given(LISTS)
def test_granting_what_is_asked_suffices(requested: Privileges) -> None:
    grant: dict[str, list[str]] = {}
    for privilege in requested:
        grant.setdefault(privilege.name, []).extend(privilege.value)
    assert privileges.missing_from(requested, grant) == ()
