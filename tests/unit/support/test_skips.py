# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""In CI what is skipped has failed, and says what it lacked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

FILE = """
import pytest

def test_passes():
    pass

def test_in_its_body():
    pytest.skip("needs fuse")

@pytest.mark.skipif(True, reason="needs root")
def test_by_mark():
    pass

@pytest.fixture
def tool():
    pytest.skip("needs runc")

def test_by_fixture(tool):
    pass

@pytest.mark.parametrize("case", [])
def test_of_nothing(case):
    pass

def test_of_what_lies_beside():
    pytest.skip("needs ../shared/reference")

@pytest.mark.xfail(reason="not yet")
def test_expected_to_fail():
    assert False
"""
WHOLE_FILE = 'import pytest\npytest.importorskip("no_such_module_anywhere")\n'

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest with the plugin and without the settings of this project."""

    def do(ci: str, *arguments: str, **files: str) -> pytest.RunResult:
        monkeypatch.setenv("CI", ci)
        monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
        pytester.makepyfile(**files)
        options = ("-p", "support.skips", "-p", "no:cacheprovider", "-p", "no:asyncio")
        return pytester.runpytest_inprocess(*options, *arguments)

    return do


@pytest.mark.parametrize("ci", ["", "false"])
def test_elsewhere_a_skip_is_a_skip(run: Run, ci: str) -> None:
    result = run(ci, test_a=FILE, test_b=WHOLE_FILE)
    result.assert_outcomes(passed=1, skipped=6, xfailed=1)
    assert result.ret == pytest.ExitCode.OK


def test_in_ci_it_is_a_failure_that_says_why(run: Run) -> None:
    result = run("true", test_a=FILE)
    # pytest counts what fails in a fixture or by a mark as an error.
    result.assert_outcomes(passed=1, failed=1, errors=2, skipped=2, xfailed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    told = [
        f"skipped, and in CI that is a failure: needs {what}" for what in ("fuse", "root", "runc")
    ]
    for line in told:
        result.stdout.fnmatch_lines([line])


def test_a_file_that_skips_as_a_whole(run: Run) -> None:
    result = run("true", test_b=WHOLE_FILE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["skipped, and in CI that is a failure: could not import *"])
