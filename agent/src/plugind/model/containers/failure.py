# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Why a container cannot run, in Docker's words: the docker CLI reads its exit code out of them.

executable file not found, no such file or directory    127
permission denied, is a directory                       126
anything else                                           125 of the CLI's, 128 of the container's
"""

from __future__ import annotations

import re

NOT_STARTED = 128
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
_PREFIX = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
)
#: crun's words, where runc's have `exec: "NAME": `.
_CRUN_MISSING = re.compile(r"executable file [`'](.*?)[`'] not found in \$PATH.*", re.DOTALL)
_CRUN_REFUSED = re.compile(
    r"open executable: (?:Permission denied|Operation not permitted|Is a directory)"
)


def of_runtime(reason: str) -> str:
    """Return what clients are told when the runtime would not create a container."""
    reason = _CRUN_MISSING.sub(r'exec: "\1": executable file not found in $PATH', reason)
    reason = _CRUN_REFUSED.sub("exec: permission denied", reason)
    return f"{_PREFIX}{reason}: unknown"


def is_the_programs(message: str) -> bool:
    """True if the program that was asked for is what is wrong."""
    return exit_code(message) != NOT_STARTED


def exit_code(message: str) -> int:
    """Return the exit code of a container that could not be started because of that."""
    if not message.startswith(_PREFIX) or "exec:" not in message:
        return NOT_STARTED
    if "executable file not found" in message or "no such file or directory" in message:
        return _NOT_FOUND
    if "permission denied" in message or "is a directory" in message:
        return _NOT_EXECUTABLE
    return NOT_STARTED
