# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind.model import secrets
from plugind.model.secrets import DEFAULT, MASK, KnownValues, SecretPolicy

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


@pytest.mark.parametrize(
    "name",
    [
        # of real plugins' config.json
        "AWSACCESSKEYID", "AWSSECRETACCESSKEY", "AZUREUD_CLIENTSECRET", "AZUREUD_STORAGEACCESSKEY",
        "CINDER_PASSWORD", "CINDER_TOKENID", "DIGITALOCEAN_ACCESS_TOKEN", "DOBS_TOKEN",
        "EFS_ACCESSKEY", "EFS_SECRETKEY", "ISILON_PASSWORD", "LS_PASSWORD", "linode-token",
        "linode.token", "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY",
        # of volumes' options, and of arguments
        "password", "Password", "passwd", "passphrase", "sshkey", "ssh-key", "api_keys", "apiKey",
        "client.secret", "credentials", "authorization", "userpass", "pass", "dbpwd", "proxy_auth",
        "--token", "-password",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert DEFAULT.covers(name)
    assert DEFAULT.mask(name, "hunter2") == MASK
    assert DEFAULT.mask(name, "") == ""
    assert DEFAULT.find(name, "hunter2") == ("hunter2",)
    assert DEFAULT.find(name, "") == ()


@pytest.mark.parametrize(
    "name",
    [
        "AWAIT_TIMEOUT", "CINDER_AUTHURL", "CREDENTIAL_PATH", "DEBUG", "LS_KEY_FILE", "LS_CA_FILE",
        "PYTHONPATH", "SECURE_MANAGEMENT", "secret-zero-name", "keyring_path", "keyring", "sshcmd",
        "mode", "port", "token_url", "", "o", "device", "type", "AZUREUD_TENANTID", "REXRAY_FSTYPE",
        "password-file", "authenticated", "passthrough",
    ],
)  # fmt: skip
def test_other_names(name: str) -> None:
    assert not DEFAULT.covers(name)
    assert DEFAULT.mask(name, "hunter2") == "hunter2"
    assert DEFAULT.find(name, "hunter2") == ()


def test_patterns_can_be_others() -> None:
    policy = SecretPolicy(patterns=("sesame", "pin", "*_headers"))
    assert all(policy.covers(name) for name in ("OPENSESAME", "pin", "SIM_PIN", "pins"))
    assert policy.covers("OTEL_LOGS_HEADERS")
    assert not any(policy.covers(name) for name in ("password", "pinned", "headers"))
    assert SecretPolicy(patterns=("key_?ile",)).covers("KEY_FILE")


def test_names_that_somebody_named() -> None:
    policy = DEFAULT.naming(["Sesame"], frozenset({"key_file"}))
    assert policy.covers("sesame")
    assert policy.covers("KEY_FILE")
    assert policy.covers("token")
    assert not DEFAULT.covers("sesame")


@pytest.mark.parametrize(
    ("value", "shown", "found"),
    [
        ("addr=h,username=u,password=a b;c,vers=3", f"addr=h,username=u,password={MASK},vers=3",
         ("a b;c", "a")),
        ("name=admin,secret=AQ==", f"name=admin,secret={MASK}", ("AQ==",)),
        ("--id admin --key=abc", f"--id admin --key={MASK}", ("abc",)),
        ("http://user:pw12@proxy:3128", f"http://user:{MASK}@proxy:3128", ("pw12",)),
        ("user:pw@host:/path", "user:pw@host:/path", ()),
        ("mode=3,keyring=/k", "mode=3,keyring=/k", ()),
        ("password=", "password=", ()),
        ("", "", ()),
    ],
)  # fmt: skip
def test_secrets_inside_a_value(value: str, shown: str, found: tuple[str, ...]) -> None:
    assert DEFAULT.mask("o", value) == shown
    assert DEFAULT.find("o", value) == found
    assert DEFAULT.mask("o", shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mount: password=x was refused", f"mount: password={MASK} was refused"),
        ('{"token=abc", 1}', f'{{"token={MASK}", 1}}'),
        ("token='a b' end", f"token={MASK} end"),
        ("get ftp://u:p@h/ failed", f"get ftp://u:{MASK}@h/ failed"),
        ("nothing = here", "nothing = here"),
    ],
)
def test_secrets_inside_a_text(text: str, shown: str) -> None:
    assert DEFAULT.mask_text(text) == shown


@pytest.mark.parametrize(
    ("args", "shown", "found"),
    [
        (["--password=x", "--mode=1"], [f"--password={MASK}", "--mode=1"], ("x",)),
        (["--token", "x", "y"], ["--token", MASK, "y"], ("x",)),
        (["--token", "--mode"], ["--token", "--mode"], ()),
        (["token"], ["token"], ()),
        (["-o", "password=x"], ["-o", f"password={MASK}"], ("x",)),
        (["-opassword=x"], [f"-opassword={MASK}"], ("x",)),
        (["http://u:pp@h"], [f"http://u:{MASK}@h"], ("pp",)),
    ],
)
def test_arguments(args: list[str], shown: list[str], found: tuple[str, ...]) -> None:
    assert DEFAULT.mask_args(args) == shown
    assert DEFAULT.find_in_args(args) == found


def test_all_arguments_can_be_secret() -> None:
    policy = DEFAULT.naming(["args"])
    assert policy.mask_args(["-v", "sesame"]) == [MASK, MASK]
    assert policy.find_in_args(["-v", "sesame"]) == ("-v", "sesame")


@pytest.mark.parametrize(
    ("name", "value", "is_masked"),
    [
        ("password", MASK, True),
        ("o", f"user=u,password={MASK}", True),
        ("password", f"{MASK}*", False),
        ("pattern", MASK, False),
        ("o", f"pattern={MASK}", False),
    ],
)
def test_a_mask_that_comes_back_is_recognised(name: str, value: str, *, is_masked: bool) -> None:
    assert DEFAULT.is_masked(name, value) is is_masked


def test_known_values_are_taken_out_of_texts() -> None:
    known = KnownValues(["hunter2", "hunter22", "abc", "true", "", MASK, 'q"uo te', "a/b c"])
    assert known.redact("hunter22 and hunter2") == f"{MASK} and {MASK}"
    assert known.redact("abc true") == "abc true"  # too short, or a word
    assert known.redact(json.dumps({"x": 'q"uo te'})) == f'{{"x": "{MASK}"}}'
    assert known.redact("?p=a%2Fb%20c&q=a%2Fb+c") == f"?p={MASK}&q={MASK}"
    assert "hunter2" not in repr(known)
    assert KnownValues().redact("hunter2") == "hunter2"


def test_each_line_of_a_long_secret_is_known() -> None:
    known = KnownValues(["-----BEGIN\nMIIEow\nIB\n"])
    assert known.redact("got MIIEow, IB") == f"got {MASK}, IB"


def test_only_so_many_values_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_KNOWN_AT_MOST", 2)
    known = KnownValues()
    for value in ("first", "second", "third"):
        known.add([value])
    assert known.redact("first second third") == f"first {MASK} {MASK}"


def test_a_forgotten_value_takes_none_that_begins_like_it_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secrets, "_KNOWN_AT_MOST", 2)
    known = KnownValues()
    for value in ("hunter-one", "hunter-two", "another"):
        known.add([value])
    assert known.redact("hunter-one hunter-two another") == f"hunter-one {MASK} {MASK}"


def test_thousands_of_values_take_no_more_than_themselves() -> None:
    values = [f"{number:08x}-of-a-volume" for number in range(0, 1 << 24, 1 << 14)]
    tracemalloc.start()
    try:
        known = KnownValues()
        for value in values:
            known.add([value])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1000 * len(values)
    assert known.redact(f"x{values[7]}{values[-1]} y") == f"x{MASK}{MASK} y"


@given(st.lists(st.text(min_size=secrets.SHORTEST), min_size=1, max_size=5), st.text())
def test_no_known_value_survives(values: list[str], text: str) -> None:
    hidden = [
        value for value in values if value.casefold() not in ("true", "false", "none", "null")
    ]
    shown = KnownValues(hidden).redact(text + "".join(hidden))
    assert not [value for value in hidden if value in shown and value.strip("*")]


def test_documents_of_plugins() -> None:
    document: dict[str, Any] = {
        "Token": "abc", "Keys": ["a", {"id": 5}], "on": True, "none": None, "empty": "",
        "Volumes": [{"Name": "v", "Status": {"cmd": "mount -o password=x hunter2", "n": 3}}],
    }  # fmt: skip
    assert secrets.walk(document, DEFAULT, KnownValues(["hunter2"]).redact) == {
        "Token": MASK, "Keys": [MASK, {"id": MASK}], "on": True, "none": None, "empty": "",
        "Volumes": [
            {"Name": "v", "Status": {"cmd": f"mount -o password={MASK} {MASK}", "n": 3}}
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("label", "names"),
    [(None, set()), ("", set()), ("a", {"a"}), (" a, b,,c ", {"a", "b", "c"})],
)
def test_labels(label: str | None, names: set[str]) -> None:
    assert secrets.parse_names(label) == names


def test_digests_tell_values_apart_and_nothing_else() -> None:
    made = secrets.digest(KEY, "v", "password", "x")
    scheme, key_id, code = made.split(":")
    assert (scheme, len(key_id), len(code)) == ("hmac-sha256", 8, 64)
    assert secrets.equal(made, secrets.digest(KEY, "v", "password", "x"))
    others = [
        secrets.digest(KEY, "v", "password", "y"),
        secrets.digest(KEY, "w", "password", "x"),
        secrets.digest(KEY, "v", "token", "x"),
        secrets.digest(KEY, "v\0password", "", "x"),
    ]
    assert not any(secrets.equal(made, other) for other in others)
    assert len(set(others)) == len(others)
    assert all(secrets.have_one_key(made, other) for other in others)


def test_digests_of_another_key_are_recognised() -> None:
    mine, foreign = (secrets.digest(key, "v", "o", "x") for key in (KEY, OTHER_KEY))
    assert not secrets.have_one_key(mine, foreign)
    assert secrets.key_id(KEY) != secrets.key_id(OTHER_KEY)


def test_a_secret_can_be_written_over_where_it_is() -> None:
    cover = secrets.cover_in_place
    assert KnownValues(["p\u00e4ssword"]).redact("x p\u00e4ssword", cover) == "x " + "*" * 9
