#!/usr/bin/env python3
"""Stand in for the get-pip.py that ansible-test fetches from its own server before it makes its virtual environments.

The pip that comes with Python (ensurepip) is put in place first; it then installs what ansible-test asked for from the
package index that this machine is set up for. scripts/ansible_test.sh lays it where ansible-test keeps its downloads.
"""

from __future__ import annotations

import subprocess
import sys

# Options of the original that say which of its bundled packages to leave out; we bundle none.
IGNORED = {"--no-setuptools", "--no-wheel"}


def main(args: list[str]) -> int:
    wanted = [arg for arg in args if arg not in IGNORED]
    python = [sys.executable, "-m"]
    subprocess.run(
        [*python, "ensurepip", "--upgrade", "--default-pip"], check=True, stdout=subprocess.DEVNULL
    )
    return subprocess.run([*python, "pip", "install", "--quiet", *wanted], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
