# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""When headers go out, and what a late failure looks like."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from plugind import errors

PULL = "plugins/pull?remote=a"


async def test_an_early_failure_is_an_ordinary_response(served):
    served.stories.late = errors.NotFound("error resolving plugin reference: a: not found")
    await served.say(f"POST {PULL}  404  .message=~not found  Docker-Plugin-Name:a:latest")


async def test_a_late_failure_is_the_last_line(served):
    served.stories.lines = [{"status": "Pulling"}]
    served.stories.late = errors.System("error applying layer")
    status, _, body = await served.request("POST", PULL)
    assert status == 200
    first, last = body.split(b"\r\n")[:-1]
    assert json.loads(first) == {"status": "Pulling"}
    message = "error applying layer"
    assert json.loads(last) == {"errorDetail": {"message": message}, "error": message}


async def test_a_late_defect_is_logged(served, caplog):
    served.stories.lines = [{"status": "Pulling"}]
    served.stories.late = ZeroDivisionError("oops")
    _, _, body = await served.request("POST", PULL)
    assert b"ZeroDivisionError: oops" in body
    assert "ZeroDivisionError" in caplog.text


async def test_no_lines_at_all_is_an_empty_success(served):
    await served.say(f"POST {PULL}  200  =  Content-Type:application/json")


async def test_a_line_is_sent_while_the_operation_goes_on(served):
    served.stories.lines, served.stories.hold = [{"status": "Pulling"}], asyncio.Event()
    request = f"POST /{PULL} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    answer = await served.raw(request, until=b'"Pulling"}\r\n')
    assert b"Docker-Plugin-Name: a:latest" in answer
    await served.stories.cancelled.wait()


async def test_a_flood_of_counters_does_not_pile_up(served):
    counter = {"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "x"}
    served.stories.lines = [counter] * 5000 + [{"status": "Complete", "progressDetail": {}}]
    _, _, body = await served.request("POST", PULL)
    lines = body.splitlines()
    assert len(lines) < 2000
    assert json.loads(lines[-1])["status"] == "Complete"


async def test_a_log_that_breaks_off_does_not_look_complete(served, caplog):
    served.stories.late = OSError("disk gone")
    with pytest.raises(aiohttp.ClientError):
        await served.request("GET", "plugind/plugins/toy/logs")
    assert "disk gone" in caplog.text
