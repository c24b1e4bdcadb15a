# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A pytest plugin: in CI a test that is skipped has failed. A green run must not mean that nothing ran.

Both trees of tests load it from the conftest.py at their top, so a test that lacks something just
skips and says what it lacks. Two reasons are accepted in CI, too: the reference material that lies
beside a checkout only where the project is written, and a parametrization that comes out empty.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

#: What a reason may begin with.
ACCEPTED = ("needs ../shared", "got empty parameter set")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the report of a skipped test into one of a failure."""
    report = yield
    # pytest reports an expected failure as skipped, too, and marks it so.
    if not hasattr(report, "wasxfail"):
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a file that skips as a whole."""
    report = yield
    _refuse(report)
    return report


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or os.environ.get("CI") != "true":
        return
    reason = _reason(report)
    if not reason.startswith(ACCEPTED):
        report.outcome = "failed"
        report.longrepr = f"skipped, and in CI that is a failure: {reason}"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return what the test said: a skip's longrepr is the triple (path, line, "Skipped: why")."""
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")
