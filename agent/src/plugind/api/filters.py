# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The `filters` parameter: `{"enabled": {"true": true}}`, or the older `{"enabled": ["true"]}`.

Values are the keys of the inner object whatever they map to, as in moby's `filters.Args`.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from plugind import errors

Filters = dict[str, frozenset[str]]

_TRUE = frozenset({"1", "true"})
_FALSE = frozenset({"0", "false"})


def parse(text: str, accepted: Collection[str]) -> Filters:
    """Parse `filters`; InvalidParameter has Docker's words for bad JSON and unknown keys."""
    parsed = _parse(text)
    for name in parsed:
        if name not in accepted:
            raise errors.InvalidParameter(f"invalid filter '{name}'")
    return parsed


def get_bool(filters: Filters, name: str) -> bool | None:
    """Return a boolean filter, None if it is not there."""
    values = filters.get(name)
    if values is None:
        return None
    if not values:
        raise errors.InvalidParameter(f"invalid filter '{name}'")
    yes, no = bool(values & _TRUE), bool(values & _FALSE)
    if yes == no:
        shown = " ".join(sorted(values))
        raise errors.InvalidParameter(f"invalid filter '{name}=[{shown}]'")
    return yes


def _parse(text: str) -> Filters:
    if not text:
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise errors.InvalidParameter("invalid filter") from exc
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise errors.InvalidParameter("invalid filter")
    # Go tries each form for the whole document, so the two cannot be mixed.
    if not _all_flags(document) and not _all_lists(document):
        raise errors.InvalidParameter("invalid filter")
    return {name: frozenset(values or ()) for name, values in document.items()}


def _all_flags(document: dict[str, object]) -> bool:
    return all(
        values is None
        or (
            isinstance(values, dict)
            and all(v is None or v in (True, False) for v in values.values())
        )
        for values in document.values()
    )


def _all_lists(document: dict[str, object]) -> bool:
    return all(
        values is None or (isinstance(values, list) and all(isinstance(v, str) for v in values))
        for values in document.values()
    )
