# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The volumes' part of a plan.

A volume's driver cannot be changed, nor can its options or labels: a difference is an error
unless the declaration says that the volume may be removed with its data. Nothing is removed
before its driver is ready for the new volume.
"""

from __future__ import annotations

from collections.abc import Mapping

from plugind.model import desired as desired_
from plugind.model import masking, steps
from plugind.model.desired import DesiredVolume
from plugind.model.observed import Observed, ObservedVolume
from plugind.model.steps import Draft, State


def needs_comparison(wanted: DesiredVolume, have: ObservedVolume | None) -> bool:
    """True if the engine has to be asked which options differ from those declared."""
    return have is not None and wanted.state == desired_.PRESENT and wanted.options is not None


def start_volume(draft: Draft, wanted: DesiredVolume) -> None:
    """Note the state that the volume is in."""
    have = draft.observed.volumes.get(wanted.name)
    draft.start(wanted.resource, steps.GONE if have is None else _show(draft, have, wanted))


def is_removed_late(draft: Draft, wanted: DesiredVolume) -> bool:
    """True if the volume's driver is disabled now and will be enabled by this plan.

    Only then can its removal come after the plugins' steps; every other removal comes before
    them, because a volume holds its plugin.
    """
    have = draft.observed.volumes.get(wanted.name)
    plugin = None if have is None else draft.observed.plugins.get(have.driver)
    if have is None or plugin is None or plugin.enabled or wanted.force:
        return False
    return _declared_state(draft, have.driver) == desired_.ENABLED


def remove_volume(draft: Draft, wanted: DesiredVolume) -> None:
    """Add the removal of a volume that is declared absent."""
    have = draft.observed.volumes.get(wanted.name)
    if have is None:
        return
    plugin = draft.observed.plugins.get(have.driver)
    if plugin is not None and not plugin.enabled and not wanted.force:
        if _declared_state(draft, have.driver) != desired_.ENABLED:
            draft.problem(
                wanted.resource,
                f'cannot remove volume "{wanted.name}": its driver {have.driver} is disabled '
                "(force: true removes the record without asking the driver)",
            )
            return
        if draft.is_impossible(f"plugin/{have.driver}"):
            return
    held = _mounted_at(draft, wanted.name)
    if held and not wanted.force:
        draft.problem(
            wanted.resource,
            f'cannot remove volume "{wanted.name}": it is mounted at {", ".join(held)}',
        )
        return
    position = _add_removal(draft, wanted, have)
    draft.released.setdefault(have.driver, []).append(position)


def plan_volume(draft: Draft, wanted: DesiredVolume) -> None:
    """Add the steps that make a volume exist as declared."""
    have = draft.observed.volumes.get(wanted.name)
    driver = _driver(draft.observed, wanted)
    if have is None:
        if _driver_is_ready(draft, wanted, driver, "create"):
            _create(draft, wanted, driver)
        return
    differences = _differences(draft.observed, wanted, have, driver)
    if wanted.recreate == desired_.NEVER or (
        wanted.recreate == desired_.OPTIONS_CHANGED and not differences
    ):
        if differences:
            draft.problem(
                wanted.resource,
                f'cannot change volume "{wanted.name}": it was created with other '
                f"{' and other '.join(differences)} (recreate: options-changed would remove it "
                "WITH ITS DATA and create it again)",
            )
        elif _declared_state(draft, have.driver) == desired_.ABSENT:
            _driver_is_ready(draft, wanted, have.driver, "keep")
        return
    if not _driver_is_ready(draft, wanted, driver, "recreate"):
        return
    if have.driver != driver and not _driver_is_ready(draft, wanted, have.driver, "recreate"):
        return
    held = _mounted_at(draft, wanted.name)
    if held:
        draft.problem(
            wanted.resource,
            f'cannot recreate volume "{wanted.name}": it is mounted at {", ".join(held)}',
        )
        return
    _add_removal(draft, wanted, have)
    _create(draft, wanted, driver)


def _create(draft: Draft, wanted: DesiredVolume, driver: str) -> None:
    ready = draft.last.get(f"plugin/{driver}")
    before = draft.before[wanted.resource]
    draft.add(
        steps.VOLUME_CREATE,
        wanted.resource,
        f"create volume {wanted.name} with driver {driver}",
        _state(draft, wanted, driver, wanted.options or {}, wanted.labels or {}, before),
        depends=() if ready is None else (ready,),
        volume=wanted,
        driver=driver,
    )


def _add_removal(draft: Draft, wanted: DesiredVolume, have: ObservedVolume) -> int:
    ready = draft.last.get(f"plugin/{have.driver}")
    own = [
        f"mount/{m.mount.path}"
        for m in (draft.observed.mounts or {}).values()
        if m.mount.volume == have.name
    ]
    unmounted = [draft.last[resource] for resource in own if resource in draft.last]
    return draft.add(
        steps.VOLUME_REMOVE,
        wanted.resource,
        f"remove volume {wanted.name} with its data",
        steps.GONE,
        depends=(*unmounted, *(() if ready is None else (ready,))),
        volume=wanted,
        driver=have.driver,
    )


def _driver(observed: Observed, wanted: DesiredVolume) -> str:
    """Return the driver's name as this engine spells it: a legacy plugin's has no tag."""
    given = wanted.driver_as_given
    return given if given in observed.drivers else wanted.driver


def _driver_is_ready(draft: Draft, wanted: DesiredVolume, driver: str, verb: str) -> bool:
    """True if the driver is there, or will be after the plugins' steps; else note a problem."""
    if driver in draft.observed.drivers:
        return True
    if draft.is_impossible(f"plugin/{driver}"):
        return False  # said once is enough
    why = why_not_ready(draft, driver)
    if why:
        draft.problem(
            wanted.resource, f'cannot {verb} volume "{wanted.name}": its driver {driver} {why}'
        )
    return not why


def why_not_ready(draft: Draft, driver: str) -> str:
    """Return why a driver will not answer after the plugins' steps, "" if it will."""
    if driver in draft.observed.drivers:
        return ""
    plugin = draft.observed.plugins.get(driver)
    declared = _declared_state(draft, driver)
    if declared == desired_.ENABLED:
        return ""
    if declared in (desired_.ABSENT, desired_.DISABLED):
        return f"is declared {declared}"
    if plugin is None and declared is None:
        return "is not installed"
    return "is disabled" if plugin is None or not plugin.enabled else ""


def _mounted_at(draft: Draft, name: str) -> list[str]:
    """Return the paths of the host where the volume stays mounted, as far as the plan goes."""
    leaving = {step.resource for step in draft.steps if step.kind == steps.MOUNT_REMOVE}
    mounts = (draft.observed.mounts or {}).items()
    return sorted(
        path
        for path, have in mounts
        if have.mount.volume == name and f"mount/{path}" not in leaving
    )


def _declared_state(draft: Draft, driver: str) -> str | None:
    for plugin in draft.desired.plugins:
        if plugin.name == driver:
            return plugin.state
    return None


def _differences(
    observed: Observed, wanted: DesiredVolume, have: ObservedVolume, driver: str
) -> list[str]:
    """Say what differs, by name: values may be secrets."""
    found = []
    if have.driver not in (driver, wanted.driver):
        found.append(f"driver ({have.driver}, not {driver})")
    drift = observed.drift.get(wanted.name, ())
    if drift:
        found.append(f"options ({', '.join(drift)})")
    labels = [n for n, v in sorted((wanted.labels or {}).items()) if have.labels.get(n) != v]
    if labels:
        found.append(f"labels ({', '.join(labels)})")
    return found


def _show(draft: Draft, have: ObservedVolume, wanted: DesiredVolume) -> State:
    managed = wanted.labels or {}
    labels = {name: value for name, value in have.labels.items() if name in managed}
    return _state(draft, wanted, have.driver, have.options, labels, {})


def _state(
    draft: Draft,
    wanted: DesiredVolume,
    driver: str,
    options: Mapping[str, str],
    labels: Mapping[str, str],
    before: State,
) -> dict[str, object]:
    state: dict[str, object] = {"state": "present", "driver": driver}
    if wanted.options is not None:
        policy = draft.observed.volume_policy(driver, wanted.named_secrets)
        shown = masking.mask_mapping(options, policy)
        was = before.get("options") or {}
        for name in draft.observed.drift.get(wanted.name, ()):
            if name in shown and shown[name] == was.get(name):
                # Only a secret in it differs, and a diff that shows nothing would hide that.
                shown[name] = f"{shown[name]} (changed)"
        state["options"] = shown
    if wanted.labels is not None:
        state["labels"] = dict(sorted(labels.items()))
    return state
