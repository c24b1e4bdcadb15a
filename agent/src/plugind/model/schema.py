# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""JSON Schemas that ship with the package, and validation that reports every problem at once.

config       config.schema.json, a plugin's config.json after `fold_keys`
declaration  declaration.schema.json, the input of `plugind apply`
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import Any

from plugind import errors


def load_schema(name: str) -> dict[str, Any]:
    """Return the shipped schema `name` as a document."""
    resource = importlib.resources.files("plugind.model") / f"{name}.schema.json"
    document: dict[str, Any] = json.loads(resource.read_text(encoding="utf-8"))
    return document


@functools.cache
def _validator(name: str) -> Any:
    # Imported here: jsonschema costs 150 ms, and most callers of this package never validate.
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load_schema(name))


def problems(name: str, document: Any) -> list[str]:
    """Return every problem of `document` under schema `name`, as `.path: message`, sorted."""
    found = _validator(name).iter_errors(document)
    return sorted(f"{_path(problem.absolute_path)}: {problem.message}" for problem in found)


def validate(name: str, document: Any, what: str) -> None:
    """Raise InvalidParameter listing every problem, each with its path; `what` starts the text."""
    found = problems(name, document)
    if found:
        raise errors.InvalidParameter(f"{what}: " + "; ".join(found))


def fold_keys(document: Any) -> Any:
    """Return `document` with every object key in lower case, as Go's decoder matches them.

    Of two keys that differ in case only, the last one wins, as it does in Go.
    """
    if isinstance(document, dict):
        return {str(key).lower(): fold_keys(value) for key, value in document.items()}
    if isinstance(document, list):
        return [fold_keys(value) for value in document]
    return document


def _path(parts: Any) -> str:
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in parts)
    return path or "."
