# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Names for containers that were given none: two words, as people are used to."""

from __future__ import annotations

from collections.abc import Collection

_FIRST = (
    "amber", "brisk", "calm", "clever", "daring", "eager", "fair", "gentle", "happy", "honest",
    "keen", "kind", "lively", "lucid", "merry", "mild", "noble", "patient", "plain", "proud",
    "quick", "quiet", "ready", "sharp", "sober", "steady", "sunny", "swift", "tidy", "warm",
    "wise", "witty",
)  # fmt: skip
_SECOND = (
    "alder", "ash", "aspen", "badger", "beech", "birch", "cedar", "crane", "curlew", "elm",
    "falcon", "fern", "finch", "hare", "hazel", "heron", "ibis", "juniper", "kestrel", "larch",
    "lark", "linnet", "maple", "marten", "oak", "osprey", "otter", "pine", "plover", "rowan",
    "swift", "willow",
)  # fmt: skip


def generate(number: int, taken: Collection[str]) -> str:
    """Return the name that `number` picks, with a digit behind it as long as it is taken."""
    base = f"{_FIRST[number % len(_FIRST)]}_{_SECOND[number // len(_FIRST) % len(_SECOND)]}"
    name, tries = base, 0
    while name in taken:
        tries += 1
        name = f"{base}{tries}"
    return name
