# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Image references, with Docker's normalisation (distribution/reference grammar).

`sshfs`, `sshfs:latest` and `docker.io/library/sshfs:latest` are one reference. The *familiar* form
(shortest) is what Docker stores as a plugin's name and what people type; the *full* form is what
the registry is asked for.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace

from plugind import errors
from plugind.model import digest as digest_

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_OFFICIAL = "library/"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_HOST = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_HOST}(?:\.{_HOST})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A normalised reference: `domain/path[:tag][@digest]`."""

    domain: str
    path: str
    tag: str | None = None
    digest: digest_.Digest | None = None

    @property
    def repository(self) -> str:
        """Full repository name, for example `docker.io/vieux/sshfs`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """Shortest repository name, for example `vieux/sshfs`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        rest = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in rest else rest

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return tag + (f"@{self.digest}" if self.digest else "")

    @property
    def familiar(self) -> str:
        """Shortest form, for example `vieux/sshfs:latest`."""
        return self.familiar_repository + self._suffix()

    def __str__(self) -> str:
        return self.repository + self._suffix()

    def tagged(self) -> Reference:
        """Return this reference with a tag (`latest` if it has none) and without its digest."""
        if self.tag and not self.digest:
            return self
        return replace(self, tag=self.tag or DEFAULT_TAG, digest=None)

    def with_default_tag(self) -> Reference:
        """Add `:latest` unless there is a tag or a digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def without_tag(self) -> Reference:
        """Return `repository@digest` if there is a digest, else the bare repository."""
        return replace(self, tag=None)

    @property
    def registry_name(self) -> str:
        """What a manifest request names: the digest if there is one, else the tag."""
        return str(self.digest) if self.digest else (self.tag or DEFAULT_TAG)


@functools.lru_cache(maxsize=1024)  # a host's few names, again and again
def parse(text: str) -> Reference:
    """Parse and normalise `text`; InvalidParameter says what is wrong with it.

    As in Docker, a first component without `.`, `:` or upper case that is not `localhost` belongs
    to the path, not to the domain.
    """
    if _ID.fullmatch(text):
        raise _invalid(text, "64 hexadecimal digits are an id, not a name")
    rest, _, digest_text = text.partition("@")
    digest = None
    if "@" in text:
        digest = digest_.Digest.parse(digest_text)
    domain, path = _split_domain(rest)
    tag = None
    if ":" in path:
        path, _, tag = path.rpartition(":")
        if not _TAG.fullmatch(tag):
            raise _invalid(text, "the tag is malformed")
    if path != path.lower():
        raise _invalid(text, "repository name must be lowercase")
    if not _PATH.fullmatch(path) or not _DOMAIN.fullmatch(domain):
        raise _invalid(text, "want [host[:port]/]path[:tag][@sha256:digest]")
    if len(domain) + len(path) + 1 > 255:
        raise _invalid(text, "repository name must not be more than 255 characters")
    return Reference(domain, path, tag, digest)


def parse_name(text: str) -> Reference:
    """Parse a plugin's local name: tagged (`:latest` added), digests refused."""
    reference = parse(text)
    if reference.digest:
        raise errors.InvalidParameter(f'cannot use digest in plugin tag: "{text}"')
    return reference.tagged()


def canonical_name(text: str) -> str:
    """Return the familiar, tagged form of a plugin's name: `x` -> `x:latest`."""
    return parse_name(text).familiar


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_domain = slash and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    domain, path = (first, rest) if is_domain else (DEFAULT_DOMAIN, text)
    if domain in ("index.docker.io", DEFAULT_DOMAIN):
        domain = DEFAULT_DOMAIN
        if "/" not in path:
            path = _OFFICIAL + path
    return domain, path


def _invalid(text: str, why: str) -> errors.InvalidParameter:
    return errors.InvalidParameter(f'invalid reference format: "{text}": {why}')
