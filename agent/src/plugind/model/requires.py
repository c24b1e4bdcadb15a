# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What requires what: the order that follows, and why there may be none. Only names count here.

`Requires` has, by name, the names that it requires itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

Requires = Mapping[str, Collection[str]]


def order(names: Sequence[str], requires: Requires) -> list[str]:
    """Return `names` so that each comes after all that it requires, otherwise in the given order.

    What is required and not named does not count. There must be no circle.
    """
    left = list(names)
    ordered: list[str] = []
    while left:
        ready = next(n for n in left if not any(other in left for other in requires.get(n, ())))
        ordered.append(ready)
        left.remove(ready)
    return ordered


def inverted(requires: Requires) -> dict[str, list[str]]:
    """Return, by name, what requires it."""
    found: dict[str, list[str]] = {}
    for name, needed in requires.items():
        for other in needed:
            found.setdefault(other, []).append(name)
    return found


def reach(name: str, requires: Requires) -> list[str]:
    """Return all that `name` requires, itself or by what it requires, without itself."""
    found: dict[str, None] = {}
    left = list(requires.get(name, ()))
    while left:
        other = left.pop(0)
        if other not in found:
            found[other] = None
            left += requires.get(other, ())
    return [other for other in found if other != name]


def circle(requires: Requires) -> list[str]:
    """Return names of which each requires the next one, and the last one the first; [] if there are none."""
    fine: set[str] = set()
    for start in requires:
        path: list[str] = []
        pending = [(start, 0)]
        while pending:
            name, depth = pending.pop()
            del path[depth:]
            if name in path:
                return path[path.index(name) :]
            if name in fine:
                continue
            path.append(name)
            pending += [(other, depth + 1) for other in requires.get(name, ())]
        fine |= {start, *reach(start, requires)}
    return []


def problems(names: Sequence[str], requires: Requires, absent: Collection[str]) -> Iterator[str]:
    """Yield, with their paths in a declaration, why plugins cannot require what they do.

    `names` are in declared order, `absent` those that are declared absent.
    """
    for position, name in enumerate(names):
        for place, other in enumerate(requires.get(name, ())):
            path = f".plugins[{position}].requires[{place}]"
            if other not in names:
                yield f'{path}: "{other}" is not declared'
            elif other in absent and name not in absent:
                yield f'{path}: "{other}" is declared absent'
    found = circle(requires)
    if found:
        path = f".plugins[{names.index(found[0])}].requires"
        yield f"{path}: a plugin cannot require itself: {' -> '.join([*found, found[0]])}"
