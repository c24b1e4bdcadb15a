# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What a container mounts: `-v`, `--mount`, `--tmpfs` and an image's VOLUMEs, in one shape.

    HostConfig.Binds    ["name:/path[:mode]", "/host:/path[:mode]", "/path"]
    HostConfig.Mounts   [{"Type", "Source", "Target", "ReadOnly", "VolumeOptions", ...}]
    HostConfig.Tmpfs    {"/path": "size=1m,mode=700"}
    Config.Volumes      {"/path": {}}, and the image's: anonymous volumes

Messages are Docker's (moby `volume/mounts`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plugind import errors
from plugind.model.containers import fields as fields_

BIND, VOLUME, TMPFS = "bind", "volume", "tmpfs"
#: Modes that mean what is done anyway; consistency is a matter of Docker Desktop.
_PLAIN_MODES = frozenset({"rw", "private", "rprivate", "cached", "delegated", "consistent"})
_OTHER_MODES = frozenset({"z", "Z", "shared", "rshared", "slave", "rslave"})
_MOUNT_KEYS = ("type", "source", "target", "readonly", "consistency")
_VOLUME_KEYS = ("nocopy", "labels", "driverconfig")
_BIND_KEYS = ("propagation", "createmountpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerMount:
    """One mount. `source` is a volume's name ("" until one is made) or a path on the host.

    `driver` of "" is whichever has the volume, else `local`. `options` are the volume driver's, or
    those of the tmpfs. `made_up` is a volume that nobody named; it goes with its container.
    """

    type: str
    target: str
    source: str = ""
    read_only: bool = False
    driver: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    copy_up: bool = True
    create_source: bool = False
    made_up: bool = False

    def to_record(self) -> dict[str, Any]:
        """Return the mount as `container.json` keeps it."""
        return {
            "type": self.type,
            "target": self.target,
            "source": self.source,
            "read_only": self.read_only,
            "driver": self.driver,
            "options": dict(self.options),
            "labels": dict(self.labels),
            "copy_up": self.copy_up,
            "create_source": self.create_source,
            "made_up": self.made_up,
        }


def parse_mounts(
    host_config: Mapping[str, Any], volumes: Iterable[str], image_volumes: Iterable[str]
) -> tuple[ContainerMount, ...]:
    """Return everything to mount, shallow targets first; InvalidParameter says what is wrong."""
    driver = str(host_config.get("VolumeDriver") or "")
    found: dict[str, ContainerMount] = {}
    named = [parse_bind(text, driver) for text in host_config.get("Binds") or ()]
    named += [_parse_mount(one) for one in host_config.get("Mounts") or ()]
    named += [_parse_tmpfs(path, data) for path, data in (host_config.get("Tmpfs") or {}).items()]
    for mount in named:
        if mount.target in found:
            raise errors.InvalidParameter(f"Duplicate mount point: {mount.target}")
        found[mount.target] = mount
    for path in (*volumes, *image_volumes):
        target = _target(path, path)
        found.setdefault(
            target, ContainerMount(type=VOLUME, target=target, driver=driver, made_up=True)
        )
    return tuple(sorted(found.values(), key=lambda mount: (_depth(mount.target), mount.target)))


def without_options(host_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `HostConfig` as it may be kept: volume options are the volume's, and may be secrets."""
    kept = [
        {key: value for key, value in one.items() if str(key).lower() != "volumeoptions"}
        if str(one.get("Type", one.get("type"))) == VOLUME
        else one
        for one in host_config["Mounts"] or ()
    ]
    return {**host_config, "Mounts": kept or None}


def parse_bind(text: object, driver: str) -> ContainerMount:
    """Parse one of `Binds`: `source:target[:mode,mode]`, or a target alone."""
    if not isinstance(text, str):
        raise errors.InvalidParameter("invalid JSON: HostConfig.Binds holds no string")
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise errors.InvalidParameter(f"invalid volume specification: '{text}'")
    if len(parts) == 1:
        target = _target(parts[0], text)
        return ContainerMount(type=VOLUME, target=target, driver=driver, made_up=True)
    modes = parts[2].split(",") if len(parts) == 3 else []
    for mode in modes:
        if mode in _OTHER_MODES:
            raise fields_.unsupported("bind mode", mode)
        if mode not in _PLAIN_MODES and mode not in ("ro", "nocopy"):
            raise errors.InvalidParameter(f"invalid mode: {parts[2]}")
    if "ro" in modes and "rw" in modes:
        raise errors.InvalidParameter(f"invalid mode: {parts[2]}")
    source, target = parts[0], _target(parts[1], text)
    read_only = "ro" in modes
    if source.startswith("/"):
        if "nocopy" in modes:
            raise errors.InvalidParameter(f"invalid mode: {parts[2]}")
        return ContainerMount(
            type=BIND,
            source=posixpath.normpath(source),
            target=target,
            read_only=read_only,
            create_source=True,
        )
    return ContainerMount(
        type=VOLUME,
        source=source,
        target=target,
        read_only=read_only,
        driver=driver,
        copy_up="nocopy" not in modes,
    )


def _parse_mount(document: object) -> ContainerMount:
    """Parse one of `Mounts`."""
    given = _lowered(document, "HostConfig.Mounts")
    kind = given.get("type")
    if kind not in (BIND, VOLUME, TMPFS):
        raise fields_.unsupported("mount type", kind or "none")
    options = _lowered(given.get(f"{kind}options"), f"HostConfig.Mounts.{kind}Options")
    for key, value in given.items():
        if key not in (*_MOUNT_KEYS, f"{kind}options") and not fields_.is_zero(value):
            raise fields_.unsupported(f"HostConfig.Mounts.{key}")
    source, text = _text(given, "source"), _text(given, "target")
    if not text:
        raise _invalid(kind, "field Target must not be empty")
    target = _target(text, text)
    read_only = given.get("readonly") is True
    if kind == TMPFS:
        return _tmpfs_mount(source, target, options, read_only=read_only)
    if kind == BIND:
        return _bind_mount(source, target, options, read_only=read_only)
    return _volume_mount(source, target, options, read_only=read_only)


def _bind_mount(
    source: str, target: str, options: Mapping[str, Any], *, read_only: bool
) -> ContainerMount:
    if not source:
        raise _invalid(BIND, "field Source must not be empty")
    if not source.startswith("/"):
        raise _invalid(BIND, f"invalid mount path: '{source}' mount path must be absolute")
    _refuse_others(options, _BIND_KEYS, "HostConfig.Mounts.BindOptions")
    propagation = options.get("propagation") or ""
    if propagation not in ("", "private", "rprivate"):
        raise fields_.unsupported("bind propagation", propagation)
    return ContainerMount(
        type=BIND,
        source=posixpath.normpath(source),
        target=target,
        read_only=read_only,
        create_source=options.get("createmountpoint") is True,
    )


def _volume_mount(
    source: str, target: str, options: Mapping[str, Any], *, read_only: bool
) -> ContainerMount:
    _refuse_others(options, _VOLUME_KEYS, "HostConfig.Mounts.VolumeOptions")
    config = _lowered(options.get("driverconfig"), "HostConfig.Mounts.VolumeOptions.DriverConfig")
    return ContainerMount(
        type=VOLUME,
        source=source,
        target=target,
        read_only=read_only,
        driver=_text(config, "name"),
        options=_texts(config, "options"),
        labels=_texts(options, "labels"),
        copy_up=options.get("nocopy") is not True,
        made_up=not source,
    )


def _tmpfs_mount(
    source: str, target: str, options: Mapping[str, Any], *, read_only: bool
) -> ContainerMount:
    if source:
        raise _invalid(TMPFS, "field Source must not be specified")
    _refuse_others(options, ("sizebytes", "mode"), "HostConfig.Mounts.TmpfsOptions")
    words = {}
    if options.get("sizebytes"):
        words["size"] = str(int(options["sizebytes"]))
    if options.get("mode"):
        words["mode"] = f"{int(options['mode']):o}"
    return ContainerMount(type=TMPFS, target=target, read_only=read_only, options=words)


def _parse_tmpfs(path: str, data: object) -> ContainerMount:
    """Parse one of `Tmpfs`: mount options, `ro` among them."""
    words = [word for word in str(data or "").split(",") if word]
    options = dict(word.partition("=")[::2] for word in words if word not in ("ro", "rw"))
    return ContainerMount(
        type=TMPFS, target=_target(path, path), read_only="ro" in words, options=options
    )


def _target(path: str, text: str) -> str:
    if not path.startswith("/"):
        raise errors.InvalidParameter(
            f"invalid volume specification: '{text}': invalid mount config: "
            f"invalid mount path: '{path}' mount path must be absolute"
        )
    target = posixpath.normpath("/" + path.lstrip("/"))
    if target == "/":
        raise errors.InvalidParameter(
            f"invalid volume specification: '{text}': invalid mount config: "
            "invalid specification: destination can't be '/'"
        )
    return target


def _invalid(kind: str, why: str) -> errors.InvalidParameter:
    return errors.InvalidParameter(f'invalid mount config for type "{kind}": {why}')


def _refuse_others(options: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key, value in options.items():
        if key not in known and not fields_.is_zero(value):
            raise fields_.unsupported(f"{where}.{key}")


def _lowered(document: object, where: str) -> dict[str, Any]:
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise errors.InvalidParameter(f"invalid JSON: {where} is no object")
    return {str(key).lower(): value for key, value in document.items()}


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise errors.InvalidParameter(f"invalid JSON: {key} of a mount is no string")
    return value or ""


def _texts(document: Mapping[str, Any], key: str) -> dict[str, str]:
    value = document.get(key) or {}
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise errors.InvalidParameter(f"invalid JSON: {key} of a mount maps no strings to strings")
    return dict(value)


def _depth(path: str) -> int:
    return path.count("/")
