# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# An SSH server that is web1.example.com, where root logs in by key, and storage.example.com, where "backup" has a
# password (in the file "password") and a directory.
mkdir -p /run/sshd /srv/backups /etc/ssh/pages
: >/root/.bashrc # a shell of root that begins as on a new host
echo "127.0.0.1 web1.example.com storage.example.com" >>/etc/hosts
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/pages/host
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/pages/login
cp /etc/ssh/pages/login.pub /etc/ssh/pages/authorized_keys
cat >/etc/ssh/pages/sshd_config <<'CONFIG'
ListenAddress 127.0.0.1
HostKey /etc/ssh/pages/host
PidFile /run/sshd.pid
AuthorizedKeysFile /etc/ssh/pages/authorized_keys
PermitRootLogin yes
UsePAM no
Subsystem sftp internal-sftp
Match User backup
    ForceCommand internal-sftp
CONFIG
mkdir -p /etc/ssh/ssh_config.d
cat >/etc/ssh/ssh_config <<'CONFIG'
Host web1.example.com
    IdentityFile /etc/ssh/pages/login
    StrictHostKeyChecking no
    UserKnownHostsFile /etc/ssh/pages/known_hosts
    LogLevel ERROR
CONFIG
printf '%s' "$PAGES_SECRET" >password
echo "backup:$PAGES_SECRET" | chpasswd
echo "hello from the other side" >/srv/backups/hello.txt
chown -R backup: /srv/backups
/usr/sbin/sshd -f /etc/ssh/pages/sshd_config -E /etc/ssh/pages/log
