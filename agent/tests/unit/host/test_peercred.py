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
