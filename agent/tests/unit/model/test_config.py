# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""config.json: names in any case, nulls everywhere, and the Engine API's spelling."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from plugind import errors
from plugind.model import config
from plugind.model.config import CapabilityID, PluginConfig

FULL: dict[str, Any] = {
    "description": "d",
    "documentation": "https://example.com",
    "entrypoint": ["/bin/x", "y"],
    "workdir": "/w",
    "user": {"uid": 1, "gid": 2},
    "interface": {
        "types": ["docker.volumedriver/1.0", "acme.co.logdriver/2.0"],
        "socket": "x.sock",
        "protocolScheme": "moby.plugins.http/v1",
    },
    "network": {"type": "host"},
    "ipchost": True,
    "pidhost": True,
    "propagatedMount": "/mnt",
    "mounts": [
        {
            "name": "m",
            "description": "md",
            "source": "/s",
            "destination": "/d",
            "type": "bind",
            "options": ["rbind"],
            "settable": ["source"],
        }
    ],
    "linux": {
        "capabilities": ["CAP_SYS_ADMIN"],
        "allowAllDevices": True,
        "devices": [{"name": "f", "description": "fd", "path": "/dev/fuse", "settable": ["path"]}],
    },
    "env": [{"name": "E", "description": "ed", "value": "1", "settable": ["value"]}],
    "args": {"name": "a", "description": "ad", "value": ["-v"], "settable": ["value"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
}


def parse(document: Any) -> PluginConfig:
    return config.parse_config(json.dumps(document).encode())


def upper(document: Any) -> Any:
    if isinstance(document, dict):
        return {key.upper(): upper(value) for key, value in document.items()}
    if isinstance(document, list):
        return [upper(value) for value in document]
    return document


def test_everything_has_a_name() -> None:
    parsed = parse(FULL)
    assert parsed.entrypoint == ("/bin/x", "y")
    assert (parsed.work_dir, parsed.uid, parsed.gid) == ("/w", 1, 2)
    assert (parsed.network_type, parsed.ipc_host, parsed.pid_host) == ("host", True, True)
    assert parsed.propagated_mount == "/mnt"
    assert parsed.allow_all_devices
    assert parsed.capabilities == ("CAP_SYS_ADMIN",)
    assert parsed.diff_ids == ("sha256:" + "0" * 64,)
    (mount,) = parsed.mounts
    assert (mount.name, mount.source, mount.destination) == ("m", "/s", "/d")
    assert (mount.type, mount.options, mount.settable) == ("bind", ("rbind",), ("source",))
    (device,) = parsed.devices
    assert (device.name, device.path, device.settable) == ("f", "/dev/fuse", ("path",))
    (env,) = parsed.env
    assert (env.name, env.value, env.settable) == ("E", "1", ("value",))
    assert (parsed.args.name, parsed.args.value) == ("a", ("-v",))


def test_keys_are_found_in_any_case() -> None:
    loud = parse(upper(FULL))
    assert loud.to_json() == parse(FULL).to_json()


def test_what_was_written_is_kept() -> None:
    document = {**FULL, "hooks": {"x": [1]}, "manifestVersion": "v0"}
    assert json.loads(parse(document).raw) == document


@pytest.mark.parametrize("key", sorted(set(FULL) - {"entrypoint"}))
def test_null_and_absence_are_the_same(key: str) -> None:
    absent = {name: value for name, value in FULL.items() if name != key}
    assert parse({**FULL, key: None}).to_json() == parse(absent).to_json()


def test_the_least_config_in_the_apis_spelling() -> None:
    shown = parse({"entrypoint": ["/x"]}).to_json()
    assert shown == {
        "Args": {"Description": "", "Name": "", "Settable": None, "Value": None},
        "Description": "",
        "Documentation": "",
        "Entrypoint": ["/x"],
        "Env": None,
        "Interface": {"Socket": "", "Types": None},
        "IpcHost": False,
        "Linux": {"AllowAllDevices": False, "Capabilities": None, "Devices": None},
        "Mounts": None,
        "Network": {"Type": ""},
        "PidHost": False,
        "PropagatedMount": "",
        "User": {},
        "WorkDir": "",
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    assert list(shown)[:-1] == sorted(list(shown)[:-1])


def test_the_full_config_in_the_apis_spelling() -> None:
    shown = parse(FULL).to_json()
    assert shown["User"] == {"UID": 1, "GID": 2}
    assert shown["Interface"] == {
        "ProtocolScheme": "moby.plugins.http/v1",
        "Socket": "x.sock",
        "Types": ["docker.volumedriver/1.0", "acme.co.logdriver/2.0"],
    }
    assert shown["Mounts"] == [
        {
            "Description": "md",
            "Destination": "/d",
            "Name": "m",
            "Options": ["rbind"],
            "Settable": ["source"],
            "Source": "/s",
            "Type": "bind",
        }
    ]
    assert shown["Linux"]["Devices"] == [
        {"Description": "fd", "Name": "f", "Path": "/dev/fuse", "Settable": ["path"]}
    ]
    assert shown["Env"] == [{"Description": "ed", "Name": "E", "Settable": ["value"], "Value": "1"}]


def test_rendering_and_parsing_agree() -> None:
    shown = parse(FULL).to_json()
    assert parse(shown).to_json() == shown


@pytest.mark.parametrize("value", ["", "/s"])
def test_an_empty_source_is_not_an_absent_one(value: str) -> None:
    assert parse({**FULL, "mounts": [{"source": value}]}).mounts[0].source == value
    assert parse({**FULL, "mounts": [{}]}).mounts[0].source is None


@pytest.mark.parametrize(
    ("text", "parts", "shown"),
    [
        ("docker.volumedriver/1.0", ("docker", "volumedriver", "1.0"), None),
        ("a.b.c/2", ("a.b", "c", "2"), None),
        ("docker.volumedriver", ("docker", "volumedriver", ""), "docker.volumedriver/"),
        ("odd/1", ("", "odd", "1"), ".odd/1"),
    ],
)
def test_interface_types(text: str, parts: tuple[str, ...], shown: str | None) -> None:
    parsed = CapabilityID.parse(text)
    assert (parsed.prefix, parsed.capability, parsed.version) == parts
    assert str(parsed) == (shown or text)


def test_what_a_plugin_serves_does_not_depend_on_the_version() -> None:
    interface = parse(FULL).interface
    assert interface.serves("volumedriver")
    assert not interface.serves("logdriver"), "only Docker's own"
    assert not parse({"entrypoint": ["/x"]}).interface.serves("volumedriver")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "invalid JSON"),
        (b"{", "invalid JSON"),
        (b"\xff\xff", "invalid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", r"\.: "),
        (b"{}", "entrypoint"),
        (b'{"entrypoint": []}', r"\.entrypoint: "),
        (b'{"entrypoint": ["/x"], "env": [{"name": 1}]}', r"\.env\[0\]\.name: "),
    ],
)
def test_what_cannot_be_parsed(raw: bytes, why: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=f"^failed to parse config: .*{why}"):
        config.parse_config(raw)


def real_configs() -> list[Path]:
    beside = Path(__file__).resolve().parents[4] / "../shared"
    directory = Path(os.environ.get("PLUGIND_SHARED", beside)) / "configs"
    return [path for path in sorted(directory.glob("*.json")) if "template" not in path.name]


@pytest.mark.parametrize("path", real_configs(), ids=lambda path: path.stem)
def test_real_configs(path: Path) -> None:
    parsed = config.parse_config(path.read_bytes())
    assert parsed.entrypoint
    assert parse(parsed.to_json()).to_json() == parsed.to_json()
    assert config.parse_config(parsed.raw.encode()) == parsed
