# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Profiles in Docker's form: which rules count, and what is wrong with one that is none."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind import errors
from plugind.model import seccomp
from plugind.model.facts import Kernel

AMD64 = Kernel(machine="x86_64", version=(6, 1))
ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"


def names(
    document: dict[str, Any], capabilities: tuple[str, ...] = (), kernel: Kernel = AMD64
) -> str:
    """The calls of the rules that count."""
    made = seccomp.parse_profile(document).resolve(capabilities, kernel)
    return " ".join(name for rule in made["syscalls"] for name in rule["names"])


def profile(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    whole = [{"action": ALLOW, **rule} for rule in rules]
    return {"defaultAction": ERRNO, "syscalls": whole, **more}


def test_everything_that_a_profile_says_arrives() -> None:
    argument = {"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}
    document = profile(
        {"names": ["read", "write"], "comment": "files"},
        {"name": "clone", "action": ERRNO, "errnoRet": 38, "args": [argument]},
        {"names": ["exit"], "args": None, "includes": {}, "excludes": None},
        defaultErrnoRet=1,
        flags=["SECCOMP_FILTER_FLAG_LOG"],
        architectures=["SCMP_ARCH_X86_64"],
    )
    assert seccomp.parse_profile(document).resolve((), AMD64) == {
        "defaultAction": ERRNO,
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {"names": ["read", "write"], "action": ALLOW},
            {"names": ["clone"], "action": ERRNO, "errnoRet": 38, "args": [argument]},
            {"names": ["exit"], "action": ALLOW},
        ],
    }


def test_includes_want_every_capability_and_excludes_none() -> None:
    document = profile(
        {"names": ["a"], "includes": {"caps": ["CAP_X", "CAP_Y"]}},
        {"names": ["b"], "excludes": {"caps": ["CAP_X", "CAP_Y"]}},
    )
    assert names(document) == "b"
    assert names(document, ("CAP_X",)) == ""
    assert names(document, ("CAP_X", "CAP_Y", "CAP_Z")) == "a"


def test_machines_are_named_as_go_does() -> None:
    document = profile(
        {"names": ["a"], "includes": {"arches": ["amd64", "x32"]}},
        {"names": ["b"], "includes": {"arches": ["arm64"]}},
        {"names": ["c"], "excludes": {"arches": ["s390x"]}},
    )
    assert names(document) == "a c"
    assert names(document, kernel=Kernel(machine="aarch64")) == "b c"
    assert names(document, kernel=Kernel(machine="s390x")) == ""


@pytest.mark.parametrize(
    ("version", "counting"), [((4, 7), "new"), ((4, 8), "old"), ((4, 10), "old"), ((5, 0), "old")]
)
def test_kernels_are_compared_by_number(version: tuple[int, int], counting: str) -> None:
    document = profile(
        {"names": ["old"], "includes": {"minKernel": "4.8"}},
        {"names": ["new"], "excludes": {"minKernel": "4.8"}},
    )
    assert names(document, kernel=Kernel(machine="x86_64", version=version)) == counting


def test_what_else_a_machine_runs_is_covered() -> None:
    mapped = profile(
        archMap=[
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": None},
        ]
    )

    def covered(document: dict[str, Any], machine: str) -> list[str] | None:
        made = seccomp.parse_profile(document).resolve((), Kernel(machine=machine))
        return made.get("architectures")

    assert covered(mapped, "x86_64") == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert covered(mapped, "aarch64") == ["SCMP_ARCH_AARCH64"]
    assert covered(profile(), "x86_64") == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert covered(profile(), "aarch64") == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert covered(profile(), "strange") is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "profile: want an object"),
        ({}, "defaultAction: want a string"),
        ({"defaultAction": "DENY"}, 'defaultAction: "DENY" is none of SCMP_ACT_ALLOW, '),
        ({"defaultAction": ALLOW, "syscalls": {}}, "syscalls: want a list"),
        (profile({"names": []}), "syscalls[0]: names no call"),
        (profile({"names": ["a"]}, {"names": [1]}), "syscalls[1].names: want a list of strings"),
        (profile({"names": ["a"], "name": "b"}), "syscalls[0]: use either name or names"),
        (profile({"names": ["a"], "action": "x"}), 'syscalls[0].action: "x" is none of'),
        (profile({"names": ["a"], "errnoRet": -1}), "syscalls[0].errnoRet: want a whole number"),
        (profile({"names": ["a"], "args": [{"index": 6}]}), "args[0].index: want 0 to 5, got 6"),
        (profile({"names": ["a"], "args": [{"op": "=="}]}), 'args[0].op: "==" is none of'),
        (profile({"names": ["a"], "includes": {"caps": "x"}}), "includes.caps: want a list"),
        (
            profile({"names": ["a"], "includes": {"minKernel": "5"}}),
            "includes.minKernel: want a ver",
        ),
        (profile(architectures=["a"], archMap=[{}]), "use either architectures or archMap"),
        (profile(archMap=[{}]), "archMap[0].architecture: want a string"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(document: Any, message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=re.escape(message)):
        seccomp.parse_profile(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["defaultAction", "syscalls", "names", "name", "args", "includes", "archMap", "flags", "caps"]
)


@given(
    st.dictionaries(KEYS, JSON | st.just(ALLOW) | st.lists(st.dictionaries(KEYS, JSON), max_size=2))
)
def test_whatever_it_is_it_is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        read = seccomp.parse_profile(document)
    except errors.InvalidParameter:
        return
    assert read.resolve((), AMD64)["defaultAction"] == read.default_action
