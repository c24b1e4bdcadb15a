# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The plugin's entrypoint: settings from the environment, the parts put together, and off."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sshfs_driver.driver import SshfsDriver
from sshfs_driver.mounts import Sshfs
from sshfs_driver.records import BrokenState, Records
from volumeplugin import complain, log, run, serve

SOCKET = Path("/run/docker/plugins/sshfs.sock")
ROOT = Path("/mnt/volumes")  # propagatedMount in config.json


def connect_timeout() -> int:
    """The CONNECT_TIMEOUT setting."""
    value = os.environ.get("CONNECT_TIMEOUT") or "10"
    if not value.isdigit() or int(value) == 0:
        raise ValueError(f"setting CONNECT_TIMEOUT: {value!r} is not a number of seconds")
    return int(value)


def main() -> int:
    """Serve until told to stop."""
    try:
        records = Records(ROOT / ".state")
        driver = SshfsDriver(ROOT, records, Sshfs(records.known_hosts, connect_timeout()))
    except (BrokenState, OSError, ValueError) as error:
        complain(f"sshfs: {error}")
        return 1
    log(f"Starting... Found {len(driver.volumes)} volumes on startup")
    serve(driver, SOCKET)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
