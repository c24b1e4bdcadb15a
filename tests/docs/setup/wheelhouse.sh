# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# pip finds what it is asked for in a directory: there is no index here.
rm -rf /root/.config/pip /root/.pip
printf '[global]\nno-index = true\nfind-links = %s\ndisable-pip-version-check = true\n' "$PAGES_WHEELHOUSE" >/etc/pip.conf
ln -s "$PAGES_WHEELHOUSE" wheelhouse
