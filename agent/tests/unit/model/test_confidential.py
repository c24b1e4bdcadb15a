# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from dataclasses import replace
from typing import Any

from fakes.world import offer, plugin, volume
from plugind.model import confidential, desired, observed
from plugind.model.observed import Observation
from plugind.model.secrets import MASK

DECLARED = desired.parse_declaration(
    {
        "plugins": [
            {
                "name": "x",
                "settings": {
                    "env": {"PASSWORD": "pw-plain", "DEBUG": "1", "NAMED": "nn-plain"},
                    "args": "--key=kk-plain",
                },
                "secret_settings": ["NAMED"],
                "credentials": {"username": "u", "password": "cc-plain"},
            },
            {"name": "new", "source": "x:1", "settings": {"env": {"LABELLED": "ll-plain"}}},
        ],
        "volumes": [
            {
                "name": "v",
                "driver": "x",
                "options": {
                    "token": "tt-plain",
                    "host": "h",
                    "sesame": "ss-plain",
                    "own": "oo-plain",
                },
                "secret_options": ["own"],
            }
        ],
    }
)


def look(**changes: Any) -> tuple[observed.Observed, tuple[dict[str, Any], ...]]:
    documents = ({**plugin(env=("PASSWORD=is-set",)), "SecretOptions": ["sesame"], **changes},)
    known = offer()
    assert known.config is not None
    labelled = replace(known, config=replace(known.config, secret_settings=frozenset({"LABELLED"})))
    world = observed.read(Observation(plugins=documents, volumes=(volume(),)))
    return replace(world, offers={"new:latest": labelled}), documents


def test_names_of_secrets_by_resource() -> None:
    world, _ = look()
    assert confidential.name_secrets(DECLARED, world, {}) == {
        "plugin/x:latest": ("NAMED", "PASSWORD", "args"),
        "plugin/new:latest": ("LABELLED",),
        "volume/v": ("own", "sesame", "token"),
    }


def test_what_was_installed_meanwhile_names_more() -> None:
    world, _ = look()
    found: dict[str, Any] = {
        "plugin/x:latest": {"SecretSettings": ["DEBUG"], "SecretOptions": ["host"]}
    }
    names = confidential.name_secrets(DECLARED, world, found)
    assert "DEBUG" in names["plugin/x:latest"]
    assert "host" in names["volume/v"]


def test_documents_are_masked_by_those_names() -> None:
    world, _ = look()
    documents = {
        "plugin/x:latest": plugin(env=("NAMED=nn-plain",)),
        "volume/v": volume(Options={"own": "oo-plain", "host": "h", "o": "a=1,password=x"}),
        "volume/other": volume("other", Options={"own": "1", "token": "x"}),
    }
    shown = confidential.mask_documents(DECLARED, world, documents)
    assert shown["plugin/x:latest"]["Settings"]["Env"][0] == f"NAMED={MASK}"
    # A value with a secret in it is not hidden as a whole.
    options = {"own": MASK, "host": "h", "o": f"a=1,password={MASK}"}
    assert shown["volume/v"]["Options"] == options
    assert shown["volume/other"]["Options"] == {"own": "1", "token": MASK}


def test_texts_are_redacted_of_everything_declared_or_set() -> None:
    world, documents = look()
    redact = confidential.redactor(DECLARED, world, documents)
    for secret in ("pw", "nn", "kk", "cc", "ll", "tt", "ss", "oo"):
        assert redact(f"it was {secret}-plain") == f"it was {MASK}"
    assert redact("is-set key=other host") == f"{MASK} key={MASK} host"


def test_a_probe_volume_s_options_are_as_secret_as_a_volume_s() -> None:
    options = {"token": "tt-plain", "host": "h", "sesame": "ss-plain", "own": "oo-plain"}
    declared = desired.parse_declaration(
        {
            "plugins": [
                {
                    "name": "x",
                    "verify": {"volume": {"options": options}},
                    "secret_settings": ["own"],
                },
                {"name": "new", "source": "x:1", "verify": True},
            ]
        }
    )
    world, documents = look()
    assert confidential.name_secrets(declared, world, {}) == {
        "plugin/x:latest": ("own", "sesame", "token")
    }
    found = {"plugin/x:latest": {"SecretOptions": ["host"]}}
    assert "host" in confidential.name_secrets(declared, world, found)["plugin/x:latest"]
    redact = confidential.redactor(declared, world, documents)
    assert redact("tt-plain ss-plain oo-plain h") == f"{MASK} {MASK} {MASK} h"
