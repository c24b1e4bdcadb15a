# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Container images: the config blob, the record kept of one, and its Engine API objects.

    config blob     what the publisher wrote (OCI image spec, "Image Configuration"; Docker's is the
                    same); its digest is the image's id
    image.json      the blob as a string, names, repository digests, size: `to_record`
    API             `summary` for GET /images/json, `inspect` for GET /images/{name}/json

Names and repository digests are familiar (`busybox:latest`, `busybox@sha256:...`), as the plugins'
are. Of two images whose records claim one name, the one with the higher `serial` has it: a name
moves by one write, whatever a crash does to the write that takes it from the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from plugind import errors
from plugind.model.digest import Digest
from plugind.model.images import document as document_
from plugind.model.manifest import Platform

ZERO_TIME = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What a container made of the image inherits. None and () differ for entrypoint and cmd."""

    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    stop_signal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image. `layers` are diff_ids; `size` is the bytes of its files; `raw` the config blob."""

    id: Digest
    config: ImageConfig
    raw: bytes
    layers: tuple[Digest, ...] = ()
    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    created: str = ""
    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    size: int = 0
    tagged_at: str = ZERO_TIME
    serial: int = 0

    @property
    def platform(self) -> Platform:
        """What the image was built for."""
        return Platform(os=self.os, architecture=self.architecture, variant=self.variant)

    @property
    def references(self) -> tuple[str, ...]:
        """Names and repository digests."""
        return (*self.names, *self.digests)

    def named(self, *references: str, serial: int, tagged_at: str) -> Image:
        """Return the image with more names or repository digests (they hold a `@`)."""
        names = {name for name in references if "@" not in name}
        digests = set(references) - names
        return replace(
            self,
            names=tuple(sorted(names.union(self.names))),
            digests=tuple(sorted(digests.union(self.digests))),
            serial=serial,
            tagged_at=tagged_at,
        )

    def without(self, *references: str) -> Image:
        """Return the image without these names or repository digests."""
        return replace(
            self,
            names=tuple(name for name in self.names if name not in references),
            digests=tuple(name for name in self.digests if name not in references),
        )

    def to_record(self) -> dict[str, Any]:
        """Return the image as `image.json` keeps it."""
        return {
            "id": str(self.id),
            "names": list(self.names),
            "digests": list(self.digests),
            "serial": self.serial,
            "tagged_at": self.tagged_at,
            "size": self.size,
            "config": self.raw.decode(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUser:
    """A container made of an image."""

    id: str
    running: bool

    def __str__(self) -> str:
        return f"{'running' if self.running else 'stopped'} container {self.id[:12]}"


def parse(raw: bytes) -> Image:
    """Read a config blob as an image without names; InvalidParameter says what is wrong with it."""
    document = document_.load(raw)
    rootfs = document_.get_object(document, "rootfs", "rootfs")
    if rootfs.get("type") != "layers":
        raise document_.invalid("rootfs.type", 'want "layers"')
    diff_ids = document_.get_texts(rootfs, "diff_ids", "rootfs.diff_ids")
    os = document_.get_text(document, "os", "os") or "linux"
    return Image(
        id=Digest.of(raw),
        config=_parse_config(document_.get_object(document, "config", "config")),
        raw=raw,
        layers=tuple(document_.parse_diff_id(text) for text in diff_ids or ()),
        created=document_.get_text(document, "created", "created"),
        architecture=document_.get_text(document, "architecture", "architecture"),
        os=os,
        variant=document_.get_text(document, "variant", "variant"),
    )


def from_record(record: Mapping[str, Any]) -> Image:
    """Read `image.json` back; InvalidParameter, KeyError or TypeError if it is broken."""
    image = parse(record["config"].encode())
    if str(image.id) != record["id"]:
        raise errors.InvalidParameter(f"the config of image {record['id']} is that of {image.id}")
    return replace(
        image,
        names=tuple(record["names"]),
        digests=tuple(record["digests"]),
        serial=int(record["serial"]),
        tagged_at=record["tagged_at"],
        size=int(record["size"]),
    )


def summary(image: Image, *, containers: int | None = None) -> dict[str, Any]:
    """Return the Engine API's ImageSummary; without a number of containers for a list.

    Images share nothing here; a list says -1, not measured, as Docker's does unless it is asked.
    """
    counted = containers is not None
    return {
        "Containers": containers if counted else -1,
        "Created": document_.unix_time(image.created),
        "Id": str(image.id),
        "Labels": dict(image.config.labels) or None,
        "ParentId": "",
        "RepoDigests": list(image.digests),
        "RepoTags": list(image.names),
        "SharedSize": 0 if counted else -1,
        "Size": image.size,
    }


def inspect(image: Image, *, rootfs: str) -> dict[str, Any]:
    """Return the Engine API's ImageInspect; `rootfs` is where its files lie on this host."""
    document = json.loads(image.raw)
    shown: dict[str, Any] = {
        "Id": str(image.id),
        "RepoTags": list(image.names),
        "RepoDigests": list(image.digests),
        "Parent": "",
        "Comment": document_.comment_of(document),
        "Created": image.created or ZERO_TIME,
        "DockerVersion": str(document.get("docker_version") or ""),
        "Author": str(document.get("author") or ""),
        "Config": _render_config(image.config, document.get("config") or {}),
        "Architecture": image.architecture,
        "Os": image.os,
        "Size": image.size,
        "GraphDriver": {"Name": "plugind", "Data": {"RootFS": rootfs}},
        "RootFS": {"Type": "layers", "Layers": [str(layer) for layer in image.layers]},
        "Metadata": {"LastTagTime": image.tagged_at},
    }
    if image.variant:
        shown["Variant"] = image.variant
    return shown


def _parse_config(document: Mapping[str, Any]) -> ImageConfig:
    entrypoint = document_.get_texts(document, "Entrypoint", "config.Entrypoint")
    return ImageConfig(
        entrypoint=entrypoint,
        cmd=document_.get_texts(document, "Cmd", "config.Cmd"),
        env=document_.get_texts(document, "Env", "config.Env") or (),
        working_dir=document_.get_text(document, "WorkingDir", "config.WorkingDir"),
        user=document_.get_text(document, "User", "config.User"),
        labels=document_.get_labels(document, "Labels", "config.Labels"),
        volumes=document_.get_set(document, "Volumes", "config.Volumes"),
        exposed_ports=document_.get_set(document, "ExposedPorts", "config.ExposedPorts"),
        stop_signal=document_.get_text(document, "StopSignal", "config.StopSignal"),
    )


def _render_config(config: ImageConfig, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return `Config` with every key that clients of this API version look for."""
    shown: dict[str, Any] = {
        "Hostname": "",
        "Domainname": "",
        "User": config.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": list(config.env) or None,
        "Cmd": None if config.cmd is None else list(config.cmd),
        "Image": "",
        "Volumes": {name: {} for name in config.volumes} or None,
        "WorkingDir": config.working_dir,
        "Entrypoint": None if config.entrypoint is None else list(config.entrypoint),
        "OnBuild": document.get("OnBuild"),
        "Labels": dict(config.labels) or None,
    }
    if config.exposed_ports:
        shown["ExposedPorts"] = {name: {} for name in config.exposed_ports}
    if config.stop_signal:
        shown["StopSignal"] = config.stop_signal
    for key in ("Healthcheck", "Shell", "ArgsEscaped"):
        if document.get(key):
            shown[key] = document[key]
    return shown
