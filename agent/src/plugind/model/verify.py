# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""How a plugin is verified: what a probe does, how long it is tried again, and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from plugind.model.secrets import SecretPolicy

CHANGED, ALWAYS = "changed", "always"
#: What the name of a probe volume begins with; random characters follow.
PROBE_VOLUME = "plugind-verify-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """One plugin's verification.

    activate  the plugin's socket has to answer
    volume    the options of a volume that is created, mounted, written, read and removed; None: no
              volume is made
    timeout   seconds in which a probe has to pass; until then it is tried again
    when      `changed`: after a change of the plugin, or of one that it requires, and until it has
              passed; `always`: in every run
    """

    activate: bool = True
    volume: Mapping[str, str] | None = field(default=None, repr=False)
    timeout: float = 30.0
    when: str = CHANGED

    def secrets(self, policy: SecretPolicy) -> Iterator[str]:
        """Yield the secret values among the probe volume's options."""
        for name, value in (self.volume or {}).items():
            yield from policy.find(name, value)
