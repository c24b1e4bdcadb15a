# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`/images`: Docker's image endpoints, those that a host needs to run containers."""

from __future__ import annotations

import urllib.parse
from typing import Any, NoReturn

from aiohttp import web

from plugind import errors
from plugind.api import archives, filters, stream, wire
from plugind.api.call import Call
from plugind.engine.ports import Progress
from plugind.model import manifest, reference
from plugind.model.images import changes
from plugind.model.manifest import Platform
from plugind.model.reference import Reference

_LIST_FILTERS = ("dangling", "label", "reference", "before", "since", "until")
_PRUNE_FILTERS = ("dangling", "label", "label!", "until")
_UNSUPPORTED_FILTERS = ("before", "since", "until")
# Before this version, nothing was shown as `<none>:<none>`; before the other, there was a virtual size.
_SHOWS_NO_NONE = (1, 43)
_NO_VIRTUAL_SIZE = (1, 44)
# What a path's last part is called by clients, where that is another word.
_NAMES = {"get": "save"}


async def list_images(call: Call) -> web.Response:
    """List images by `reference`, `label` and `dangling`."""
    wanted = _parse_filters(call, _LIST_FILTERS)
    found = call.stories.list_images(
        call.engine,
        references=wanted.get("reference", frozenset()),
        labels=wanted.get("label", frozenset()),
        dangling=filters.get_bool(wanted, "dangling"),
    )
    return wire.json_response([_for_version(call, image) for image in found])


def usage(call: Call) -> list[dict[str, Any]]:
    """Return every image with its containers counted, for `docker system df`."""
    everything: frozenset[str] = frozenset()
    found = call.stories.list_images(
        call.engine, references=everything, labels=everything, dangling=None, usage=True
    )
    return [_for_version(call, image) for image in found]


async def inspect(call: Call) -> web.Response:
    """Show one image."""
    shown = call.stories.inspect_image(call.engine, call.name)
    if call.api_version < _NO_VIRTUAL_SIZE:
        shown["VirtualSize"] = shown["Size"]
    return wire.json_response(shown)


async def create(call: Call) -> web.StreamResponse:
    """Pull (`fromImage`) or import (`fromSrc`) an image."""
    return await (_pull if call.query.get("fromImage") else _import)(call)


async def _pull(call: Call) -> web.StreamResponse:
    ref = _parse_remote(call.query["fromImage"], call.query.get("tag", ""))
    platform = _parse_platform(call)
    return await stream.progress(
        call,
        lambda progress: call.stories.pull_image(
            call.engine, ref, platform=platform, credentials=call.credentials, progress=progress
        ),
    )


async def _import(call: Call) -> web.StreamResponse:
    source = call.query.get("fromSrc", "")
    if source != "-":
        raise errors.Unsupported(f'import from "{source}" is not supported by plugind: want "-"')
    name = _parse_new_name(call.query.get("repo", ""), call.query.get("tag", ""))
    config = changes.apply(_parse_changes(call))
    platform = _parse_platform(call)

    async def run(progress: Progress) -> None:
        with archives.sent_by_client():
            image = await call.stories.import_image(
                call.engine,
                wire.read_chunks(call.request),
                name=name,
                config=config,
                message=call.query.get("message", ""),
                platform=platform,
            )
        progress({"status": str(image.id)})

    return await stream.progress(call, run)


async def load(call: Call) -> web.StreamResponse:
    """Load the images of an archive; quietly, only what was loaded is told."""
    quiet, platform = call.flag("quiet"), _parse_platform(call)

    async def load_images(progress: Progress) -> None:
        with archives.sent_by_client():
            await call.stories.load_images(
                call.engine,
                wire.read_chunks(call.request),
                platform=platform,
                progress=_only_words(progress) if quiet else progress,
            )

    return await stream.progress(call, load_images)


async def tag(call: Call) -> web.Response:
    """Give an image another name."""
    name = _parse_new_name(call.query.get("repo", ""), call.query.get("tag", ""))
    if name is None:
        raise errors.InvalidParameter("repository name must have at least one component")
    await call.stories.tag_image(call.engine, call.name, name)
    return web.Response(status=201)


async def remove(call: Call) -> web.Response:
    """Remove a name, and the image with its last one. There are no parents to prune."""
    removed = await call.stories.remove_image(call.engine, call.name, force=call.flag("force"))
    return wire.json_response(removed)


async def prune(call: Call) -> web.Response:
    """Remove images that no container uses: nameless ones, or all with `dangling=false`."""
    wanted = _parse_filters(call, _PRUNE_FILTERS)
    removed, freed = await call.stories.prune_images(
        call.engine,
        dangling=filters.get_bool(wanted, "dangling") is not False,
        labels=wanted.get("label", frozenset()),
        without_labels=wanted.get("label!", frozenset()),
    )
    return wire.json_response({"ImagesDeleted": removed or None, "SpaceReclaimed": freed})


async def unsupported(call: Call) -> NoReturn:
    """Say by name what this engine does not do with images."""
    what = call.request.path.rstrip("/").rpartition("/")[2]
    raise errors.Unsupported(f"image {_NAMES.get(what, what)} is not supported by plugind")


def _only_words(progress: Progress) -> Progress:
    def report(line: dict[str, Any], /) -> None:
        if "stream" in line:
            progress(line)

    return report


def _parse_filters(call: Call, accepted: tuple[str, ...]) -> filters.Filters:
    wanted = filters.parse(call.query.get("filters", ""), accepted)
    for name in _UNSUPPORTED_FILTERS:
        if name in wanted:
            raise errors.Unsupported(f"image filter '{name}' is not supported by plugind")
    return wanted


def _parse_platform(call: Call) -> Platform | None:
    text = call.query.get("platform", "")
    return manifest.parse_platform(text) if text else None


def _parse_remote(image: str, tag: str) -> Reference:
    """Return what to pull. A tag may be a digest; without any Docker pulls every tag there is."""
    ref = reference.parse(image)
    if tag:
        return reference.parse(f"{ref.repository}{'@' if ':' in tag else ':'}{tag}")
    if ref.tag is None and ref.digest is None:
        raise errors.Unsupported("pull of all tags is not supported by plugind")
    return ref


def _parse_new_name(repository: str, tag: str) -> Reference | None:
    if not repository:
        return None
    ref = reference.parse(repository)
    if ref.digest:
        raise errors.InvalidParameter("refusing to create a tag with a digest reference")
    return reference.parse(f"{ref.repository}:{tag}") if tag else ref.tagged()


def _parse_changes(call: Call) -> list[str]:
    """Return every `changes` parameter; other parameters count once, this one adds up."""
    raw = call.request.rel_url.raw_query_string
    return urllib.parse.parse_qs(raw).get("changes", [])


def _for_version(call: Call, image: dict[str, Any]) -> dict[str, Any]:
    if call.api_version < _NO_VIRTUAL_SIZE:
        image = {**image, "VirtualSize": image["Size"]}
    if call.api_version < _SHOWS_NO_NONE and not image["RepoTags"]:
        image = {**image, "RepoTags": ["<none>:<none>"]}
        image["RepoDigests"] = image["RepoDigests"] or ["<none>@<none>"]
    return image
