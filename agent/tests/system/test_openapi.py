# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Schemathesis on a running agent: whatever the document allows, and much that it does not.

No request is answered 500, no status is one that the document does not have, and every answer is
what its schema says. What a request is about exists, more often than not: a plugin, a volume, a
container, an image, a host mount, made anew when a request before has removed them.
"""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from docker.transport import UnixHTTPAdapter
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from plugind.ctl import http
from support import daemon, image, namespace, openapi

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]

EXAMPLES = 60
SECONDS = 30
DOCUMENT = openapi.load()
OPERATIONS = openapi.operations(DOCUMENT)
SCHEMA = schemathesis.openapi.from_path(str(openapi.PATH))
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
#: What would last for ever otherwise; the streams themselves have tests of their own.
ENDS: dict[str, dict[str, str]] = {
    "/events": {"since": "0", "until": "1"},
    "/containers/{name}/logs": {"follow": "0"},
    "/containers/{name}/attach": {"stream": "0", "stdin": "0"},
    "/containers/{name}/wait": {"condition": "not-running"},
    "/containers/{name}/stop": {"t": "0"},
    "/containers/{name}/restart": {"t": "0"},
    "/plugind/plugins/{name}/logs": {"follow": "0"},
}
PLUGIN, VOLUME, CONTAINER = "localdir:latest", "photos", "box"
IMAGE = "busybox:latest"
TAR = "application/x-tar"


@schemathesis.serializer(TAR)
def send_bytes(_: Any, value: Any) -> bytes:
    """Send a body as it is; what should be a tar may be anything."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@dataclass
class Lab:
    """An agent, and how to bring back what requests take away."""

    agent: daemon.Agent
    plugin: bytes
    image: bytes
    place: Path

    def restore(self) -> None:
        """Have an enabled plugin, a volume of it, an image, a container and a host mount."""
        if not self._shown(f"/plugins/{PLUGIN}/json"):
            self._send(f"/plugins/create?name={PLUGIN}", self.plugin)
        if not self.agent.plugin(PLUGIN)["Enabled"]:
            self.agent.request("POST", f"/plugins/{PLUGIN}/enable?timeout=30")
        if not self._shown(f"/volumes/{VOLUME}"):
            self.agent.request("POST", "/volumes/create", {"Name": VOLUME, "Driver": PLUGIN})
        if not self._shown(f"/images/{IMAGE}/json"):
            self._send("/images/load", self.image)
        if not self._shown(f"/containers/{CONTAINER}/json"):
            body = {"Image": IMAGE, "Cmd": ["true"]}
            self.agent.request("POST", f"/containers/create?name={CONTAINER}", body)
        body = {"Path": str(self.place), "Volume": VOLUME}
        self.agent.request("POST", "/plugind/mounts", body)

    def _shown(self, path: str) -> bool:
        try:
            return bool(self.agent.request("GET", path))
        except http.Refused:
            return False

    def _send(self, path: str, body: bytes) -> None:
        with contextlib.closing(http.connect(self.agent.url)) as connection:
            with http.open_body(connection, "POST", path, TAR) as sink:
                sink.write(body)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One agent for all; what it mounts, and whom it could ask, is not this machine's."""
    if image.REASON:
        pytest.skip(image.REASON)
    directory = tmp_path_factory.mktemp("openapi")
    built = daemon.build_plugin("localdir", directory / "plugin")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("config.json", "rootfs"):
            tar.add(built / name, name)
    raw, layers = image.busybox()
    with namespace.private({}, "--net") as prefix:
        with daemon.run(directory / "d", {"enable-timeout": "5"}, prefix) as agent:
            yield Lab(agent, packed.getvalue(), image.archive(IMAGE, raw, layers), directory / "m")
            assert "Traceback" not in agent.log()


@pytest.fixture(scope="module")
def session(lab: Lab) -> Iterator[requests.Session]:
    """HTTP over the agent's socket."""
    with requests.Session() as opened:
        opened.trust_env = False  # no proxy is in between
        opened.mount("http://", UnixHTTPAdapter(f"http+unix://{lab.agent.socket}"))
        yield opened


@pytest.mark.parametrize("key", sorted(OPERATIONS), ids=" ".join)
def test_no_request_is_answered_500(
    lab: Lab, session: requests.Session, key: tuple[str, str]
) -> None:
    method, path = key
    operation = SCHEMA[path][method]
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in MODES))

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, known=st.booleans())
    def ask(case: schemathesis.Case, known: bool) -> None:
        lab.restore()
        _aim(case, lab, path, known=known)
        response = case.call(base_url="http://localhost", session=session, timeout=SECONDS)
        _check(case, response, OPERATIONS[key])

    ask()


def _aim(case: schemathesis.Case, lab: Lab, path: str, *, known: bool) -> None:
    """Point a request at what is there if that is wanted, and let it end."""
    query = dict(case.query or {})
    query.update(ENDS.get(path, {}))
    if known:
        if case.path_parameters:
            case.path_parameters = {"name": _known(path, lab)}
        if case.media_type == TAR:
            case.body = lab.image if path.startswith("/images") else lab.plugin
    case.query = query
    if path in ("/plugind/mounts", "/plugind/apply"):
        case.body = _keep_below(case.body, lab.place)


def _known(path: str, lab: Lab) -> str:
    kind = path.removeprefix("/plugind").split("/")[1]
    names = {
        "plugins": PLUGIN,
        "volumes": VOLUME,
        "containers": CONTAINER,
        "images": IMAGE,
        "mounts": quote(str(lab.place), safe=""),
    }
    return names.get(kind, "busybox")


def _keep_below(body: Any, place: Path) -> Any:
    """Let no directory of this machine be made: paths of mounts lie below `place`."""
    if isinstance(body, list):
        return [_keep_below(item, place) for item in body]
    if not isinstance(body, dict):
        return body
    return {
        key: f"{place}{value}"
        if key.lower() == "path" and isinstance(value, str) and value.startswith("/")
        else _keep_below(value, place)
        for key, value in body.items()
    }


def _check(case: schemathesis.Case, response: requests.Response, operation: dict[str, Any]) -> None:
    """Hold the answer against the document."""
    assert response.status_code != 500, response.text
    checks = [status_code_conformance, content_type_conformance]
    answer = openapi.resolve(DOCUMENT, operation["responses"].get(str(response.status_code), {}))
    content = answer.get("content", {}).get("application/json", {})
    if "x-item-schema" in content:
        check = openapi.validator(DOCUMENT, content["x-item-schema"])
        for line in response.content.splitlines():
            check.validate(json.loads(line))
    else:
        checks.append(response_schema_conformance)
    case.validate_response(response, checks=checks)
