# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The protocol at a front: Activate, bodies, answers. The wire itself is in functional/test_front."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plugind import errors
from plugind.model import front, volume
from plugind.model.config import HTTP_V1, CapabilityID, Interface
from plugind.model.front import Reply


def interface(*types: str, scheme: str = "") -> Interface:
    return Interface(types=tuple(map(CapabilityID.parse, types)), protocol_scheme=scheme)


def reply(status: int, content: Any) -> Reply:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Reply(status=status, content=raw, content_type="")


def host(path: str) -> str:
    return "/host" + path


@pytest.mark.parametrize(
    ("types", "names"),
    [
        (["docker.volumedriver/1.0"], ["VolumeDriver"]),
        (["docker.volumedriver/1.1", "docker.volumedriver/1.0"], ["VolumeDriver"]),
        (["docker.networkdriver/1.0", "docker.ipamdriver/1.0"], ["NetworkDriver", "IpamDriver"]),
        (["docker.logdriver/1.0"], ["LogDriver"]),
        (["docker.authz/1.0"], ["authz"]),
        (["docker.metricscollector/1.0"], ["MetricsCollector"]),
        (["docker.secretprovider/1.0"], ["secretprovider"]),
        (["docker.portmapper/1.0", "acme.volumedriver/1.0"], []),
        ([], []),
    ],
)
def test_activate(types: list[str], names: list[str]) -> None:
    assert front.implements(interface(*types)) == names
    assert json.loads(front.activation(interface(*types)).content) == {"Implements": names}
    assert front.implements(Interface()) == []


def test_raw() -> None:
    assert not front.is_raw(interface("docker.volumedriver/1.0"))
    assert not front.is_raw(interface("docker.volumedriver/1.0", scheme=HTTP_V1))
    assert front.is_raw(interface("docker.volumedriver/1.0", scheme="other/v2"))
    assert front.is_raw(interface("docker.csinode/1.0"))
    assert front.is_raw(interface("docker.csicontroller/1.0", "docker.csinode/1.0"))


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        ("VolumeDriver.List", b"{}\n"),
        ("VolumeDriver.Capabilities", b"{}\n"),
        ("NetworkDriver.GetCapabilities", b""),
        ("IpamDriver.GetDefaultAddressSpaces", b""),
        ("LogDriver.Capabilities", b""),
        ("MetricsCollector.StartMetrics", b" \n"),
        ("Custom.Method", b" \n"),
    ],
)
def test_an_empty_body_without_arguments_is_what_dockerd_sends(method: str, sent: bytes) -> None:
    assert front.prepare(method, b" \n") == sent
    assert front.prepare(method, b"{}") == b"{}"


@pytest.mark.parametrize(
    "method",
    ["VolumeDriver.Create", "NetworkDriver.Join", "IpamDriver.RequestPool", "LogDriver.ReadLogs",
     "LogDriver.StartLogging", "AuthZPlugin.AuthZReq", "SecretProvider.GetSecret"],
)  # fmt: skip
def test_an_empty_body_where_arguments_are_due(method: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="the request has no body"):
        front.prepare(method, b"")


def test_arguments_of_a_volume() -> None:
    found = front.volume_arguments("VolumeDriver.Create", b'{"name": "v", "OPTS": {"a": 1}} x')
    assert (found.name, found.options, found.id) == ("v", {"a": "1"}, "")
    found = front.volume_arguments("VolumeDriver.Mount", b'{"Name": "v", "Opts": null, "ID": "i"}')
    assert (found.name, found.options, found.id) == ("v", None, "i")


@pytest.mark.parametrize(
    "body",
    [b"null", b"{}", b'{"Name": null}', b'{"Name": "a\\nb"}', b'{"Name": "v", "Opts": []}',
     b'{"Name": "' + b"n" * 256 + b'"}'],
)  # fmt: skip
def test_arguments_that_name_no_volume(body: bytes) -> None:
    with pytest.raises(errors.InvalidParameter):
        front.volume_arguments("VolumeDriver.Create", body)


@pytest.mark.parametrize(
    ("method", "answer", "document"),
    [
        ("Mount", {"Mountpoint": "/d/v"}, {"Mountpoint": "/host/d/v"}),
        ("Path", {"mountpoint": "/d/v", "Err": ""}, {"Mountpoint": "/host/d/v", "Err": ""}),
        ("Get", {"Volume": {"Name": "v", "mountPoint": "/d"}},
         {"Volume": {"Name": "v", "Mountpoint": "/host/d"}}),
        ("List", {"Volumes": [{"Name": "v", "Mountpoint": "/d"}, {"Name": "w"}]},
         {"Volumes": [{"Name": "v", "Mountpoint": "/host/d"}, {"Name": "w"}]}),
        ("List", {"Volumes": [1, None]}, {"Volumes": [1, None]}),
        ("List", {"Volumes": None}, {"Volumes": None}),
        ("Get", {"Volume": None}, {"Volume": None}),
        ("Path", {"Mountpoint": 5}, {"Mountpoint": ""}),
    ],
)  # fmt: skip
def test_mountpoints_are_rescoped(method: str, answer: Any, document: Any) -> None:
    got = front.normalise(f"VolumeDriver.{method}", reply(200, answer), host)
    assert json.loads(got.content) == document
    assert got.is_success


def test_an_answer_without_a_path_passes_as_it_is() -> None:
    given = reply(200, b'{ "Err":"" }')
    assert front.normalise("VolumeDriver.Create", given, host) is given


@pytest.mark.parametrize(
    ("method", "given", "status", "document"),
    [
        ("VolumeDriver.Get", reply(200, {"Err": "x"}), 500, {"Err": "x"}),
        ("VolumeDriver.Get", reply(200, {"ERR": "x"}), 500, {"Err": "x"}),
        ("VolumeDriver.Get", reply(409, {"Err": "x"}), 409, {"Err": "x"}),
        ("VolumeDriver.Get", reply(503, b"plain\n"), 503, {"Err": "plain"}),
        ("VolumeDriver.Get", reply(500, b""), 500, {"Err": "status 500"}),
        # No content may follow these, and a success they are not.
        ("VolumeDriver.Mount", reply(204, b""), 500, {"Err": "status 204"}),
        ("NetworkDriver.Join", reply(304, b""), 500, {"Err": "status 304"}),
        (
            "IpamDriver.RequestPool",
            reply(204, b""),
            500,
            {"Err": "status 204", "Error": "status 204"},
        ),
        ("IpamDriver.RequestPool", reply(200, {"Error": "x"}), 200, {"Err": "x", "Error": "x"}),
        ("IpamDriver.RequestPool", reply(200, {"Err": "x"}), 200, {"Err": "x", "Error": "x"}),
        ("IpamDriver.RequestPool", reply(500, b"x"), 500, {"Err": "x", "Error": "x"}),
        ("NetworkDriver.Join", reply(500, b"x"), 500, {"Err": "x"}),
        ("LogDriver.StartLogging", reply(400, b"bad\n"), 400, {"Err": "bad"}),
    ],
)
def test_errors(method: str, given: Reply, status: int, document: Any) -> None:
    got = front.normalise(method, given, host)
    assert (got.status, json.loads(got.content)) == (status, document)


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("NetworkDriver.Join", reply(200, {"Err": "x"})),
        ("NetworkDriver.GwAllocCheck", reply(404, b"404 page not found\n")),
        ("NetworkDriver.Join", reply(500, {"Err": "x"})),
        ("LogDriver.Capabilities", reply(404, b"nothing here")),
        ("AuthZPlugin.AuthZReq", reply(500, b"plain")),
        ("AuthZPlugin.AuthZReq", reply(200, {"Allow": False, "Err": "x"})),
        ("SecretProvider.GetSecret", reply(200, {"Value": "eA=="})),
        ("IpamDriver.RequestPool", reply(200, {"PoolID": "p", "Error": ""})),
        ("MetricsCollector.StartMetrics", reply(200, b"")),
    ],
)
def test_what_passes_unchanged(method: str, given: Reply) -> None:
    assert front.normalise(method, given, host) is given


@pytest.mark.parametrize(
    "method", ["VolumeDriver.Create?x=1", "VolumeDriver%2ECreate", "Volume Driver", "", "#"]
)
def test_a_target_that_is_no_method_is_refused(method: str) -> None:
    # Some plugins would take it for one, and nothing of it would be on record.
    with pytest.raises(errors.InvalidParameter, match="is no name of a method"):
        front.prepare(method, b"{}")


@pytest.mark.parametrize("content", [b"", b"ok", b"[]", b"\xff", b"[" * 100_000])
def test_success_that_is_no_object_is_an_error_of_a_volume_driver(content: bytes) -> None:
    got = front.normalise("VolumeDriver.Create", reply(200, content), host)
    assert got.status == 500
    assert "no JSON object" in json.loads(got.content)["Err"]


def test_a_volume_from_its_record() -> None:
    record = volume.Volume(name="v", driver="d", created_at="2026-01-02T03:04:05Z")
    assert json.loads(front.recorded_volume(record).content)["Volume"] == {
        "Name": "v",
        "Mountpoint": "",
        "CreatedAt": "2026-01-02T03:04:05Z",
    }
    unknown = json.loads(front.recorded_volume(volume.Volume(name="v", driver="d")).content)
    assert "CreatedAt" not in unknown["Volume"]


@pytest.mark.parametrize(
    ("method", "given", "status", "document"),
    [
        (
            "VolumeDriver.Mount",
            front.failure("VolumeDriver.Mount", "it is secret", 500),
            500,
            {"Err": "it is ***"},
        ),
        (
            "IpamDriver.X",
            front.failure("IpamDriver.X", "secret", 200),
            200,
            {"Err": "***", "Error": "***"},
        ),
        (
            "VolumeDriver.Get",
            front.document({"Err": "", "x": "secret"}),
            200,
            {"Err": "", "x": "secret"},
        ),
        ("AuthZPlugin.AuthZReq", front.document({"Err": "secret"}), 200, {"Err": "secret"}),
    ],
)
def test_errors_can_be_put_in_other_words(
    method: str, given: Reply, status: int, document: Any
) -> None:
    changed = front.with_words(method, given, lambda text: text.replace("secret", "***"))
    assert (changed.status, json.loads(changed.content)) == (status, document)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b'{"Name": "v"}', "v"),
        (b'{"name": "v"}', "v"),
        (b'{"Name": 7}', ""),
        (b"[]", ""),
        (b"no JSON", ""),
    ],
)
def test_the_volume_that_a_request_names(content: bytes, name: str) -> None:
    assert front.volume_name(content) == name


@pytest.mark.parametrize(
    ("document", "changed"),
    [
        (
            {"Volume": {"Name": "v", "Status": {"a": 1}}},
            {"Volume": {"Name": "v", "Status": {"of": "v"}}},
        ),
        (
            {"Volumes": [{"Name": "v", "status": 1}, {"Name": "w"}]},
            {"Volumes": [{"Name": "v", "status": {"of": "v"}}, {"Name": "w"}]},
        ),
    ],
)
def test_statuses_are_changed_where_they_are(document: Any, changed: Any) -> None:
    found = front.with_statuses(reply(200, document), lambda name, _status: {"of": name})
    assert json.loads(found.content) == changed


@pytest.mark.parametrize("content", [b"no JSON", b"[]", b'{"Volume": {"Name": "v", "Status": 1}}'])
def test_what_needs_no_change_is_passed_on_as_it_is(content: bytes) -> None:
    given = reply(200, content)
    assert front.with_statuses(given, lambda _name, status: status) is given


@pytest.mark.parametrize(
    ("content", "mountpoint"),
    [(b'{"Mountpoint": "/m"}', "/m"), (b'{"Mountpoint": null}', ""), (b"[]", ""), (b"", "")],
)
def test_the_mountpoint_in_an_answer(content: bytes, mountpoint: str) -> None:
    assert front.mountpoint_of(reply(200, content)) == mountpoint


def test_another_path_in_an_answer_leaves_the_rest_as_it_is() -> None:
    given = reply(200, {"Mountpoint": "/data/v", "Err": "", "More": 1})
    changed = json.loads(front.with_mountpoint(given, "/host/v").content)
    assert changed == {"Mountpoint": "/host/v", "Err": "", "More": 1}


def test_what_is_on_record_answers_for_a_driver_that_cannot() -> None:
    known = volume.Volume(name="v", driver="d", created_at="2026-01-02T03:04:05Z")
    shown = {"Name": "v", "Mountpoint": "", "CreatedAt": "2026-01-02T03:04:05Z"}
    one = json.loads(front.recorded_volume(known).content)
    every = json.loads(front.recorded_volumes([known]).content)
    assert (one, every) == ({"Volume": shown, "Err": ""}, {"Volumes": [shown], "Err": ""})
