# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Sphinx's settings. generate.py lays the sources out as in the repository and then calls Sphinx with this file."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent))
import drawings

ROOT = Path(__file__).parents[2]

project = "plugind.engine"
copyright = "the plugind authors, GPL-3.0-or-later"  # noqa: A001  Sphinx calls it so
version = release = re.findall(r"(?m)^version: (\S+)$", (ROOT / "galaxy.yml").read_text())[0]
root_doc = "docs/docsite/index"
extensions = ["myst_parser", "sphinx_antsibull_ext"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
nitpicky = True
# Ansible's own pages are linked to by their address (see `_elsewhere`): nothing is fetched in a build.
intersphinx_mapping: dict[str, tuple[str, str]] = {}

myst_enable_extensions = ["attrs_block"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

html_theme = "furo"
html_title = f"plugind.engine {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": False}
# No web fonts, nothing from elsewhere: the pages work from a disk.
pygments_style = "friendly"
pygments_dark_style = "monokai"

_ANSIBLE = "https://docs.ansible.com/ansible/latest/"
_COLLECTION = re.compile(
    r"ansible_collections\.(\w+)\.(\w+)\.(\w+)_(module|role|lookup|filter|\w+)"
)
_PAGES = {
    "common_return_values": "reference_appendices/common_return_values.html",
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
}


class Mermaid(SphinxDirective):
    """A fenced block `mermaid`, drawn when the site is built."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        try:
            svg = drawings.flowchart("\n".join(self.content))
        except drawings.Unreadable as exc:
            raise self.error(f"cannot draw this: {exc}") from exc
        return [nodes.raw("", f'<div class="drawing">{svg}</div>', format="html")]


def _elsewhere(
    app: Sphinx, env: object, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Link to Ansible's own pages and to those of other collections."""
    target = node.get("reftarget", "")
    found = _COLLECTION.match(target)
    if found and found[1] != "plugind":
        uri = f"{_ANSIBLE}collections/{found[1]}/{found[2]}/{found[3]}_{found[4]}.html"
    elif target in _PAGES:
        uri = _ANSIBLE + _PAGES[target]
    elif node.get("reftype") == "envvar" and target.startswith("ANSIBLE_"):
        uri = f"{_ANSIBLE}reference_appendices/config.html#envvar-{target}"
    else:
        return None
    return nodes.reference("", "", content, internal=False, refuri=uri)


def setup(app: Sphinx) -> None:
    app.add_directive("mermaid", Mermaid)
    app.connect("missing-reference", _elsewhere)
