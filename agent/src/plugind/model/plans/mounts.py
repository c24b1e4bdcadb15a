# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The host mounts' part of a plan.

A mount that shows another volume, or shows it in another way, is unmounted and made anew. One that
was unmounted by hand, or that died with its driver, is mounted again.
"""

from __future__ import annotations

from plugind.model import desired as desired_
from plugind.model import host_mount, steps
from plugind.model.desired import DesiredMount
from plugind.model.host_mount import HostMount
from plugind.model.observed import ObservedMount
from plugind.model.plans import volumes
from plugind.model.steps import Draft, State


def start_mount(draft: Draft, wanted: DesiredMount) -> None:
    """Note the state that the mount is in."""
    have = _have(draft, wanted)
    draft.start(wanted.resource, steps.GONE if have is None else _show(have.mount, have.state))


def remove_mount(draft: Draft, wanted: DesiredMount) -> None:
    """Add the removal of a mount that is declared absent, or that is to show something else."""
    have = _have(draft, wanted)
    if have is None or not _is_leaving(wanted, have):
        return
    draft.add(
        steps.MOUNT_REMOVE,
        wanted.resource,
        f"unmount volume {have.mount.volume} from {have.mount.path}",
        steps.GONE,
        mount=wanted,
    )


def plan_mount(draft: Draft, wanted: DesiredMount) -> None:
    """Add the step that makes a volume seen at its path."""
    path, volume = wanted.mount.path, wanted.mount.volume
    have = _have(draft, wanted)
    stays = have is not None and not _is_leaving(wanted, have)
    why = _obstacle(draft, wanted)
    if not why and stays and have is not None and have.state == host_mount.COVERED:
        why = "something else is mounted there"
    if why:
        if not draft.is_impossible(f"volume/{volume}"):
            draft.problem(wanted.resource, f'cannot mount volume {volume} at "{path}": {why}')
        return
    if stays and have is not None and have.state == host_mount.MOUNTED:
        return
    ready = draft.last.get(f"volume/{volume}"), draft.last.get(f"plugin/{_driver(draft, volume)}")
    draft.add(
        steps.MOUNT_CREATE,
        wanted.resource,
        f"mount volume {volume} at {path}" + (" again" if stays else ""),
        _show(wanted.mount, host_mount.MOUNTED),
        depends=tuple(position for position in ready if position is not None),
        mount=wanted,
    )


def _obstacle(draft: Draft, wanted: DesiredMount) -> str:
    """Return why the volume cannot be mounted at all, "" if it can."""
    if draft.observed.mounts is None:
        return "this engine has no call for mounts on the host; plugind's own engine has"
    volume = wanted.mount.volume
    declared = next((v for v in draft.desired.volumes if v.name == volume), None)
    if declared is not None and declared.state == desired_.ABSENT:
        return "the volume is declared absent"
    if declared is None and volume not in draft.observed.volumes:
        return "there is no such volume"
    if draft.is_impossible(f"volume/{volume}"):
        return "the volume cannot be as declared"
    driver = _driver(draft, volume)
    why = volumes.why_not_ready(draft, driver)
    return f"its driver {driver} {why}" if why else ""


def _driver(draft: Draft, volume: str) -> str:
    declared = next((v for v in draft.desired.volumes if v.name == volume), None)
    have = draft.observed.volumes.get(volume)
    if have is not None and (declared is None or declared.recreate == desired_.NEVER):
        return have.driver
    return declared.driver if declared is not None else desired_.LOCAL


def _have(draft: Draft, wanted: DesiredMount) -> ObservedMount | None:
    return (draft.observed.mounts or {}).get(wanted.mount.path)


def _is_leaving(wanted: DesiredMount, have: ObservedMount) -> bool:
    return wanted.state == desired_.ABSENT or not have.mount.shows_the_same(wanted.mount)


def _show(mount: HostMount, state: str) -> State:
    return {
        "state": state,
        "volume": mount.volume,
        "read_only": mount.read_only,
        "propagation": mount.propagation,
    }
