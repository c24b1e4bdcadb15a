# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The site is built, offline, and asks for nothing from elsewhere; what is made of tables is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import plugind
from support import daemon

ROOT = daemon.REPOSITORY
PLACE = ROOT / ".build" / "docsite"
#: What a browser fetches by itself.
FETCHED = re.compile(r'<(?:script|img|iframe|link)[^>]* (?:src|href)="(https?:)?//[^"]*"')


@pytest.fixture(scope="module")
def site() -> Path:
    """The pages: a warning of Sphinx, a link that leads nowhere above all, is an error."""
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(plugind.__file__).parents[1]),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
        # Whoever builds it, with whatever proxy: there is no network.
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    argv = [sys.executable, "docs/docsite/generate.py", str(PLACE)]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = subprocess.run([*argv, "--links"], cwd=ROOT, env=env, capture_output=True, check=True)
    (PLACE / "links.txt").write_bytes(listed.stdout)
    return PLACE / "html"


def test_pages_fetch_nothing(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert [str(page) for page in pages if FETCHED.search(page.read_text())] == []
    assert [str(css) for css in site.rglob("*.css") if "url(http" in css.read_text()] == []


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("reference/plugind-toml", ["healthy_after", "/etc/docker/plugins"]),
        ("reference/events", ["restarted", "exitCode"]),
        ("reference/api", ["/plugind/apply", "/containers/{name}/wait"]),
        ("reference/config-json", ["propagatedMount", "linux.devices[].path"]),
        ("reference/declaration", ["volumes[].recreate", "plugins[].grant"]),
        ("explanation/states", ["<svg", "backoff"]),
        ("explanation/floors", ["<svg", "checkpoint"]),
        ("reference/collection/plugin_module", ["secret_settings"]),
    ],
)
def test_what_is_made_is_there(site: Path, page: str, words: list[str]) -> None:
    text = (site / "docs/docsite" / f"{page}.html").read_text()
    assert [word for word in words if word not in text] == []
