# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A private sshd with a throw-away user: what an sshfs volume is on the other side.

with sshd.run() as server:
    server["SSHCMD"], server["PORT"], server["SHARE"], server["PASSWORD_FILE"]
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support import daemon

SERVER = daemon.REPOSITORY / "examples" / "plugins" / "sshfs" / "demo-server.sh"


@contextlib.contextmanager
def run() -> Iterator[dict[str, str]]:
    """Run the demo server; give its settings as the script writes them."""
    daemon.require("sshd")
    # Not in tmp_path: that is closed to every user but root.
    with tempfile.TemporaryDirectory(prefix="plugind-ssh-") as parent:
        Path(parent).chmod(0o755)
        directory = Path(parent, "server")
        subprocess.run([str(SERVER), "start", str(directory)], check=True, capture_output=True)
        try:
            lines = (directory / "server.env").read_text().splitlines()
            yield dict(line.split("=", 1) for line in lines if "=" in line)
        finally:
            subprocess.run([str(SERVER), "stop", str(directory)], check=True, capture_output=True)
