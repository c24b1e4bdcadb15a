# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A report's page in a real Chromium: light and dark, for three hosts and for a thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.plugind.engine.plugins.plugin_utils import _report, _report_html
from support import chromium, fleet_results

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("count", [3, 1000])
def test_a_page_can_be_read_and_filtered(tmp_path: Path, count: int, *, dark: bool) -> None:
    data = fleet_results.three() if count == 3 else fleet_results.many(count)
    page_file = tmp_path / "report.html"
    page_file.write_text(
        _report_html.render(_report.build(*data, title="Managed plugins", generated="now"))
    )
    with chromium.running(tmp_path) as browser:
        page = browser.open(page_file, dark=dark)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(15, 19, 24)" if dark else "rgb(246, 247, 249)")
        shown = "document.querySelectorAll('tbody[data-host]:not([hidden])').length"
        assert page.evaluate(shown) == count
        drifted = 1 if count == 3 else 10
        page.type("#find", "state:drifted plugin:sshfs")
        assert page.evaluate(shown) == drifted
        page.click("tbody:not([hidden]) .host button")
        assert page.evaluate("document.querySelectorAll('.more:not([hidden])').length") == 1
        page.click("[data-find='']")
        page.click("#only")
        assert page.evaluate(shown) == (2 if count == 3 else 40)
        page.type("#find", "nothing-like-that")
        assert page.evaluate("document.getElementById('none').hidden") is False
        assert page.problems == []
        assert page.requested == [page_file.as_uri()]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("count", [6, 1000])
def test_the_page_of_a_rollout(tmp_path: Path, count: int, *, dark: bool) -> None:
    applied, rollout = fleet_results.rolled_out(count)
    page_file = tmp_path / "report.html"
    report = _report.build(applied, {}, {}, title="Roll-out", generated="now", rollout=rollout)
    page_file.write_text(_report_html.render(report))
    with chromium.running(tmp_path) as browser:
        page = browser.open(page_file, dark=dark)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shown = "document.querySelectorAll('tbody[data-host]:not([hidden])').length"
        assert page.evaluate(shown) == count
        assert page.evaluate("document.querySelectorAll('.batches tbody tr').length") == 2
        assert "stopped at batch 2" in page.evaluate(
            "document.querySelector('.closing').textContent"
        )
        page.click("[data-find='batch:2']")
        assert page.evaluate(shown) == 3
        page.type("#find", "outcome:rolledback")
        assert page.evaluate(shown) == 2
        page.click("[data-find='state:waiting']")
        assert page.evaluate(shown) == count - 4
        page.click("[data-find='']")
        page.click("#only")
        assert page.evaluate(shown) == 3
        assert page.problems == []
        assert page.requested == [page_file.as_uri()]
