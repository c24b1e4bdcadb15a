# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# A checkout of the project, and what earlier builds of plugins have left.
ln -s "$PAGES_REPOSITORY" plugind.engine
cp -a "$PAGES_ROOTFS" cache
