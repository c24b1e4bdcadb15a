# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What a result must not show of a declaration and of what was observed for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from plugind.model import masking, secrets
from plugind.model.desired import Desired, DesiredPlugin, DesiredVolume
from plugind.model.observed import Observed
from plugind.model.secrets import SecretPolicy

Documents = Mapping[str, Mapping[str, Any]]


def name_secrets(
    desired: Desired, world: Observed, documents: Documents
) -> dict[str, tuple[str, ...]]:
    """Return, by resource, the declared names whose values have secrets; `args` for arguments."""
    named: dict[str, tuple[str, ...]] = {}
    for plugin in desired.plugins:
        policy = _plugin_policy(plugin, world, documents)
        found = [n for n, value in plugin.settings.env.items() if policy.mask(n, value) != value]
        args = list(plugin.settings.args or ())
        if policy.mask_args(args) != args:
            found.append(secrets.ARGS)
        if plugin.verify is not None:
            # A client that shows what it was given hides the probe volume's options by these names.
            options = (plugin.verify.volume or {}).items()
            of_volume = _probe_policy(plugin, world, documents)
            found += [n for n, value in options if of_volume.mask(n, value) != value]
        named[plugin.resource] = tuple(sorted(set(found)))
    for volume in _with_options(desired):
        policy = _volume_policy(volume, world, documents)
        options = (volume.options or {}).items()
        named[volume.resource] = tuple(sorted(n for n, v in options if policy.mask(n, v) != v))
    return {resource: names for resource, names in named.items() if names}


def mask_documents(
    desired: Desired, world: Observed, documents: Documents
) -> dict[str, Mapping[str, Any]]:
    """Return Engine API objects, by resource, with their secrets masked."""
    policies = {p.resource: _plugin_policy(p, world, documents) for p in desired.plugins}
    volumes = {volume.resource: volume for volume in desired.volumes}
    shown: dict[str, Mapping[str, Any]] = {}
    for resource, document in documents.items():
        if resource in volumes and document.get("Options") is not None:
            policies[resource] = _volume_policy(volumes[resource], world, documents)
        mask = masking.mask_plugin if resource.startswith("plugin/") else masking.mask_volume
        shown[resource] = mask(document, policies.get(resource, world.policy))
    return shown


def redactor(
    desired: Desired, world: Observed, plugins: Iterable[Mapping[str, Any]]
) -> Callable[[str], str]:
    """Return what takes every secret out of a text that is declared, or set on these plugins."""
    known = secrets.KnownValues()
    for plugin in desired.plugins:
        known.add(plugin.secrets(_plugin_policy(plugin, world, {})))
        if plugin.verify is not None:
            known.add(plugin.verify.secrets(_probe_policy(plugin, world, {})))
    for volume in _with_options(desired):
        known.add(volume.secrets(_volume_policy(volume, world, {})))
    for document in plugins:
        policy = world.policy.naming(document.get("SecretSettings") or ())
        settings = document.get("Settings") or {}
        for entry in settings.get("Env") or ():
            name, _, value = str(entry).partition("=")
            known.add(policy.find(name, value))
        known.add(policy.find_in_args(settings.get("Args") or ()))
    return lambda text: known.redact(world.policy.mask_text(text))


def _with_options(desired: Desired) -> list[DesiredVolume]:
    """Return the declared volumes that can have secrets: of hundreds, most have no options."""
    return [volume for volume in desired.volumes if volume.options]


def _plugin_policy(plugin: DesiredPlugin, world: Observed, documents: Documents) -> SecretPolicy:
    return world.plugin_policy(plugin.name, plugin.secret_settings).naming(
        documents.get(plugin.resource, {}).get("SecretSettings") or ()
    )


def _probe_policy(plugin: DesiredPlugin, world: Observed, documents: Documents) -> SecretPolicy:
    """Return which options of a plugin's probe volume are secrets: as of any volume of its."""
    return world.volume_policy(plugin.name, plugin.secret_settings).naming(
        documents.get(plugin.resource, {}).get("SecretOptions") or ()
    )


def _volume_policy(volume: DesiredVolume, world: Observed, documents: Documents) -> SecretPolicy:
    return world.volume_policy(volume.driver, volume.named_secrets).naming(
        documents.get(f"plugin/{volume.driver}", {}).get("SecretOptions") or ()
    )
