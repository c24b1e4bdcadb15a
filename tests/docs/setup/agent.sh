# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# The agent where the role puts it, with the role's init script; its program is the one that is tested. It runs.
mkdir -p /opt/plugind/bin /etc/plugind /etc/init.d
cat >/opt/plugind/bin/plugind <<PROGRAM
#!$PAGES_PYTHON
import sys
sys.path.insert(0, "$PAGES_SOURCES")
from plugind.__main__ import main
sys.exit(main())
PROGRAM
chmod 755 /opt/plugind/bin/plugind
ln -sf /opt/plugind/bin/plugind /usr/local/bin/plugind
cp "$PAGES_INIT" /etc/init.d/plugind
chmod 755 /etc/init.d/plugind
touch /etc/plugind/plugind.toml
getent group plugind >/dev/null || groupadd --system plugind
service plugind start
