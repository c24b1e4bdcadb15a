# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# The docker CLI talks to the agent.
export DOCKER_HOST=unix:///run/plugind/api.sock
