# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The protocol and the server, with a driver that only writes down what it is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import volumeplugin
from volumeplugin import DriverError, dispatch


class Notes:
    """A driver that notes its calls, and fails for the volume "bad"."""

    scope = "local"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def note(self, *call: Any) -> None:
        self.calls.append(call)
        if "bad" in call:
            raise DriverError("it is bad")
        if "bug" in call:
            raise ZeroDivisionError("oops")

    def create(self, name: str, options: dict[str, str]) -> None:
        self.note("create", name, options)

    def get(self, name: str) -> dict[str, Any]:
        self.note("get", name)
        return {"Name": name}

    def list(self) -> list[dict[str, Any]]:
        self.note("list")
        return [{"Name": "a"}]

    def path(self, name: str) -> str:
        self.note("path", name)
        return f"/data/{name}"

    def remove(self, name: str) -> None:
        self.note("remove", name)

    def mount(self, name: str, mount_id: str) -> str:
        self.note("mount", name, mount_id)
        return f"/data/{name}"

    def unmount(self, name: str, mount_id: str) -> None:
        self.note("unmount", name, mount_id)

    def close(self) -> None:
        self.note("close")


OK = {"Err": ""}


@pytest.mark.parametrize(
    ("method", "body", "answer", "call"),
    [
        ("Create", b'{"Name":"v","Opts":{"a":"b"}}', OK, ("create", "v", {"a": "b"})),
        ("Create", b'{"Name":"v","Opts":null}\n', OK, ("create", "v", {})),
        ("Create", b'{"Name":"v"}', OK, ("create", "v", {})),
        ("Create", b'{"name":"v","OPTS":{}}', OK, ("create", "v", {})),
        ("Get", b'{"Name":"v"}', {"Volume": {"Name": "v"}, **OK}, ("get", "v")),
        ("List", b"", {"Volumes": [{"Name": "a"}], **OK}, ("list",)),
        ("List", b"{}\n", {"Volumes": [{"Name": "a"}], **OK}, ("list",)),
        ("List", b"null", {"Volumes": [{"Name": "a"}], **OK}, ("list",)),
        ("Path", b'{"Name":"v"}', {"Mountpoint": "/data/v", **OK}, ("path", "v")),
        ("Remove", b'{"Name":"v"}', OK, ("remove", "v")),
        ("Mount", b'{"Name":"v","ID":"1"}', {"Mountpoint": "/data/v", **OK}, ("mount", "v", "1")),
        ("Unmount", b'{"Name":"v","ID":"1"}', OK, ("unmount", "v", "1")),
    ],
)
def test_each_method_reaches_the_driver(
    method: str, body: bytes, answer: dict[str, Any], call: tuple[Any, ...]
) -> None:
    driver = Notes()
    assert dispatch(driver, f"/VolumeDriver.{method}", body) == (200, answer)
    assert driver.calls == [call]


def test_activate_and_capabilities_need_no_driver() -> None:
    driver = Notes()
    assert dispatch(driver, "/Plugin.Activate", b"")[1]["Implements"] == ["VolumeDriver"]
    scope = dispatch(driver, "/VolumeDriver.Capabilities", b"{}")[1]["Capabilities"]
    assert scope == {"Scope": "local"}
    assert driver.calls == []


@pytest.mark.parametrize("method", ["Create", "Get", "Path", "Remove", "Mount", "Unmount"])
@pytest.mark.parametrize("body", [b"", b"\n", b"{}", b'{"Name":""}', b'{"Name":7}'])
def test_without_a_name_the_driver_is_not_asked(method: str, body: bytes) -> None:
    driver = Notes()
    status, document = dispatch(driver, f"/VolumeDriver.{method}", body)
    assert (status, document["Err"]) == (400, "cannot read the request: Name is missing")
    assert driver.calls == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"Name":"v","Opts":{"a":1}}', "Opts is not an object of strings"),
        (b'{"Name":"v","Opts":["a"]}', "Opts is not an object of strings"),
    ],
)
def test_bad_requests(body: bytes, error: str) -> None:
    status, document = dispatch(Notes(), "/VolumeDriver.Create", body)
    assert (status, document["Err"]) == (400, f"cannot read the request: {error}")


def test_a_mount_without_an_id_is_refused() -> None:
    status, document = dispatch(Notes(), "/VolumeDriver.Mount", b'{"Name":"v"}')
    assert (status, document["Err"]) == (400, "cannot read the request: ID is missing")


def test_errors_have_a_status_and_a_text() -> None:
    assert dispatch(Notes(), "/VolumeDriver.Get", b'{"Name":"bad"}') == (500, {"Err": "it is bad"})
    status, document = dispatch(Notes(), "/VolumeDriver.Get", b'{"Name":"bug"}')
    assert (status, document["Err"]) == (500, "internal error: ZeroDivisionError: oops")
    status, document = dispatch(Notes(), "/VolumeDriver.Snapshot", b"{}")
    assert (status, document["Err"]) == (404, "VolumeDriver.Snapshot is not implemented")


def test_the_log_names_the_call_and_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"Name":"v","Opts":{"password":"hunter2"}}'
    dispatch(Notes(), "/VolumeDriver.Create", body)
    dispatch(Notes(), "/VolumeDriver.List", b"")
    assert capsys.readouterr().out == "Create called... name=v ok\n"
    monkeypatch.setenv("DEBUG", "1")
    dispatch(Notes(), "/VolumeDriver.Create", body)
    dispatch(Notes(), "/VolumeDriver.List", b"")
    assert (
        capsys.readouterr().out == "Create called... name=v opts=password ok\nList called... ok\n"
    )


def test_a_name_cannot_forge_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    dispatch(Notes(), "/VolumeDriver.Get", json.dumps({"Name": "v\nMount called..."}).encode())
    assert capsys.readouterr().out.count("\n") == 1


def test_a_connection_is_kept_after_answers_of_all_kinds(serving, ask) -> None:
    connection = serving(Notes())
    assert ask(connection, "Get", Name="v")[0] == 200
    socket = connection.sock
    for method, arguments, status in [
        ("Get", {"Name": "bad"}, 500),
        ("Get", {}, 400),
        ("Nonsense", {}, 404),
        ("Mount", {"Name": "v", "ID": "1"}, 200),
    ]:
        assert ask(connection, method, **arguments)[0] == status
    assert connection.sock is socket


def test_headers_do_not_matter(serving) -> None:
    connection = serving(Notes())
    connection.putrequest("POST", "/VolumeDriver.Get", skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", "")
    connection.putheader("Content-Length", "13")
    connection.endheaders(b'{"Name": "v"}')
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("Content-Type") == "application/vnd.docker.plugins.v1.1+json"
    assert json.loads(response.read())["Volume"] == {"Name": "v"}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 405),
        ("POST", {"Transfer-Encoding": "chunked"}, 411),
        ("POST", {"Content-Length": "many"}, 411),
        ("POST", {"Content-Length": str(volumeplugin.LIMIT + 1)}, 413),
    ],
)
def test_requests_that_are_not_read(
    serving, method: str, headers: dict[str, str], status: int
) -> None:
    connection = serving(Notes())
    connection.putrequest(method, "/VolumeDriver.List")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == status
    assert json.loads(response.read())["Err"]
    assert response.getheader("Connection") == "close"


def test_a_socket_left_behind_is_replaced(short, serving, ask) -> None:
    (short / "0.sock").touch()
    assert ask(serving(Notes()), "List")[0] == 200


REAPING = """
import os, sys
sys.path.insert(0, sys.argv[1])
import volumeplugin
stranger = os.posix_spawn("/bin/true", ["true"], {})
child = os.posix_spawn("/bin/sh", ["sh", "-c", sys.argv[2]], {})
for pid in (stranger, child):
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(volumeplugin.reap(child), volumeplugin.reap(child))
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("all collected")
"""


@pytest.mark.parametrize(
    ("end", "status"), [("exit 7", 7), ("exit 0", 0), ("kill -KILL $$", 128 + 9)]
)
def test_init_collects_orphans_and_knows_its_child(end: str, status: int) -> None:
    # In a process of its own: "every child that has ended" would take those of other tests too.
    argv = [sys.executable, "-c", REAPING, str(Path(volumeplugin.__file__).parent), end]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == f"{status} None\nall collected\n"
