# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The files that tell Podman and a real dockerd of fronts: ours are kept up to date, others' never touched."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plugind.engine.plugin import install, remove, upgrade
from plugind.model.publishing import MARK, Publishing, podman_content
from plugind.model.reference import parse_name
from support.engine import OPTIONS, World


@pytest.fixture
def places(tmp_path: Path) -> Publishing:
    return Publishing(
        docker=True,
        docker_place=tmp_path / "etc" / "docker" / "plugins",
        podman=True,
        podman_place=tmp_path / "etc" / "containers" / "50-plugind.conf",
        podman_timeout=90,
    )


@pytest.fixture
async def world(tmp_path: Path, places: Publishing) -> AsyncIterator[World]:
    async with World(tmp_path, replace(OPTIONS, publishing=places)) as found:
        yield found


def docker_dir(places: Publishing) -> Path:
    return Path(places.docker_place)


def podman_file(places: Publishing) -> Path:
    return Path(places.podman_place)


def specs(places: Publishing) -> dict[str, str]:
    top = docker_dir(places)
    return {str(p.relative_to(top)): p.read_text() for p in top.rglob("*") if p.is_file()}


def drop_in(places: Publishing) -> dict[str, Any]:
    return tomllib.loads(podman_file(places).read_text())["engine"]


def interface(*types: str) -> dict[str, Any]:
    return {"types": list(types), "socket": "plugin.sock"}


async def test_files_come_and_go_with_the_plugin(world: World, places: Publishing) -> None:
    await world.install(world.publish(), "acme/toy")
    front = world.engine.fronts["acme/toy:latest"].path
    url = f"unix://{front}\n"
    assert specs(places) == {"acme/toy:latest.spec": url, "acme/toy.spec": url}
    assert drop_in(places) == {
        "volume_plugin_timeout": 90,
        "volume_plugins": {"acme/toy:latest": str(front), "acme/toy": str(front)},
    }
    await world.install(world.publish("toy", "v1"), "acme/toy:v1")
    assert set(specs(places)) == {"acme/toy:latest.spec", "acme/toy.spec", "acme/toy:v1.spec"}
    await remove.remove(world.engine, "acme/toy:latest", force=False)
    assert set(specs(places)) == {"acme/toy:v1.spec"}
    await remove.remove(world.engine, "acme/toy:v1", force=False)
    assert list(docker_dir(places).iterdir()) == []
    assert not podman_file(places).exists()


async def test_only_volume_plugins_are_podman_s(world: World, places: Publishing) -> None:
    await world.install(world.publish(interface=interface("docker.authz/1.0")))
    assert set(specs(places)) == {"toy:latest.spec", "toy.spec"}
    assert not podman_file(places).exists()
    await upgrade.upgrade(
        world.engine,
        "toy",
        world.publish("toy", "v2"),
        accepted=(),
        credentials=None,
        progress=world.lines.append,
    )
    assert "toy" in drop_in(places)["volume_plugins"]


async def test_what_is_no_plugin_protocol_is_nobody_s(world: World, places: Publishing) -> None:
    for number, kind in enumerate(("docker.csinode/1.0", "docker.portmapper/1.0")):
        await world.install(
            world.publish(f"toy{number}", interface=interface(kind)), f"toy{number}"
        )
    assert specs(places) == {}
    assert not podman_file(places).exists()


async def test_files_of_others_stay_as_they_are(world: World, places: Publishing) -> None:
    top = docker_dir(places)
    top.mkdir(parents=True)
    (top / "other.spec").write_text("unix:///run/other.sock\n")
    (top / "toy:latest.spec").write_text("unix:///run/other.sock\n")
    (top / "toy.json").write_text("{}")
    (top / "toy.spec").symlink_to(top / "other.spec")
    podman_file(places).parent.mkdir(parents=True)
    podman_file(places).write_text("# mine\n[engine]\n")
    before = specs(places)
    await world.install(world.publish())
    await remove.remove(world.engine, "toy", force=False)
    assert specs(places) == before
    assert (top / "toy.spec").is_symlink()
    assert podman_file(places).read_text() == "# mine\n[engine]\n"


async def test_what_an_earlier_agent_left_is_cleaned_at_boot(
    world: World, places: Publishing
) -> None:
    plugin = await world.install(world.publish(), "acme/toy")
    await world.install(world.publish("kept"), "kept")
    await world.drop()
    world.engine.plugin_store.remove(plugin.id)
    await world.open()
    assert set(specs(places)) == {"kept:latest.spec", "kept.spec"}
    assert set(drop_in(places)["volume_plugins"]) == {"kept", "kept:latest"}


async def test_publishing_can_be_switched_off(world: World, places: Publishing) -> None:
    await world.install(world.publish())
    assert podman_file(places).read_text().startswith(MARK)
    await world.drop()
    world.options = replace(OPTIONS, publishing=replace(places, docker=False, podman=False))
    await world.open()
    assert specs(places) == {}
    assert not podman_file(places).exists()
    assert set(world.engine.fronts) == {"toy:latest"}


async def test_what_another_agent_wrote_stays(world: World, places: Publishing) -> None:
    text = podman_content({"theirs:1": Path("/run/other/fronts/theirs:1.sock")}, 90)
    await world.drop()
    podman_file(places).parent.mkdir(parents=True)
    podman_file(places).write_text(text)
    for switched_on in (False, True):
        world.options = replace(OPTIONS, publishing=replace(places, podman=switched_on))
        await world.open()
        await world.drop()
        assert podman_file(places).read_text() == text
    await world.open()
    await world.install(world.publish())
    assert podman_file(places).read_text() == text


async def test_files_that_are_right_are_not_written_again(world: World, places: Publishing) -> None:
    await world.install(world.publish())
    paths = [docker_dir(places) / "toy.spec", podman_file(places)]
    before = [path.stat().st_ino for path in paths]
    await world.reopen()
    assert [path.stat().st_ino for path in paths] == before
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o644}


async def test_what_cannot_be_written_fails_nothing(world: World, places: Publishing) -> None:
    docker_dir(places).parent.mkdir(parents=True)
    docker_dir(places).write_text("in the way")
    plugin = await install.install(
        world.engine,
        world.publish(),
        name=parse_name("toy"),
        accepted=(),
        credentials=None,
        progress=world.lines.append,
    )
    assert plugin.id in world.engine.entries
    assert "toy" in drop_in(places)["volume_plugins"]
