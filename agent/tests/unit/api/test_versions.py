# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest

from plugind import errors
from plugind.api import versions


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("/v1.41/plugins", ("1.41", "/plugins")),
        ("/v1.41/", ("1.41", "/")),
        ("/plugins", ("", "/plugins")),
        ("/volumes/v1", ("", "/volumes/v1")),
        ("/version", ("", "/version")),
        ("/v1.41", ("", "/v1.41")),
        ("/v1.41/a\nb", ("1.41", "/a\nb")),
        ("/vx/plugins", ("", "/vx/plugins")),
    ],
)
def test_prefixes(path, split):
    assert versions.split_prefix(path) == split


def test_versions_are_compared_as_numbers():
    assert versions.parse("1.9") < versions.parse("1.24") < versions.parse("1.100")
    assert versions.require_served("") == versions.parse(versions.CURRENT)
    assert versions.require_served("1.41") == (1, 41)


@pytest.mark.parametrize("text", [".", "1", "1.", "0.99", "1.23.9"])
def test_too_old(text):
    with pytest.raises(errors.InvalidParameter, match=f"client version {text} is too old"):
        versions.require_served(text)


@pytest.mark.parametrize("text", ["2", "1.48", "1.47.1", "9.99"])
def test_too_new(text):
    with pytest.raises(errors.InvalidParameter, match=f"client version {text} is too new"):
        versions.require_served(text)


def test_a_number_of_any_length_is_no_trouble():
    with pytest.raises(errors.InvalidParameter):
        versions.require_served("9" * 5000)


def test_what_is_advertised_suits_the_clients_of_these_years():
    # docker CLI 29.0 accepts nothing below 1.44; docker CLI 28 speaks up to 1.51.
    assert versions.parse("1.44") <= versions.parse(versions.CURRENT) <= versions.parse("1.51")
