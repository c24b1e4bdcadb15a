# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of declarations -> one declaration; see plugin_utils/_declaration.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: declaration
short_description: Read what is declared out of files and variables
version_added: 0.1.0
author:
  - The plugind authors (@plugind)
description:
  - Reads YAML or JSON files on the controller and puts what they declare together with lists that are given.
  - A file is a mapping with C(plugins), C(volumes) and C(mounts), or C(plugins_plugins) and so on, as the playbook
    C(plugind.engine.export) writes them. It may hold templates and be encrypted by Ansible Vault.
  - What is named more than once is as the last of them has it, as a whole. The files come in their order, those of a
    pattern by their names, and then the given lists.
options:
  _terms:
    description:
      - Paths, or patterns with C(*), C(?) and C([...]). Each has to be of at least one file, so that a misspelt
        one cannot mean that nothing is declared.
      - They are relative to the inventory's directory, or else to the current one.
    type: list
    elements: str
  plugins:
    description: Plugins, as in O(plugind.engine.apply#module:plugins).
    type: list
    elements: dict
    default: []
  volumes:
    description: Volumes, as in O(plugind.engine.apply#module:volumes).
    type: list
    elements: dict
    default: []
  mounts:
    description: Mounts, as in O(plugind.engine.apply#module:mounts).
    type: list
    elements: dict
    default: []
  verify:
    description:
      - How plugins are verified that do not say it themselves, as in O(plugind.engine.apply#module:plugins[].verify).
        Not those that are declared disabled or absent.
    type: raw
  absent:
    description: Whether to declare that all of it is absent instead.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Declare what stands in files
  plugind.engine.apply:
    plugins: "{{ declared.plugins }}"
    volumes: "{{ declared.volumes }}"
    mounts: "{{ declared.mounts }}"
  vars:
    declared: "{{ lookup('plugind.engine.declaration', 'declarations/common.yml', 'declarations/storage/*.yml') }}"
"""

RETURN = r"""
_raw:
  description: One declaration, with C(plugins), C(volumes) and C(mounts).
  type: list
  elements: dict
"""

import glob
import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.plugind.engine.plugins.plugin_utils import _declaration


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(
        self, terms: list[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Read the files, and merge."""
        self.set_options(var_options=variables, direct=kwargs)
        base = (variables or {}).get("inventory_dir") or os.getcwd()
        patterns = [p for term in terms for p in (term if isinstance(term, list) else [term])]
        declared = [self._read(path) for pattern in patterns for path in _find(pattern, base)]
        given = {kind: self.get_option(kind) for kind in _declaration.KINDS}
        try:
            merged = _declaration.merge([*declared, given], self.get_option("verify"))
            return [_declaration.absent(merged) if self.get_option("absent") else merged]
        except _declaration.Invalid as error:
            raise AnsibleError(f"plugind.engine.declaration: {error}") from error

    def _read(self, path: str) -> dict[str, list[Any]]:
        document = self._loader.load_from_file(path, cache="none", trusted_as_template=True)
        try:
            return _declaration.read(self._templar.template(document))
        except _declaration.Invalid as error:
            raise AnsibleError(f"plugind.engine.declaration: {path}: {error}") from error


def _find(pattern: Any, base: str) -> list[str]:
    path = os.path.join(base, os.path.expanduser(str(pattern)))
    found = [path] if os.path.isfile(path) else sorted(filter(os.path.isfile, glob.glob(path)))
    if not found:
        raise AnsibleError(f"plugind.engine.declaration: {path}: there is no such file")
    return found
