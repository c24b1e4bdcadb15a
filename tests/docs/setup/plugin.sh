# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# An example plugin, installed under its name and running.
DOCKER_HOST=unix:///run/plugind/api.sock docker plugin create "$1" "$PAGES_PLUGINS/$1" &&
    plugind enable "$1"
