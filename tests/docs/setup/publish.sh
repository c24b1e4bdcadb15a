# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# The agent tells others of its plugins: publish=docker, publish=podman, or publish=docker,podman.
{
    echo "[publish]"
    for other in ${1//,/ }; do echo "$other = true"; done
} >/etc/plugind/plugind.toml
service plugind restart
