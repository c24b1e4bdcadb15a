# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Finding plugins by what people type: name, id, or the start of an id (moby `store.go`)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator

from plugind import errors
from plugind.engine.context import Engine, Entry
from plugind.model import reference
from plugind.model.plugin import Plugin

_FULL_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


def entry(engine: Engine, text: str) -> Entry:
    """Return the entry of the plugin that `text` means.

    NotFound if there is none; InvalidParameter if an id prefix fits several.
    """
    if _FULL_ID.fullmatch(text):
        if text in engine.entries:
            return engine.entries[text]
        raise errors.NotFound(f'plugin "{text}" not found')
    named = by_name(engine, text)
    if named is not None:
        return named
    if not text:
        raise errors.NotFound('plugin "" not found')
    prefixed = [e for plugin_id, e in engine.entries.items() if plugin_id.startswith(text)]
    if len(prefixed) > 1:
        raise errors.InvalidParameter(f'multiple plugins found for "{text}"')
    if not prefixed:
        raise errors.NotFound(f'plugin "{text}" not found')
    return prefixed[0]


def require_installed(engine: Engine, entry: Entry) -> None:
    """Raise NotFound if the plugin was removed since it was looked up."""
    if entry.plugin.id not in engine.entries:
        raise errors.NotFound(f'plugin "{entry.plugin.name}" not found')


@contextlib.asynccontextmanager
async def held(engine: Engine, entry: Entry) -> AsyncIterator[None]:
    """Hold the plugin's lock; NotFound if it was removed while its turn was waited for."""
    async with entry.lock:
        require_installed(engine, entry)
        yield


def by_name(engine: Engine, text: str) -> Entry | None:
    """Return the entry whose name is `text` in any spelling, or None."""
    try:
        parsed = reference.parse(text)
    except errors.InvalidParameter:
        return None
    if parsed.digest:
        return None
    wanted = parsed.tagged().familiar
    return next((e for e in engine.entries.values() if e.plugin.name == wanted), None)


def find(engine: Engine, text: str) -> Plugin:
    """Return the plugin that `text` means, as clients see it."""
    return entry(engine, text).shown()


def list_plugins(
    engine: Engine, *, enabled: bool | None = None, capabilities: frozenset[str] = frozenset()
) -> list[Plugin]:
    """Return the plugins that pass the filters, by name."""
    shown = [e.shown() for e in engine.entries.values()]
    return sorted(
        (
            plugin
            for plugin in shown
            if (enabled is None or plugin.enabled is enabled)
            and (not capabilities or _has_capability(plugin, capabilities))
        ),
        key=lambda plugin: plugin.name,
    )


def _has_capability(plugin: Plugin, wanted: frozenset[str]) -> bool:
    """True if any type fits any wanted value (the original wants every type to fit)."""
    words = [kind.capability for kind in plugin.config.interface.types or ()]
    return any(_fits(value, word) for value in wanted for word in words)


def _fits(value: str, word: str) -> bool:
    if value == word:
        return True
    try:
        return re.search(value, word) is not None
    except re.error:
        return False
