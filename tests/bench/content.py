# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Create and install with a root file system of 6, 100 and 500 MB: files of this machine, as any Debian has.

    python tests/bench/content.py [--most MEGABYTES]

Both pull the same image, which dockerd has made, from Debian's registry on loopback. Each figure is given twice: until
the engine answers, and (`_durable`) until all that it wrote is on the disk, which is the same for both whatever each of
them syncs by itself. An install is a pull and an enable.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchlib import disk, engines, plugins
from benchlib.cli import run
from benchlib.figures import Figure, figures, in_turn, timed, without_sleep

from support import docker_registry

#: Megabytes -> rounds. What takes half a minute is not repeated often.
SIZES = {6: 7, 100: 5, 500: 2}


@dataclass(frozen=True)
class Image:
    """A plugin of one size: its directory, and where it is in the registry."""

    directory: Path
    remote: str
    size: int


def measure(*, most: int = 500) -> Iterator[Figure]:
    """Measure size by size, the small one first: it warms both up."""
    engines.require("docker-registry")
    with disk.journaled() as place, docker_registry.run(place) as registry, engines.both() as sides:
        for size, rounds in SIZES.items():
            if size <= most:
                with plugins.made(size) as directory:
                    image = Image(directory, f"{registry.host}/bench/size:{size}", size)
                    yield from one_size(sides, image, rounds)


def one_size(sides: dict[str, engines.Side], image: Image, rounds: int) -> Iterator[Figure]:
    """Everything about one size."""
    publish(sides["peer"], image)

    def once(side: str, number: int) -> Iterator[tuple[str, float]]:
        plugins.change(image.directory, f"{number} {side}")
        yield from create(sides[side], image)
        yield from install(sides[side], image)

    samples = in_turn(sides, rounds, once, warm_up=0)
    blobs = samples.pop(f"blob_{image.size}mb")
    yield from figures(samples)
    yield from figures({f"blob_{image.size}mb": blobs}, "MB")
    for suffix in ("", "_durable"):
        name = f"plugin_install_{image.size}mb{suffix}"
        yield without_sleep(name, samples[name])


def publish(side: engines.Side, image: Image) -> None:
    """Put it into the registry."""
    side.create(image.remote, image.directory)
    side.push(image.remote)
    side.remove(image.remote)


def create(side: engines.Side, image: Image) -> Iterator[tuple[str, float]]:
    """Create; how large the layer has become."""
    side.settle()
    spent = side.create("bench", image.directory)
    durable = spent + timed(side.settle)
    yield f"plugin_create_{image.size}mb", spent
    yield f"plugin_create_{image.size}mb_durable", durable
    yield f"blob_{image.size}mb", side.blob_bytes() / 1e6
    side.remove("bench")


def install(side: engines.Side, image: Image) -> Iterator[tuple[str, float]]:
    """Pull, enable."""
    side.settle()
    pull = timed(lambda: side.pull(image.remote, "bench"))
    enable = timed(lambda: side.enable("bench"))
    durable = pull + enable + timed(side.settle)
    yield f"plugin_pull_{image.size}mb", pull
    yield f"plugin_install_{image.size}mb", pull + enable
    yield f"plugin_install_{image.size}mb_durable", durable
    side.remove("bench")


if __name__ == "__main__":
    sys.exit(run(measure))
