# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A registry in the test's own process: real HTTP on loopback, content in memory.

    async with FakeRegistry() as registry:
        digest = registry.add_plugin("vieux/sshfs", "latest", config, [layer])
        ref = reference.parse(f"{registry.host}/vieux/sshfs:latest")
        registry.faults.corrupt_blobs = True

It serves what the OCI distribution spec says for pull and push, and what `Faults` says instead.
`requests` records every request in order. A second port, `storage_host`, plays the storage server
that blobs are redirected to, and `/token` the token server.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import gzip
import json
import ssl
import urllib.parse
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from aiohttp import web

from plugind.model import manifest as manifest_
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor, Manifest


@dataclasses.dataclass
class Faults:
    """What goes wrong. Change fields at any time; `FakeRegistry.faults = Faults()` mends all."""

    status: int | None = None  # every registry request answers this
    message: str = "the registry is out of order"
    truncate_blobs: bool = False  # half of each blob, with the length of the half
    truncate_quietly: bool = False  # the same, without a length
    lengthen_blobs: bool = False  # a few bytes more, without a length
    corrupt_blobs: bool = False  # the right length, other content
    disconnect_after: list[int] = dataclasses.field(default_factory=list)  # bytes, per request
    no_ranges: bool = False
    missing_blobs: bool = False
    redirect_blobs: bool = False  # to `storage_host`
    redirect_to: str | None = None  # blobs go to this URL
    storage_status: int | None = None  # what the storage server answers
    hold_blobs: asyncio.Event | None = None  # slow: blobs wait for this event (see `held`)
    wrong_digest_header: bool = False
    digest_header: str | None = None  # instead of the right one; empty: none
    one_accept_only: bool = False  # a list of types in Accept finds nothing
    absolute_location: bool = False  # of uploads


@dataclasses.dataclass(frozen=True)
class Recorded:
    """One request as it came in."""

    method: str
    path: str
    host: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]


class FakeRegistry:
    """See the module's text.

    `basic` and `bearer` are the user and password that everything then needs; `identity_token` is
    accepted by the token server, `registry_token` by the registry.
    """

    def __init__(
        self,
        *,
        basic: tuple[str, str] | None = None,
        bearer: tuple[str, str] | None = None,
        identity_token: str | None = None,
        registry_token: str | None = None,
        anonymous_pull: bool = False,
        reject_plugin_class: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.basic = basic
        self.bearer = bearer
        self.identity_token = identity_token
        self.anonymous_pull = anonymous_pull
        self.reject_plugin_class = reject_plugin_class
        self.faults = Faults()
        self.requests: list[Recorded] = []
        self.held = asyncio.Event()  # set once a blob waits for `hold_blobs`
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}  # (path, tag or digest)
        self.uploads: dict[str, str] = {}  # upload id -> path
        self.tokens: dict[str, list[str]] = {}  # token -> scopes
        if registry_token:
            self.tokens[registry_token] = ["*"]
        self.host = ""
        self.storage_host = ""
        self.realm: str | None = None  # instead of our own token server
        self._tls = tls
        self._runner: web.AppRunner | None = None

    # ---------------------------------------------------------------------------------- content

    def add_plugin(
        self,
        path: str,
        tag: str,
        config: bytes,
        layers: Sequence[bytes],
        *,
        compression: str = "gzip",
        config_type: str = manifest_.PLUGIN_CONFIG,
    ) -> Digest:
        """Publish a plugin: its config and its layers' tars. Return the manifest's digest."""
        media_type = manifest_.DOCKER_LAYER + ("" if compression == "none" else f".{compression}")
        manifest = manifest_.build(
            self.add_blob(config, config_type),
            tuple(self.add_blob(_compress(tar, compression), media_type) for tar in layers),
        )
        return self.add_manifest(path, tag, manifest.raw, manifest.media_type)

    def add_blob(self, content: bytes, media_type: str = "application/octet-stream") -> Descriptor:
        """Store a blob; return its descriptor."""
        digest = Digest.of(content)
        self.blobs[str(digest)] = content
        return Descriptor(media_type=media_type, digest=digest, size=len(content))

    def add_manifest(self, path: str, tag: str, raw: bytes, media_type: str) -> Digest:
        """Store a manifest or an index under `tag` and its digest."""
        digest = Digest.of(raw)
        self.manifests[path, tag] = self.manifests[path, str(digest)] = (media_type, raw)
        return digest

    def add_index(
        self,
        path: str,
        tag: str,
        entries: Mapping[str, Digest],
        *,
        media_type: str = manifest_.OCI_INDEX,
    ) -> Digest:
        """Store an index: platform (`linux/arm/v7`) -> digest of a manifest stored already."""
        documents = []
        for platform, digest in entries.items():
            kind, raw = self.manifests[path, str(digest)]
            names = ("os", "architecture", "variant")
            documents.append(
                {
                    "mediaType": kind,
                    "digest": str(digest),
                    "size": len(raw),
                    "platform": dict(zip(names, platform.split("/"), strict=False)),
                }
            )
        document = {"schemaVersion": 2, "mediaType": media_type, "manifests": documents}
        return self.add_manifest(path, tag, json.dumps(document).encode(), media_type)

    def manifest(self, path: str, tag: str) -> Manifest:
        """Return a stored manifest."""
        kind, raw = self.manifests[path, tag]
        parsed = manifest_.parse(raw, kind, f"{path}:{tag}")
        assert isinstance(parsed, Manifest)
        return parsed

    def paths(self) -> list[str]:
        """`METHOD /path` of every request so far."""
        return [f"{request.method} {request.path}" for request in self.requests]

    # -------------------------------------------------------------------------------- the server

    async def __aenter__(self) -> FakeRegistry:
        app = web.Application(client_max_size=1 << 30, middlewares=[self._guard])
        app.router.add_get("/token", self._get_token)
        app.router.add_post("/token", self._post_token)
        app.router.add_get("/storage/{digest}", self._get_blob)
        app.router.add_get("/v2/", self._get_base)
        app.router.add_get("/v2/{path:.+}/manifests/{name}", self._get_manifest)
        app.router.add_put("/v2/{path:.+}/manifests/{name}", self._put_manifest)
        app.router.add_get("/v2/{path:.+}/blobs/{digest:sha256:.+}", self._get_blob)
        app.router.add_post("/v2/{path:.+}/blobs/uploads/", self._post_upload)
        app.router.add_put("/v2/{path:.+}/blobs/uploads/{id}", self._put_upload)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        hosts = []
        for _ in range(2):
            site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
            await site.start()
            port = self._runner.addresses[-1][1]
            hosts.append(f"127.0.0.1:{port}")
        self.host, self.storage_host = hosts
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        if self.faults.hold_blobs is not None:
            self.faults.hold_blobs.set()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Base URL."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        query = {key: request.query.getall(key) for key in request.query}
        self.requests.append(
            Recorded(request.method, request.path, request.host, query, dict(request.headers))
        )
        if request.path.startswith("/v2/"):
            if self.faults.status is not None:
                return _error(self.faults.status, "UNKNOWN", self.faults.message)
            refusal = self._refuse(request)
            if refusal is not None:
                return refusal
        response: web.StreamResponse = await handler(request)
        return response

    # ------------------------------------------------------------------------------------- auth

    def _refuse(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "")
        push = request.method not in ("GET", "HEAD")
        if self.basic and given != _basic(self.basic):
            headers = {"WWW-Authenticate": 'Basic realm="fake registry"'}
            return _error(401, "UNAUTHORIZED", "authentication required", headers)
        if self.bearer is None or (self.anonymous_pull and not push and not given):
            return None
        scopes = self.tokens.get(given.removeprefix("Bearer "), [])
        path = request.match_info.get("path", "")
        if not path and given.removeprefix("Bearer ") in self.tokens:
            return None  # /v2/ itself wants to know who asks, nothing else
        if "*" in scopes or any(_grants(scope, path, push) for scope in scopes):
            return None
        wanted = f"repository:{path}:{'pull,push' if push else 'pull'}"
        realm = self.realm or f"{self.url}/token"
        challenge = f'Bearer realm="{realm}",service="fake, registry"'
        challenge += f',scope="{wanted}"' if path else ""
        return _error(
            401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge}
        )

    async def _get_token(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization")
        known = self.bearer is not None and given == _basic(self.bearer)
        if not known and (given or not self.anonymous_pull):
            return _error(401, "UNAUTHORIZED", "incorrect username or password")
        scopes = request.query.getall("scope", [])
        return self._issue([s for s in scopes if known or s.endswith(":pull")], scopes)

    async def _post_token(self, request: web.Request) -> web.Response:
        form = urllib.parse.parse_qs((await request.read()).decode())
        if form.get("refresh_token") != [self.identity_token]:
            return _error(401, "UNAUTHORIZED", "invalid refresh token")
        scopes = form["scope"][0].split()
        return self._issue(scopes, scopes)

    def _issue(self, granted: list[str], asked: list[str]) -> web.Response:
        if self.reject_plugin_class and any(scope.startswith("repository(") for scope in asked):
            return web.Response(status=400, text="invalid scope: repository(plugin)")
        token = f"token-{len(self.tokens)}"
        self.tokens[token] = granted
        return web.json_response({"token": token, "expires_in": 300})

    # ------------------------------------------------------------------------------------- pull

    async def _get_base(self, request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})

    async def _get_manifest(self, request: web.Request) -> web.Response:
        key = request.match_info["path"], request.match_info["name"]
        accept = request.headers.get("Accept", "")
        found = self.manifests.get(key)
        if found is not None and self.faults.one_accept_only and accept != found[0]:
            found = None
        if found is None or found[0] not in accept:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, raw = found
        headers = self._digest_header(raw) | {"Content-Type": media_type}
        return web.Response(body=raw, headers=headers)

    def _digest_header(self, raw: bytes) -> dict[str, str]:
        digest = str(Digest.of(raw + b"x" if self.faults.wrong_digest_header else raw))
        if self.faults.digest_header is not None:
            digest = self.faults.digest_header
        return {"Docker-Content-Digest": digest} if digest else {}

    async def _get_blob(self, request: web.Request) -> web.StreamResponse:
        digest, faults = request.match_info["digest"], self.faults
        content = self.blobs.get(digest)
        if content is None or faults.missing_blobs:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if request.path.startswith("/storage/"):
            if faults.storage_status is not None:
                return web.Response(status=faults.storage_status, text="storage is out of order")
        elif faults.redirect_to or faults.redirect_blobs:
            ours = f"{self.url.partition(':')[0]}://{self.storage_host}/storage/{digest}?key=secret"
            return web.Response(status=307, headers={"Location": faults.redirect_to or ours})
        if faults.hold_blobs is not None:
            self.held.set()
            await faults.hold_blobs.wait()
        return await self._send_blob(request, content)

    async def _send_blob(self, request: web.Request, content: bytes) -> web.StreamResponse:
        faults = self.faults
        if faults.truncate_blobs or faults.truncate_quietly:
            content = content[: len(content) // 2]
        if faults.lengthen_blobs:
            content += b"more"
        if faults.corrupt_blobs:
            content = bytes([content[0] ^ 0xFF]) + content[1:]
        response = web.StreamResponse()
        start = request.http_range.start or 0
        if start and not faults.no_ranges:
            response.set_status(206)
            response.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content = content[start:]
        if not faults.lengthen_blobs and not faults.truncate_quietly:
            response.content_length = len(content)
        await response.prepare(request)
        if request.method != "HEAD":
            if faults.disconnect_after:
                await response.write(content[: faults.disconnect_after.pop(0)])
                # Not a reset: the client gets what was written, and then the end.
                assert request.transport is not None
                request.transport.close()
                return response
            await response.write(content)
        await response.write_eof()
        return response

    # ------------------------------------------------------------------------------------- push

    async def _post_upload(self, request: web.Request) -> web.Response:
        upload = f"upload-{len(self.uploads)}"
        self.uploads[upload] = path = request.match_info["path"]
        location = f"/v2/{path}/blobs/uploads/{upload}?_state=a%2Bb%3D%3D"
        if self.faults.absolute_location:
            location = self.url + location
        return web.Response(status=202, headers={"Location": location})

    async def _put_upload(self, request: web.Request) -> web.Response:
        content = await request.read()
        if request.query.get("_state") != "a+b==" or request.match_info["id"] not in self.uploads:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        if request.query.get("digest") != str(Digest.of(content)):
            return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        del self.uploads[request.match_info["id"]]
        self.add_blob(content)
        return web.Response(status=201, headers=self._digest_header(content))

    async def _put_manifest(self, request: web.Request) -> web.Response:
        raw = await request.read()
        path, tag = request.match_info["path"], request.match_info["name"]
        parsed = manifest_.parse(raw, request.content_type, path)
        if isinstance(parsed, Manifest):
            needed = [str(blob.digest) for blob in (parsed.config, *parsed.layers)]
            missing = [digest for digest in needed if digest not in self.blobs]
            if missing:
                return _error(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown: {missing[0]}")
        self.add_manifest(path, tag, raw, request.content_type)
        return web.Response(status=201, headers=self._digest_header(raw))


def _compress(tar: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.compress(tar, mtime=0)
    if compression == "zstd":
        import zstandard

        return zstandard.ZstdCompressor().compress(tar)
    assert compression == "none", compression
    return tar


def _basic(pair: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(pair).encode()).decode()


def _grants(scope: str, path: str, push: bool) -> bool:
    kind, name, actions = scope.split(":")
    wanted = "push" if push else "pull"
    return kind.startswith("repository") and name == path and wanted in actions.split(",")


def _error(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    document = {"errors": [{"code": code, "message": message, "detail": None}]}
    return web.json_response(document, status=status, headers=headers)
