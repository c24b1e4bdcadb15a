# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Schemas: every problem at once, each with its path; keys in any case."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind import errors
from plugind.model import schema

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet="abAB", max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def test_shipped_schemas_are_schemas() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema.load_schema("config"))


def test_a_good_document_has_no_problems() -> None:
    assert schema.problems("config", {"entrypoint": ["/x"], "unknown": {"x": 1}}) == []
    schema.validate("config", {"entrypoint": ["/x"]}, "what")


def test_what_was_good_once_is_no_excuse_for_anything_like_it() -> None:
    for _ in range(2):
        assert schema.problems("config", {"entrypoint": ["/x"], "env": [{"name": "1"}]}) == []
        for like in ({"entrypoint": ["/x"], "env": [{"name": 1}]}, {"entrypoint": ("/x",)}):
            assert schema.problems("config", like), like
        assert schema.problems("declaration", {"entrypoint": ["/x"], "env": [{"name": "1"}]})


def test_a_document_that_is_changed_is_judged_again() -> None:
    document: dict[str, Any] = {"entrypoint": ["/x"]}
    assert schema.problems("config", document) == []
    document["entrypoint"].append(7)
    assert schema.problems("config", document) == [".entrypoint[1]: 7 is not of type 'string'"]


def test_every_problem_is_reported_with_its_path() -> None:
    document: dict[str, Any] = {
        "entrypoint": "x",
        "env": [{"name": "A"}, {"name": 7, "settable": [1]}],
        "linux": {"devices": "none"},
        "user": {"uid": -1},
    }
    found = schema.problems("config", document)
    assert found == sorted(found)
    assert [problem.partition(": ")[0] for problem in found] == [
        ".entrypoint",
        ".env[1].name",
        ".env[1].settable[0]",
        ".linux.devices",
        ".user.uid",
    ]
    with pytest.raises(errors.InvalidParameter) as refused:
        schema.validate("config", document, "bad config")
    assert refused.value.message == "bad config: " + "; ".join(found)


def test_the_document_itself_has_a_path_too() -> None:
    assert schema.problems("config", [])[0].startswith(".: ")
    assert schema.problems("config", {}) == [".: 'entrypoint' is a required property"]


def test_of_two_spellings_the_last_wins() -> None:
    assert schema.fold_keys({"Env": 1, "env": 2, "ENV": 3}) == {"env": 3}


def keys(document: Any) -> set[str]:
    if isinstance(document, dict):
        return set(document).union(*(keys(value) for value in document.values()))
    if isinstance(document, list):
        return set().union(*(keys(value) for value in document))
    return set()


@given(JSON)
def test_folding(document: Any) -> None:
    folded = schema.fold_keys(document)
    assert schema.fold_keys(folded) == folded
    # Of two keys that differ in case one goes, and all that is in it.
    assert keys(folded) <= {key.lower() for key in keys(document)}
    if isinstance(document, dict):
        assert set(folded) == {key.lower() for key in document}
