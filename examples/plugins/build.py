#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Build the data directory of a managed plugin: ``config.json`` and ``rootfs/``.

    python3 examples/plugins/build.py localdir --output .build/plugins/localdir

The plugin's directory holds a ``recipe.toml`` that says what goes in (see README.md beside this
file). The work is done in two layers:

1. *base*: mmdebstrap unpacks Debian packages into a scratch tree, without running a single maintainer
   script. From it we copy what the recipe names, the Python standard library, and the shared
   libraries that those programs are linked with. Choosing what to take, instead of what to throw
   away, makes 20 MB out of 60. The base depends on packages only, so ``--cache DIR`` keeps it as a
   tar file named by the hash of everything that went into it.
2. *files*: the plugin's own files, copied on top. This takes milliseconds.

The packages come from wherever this machine's own apt gets them; nothing here knows a mirror.
Needs root (chroot).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from baselayer import BuildError, Content, apt_sources, obtain_base

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Recipe:
    """What a recipe.toml says."""

    directory: Path
    base: Content
    files: tuple[tuple[str, Path], ...]


def parse_recipe(directory: Path, text: str) -> Recipe:
    """Turn the text of a recipe.toml into a Recipe; ``files`` is {path in the rootfs: path here}."""
    document = tomllib.loads(text)
    unknown = set(document) - {"packages", "programs", "files"}
    if unknown:
        raise BuildError(f"cannot read {directory}/recipe.toml: unknown key {min(unknown)!r}")
    return Recipe(
        directory=directory,
        base=Content(tuple(document.get("packages", ())), tuple(document.get("programs", ()))),
        files=tuple(
            (target.lstrip("/"), directory / source)
            for target, source in document.get("files", {}).items()
        ),
    )


def add_files(recipe: Recipe, rootfs: Path, config: dict[str, object]) -> None:
    """Copy the plugin's own files and make the directories that its config.json mounts something on."""
    for name, source in recipe.files:
        target = rootfs / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
    for directory in filter(None, [config.get("propagatedMount"), config.get("workdir")]):
        (rootfs / str(directory).lstrip("/")).mkdir(parents=True, exist_ok=True)


def settle_times(rootfs: Path, epoch: int) -> None:
    """One time stamp for everything, so that the same content makes the same layer digest."""
    for directory, names, files in os.walk(rootfs, topdown=False):
        for name in (*names, *files):
            os.utime(Path(directory) / name, (epoch, epoch), follow_symlinks=False)
    os.utime(rootfs, (epoch, epoch))


def live_mounts(directory: Path) -> list[str]:
    """Mount points at or below a directory, from this process's mount table."""
    prefix = str(directory.resolve())
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point == prefix or point.startswith(prefix + "/")]


def clear_output(output: Path, *, replace: bool) -> None:
    """Make room for the result, and never delete anything that is not an earlier one."""
    if not output.exists() or not any(output.iterdir()):
        return
    if not replace:
        raise BuildError(
            f"cannot write to {output}: not empty (--replace overwrites an earlier build)"
        )
    if {entry.name for entry in output.iterdir()} - {"config.json", "rootfs"}:
        raise BuildError(f"cannot replace {output}: it holds more than config.json and rootfs")
    if live_mounts(output):
        raise BuildError(f"cannot replace {output}: {live_mounts(output)[0]} is a mount point")
    shutil.rmtree(output)


def build(
    recipe: Recipe, config_file: Path, output: Path, sources: list[Path], cache: Path | None
) -> None:
    """Put together one plugin's data directory; it appears at its place complete or not at all."""
    config = json.loads(config_file.read_text())
    output.parent.mkdir(parents=True, exist_ok=True)
    # Beside the output, so that the last step is a rename and not a copy between file systems.
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".build-") as name:
        scratch = Path(name)
        result = scratch / "result"
        result.mkdir(mode=0o755)
        obtain_base(recipe.base, result / "rootfs", scratch, sources, cache)
        add_files(recipe, result / "rootfs", config)
        settle_times(result / "rootfs", int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
        shutil.copyfile(config_file, result / "config.json")
        if output.exists():
            output.rmdir()
        result.rename(output)


def find_plugin(name: str) -> Path:
    """A plugin is named by its directory, or by its name beside this file."""
    for directory in (Path(name), HERE / name):
        if (directory / "recipe.toml").is_file():
            return directory.resolve()
    raise BuildError(
        f"cannot find the plugin {name!r}: no recipe.toml in {Path(name)} or {HERE / name}"
    )


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Build config.json and rootfs/ of a managed plugin."
    )
    parser.add_argument(
        "plugin", help="name of an example (localdir, sshfs) or a directory with a recipe.toml"
    )
    parser.add_argument(
        "--output", required=True, type=Path, metavar="DIR", help="where config.json and rootfs/ go"
    )
    parser.add_argument("--replace", action="store_true", help="overwrite an earlier build in DIR")
    parser.add_argument(
        "--config",
        default="config.json",
        metavar="NAME",
        help="another config file beside the recipe",
    )
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="keep and look for finished base layers here"
    )
    parser.add_argument(
        "--sources",
        type=Path,
        action="append",
        metavar="FILE",
        help="apt sources to use instead of this machine's (may be repeated)",
    )
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Do what the command line says; 1 if that was not possible."""
    options = arguments(argv)
    try:
        if os.geteuid() != 0:
            raise BuildError("cannot build a rootfs: needs root")
        directory = find_plugin(options.plugin)
        recipe = parse_recipe(directory, (directory / "recipe.toml").read_text())
        output = options.output.absolute()
        clear_output(output, replace=options.replace)
        cache = options.cache.absolute() if options.cache else None
        build(recipe, directory / options.config, output, options.sources or apt_sources(), cache)
    except (BuildError, OSError, ValueError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
