# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import inspect

import pytest

from plugind import errors
from plugind.api import plugins, routes, volumes
from plugind.api.access import Access


@pytest.mark.parametrize(
    ("method", "path", "handler", "name"),
    [
        ("GET", "/plugins", plugins.list_plugins, ""),
        ("GET", "/plugins/privileges", plugins.privileges, ""),
        ("GET", "/plugins/privileges/json", plugins.inspect, "privileges"),
        ("GET", "/plugins/h:1/a/b:c/json", plugins.inspect, "h:1/a/b:c"),
        ("POST", "/plugins/pull", plugins.pull, ""),
        ("POST", "/plugins/a/enable/enable", plugins.enable, "a/enable"),
        ("DELETE", "/plugins/a/enable", plugins.remove, "a/enable"),
        ("DELETE", "/plugins/", plugins.remove, ""),
        ("POST", "/volumes/create", volumes.create, ""),
        ("GET", "/volumes/create", volumes.inspect, "create"),
        ("GET", "/volumes/a\nb", volumes.inspect, "a\nb"),
    ],
)
def test_a_path_finds_its_handler(method, path, handler, name):
    route, found = routes.TABLE.match(method, path)
    assert (route.handler, found) == (handler, name)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/plugins/json"), ("PATCH", "/plugins"), ("POST", "/plugins/enable")],
)
def test_what_is_not_in_the_table(method, path):
    with pytest.raises(errors.NotFound, match="page not found"):
        routes.TABLE.match(method, path)


def test_nothing_that_only_reads_is_carried_on_without_its_client():
    for _, path, access, gone, _ in routes.ROUTES:
        assert access is Access.WRITE or gone is routes.Gone.STOP, path


def test_what_docker_reads_with_get_is_a_read_and_the_rest_a_write():
    for method, path, access, _, _ in routes.ROUTES:
        reads = method in ("GET", "HEAD") or path in ("/auth", "/plugind/query")
        assert (access is Access.READ) is reads, path


def test_handlers_are_short():
    for _, path, _, _, handler in routes.ROUTES:
        assert len(inspect.getsource(handler).splitlines()) <= 20, path
