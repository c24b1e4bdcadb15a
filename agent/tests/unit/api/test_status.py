# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
import logging

import pytest
from aiohttp import web

from plugind import errors
from plugind.api import status


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (errors.InvalidParameter("x"), 400),
        (errors.Unauthorized("x"), 401),
        (errors.Forbidden("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.NoSuchVolume("x"), 404),
        (errors.Conflict("x"), 409),
        (errors.Unsupported("x"), 501),
        (errors.Unavailable("x"), 503),
        (errors.System("x"), 500),
        (errors.DigestMismatch("x"), 500),
        (errors.PluginFailed("x", exit_status=1, last_lines=("boom",)), 500),
        (ValueError("x"), 500),
        (web.HTTPRequestEntityTooLarge(1, 2), 413),
    ],
)
def test_a_category_has_one_status(exc, code):
    assert status.status_of(exc) == code


def test_every_category_of_the_tree_has_a_status():
    for category in errors.PlugindError.__subclasses__():
        assert category in status.STATUS


def test_errors_of_ours_are_told_and_not_logged(caplog):
    response = status.render(errors.PluginFailed("x", last_lines=("boom",)), "GET /", str)
    assert response.status == 500
    assert json.loads(response.body)["message"] == "x; last output of the plugin:\n  boom"
    assert caplog.records == []


def test_others_are_logged_with_their_traceback(caplog):
    with caplog.at_level(logging.ERROR, "plugind"):
        response = status.render(KeyError("k"), "GET /x", str)
    assert json.loads(response.body)["message"] == "cannot GET /x: KeyError: 'k'"
    assert caplog.records[0].exc_info[1].args == ("k",)
