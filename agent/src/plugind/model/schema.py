# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""JSON Schemas that ship with the package, and validation that reports every problem at once.

config       config.schema.json, a plugin's config.json after `fold_keys`
declaration  declaration.schema.json, the input of `plugind apply`
"""

from __future__ import annotations

import collections
import functools
import hashlib
import importlib.resources
import json
from typing import Any

from plugind import errors

#: Of the last documents without a problem. Digests, because documents have secrets.
_faultless: collections.deque[bytes] = collections.deque(maxlen=64)


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
    """Return every problem of `document` under schema `name`, as `.path: message`, sorted.

    Documents come again and again, most of all a declaration that is fulfilled: one that had no
    problem is known when it is the same to the last letter, which takes a tenth of the time.
    """
    digest = hashlib.sha256(f"{name} {document!r}".encode()).digest()
    if digest in _faultless:
        return []
    found = sorted(
        f"{_path(problem.absolute_path)}: {problem.message}"
        for problem in _validator(name).iter_errors(document)
    )
    if not found:
        _faultless.append(digest)
    return found


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
