# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A report -> one page that needs nothing else: no network, no other file. Pure.

PRIVATE to this collection. Whatever a host says is hostile: every text goes through `escape`, and the page's own
Content-Security-Policy names the one script and the styles that may be used, by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.plugind.engine.plugins.plugin_utils import (
    _report,
    _report_assets,
    _rollout,
)

Report = Mapping[str, Any]
Row = Mapping[str, Any]

# Control characters, and those by which a text looks like another one (Unicode TR 9 and 36).
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
_TILES = (
    (_report.UNREACHABLE, "unreachable"),
    (_report.FAILED, "failed"),
    (_report.DRIFTED, "drifted"),
    (_report.UNHEALTHY, "unhealthy"),
    (_report.WAITING, "not reached yet"),
    (_report.CHANGED, "changed"),
    (_report.OK, "as declared"),
)
_ORDER = {state: position for position, state in enumerate(_report.STATES)}


def render(report: Report) -> str:
    """Return the page, in ASCII."""
    style, quiet, script = (
        _report_assets.STYLE,
        _report_assets.STYLE_WITHOUT_SCRIPT,
        _report_assets.SCRIPT,
    )
    policy = (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src {_digest(style)} {_digest(quiet)}; script-src {_digest(script)}"
    )
    title = escape(report["title"])
    page = "\n".join([
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{title}</title>\n<style>{style}</style>",
        f"<noscript><style>{quiet}</style></noscript>\n</head>\n<body>",
        *_head(report),
        *_batches(report.get("rollout")),
        *_plugins(report["plugins"]),
        *_hosts(report),
        f"<script>{script}</script>\n</body>\n</html>\n",
    ])  # fmt: skip
    return page.encode("ascii", "xmlcharrefreplace").decode()


def escape(text: Any) -> str:
    """Return a text that is nothing but text in HTML, in an attribute too, and hides no character."""
    visible = _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", str(text))
    return html.escape(visible, quote=True)


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _head(report: Report) -> list[str]:
    summary = report["summary"]
    generated = f"{escape(report['generated'])} &middot; " if report["generated"] else ""
    tiles = [
        f'<li><button class="{state} {"some" if count else "none"}" data-find="state:{state}">'
        f"<b>{count}</b>{label}</button></li>"
        for state, label in _TILES
        for count in [summary["states"][state]]
        if "rollout" in report or state != _report.WAITING
    ]
    rollout = report.get("rollout")
    message = [f'<p class="closing">{escape(rollout["message"])}</p>'] if rollout else []
    return [
        f"<header>\n<h1>{escape(report['title'])}</h1>",
        (
            f'<p class="quiet">{generated}{_count(summary["hosts"], "host")}, '
            f"{_count(summary['plugins'], 'plugin')}, {_count(summary['volumes'], 'volume')}</p>"
        ),
        *message,
        '<ul class="tiles" aria-label="Hosts by state">',
        f'<li><button data-find=""><b>{summary["hosts"]}</b>hosts</button></li>',
        *tiles,
        "</ul>\n</header>\n<main>",
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _batches(rollout: Row | None) -> list[str]:
    """Return the table of a roll-out: its batches, what became of their hosts, and its gates."""
    if not rollout or not rollout["batches"]:
        return []
    lines = []
    for row in rollout["batches"]:
        gate = "passed" if row["passed"] else f"stopped: {row['reason']}"
        hosts = ", ".join(
            f"{row['outcomes'][name]} {_words(name)}"
            for name in _rollout.OUTCOMES
            if row["outcomes"][name]
        )
        lines.append(
            f'<tr><th scope="row"><button data-find="batch:{row["number"]}">'
            f"Batch {row['number']}</button></th>"
            f'<td>{hosts}</td><td><span class="{"is" if row["passed"] else "was"}">'
            f"{escape(gate)}</span></td></tr>"
        )
    return [
        '<section>\n<h2>Roll-out</h2>\n<div class="sheet">\n<table class="batches">',
        *_header("Batch", "Hosts", "Gate"),
        "<tbody>",
        *lines,
        "</tbody>\n</table>\n</div>\n</section>",
    ]


def _words(outcome: str) -> str:
    return outcome.replace("_", " ")


def _plugins(rows: Iterable[Row]) -> list[str]:
    """Return the table that says where the fleet is of one mind about a plugin, and where not."""
    lines = [
        f'<tr><th scope="row">{escape(row["name"])}</th><td>{row["hosts"]}</td>'
        f"<td>{_counted(row['versions'])}</td><td>{_counted(row['states'], dots=True)}</td>"
        f"<td>{row['drifted'] or ''}</td></tr>"
        for row in rows
    ]
    if not lines:
        return []
    return [
        '<section>\n<h2>Plugins</h2>\n<div class="sheet">\n<table>',
        *_header("Plugin", "Hosts", "Versions", "States", "Differ"),
        "<tbody>",
        *lines,
        "</tbody>\n</table>\n</div>\n</section>",
    ]


def _counted(counts: Mapping[str, int], *, dots: bool = False) -> str:
    return "<br>".join(
        (f'<span class="dot {_word(name)}"></span>' if dots else "")
        + f'{escape(name) or "unknown"} <span class="version">{count}</span>'
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _hosts(report: Report) -> list[str]:
    names = [row["name"] for row in report["plugins"]]
    unclear = _unclear(report["hosts"])
    ordered = sorted(report["hosts"], key=lambda host: (_ORDER[host["state"]], _natural(host)))
    lines = [
        line
        for number, host in enumerate(ordered)
        for line in _host(host, names, unclear, f"h{number}")
    ]
    return [
        '<section>\n<h2 id="hosts">Hosts</h2>\n<div class="tools">',
        (
            '<label class="find">Find <input id="find" type="search" autocomplete="off" '
            'spellcheck="false" placeholder="host, plugin or state; state:drifted plugin:sshfs"></label>'
        ),
        '<label><input id="only" type="checkbox"> only problems</label>',
        f'<output id="shown" class="quiet">{_count(len(ordered), "host")}</output>\n</div>',
        '<div class="sheet matrix" role="region" aria-labelledby="hosts" tabindex="0">\n<table>',
        '<caption class="vh">Hosts and their plugins; each host can be opened</caption>',
        *_header(
            "Host", "State", *(["Roll-out"] if "rollout" in report else []), "Message", *names
        ),
        *lines,
        (
            f'<tbody id="none" hidden><tr><td colspan="{len(names) + 4}">'
            "No host is like that.</td></tr></tbody>"
        ),
        "</table>\n</div>\n</section>\n</main>",
    ]


def _natural(host: Row) -> list[tuple[int, Any]]:
    """Order `web2` before `web10`."""
    parts = re.findall(r"\d{1,9}|\D+|\d+", host["name"])
    return [(0, int(part)) if len(part) < 10 and part.isdecimal() else (1, part) for part in parts]


def _unclear(hosts: Iterable[Row]) -> set[str]:
    """Return the sources that do not say which version a plugin is: there are several by that name."""
    digests: dict[str, set[str]] = {}
    for host in hosts:
        for plugin in host["plugins"]:
            digests.setdefault(plugin["source"], set()).add(plugin["digest"])
    return {source for source, found in digests.items() if len(found) > 1}


def _host(host: Row, names: list[str], unclear: set[str], anchor: str) -> list[str]:
    by_name = {plugin["name"]: plugin for plugin in host["plugins"]}
    cells = "".join(_cell(by_name.get(name), unclear) for name in names)
    said = " ".join(f"{p['name']} {p['source']} {p['state']}" for p in host["plugins"])
    problem = "1" if host["state"] in _report.PROBLEMS else "0"
    state, message = _word(host["state"]), escape(host["message"])
    rolled, marks = _rolled(host.get("rollout"))
    return [
        (
            f'<tbody data-host="{escape(host["name"].lower())}" data-plugin="{escape(said.lower())}" '
            f'data-state="{state}" data-problem="{problem}"{marks}>'
        ),
        (
            f'<tr><th scope="row" class="host"><button aria-expanded="false" aria-controls="{anchor}">'
            f"{escape(host['name'])}</button></th>"
            f'<td><span class="tag {state}">{state}</span></td>{rolled}'
            f'<td class="says" title="{message}">{message}</td>{cells}</tr>'
        ),
        f'<tr id="{anchor}" class="more" hidden><td colspan="{len(names) + 4}"><div class="inner">',
        *_details(host),
        "</div></td></tr></tbody>",
    ]


def _rolled(rollout: Row | None) -> tuple[str, str]:
    """Return a host's cell about the roll-out, and what it can be found by."""
    if rollout is None:
        return "", ""
    outcome = _word(rollout["outcome"].replace("_", ""))
    words = escape(_words(rollout["outcome"]))
    batch = rollout["batch"]
    shown = "" if batch is None else f' <span class="version">batch {batch}</span>'
    marks = f' data-outcome="{outcome}" data-batch="{"" if batch is None else batch}"'
    return f'<td class="cell">{words}{shown}</td>', marks


def _cell(plugin: Row | None, unclear: set[str]) -> str:
    if plugin is None:
        return "<td></td>"
    differs = (
        ' <span class="differs" title="differs from the declaration">&ne;'
        '<span class="vh"> differs</span></span>'
        if plugin["drifted"]
        else ""
    )
    state = escape(plugin["state"])
    return (
        f'<td class="cell" title="{escape(_report.version(plugin))}">'
        f'<span class="dot {_word(plugin["state"])}"></span>{state} '
        f'<span class="version">{escape(_tag(plugin, unclear))}</span>{differs}</td>'
    )


def _tag(plugin: Row, unclear: set[str]) -> str:
    """Return the tag of a plugin's source, and the begin of its digest if the tag does not say all."""
    tag = plugin["source"].partition("@")[0].rpartition("/")[2].partition(":")[2]
    if plugin["source"] not in unclear:
        return tag
    return f"{tag} {plugin['digest'].partition(':')[2][:7]}".strip()


def _word(state: str) -> str:
    """Return a class for a state; one that is not known has none."""
    return state if re.fullmatch("[a-z]+", state) else ""


def _details(host: Row) -> list[str]:
    engine = host["engine"]
    where = " ".join(filter(None, (engine["name"], engine["version"], engine["url"])))
    lines = [f"<p>{escape(host['message'])}</p>"]
    if where:
        lines.append(f'<p class="quiet">{escape(where)}</p>')
    if host["warnings"]:
        lines += ["<h3>Warnings</h3>", *(f"<p>{escape(w)}</p>" for w in host["warnings"])]
    if host["changes"]:
        lines.append("<h3>Steps</h3>")
        lines += [line for change in host["changes"] for line in _change(change)]
    lines += _table("Plugins", host["plugins"], {
        "Plugin": "name", "Version": _report.version, "State": _state, "Restarts": "restarts",
        "Declared": _declared, "Why": "reason",
    })  # fmt: skip
    lines += _table("Volumes", host["volumes"], {
        "Volume": "name", "Driver": "driver", "State": _state, "Declared": _declared,
    })  # fmt: skip
    lines += _table("Mounts", host["mounts"], {
        "Path": "path", "Volume": "volume", "State": _state, "Declared": _declared, "Why": "reason",
    })  # fmt: skip
    return lines


def _change(change: Row) -> list[str]:
    status = change["status"]
    reason = f"<p>{escape(change['reason'])}</p>" if change["reason"] else ""
    lines = [
        (
            f'<div class="change"><p><span class="tag {_word(status)}">{escape(status)}</span> '
            f"{escape(change['description'])}</p>{reason}"
        )
    ]
    if change["differences"]:
        rows = "".join(
            f'<tr><th scope="row" class="mono">{escape(d["path"])}</th>'
            f'<td class="mono was">{_value(d["before"])}</td>'
            f'<td class="mono is">{_value(d["after"])}</td></tr>'
            for d in change["differences"]
        )
        lines += ['<table class="last">', *_header("What", "Before", "After"),
                  f"<tbody>{rows}</tbody></table>"]  # fmt: skip
    return [*lines, "</div>"]


def _value(value: Any) -> str:
    return '<span class="quiet">&ndash;</span>' if value is None else escape(value)


def _table(heading: str, rows: Iterable[Row], columns: Mapping[str, Any]) -> list[str]:
    """Return a table; a column is a key of the rows, or a function of them."""
    rows = list(rows)
    if not rows:
        return []
    lines = []
    for row in rows:
        cells = [
            column(row) if callable(column) else "" if row[column] is None else row[column]
            for column in columns.values()
        ]
        first, *others = (c if isinstance(c, _Markup) else escape(c) for c in cells)
        lines.append(
            f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{c}</td>" for c in others) + "</tr>"
        )
    body = "".join(lines)
    return [f'<h3>{heading}</h3>\n<table class="last">', *_header(*columns),
            f"<tbody>{body}</tbody></table>"]  # fmt: skip


class _Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


def _state(row: Row) -> _Markup:
    state = row["state"]
    return _Markup(
        f'<span class="cell"><span class="dot {_word(state)}"></span>{escape(state)}</span>'
    )


def _declared(row: Row) -> str:
    if not row["declared"]:
        return "no"
    return "differs" if row["drifted"] else "yes"


def _header(*names: str) -> list[str]:
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    return [f"<thead><tr>{cells}</tr></thead>"]
