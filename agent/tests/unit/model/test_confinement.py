# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What confines a plugin: what is said for one goes before what is said for all."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind.model import confinement
from plugind.model.confinement import Confinement, Policy
from plugind.model.seccomp import Seccomp

PARSERS = {"memory": confinement.parse_memory, "pids": confinement.parse_count}


def test_what_is_not_said_for_a_plugin_comes_from_above() -> None:
    policy = Policy(
        general=Confinement(memory=1 << 30, cpus=1.5, pids=9),
        plugins={
            "sshfs": {"memory": 1 << 26, "pids": 5},
            "sshfs:next": {"pids": 0},
            "host:5000/a/b": {"seccomp": Seccomp(name="unconfined")},
        },
    )
    assert policy.of("other:latest") == policy.general
    assert policy.of("sshfs:latest") == Confinement(memory=1 << 26, cpus=1.5, pids=5)
    assert policy.of("sshfs:next") == Confinement(memory=1 << 26, cpus=1.5, pids=0)
    assert policy.of("host:5000/a/b:1").seccomp.name == "unconfined"
    assert policy.of("a/sshfs:latest") == policy.general


def test_it_is_shown_with_the_name_of_its_profile() -> None:
    seccomp = Seccomp(name="/etc/plugind/seccomp.json")
    shown = Confinement(seccomp=seccomp, memory=1 << 26, cpus=1.5, pids=5).to_json()
    assert shown == {
        "Seccomp": "/etc/plugind/seccomp.json", "Memory": 1 << 26, "CPUs": 1.5, "Pids": 5
    }  # fmt: skip
    assert str(seccomp) == shown["Seccomp"]


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("", 0),
        (0, 0),
        ("0", 0),
        ("512m", 512 << 20),
        ("512M", 512 << 20),
        ("1g", 1 << 30),
        ("1.5 GiB", 3 << 29),
        ("64mb", 64 << 20),
        ("16384k", 16 << 20),
        ("1t", 1 << 40),
        ("8388608", 8 << 20),
        (8 << 20, 8 << 20),
    ],
)
def test_sizes(value: Any, size: int) -> None:
    assert confinement.parse_memory(value) == size


@pytest.mark.parametrize(
    "value", ["much", "-1", "1p", "1m", -1, 1.5, True, "9" * 400, "999999999999999t", []]
)
def test_what_is_no_size(value: Any) -> None:
    with pytest.raises(ValueError, match="want "):
        confinement.parse_memory(value)


@pytest.mark.parametrize(("value", "cpus"), [(0, 0.0), (2, 2.0), (1.5, 1.5), ("0.5", 0.5)])
def test_processors(value: Any, cpus: float) -> None:
    assert confinement.parse_cpus(value) == cpus


@pytest.mark.parametrize("value", [-1, 0.001, "nan", "inf", "many", True, [], float("nan")])
def test_what_is_no_number_of_processors(value: Any) -> None:
    with pytest.raises(ValueError, match="want "):
        confinement.parse_cpus(value)


@pytest.mark.parametrize("value", [-1, 1.5, "x", "", True, None, "9" * 20])
def test_what_is_no_count(value: Any) -> None:
    with pytest.raises(ValueError, match="want a whole number"):
        confinement.parse_count(value)


def test_single_plugins() -> None:
    read = confinement.parse_plugins({"a": {"memory": "64m"}, "b:1": {"pids": 3}}, PARSERS)
    assert read == {"a": {"memory": 64 << 20}, "b:1": {"pids": 3}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "want a table"),
        ({"a": 1}, '"a": want a table'),
        ({"a": {"x": 1}}, '"a": unknown key x; known: memory, pids'),
        ({"a": {"pids": "x"}}, '"a".pids: want a whole number'),
    ],
)
def test_mistakes_name_the_plugin_and_the_key(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        confinement.parse_plugins(value, PARSERS)


@given(st.integers(6 << 20, 1 << 50))
def test_a_size_in_words_is_the_size_up_to_a_digit(size: int) -> None:
    words = confinement.format_size(size)
    assert confinement.parse_memory(words) == pytest.approx(size, rel=0.05)


def test_sizes_in_words() -> None:
    assert [confinement.format_size(n) for n in (0, 1023, 1536, 64 << 20, 1 << 30)] == [
        "0 bytes", "1023 bytes", "1.5 KiB", "64 MiB", "1 GiB",
    ]  # fmt: skip
