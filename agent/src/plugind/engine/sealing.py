# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Secrets on their way through the engine: to the plugin, and nowhere else.

    admit         a request's secrets are known from now on, so that no text gets out with them
    seal          what is recorded of a volume: masked options, and a digest of each secret
    seal_records  at boot, records that still hold secrets (of 0.1, or of a wider policy) are sealed
    redact        texts of plugins and drivers, without known secrets and `password=x` shapes

What is known is known to this process only. After a restart of the agent the settings of plugins are
known again; a volume's secret is recognised by its digest, as a whole word.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

from plugind import errors, log
from plugind.engine import lookup
from plugind.engine.context import Engine, Entry
from plugind.model import secrets, settings
from plugind.model import volume as volume_
from plugind.model.desired import Desired
from plugind.model.plugin import Plugin
from plugind.model.secrets import MASK, SecretPolicy
from plugind.model.volume import Volume, VolumeRequest
from plugind.store import secret_key

_TOKEN = re.compile(r"[^\s,;:=&?\"'`(){}\[\]<>]+")
#: Digests are compared with at most that many words of one text.
_MOST_TOKENS = 2000


def volume_policy(engine: Engine, driver: str) -> SecretPolicy:
    """Return which options of a driver's volumes are secrets, before a caller names more."""
    entry = lookup.by_name(engine, driver)
    named = entry.plugin.config.secret_options if entry is not None else frozenset[str]()
    return engine.options.secrets.naming(named)


def admit(engine: Engine, request: VolumeRequest) -> None:
    """Learn a request's secrets; InvalidParameter if one of them is only the mask of a secret."""
    policy = request.policy(volume_policy(engine, request.driver))
    engine.known.add(request.secrets(policy))
    request.require_values(policy)


def admit_settings(engine: Engine, plugin: Plugin) -> None:
    """Learn the secrets among a plugin's settings."""
    engine.known.add(plugin.secrets(engine.options.secrets))


def admit_arguments(engine: Engine, plugin: Plugin, arguments: Iterable[str]) -> None:
    """Learn the secrets among arguments of `set`, before anything is said about them."""
    policy = plugin.policy(engine.options.secrets)
    for text in arguments:
        wanted = settings.parse_assignment(text)
        name = wanted.name.rpartition(".")[0] or wanted.name
        engine.known.add(policy.find(name, wanted.value))
        engine.known.add(policy.find(wanted.name, wanted.value))
        if plugin.config.args.name in (name, wanted.name):
            engine.known.add(policy.find_in_args(wanted.value.split(" ")))


def admit_declaration(engine: Engine, desired: Desired) -> None:
    """Learn the secrets of a declaration."""
    for plugin in desired.plugins:
        entry = lookup.by_name(engine, plugin.name)
        base = engine.options.secrets
        engine.known.add(plugin.secrets(entry.plugin.policy(base) if entry else base))
    for volume in desired.volumes:
        if volume.options:
            engine.known.add(volume.secrets(volume_policy(engine, volume.driver)))


def seal(engine: Engine, request: VolumeRequest) -> Volume:
    """Return the record of a volume, without its secrets."""
    policy = request.policy(volume_policy(engine, request.driver))
    return volume_.seal(request, policy, engine.digest)


async def seal_again(engine: Engine, volume: Volume, policy: SecretPolicy) -> Volume:
    """Take secrets out of a record that still holds some; the old bytes go with its rename."""
    sealed = volume_.seal_again(volume, policy, engine.digest)
    if sealed is not volume:
        store = engine.volume_store
        mount_options = await asyncio.to_thread(store.mount_options, volume.name)
        options = {**(volume.options or {}), **(mount_options or {})}
        await asyncio.to_thread(store.save, sealed, options)
        for name, value in options.items():
            engine.known.add(policy.find(name, value))
        log.info("sealed the secrets in a volume's record", volume=volume.name)
    return sealed


async def seal_records(engine: Engine, volumes: Iterable[Volume]) -> list[Volume]:
    """Seal, at boot, every record that holds secrets in clear; one that fails is left out."""
    sealed, foreign = [], []
    for volume in volumes:
        label = (volume.labels or {}).get(secrets.OPTIONS_LABEL)
        policy = volume_policy(engine, volume.driver).naming(secrets.parse_names(label))
        mine = engine.digest("", "", "")
        if any(not secrets.have_one_key(kept, mine) for kept in volume.secret_digests.values()):
            foreign.append(volume.name)
        try:
            sealed.append(await seal_again(engine, volume, policy))
        except (errors.PlugindError, OSError) as exc:
            log.error(f"cannot seal the record of a volume: {exc}", volume=volume.name)
            # Shown without its secrets all the same; the next boot tries again.
            sealed.append(volume_.seal_again(volume, policy, engine.digest))
    if foreign:
        log.warning(
            f"secret.key is not the one with which the options of {len(foreign)} volumes were "
            "digested, so they cannot be compared",
            volumes=", ".join(foreign[:10]),
        )
    return sealed


async def seal_named(engine: Engine, desired: Desired) -> None:
    """Carry out what a declaration says about secrets of plugins and volumes that exist already."""
    for wanted in desired.volumes:
        if not wanted.named_secrets:
            continue
        async with engine.locks.holding(f"volume:{wanted.name}"):
            record = engine.volumes.get(wanted.name)
            if record is not None:
                policy = volume_policy(engine, record.driver).naming(wanted.named_secrets)
                engine.volumes[record.name] = await seal_again(engine, record, policy)


async def load_key(engine: Engine) -> None:
    """Read the key of this host, or make it."""
    engine.secret_key = await asyncio.to_thread(secret_key.load_or_create, engine.layout)


def redact(engine: Engine, text: str, volume: str = "") -> str:
    """Return a plugin's text without secrets; those of `volume` are recognised by their digests."""
    text = engine.redact(text)
    record = engine.volumes.get(volume)
    if record is None or not record.secret_digests:
        return text
    found = _TOKEN.findall(text)
    if len(found) > _MOST_TOKENS:
        return text
    hits = {word for word in found if is_secret_of(engine, record, word)}
    for word in sorted(hits, key=len, reverse=True):
        text = text.replace(word, MASK)
    return text


def is_secret_of(engine: Engine, record: Volume, text: str) -> bool:
    """True if a text is one of the volume's secrets."""
    return any(
        secrets.equal(kept, engine.digest(record.name, option, text))
        for option, kept in record.secret_digests.items()
    )


def redact_document(engine: Engine, document: Any, volumes: Iterable[Volume] = ()) -> Any:
    """Return a plugin's JSON without secrets: by key, by known value, by digest of a whole leaf."""
    records = [record for record in volumes if record.secret_digests]

    def leaf(text: str) -> str:
        if any(is_secret_of(engine, record, text) for record in records):
            return MASK
        return engine.redact(text)

    return secrets.walk(document, engine.options.secrets, leaf)


def volumes_of(engine: Engine, entry: Entry) -> list[Volume]:
    """Return the volumes whose secrets a plugin may speak of."""
    return [volume for volume in engine.volumes.values() if volume.driver == entry.plugin.name]
