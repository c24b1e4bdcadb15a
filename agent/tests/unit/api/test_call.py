# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from plugind import errors
from plugind.api import call


def make_call(headers=None, **query):
    request = make_mocked_request("GET", "/plugins/x?secret=1", headers=headers)
    return call.Call(request=request, engine=None, stories=None, server=None, query=query)


def test_what_is_done_is_named_without_the_query():
    assert make_call().doing == "GET /plugins/x"


def test_remote_names_one_manifest():
    digest = "sha256:" + "0" * 64
    assert str(make_call(remote="a").remote()) == "docker.io/library/a:latest"
    assert str(make_call(remote=f"a@{digest}").remote()) == f"docker.io/library/a@{digest}"
    with pytest.raises(errors.InvalidParameter, match="invalid reference format"):
        make_call().remote()


def test_flags():
    assert make_call(force="True").flag("force") is True
    assert make_call().flag("force") is False


def test_credentials_come_from_the_header():
    assert make_call().credentials is None
    found = make_call({"X-Registry-Auth": "eyJ1c2VybmFtZSI6Im1lIn0="}).credentials
    assert found.username == "me"


async def test_no_body_means_nothing_granted():
    assert await make_call().privileges() == ()
    assert await make_call().object() == {}
