# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One benchmark alone: its options are its function's keyword arguments, its output lines of JSON."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Iterator

from _pytest.outcomes import Skipped

from benchlib.figures import Figure


def run(measure: Callable[..., Iterator[Figure]]) -> int:
    """Parse the options, measure, print. 0, or 1 if this machine lacks something."""
    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, parameter in inspect.signature(measure).parameters.items():
        default = parameter.default
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    try:
        for line in measure(**vars(parser.parse_args())):
            print(json.dumps(line), flush=True)
    except Skipped as exc:
        print(f"cannot measure: {exc}", file=sys.stderr)
        return 1
    return 0
