# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A container's standard streams, by way of conmon's attach socket and control fifo.

    container --stdout, stderr--> conmon --packets: stream, data--> agent
              <------stdin-------        <-------packets: data-----
                                         <--ctl: "1 HEIGHT WIDTH"--

The socket keeps packets apart (SOCK_SEQPACKET); a packet of output starts with a byte that names
its stream. conmon waits while nobody takes its packets, so a slow reader slows the container down
and loses nothing. The end of our packets closes the container's standard input, unless conmon was
told to keep it open; so does the end of the agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from dataclasses import dataclass

from plugind import errors
from plugind.runtime import bundle as bundle_

#: The first byte of a packet, and the stream's number in Docker's frames less one.
STDOUT, STDERR = 2, 3
_PACKET = 64 * 1024
#: conmon takes up to 32 KiB and cuts off the rest.
_INPUT = 8 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """What a container's program finds as its standard streams.

    `stdin_once`: its input ends when the first who wrote to it ends; else it stays open.
    """

    terminal: bool = False
    stdin: bool = False
    stdin_once: bool = False

    def conmon_options(self) -> list[str]:
        """Return the part of conmon's command line that says so."""
        options = ["--terminal"] if self.terminal else []
        if self.stdin:
            options.append("--stdin")
            # Half of a terminal cannot be closed, so its end is nobody's to announce.
            if self.terminal or not self.stdin_once:
                options.append("--leave-stdin-open")
        return options


class OciConsole:
    """Implements `engine.container_ports.Console`."""

    def __init__(self, connection: socket.socket, control: str) -> None:
        self._connection = connection
        self._control = control

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next piece of output as (1 or 2, data), None at its end."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                packet = await loop.sock_recv(self._connection, _PACKET)
            except ConnectionResetError:
                # conmon ended before it had read our input; its output is still to be had.
                continue
            if not packet:
                return None
            if packet[0] in (STDOUT, STDERR):
                return packet[0] - 1, packet[1:]

    async def write(self, data: bytes) -> None:
        """Pass input on; what a container no longer reads is dropped."""
        loop = asyncio.get_running_loop()
        for start in range(0, len(data), _INPUT):
            try:
                await loop.sock_sendall(self._connection, data[start : start + _INPUT])
            except (BrokenPipeError, ConnectionResetError):
                return

    def end_input(self) -> None:
        """Say that no more input will come."""
        with contextlib.suppress(OSError):  # it has ended meanwhile
            self._connection.shutdown(socket.SHUT_WR)

    def resize(self, height: int, width: int) -> None:
        """Give the terminal another size, in characters."""
        try:
            control = os.open(self._control, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            if exc.errno in (errno.ENXIO, errno.ENOENT):
                return  # nobody is left whose terminal it was
            raise errors.System(f"cannot resize the terminal: {exc.strerror}") from exc
        try:
            os.write(control, b"1 %d %d\n" % (height, width))
        finally:
            os.close(control)

    def close(self) -> None:
        """Let go of the socket."""
        self._connection.close()


def connect(bundle: bundle_.Bundle) -> OciConsole | None:
    """Connect to a container's conmon; None if it has ended."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setblocking(False)
    try:
        directory = os.open(bundle.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # By descriptor, because a socket's address holds no more than 107 bytes.
            connection.connect(f"/proc/self/fd/{directory}/{bundle.attach.name}")
        finally:
            os.close(directory)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as exc:
        connection.close()
        raise errors.System(f'cannot attach to "{bundle.attach}": {exc.strerror}') from exc
    return OciConsole(connection, str(bundle.control))
