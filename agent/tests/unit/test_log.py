# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from plugind import log


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log.setup("info", stream)
    yield stream
    for logger in (log.logger, logging.getLogger("asyncio"), logging.getLogger("aiohttp")):
        logger.handlers.clear()
        logger.propagate = True


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("plain-1.2_3/@^+:", "plain-1.2_3/@^+:"),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "hi"', r'"say \"hi\""'),
        ("back\\slash", r'"back\\slash"'),
        ("a\nb\tc\rd", r'"a\nb\tc\rd"'),
        ("key=value", '"key=value"'),
        ("\u00e9", '"\u00e9"'),
    ],
)
def test_values_are_quoted_where_they_must_be(value: str, quoted: str) -> None:
    assert log.quote(value) == quoted


def test_a_line_is_logfmt_with_its_fields(output: io.StringIO) -> None:
    log.info("API listen on /x", version="1.2", plugin="abc")
    time, rest = output.getvalue().split(" ", 1)
    assert time.startswith('time="20')
    assert time.endswith('Z"')
    assert rest == 'level=info msg="API listen on /x" version=1.2 plugin=abc\n'


def test_levels_have_dockers_names_and_a_threshold(output: io.StringIO) -> None:
    log.debug("a")
    log.warning("b")
    log.error("c")
    levels = [line.split()[1] for line in output.getvalue().splitlines()]
    assert levels == ["level=warning", "level=error"]


def test_a_trace_stays_on_its_line(output: io.StringIO) -> None:
    try:
        raise ValueError("of no value")
    except ValueError as exc:
        log.error("failed", exc=exc)
    [line] = output.getvalue().splitlines()
    assert "ValueError: of no value" in line
    assert 'trace="Traceback' in line


def test_every_text_is_gone_through(output: io.StringIO) -> None:
    log.redact_with(lambda text: text.replace("hunter2", "***"))
    try:
        raise ValueError("it was hunter2")
    except ValueError as exc:
        log.error("hunter2 failed", exc=exc, cause="hunter2", plugin="hunter2")
    text = output.getvalue()
    assert 'msg="*** failed" cause="***" plugin=hunter2' in text
    assert "ValueError: it was ***" in text


def test_libraries_go_the_same_way(output: io.StringIO) -> None:
    log.redact_with(lambda text: text.replace("hunter2", "***"))
    logging.getLogger("asyncio").error("Task exception was never retrieved: %s", "hunter2")
    assert 'msg="Task exception was never retrieved: ***"' in output.getvalue()
