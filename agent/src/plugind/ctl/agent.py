# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One request to the agent, for verbs."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from plugind.ctl import http

quote = http.quote


def call(options: argparse.Namespace, method: str, path: str, body: Any = None) -> Any:
    """Make one request, return the decoded answer."""
    with contextlib.closing(connect(options)) as connection:
        return http.request_json(connection, method, path, body)


def get(options: argparse.Namespace, path: str) -> Any:
    """Read."""
    return call(options, "GET", path)


def connect(options: argparse.Namespace) -> Any:
    """Open a connection to the agent."""
    return http.connect(http.agent_url(http.agent_socket(options.socket)))
