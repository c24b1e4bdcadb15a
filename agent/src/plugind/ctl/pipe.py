# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind apply` and `plugind query` as Ansible's tasks call them: a JSON text in, a JSON text out.

    plugind apply - --json [--dry-run] [--socket PATH]
    plugind query - --json [--socket PATH]

A task waits for this on every host, and most often there is nothing to do. So neither a parser is made
nor JSON decoded, which together took twice as long as the start of Python: the agent judges the
document, and the text of its answer is passed on. All that is not as plain as that is left to `apply`,
so that arguments, messages and exit codes are the same.
"""

from __future__ import annotations

import posix

from plugind.ctl import wire

_INPUT, _OUTPUT = 0, 1


def main(arguments: list[str]) -> int | None:
    """Carry a call of Ansible's out and return the exit code; None if the arguments are others."""
    asked = read(arguments)
    if asked is None:
        return None
    path, socket = asked
    try:
        answer = wire.post(wire.agent_socket(socket), path, _read_all())
        if not is_plain(answer):
            return _decode(answer, path)
    except (wire.Unreachable, wire.Refused) as exc:
        from plugind.ctl import apply

        return apply.fail(exc, json_too=True)
    _write_all(answer)
    return wire.OK


def read(arguments: list[str]) -> tuple[str, str | None] | None:
    """Return what to post to, and the socket if it is given; None for what only the parser understands."""
    if arguments[1:3] != ["-", "--json"] or arguments[0] not in ("apply", "query"):
        return None
    path, words = f"/plugind/{arguments[0]}", arguments[3:]
    if arguments[0] == "apply":
        path += f"?dry_run={int(words[:1] == ['--dry-run'])}"
        words = words[1:] if words[:1] == ["--dry-run"] else words
    if not words:
        return path, None
    is_socket = len(words) == 2 and words[0] == "--socket" and not words[1].startswith("-")
    return (path, words[1]) if is_socket else None


def is_plain(answer: bytes) -> bool:
    """True if the answer is an object of which no member says that it has failed.

    Quotes within a JSON string have a backslash, so none of these bytes can be somebody's text.
    """
    return answer.startswith(b"{") and b'"failed":true' not in answer.replace(b": ", b":")


def _decode(answer: bytes, path: str) -> int:
    from plugind.ctl import apply

    return apply.finish(wire.decode_object(answer, path))


def _read_all() -> bytes:
    read = bytearray()
    while piece := posix.read(_INPUT, 1 << 18):
        read += piece
    return bytes(read)


def _write_all(answer: bytes) -> None:
    left = memoryview(answer)
    while left:
        left = left[posix.write(_OUTPUT, left) :]
