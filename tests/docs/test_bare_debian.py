# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A new user's first commands, on a Debian with nothing on it: they get what they need from archive and index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import docs.debian as debian
import docs.host as host
import docs.pages as pages
from docs.matching import matches
from support import daemon

ROOT = daemon.REPOSITORY
COMMANDS = pages.left_to("tests/docs/test_bare_debian.py", ROOT)
TUTORIAL = "docs/docsite/tutorial/sshfs.md"
OFFLINE = "docs/docsite/howto/offline.md"
DEVELOPING = "docs/developing-a-plugin.md"
EXAMPLE = "plugind.engine/examples/plugins"
DOCKERD = """
: >/srv/dockerd.log
dockerd --bridge=none --iptables=false </dev/null >/srv/dockerd.log 2>&1 &
timeout 60 grep -q -m1 "API listen on /" < <(tail -n +1 -s 0.05 -f --pid=$! /srv/dockerd.log) || cat /srv/dockerd.log
docker version
"""

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("debian") / "root.tar"
    debian.make(path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[host.Shell]:
    """The machine on which every test goes on where the one before has ended."""
    with debian.running(tmp_path_factory.mktemp("d"), archive) as shell:
        yield shell


@pytest.fixture(scope="module")
def checkout(bare: host.Shell) -> host.Shell:
    """The machine, with what the tutorial begins with."""
    for command in COMMANDS[TUTORIAL]:
        run(bare, command)
    return bare


def run(shell: host.Shell, command: pages.Command | str) -> str:
    """Type a command, which must succeed and print what its page shows; return what it printed."""
    if isinstance(command, str):
        command = pages.Command(0, command)
    done = shell.type(command.text, command.answers.replace(",", "\n") + "\n")
    assert done.status == command.status, f"$ {command.text}\n{done.output}"
    if command.expected is not None:
        assert matches(command.expected, done.output), f"$ {command.text}\n{done.output}"
    return done.output


def test_every_page_is_typed() -> None:
    assert set(COMMANDS) == {TUTORIAL, OFFLINE, DEVELOPING}


def test_the_collection_is_found(checkout: host.Shell) -> None:
    listed = run(checkout, "ansible-doc --list --type module plugind.engine")
    assert {"plugind.engine.plugin", "plugind.engine.apply"} <= set(listed.split())


def test_demo(checkout: host.Shell) -> None:
    assert "failed=0" in run(checkout, "make -C plugind.engine demo")


def test_wheels_suffice_without_an_index(checkout: host.Shell) -> None:
    run(checkout, "cd plugind.engine")
    for command in COMMANDS[OFFLINE]:
        run(checkout, command)
    run(checkout, "cd ..; python3 -m venv offline")
    wheels = "plugind.engine/roles/agent/files/wheelhouse"
    run(checkout, f"offline/bin/pip install --no-index --find-links {wheels} plugind")
    run(checkout, "offline/bin/plugind --help")


def test_a_root_file_system_from_an_image(checkout: host.Shell) -> None:
    (dockerfile,) = (
        step
        for step in pages.read(ROOT / DEVELOPING).steps
        if isinstance(step, pages.File) and step.name == "Dockerfile"
    )
    run(checkout, DOCKERD)
    run(checkout, f"docker import {debian.BASE} debian:bookworm-slim")
    run(checkout, f"cp {EXAMPLE}/localdir/driver.py {EXAMPLE}/common/*.py .")
    (checkout.home / "Dockerfile").write_text(dockerfile.content)
    for command in COMMANDS[DEVELOPING]:
        # There is no bridge.
        words = {"docker build": "docker build --network host"}
        run(checkout, replace(command, text=pages.replace(command.text, words)))
    run(checkout, f"cp {EXAMPLE}/localdir/config.json myplugin/")
    run(checkout, "docker plugin create localdir myplugin && docker plugin enable localdir")
    run(checkout, "docker volume create --driver localdir data")
    assert "localdir:latest" in run(checkout, "docker volume inspect data")
