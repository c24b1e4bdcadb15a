# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Reference pages, made from the tables that the agent itself works with. Every function returns Markdown.

options()       plugind.toml: the docstring and the fields of plugind/options.py
events()        the tables of plugind/model/event.py
lifecycle()     the transition table of plugind/model/lifecycle.py, drawn
floors()        the layers that import-linter enforces, drawn, and what each room says of itself
routes()        the route table of plugind/api/routes.py, with the words of docs/openapi.yaml
schema()        config.json and declarations: the JSON Schemas that they are checked with
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

import drawings
import plugind
from plugind import options as options_
from plugind.api import routes as routes_
from plugind.model import event, lifecycle

ROOT = Path(__file__).parents[2]
SOURCES = Path(plugind.__file__).parent
CONTRACTS = ROOT / "agent" / "pyproject.toml"
OPENAPI = ROOT / "docs" / "openapi.yaml"
#: Keys of config.json are matched in any case, and the schema has them in lower case; Docker's authors write these so.
_SPELLED = {
    "protocolscheme": "protocolScheme",
    "propagatedmount": "propagatedMount",
    "allowalldevices": "allowAllDevices",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table; a cell's own bars and line ends are taken care of."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _drawing(svg: str) -> str:
    # One line: a blank one would end the block of HTML.
    return f'<div class="drawing">{re.sub(chr(10), " ", svg)}</div>\n'


# ------------------------------------------------------------------------------------------------------------- options


def options() -> str:
    """Return the table of each table of plugind.toml; fails if a field or a line has no counterpart."""
    fields = {item.name: item for item in dataclasses.fields(options_.DaemonOptions)}
    present = options_.DaemonOptions()
    text, used = "", set()
    for name, keys in _read_docstring(options_.__doc__ or "").items():
        rows = []
        for key, (example, says) in keys.items():
            field = _field_of(name, key)
            used.add(field)
            default = _default(getattr(present, field))
            if example and default in ("[]", "{}", '""'):
                says = f"{says}; for example `{example}`"
            rows.append((_code(key), _code(default), says))
        text += f"\n## [{name}]\n\n" + table(("key", "default", ""), rows)
    if used != set(fields):
        raise ValueError(f"the docstring of options.py and its fields differ: {used ^ set(fields)}")
    return text


def _field_of(name: str, key: str) -> str:
    """Return the field of a table's key, by the prefixes that options.py itself uses."""
    return options_._TABLES[name] + key  # noqa: SLF001  one table, one meaning


def _read_docstring(docstring: str) -> dict[str, dict[str, tuple[str, str]]]:
    """Return key -> (value, words) by table. A table `[a.b]` is a key `b` of table `a`."""
    tables: dict[str, dict[str, tuple[str, str]]] = {}
    name = last = ""
    for line in docstring.splitlines()[1:]:
        if head := re.fullmatch(r"\[(\w+)(?:\.(\w+))?\]", line):
            name = head[1]
            tables.setdefault(name, {})
            if head[2]:
                last = head[2]
                tables[name][last] = ("", "")
        elif inner := re.fullmatch(r'("[^"]+" = (?:\[.*?\]|\{.*?\}))(?:\s+(.*))?', line):
            tables[name][last] = (inner[1], inner[2] or "")
        elif pair := re.fullmatch(r"(\w+) = (\[.*?\]|\".*?\"|\S+)(?:\s+(.*))?", line):
            last = pair[1]
            tables[name][last] = (pair[2], pair[3] or "")
        elif line.strip() and name:
            value, says = tables[name][last]
            tables[name][last] = (value, f"{says} {line.strip()}")
    return tables


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return json.dumps(list(value))
    if isinstance(value, Mapping):
        return "{}"
    return f'"{value}"' if isinstance(value, str | Path) else str(value)


# --------------------------------------------------------------------------------------------------- events, lifecycle


def events() -> str:
    """Return a table of actions for each type of event."""
    text = ""
    for kind, actions in event.ACTIONS.items():
        common = ", ".join(map(_code, event.ATTRIBUTES[kind]))
        rows = [(_code(n), a.says, ", ".join(map(_code, a.attributes))) for n, a in actions.items()]
        text += f"\n## {kind}\n\nEach has {common}.\n\n" + table(("action", "", "also"), rows)
    return text + "\n## Filters\n\n" + ", ".join(map(_code, event.FILTERS)) + ".\n"


def states() -> str:
    """Return the life of a plugin, drawn."""
    moves = [(a.value, t.value, b.value) for (a, t), b in lifecycle.TRANSITIONS.items()]
    policy = lifecycle.RestartPolicy()
    waits = [policy.delay(n) for n in range(1, policy.limit + 1)]
    shown = ", ".join(f"{wait:g}" for wait in waits if wait is not None)
    return (
        _drawing(drawings.states(moves, lifecycle.PluginState.DISABLED.value))
        + f"\nBetween restarts pass {shown} seconds; after the next failure the plugin is left alone. A run of "
        f"{policy.healthy_after:g} seconds ends the row. `[restart]` in `plugind.toml` changes these.\n"
    )


# -------------------------------------------------------------------------------------------------------------- floors


def floors() -> str:
    """Return import-linter's layers, drawn, with what each room says of itself."""
    contracts = tomllib.loads(CONTRACTS.read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["id"] == "floors")
    rules = [(c["name"],) for c in contracts if c["id"] != "floors"]
    rooms = [
        (_code(room), _docstring(room)) for layer in layers for room in re.findall(r"\w+", layer)
    ]
    return (
        _drawing(drawings.floors(layers))
        + "\n"
        + table(("room", ""), rooms)
        + "\nBesides:\n\n"
        + "".join(f"* {name}\n" for (name,) in rules)
    )


def _docstring(room: str) -> str:
    """Return the first sentence of a module's or package's docstring, without importing it."""
    path = SOURCES / room / "__init__.py" if (SOURCES / room).is_dir() else SOURCES / f"{room}.py"
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    first = said.partition("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[.])\s", first, maxsplit=1)[0]


# -------------------------------------------------------------------------------------------------------------- routes


def routes() -> str:
    """Return every endpoint by tag: what it does, whether it writes, what a client's leaving does to it."""
    document = yaml.safe_load(OPENAPI.read_text())
    rooms: dict[str, list[tuple[str, ...]]] = {tag["name"]: [] for tag in document["tags"]}
    for method, path, access, gone, handler in routes_.ROUTES:
        operation = document["paths"].get(path, {}).get(method.lower())
        if operation is None:
            raise ValueError(
                f"openapi.yaml has no {method} {path}, which {handler.__name__} serves"
            )
        says = operation["summary"]
        rooms[operation["tags"][0]].append(
            (f"`{method} {path}`", says, access.value, gone.name.lower())
        )
    text = document["info"]["description"]
    text = re.sub(r"\]\((\w+)\.md\)", r"](../../\1.md)", text)
    for tag in document["tags"]:
        head = ("", "", "access", "client gone")
        text += f"\n## {tag['name']}\n\n{tag['description']}.\n\n" + table(head, rooms[tag["name"]])
    return text


# ------------------------------------------------------------------------------------------------------------- schemas


def schema(name: str) -> str:
    """Return a table of each object of a JSON Schema below plugind/model."""
    document = json.loads((SOURCES / "model" / f"{name}.schema.json").read_text())
    rows = [
        (_code(path), _type(node), node.get("description", ""))
        for path, node in _walk(document, document, "")
        if path
    ]
    return table(("key", "type", ""), rows)


def _walk(document: Any, node: Any, path: str) -> Iterator[tuple[str, Any]]:
    while "$ref" in node:
        target = document["$defs"][node["$ref"].rpartition("/")[2]]
        node = {**target, **{k: v for k, v in node.items() if k != "$ref"}}
    yield path, node
    for key, inner in node.get("properties", {}).items():
        spelled = _SPELLED.get(key, key)
        yield from _walk(document, inner, f"{path}.{spelled}" if path else spelled)
    items = node.get("items", {})
    if "$ref" in items or "properties" in items:
        yield from (
            found for found in _walk(document, items, f"{path}[]") if found[0] != f"{path}[]"
        )
    for choice in node.get("oneOf", ()):
        if "$ref" in choice:
            yield from (found for found in _walk(document, choice, path) if found[0] != path)


def _type(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return ", ".join(map(_code, node["enum"]))
    if "oneOf" in node:
        return ", ".join(dict.fromkeys(_type_of_choice(choice) for choice in node["oneOf"]))
    types = node.get("type", "")
    names = [types] if isinstance(types, str) else [t for t in types if t != "null"]
    if names == ["array"]:
        inner = node.get("items", {}).get("type", "object")
        return f"list of {inner}s" if isinstance(inner, str) else "list of values"
    limits = [
        f"{word} {node[key]}"
        for key, word in (("minimum", "from"), ("maximum", "to"))
        if key in node
    ]
    return " ".join([" or ".join(names), *limits])


def _type_of_choice(choice: Mapping[str, Any]) -> str:
    if "const" in choice:
        return _code(json.dumps(choice["const"]).strip('"'))
    return "mapping" if "$ref" in choice else _type(choice)
