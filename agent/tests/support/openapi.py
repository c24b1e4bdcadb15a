# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""docs/openapi.yaml: its operations and its schemas, for tests that hold it against the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

PATH = Path(__file__).parents[3] / "docs" / "openapi.yaml"


def load() -> dict[str, Any]:
    """Return the document."""
    document: dict[str, Any] = yaml.safe_load(PATH.read_text())
    return document


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return every operation by method and path, as in the route table."""
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Return a validator of a schema that stands in the document, with its references."""
    uri = PATH.as_uri()
    registry: Registry[Any] = Registry(retrieve=_read).with_resource(
        uri, Resource(contents=document, specification=DRAFT202012)
    )
    return Draft202012Validator(schema, registry=registry, _resolver=registry.resolver(uri))


def resolve(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Return what a node is, or what its reference into the document names."""
    while "$ref" in node:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def media_types(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield everything with a schema and examples, and where it stands."""
    yield from _walk(document, document["paths"], "paths")
    yield from _walk(document, document["components"], "components")


def examples(document: dict[str, Any], media: dict[str, Any]) -> Iterator[Any]:
    """Yield the examples of a media type or a parameter."""
    if "example" in media:
        yield media["example"]
    for one in media.get("examples", {}).values():
        yield resolve(document, one)["value"]


def _walk(document: dict[str, Any], node: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, list):
        for position, item in enumerate(node):
            yield from _walk(document, item, f"{where}/{position}")
        return
    if not isinstance(node, dict):
        return
    if ("example" in node or "examples" in node) and ("schema" in node or "x-item-schema" in node):
        yield where, node
    for key, value in node.items():
        yield from _walk(document, value, f"{where}/{key}")


def _read(uri: str) -> Resource[Any]:
    contents = json.loads(Path(uri.removeprefix("file://")).read_text())
    return Resource(contents=contents, specification=DRAFT202012)
