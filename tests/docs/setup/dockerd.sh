# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# A real Docker Engine where it always is, with the image busybox; `dockerd=localdir` has this plugin of the registry, too, and
# the volume "data" of it.
(
    unset DOCKER_HOST
    : >/var/log/dockerd.log
    dockerd --bridge=none --iptables=false </dev/null >/var/log/dockerd.log 2>&1 &
    timeout 60 grep -q -m1 "API listen on /" < <(tail -n +1 -s 0.05 -f --pid=$! /var/log/dockerd.log) &&
        docker load -i "$PAGES_IMAGE" &&
        if [ -n "$1" ]; then
            docker plugin install --grant-all-permissions --alias "$1" "registry.example.com/plugins/$1:1" &&
                docker volume create -d "$1" data
        fi
)
