# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Standard input and output joined to a TCP port: what ssh wants of a ProxyCommand."""

from __future__ import annotations

import os
import select
import socket
import sys


def main() -> None:
    """Copy both ways until the peer has closed; an input that ends closes our half."""
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as peer:
        open_ends = [0, peer.fileno()]
        while peer.fileno() in open_ends:
            ready, _, _ = select.select(open_ends, [], [])
            if 0 in ready:
                sent = os.read(0, 65536)
                if sent:
                    peer.sendall(sent)
                else:
                    open_ends.remove(0)
                    peer.shutdown(socket.SHUT_WR)
            if peer.fileno() in ready:
                received = peer.recv(65536)
                if not received:
                    return
                _write(received)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
