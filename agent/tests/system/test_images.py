# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Images with the real docker CLI, the docker SDK and a real registry, on the real daemon."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import subprocess
from pathlib import Path

import docker
import pytest

from plugind.model.digest import Digest
from support import daemon, image, invariants
from support.daemon import Agent
from support.docker_registry import DockerRegistry

pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(image.REASON), reason=image.REASON)]


@pytest.fixture
def busybox(registry: DockerRegistry) -> str:
    """A busybox in the registry; return its repository."""
    image.push(registry.host, "busybox", *image.busybox(), oci=True)
    return f"{registry.host}/busybox"


def test_docker_pull_images_inspect_tag_rmi(
    agent: Agent, registry: DockerRegistry, busybox: str
) -> None:
    daemon.require("docker")
    raw, _ = image.busybox()
    shown = agent.cli("pull", busybox)
    assert "latest: Pulling from busybox" in shown
    assert "Pull complete" in shown
    assert f"Status: Downloaded newer image for {busybox}:latest" in shown
    assert f"Status: Image is up to date for {busybox}:latest" in agent.cli("pull", busybox)

    listed = agent.cli("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").split()
    assert listed == [f"{busybox}:latest", Digest.of(raw).short]
    (inspected,) = json.loads(agent.cli("image", "inspect", busybox))
    assert inspected["Config"]["Cmd"] == ["sh"]
    assert inspected["Id"] == str(Digest.of(raw))
    (digest,) = inspected["RepoDigests"]
    assert agent.cli("image", "inspect", "-f", "{{.Id}}", digest).strip() == inspected["Id"]
    rootfs = Path(inspected["GraphDriver"]["Data"]["RootFS"])
    ran = subprocess.run(
        ["chroot", rootfs, "/bin/sh", "-c", "echo hi"], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "hi\n"

    agent.cli("tag", busybox, "alias:2")
    assert agent.cli("rmi", "alias:2") == "Untagged: alias:2\n"
    assert "1 " in agent.cli("system", "df", "--format", "{{.TotalCount}} {{.Type}}")
    assert json.loads(agent.cli("info", "--format", "{{json .}}"))["Images"] == 1
    agent.kill()
    agent.start()
    assert agent.cli("images", "-q").strip() == Digest.of(raw).short
    removed = agent.cli("rmi", busybox)
    assert f"Untagged: {busybox}:latest" in removed
    assert f"Deleted: {inspected['Id']}" in removed
    assert agent.cli("images", "-q") == ""
    assert f"No such image: {busybox}:latest" in agent.cli("rmi", busybox, status=1)
    invariants.check_empty(agent.root)


def test_a_pull_that_fails(agent: Agent, registry: DockerRegistry) -> None:
    name = f"{registry.host}/none:1"
    assert f"manifest for {name} not found" in agent.cli("pull", name, status=1)
    assert "not supported by plugind" in agent.cli("pull", "-a", f"{registry.host}/none", status=1)


def test_docker_import_and_load(agent: Agent, tmp_path: Path) -> None:
    raw, layers = image.busybox()
    tar = tmp_path / "rootfs.tar.gz"
    tar.write_bytes(gzip.compress(layers[0], 1))
    changes = ["-c", 'CMD ["sh", "-c", "echo hi"]', "-c", "ENV A=1 B='x y'", "-c", "USER user"]
    imported = agent.cli("import", *changes, "-m", "made here", str(tar), "made:1").strip()
    (inspected,) = json.loads(agent.cli("image", "inspect", "made:1"))
    assert inspected["Id"] == imported
    assert inspected["Config"]["Cmd"] == ["sh", "-c", "echo hi"]
    assert inspected["Config"]["Env"] == ["A=1", "B=x y"]
    assert inspected["Config"]["User"] == "user"
    assert inspected["Comment"] == "made here"
    assert "not supported" in agent.cli("import", "-c", "ONBUILD RUN x", str(tar), "x", status=1)

    for make in (image.archive, image.oci_archive):
        archive = tmp_path / "archive.tar"
        archive.write_bytes(make("loaded:1", raw, layers))
        assert "Loaded image: loaded:1" in agent.cli("load", "-i", str(archive))
        assert "Loaded image: loaded:1" in agent.cli("load", "-q", "-i", str(archive))
        assert f"Deleted: {Digest.of(raw)}" in agent.cli("rmi", "loaded:1")
    assert f"deleted: {imported}" in agent.cli("image", "prune", "-af")
    for arguments in (("push", "made:1"), ("save", "made:1"), ("history", "made:1")):
        assert "not supported by plugind" in agent.cli(*arguments, status=1)
    invariants.check_empty(agent.root)


def test_the_docker_sdk(agent: Agent, registry: DockerRegistry, busybox: str) -> None:
    raw, layers = image.busybox()
    client = docker.DockerClient(base_url=agent.url)
    try:
        pulled = client.images.pull(busybox)
        assert pulled.tags == [f"{busybox}:latest"]
        assert pulled.id == str(Digest.of(raw))
        assert pulled.tag("sdk", "1")
        assert [one.id for one in client.images.list(name="sdk")] == [pulled.id]
        assert client.images.get("sdk:1").attrs["Os"] == "linux"
        (loaded,) = client.images.load(io.BytesIO(image.archive("loaded:2", raw, layers)))
        assert "loaded:2" in loaded.tags
        client.api.import_image_from_data(
            layers[0], repository="made", tag="3", changes=["CMD sh", "LABEL a=b"]
        )
        assert client.images.get("made:3").labels == {"a": "b"}
        assert [one.tags for one in client.images.list(filters={"label": "a=b"})] == [["made:3"]]
        with pytest.raises(docker.errors.ImageNotFound):
            client.images.get("nosuch")
        with pytest.raises(docker.errors.NotFound, match="manifest unknown"):
            client.images.pull(f"{registry.host}/nosuch")
        client.images.remove(pulled.id, force=True)
        client.images.remove("made:3")
        assert client.images.list() == []
        assert client.images.prune()["SpaceReclaimed"] == 0
        assert client.df()["Images"] == []
        with contextlib.closing(client.events(since=1, decode=True)) as events:
            actions = [next(events)["Action"] for _ in range(10)]
        assert actions[:4] == ["pull", "tag", "load", "import"]
        assert actions[4:] == ["untag"] * 4 + ["delete", "untag"]
    finally:
        client.close()
