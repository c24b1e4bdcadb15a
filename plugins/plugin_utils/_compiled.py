# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Import this collection's own code the way Python imports all other code: compiled once, kept in __pycache__.

PRIVATE to this collection. Ansible's importer of collections compiles a module anew in every ansible-playbook. For
what the fast path is made of, that took 9 of the 60 ms of a task on one host.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib import util
from importlib.machinery import ModuleSpec
from types import ModuleType

_PLUGINS = __name__.rpartition(".plugin_utils.")[0]
_ROOMS = (f"{_PLUGINS}.module_utils", f"{_PLUGINS}.plugin_utils")
_PATH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class _Finder:
    """Finds the modules in module_utils and plugin_utils of this collection; Ansible finds the packages."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        words = name.split(".")
        if ".".join(words[:-1]) not in _ROOMS:
            return None
        file = os.path.join(_PATH, *words[-2:]) + ".py"
        return util.spec_from_file_location(name, file) if os.path.isfile(file) else None


def load(name: str) -> ModuleType:
    """Return a module of plugin_utils; what it imports of this collection comes the same way."""
    sys.meta_path.insert(0, _Finder)
    try:
        return importlib.import_module(f"{_PLUGINS}.plugin_utils.{name}")
    finally:
        sys.meta_path.remove(_Finder)
