# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Which values are secrets, how they are shown, and how they are compared without being kept.

    policy.covers("EFS_SECRETKEY")                       by its name: a pattern, or named by somebody
    policy.mask("o", "addr=h,password=x")                "addr=h,password=********": inside a value, too
    policy.find("o", "addr=h,password=x")                ("x",): what must not be seen anywhere
    digest(key, "data", "password", "x")                 what a record keeps of a volume's secret

A pattern is a word, without regard to case. A name is split into words (`api-token`, `apiToken`);
a pattern of five letters or more matches anywhere in a word, a shorter one (`key`) at a word's end
only, so that `sshkey` is covered and `keyring` is not. A name whose last word says that it is about
a secret, and not the secret (`KEY_FILE`, `secret-name`), is not covered. A pattern with `*` or `?`
is compared with the whole name instead, whatever its last word.

Hiding too much costs a look elsewhere, hiding too little costs a password: in doubt it is covered.
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

MASK = "********"
#: Values shorter than this are not searched for in free text: half of it would go with them.
SHORTEST = 4
#: The label of a config.json, or of a volume, that names options: `a,b`.
OPTIONS_LABEL = "engine.plugind.secret-options"
#: The label of a config.json that names variables, and `args` for the arguments.
SETTINGS_LABEL = "engine.plugind.secret-settings"
ARGS = "args"
PATTERNS = (
    "password", "passwd", "passphrase", "secret", "token", "credential", "accesskey",
    "authorization", "key", "pass", "pwd", "auth",
)  # fmt: skip
DIGEST = "hmac-sha256"

_LONG = 5
_ABOUT = frozenset((
    "path", "file", "dir", "directory", "name", "url", "uri", "addr", "address", "ttl", "timeout",
    "type", "size", "length", "count", "options", "settings",
))  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_BEFORE = r"""(?P<before>(?:^|(?<=[\s,;&?"'({\[]))-{0,2}(?P<name>[A-Za-z][\w.-]*)=)"""
#: In a text a value ends at a blank; in an option's value, which mount(8) reads, at a comma only.
_IN_TEXT = re.compile(_BEFORE + r"""(?P<value>"[^"]+"|'[^']+'|[^\s,;&"']+)""")
_IN_VALUE = re.compile(_BEFORE + r"(?P<value>[^,]+)")
_ENDS = re.compile(r"[\s;&\"']+")
_USERINFO = re.compile(r"(?P<before>://[^/\s:@]*:)(?P<value>[^@\s/]+)(?=@)")
#: What a secret cannot be, although it is long enough to be searched for.
_WORDS = frozenset(("true", "false", "none", "null", MASK))
_KNOWN_AT_MOST = 16384
#: Levels of a JSON document that are looked into; nobody nests a status like that.
_DEEPEST = 100
#: RFC 3986, 2.3
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


#: What is shown in the place of a secret.
Cover = Callable[[str], str]


def cover_with_mask(secret: str) -> str:
    """Show nothing of a secret, not even how long it is."""
    return MASK


def cover_in_place(secret: str) -> str:
    """Return as many `*` as the secret has bytes, to write over it where it is."""
    return "*" * len(secret.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretPolicy:
    """Patterns for names, and names that a plugin's label or a caller has named."""

    patterns: tuple[str, ...] = PATTERNS
    named: frozenset[str] = frozenset()

    def naming(self, *names: Iterable[str]) -> SecretPolicy:
        """Return the policy that covers these names as well."""
        named = self.named.union(*names)
        return self if named == self.named else replace(self, named=named)

    def covers(self, name: str) -> bool:
        """True if a value of that name is a secret."""
        folded = name.casefold()
        if any(folded == other.casefold() for other in self.named):
            return True
        words = [word.casefold() for word in _WORD.findall(name)]
        about = bool(words) and words[-1] in _ABOUT
        for pattern in self.patterns:
            if "*" in pattern or "?" in pattern:
                if fnmatch.fnmatchcase(folded, pattern):
                    return True
            elif not about and any(_matches(pattern, word) for word in words):
                return True
        return False

    def mask(self, name: str, value: str) -> str:
        """Return what is shown of a value. An empty value hides nothing."""
        if self.covers(name):
            return MASK if value else value
        return self._mask_inline(_IN_VALUE, value)

    def mask_text(self, text: str, cover: Cover = cover_with_mask) -> str:
        """Mask `password=x` and `://user:x@` wherever they stand in a text."""
        return self._mask_inline(_IN_TEXT, text, cover)

    def _mask_inline(
        self, pattern: re.Pattern[str], text: str, cover: Cover = cover_with_mask
    ) -> str:
        def covered(match: re.Match[str]) -> str:
            return match["before"] + cover(match["value"])

        def judged(match: re.Match[str]) -> str:
            return covered(match) if self.covers(match["name"]) else match[0]

        if "=" in text:
            text = pattern.sub(judged, text)
        return _USERINFO.sub(covered, text) if "://" in text else text

    def mask_args(self, args: Iterable[str]) -> list[str]:
        """Mask a list of arguments: `--password=x`, `--password x`, `-o password=x`; or all."""
        return [shown for _, shown in self._args(args)]

    def find(self, name: str, value: str) -> tuple[str, ...]:
        """Return the secrets in a value."""
        if self.covers(name):
            return (value,) if value else ()
        inline = [m["value"] for m in _IN_VALUE.finditer(value) if self.covers(m["name"])]
        # What uses the value may end the secret earlier than we do.
        shorter = [next(filter(None, _ENDS.split(whole)), whole) for whole in inline]
        userinfo = [m["value"] for m in _USERINFO.finditer(value)]
        return tuple(dict.fromkeys((*inline, *shorter, *userinfo)))

    def find_in_args(self, args: Iterable[str]) -> tuple[str, ...]:
        """Return the secrets in a list of arguments."""
        found: list[str] = []
        for arg, shown in self._args(args):
            if shown == MASK:
                found.append(arg)
            elif shown != arg:
                found += self.find("", arg)
        return tuple(found)

    def is_masked(self, name: str, value: str) -> bool:
        """True if a mask stands where a secret should: somebody sends back what was shown."""
        return MASK in value and any(part == MASK for part in self.find(name, value))

    def is_masked_in_args(self, args: Iterable[str]) -> bool:
        """The same of a list of arguments: `--password ********`, `--password=********`."""
        args = list(args)
        return MASK in self.find_in_args(args) or any(self.is_masked("", arg) for arg in args)

    def _args(self, args: Iterable[str]) -> Iterator[tuple[str, str]]:
        every = self.covers(ARGS)
        hide_next = False
        for arg in args:
            if every or (hide_next and not arg.startswith("-")):
                yield arg, MASK
                hide_next = False
                continue
            hide_next = arg.startswith("-") and "=" not in arg and self.covers(arg)
            yield arg, self.mask("", arg)


DEFAULT = SecretPolicy()


class KnownValues:
    """The secrets that were seen, to be taken out of free text; only ever in memory.

    Found by their first characters, so that neither a value more nor a text more takes longer
    because there are thousands: every line of the log comes through here.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: dict[str, None] = {}
        #: By the first characters, the longest value first.
        self._starts: dict[str, list[str]] = {}
        self._initials: set[str] = set()
        self._initial: re.Pattern[str] | None = None
        self.add(values)

    def __repr__(self) -> str:
        return f"KnownValues({len(self._values)})"

    def add(self, values: Iterable[str]) -> None:
        """Remember values, also as JSON and URLs write them; very short ones are left out."""
        spelled = {other for value in values for other in _spellings(value)}
        new = [value for value in spelled if value not in self._values]
        if not new:
            return
        for value in new:
            self._values[value] = None
            alike = self._starts.setdefault(value[:SHORTEST], [])
            alike.append(value)
            alike.sort(key=len, reverse=True)
        while len(self._values) > _KNOWN_AT_MOST:
            self._forget(next(iter(self._values)))
        initials = {value[0] for value in new}
        if not initials <= self._initials:
            self._initials |= initials
            self._initial = re.compile(f"[{re.escape(''.join(sorted(self._initials)))}]")

    def redact(self, text: str, cover: Cover = cover_with_mask) -> str:
        """Return the text with every known value masked."""
        if self._initial is None:
            return text
        parts, done = [], 0
        for match in self._initial.finditer(text):
            at = match.start()
            found = self._find(text, at) if at >= done else None
            if found is not None:
                parts += [text[done:at], cover(found)]
                done = at + len(found)
        return "".join([*parts, text[done:]]) if done else text

    def _find(self, text: str, at: int) -> str | None:
        alike = self._starts.get(text[at : at + SHORTEST], ())
        return next((value for value in alike if text.startswith(value, at)), None)

    def _forget(self, value: str) -> None:
        del self._values[value]
        alike = self._starts[value[:SHORTEST]]
        alike.remove(value)
        if not alike:
            del self._starts[value[:SHORTEST]]


def walk(
    document: Any,
    policy: SecretPolicy,
    redact: Callable[[str], str],
    *,
    covered: bool = False,
    levels: int = _DEEPEST,
) -> Any:
    """Return a JSON document with what stands under telling names, and known values, masked.

    What is nested deeper than `levels` is masked as a whole.
    """
    covered = covered or not levels
    if levels and isinstance(document, Mapping):
        return {
            name: walk(
                value,
                policy,
                redact,
                covered=covered or policy.covers(str(name)),
                levels=levels - 1,
            )
            for name, value in document.items()
        }
    if levels and isinstance(document, (list, tuple)):
        return [
            walk(value, policy, redact, covered=covered, levels=levels - 1) for value in document
        ]
    if document is None or isinstance(document, bool) or document == "":
        return document
    if covered:
        return MASK
    return redact(policy.mask_text(document)) if isinstance(document, str) else document


def parse_names(text: str | None) -> frozenset[str]:
    """Return the names in a label: `a, b`."""
    return (
        frozenset(name.strip() for name in text.split(",") if name.strip()) if text else frozenset()
    )


def digest(key: bytes, volume: str, option: str, value: str) -> str:
    """Return what a record keeps of a secret: `hmac-sha256:<the key's id>:<hex>`.

    Volume and option are part of it, so that equal secrets do not look equal.
    """
    message = json.dumps([volume, option, value]).encode()
    code = hmac.digest(key, message, "sha256").hex()
    return f"{DIGEST}:{key_id(key)}:{code}"


def key_id(key: bytes) -> str:
    """Return eight hex digits that tell one key from another, and nothing about it."""
    return hashlib.sha256(b"plugind secret.key\0" + key).hexdigest()[:8]


def have_one_key(kept: str, other: str) -> bool:
    """True if two digests were made with one key, so that they can be compared."""
    return kept.rpartition(":")[0] == other.rpartition(":")[0]


def equal(kept: str, other: str) -> bool:
    """Compare two digests without telling by the time it takes."""
    return hmac.compare_digest(kept.encode(), other.encode())


def _matches(pattern: str, word: str) -> bool:
    return pattern in word if len(pattern) >= _LONG else word.endswith((pattern, f"{pattern}s"))


def _spellings(value: str) -> Iterator[str]:
    """Yield a value as it may turn up in a text; of one with several lines, each line, too."""
    lines = value.splitlines()
    for text in {value, *(lines if len(lines) > 1 else ())}:
        if len(text) < SHORTEST or text.casefold() in _WORDS:
            continue
        yield text
        for spelled in (
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            repr(text)[1:-1],
            _percent(text),
            _percent(text).replace("%20", "+"),
        ):
            if spelled != text:
                yield spelled


def _percent(text: str) -> str:
    """Return a text as URLs spell it."""
    encoded = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in encoded)
