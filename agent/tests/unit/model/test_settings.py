# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Settings: what `set` means, and what an upgrade keeps."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind import errors
from plugind.model import settings
from plugind.model.config import PluginArgs, PluginConfig, PluginDevice, PluginEnv, PluginMount
from plugind.model.secrets import DEFAULT as DEFAULT_POLICY
from plugind.model.settings import Assignment, Settings

VALUE, SOURCE, PATH = ("value",), ("source",), ("path",)
CONFIG = PluginConfig(
    entrypoint=("/x",),
    env=(
        PluginEnv(name="DEBUG", value="0", settable=VALUE),
        PluginEnv(name="TOKEN", settable=VALUE),
        PluginEnv(name="FIXED", value="1"),
        PluginEnv(name="TWO", value="1", settable=("value", "name")),
        PluginEnv(name="linode.token", value="", settable=VALUE),
        PluginEnv(name="WRONG", value="1", settable=("name",)),
    ),
    mounts=(
        PluginMount(source="/unnamed1"),
        PluginMount(source="/unnamed2"),
        PluginMount(name="state", source="/s", destination="/d", settable=SOURCE),
        PluginMount(name="none", settable=SOURCE),
        PluginMount(name="fixed", source="/f"),
    ),
    devices=(
        PluginDevice(name="fuse", path="/dev/fuse", settable=PATH),
        PluginDevice(name="nodev", settable=PATH),
    ),
    args=PluginArgs(name="args", value=("-a",), settable=VALUE),
)
DEFAULT = settings.default_settings(CONFIG)


def change(*arguments: str, config: PluginConfig = CONFIG) -> Settings:
    return settings.apply_assignments(config, settings.default_settings(config), arguments)


def test_defaults() -> None:
    assert DEFAULT.env == ("DEBUG=0", "FIXED=1", "TWO=1", "linode.token=", "WRONG=1")
    assert DEFAULT.args == ("-a",)
    assert DEFAULT.mounts == CONFIG.mounts
    assert DEFAULT.devices == CONFIG.devices
    assert settings.default_settings(PluginConfig()) == Settings()


def test_lists_are_never_null_in_the_api() -> None:
    assert Settings().to_json() == {"Args": [], "Devices": [], "Env": [], "Mounts": []}
    shown = DEFAULT.to_json()
    assert shown["Env"] == list(DEFAULT.env)
    assert shown["Mounts"][2]["Source"] == "/s"
    assert shown["Devices"][0]["Path"] == "/dev/fuse"


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("A=1", "A", "1"),
        ("A=1=2", "A", "1=2"),
        ("A", "A", ""),
        ("A=", "A", ""),
        ("A.b=c.d", "A.b", "c.d"),
    ],
)
def test_assignments_split_at_the_first_equals_sign(text: str, name: str, value: str) -> None:
    assert settings.parse_assignment(text) == Assignment(name=name, field="", value=value)


@pytest.mark.parametrize("text", ["", "=", "=x"])
def test_an_assignment_has_a_name(text: str) -> None:
    with pytest.raises(
        errors.InvalidParameter, match=r"invalid format, must be <name>\[\.<field>\]\[=<value>\]"
    ):
        settings.parse_assignment(text)


@pytest.mark.parametrize(
    ("argument", "env"),
    [
        ("DEBUG=1", "DEBUG=1"),
        ("DEBUG.value=1", "DEBUG=1"),
        ("DEBUG", "DEBUG="),
        ("TOKEN=a=b c", "TOKEN=a=b c"),
        ("TWO.value=2", "TWO=2"),
        ("linode.token=t", "linode.token=t"),
        ("linode.token.value=t", "linode.token=t"),
    ],
)
def test_variables(argument: str, env: str) -> None:
    changed = change(argument)
    assert env in changed.env
    name = env.partition("=")[0]
    assert [entry.partition("=")[0] for entry in changed.env].count(name) == 1
    assert dataclasses.replace(changed, env=DEFAULT.env) == DEFAULT


def test_a_variable_keeps_its_place_and_a_new_one_is_last() -> None:
    assert change("DEBUG=1").env[0] == "DEBUG=1"
    assert change("TOKEN=t").env == (*DEFAULT.env, "TOKEN=t")


@pytest.mark.parametrize("argument", ["state=/new", "state.source=/new"])
def test_mounts(argument: str) -> None:
    changed = change(argument)
    assert changed.mounts[2] == dataclasses.replace(CONFIG.mounts[2], source="/new")
    assert CONFIG.mounts[2].source == "/s", "the config is not touched"
    assert change("state=").mounts[2].source == ""


@pytest.mark.parametrize("argument", ["fuse=/dev/x", "fuse.path=/dev/x"])
def test_devices(argument: str) -> None:
    assert change(argument).devices[0].path == "/dev/x"
    assert CONFIG.devices[0].path == "/dev/fuse"


@pytest.mark.parametrize(
    ("argument", "args"),
    [
        ("args=-b -c", ("-b", "-c")),
        ("args.value=-b", ("-b",)),
        ("args=", ()),
        ("args=a  b", ("a", "b")),
    ],
)
def test_args(argument: str, args: tuple[str, ...]) -> None:
    assert change(argument).args == args


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("MISSING=1", 'setting "MISSING" not found in the plugin configuration'),
        ("debug=1", 'setting "debug" not found in the plugin configuration'),
        ("MISSING.value=1", 'setting "MISSING.value" not found in the plugin configuration'),
        ("FIXED=1", '"FIXED" is not settable'),
        ("FIXED.value=1", '"FIXED.value" is not settable'),
        ("DEBUG.name=1", '"DEBUG.name" is not settable'),
        ("WRONG=1", '"WRONG" is not settable'),
        ("WRONG.name=1", '"WRONG.name" is not settable'),
        ("TWO=1", '"TWO": multiple fields are settable, one must be specified: value, name'),
        ("fixed=/x", '"fixed" is not settable'),
        ("none=/x", "plugin config has no mount source"),
        ("nodev=/x", "plugin config has no device path"),
    ],
)
def test_refusals(argument: str, message: str) -> None:
    with pytest.raises(errors.InvalidParameter) as refused:
        change(argument)
    assert refused.value.message == message


def test_all_or_nothing() -> None:
    with pytest.raises(errors.InvalidParameter):
        change("DEBUG=1", "MISSING=1")
    assert change("DEBUG=1", "DEBUG=2", "state=/x").env[0] == "DEBUG=2"


def test_the_first_item_with_a_name_wins() -> None:
    config = dataclasses.replace(
        CONFIG,
        env=(PluginEnv(name="x", value="", settable=VALUE),),
        mounts=(PluginMount(name="x", source="", settable=SOURCE),) * 2,
    )
    changed = change("x=1", config=config)
    assert changed.env == ("x=1",)
    assert changed.mounts == config.mounts


# --- upgrade ----------------------------------------------------------------------------------


def test_nothing_changed_means_the_new_defaults() -> None:
    assert settings.changed_assignments(CONFIG, DEFAULT) == []
    new = dataclasses.replace(
        CONFIG,
        env=(PluginEnv(name="DEBUG", value="9", settable=VALUE), PluginEnv(name="NEW", value="n")),
        mounts=(PluginMount(source="/unnamed3"),),
        args=PluginArgs(name="args", value=("-z",), settable=VALUE),
    )
    assert settings.merge_settings(CONFIG, DEFAULT, new) == settings.default_settings(new)


def test_what_the_user_changed_is_kept() -> None:
    current = change("DEBUG=1", "TOKEN=t", "state=/mine", "fuse=/dev/mine", "args=-q -r")
    new = dataclasses.replace(
        CONFIG,
        env=(PluginEnv(name="NEW", value="n"), *CONFIG.env),
        mounts=CONFIG.mounts[2:],
        args=dataclasses.replace(CONFIG.args, value=("-z",)),
    )
    merged = settings.merge_settings(CONFIG, current, new)
    assert merged.env == ("NEW=n", "DEBUG=1", *DEFAULT.env[1:], "TOKEN=t")
    assert merged.mounts[0].source == "/mine"
    assert merged.devices[0].path == "/dev/mine"
    assert merged.args == ("-q", "-r")


def test_what_the_new_version_does_not_let_be_set_is_dropped() -> None:
    current = change("DEBUG=1", "state=/mine")
    new = PluginConfig(
        entrypoint=("/x",),
        env=(PluginEnv(name="DEBUG", value="0"),),
        mounts=(PluginMount(name="state", source="/s"),),
    )
    assert settings.merge_settings(CONFIG, current, new) == settings.default_settings(new)


def test_unnamed_mounts_are_not_changes() -> None:
    assert settings.changed_assignments(CONFIG, change("state=/x")) == [
        Assignment(name="state", field="source", value="/x")
    ]


ARGUMENTS = st.lists(
    st.builds(
        "{}={}".format,
        st.sampled_from(["DEBUG", "TOKEN", "linode.token", "state", "fuse", "args"]),
        st.text(alphabet="ab=. /", max_size=6),
    ),
    max_size=6,
)


@given(ARGUMENTS)
def test_an_upgrade_to_the_same_config_changes_nothing(arguments: list[str]) -> None:
    current = change(*arguments)
    merged = settings.merge_settings(CONFIG, current, CONFIG)
    assert set(merged.env) == set(current.env)
    assert dataclasses.replace(merged, env=()) == dataclasses.replace(current, env=())


@pytest.mark.parametrize(
    ("env", "argument", "value"),
    [
        ("TOKEN=abcd", "TOKEN=********", "abcd"),
        ("TOKEN=abcd", "TOKEN=new", "new"),
        ("DEBUG=key=abcd,b=c", "DEBUG=key=********,b=c", "key=abcd,b=c"),
        ("DEBUG=0", "DEBUG=********", "********"),
    ],
)
def test_the_mask_of_a_secret_leaves_it_alone(env: str, argument: str, value: str) -> None:
    changed = settings.apply_assignments(CONFIG, Settings(env=(env,)), [argument], DEFAULT_POLICY)
    assert changed.env == (f"{env.partition('=')[0]}={value}",)


@pytest.mark.parametrize("argument", ["TOKEN=********", "DEBUG=key=********,b=d"])
def test_any_other_mask_is_refused(argument: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="is how a secret is shown"):
        settings.apply_assignments(
            CONFIG, Settings(env=("DEBUG=key=abcd,b=c",)), [argument], DEFAULT_POLICY
        )


def test_the_mask_of_an_argument_leaves_it_alone() -> None:
    config = dataclasses.replace(CONFIG, args=PluginArgs(name="args", settable=VALUE))
    current = Settings(args=("-v", "--password=abcd"))
    kept = settings.apply_assignments(
        config, current, ["args=-v --password=********"], DEFAULT_POLICY
    )
    assert kept.args == current.args
    with pytest.raises(errors.InvalidParameter, match="is how a secret is shown"):
        settings.apply_assignments(config, current, ["args=--password ********"], DEFAULT_POLICY)


def test_values_are_in_no_message_and_no_repr() -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        settings.parse_assignment("=hunter2")
    assert "hunter2" not in str(caught.value)
    made = Settings(env=("TOKEN=hunter2",), args=("hunter2",))
    assert "hunter2" not in repr((made, settings.parse_assignment("TOKEN=hunter2")))
    assert set(settings.find_secrets(made, DEFAULT_POLICY)) == {"hunter2"}
