# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind import errors
from plugind.api import filters


@given(st.dictionaries(st.sampled_from(["a", "b"]), st.lists(st.text(), unique=True)))
def test_both_forms_mean_the_same(wanted):
    flags = {name: dict.fromkeys(values, True) for name, values in wanted.items()}
    parsed = {name: frozenset(values) for name, values in wanted.items()}
    assert filters.parse(json.dumps(wanted), "ab") == parsed
    assert filters.parse(json.dumps(flags), "ab") == parsed


@pytest.mark.parametrize("text", ["", "null", "{}"])
def test_no_filters(text):
    assert filters.parse(text, ()) == {}


@pytest.mark.parametrize(
    "text", ["{", "[]", "1", '{"a":1}', '{"a":[1]}', '{"a":{"x":2}}', '{"a":["x"],"b":{"x":true}}']
)
def test_bad_filters(text):
    with pytest.raises(errors.InvalidParameter) as caught:
        filters.parse(text, ("a", "b"))
    assert caught.value.message == "invalid filter"


@pytest.mark.parametrize(
    ("document", "value"),
    [({}, None), ({"a": ["1"]}, True), ({"a": ["true", "1"]}, True), ({"a": {"0": True}}, False)],
)
def test_booleans(document, value):
    assert filters.get_bool(filters.parse(json.dumps(document), "a"), "a") is value


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"a": []}, "invalid filter 'a'"),
        ({"a": None}, "invalid filter 'a'"),
        ({"a": ["foo"]}, "invalid filter 'a=[foo]'"),
        ({"a": ["1", "false"]}, "invalid filter 'a=[1 false]'"),
        ({"a": ["True"]}, "invalid filter 'a=[True]'"),
    ],
)
def test_what_is_no_boolean(document, message):
    with pytest.raises(errors.InvalidParameter) as caught:
        filters.get_bool(filters.parse(json.dumps(document), "a"), "a")
    assert caught.value.message == message
