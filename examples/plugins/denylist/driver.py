# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""denylist: an authorization plugin that denies by rules and allows the rest.

A rule is ``METHOD PATH [FIELD]``: the method or ``*``, a regular expression that the whole path must
match (without version, query and escapes), and a field of the JSON body that must be true or not
empty, as in

    POST /containers/create HostConfig.Privileged; * /plugins(/.*)?

The engine shows every request before it acts, and every answer before it sends it; answers pass.

Whatever makes a request look different to us than to the engine is a way around a rule. Hence:

* Paths are compared as the engine's router sees them: decoded, and without "//" and "..".
* Keys of the body in any case match, as they do in the engine, and all of those that occur count.
* A body that a rule wants to see and cannot (left out because of its size or type, or not JSON)
  makes the rule match.
"""

from __future__ import annotations

import base64
import json
import os
import posixpath
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pluginserver import (
    Arguments,
    Refused,
    Service,
    complain,
    log,
    optional_text,
    run,
    serve,
    text,
)

SOCKET = Path("/run/docker/plugins/denylist.sock")
VERSION = re.compile(r"/v[0-9.]+(?=/)")
AUTHORITY = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/]*")  # of a request in a proxy's form
LIMIT = 32 << 20  # engines quote bodies of up to 4 MiB, in base64, request and answer


class BadRule(ValueError):
    """A rule that cannot be understood. Not to start is better than not to deny."""


class Hidden(Exception):
    """The body cannot be seen."""


@dataclass(frozen=True)
class Rule:
    """What is denied."""

    method: str  # upper case, or "*"
    path: re.Pattern[str]
    field: tuple[str, ...]  # folded names, outermost first; empty if the body does not matter
    text: str

    def denies(self, method: str, path: str, body: str) -> bool:
        """Whether the rule is about this request; `body` is in base64."""
        if self.method not in ("*", method) or not self.path.fullmatch(path):
            return False
        if not self.field:
            return True
        try:
            return any(find(parse_body(body), self.field))
        except Hidden:
            return True


def parse_rule(line: str) -> Rule:
    """One rule out of its text."""
    words = line.split()
    if not 2 <= len(words) <= 3:
        raise BadRule(f"rule {line!r}: not METHOD PATH [FIELD]")
    method, path, field = words[0].upper(), words[1], "".join(words[2:])
    if not re.fullmatch(r"[A-Z]+|\*", method):
        raise BadRule(f"rule {line!r}: {words[0]!r} is not a method")
    try:
        pattern = re.compile(path)
    except re.error as error:
        raise BadRule(f"rule {line!r}: {path!r} is not a regular expression: {error}") from None
    names = tuple(name.casefold() for name in field.split(".") if name)
    return Rule(method, pattern, names, " ".join(words))


def parse_rules(setting: str) -> list[Rule]:
    """The DENY setting: rules separated by semicolons or line ends."""
    lines = (line.strip() for line in re.split(r"[;\n]", setting))
    return [parse_rule(line) for line in lines if line]


def normalize_path(uri: str) -> str:
    """The path as the engine's router compares it: "/v1.41/a%2Fb/../c?x=y" is "/a/c"."""
    path = unquote(AUTHORITY.sub("", uri.partition("?")[0]))
    path = posixpath.normpath("/" + path.lstrip("/"))
    found = VERSION.match(path)
    return path[found.end() :] if found else path


class Pairs(list[tuple[str, Any]]):
    """A JSON object with all its keys, also those that occur twice."""


def parse_body(body: str) -> Any:
    """The body's JSON, with objects as Pairs; Hidden if there is none."""
    try:
        return json.loads(base64.b64decode(body, validate=True), object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        raise Hidden from None


def find(document: Any, field: tuple[str, ...]) -> Iterator[bool]:
    """Whether a field is set, for each place where it occurs."""
    if not field:
        yield bool(document)
    elif isinstance(document, Pairs):
        for key, value in document:
            if key.casefold() == field[0]:
                yield from find(value, field[1:])


class DenyList:
    """The plugin: a list of rules."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = rules

    def request(self, arguments: Arguments) -> dict[str, Any]:
        """AuthZReq: the first rule that matches denies."""
        method, uri = text(arguments, "RequestMethod").upper(), text(arguments, "RequestUri")
        user = optional_text(arguments, "User") or "-"
        path, body = normalize_path(uri), optional_text(arguments, "RequestBody")
        rule = next((rule for rule in self.rules if rule.denies(method, path, body)), None)
        said = f"{method} {path!r} user={user!r}"
        if rule is None:
            log(f"allow {said}")
            return {"Allow": True, "Msg": ""}
        log(f"deny {said} rule={rule.text!r}")
        return {"Allow": False, "Msg": f"denied by the rule {rule.text!r}"}

    def response(self, arguments: Arguments) -> dict[str, Any]:
        """AuthZRes: what was allowed to happen may be told."""
        if not arguments:
            raise Refused(400, "cannot read the request: it is empty")
        return {"Allow": True, "Msg": ""}

    def service(self) -> Service:
        """The protocol's methods."""
        methods = {"AuthZPlugin.AuthZReq": self.request, "AuthZPlugin.AuthZRes": self.response}
        # Decisions are logged by themselves, with what they are about.
        return Service(("authz",), methods, quiet=frozenset(methods), limit=LIMIT)


def main() -> int:
    """Serve until told to stop."""
    try:
        rules = parse_rules(os.environ.get("DENY", ""))
        for rule in rules:
            log(f"Rule: {rule.text}")
        serve(DenyList(rules).service(), SOCKET)
    except (BadRule, OSError) as error:
        complain(f"denylist: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
