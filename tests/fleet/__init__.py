# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Hosts on one machine, each with an address, an sshd and a disk of its own, for real playbooks over real ssh.

    with Fleet(directory, 3) as fleet:
        fleet.play("plugind.engine.site")
        fleet["h2"].kill()

docs/testing-fleet.md draws it. From below: `processes` (ids, ends), `keeper` (the namespaces around
all), `cgroups`, `rootfs` (what is on a new disk), `init` (pid 1 of a host), `hosts`, `controller`
(ansible-playbook), `registry`, `fleet` (all of it together), `cli`.
"""
