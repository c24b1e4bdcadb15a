# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Container images for tests, made of this machine's own programs: nothing is downloaded.

    image.layer({"etc/motd": b"hi"})          a layer's tar with these files
    image.config([layer, ...], Cmd=["sh"])    a config blob for these layers
    image.busybox_layer()                     a tar with a shell and PROGRAMS, which really run
    image.archive("busybox:latest", ...)      what `docker save` writes
    image.publish(registry, "busybox", ...)   into the fake registry
    image.push(host, "busybox", ...)          into a real registry

The programs are busybox if the machine has it (busybox-static), else its own coreutils and dash with
the libraries that they ask for. `REASON` says why they cannot be had, if so.
"""

from __future__ import annotations

import functools
import http.client
import io
import json
import re
import shutil
import subprocess
import tarfile
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fakes.registry import FakeRegistry
from plugind.model import manifest as manifest_
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor, Manifest

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
PROGRAMS = (
    "sh", "cat", "chmod", "chown", "cp", "date", "dd", "df", "echo", "env", "expr", "false", "head",
    "id", "ln", "ls", "mkdir", "mknod", "mv", "nproc", "printf", "pwd", "readlink", "rm", "rmdir",
    "seq", "sleep", "sort", "stat", "stty", "sync", "tail", "tee", "test", "touch", "tr", "true",
    "tty", "uname", "wc", "whoami", "yes", "hostname", "mount", "umount", "grep", "sed",
)  # fmt: skip
_DIRECTORIES = (
    "bin", "dev", "etc", "home", "lib", "lib64", "proc", "root", "run", "sys", "usr", "var",
)  # fmt: skip
_ETC = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n"
    b"user:x:1000:1000:user:/home:/bin/sh\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\nuser:x:1000:\nextra:x:2000:user\n",
}
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")
REASON = "" if shutil.which("busybox") or shutil.which("ldd") else "needs busybox or ldd"


def layer(files: Mapping[str, bytes] | None = None) -> bytes:
    """Return a layer's tar: `name` a file, `name/` a directory, `name@` a link to the content."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        for name, data in (files or {}).items():
            entry = tarfile.TarInfo(name.rstrip("/@"))
            entry.mode = 0o755
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            elif name.endswith("@"):
                entry.type, entry.linkname = tarfile.SYMTYPE, data.decode()
            else:
                entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return output.getvalue()


def config(layers: Sequence[bytes], **members: Any) -> bytes:
    """Return the config blob of an image; members go to its `config` (Cmd, Env, Labels, ...)."""
    document = {
        "architecture": manifest_.platform_of("x86_64").architecture,
        "os": "linux",
        "created": "2024-02-03T04:05:06.789Z",
        "config": members,
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(tar)) for tar in layers]},
        "history": [{"created": "2024-02-03T04:05:06Z", "created_by": "a test"}],
    }
    return json.dumps(document).encode()


@functools.cache
def busybox_layer() -> bytes:
    """Return the tar of a small root file system: a shell, PROGRAMS, users, empty directories."""
    files = {f"{name}/": b"" for name in _DIRECTORIES} | {"usr/bin@": b"../bin"} | dict(_ETC)
    busybox = shutil.which("busybox")
    if busybox:
        programs = {"busybox": busybox}
        files |= {f"bin/{name}@": b"busybox" for name in PROGRAMS}
    else:
        found = {name: shutil.which(name) for name in PROGRAMS}
        programs = {name: path for name, path in found.items() if path is not None}
    for name, path in programs.items():
        files[f"bin/{name}"] = Path(path).read_bytes()
        files |= {library.lstrip("/"): Path(library).read_bytes() for library in _libraries(path)}
    return layer(_with_parents(files))


def busybox(**members: Any) -> tuple[bytes, list[bytes]]:
    """Return config blob and layers of an image that runs PROGRAMS; Cmd is `sh`."""
    layers = [busybox_layer()]
    defaults = {"Cmd": ["sh"], "Env": ["PATH=/usr/bin:/bin"]}
    return config(layers, **{**defaults, **members}), layers


def archive(name: str | None, raw: bytes, layers: Sequence[bytes]) -> bytes:
    """Return the tar that `docker save` writes (without the OCI layout of Docker 25)."""
    paths = [f"{Digest.of(tar).hex}/layer.tar" for tar in layers]
    path = f"{Digest.of(raw).hex}.json"
    tags = [name] if name else None
    document = [{"Config": path, "RepoTags": tags, "Layers": paths}]
    files = dict(zip(paths, layers, strict=True)) | {path: raw}
    return layer(files | {"manifest.json": json.dumps(document).encode()})


def oci_archive(name: str | None, raw: bytes, layers: Sequence[bytes]) -> bytes:
    """Return a tar with an OCI image layout, which has no manifest.json."""
    manifest = make_manifest(raw, layers, oci=True)
    blobs = {str(Digest.of(blob)): blob for blob in (manifest.raw, raw, *layers)}
    files = {f"blobs/sha256/{key.partition(':')[2]}": blob for key, blob in blobs.items()}
    entry: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": str(manifest.digest),
        "size": len(manifest.raw),
    }
    if name:
        entry["annotations"] = {"io.containerd.image.name": name}
    index = {"schemaVersion": 2, "manifests": [entry]}
    files["index.json"] = json.dumps(index).encode()
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    return layer(files)


def make_manifest(raw: bytes, layers: Sequence[bytes], *, oci: bool = False) -> Manifest:
    """Return the manifest of an image with uncompressed layers."""
    config_type = manifest_.OCI_MANIFEST.replace("manifest", "config") if oci else DOCKER_CONFIG
    layer_type = manifest_.OCI_LAYER if oci else manifest_.DOCKER_LAYER
    built = manifest_.build(
        _descriptor(raw, config_type), tuple(_descriptor(tar, layer_type) for tar in layers)
    )
    if not oci:
        return built
    document = json.loads(built.raw) | {"mediaType": manifest_.OCI_MANIFEST}
    parsed = manifest_.parse(json.dumps(document).encode(), manifest_.OCI_MANIFEST, "an image")
    assert isinstance(parsed, Manifest)
    return parsed


def publish(
    registry: FakeRegistry,
    path: str,
    raw: bytes,
    layers: Sequence[bytes],
    *,
    tag: str = "latest",
    compression: str = "gzip",
) -> Digest:
    """Put an image into the fake registry; return the manifest's digest."""
    return registry.add_plugin(
        path, tag, raw, layers, compression=compression, config_type=DOCKER_CONFIG
    )


def push(
    host: str,
    path: str,
    raw: bytes,
    layers: Sequence[bytes],
    *,
    tag: str = "latest",
    oci: bool = False,
) -> Digest:
    """Put an image into a real registry by HTTP; return the manifest's digest."""
    manifest = make_manifest(raw, layers, oci=oci)
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        for blob in (raw, *layers):
            location = _send(connection, "POST", f"/v2/{path}/blobs/uploads/", b"", 202)
            where = urllib.parse.urlsplit(location)
            digest = urllib.parse.quote(str(Digest.of(blob)))
            target = f"{where.path}?{where.query}&digest={digest}"
            _send(connection, "PUT", target, blob, 201)
        target = f"/v2/{path}/manifests/{tag}"
        _send(connection, "PUT", target, manifest.raw, 201, manifest.media_type)
    finally:
        connection.close()
    return manifest.digest


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: bytes,
    status: int,
    content_type: str = "application/octet-stream",
) -> str:
    connection.request(method, target, body, {"Content-Type": content_type})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == status, (method, target, answer.status, text)
    return answer.headers.get("Location", "")


def _descriptor(content: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(content), size=len(content))


def _libraries(program: str) -> list[str]:
    """Return the libraries that a program asks for, its loader included; none if it is static."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return _LIBRARY.findall(done.stdout)


def _with_parents(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files with every directory above them, parents first."""
    parents = {
        f"{parent}/": b"" for name in files for parent in Path(name).parents if str(parent) != "."
    }
    return dict(sorted((parents | dict(files)).items(), key=lambda item: item[0].count("/")))
