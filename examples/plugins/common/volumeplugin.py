# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The plugin side of Docker's volume driver protocol, for drivers in Python. Copy it; it is complete.

A driver is an object with the methods of `Driver`. ``serve(driver, socket)`` listens on a unix socket
below /run/docker/plugins, which the engine mounts into the plugin, and answers
``POST /VolumeDriver.<Method>`` with JSON:

    engine --HTTP/1.1--> Handler.do_POST --> dispatch(driver, path, body) --> driver.mount(name, id)

Three things are less obvious than they look, and are therefore done here once:

* Engines differ in their requests. One sends no Content-Type, another no body for List, a third
  leaves "Opts" out. All of this is accepted, except an empty body where arguments are needed: it is
  what a retry looks like after the engine lost the first answer, and creating a volume without a name
  would be the wrong reaction.
* An error is status 500 *and* ``{"Err": "..."}``. With status 200 some clients take it for success.
* A plugin is process 1 of its own PID namespace: the kernel ignores SIGTERM there unless somebody
  waits for it, and orphans are ours to reap. `run` takes care of both.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Protocol

CONTENT_TYPE = "application/vnd.docker.plugins.v1.1+json"
# Docker's own rule for the names of volumes. It also keeps ".." and "/" out of paths.
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
LIMIT = 1 << 20  # no honest request is larger


class DriverError(Exception):
    """Anything the driver wants the user to read. Becomes status 500 and {"Err": message}."""


class Refused(Exception):
    """A request that no driver should see, with the status to answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Driver(Protocol):
    """What a volume driver can do. Methods are called from several threads at once."""

    scope: str  # "local", or "global" if every host sees the same volumes

    def create(self, name: str, options: Mapping[str, str]) -> None: ...
    def get(self, name: str) -> dict[str, Any]: ...  # Name, Mountpoint, CreatedAt, Status
    def list(self) -> list[dict[str, Any]]: ...
    def path(self, name: str) -> str: ...
    def remove(self, name: str) -> None: ...
    def mount(self, name: str, mount_id: str) -> str: ...
    def unmount(self, name: str, mount_id: str) -> None: ...
    def close(self) -> None: ...  # the plugin is about to end


# --- the protocol -----------------------------------------------------------------------------------------------------


def parse_body(body: bytes) -> dict[str, Any]:
    """The arguments of a call. Go ignores the case of keys, and clients rely on it: they are lowered."""
    if not body.strip():
        return {}
    try:
        document = json.loads(body)
    except ValueError:
        raise Refused(400, "cannot read the request: not JSON") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise Refused(400, "cannot read the request: not a JSON object")
    return {str(key).lower(): value for key, value in document.items()}


def text(arguments: Mapping[str, Any], key: str) -> str:
    """A required argument."""
    value = arguments.get(key.lower())
    if not isinstance(value, str) or not value:
        raise Refused(400, f"cannot read the request: {key} is missing")
    return value


def options(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Create's Opts, which may be null or missing."""
    value = arguments.get("opts") or {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Refused(400, "cannot read the request: Opts is not an object of strings")
    return {str(key): item for key, item in value.items()}


def _create(driver: Driver, arguments: Mapping[str, Any]) -> dict[str, Any]:
    driver.create(text(arguments, "Name"), options(arguments))
    return {}


def _remove(driver: Driver, arguments: Mapping[str, Any]) -> dict[str, Any]:
    driver.remove(text(arguments, "Name"))
    return {}


def _unmount(driver: Driver, arguments: Mapping[str, Any]) -> dict[str, Any]:
    driver.unmount(text(arguments, "Name"), text(arguments, "ID"))
    return {}


METHODS: dict[str, Callable[[Driver, Mapping[str, Any]], dict[str, Any]]] = {
    "Plugin.Activate": lambda driver, arguments: {"Implements": ["VolumeDriver"]},
    "VolumeDriver.Capabilities": lambda driver, arguments: {
        "Capabilities": {"Scope": driver.scope}
    },
    "VolumeDriver.Create": _create,
    "VolumeDriver.Get": lambda driver, arguments: {"Volume": driver.get(text(arguments, "Name"))},
    "VolumeDriver.List": lambda driver, arguments: {"Volumes": driver.list()},
    "VolumeDriver.Path": lambda driver, arguments: {
        "Mountpoint": driver.path(text(arguments, "Name"))
    },
    "VolumeDriver.Remove": _remove,
    "VolumeDriver.Mount": lambda driver, arguments: {
        "Mountpoint": driver.mount(text(arguments, "Name"), text(arguments, "ID"))
    },
    "VolumeDriver.Unmount": _unmount,
}


def dispatch(driver: Driver, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """One call: the request's path and body in, status and answer out. Never raises."""
    name = path.lstrip("/")
    arguments: dict[str, Any] = {}
    try:
        method = METHODS.get(name)
        if method is None:
            raise Refused(404, f"{name} is not implemented")
        arguments = parse_body(body)
        answer = method(driver, arguments)
        log_call(name, arguments, "ok")
        return 200, {**answer, "Err": ""}
    except Refused as refusal:
        complain(f"{name}: {refusal}")
        return refusal.status, {"Err": str(refusal)}
    except DriverError as error:
        log_call(name, arguments, f"failed: {error}")
        return 500, {"Err": str(error)}
    except Exception as error:  # noqa: BLE001 - a bug in a driver must not take the connection down
        complain(f"{name}: {type(error).__name__}: {error}")
        return 500, {"Err": f"internal error: {type(error).__name__}: {error}"}


# --- logging: the engine keeps both streams ---------------------------------------------------------------------------


def log(line: str) -> None:
    """A line for the plugin's log."""
    print(line, flush=True)


def complain(line: str) -> None:
    """A line about something that went wrong."""
    print(line, file=sys.stderr, flush=True)


def debugging() -> bool:
    """The DEBUG setting."""
    return os.environ.get("DEBUG", "0") not in ("", "0")


def log_call(name: str, arguments: Mapping[str, Any], outcome: str) -> None:
    """ "Mount called... name=v id=1f... ok". Options appear by name only: one of them is usually a password."""
    method = name.rpartition(".")[2]
    if method in ("Activate", "Capabilities", "List") and not debugging():
        return  # engines ask these all the time
    words = [f"{key}={arguments[key]}" for key in ("name", "id") if arguments.get(key)]
    if debugging() and arguments.get("opts"):
        words.append("opts=" + ",".join(sorted(arguments["opts"])))
    log(" ".join([f"{method} called...", *words, outcome]).replace("\n", " "))


# --- the server -------------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open for as many requests as the engine likes."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not length.isdigit():
            return self.answer(411, {"Err": "Content-Length is missing"}, close=True)
        if int(length) > LIMIT:
            return self.answer(413, {"Err": "the request is too large"}, close=True)
        body = self.rfile.read(int(length))
        return self.answer(*dispatch(self.server.driver, self.path, body))

    def do_GET(self) -> None:
        self.answer(405, {"Err": "every call is a POST"}, close=True)

    def answer(self, status: int, document: Mapping[str, Any], *, close: bool = False) -> None:
        payload = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(payload)))
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the engine has stopped waiting
            self.wfile.write(payload)

    def address_string(self) -> str:
        return "engine"  # a unix socket's peer has no address to print

    def log_message(self, format: str, *args: Any) -> None:
        pass  # dispatch logs, and says more


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread for each connection; they end with the process."""

    handler: type[Handler] = Handler
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, driver: Driver, path: Path) -> None:
        self.driver = driver
        path.unlink(missing_ok=True)  # left by a process that was killed
        super().__init__(str(path), self.handler)

    def start(self) -> None:
        """Serve from a thread of its own. Without a poll interval it sleeps until a connection comes."""
        threading.Thread(target=self.serve_forever, args=(None,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening. Shutting the socket down is what wakes the sleeping thread."""
        waiter = threading.Thread(target=self.shutdown)
        waiter.start()
        self.socket.shutdown(socket.SHUT_RDWR)
        waiter.join()
        self.server_close()


def serve(driver: Driver, path: Path, make: type[Server] = Server) -> None:
    """Answer calls until SIGTERM or SIGINT, then close the driver."""
    wanted = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)  # first, so that all threads inherit it
    server = make(driver, path)
    server.start()
    log(f"Listening on {path}")
    signal.sigwait(wanted)
    path.unlink(missing_ok=True)
    server.stop()
    driver.close()
    log("Stopped")


def run(main: Callable[[], int]) -> int:
    """Run a plugin's main function; as process 1, in a child, and be the init that it needs."""
    if os.getpid() != 1:
        return main()
    passed_on = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, {*passed_on, signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*passed_on, signal.SIGCHLD})
        return main()
    while True:
        received = signal.sigwait({*passed_on, signal.SIGCHLD})
        if received != signal.SIGCHLD:
            os.kill(child, received)
            continue
        status = reap(child)
        if status is not None:
            return status


def reap(child: int) -> int | None:
    """Collect every process that has ended; the exit status of `child` if it was among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, raw = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(raw)
                status = code if code >= 0 else 128 - code
    return status
