# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A declaration of what there is: nothing lost, no secret, no template."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.plugind.engine.plugins.filter.to_declaration import to_declaration
from ansible_collections.plugind.engine.plugins.plugin_utils import _export

MASK = "********"
PLUGIN = {
    "Name": "sshfs:latest",
    "Enabled": True,
    "PluginReference": "registry.example.com/sshfs:3",
    "Config": {
        "Network": {"Type": "host"},
        "PidHost": True,
        "Mounts": [{"Name": "data", "Source": "/srv", "Settable": ["source"]},
                   {"Name": "fixed", "Source": "/sys", "Settable": None}],
        "Linux": {"Capabilities": ["CAP_SYS_ADMIN"], "AllowAllDevices": False,
                  "Devices": [{"Name": "fuse", "Path": "/dev/fuse", "Settable": ["path"]}]},
        "Env": [{"Name": "DEBUG", "Value": "0", "Settable": ["value"]},
                {"Name": "SAME", "Value": "x", "Settable": ["value"]},
                {"Name": "FIXED", "Value": "y", "Settable": None},
                {"Name": "TOKEN", "Value": "", "Settable": ["value"]}],
        "Args": {"Name": "args", "Value": [], "Settable": ["value"]},
    },
    "Settings": {
        "Env": ["DEBUG=1", "SAME=x", "FIXED=z", f"TOKEN={MASK}"],
        "Args": ["--level=2", f"--key={MASK}"],
        "Devices": [{"Name": "fuse", "Path": "/dev/fuse1", "Settable": ["path"]}],
    },
}  # fmt: skip


def templated(text: str) -> Any:
    """What Ansible makes of a text in a file of variables."""
    variables = {"plugind_secret_volume_v_o": "given"}
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(text))


def test_a_plugin() -> None:
    declared = to_declaration({"plugins": [PLUGIN]})
    assert declared["plugins"] == [{
        "name": "sshfs:latest",
        "source": "registry.example.com/sshfs:3",
        "state": "enabled",
        "grant": {"network": ["host"], "host pid namespace": True, "mount": ["/srv", "/sys"],
                  "device": ["/dev/fuse"], "capabilities": ["CAP_SYS_ADMIN"]},
        "settings": {
            "env": {"DEBUG": "1", "TOKEN": "{{ plugind_secret_plugin_sshfs_latest_token }}"},
            "args": ["--level=2", "--key={{ plugind_secret_plugin_sshfs_latest_args }}"],
            "mounts": {"data": "/srv"},
            "devices": {"fuse": "/dev/fuse1"},
        },
    }]  # fmt: skip
    assert declared["secrets"] == {
        "plugind_secret_plugin_sshfs_latest_token": "plugin sshfs:latest, TOKEN",
        "plugind_secret_plugin_sshfs_latest_args": "plugin sshfs:latest, args",
    }


def test_volumes_and_mounts() -> None:
    volumes = [
        {"Name": "plain", "Driver": "local", "Options": None, "Labels": None},
        {
            "Name": "v",
            "Driver": "sshfs:latest",
            "Options": {"o": f"a={MASK},b={MASK}", "pin": MASK},
        },
        {"Name": "0123", "Driver": "local", "Labels": {"com.docker.volume.anonymous": ""}},
    ]
    mounts = [{"Path": "/srv/v", "Volume": "v", "ReadOnly": True, "Propagation": "rprivate"}]
    declared = to_declaration({"plugins": []}, {"volumes": volumes, "mounts": mounts})
    assert declared["volumes"] == [
        {"name": "plain"},
        {
            "name": "v",
            "driver": "sshfs:latest",
            "options": {
                "o": "a={{ plugind_secret_volume_v_o }},b={{ plugind_secret_volume_v_o_2 }}",
                "pin": "{{ plugind_secret_volume_v_pin }}",
            },
            "secret_options": ["pin"],
        },
    ]
    assert declared["mounts"] == [{"path": "/srv/v", "volume": "v", "read_only": True}]


@pytest.mark.parametrize(
    "text",
    ["{{ lookup('pipe', 'id') }}", "{% for x in y %}", "{# x #}", "'\\{{\r\n}}\t\"", "\u00e9{{\U0001f600",
     "x{{ '\\x7b' }}", "plain", "{", "}}"],
)  # fmt: skip
def test_a_text_stays_what_it_is(text: str) -> None:
    assert templated(_export.inert(text)) == text


@pytest.mark.parametrize("around", ["{", "}", "{{ evil }}", "{%", "'}}"])
def test_a_text_around_a_secret_stays_what_it_is(around: str) -> None:
    secrets = _export._Secrets()
    written = secrets.replace(f"{around}{MASK}{around}", "volume v", "o")
    assert templated(written) == f"{around}given{around}"


def test_a_failed_result_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="want a result with volumes"):
        to_declaration({"plugins": []}, {"failed": True})
