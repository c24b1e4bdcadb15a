# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from typing import Any

import pytest

from fakes import world
from plugind import errors
from plugind.model import desired, masking, observed
from plugind.model.plans import settings as plan_settings
from plugind.model.secrets import DEFAULT

CONFIG = observed.read_config(world.CONFIG)
SETTINGS = (
    observed.read(observed.Observation(plugins=(world.plugin(),))).plugins["x:latest"].settings
)


def wanted(**settings: Any) -> desired.DesiredSettings:
    document = {"plugins": [{"name": "x", "settings": settings}]}
    return desired.parse_declaration(document).plugins[0].settings


def arguments(**settings: Any) -> tuple[str, ...]:
    return plan_settings.require_changes(CONFIG, SETTINGS, wanted(**settings))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"env": {"DEBUG": 0}}, ()),
        ({"env": {"DEBUG": 1}}, ("DEBUG.value=1",)),
        ({"env": {"DEBUG": ""}}, ("DEBUG.value=",)),
        ({"env": {"DEBUG": None}}, ()),
        ({"env": {"PASSWORD": ""}}, ("PASSWORD.value=",)),
        ({"env": {"linode.token": "a=b"}}, ("linode.token.value=a=b",)),
        ({"env": {"FIXED": 1}}, ()),
        ({"args": "--a"}, ()),
        ({"args": ["--b", "c"]}, ("args.value=--b c",)),
        ({"args": []}, ("args.value=",)),
        ({"mounts": {"data": "/srv"}}, ()),
        ({"mounts": {"data": "/opt"}}, ("data.source=/opt",)),
        ({"devices": {"dev": "/dev/null"}}, ("dev.path=/dev/null",)),
    ],
)
def test_only_what_differs_is_set(settings: Any, expected: tuple[str, ...]) -> None:
    assert arguments(**settings) == expected


def test_everything_that_cannot_be_set_is_said() -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        arguments(env={"FIXED": 2, "NONE": 1, "data": "x"}, mounts={"none": "/"})
    text = str(caught.value)
    for name in ("FIXED", "NONE", "data", "none"):
        assert f'"{name}' in text


def test_arguments_without_a_name_cannot_be_set() -> None:
    config = observed.read_config({**world.CONFIG, "Args": {"Value": ["--a"]}})
    _, problems = plan_settings.compute_changes(config, SETTINGS, wanted(args="--b"))
    assert problems == ("the plugin's arguments have no name, so they cannot be set",)
    assert plan_settings.compute_changes(config, SETTINGS, wanted(args="--a")) == ((), ())


def test_only_managed_settings_are_shown() -> None:
    managed = wanted(env={"DEBUG": 1, "PASSWORD": "x"}, mounts={"data": "/opt"})
    shown = {"env": {"DEBUG": "0", "PASSWORD": None}, "mounts": {"data": "/srv"}}
    assert plan_settings.show(SETTINGS, managed, DEFAULT) == shown
    assert plan_settings.show(None, managed, DEFAULT) == {}
    assert plan_settings.show(SETTINGS, wanted(), DEFAULT) == {}


def test_a_new_secret_shows_that_it_is_new_and_nothing_else() -> None:
    managed = wanted(env={"PASSWORD": "new"}, args="--key=new")
    before = {"env": {"PASSWORD": masking.MASK}, "args": [f"--key={masking.MASK}"]}
    changes, _ = plan_settings.compute_changes(CONFIG, SETTINGS, managed)
    after = plan_settings.show_wanted(managed, before, changes, DEFAULT)
    assert after["env"] == {"PASSWORD": f"{masking.MASK} (changed)"}
    assert after["args"] == [f"--key={masking.MASK}", "(changed)"]
    assert plan_settings.show_wanted(managed, before, (), DEFAULT) == before
    assert "new" not in repr(changes)


def test_what_is_set_to_what_it_was_is_not_marked() -> None:
    managed = wanted(env={"DEBUG": "5"})
    changes, _ = plan_settings.compute_changes(CONFIG, SETTINGS, managed)
    after = plan_settings.show_wanted(managed, {"env": {"DEBUG": "5"}}, changes, DEFAULT)
    assert after == {"env": {"DEBUG": "5"}}


def test_a_place_that_an_upgrade_may_keep_is_unknown() -> None:
    moved = world.plugin()
    places = {"Mounts": [{**world.CONFIG["Mounts"][0], "Source": "/opt"}]}
    # As an engine shows it: the present place is in Config, too.
    moved["Config"] = {**moved["Config"], **places}
    moved["Settings"] = {**moved["Settings"], **places}
    have = observed.read(observed.Observation(plugins=(moved,))).plugins["x:latest"]
    merged = plan_settings.merge(have.config, have.settings, CONFIG)
    assert [mount.source for mount in merged.mounts] == [None]
    assert [device.path for device in merged.devices] == ["/dev/fuse"]
    for place in ("/srv", "/opt"):
        changes, problems = plan_settings.compute_changes(
            CONFIG, merged, wanted(mounts={"data": place})
        )
        assert [change.argument for change in changes] == [f"data.source={place}"]
        assert problems == ()
    fixed = {**world.CONFIG, "Mounts": [{**world.CONFIG["Mounts"][0], "Settable": None}]}
    settled = plan_settings.merge(have.config, have.settings, observed.read_config(fixed))
    assert [mount.source for mount in settled.mounts] == ["/srv"]
