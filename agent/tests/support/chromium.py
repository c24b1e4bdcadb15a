# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A real headless Chromium, spoken to over a pipe: no port, no network, no library.

    with chromium.running(tmp_path) as browser:
        page = browser.open(file, dark=True)
        page.evaluate("document.title")
        page.problems                      # what the console and the page complained of
        page.screenshot(tmp_path / "x.png")

The protocol is the Chrome DevTools Protocol: JSON messages that end with NUL, on descriptors 3 and 4.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_COMPLAINTS = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


class Browser:
    """The browser's side of the pipe."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out, self._in = to_browser, from_browser
        self._buffer = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Call a method and wait for its answer; events that come before it are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        _write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def wait_for(self, method: str, session: str) -> None:
        """Wait until the event has come."""
        while not any(e.get("method") == method and e.get("sessionId") == session
                      for e in self.events):  # fmt: skip
            self.events.append(self._read())

    def open(self, file: Path, *, dark: bool = False, width: int = 1280, height: int = 900) -> Page:
        """Open a file in a new tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", session)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", session, features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride", session,
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        self.call("Page.navigate", session, url=file.as_uri())
        self.wait_for("Page.loadEventFired", session)
        return Page(self, session)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._in, 1 << 16)
            assert chunk, "the browser has gone"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self._browser.call(
            "Runtime.evaluate", self._session, expression=expression, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def type(self, selector: str, text: str) -> None:
        """Focus a field and type into it, as a person does."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        self._browser.call("Input.insertText", self._session, text=text)

    def click(self, selector: str) -> None:
        """Click in the middle of an element."""
        x, y = self.evaluate(
            f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: "center"}}); const b = e.getBoundingClientRect();
            return [b.x + b.width / 2, b.y + b.height / 2]; }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._browser.call(
                "Input.dispatchMouseEvent", self._session,
                type=kind, x=x, y=y, button="left", clickCount=1,
            )  # fmt: skip

    def screenshot(self, file: Path) -> None:
        """Write what is seen as PNG."""
        shot = self._browser.call("Page.captureScreenshot", self._session, format="png")
        file.write_bytes(base64.b64decode(shot["data"]))

    @property
    def problems(self) -> list[dict[str, Any]]:
        """Exceptions, and all that was written to the console or the browser's log."""
        return [event for event in self._mine() if event["method"] in _COMPLAINTS]

    @property
    def requested(self) -> list[str]:
        """The addresses that the page asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self._mine()
            if event["method"] == "Network.requestWillBeSent"
        ]

    def _mine(self) -> list[dict[str, Any]]:
        self.evaluate("0")
        return [e for e in self._browser.events if e.get("sessionId") == self._session]


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Browser]:
    """Run a browser whose profile is below `directory`; skip the test without one."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs chromium-headless-shell")
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()
    # The browser wants descriptors 3 and 4, which may be taken here; its shell puts them there.
    shell = f'exec 3<&{command_read} 4>&{answer_write}; exec "$@"'
    with (directory / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", program, "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
             f"--user-data-dir={directory / 'profile'}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            pass_fds=(command_read, answer_write),
        )  # fmt: skip
    os.close(command_read)
    os.close(answer_write)
    try:
        browser = Browser(command_write, answer_read)
        yield browser
        browser.call("Browser.close")
        # Its processes write to the profile until the last one is gone.
        process.wait(30)
    finally:
        process.kill()
        process.wait(30)
        os.close(command_write)
        os.close(answer_read)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
