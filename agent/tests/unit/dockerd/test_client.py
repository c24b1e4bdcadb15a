# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from fakes import unixhttp
from plugind import errors
from plugind.dockerd import client
from plugind.model import reference
from plugind.model.credentials import Credentials


@pytest.mark.parametrize(
    ("status", "category"),
    [
        (400, errors.InvalidParameter),
        (401, errors.Unauthorized),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (500, errors.System),
        (503, errors.Unavailable),
    ],
)
def test_the_engines_words_and_category(status: int, category: type[Exception]) -> None:
    response = requests.Response()
    response.status_code = status
    with pytest.raises(category, match=r"^cannot do it: its words$"):
        with client.mapped("do it"):
            raise docker.errors.APIError("outer", response=response, explanation="its words")


@pytest.mark.parametrize(
    "foreign", [docker.errors.DockerException("gone"), requests.ConnectionError("gone")]
)
def test_transport_errors_are_unavailable(foreign: Exception) -> None:
    with pytest.raises(errors.Unavailable, match="cannot do it: gone"), client.mapped("do it"):
        raise foreign


def test_no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(errors.System, match=r"pip install plugind\[docker\]"):
        client.open_client("unix:///none")


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable, match=r"docker\.sock: No such file or directory$"):
        client.open_client(f"unix://{tmp_path}/docker.sock")


def sent_auth(tmp_path: Path, credentials: Credentials | None) -> dict[str, Any] | None:
    answers = {
        ("GET", "/version"): (200, {"ApiVersion": "1.41"}),
        ("GET", "/v1.41/plugins/privileges"): (200, None),
    }
    with unixhttp.serve(tmp_path / "s", answers) as served:
        opened = client.open_client(f"unix://{tmp_path}/s")
        ref = reference.parse("r.example:5000/x:1")
        with client.authenticated(opened, ref, credentials):
            opened.plugin_privileges(str(ref))
        opened.close()
    header = served[-1].headers.get("X-Registry-Auth")
    decoded: dict[str, Any] | None = header and json.loads(base64.urlsafe_b64decode(header))
    return decoded


def test_credentials_of_the_declaration_are_sent(tmp_path: Path) -> None:
    sent = sent_auth(tmp_path, Credentials(username="me", password="p"))
    assert sent is not None
    assert (sent["username"], sent["password"]) == ("me", "p")
    assert sent["serveraddress"] == "r.example:5000"


def test_without_credentials_the_users_configuration_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = base64.b64encode(b"you:q").decode()
    config = {"auths": {"r.example:5000": {"auth": auth}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    sent = sent_auth(tmp_path, None)
    assert sent is not None
    assert sent["username"] == "you"


def test_an_error_in_a_stream_is_an_error() -> None:
    lines: list[dict[str, Any]] = []
    stream = iter([{"status": "a"}, {"errorDetail": {"message": "incorrect privileges"}}])
    with pytest.raises(errors.System, match="cannot pull: incorrect privileges"):
        client.consume(stream, lines.append, "pull")
    assert lines == [{"status": "a"}]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"error": "no space left", "errorDetail": {"message": "else"}}, "no space left"),
        ({"errorDetail": "in words"}, "in words"),
    ],
)
def test_an_error_in_an_odd_shape_is_one_too(line: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.System, match=f"cannot pull: {words}"):
        client.consume(iter([line]), print, "pull")


def test_what_is_no_line_of_progress_is_passed_over() -> None:
    lines: list[dict[str, Any]] = []
    client.consume(iter([None, ["x"], {"status": "a", "error": None}]), lines.append, "pull")
    assert lines == [{"status": "a", "error": None}]


def test_an_answer_that_is_no_object_is_shown() -> None:
    assert client.require_object({"a": 1}, "look") == {"a": 1}
    with pytest.raises(errors.System, match="cannot look: the engine answered 'None', not a JSON"):
        client.require_object(None, "look")


def test_an_engine_elsewhere_is_not_probed_for_a_socket() -> None:
    client.require_listener("tcp://192.0.2.1:2375")
