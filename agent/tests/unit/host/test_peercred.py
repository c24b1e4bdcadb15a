# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Who is at the other end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from plugind.host import peercred


def test_a_peer_is_known_to_the_kernel(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        connection, _ = server.accept()
        with connection:
            found = peercred.peer_credentials(connection)
    assert found == peercred.PeerCredentials(pid=os.getpid(), uid=os.getuid(), gid=os.getgid())


def test_a_process_has_a_program_and_perhaps_a_login() -> None:
    assert peercred.program_of(os.getpid()) == Path("/proc/self/comm").read_text().strip()
    said = int(Path("/proc/self/loginuid").read_text())
    assert peercred.login_of(os.getpid()) == (None if said == 0xFFFFFFFF else said)


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    assert (peercred.program_of(0), peercred.login_of(0)) == ("", None)
