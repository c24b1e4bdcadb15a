#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
#
# A private SFTP server on 127.0.0.1 to try the sshfs plugin with: its own sshd, its own host key, and a
# throw-away user with a password. It uses neither systemd nor the machine's own sshd. Needs root.
#
#   demo-server.sh start DIR [PORT]   make DIR, start; prints DIR/server.env, which can be sourced
#   demo-server.sh stop DIR           end the server by its pid, remove the user and DIR
#
# DIR/server.env: PORT, SSHD_USER, PASSWORD_FILE, SHARE (the exported directory) and SSHCMD.
set -euo pipefail

fail() {
    echo "demo-server.sh: $*" >&2
    exit 1
}

free_port() {
    python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A process and all that it started, children first.
family() {
    local child
    for child in $(ps -o pid= --ppid "$1"); do
        family "$child"
    done
    echo "$1"
}

write_config() {
    # UsePAM no: the password is checked against /etc/shadow, without the machine's PAM configuration.
    cat >"$dir/sshd_config" <<CONFIG
ListenAddress 127.0.0.1
Port $port
HostKey $dir/host_key
PidFile $dir/sshd.pid
AllowUsers $user
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
Subsystem sftp internal-sftp
ForceCommand internal-sftp
CONFIG
}

start() {
    dir=$(realpath -m "$1") port=${2:-$(free_port)} user=sshfs-demo-$$
    [ "$(id -u)" = 0 ] || fail "needs root"
    [ ! -e "$dir" ] || fail "$dir exists already"
    sshd=$(command -v sshd || echo /usr/sbin/sshd)
    [ -x "$sshd" ] || fail "sshd is not installed (package openssh-server)"

    # The user must be able to walk through DIR, and to see nothing of it but the share.
    mkdir -p "$dir"
    chmod 0711 "$dir"
    echo "$user" >"$dir/user" # first, so that stop knows what there may be
    trap 'stop "$dir"' ERR
    useradd --no-create-home --home-dir "$dir" --shell /usr/sbin/nologin "$user"
    (umask 077; od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$dir/password")
    printf '%s:%s\n' "$user" "$(cat "$dir/password")" | chpasswd
    mkdir -m 0755 "$dir/share"
    echo "hello from the other side" >"$dir/share/hello.txt"
    chown -R "$user": "$dir/share"

    ssh-keygen -q -t ed25519 -N '' -f "$dir/host_key"
    write_config
    [ -d /run/sshd ] || mkdir -m 0755 /run/sshd # where sshd separates its privileges; compiled in
    : >"$dir/sshd.log"
    setsid "$sshd" -D -f "$dir/sshd_config" -E "$dir/sshd.log" </dev/null >/dev/null 2>&1 &
    # Either the line appears or the process ends, and then so does tail.
    if ! grep -q -m1 "Server listening" \
        < <(timeout 10 tail -n +1 -s 0.1 -f --pid=$! "$dir/sshd.log" 2>/dev/null); then
        cat "$dir/sshd.log" >&2
        stop "$dir"
        fail "sshd did not start"
    fi
    cat >"$dir/server.env" <<ENV
PORT=$port
SSHD_USER=$user
PASSWORD_FILE=$dir/password
SHARE=$dir/share
SSHCMD=$user@127.0.0.1:$dir/share
ENV
    cat "$dir/server.env"
}

stop() {
    trap - ERR
    local dir pid
    dir=$(realpath -m "$1")
    [ -d "$dir/share" ] || [ -f "$dir/user" ] || fail "$dir is not a demo server"
    if [ -f "$dir/sshd.pid" ]; then
        pid=$(cat "$dir/sshd.pid")
        # The number may belong to somebody else by now.
        if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -F "$dir/sshd_config"; then
            # shellcheck disable=SC2046
            kill $(family "$pid") 2>/dev/null || true
            timeout 10 tail -s 0.1 -f --pid="$pid" /dev/null || true
        fi
    fi
    if [ -f "$dir/user" ] && id "$(cat "$dir/user")" >/dev/null 2>&1; then
        userdel -f "$(cat "$dir/user")" 2>/dev/null
    fi
    rm -rf "$dir"
}

case "${1:-}:$#" in
start:2 | start:3) start "${@:2}" ;;
stop:2) stop "$2" ;;
*) fail "usage: demo-server.sh start DIR [PORT] | stop DIR" ;;
esac
