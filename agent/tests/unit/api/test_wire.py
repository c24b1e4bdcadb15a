# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind import errors
from plugind.api import wire


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_json_comes_back(document):
    assert wire.decode_json(wire.json_bytes(document)) == document


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{invalid", "invalid character 'i' looking for beginning of object key string"),
        (b"{", "invalid JSON: unexpected EOF"),
        (b'{"a"', "invalid JSON: unexpected EOF"),
        (b'"abc', "invalid JSON: unexpected EOF"),
        (b"nope", "invalid character 'n' looking for beginning of value"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b"[1 2]", "invalid character '2' after"),
        (b'"\n"', "in string literal"),
        (b'"\\x"', "invalid JSON: Invalid"),
        (b"NaN", "invalid JSON: NaN is not JSON"),
        (b"[-Infinity]", "invalid JSON: -Infinity is not JSON"),
        (b"[] []", "unexpected content after JSON"),
        (b" \n", "invalid JSON: got EOF while reading request body"),
        (b"\xff", "invalid JSON: 'utf-8' codec"),
        (b'"\\ud800"', "invalid JSON: 'utf-8' codec"),
        (b"[" * 100_000, "invalid JSON: "),
        (b"9" * 10_000, "invalid JSON: "),
    ],
)
def test_what_is_not_json_is_refused(raw, message):
    with pytest.raises(errors.InvalidParameter) as caught:
        wire.decode_json(raw)
    assert message in caught.value.message


@given(st.binary(max_size=64))
def test_any_bytes_are_json_or_invalid(raw):
    with contextlib.suppress(errors.InvalidParameter):
        wire.decode_json(raw)


def test_surrogate_pairs_are_one_character():
    assert wire.decode_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize("text", ["", "0", "no", "false", "none", "No", " FALSE ", "None"])
def test_what_says_no(text):
    assert wire.parse_bool(text) is False


@pytest.mark.parametrize("text", ["1", "true", "True", "yes", "x", "2"])
def test_anything_else_says_yes(text):
    assert wire.parse_bool(text) is True


@pytest.mark.parametrize("text", ["yes", "", "TrUe", "2"])
def test_go_is_stricter_about_booleans(text):
    assert wire.parse_go_bool("T")
    assert not wire.parse_go_bool("f")
    with pytest.raises(errors.InvalidParameter, match=r"strconv\.ParseBool: parsing"):
        wire.parse_go_bool(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("+5", 5), ("-5", -5), ("007", 7)])
def test_integers(text, value):
    assert wire.parse_int(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "invalid syntax"),
        ("1.5", "invalid syntax"),
        ("1_0", "invalid syntax"),
        (" 1", "invalid syntax"),
        ("\u0661", "invalid syntax"),
        ("9223372036854775808", "value out of range"),
    ],
)
def test_what_is_not_an_integer(text, why):
    with pytest.raises(errors.InvalidParameter, match=rf"strconv\.Atoi: parsing .*: {why}"):
        wire.parse_int(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("0", 0),
        ("12", 12_000_000_000),
        ("12.5", 12_500_000_000),
        ("12.000000001", 12_000_000_001),
        ("12.0000000019", 12_000_000_001),
    ],
)
def test_moments(text, value):
    assert wire.parse_moment(text) == value


@pytest.mark.parametrize("text", ["x", "1.", "1.x", ".5", "1.-5", "2026-01-01T00:00:00Z"])
def test_what_is_no_moment(text):
    with pytest.raises(errors.InvalidParameter, match=r"strconv\.ParseInt"):
        wire.parse_moment(text)


def test_of_several_parameters_the_first_counts():
    assert wire.parse_query("a=1&a=2&b=&c=x+y%2F") == {"a": "1", "b": "", "c": "x y/"}


def test_objects_are_read_without_regard_to_case():
    body = wire.require_object({"NAME": "n", "driveropts": {"a": None}})
    assert wire.get_string(body, "Name") == "n"
    assert wire.get_strings(body, "DriverOpts") == {"a": ""}
    assert wire.get_string(body, "Driver") == ""
    assert wire.get_strings(body, "Labels") is None
    assert wire.require_object(None) == {}


@pytest.mark.parametrize(
    ("value", "kind"),
    [({}, "object"), ([], "array"), (True, "bool"), (1.5, "number"), (1, "number")],
)
def test_a_mismatch_says_what_it_found_and_wanted(value, kind):
    with pytest.raises(errors.InvalidParameter) as caught:
        wire.get_string({"name": value}, "Name")
    assert caught.value.message == (
        f"invalid JSON: cannot unmarshal {kind} into field Name of type string"
    )


def test_arrays_of_strings():
    assert wire.require_strings(None) == []
    assert wire.require_strings(["a"]) == ["a"]
    for document in ({}, [None], "a"):
        with pytest.raises(errors.InvalidParameter, match="cannot unmarshal"):
            wire.require_strings(document)
