# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugind import errors, options
from plugind.model import secrets
from plugind.model.confinement import Policy
from plugind.options import DaemonOptions


def load(
    tmp_path: Path, text: str, env: dict[str, str] | None = None, **arguments: str
) -> DaemonOptions:
    file = tmp_path / "plugind.toml"
    file.write_text(text)
    return options.load(file, env or {}, arguments)


def test_defaults_are_where_the_documentation_says(tmp_path: Path) -> None:
    assert load(tmp_path, "") == DaemonOptions()


def test_argv_beats_environment_beats_file(tmp_path: Path) -> None:
    text = '[daemon]\nroot = "/a"\nlogs = "/a"\ngroup = "a"\n'
    env = {"PLUGIND_LOGS": "/b", "PLUGIND_GROUP": "b"}
    found = load(tmp_path, text, env, group="c")
    assert (found.root, found.logs, found.group) == (Path("/a"), Path("/b"), "c")


def test_every_table_is_read(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """
        [daemon]
        enable_timeout = 5
        [registry]
        insecure = ["a:5000"]
        [registry.mirrors]
        "docker.io" = ["m"]
        [runtime]
        binary = "crun"
        [restart]
        limit = 3
        """,
    )
    assert found.enable_timeout == 5.0
    assert found.registry_insecure == ("a:5000",)
    assert found.registry_mirrors == {"docker.io": ("m",)}
    assert (found.runtime_binary, found.restart_limit) == ("crun", 3)


def test_the_socket_follows_the_run_directory_unless_it_is_named(tmp_path: Path) -> None:
    assert load(tmp_path, "", run="/r").socket == Path("/r/api.sock")
    assert load(tmp_path, "", run="/r", socket="/s").socket == Path("/s")


def test_lists_in_the_environment_are_separated_by_commas(tmp_path: Path) -> None:
    found = load(tmp_path, "", {"PLUGIND_REGISTRY_INSECURE": "a,b,"})
    assert found.registry_insecure == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "cannot read "),
        ("[deamon]\n", "unknown table [deamon]; known: daemon, registry, runtime, restart"),
        ("daemon = 1\n", "unknown table [daemon]"),
        ('[daemon]\nrot = "/a"\n', "unknown key daemon.rot"),
        ('[daemon]\nroot = "a"\n', 'daemon.root: want an absolute path, got "a"'),
        ("[daemon]\nroot = 1\n", "daemon.root: "),
        ("[daemon]\nlog_max_bytes = -1\n", "daemon.log_max_bytes: want a number that is not"),
        ("[daemon]\nlog_max_bytes = true\n", "daemon.log_max_bytes: want a number that is not"),
        ('[daemon]\nenable_timeout = "soon"\n', "daemon.enable_timeout: "),
        ("[daemon]\ngroup = 1\n", "daemon.group: want a string, got 1"),
        ('[daemon]\nlog_level = "loud"\n', 'log_level is "loud", want debug, info, warning or'),
        ("[registry]\ninsecure = [1]\n", "registry.insecure: want a list of strings"),
        ("[confinement]\nmemori = 1\n", "plugind.toml: unknown key confinement.memori"),
        (
            '[confinement]\nseccomp = "none"\n',
            'confinement.seccomp: want "default", "unconfined" or',
        ),
        ('[confinement]\nseccomp = "/nowhere"\n', "confinement.seccomp: cannot read /nowhere: "),
        ('[confinement]\nmemory = "much"\n', "confinement.memory: want bytes like 512m or 1g, got"),
        ("[confinement]\ncpus = -1\n", "confinement.cpus: want 0, or a number of processors"),
        ("[confinement]\npids = 1.5\n", "confinement.pids: want a whole number"),
        ("[confinement]\nplugins = 1\n", "confinement.plugins: want a table"),
        ("[confinement.plugins]\nx = 1\n", 'confinement.plugins: "x": want a table'),
        ("[confinement.plugins.x]\npid = 1\n", 'confinement.plugins: "x": unknown key pid; known:'),
        ("[confinement.plugins.x]\npids = -1\n", 'confinement.plugins: "x".pids: want a whole'),
        ('[registry]\nmirrors = ["a"]\n', "registry.mirrors: want a table"),
    ],
)
def test_mistakes_name_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=re.escape(message)):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("env", "arguments", "message"),
    [
        ({"PLUGIND_ROOT": "a"}, {}, "PLUGIND_ROOT: want an absolute path"),
        ({}, {"log_max_bytes": "x"}, "--log_max_bytes: "),
    ],
)
def test_mistakes_elsewhere_name_their_place(
    tmp_path: Path, env: dict[str, str], arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(errors.InvalidParameter, match=re.escape(message)):
        load(tmp_path, "", env, **arguments)


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidParameter, match="cannot read"):
        options.load(tmp_path / "absent.toml", {}, {})


def test_every_option_is_documented_with_its_default() -> None:
    described = options.__doc__ or ""
    for name in DaemonOptions.__dataclass_fields__:
        table, _, key = name.partition("_")
        word = (
            key
            if table in ("registry", "runtime", "restart", "secrets", "publish", "confinement")
            else name
        )
        assert re.search(rf"\b{word}\b", described), name


def test_whom_to_tell_of_plugins(tmp_path: Path) -> None:
    text = '[publish]\ndocker = true\npodman = false\npodman_file = "/p"\npodman_timeout = 5\n'
    found = load(tmp_path, text, publish_podman="True")
    assert (found.publish_docker, found.publish_podman) == (True, True)
    assert (found.publish_podman_file, found.publish_podman_timeout) == (Path("/p"), 5)
    assert found.publish_docker_directory == Path("/etc/docker/plugins")


@pytest.mark.parametrize("value", ["1", '"yes"', '""'])
def test_a_switch_is_true_or_false(tmp_path: Path, value: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=r"publish\.docker: want true or false"):
        load(tmp_path, f"[publish]\ndocker = {value}\n")


def test_which_names_mean_secrets(tmp_path: Path) -> None:
    policy = load(tmp_path, "").secret_policy
    assert policy == secrets.DEFAULT
    policy = load(tmp_path, '[secrets]\nalso = ["*_Headers"]\n').secret_policy
    assert policy.covers("password")
    assert policy.covers("OTEL_HEADERS")
    policy = load(tmp_path, '[secrets]\npatterns = ["sesame"]\n').secret_policy
    assert policy.covers("open-sesame")
    assert not policy.covers("password")
    with pytest.raises(errors.InvalidParameter, match='pattern "a b"'):
        load(tmp_path, '[secrets]\nalso = ["a b"]\n')


def test_what_confines_plugins(tmp_path: Path) -> None:
    assert load(tmp_path, "").confinement == Policy()
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    text = f"""
        [confinement]
        seccomp = "{profile}"
        memory = "512m"
        cpus = 1.5
        [confinement.plugins."sshfs"]
        seccomp = "unconfined"
        pids = 100
    """
    policy = load(tmp_path, text, {"PLUGIND_CONFINEMENT_PIDS": "7"}).confinement
    other = policy.of("other:latest")
    assert other.seccomp.profile is not None
    assert other.seccomp.profile.default_action == "SCMP_ACT_LOG"
    assert (other.memory, other.cpus, other.pids) == (512 << 20, 1.5, 7)
    own = policy.of("sshfs:latest")
    assert (own.seccomp.name, own.memory, own.pids) == ("unconfined", 512 << 20, 100)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read {path}: "),
        ("[" * 100_000, "cannot read {path}: "),
        ("[]", "{path} is no seccomp profile: profile: want an object"),
        ('{"defaultAction": "ALLOW"}', "{path} is no seccomp profile: defaultAction: "),
    ],
)
def test_a_profile_that_is_none_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "profile.json"
    path.write_text(content)
    wanted = f"--confinement_seccomp: {message.format(path=path)}"
    with pytest.raises(errors.InvalidParameter, match=re.escape(wanted)):
        load(tmp_path, "", {}, confinement_seccomp=str(path))
