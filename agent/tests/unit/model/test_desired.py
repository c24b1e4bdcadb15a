# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json

import pytest

from plugind import errors
from plugind.model import desired, schema
from plugind.model.secrets import DEFAULT
from plugind.model.verify import Verify

DIGEST = "sha256:" + "ab" * 32


def one_plugin(**declared: object) -> desired.DesiredPlugin:
    return desired.parse_declaration({"plugins": [{"source": "x:1", **declared}]}).plugins[0]


def one_volume(**declared: object) -> desired.DesiredVolume:
    return desired.parse_declaration({"volumes": [{"name": "v1", **declared}]}).volumes[0]


def problem_of(document: object) -> str:
    with pytest.raises(errors.InvalidParameter) as caught:
        desired.parse_declaration(document)
    return str(caught.value)


def test_an_empty_declaration_declares_nothing() -> None:
    assert desired.parse_declaration({}) == desired.Desired()


def test_defaults() -> None:
    plugin = one_plugin()
    assert plugin.state == "enabled"
    assert plugin.grant == {}
    assert not plugin.grant_declared
    assert plugin.timeout == 30
    assert not plugin.force
    assert not plugin.settings
    assert plugin.credentials is None
    volume = one_volume()
    assert (volume.driver, volume.state, volume.recreate) == ("local", "present", "never")
    assert volume.options is None
    assert volume.labels is None


@pytest.mark.parametrize(
    ("source", "name", "stored"),
    [
        ("x", "x:latest", "docker.io/library/x:latest"),
        ("vieux/sshfs:2", "vieux/sshfs:2", "docker.io/vieux/sshfs:2"),
        ("r.example:5000/a/b", "r.example:5000/a/b:latest", "r.example:5000/a/b:latest"),
        (f"x@{DIGEST}", "x:latest", f"docker.io/library/x@{DIGEST}"),
        (f"x:3@{DIGEST}", "x:3", f"docker.io/library/x:3@{DIGEST}"),
    ],
)
def test_the_name_is_derived_from_the_source(source: str, name: str, stored: str) -> None:
    plugin = desired.parse_declaration({"plugins": [{"source": source}]}).plugins[0]
    assert plugin.name == name
    assert str(plugin.source) == stored


@pytest.mark.parametrize("name", ["x", "x:latest", "docker.io/library/x", "index.docker.io/x"])
def test_names_and_drivers_are_canonical(name: str) -> None:
    assert one_plugin(name=name).name == "x:latest"
    assert one_volume(driver=name).driver == "x:latest"
    assert one_volume(driver=name).driver_as_given == name


def test_values_are_what_the_engine_sees() -> None:
    env = {"I": 1, "F": 1.5, "T": True, "N": False, "S": "", "Z": None}
    settings = one_plugin(settings={"env": env}).settings
    assert settings.env == {"I": "1", "F": "1.5", "T": "true", "N": "false", "S": ""}
    volume = one_volume(options={"uid": 0, "ro": True, "gone": None}, labels={"n": 1})
    assert volume.options == {"uid": "0", "ro": "true"}
    assert volume.labels == {"n": "1"}


@pytest.mark.parametrize(
    ("args", "parsed"),
    [("--a  b", ("--a", "b")), (["--a", 1, True], ("--a", "1", "true")), ("", ()), ([], ())],
)
def test_args(args: object, parsed: tuple[str, ...]) -> None:
    settings = one_plugin(settings={"args": args}).settings
    assert settings.args == parsed
    assert settings  # also no arguments are a declaration


@pytest.mark.parametrize("args", [["a b"], [""]])
def test_an_argument_that_the_engine_would_split_is_refused(args: list[str]) -> None:
    assert ".plugins[0].settings.args" in problem_of(
        {"plugins": [{"source": "x", "settings": {"args": args}}]}
    )


@pytest.mark.parametrize(
    ("grant", "parsed"),
    [
        ("all", None),
        ({}, {}),
        (
            {"network": "host", "capabilities": ["A", "B"], "host pid namespace": True},
            {"network": ("host",), "capabilities": ("A", "B"), "host pid namespace": ("true",)},
        ),
    ],
)
def test_grants(grant: object, parsed: object) -> None:
    assert one_plugin(grant=grant).grant == parsed


def test_every_problem_is_reported_with_its_path() -> None:
    text = problem_of(
        {
            "plugins": [
                {"source": "x", "stat": "enabled"},
                {"source": "y", "state": "on", "timeout": 0, "grant": {"root": True}},
                {"name": 3},
            ],
            "volumes": [{"driver": "x"}],
        }
    )
    for path in ("[0]: ", "[1].state: ", "[1].timeout: ", "[1].grant: ", "[2].name: "):
        assert f".plugins{path}" in text
    assert ".volumes[0]: 'name' is a required property" in text


def test_problems_that_no_schema_sees_are_reported_together() -> None:
    text = problem_of(
        {
            "plugins": [{}, {"source": "UPPER"}, {"name": f"x@{DIGEST}"}],
            "volumes": [{"name": "a\nb"}, {"name": "v", "driver": "NO"}],
        }
    )
    for path in ("plugins[0]: ", "plugins[1].source: ", "plugins[2].name: ", "volumes[0].name: "):
        assert f".{path}" in text
    assert ".volumes[1].driver: " in text


def test_one_thing_is_declared_once() -> None:
    plugins = [{"name": "x", "source": "y"}, {"source": "z"}, {"source": "docker.io/library/x"}]
    assert '"x:latest" is declared more than once: [0], [2]' in problem_of({"plugins": plugins})
    volumes = [{"name": "v"}, {"name": "v", "state": "absent"}]
    assert '"v" is declared more than once' in problem_of({"volumes": volumes})


@pytest.mark.parametrize(
    "plugin",
    [
        {"credentials": {"password": ["hunter2"]}},
        {"credentials": "hunter2"},
        {"credentials": ["hunter2"]},
        {"settings": {"env": {"PASSWORD": {"v": "hunter2"}}}},
        {"settings": {"env": ["PASSWORD=hunter2"]}},
        {"settings": {"args": {"a": "hunter2"}}},
        {"settings": "hunter2"},
    ],
)
def test_no_problem_repeats_a_secret(plugin: dict[str, object]) -> None:
    text = problem_of({"plugins": [{"source": "x", **plugin}]})
    assert "hunter2" not in text
    assert "is not" in text


def test_a_repr_shows_no_secret() -> None:
    declared = one_plugin(
        settings={"env": {"PASSWORD": "hunter2"}, "args": "hunter2"},
        credentials={"username": "me", "password": "hunter2", "identity_token": "hunter2"},
    )
    assert "hunter2" not in repr(declared)
    assert "hunter2" not in repr(one_volume(options={"password": "hunter2"}))


def test_credentials() -> None:
    given = one_plugin(credentials={"username": "me", "password": "p"}).credentials
    assert given is not None
    assert (given.username, given.password) == ("me", "p")
    assert one_plugin(credentials={}).credentials is None


def test_the_schema_is_a_schema_that_describes_everything() -> None:
    from jsonschema import Draft202012Validator

    document = schema.load_schema("declaration")
    Draft202012Validator.check_schema(document)
    for name in ("plugin", "volume", "mount", "verify"):
        undescribed = [
            key
            for key, value in document["$defs"][name]["properties"].items()
            if "description" not in value and "$ref" not in value
        ]
        assert undescribed == []
    assert json.dumps(document).isascii()


@pytest.mark.parametrize(
    "document",
    [
        {"volumes": [{"name": "v", "options": {"password": "********"}}]},
        {"volumes": [{"name": "v", "options": {"o": "a=b,password=********"}}]},
        {"plugins": [{"source": "x", "settings": {"env": {"TOKEN": "********"}}}]},
        {"plugins": [{"source": "x", "settings": {"args": "--key=********"}}]},
    ],
)
def test_what_a_result_shows_is_no_value(document: object) -> None:
    assert "is how a secret is shown; give the value itself" in problem_of(document)


def test_who_names_secrets() -> None:
    volume = one_volume(
        secret_options=["a"],
        labels={"engine.plugind.secret-options": "b"},
        options={"a": "aa", "c": "cc"},
    )
    assert volume.named_secrets == {"a", "b"}
    assert list(volume.secrets(DEFAULT)) == ["aa"]
    plugin = one_plugin(
        secret_settings=["A"],
        settings={"env": {"A": "aa", "C": "cc"}, "args": "--key=kk"},
        credentials={"username": "u", "password": "pp"},
    )
    assert list(plugin.secrets(DEFAULT)) == ["aa", "kk", "pp"]


@pytest.mark.parametrize(
    "document",
    [
        {"volumes": {"name": "v", "options": {"password": "hunter2"}}},
        {"volumes": [["hunter2"]]},
        {"plugins": [{"source": "x", "settings": ["hunter2"]}]},
        [{"password": "hunter2"}],
    ],
)
def test_what_has_a_wrong_shape_is_not_quoted(document: object) -> None:
    text = problem_of(document)
    assert "hunter2" not in text
    assert "is not of type" in text


def test_what_a_plugin_requires_is_canonical_and_declared() -> None:
    plugins = [{"source": "a", "requires": ["docker.io/library/b"]}, {"name": "b"}]
    assert desired.parse_declaration({"plugins": plugins}).plugins[0].requires == ("b:latest",)
    bad = [
        {"source": "a", "requires": ["b", "none", "c"]},
        {"name": "b", "requires": ["a"]},
        {"name": "c", "state": "absent", "requires": ["d"]},
        {"name": "d", "state": "absent"},
    ]
    text = problem_of({"plugins": bad})
    assert '.plugins[0].requires[1]: "none:latest" is not declared' in text
    assert '.plugins[0].requires[2]: "c:latest" is declared absent' in text
    assert "cannot require itself: a:latest -> b:latest -> a:latest" in text
    assert '[2]: "d' not in text
    assert ".plugins[0].requires[0]: " in problem_of(
        {"plugins": [{"name": "a", "requires": ["B"]}]}
    )


def test_a_verification() -> None:
    assert one_plugin().verify is None
    assert one_plugin(verify=False).verify is None
    assert one_plugin(verify=True).verify == Verify()
    assert one_plugin(verify={}).verify == Verify(activate=True, volume=None, timeout=30)
    given = {"activate": False, "volume": {"options": {"n": 1, "z": None}}, "timeout": 0.5}
    verify = one_plugin(verify={**given, "when": "always"}, state="present").verify
    assert verify == Verify(activate=False, volume={"n": "1"}, timeout=0.5, when="always")
    no_options = one_plugin(verify={"volume": {}}).verify
    assert no_options is not None
    assert no_options.volume == {}


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"state": "absent", "verify": True}, ".verify: a plugin that is declared absent serves"),
        ({"state": "disabled", "verify": {}}, ".verify: a plugin that is declared disabled"),
        ({"verify": {"activate": False}}, ".verify: nothing is verified"),
        ({"verify": {"timeout": 0}}, ".verify.timeout: "),
        ({"verify": {"when": "never"}}, ".verify.when: "),
        ({"verify": {"volume": {"option": {"password": "hunter2"}}}}, ".verify.volume: "),
        ({"verify": {"volume": {"options": {"x": "********"}}}}, ".verify.volume.options.x: "),
        ({"verify": {"volume": {"options": {"x": ["hunter2"]}}}}, ".verify.volume.options.x: is"),
    ],
)
def test_a_verification_that_cannot_be_meant(declared: dict[str, object], problem: str) -> None:
    text = problem_of({"plugins": [{"source": "x", **declared}]})
    assert f".plugins[0]{problem}" in text
    assert "hunter2" not in text


def test_a_probe_volume_s_secrets() -> None:
    plugin = one_plugin(verify={"volume": {"options": {"password": "hunter2", "o": "a"}}})
    assert "hunter2" not in repr(plugin)
    assert list(plugin.secrets(DEFAULT)) == ["hunter2"]


def test_what_is_pruned_and_when_a_run_is_undone() -> None:
    verified = {"plugins": [{"source": "x", "verify": True}]}
    assert not desired.parse_declaration({}).rollback
    assert desired.parse_declaration({"rollback": True}).rollback
    assert desired.parse_declaration(verified).rollback
    assert not desired.parse_declaration({**verified, "rollback": False}).rollback
    kinds = ["plugins", "volumes", "mounts"]
    assert desired.parse_declaration({"prune": kinds}).prune == set(kinds)
    assert ".prune[0]: " in problem_of({"prune": ["images"]})


def test_what_is_wrong_with_a_mount_is_said_by_its_position() -> None:
    mounts = [{"path": "/a", "volume": "v"}, {"path": "/a/../b", "volume": "v"}]
    assert ".mounts[1]: " in problem_of({"mounts": mounts})
