# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Credentials: what counts as some, and what is never shown."""

from __future__ import annotations

import pytest

from plugind.model.credentials import Credentials


@pytest.mark.parametrize(
    ("credentials", "some"),
    [
        (Credentials(), False),
        (Credentials(server_address="https://example.org/"), False),
        (Credentials(password="p"), False),
        (Credentials(username="u"), True),
        (Credentials(identity_token="i"), True),
        (Credentials(registry_token="r"), True),
    ],
)
def test_truth(credentials: Credentials, some: bool) -> None:
    assert bool(credentials) is some


@pytest.mark.parametrize("field", ["password", "identity_token", "registry_token"])
def test_secrets_are_not_shown(field: str) -> None:
    credentials = Credentials(username="somebody", **{field: "hunter2"})
    for shown in (repr(credentials), str(credentials), f"{credentials}"):
        assert "hunter2" not in shown
        assert "somebody" in shown


def test_two_secrets_differ() -> None:
    """They are keys of the token cache: whoever has another password is somebody else."""
    assert Credentials(username="u", password="a") != Credentials(username="u", password="b")
    assert len({Credentials(username="u"), Credentials(username="u")}) == 1


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("", "docker.io"),
        ("docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("registry.example.com", "registry.example.com"),
        ("https://registry.example.com:5000/v2/", "registry.example.com:5000"),
        ("http://127.0.0.1:5000", "127.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
    ],
)
def test_the_registry_that_they_are_for(address: str, domain: str) -> None:
    assert Credentials(server_address=address).domain == domain
