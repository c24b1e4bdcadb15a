# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The plugin side of Docker's plugin protocol, for Python drivers of every kind. Copy it.

A plugin is a `Service`: what it implements, and a function for each method.
``serve(service, path)`` listens on a unix socket below /run/docker/plugins, which the engine mounts
into the plugin, and answers ``POST /<Interface>.<Method>`` with JSON:

    engine --HTTP/1.1--> Handler.do_POST --> dispatch(service, path, body) --> the method's function

Four things are less obvious than they look, and are therefore done here once:

* Engines differ in their requests. One sends no Content-Type, another no body where a third sends
  {}. All of this is accepted, except an empty body where arguments are needed (`text` refuses it):
  it is what a retry looks like after the engine lost the first answer, and creating a volume
  without a name would be the wrong reaction.
* An error is status 500 *and* ``{"Err": "..."}``. With status 200 some take it for success.
* A plugin is process 1 of its own PID namespace: the kernel ignores SIGTERM there unless somebody
  waits for it, and orphans are ours to reap. `run` takes care of both.
* An answer may be a stream that lasts for hours. The client's end of it is an event like any other,
  and whoever produces the stream wants to hear of it: it is given the connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

CONTENT_TYPE = "application/vnd.docker.plugins.v1.1+json"
LIMIT = (
    1 << 20
)  # of a request, in bytes; no honest one is larger, where bodies are not quoted in it

Arguments = Mapping[str, Any]
# Called with the connection, which is readable when the client has gone; yields pieces of the body.
Stream = Callable[[socket.socket], Iterator[bytes]]
Method = Callable[[Arguments], "dict[str, Any] | Stream"]
#: How long, in seconds, and how much of a refused request is still taken.
LINGER, LINGER_PIECE, LINGER_PIECES = 1.0, 64 * 1024, 16


class DriverError(Exception):
    """Anything the user should read. Becomes status 500 and {"Err": message}."""


class Refused(Exception):
    """A request that no driver should see, with the status to answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Service:
    """What a plugin is to an engine."""

    implements: tuple[str, ...]  # "VolumeDriver": for Plugin.Activate
    methods: Mapping[str, Method]  # by their full names, "VolumeDriver.Create"
    error_keys: tuple[str, ...] = ("Err",)  # where clients of this interface look for an error
    quiet: frozenset[str] = frozenset()  # methods that are asked all the time: logged with DEBUG=1
    limit: int = LIMIT

    def errors(self, message: str) -> dict[str, Any]:
        """The error part of an answer; an empty message says that there is none."""
        return dict.fromkeys(self.error_keys, message)


# --- the protocol ---------------------------------------------------------------------------------


def parse_body(body: bytes) -> dict[str, Any]:
    """The arguments of a call. Go ignores the case of keys, and clients rely on it: lowered."""
    if not body.strip():
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "cannot read the request: not JSON") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise Refused(400, "cannot read the request: not a JSON object")
    return {str(key).lower(): value for key, value in document.items()}


def text(arguments: Arguments, key: str) -> str:
    """A required argument."""
    value = arguments.get(key.lower())
    if not isinstance(value, str) or not value:
        raise Refused(400, f"cannot read the request: {key} is missing")
    return value


def optional_text(arguments: Arguments, key: str) -> str:
    """An argument that may be missing; an empty string stands for that."""
    value = arguments.get(key.lower()) or ""
    if not isinstance(value, str):
        raise Refused(400, f"cannot read the request: {key} is not a string")
    return value


def mapping(arguments: Arguments, key: str) -> dict[str, Any]:
    """An argument that is an object, and may be null or missing. Its keys stay as they are."""
    value = arguments.get(key.lower()) or {}
    if not isinstance(value, dict):
        raise Refused(400, f"cannot read the request: {key} is not an object")
    return value


def dispatch(service: Service, path: str, body: bytes) -> tuple[int, dict[str, Any] | Stream]:
    """One call: the request's path and body in, status and answer out. Never raises."""
    name = path.lstrip("/")
    arguments: dict[str, Any] = {}
    try:
        if name == "Plugin.Activate":
            return 200, {"Implements": list(service.implements), **service.errors("")}
        method = service.methods.get(name)
        if method is None:
            raise Refused(404, f"{name} is not implemented")
        arguments = parse_body(body)
        answer = method(arguments)
        log_call(service, name, arguments, "ok")
        return 200, answer if callable(answer) else {**answer, **service.errors("")}
    except Refused as refusal:
        complain(f"{name}: {refusal}")
        return refusal.status, service.errors(str(refusal))
    except DriverError as error:
        log_call(service, name, arguments, f"failed: {error}")
        return 500, service.errors(str(error))
    except Exception as error:  # noqa: BLE001 - a bug in a driver must not take the connection down
        complain(f"{name}: {type(error).__name__}: {error}")
        return 500, service.errors(f"internal error: {type(error).__name__}: {error}")


# --- logging: the engine keeps both streams -------------------------------------------------------


def log(line: str) -> None:
    """A line for the plugin's log."""
    print(line.replace("\n", " "), flush=True)


def complain(line: str) -> None:
    """A line about something that went wrong."""
    print(line.replace("\n", " "), file=sys.stderr, flush=True)


def debugging() -> bool:
    """The DEBUG setting."""
    return os.environ.get("DEBUG", "0") not in ("", "0")


# Arguments that say what a call is about and are no secrets.
SHOWN = (
    "name", "id", "networkid", "endpointid", "addressspace", "poolid", "pool", "address", "file",
)  # fmt: skip


def log_call(service: Service, name: str, arguments: Arguments, outcome: str) -> None:
    """ "Mount called... name=v id=1f... ok". Options by name only: one is usually a password."""
    if name in service.quiet and not debugging():
        return
    words = [f"{key}={arguments[key]}" for key in SHOWN if arguments.get(key)]
    if debugging() and isinstance(arguments.get("opts"), dict):
        words.append("opts=" + ",".join(sorted(arguments["opts"])))
    log(" ".join([f"{name.rpartition('.')[2]} called...", *words, outcome]))


# --- the server -----------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open for as many requests as the engine likes."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not length.isdigit():
            return self.refuse(411, "Content-Length is missing")
        if int(length) > self.server.service.limit:
            return self.refuse(413, "the request is too large")
        body = self.rfile.read(int(length))
        status, answer = dispatch(self.server.service, self.path, body)
        return self.stream(answer) if callable(answer) else self.answer(status, answer)

    def do_GET(self) -> None:
        self.refuse(405, "every call is a POST")

    def refuse(self, status: int, message: str) -> None:
        """Answer what was not even read, and close: what follows cannot be understood."""
        self.answer(status, self.server.service.errors(message), close=True)
        self.linger()

    def linger(self) -> None:
        """Take what is on its way: closing before that would break the client's pipe before it has read the answer."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER)
            for _piece in range(LINGER_PIECES):
                if not self.rfile.read1(LINGER_PIECE):
                    return

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

    def stream(self, produce: Stream) -> None:
        """Send pieces as they come. A failure leaves the last chunk out, so it is noticed."""
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        try:
            with contextlib.closing(produce(self.connection)) as pieces:
                for piece in filter(None, pieces):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has seen enough
        except Exception as error:  # noqa: BLE001 - the status is sent already
            complain(f"{self.path}: {type(error).__name__}: {error}")

    def address_string(self) -> str:
        return "engine"  # a unix socket's peer has no address to print

    def log_message(self, format: str, *args: Any) -> None:
        pass  # dispatch logs, and says more


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread for each connection; they end with the process."""

    handler: type[Handler] = Handler
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, service: Service, path: Path) -> None:
        self.service = service
        path.unlink(missing_ok=True)  # left by a process that was killed
        super().__init__(str(path), self.handler)

    def start(self) -> None:
        """Serve from a thread of its own, which sleeps until a connection comes."""
        threading.Thread(target=self.serve_forever, args=(None,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening. Shutting the socket down is what wakes the sleeping thread."""
        waiter = threading.Thread(target=self.shutdown)
        waiter.start()
        self.socket.shutdown(socket.SHUT_RDWR)
        waiter.join()
        self.server_close()


ENDING = frozenset({signal.SIGTERM, signal.SIGINT})


def hold_signals() -> None:
    """Keep SIGTERM for `serve`. Before the first thread is started: threads inherit it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def serve(service: Service, path: Path, close: Callable[[], None] = lambda: None) -> None:
    """Answer calls until SIGTERM or SIGINT, then close the driver."""
    run_server(lambda: Server(service, path), path, close)


def run_server(make: Callable[[], Server], path: Path, close: Callable[[], None]) -> None:
    """The same for a server that is made in another way."""
    hold_signals()
    server = make()
    server.start()
    log(f"Listening on {path}")
    signal.sigwait(ENDING)
    path.unlink(missing_ok=True)
    server.stop()
    close()
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
