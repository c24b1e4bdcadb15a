# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Content digests: `sha256:<64 hex>` (OCI image spec, "Digests")."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from plugind import errors

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A sha256 digest. sha512 is refused: no registry of plugins uses it."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Parse `sha256:<hex>`; anything else is InvalidParameter."""
        match = _DIGEST.fullmatch(text)
        if match is None:
            raise errors.InvalidParameter(f'invalid digest "{text}": want sha256:<64 hex digits>')
        return cls(match.group(1))

    @classmethod
    def of(cls, content: bytes) -> Digest:
        """Return the digest of `content`."""
        return cls(hashlib.sha256(content).hexdigest())

    def __str__(self) -> str:
        return f"sha256:{self.hex}"

    @property
    def short(self) -> str:
        """The 12 digits that progress lines show."""
        return self.hex[:12]

    def verify(self, content: bytes, what: str) -> None:
        """Raise DigestMismatch unless `content` has this digest; `what` names it in the error."""
        self.require(Digest.of(content), what)

    def require(self, actual: Digest, what: str) -> None:
        """Raise DigestMismatch unless `actual` is this digest."""
        if actual != self:
            raise errors.DigestMismatch(f"cannot verify {what}: expected {self}, got {actual}")
