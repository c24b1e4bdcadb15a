# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""sshfs: a volume driver whose volumes are directories of other machines, mounted over SSH.

options.py   pure: what a user may say with -o, and the sshfs command line that follows from it
records.py   which volumes there are, on disk
mounts.py    runs sshfs and fusermount3, reads the mount table
driver.py    the methods of the protocol, put together from the three above
"""
