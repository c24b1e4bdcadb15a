# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What is not special to volumes: services, streams, two names for an error. The rest: test_volumeplugin.py."""

from __future__ import annotations

import http.client
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pluginserver import (
    Arguments,
    DriverError,
    Refused,
    Server,
    Service,
    dispatch,
    mapping,
    optional_text,
)


def fail(_: Arguments) -> dict[str, Any]:
    raise DriverError("no more addresses")


def test_errors_and_successes_carry_every_name_of_an_error() -> None:
    service = Service(("X",), {"X.Ok": lambda _: {"A": 1}, "X.Fail": fail}, ("Err", "Error"))
    assert dispatch(service, "/X.Ok", b"") == (200, {"A": 1, "Err": "", "Error": ""})
    said = {"Err": "no more addresses", "Error": "no more addresses"}
    assert dispatch(service, "/X.Fail", b"{}") == (500, said)
    missing = "X.Other is not implemented"
    assert dispatch(service, "/X.Other", b"{}") == (404, {"Err": missing, "Error": missing})
    assert dispatch(service, "/X.Ok", b"[" * 100_000)[0] == 400


def test_activate_lists_what_is_implemented() -> None:
    service = Service(("NetworkDriver", "IpamDriver"), {})
    answer = dispatch(service, "/Plugin.Activate", b"")[1]
    assert answer == {"Implements": ["NetworkDriver", "IpamDriver"], "Err": ""}


def test_optional_arguments() -> None:
    assert optional_text({"pool": None}, "Pool") == ""
    assert optional_text({"pool": "x"}, "Pool") == "x"
    assert mapping({"options": None}, "Options") == {}
    with pytest.raises(Refused, match="Pool is not a string"):
        optional_text({"pool": 3}, "Pool")
    with pytest.raises(Refused, match="Options is not an object"):
        mapping({"options": [1]}, "Options")


def test_the_limit_is_the_services(serving, ask) -> None:
    connection = serving(Service(("X",), {"X.Ok": lambda _: {}}, limit=10), Server)
    assert ask(connection, "X.Ok")[0] == 200
    assert ask(connection, "X.Ok", Text="0123456789")[0] == 413


def pieces(_: socket.socket) -> Iterator[bytes]:
    yield b"one"
    yield b""  # an empty piece would be the end
    yield b"two"


def test_a_stream_comes_in_pieces_and_has_an_end(serving) -> None:
    connection = serving(Service(("X",), {"X.Read": lambda _: pieces}), Server)
    connection.request("POST", "/X.Read")
    response = connection.getresponse()
    assert response.status == 200
    assert response.read() == b"onetwo"


def test_a_stream_that_fails_is_no_complete_one(serving, capsys) -> None:
    def broken(_: socket.socket) -> Iterator[bytes]:
        yield b"one"
        raise OSError("the disk is gone")

    connection = serving(Service(("X",), {"X.Read": lambda _: broken}), Server)
    connection.request("POST", "/X.Read")
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    assert "OSError: the disk is gone" in capsys.readouterr().err


def test_a_stream_learns_that_its_client_has_gone(serving) -> None:
    gone = threading.Event()

    def wait(client: socket.socket) -> Iterator[bytes]:
        yield b"one"
        try:
            poll = select.poll()
            poll.register(client, select.POLLIN | select.POLLRDHUP)
            poll.poll()
        finally:
            gone.set()

    connection = serving(Service(("X",), {"X.Read": lambda _: wait}), Server)
    connection.request("POST", "/X.Read")
    response = connection.getresponse()
    assert response.read(3) == b"one"
    response.close()
    connection.close()
    assert gone.wait(10)
