# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The report: what it says of hosts, what its page makes of hostile texts, and how both grow."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.plugind.engine.plugins.filter.fleet_report import fleet_report
from ansible_collections.plugind.engine.plugins.filter.report_html import report_html
from ansible_collections.plugind.engine.plugins.plugin_utils import _report
from support import fleet_results

SCHEMA = Path(__file__).parents[4] / "docs" / "fleet-report.schema.json"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\x00 -->{{ 7 * 7 }}</style>\ud800"


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def report(data: tuple[Any, Any, Any]) -> dict[str, Any]:
    return fleet_report(*data, generated="2026-11-24 21:40 UTC")


def test_three_hosts() -> None:
    made = report(fleet_results.three())
    jsonschema.validate(made, json.loads(SCHEMA.read_text()))
    assert made["summary"] == {
        "hosts": 3, "plugins": 2, "unhealthy_plugins": 0, "volumes": 2, "changes": 1,
        "states": {"unreachable": 1, "failed": 0, "drifted": 1, "unhealthy": 0, "waiting": 0,
                   "changed": 0, "ok": 1},
    }  # fmt: skip
    assert [(host["name"], host["state"], host["message"]) for host in made["hosts"]] == [
        ("web1", "ok", "as declared"),
        ("web2", "drifted", "set DEBUG of plugin sshfs:latest in place"),
        ("web10", "unreachable", "ssh: connect: No route to host"),
    ]
    assert made["hosts"][1]["changes"][0]["differences"] == [
        {"path": "settings.env.DEBUG", "before": "0", "after": "1"}
    ]
    (plugin,) = made["hosts"][1]["plugins"]
    assert (plugin["declared"], plugin["drifted"], plugin["healthy"]) == (True, True, True)
    assert made["plugins"][0]["versions"] == {f"{fleet_results.SSHFS} (3fb2a1c03fb2)": 2}


def test_every_state() -> None:
    made = report(fleet_results.many(100))
    jsonschema.validate(made, json.loads(SCHEMA.read_text()))
    by_state = {host["state"]: host["message"] for host in made["hosts"]}
    assert set(by_state) == set(_report.STATES) - {"waiting"}
    assert by_state["failed"].startswith('cannot change volume "backups"')
    assert by_state["unhealthy"].startswith("plugin sshfs:latest is backoff: dial unix")
    assert by_state["changed"] == "install plugin metrics:1"


@pytest.mark.parametrize(
    ("status", "state"), [("planned", "ok"), ("done", "ok"), ("failed", "drifted")]
)
def test_a_verification_is_nothing_to_do(status: str, state: str) -> None:
    verify = fleet_results.step(
        "plugin/x:latest", "verify plugin x", {}, {}, action="plugin-verify", status=status
    )
    (host,) = report(({"a": fleet_results.applied(verify)}, {}, {}))["hosts"]
    assert host["state"] == state


def test_what_is_declared_and_missing_is_shown() -> None:
    install = fleet_results.step(
        "plugin/x:latest", "install", {"state": "absent"}, {"state": "enabled"}
    )
    (host,) = report(({"a": fleet_results.applied(install)}, {"a": {"plugins": []}}, {}))["hosts"]
    (plugin,) = host["plugins"]
    assert (plugin["name"], plugin["state"], plugin["drifted"]) == ("x:latest", "absent", True)


@pytest.mark.parametrize("result", [None, {}, {"skipped": True}])
def test_a_host_that_was_not_asked_is_not_as_declared(result: Any) -> None:
    (host,) = report(({"a": result}, {}, {}))["hosts"]
    assert (host["state"], host["message"]) == ("failed", "nothing is known: it was not asked")


def test_one_host_cannot_fill_the_report() -> None:
    (host,) = report(({"a": {"failed": True, "msg": "x" * 10**6}}, {}, {}))["hosts"]
    assert len(host["message"]) == _report.LONGEST


def hostile() -> tuple[Any, Any, Any]:
    step = fleet_results.step(
        f"plugin/{HOSTILE}", HOSTILE, {HOSTILE: HOSTILE}, {}, reason=HOSTILE, status=HOSTILE
    )
    plugin = fleet_results.plugin(HOSTILE, HOSTILE, HOSTILE, LastError=HOSTILE)
    found, listed = fleet_results.infos(plugin, volumes=(HOSTILE,))
    listed["mounts"] = [{"Path": HOSTILE, "Volume": HOSTILE, "State": HOSTILE, "Error": HOSTILE}]
    failed = fleet_results.applied(
        step, failed=True, msg=HOSTILE, warnings=[HOSTILE], engine=HOSTILE
    )
    return {HOSTILE: failed}, {HOSTILE: found}, {HOSTILE: listed}


def test_hostile_texts_are_texts() -> None:
    page = report_html(fleet_report(*hostile(), title=HOSTILE, generated=HOSTILE))
    elements = Elements(page).found
    tags = [element[0] for element in elements]
    assert tags.count("script") == 1
    assert not {"img", "iframe", "object", "link", "base", "form"} & set(tags)
    names = {name for element in elements for name in element[1]}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src", "href")]
    assert page.isascii()
    assert "\x00" not in page
    assert "&#8238;" not in page, "a text that is shown backwards"


def test_a_page_needs_nothing_else() -> None:
    page = report_html(report(fleet_results.three()))
    assert not re.search(r"https?:|url\(|@import", page)
    assert "default-src 'none'" in page


def build(count: int) -> tuple[str, int]:
    """The page of so many hosts, and how many calls it takes."""
    data, counted = fleet_results.many(count), [0]

    def count_calls(frame: Any, event: str, arg: Any) -> None:
        del frame, arg
        counted[0] += event == "call"

    sys.setprofile(count_calls)
    try:
        page = report_html(report(data))
    finally:
        sys.setprofile(None)
    return page, counted[0]


def test_the_page_grows_with_the_hosts_and_not_faster() -> None:
    calls = {}
    for count in (200, 1000):
        page, calls[count] = build(count)
        assert len(page) / count < 4000
    assert calls[1000] < 5.5 * calls[200]


def test_what_is_no_report_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="fleet_report of this version"):
        report_html({"format": 0})
    with pytest.raises(AnsibleFilterError, match="plugins: want a mapping"):
        fleet_report({}, ["x"])  # type: ignore[arg-type]
