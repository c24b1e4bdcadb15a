# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# The image busybox on the agent.
DOCKER_HOST=unix:///run/plugind/api.sock docker load -i "$PAGES_IMAGE"
