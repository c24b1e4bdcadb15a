# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What is asked of a registry: the Registry port, in calls of the OCI distribution spec.

    resolve        GET manifests/<tag or digest>; of an index also the chosen manifest, by digest
    fetch_bytes    GET blobs/<digest>, small, verified
    open_blob      GET blobs/<digest>, streamed, resumed
    push_blob      HEAD blobs/<digest>, POST blobs/uploads/, PUT <Location>?digest=
    push_manifest  PUT manifests/<tag>
    log_in         GET /v2/

How a call is carried out (endpoints, authorization, redirects, connections) is `client`'s.
"""

from __future__ import annotations

import abc
import contextlib
import urllib.parse
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from plugind import errors
from plugind.model import manifest as manifest_
from plugind.model.credentials import Credentials
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor, Index, Kind, Manifest, Platform
from plugind.model.reference import DEFAULT_TAG, Reference
from plugind.registry import answers, auth, transfer
from plugind.registry.endpoints import Endpoint, Endpoints, add_query
from plugind.registry.transfer import Answer

MAX_MANIFEST = 4 << 20
MAX_BYTES = 8 << 20
_ACCEPT = (*manifest_.MANIFEST_TYPES, *manifest_.INDEX_TYPES)
# Docker's retry: old registries do not understand a list of types, and then find nothing, or call
# the request malformed.
_CONFUSED = (400, 404, 406, 415)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What to ask of whichever endpoint answers. `what` completes "cannot ..."."""

    what: str
    ref: Reference
    credentials: Credentials | None
    path: str  # below /v2/<repository>/, or an absolute URL: an upload's Location
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], bytes | AsyncIterator[bytes]] | None = None  # called for each repetition
    push: bool = False
    expect: tuple[int, ...] = (200,)

    @property
    def scope(self) -> str:
        """What it needs the right to; "" if that is nothing but to be known."""
        return auth.compute_scope(self.ref.path, push=self.push)

    def url(self, endpoint: Endpoint) -> str:
        """Return the URL of this call at `endpoint`."""
        below = f"{endpoint.url}/v2/{self.ref.path}/{self.path}"
        return self.path if "://" in self.path else below


class Login(Call):
    """A call of no repository's: whether the registry knows who asks."""

    @property
    def scope(self) -> str:
        """None."""
        return ""

    def url(self, endpoint: Endpoint) -> str:
        """Return the base of the API."""
        return f"{endpoint.url}/v2/"


class Operations(abc.ABC):
    """The operations, given something that carries out calls."""

    def __init__(self, *, platform: Platform, endpoints: Endpoints) -> None:
        self._platform = platform
        self._endpoints = endpoints

    @abc.abstractmethod
    async def _open(self, call: Call) -> Answer:
        """Return the answer of the first endpoint whose status the call expects."""

    @contextlib.asynccontextmanager
    async def _request(self, call: Call) -> AsyncIterator[Answer]:
        answer = await self._open(call)
        try:
            yield answer
        finally:
            answer.release()

    async def resolve(
        self,
        ref: Reference,
        credentials: Credentials | None,
        *,
        kind: Kind = Kind.PLUGIN,
        platform: Platform | None = None,
    ) -> Manifest:
        """Return the manifest of `ref` for the platform (None: this host's), its digest verified."""
        found = await self._fetch_manifest(ref, credentials, kind)
        if isinstance(found, Manifest):
            return found
        chosen = found.select(platform or self._platform, str(ref))
        inner = replace(ref, digest=chosen.digest)
        manifest = await self._fetch_manifest(inner, credentials, kind)
        if not isinstance(manifest, Manifest):
            raise errors.System(f"cannot resolve {ref}: its index names another index")
        return replace(manifest, index=found.digest)

    async def _fetch_manifest(
        self, ref: Reference, credentials: Credentials | None, kind: Kind
    ) -> Manifest | Index:
        call = _manifest_call(ref, credentials)
        refusal: errors.PlugindError | None = None
        for accept in (", ".join(_ACCEPT), *_ACCEPT):
            async with self._request(replace(call, headers={"Accept": accept})) as answer:
                if answer.status == 200:
                    return await _read_manifest(ref, answer, call.what)
                # The first refusal is the telling one: it answers for every type.
                refusal = refusal or await _read_refusal(ref, answer, call.what, kind)
        assert refusal is not None  # noqa: S101 - the loop returned or set it; for mypy
        raise refusal

    async def fetch_bytes(
        self, ref: Reference, descriptor: Descriptor, credentials: Credentials | None
    ) -> bytes:
        """Return a small blob, its size and digest verified."""
        what = f"blob {descriptor.digest} of {ref}"
        if descriptor.size > MAX_BYTES:
            raise errors.System(
                f"cannot fetch {what}: {descriptor.size} bytes, at most {MAX_BYTES}"
            )
        async with self.open_blob(ref, descriptor, credentials) as chunks:
            content = b"".join([chunk async for chunk in chunks])
        descriptor.digest.verify(content, what)
        return content

    @contextlib.asynccontextmanager
    async def open_blob(
        self, ref: Reference, descriptor: Descriptor, credentials: Credentials | None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream a blob's bytes; its size is enforced, a broken connection is resumed."""
        call = Call(
            what=f"fetch blob {descriptor.digest} of {ref}",
            ref=ref,
            credentials=credentials,
            path=f"blobs/{descriptor.digest}",
        )

        async def open_at(offset: int) -> Answer:
            headers = {"Range": f"bytes={offset}-"} if offset else {}
            return await self._open(replace(call, headers=headers, expect=(200, 206)))

        answer = await self._open(call)
        reader = transfer.BlobReader(answer, open_at, descriptor.size, call.what)
        try:
            yield reader.read_chunks()
        finally:
            reader.release()

    async def push_blob(
        self,
        ref: Reference,
        descriptor: Descriptor,
        open_content: Callable[[], BinaryIO],
        credentials: Credentials | None,
        on_bytes: Callable[[int], None],
    ) -> bool:
        """Upload a blob unless the registry has it; True if bytes were sent.

        `on_bytes` is told the bytes sent so far. When the request has to be repeated (a token ran
        out), content is opened anew and the count starts again.
        """
        digest, size = descriptor.digest, descriptor.size
        call = Call(
            what=f"push blob {digest} to {ref.repository}",
            ref=ref,
            credentials=credentials,
            path=f"blobs/{digest}",
            push=True,
        )
        async with self._request(replace(call, method="HEAD", expect=(200, 404))) as answer:
            if answer.status == 200:
                return False
        start = replace(call, method="POST", path="blobs/uploads/", expect=(202,))
        async with self._request(start) as answer:
            location = answer.headers.get("Location", "")
            location = self._endpoints.follow(answer.url, location, call.what)
        with contextlib.ExitStack() as opened:
            upload = replace(
                call,
                method="PUT",
                path=add_query(location, "digest=" + urllib.parse.quote(str(digest), safe="")),
                headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
                body=lambda: transfer.read_content(
                    opened.enter_context(open_content()), size, call.what, on_bytes
                ),
                expect=(200, 201, 204),
            )
            async with self._request(upload):
                return True

    async def push_manifest(
        self, ref: Reference, manifest: Manifest, credentials: Credentials | None
    ) -> Digest:
        """Upload the manifest under the tag of `ref`; return its digest."""
        call = Call(
            what=f"push manifest of {ref}",
            ref=ref,
            credentials=credentials,
            method="PUT",
            path=f"manifests/{ref.tag or DEFAULT_TAG}",
            headers={"Content-Type": manifest.media_type},
            body=lambda: manifest.raw,
            push=True,
            expect=(200, 201),
        )
        async with self._request(call) as answer:
            if given := answer.headers.get("Docker-Content-Digest"):
                manifest.digest.require(_parse_digest(given, call.what), f"manifest of {ref}")
        return manifest.digest

    async def log_in(self, domain: str, credentials: Credentials | None) -> None:
        """Return if the registry accepts the credentials; Unauthorized has its words.

        One that asks nobody for credentials accepts all of them.
        """
        call = Login(
            what=f'log in to registry "{domain}"',
            ref=Reference(domain, ""),
            credentials=credentials,
            path="",
            push=True,  # no mirror
        )
        async with self._request(call):
            return


def _manifest_call(ref: Reference, credentials: Credentials | None) -> Call:
    return Call(
        what=f"resolve {ref}",
        ref=ref,
        credentials=credentials,
        path=f"manifests/{ref.registry_name}",
        expect=(200, *_CONFUSED),
    )


async def _read_manifest(ref: Reference, answer: Answer, what: str) -> Manifest | Index:
    """Read a manifest or index; its digest is the one asked for, else the one the header gives."""
    raw = await transfer.read_all(answer, MAX_MANIFEST, what)
    given = answer.headers.get("Docker-Content-Digest")
    if ref.digest is not None:
        ref.digest.verify(raw, f"manifest of {ref}")
    elif given:
        _parse_digest(given, what).verify(raw, f"manifest of {ref}")
    return manifest_.parse(raw, answer.headers.get("Content-Type", ""), str(ref))


async def _read_refusal(
    ref: Reference, answer: Answer, what: str, kind: Kind
) -> errors.PlugindError:
    if answer.status == 404:
        return kind.not_found(ref)
    body = await transfer.read_all(answer, answers.MAX_BODY, what)
    return answers.compute_error(answer.status, body, what, ref.domain)


def _parse_digest(text: str, what: str) -> Digest:
    try:
        return Digest.parse(text)
    except errors.InvalidParameter as exc:  # the registry's fault, not the caller's
        raise errors.System(f"cannot {what}: the registry gives an {exc}") from exc
