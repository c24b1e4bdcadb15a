# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The plugins' part of a plan.

    not installed   install -> [set] -> [enable]
    installed       [disable] -> [upgrade] -> [set] -> [enable]
    to be removed   [disable] -> remove
    in place        upgrade, with settings | set

An engine that changes what runs in place does so in one step, and goes back by itself if it fails.
It mounts again what is mounted, so nobody loses anything and no `force` is needed. Otherwise
disabling a plugin that has volumes takes them away, so it needs `force`. If it is only for a moment,
an engine that knows which volumes are mounted counts only those.
"""

from __future__ import annotations

from collections.abc import Iterable

from plugind.model import desired as desired_
from plugind.model import privileges, steps
from plugind.model import settings as settings_
from plugind.model.desired import DesiredPlugin
from plugind.model.observed import ObservedPlugin, Offer
from plugind.model.plans import settings as plan_settings
from plugind.model.plans.settings import Change
from plugind.model.secrets import SecretPolicy
from plugind.model.steps import Draft, State


def needs_offer(wanted: DesiredPlugin, have: ObservedPlugin | None) -> bool:
    """True if the registry has to be asked what it offers: for an install or an upgrade."""
    if wanted.state == desired_.ABSENT or wanted.source is None:
        return False
    return have is None or not is_current(wanted, have)


def is_current(wanted: DesiredPlugin, have: ObservedPlugin) -> bool:
    """True if what is installed is what `source` names, without asking a registry.

    References are compared, a digest first. A tag that moved in the registry is not seen: the
    same declaration never changes anything by itself.
    """
    source = wanted.source
    if source is None:
        return True
    if source.repository != have.reference.repository:
        return False
    if source.digest is not None:
        if have.digest is not None:
            return str(source.digest) == have.digest
        return source.digest == have.reference.digest
    return source.tag == have.reference.tag


def plan_plugin(draft: Draft, wanted: DesiredPlugin) -> None:
    """Add the steps that lead the plugin to its declared state."""
    have = draft.observed.plugins.get(wanted.name)
    draft.start(wanted.resource, steps.GONE if have is None else _show(draft, have, wanted))
    if wanted.state == desired_.ABSENT:
        if have is not None:
            _remove(draft, wanted, have)
        return
    offer = None
    if needs_offer(wanted, have):
        offer = _acceptable_offer(draft, wanted)
        if offer is None:
            return
    if have is not None:
        _change(draft, wanted, have, offer)
    elif offer is not None:
        _install(draft, wanted, offer)
    else:
        draft.problem(
            wanted.resource,
            f'cannot make plugin "{wanted.name}" {wanted.state}: '
            "it is not installed, and no source is declared to install it from",
        )


def _acceptable_offer(draft: Draft, wanted: DesiredPlugin) -> Offer | None:
    """Return what the registry has, unless it could not be read or asks for too much."""
    offer = draft.observed.offers.get(wanted.name)
    verb = "upgrade" if wanted.name in draft.observed.plugins else "install"
    if offer is None:
        why = draft.observed.refusals.get(wanted.name, "the registry was not asked")
        draft.problem(wanted.resource, f'cannot {verb} plugin "{wanted.name}": {why}')
        return None
    missing = privileges.missing_from(offer.privileges, wanted.grant)
    if missing:
        draft.problem(
            wanted.resource,
            f'cannot {verb} plugin "{wanted.name}": {_source(wanted)} asks for privileges that '
            f"are not granted: {', '.join(str(privilege) for privilege in missing)}",
        )
        return None
    return offer


def _install(draft: Draft, wanted: DesiredPlugin, offer: Offer) -> None:
    current = None if offer.config is None else settings_.default_settings(offer.config)
    changes: tuple[Change, ...] | None = None
    if offer.config is not None and current is not None:
        changes, problems = plan_settings.compute_changes(offer.config, current, wanted.settings)
        if problems:
            _cannot_set(draft, wanted, problems)
            return
    shown = plan_settings.show(current, wanted.settings, _policy(draft, wanted))
    state = _state(False, _source(wanted), offer.privileges, shown)
    draft.add(
        steps.PLUGIN_INSTALL,
        wanted.resource,
        f"install plugin {wanted.name} from {_source(wanted)}",
        state,
        plugin=wanted,
        offer=offer,
    )
    _set(draft, wanted, changes, {})
    if wanted.state == desired_.ENABLED:
        _enable(draft, wanted)


def _change(draft: Draft, wanted: DesiredPlugin, have: ObservedPlugin, offer: Offer | None) -> None:
    config, current = have.config, have.settings
    if offer is not None and offer.config is not None:
        config = offer.config
        current = plan_settings.merge(have.config, have.settings, offer.config)
    changes: tuple[Change, ...] | None = None
    if offer is None or offer.config is not None:
        changes, problems = plan_settings.compute_changes(config, current, wanted.settings)
        if problems:
            _cannot_set(draft, wanted, problems)
            return
    if offer is None:
        _warn_of_privileges(draft, wanted, have)
    sets = bool(changes) if changes is not None else bool(wanted.settings)
    ends_enabled = wanted.state == desired_.ENABLED or (
        wanted.state == desired_.PRESENT and have.enabled
    )
    in_place = draft.observed.in_place and have.enabled and ends_enabled
    reasons = ["it can be upgraded"] if offer is not None and not in_place else []
    reasons += ["its settings can be changed"] if sets and not in_place else []
    is_stopped = have.enabled and (bool(reasons) or not ends_enabled)
    if is_stopped and not _disable(draft, wanted, have, reasons if ends_enabled else []):
        return
    before = draft.before[wanted.resource].get("settings", {})
    if offer is not None and in_place and changes is not None:
        _upgrade_and_set(draft, wanted, have, offer, changes, before)
    else:
        if offer is not None:
            known = current if changes is not None else None
            _upgrade(draft, wanted, have, offer, settings_known=known, in_place=in_place)
        _set(draft, wanted, changes, before, in_place=in_place)
    if ends_enabled and (is_stopped or not have.enabled):
        _enable(draft, wanted)


def _upgrade(
    draft: Draft,
    wanted: DesiredPlugin,
    have: ObservedPlugin,
    offer: Offer,
    *,
    settings_known: settings_.Settings | None,
    in_place: bool,
) -> None:
    now = draft.now[wanted.resource]
    known = plan_settings.show(settings_known, wanted.settings, _policy(draft, wanted))
    shown = known or now.get("settings", {})
    draft.add(
        steps.PLUGIN_UPGRADE,
        wanted.resource,
        _upgrade_text(wanted, have) + (" in place" if in_place else ""),
        _state(now["state"] == "enabled", _source(wanted), offer.privileges, shown),
        plugin=wanted,
        offer=offer,
        in_place=in_place,
    )


def _upgrade_and_set(
    draft: Draft,
    wanted: DesiredPlugin,
    have: ObservedPlugin,
    offer: Offer,
    changes: tuple[Change, ...],
    before: State,
) -> None:
    """Add the one step that leads an enabled plugin to another version and other settings."""
    names = f" and set {', '.join(change.name for change in changes)}" if changes else ""
    policy = _policy(draft, wanted)
    shown = plan_settings.show_wanted(wanted.settings, before, changes, policy)
    draft.add(
        steps.PLUGIN_UPGRADE,
        wanted.resource,
        f"{_upgrade_text(wanted, have)}{names} in place",
        _state(True, _source(wanted), offer.privileges, shown),
        plugin=wanted,
        offer=offer,
        arguments=tuple(change.argument for change in changes),
        in_place=True,
    )


def _upgrade_text(wanted: DesiredPlugin, have: ObservedPlugin) -> str:
    return f"upgrade plugin {wanted.name} from {have.reference.familiar} to {_source(wanted)}"


def _set(
    draft: Draft,
    wanted: DesiredPlugin,
    changes: tuple[Change, ...] | None,
    before: State,
    *,
    in_place: bool = False,
) -> None:
    """Add a step that sets what differs; everything declared, as long as nothing is known."""
    if changes == () or not wanted.settings:
        return
    if changes is None:
        names = [name for what, name in _names(wanted)]
    else:
        names = [change.name for change in changes]
    policy = _policy(draft, wanted)
    shown = plan_settings.show_wanted(wanted.settings, before, changes, policy)
    draft.add(
        steps.PLUGIN_SET,
        wanted.resource,
        f"set {', '.join(names)} of plugin {wanted.name}" + (" in place" if in_place else ""),
        {**draft.now[wanted.resource], "settings": shown},
        plugin=wanted,
        in_place=in_place,
        arguments=None if changes is None else tuple(change.argument for change in changes),
    )


def _enable(draft: Draft, wanted: DesiredPlugin) -> None:
    draft.add(
        steps.PLUGIN_ENABLE,
        wanted.resource,
        f"enable plugin {wanted.name}",
        {**draft.now[wanted.resource], "state": "enabled"},
        plugin=wanted,
    )


def _disable(draft: Draft, wanted: DesiredPlugin, have: ObservedPlugin, reasons: list[str]) -> bool:
    """Add a disable, or a problem. With `reasons` it is only for a while."""
    text = f"disable plugin {wanted.name}"
    if reasons:
        text += ", so that " + " and ".join(reasons)
    if not _may_stop(draft, wanted, have.disturbed if reasons else have.holders, text):
        return False
    draft.add(
        steps.PLUGIN_DISABLE,
        wanted.resource,
        text,
        {**draft.now[wanted.resource], "state": "disabled"},
        depends=tuple(draft.released.get(wanted.name, ())),
        plugin=wanted,
        temporary=bool(reasons),
    )
    return True


def _remove(draft: Draft, wanted: DesiredPlugin, have: ObservedPlugin) -> None:
    text = f"remove plugin {wanted.name}"
    if not _may_stop(draft, wanted, have.holders, text):
        return
    if have.enabled:
        _disable(draft, wanted, have, [])
    draft.add(
        steps.PLUGIN_REMOVE,
        wanted.resource,
        text,
        steps.GONE,
        depends=tuple(draft.released.get(wanted.name, ())),
        plugin=wanted,
    )


def _may_stop(draft: Draft, wanted: DesiredPlugin, users: Iterable[str], text: str) -> bool:
    """True unless somebody holds the plugin who is not removed by this plan either."""
    leaving = {draft.steps[position].resource for position in draft.released.get(wanted.name, ())}
    holders = [user for user in users if user not in leaving]
    if holders and not wanted.force:
        draft.problem(
            wanted.resource,
            f"cannot {text}: it is in use by {', '.join(holders)} (force: true does it anyway)",
        )
        return False
    return True


def _cannot_set(draft: Draft, wanted: DesiredPlugin, problems: Iterable[str]) -> None:
    text = "; ".join(problems)
    draft.problem(wanted.resource, f'cannot set plugin "{wanted.name}": {text}')


def _warn_of_privileges(draft: Draft, wanted: DesiredPlugin, have: ObservedPlugin) -> None:
    """Warn if an installed plugin has more than the declaration grants."""
    if wanted.grant is None or not wanted.grant_declared:
        return
    # A mount's or device's place is a setting, and shows up as a privilege once it is set.
    grant = {name: set(values) for name, values in wanted.grant.items()}
    for name, places in (("mount", wanted.settings.mounts), ("device", wanted.settings.devices)):
        if places:
            grant.setdefault(name, set()).update(places.values())
    beyond = privileges.missing_from(privileges.compute_privileges(have.config), grant)
    if beyond:
        draft.warnings.append(
            f"{wanted.resource} was installed with privileges that are not granted: "
            + ", ".join(str(privilege) for privilege in beyond)
        )


def _policy(draft: Draft, wanted: DesiredPlugin) -> SecretPolicy:
    """Return which settings are secrets, as far as anybody has said it by now."""
    return draft.observed.plugin_policy(wanted.name, wanted.secret_settings)


def _show(draft: Draft, have: ObservedPlugin, wanted: DesiredPlugin) -> State:
    return _state(
        have.enabled,
        have.reference.familiar,
        privileges.compute_privileges(have.config),
        plan_settings.show(have.settings, wanted.settings, _policy(draft, wanted)),
    )


def _state(
    enabled: bool, source: str, granted: privileges.Privileges, settings: State
) -> dict[str, object]:
    names: dict[str, list[str]] = {}
    for privilege in granted:
        names.setdefault(privilege.name, []).extend(privilege.value)
    state: dict[str, object] = {
        "state": "enabled" if enabled else "disabled",
        "source": source,
        "privileges": {name: sorted(values) for name, values in sorted(names.items())},
    }
    if settings:
        state["settings"] = settings
    return state


def _source(wanted: DesiredPlugin) -> str:
    return wanted.source.familiar if wanted.source else "its present source"


def _names(wanted: DesiredPlugin) -> list[tuple[str, str]]:
    settings = wanted.settings
    names = [("env", name) for name in settings.env]
    names += [("mounts", name) for name in settings.mounts]
    names += [("devices", name) for name in settings.devices]
    return names + ([("args", "args")] if settings.args is not None else [])
