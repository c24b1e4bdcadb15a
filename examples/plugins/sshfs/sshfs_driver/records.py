# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Which volumes there are, in one JSON file.

It lies below the propagated mount, the only place that outlives both a restart and an upgrade of the
plugin. It holds the passwords, for nobody else remembers them when a volume is mounted again; hence
directory 0700, file 0600.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from statefile import BrokenState, replace

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """One volume, as its creator described it."""

    options: dict[str, str] = field(repr=False)
    created: str  # RFC 3339


def decode(text: str) -> dict[str, Record]:
    """The content of a state file."""
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise BrokenState(f"format {document['format']} is not known to this version")
        return {
            name: Record(dict(volume["options"]), str(volume["created"]))
            for name, volume in document["volumes"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenState(f"not a state file: {error}") from None


def encode(records: dict[str, Record]) -> str:
    """The content of a state file."""
    volumes = {
        name: {"options": record.options, "created": record.created}
        for name, record in sorted(records.items())
    }
    return json.dumps({"format": FORMAT, "volumes": volumes}, indent=1) + "\n"


class Records:
    """The state directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "volumes.json"
        self.known_hosts = directory / "known_hosts"

    def load(self) -> dict[str, Record]:
        """All volumes; none if nothing was ever saved."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return decode(self.file.read_text())
        except FileNotFoundError:
            return {}
        except BrokenState as error:
            raise BrokenState(f"cannot read {self.file}: {error}") from None

    def save(self, records: dict[str, Record]) -> None:
        """Replace everything, durably."""
        replace(self.file, encode(records))
