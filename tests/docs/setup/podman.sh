# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# Podman where systemd does not run and limits may not be raised, with the image busybox.
mkdir -p /etc/containers
cat >/etc/containers/containers.conf <<'CONFIG'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONFIG
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/etc/containers/policy.json
podman load --quiet --input "$PAGES_IMAGE"
