# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest

from plugind.model.containers import failure

RUNC = "runc create failed: unable to start container process: "


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (f'{RUNC}exec: "x": executable file not found in $PATH', 127),
        (f'{RUNC}exec: "/x": stat /x: no such file or directory', 127),
        (f'{RUNC}exec: "/etc": permission denied', 126),
        (f'{RUNC}exec: "/etc": is a directory', 126),
        ("crun: executable file `x` not found in $PATH: No such file or directory", 127),
        ("crun: executable file 'x' not found in $PATH", 127),
        ("crun: open executable: Permission denied", 126),
        ("open executable: Operation not permitted", 126),
        (f"{RUNC}error mounting /x: no such file or directory", 128),
        (f'{RUNC}exec: "/x": text file busy', 128),
        ("the runtime did not create the container in time", 128),
    ],
)
def test_the_runtimes_reasons(reason: str, code: int) -> None:
    message = failure.of_runtime(reason)
    assert "OCI runtime create failed: " in message
    assert message.endswith(": unknown")
    assert failure.exit_code(message) == code
    assert failure.is_the_programs(message) is (code != 128)


def test_cruns_words_become_those_that_the_cli_looks_for() -> None:
    message = failure.of_runtime("crun: executable file `x` not found in $PATH: No such file")
    assert 'crun: exec: "x": executable file not found in $PATH: unknown' in message


def test_what_is_not_the_runtimes_is_nobody_elses_program() -> None:
    for message in ("cannot mount volume v: exec: permission denied", "", "exec: not found"):
        assert failure.exit_code(message) == failure.NOT_STARTED
