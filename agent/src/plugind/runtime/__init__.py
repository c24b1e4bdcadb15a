# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""conmon and an OCI runtime (runc by default, crun by option)."""

from plugind.runtime.engine import OciRuntime

__all__ = ["OciRuntime"]
