# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`python tests/fleet VERB ...`, see cli.py."""

from __future__ import annotations

import sys
from pathlib import Path

# This directory is the first entry: its modules are imported as a package, from the one above.
sys.path[0] = str(Path(__file__).parents[1])

from fleet import cli  # noqa: E402

sys.exit(cli.main(sys.argv[1:]))
