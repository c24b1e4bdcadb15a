# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The service manager's protocols."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import systemd


def test_without_a_service_manager_nothing_happens() -> None:
    assert systemd.notify(systemd.READY, environ={}) is False
    assert systemd.listen_sockets({}) == []
    assert systemd.listen_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == [], "not for us"


@pytest.mark.parametrize("abstract", [False, True])
def test_notify(tmp_path: Path, abstract: bool) -> None:
    name = f"@test-{secrets.token_hex(8)}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        assert systemd.notify(systemd.READY, "STATUS=3 plugins", environ={"NOTIFY_SOCKET": name})
        assert manager.recv(100) == b"READY=1\nSTATUS=3 plugins"


def test_a_manager_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(errors.System, match="cannot notify"):
        systemd.notify(systemd.STOPPING, environ={"NOTIFY_SOCKET": str(tmp_path / "gone")})


def test_sockets_are_taken_over(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "api.sock"))
    os.set_inheritable(listener.fileno(), True)
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    (found,) = systemd.listen_sockets(environ, first_fd=listener.fileno())
    assert found.getsockname() == str(tmp_path / "api.sock")
    assert not os.get_inheritable(listener.detach())
    found.close()


def test_broken_numbers_are_named() -> None:
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x"}
    with pytest.raises(errors.System, match="LISTEN_FDS is 'x'"):
        systemd.listen_sockets(environ)
