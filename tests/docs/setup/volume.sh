# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# NAME:PLUGIN, a volume of an example plugin.
DOCKER_HOST=unix:///run/plugind/api.sock docker volume create -d "${1#*:}" "${1%:*}"
