# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind serve` is the daemon; every other verb is the operator's client, stdlib only."""

from __future__ import annotations

import posix
import sys


def program() -> None:
    """Run what the program `plugind` was called with, and end the process."""
    arguments = sys.argv[1:]
    # What Ansible waits for comes first, without the imports of the other verbs.
    if arguments[:1] in (["apply"], ["query"]):
        from plugind.ctl import pipe

        status = pipe.main(arguments)
        if status is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            # Taking the interpreter apart would cost a third of what all this did.
            posix._exit(status)  # noqa: SLF001 - as os has it
    sys.exit(main())


def main() -> int:
    """Run the verb in argv; return the exit status."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] == "serve":
        return _serve(arguments[1:])
    if arguments and arguments[0] in ("apply", "query"):
        from plugind.ctl import apply

        main_verb = apply.main_apply if arguments[0] == "apply" else apply.main_query
        return main_verb(arguments[1:])
    from plugind.ctl import main as ctl

    return ctl.main(arguments)


def _serve(arguments: list[str]) -> int:
    """Parse what the daemon takes, then import it (aiohttp costs 200 ms)."""
    import argparse
    import mimetypes
    import os
    from dataclasses import fields
    from pathlib import Path

    from plugind import errors, options

    parser = argparse.ArgumentParser(prog="plugind serve", description="Run the plugin engine.")
    parser.add_argument("--config", type=Path, help=f"default: {options.CONFIG_FILE}")
    for item in fields(options.DaemonOptions):
        if item.name not in options.TABLES:
            parser.add_argument("--" + item.name.replace("_", "-"), dest=item.name)
    given = {key: value for key, value in vars(parser.parse_args(arguments)).items() if value}
    config = given.pop("config", None)
    try:
        chosen = options.load(config, os.environ, given)
    except errors.PlugindError as exc:
        print(f"plugind: {exc}", file=sys.stderr)
        return 2
    # aiohttp has them read for files that it might serve: 0.4 MiB for as long as the agent runs.
    mimetypes.knownfiles = []
    from plugind import daemon

    return daemon.run(chosen)


if __name__ == "__main__":
    program()
