#!/usr/bin/env bash
# Bring a checkout to the point where every target of the Makefile runs: Debian packages, .venv, the agent's wheel
# built and installed in it, and a path under which Ansible finds the collection. Does only what is missing and says
# what it does; with nothing to do it is done in a fraction of a second.
#
#   scripts/setup.sh [STEP...]     steps: system venv agent collection (default: all four, in this order)
#
# PYTHON=/path/to/python3   the Python for .venv (3.11 to 3.13); otherwise the first one that will do
# PLUGIND_NIGHTLY=1         what only nightly tests need, too
# PLUGIND_SKIP_APT=1        never call apt-get, only say what is missing
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=.build
STAMPS=$BUILD/stamps
VENV=.venv
# What `make test-all` needs beside the rest: PLUGIND_NIGHTLY=1
LISTS=(requirements/debian.txt)
if [ -n "${PLUGIND_NIGHTLY:-}" ]; then LISTS+=(requirements/debian-nightly.txt); fi
mkdir -p "$STAMPS" "$BUILD/log"

say() { printf 'setup: %s\n' "$*"; }

# Run a step quietly; show what it printed only when it fails.
quietly() {
    local log=$BUILD/log/$1.log
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        say "failed: $* (all of it: $log)" >&2
        return 1
    fi
}

# ------------------------------------------------------------------------------------------------------------- system

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# The entries of the lists of which nothing is installed: one line each, as written there.
missing_packages() {
    local entry names name found
    while read -r entry; do
        IFS='|' read -ra names <<<"$entry"
        found=
        for name in "${names[@]}"; do
            if installed "${name%\?}"; then found=1; fi
        done
        if [ -z "$found" ]; then echo "$entry"; fi
    done < <(sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "${LISTS[@]}")
}

# "a|b" -> a; "a?" -> a where the archive has it, else nothing.
package_to_install() {
    local first=${1%%|*}
    case $first in
        *\?) if [ -n "$(apt-cache madison "${first%\?}" 2>/dev/null)" ]; then echo "${first%\?}"; fi ;;
        *) echo "$first" ;;
    esac
}

POLICY=/usr/sbin/policy-rc.d

# No service may start because of us: the tests start their own, on their own directories. A policy that the machine
# already has is kept aside and put back.
guard_services() {
    if [ -e "$POLICY" ]; then mv "$POLICY" "$POLICY.plugind-kept"; fi
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

unguard_services() {
    rm -f "$POLICY"
    if [ -e "$POLICY.plugind-kept" ]; then mv "$POLICY.plugind-kept" "$POLICY"; fi
}

# The guard holds during the installation; this is for the next boot. Only for packages that this run brought.
disable_services() {
    command -v systemctl >/dev/null || return 0
    local package unit units=()
    for package in "$@"; do
        case $package in
            docker.io) units+=(docker.service docker.socket containerd.service) ;;
            docker-registry) units+=(docker-registry.service) ;;
            openssh-server) units+=(ssh.service ssh.socket) ;;
            podman) units+=(podman.socket podman-auto-update.timer podman-restart.service) ;;
        esac
    done
    for unit in "${units[@]}"; do systemctl disable --quiet "$unit" 2>/dev/null || true; done
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    trap unguard_services EXIT
    guard_services
    # --no-remove: better to fail than to take a package of the machine's owner away.
    quietly apt-install apt-get install -y --no-install-recommends --no-remove \
        -o Dpkg::Options::=--force-confold "$@"
    disable_services "$@"
    unguard_services
    trap - EXIT
}

system() {
    local entries=() packages=() entry name
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian: what ${LISTS[*]} lists must be there already"
        return 0
    fi
    # An optional package that the archive does not have would be looked for on every run without this stamp.
    local stamp=$STAMPS/system-${#LISTS[@]} want
    want=$(sha256sum "${LISTS[@]}" /var/lib/dpkg/status | sha256sum)
    if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then return 0; fi
    mapfile -t entries < <(missing_packages)
    if [ ${#entries[@]} -gt 0 ]; then
        if [ -n "${PLUGIND_SKIP_APT:-}" ] || [ "$(id -u)" -ne 0 ]; then
            say "not installing Debian packages (not root, or told not to); missing: ${entries[*]}"
            return 0
        fi
        # An entry that is all options needs no fresh list to find out that the archive does not have it.
        if printf '%s\n' "${entries[@]}" | grep -qv '?'; then
            say "refreshing the list of Debian packages"
            quietly apt-update apt-get update
        fi
        for entry in "${entries[@]}"; do
            name=$(package_to_install "$entry")
            if [ -n "$name" ]; then packages+=("$name"); fi
        done
        if [ ${#packages[@]} -gt 0 ]; then
            say "installing Debian packages: ${packages[*]}"
            apt_install "${packages[@]}"
        fi
    fi
    sha256sum "${LISTS[@]}" /var/lib/dpkg/status | sha256sum >"$stamp"
}

# --------------------------------------------------------------------------------------------------------------- venv

# ansible-core 2.19 runs on 3.11 to 3.13. The system's Python first: it starts fastest, and it is what targets have.
find_python() {
    local candidate
    for candidate in ${PYTHON:-} /usr/bin/python3 python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import ensurepip, sys, venv
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    say "no Python 3.11, 3.12 or 3.13 with venv found; set PYTHON" >&2
    return 1
}

venv() {
    local stamp=$STAMPS/venv want python
    want=$(sha256sum requirements/dev.txt)
    # The path is part of it: scripts in a .venv that was moved point to the old place.
    want="$want $PWD"
    if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && $VENV/bin/python -c '' 2>/dev/null; then return 0; fi
    python=$(find_python)
    if ! $VENV/bin/python -m pip --version >/dev/null 2>&1 || [ ! -e "$stamp" ]; then
        say "making $VENV with $python ($("$python" -V))"
        rm -rf $VENV "$STAMPS/agent"
        quietly venv "$python" -m venv $VENV
    fi
    say "installing requirements/dev.txt into $VENV (a minute or two the first time)"
    quietly pip-dev $VENV/bin/python -m pip install --disable-pip-version-check -r requirements/dev.txt
    echo "$want" >"$stamp"
}

# -------------------------------------------------------------------------------------------------------------- agent

agent() {
    if [ ! -e agent/src/plugind/__init__.py ]; then
        say "no agent/src/plugind yet: nothing to build"
        return 0
    fi
    local stamp=$STAMPS/agent want wheel
    want=$($VENV/bin/python scripts/build_wheel.py --fingerprint)
    if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && compgen -G 'roles/agent/files/plugind-*.whl' >/dev/null; then
        return 0
    fi
    wheel=$($VENV/bin/python scripts/build_wheel.py)
    say "built $wheel"
    # Not editable: what is tested is what a target gets. The dependencies are in requirements/dev.txt; `pip check`
    # says so if the two lists have drifted apart.
    quietly pip-agent $VENV/bin/python -m pip install --disable-pip-version-check --no-deps --force-reinstall "$wheel"
    quietly pip-check $VENV/bin/python -m pip check --disable-pip-version-check
    say "installed it in $VENV"
    echo "$want" >"$stamp"
}

# --------------------------------------------------------------------------------------------------------- collection

# Ansible wants <path>/ansible_collections/<namespace>/<name>; a link back to here is enough for everything but
# ansible-test, which resolves links and gets a copy (noxfile.py).
collection() {
    local namespace=$BUILD/collections/ansible_collections/plugind
    if [ -e "$namespace/engine/galaxy.yml" ]; then return 0; fi
    mkdir -p "$namespace"
    ln -sfn ../../../.. "$namespace/engine"
    say "$namespace/engine points here"
}

# Several of these may be called at once in one checkout; they must not write to .venv at the same time.
exec 9>"$BUILD/setup.lock"
flock 9

steps=("$@")
if [ ${#steps[@]} -eq 0 ]; then steps=(system venv agent collection); fi
for step in "${steps[@]}"; do
    case $step in
        system | venv | agent | collection) "$step" 9>&- ;;
        *) say "no such step: $step" >&2; exit 2 ;;
    esac
done
