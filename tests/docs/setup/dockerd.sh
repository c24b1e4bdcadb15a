# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# A real Docker Engine where it always is, with the registry's plugin "localdir", and the volume "data" of it.
(
    unset DOCKER_HOST
    : >/var/log/dockerd.log
    dockerd --bridge=none --iptables=false </dev/null >/var/log/dockerd.log 2>&1 &
    timeout 60 grep -q -m1 "API listen on /" < <(tail -n +1 -s 0.05 -f --pid=$! /var/log/dockerd.log) &&
        docker plugin install --grant-all-permissions --alias localdir registry.example.com/plugins/localdir:1 &&
        docker volume create -d localdir data
)
