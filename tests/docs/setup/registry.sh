# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# shellcheck shell=bash
# registry.example.com, with plugins and an image; `registry=login` wants one, and its certificate is not trusted.
mkdir -p /srv/registry
cp -a "$PAGES_STORAGE" /srv/registry/storage
echo "127.0.0.1 registry.example.com" >>/etc/hosts
auth=
if [ "$1" = login ]; then
    # bcrypt, which docker-registry insists on, of "a secret for tests"
    # shellcheck disable=SC2016
    echo 'deploy:$2b$04$EOs6drEJs9ftlUCsPrRBDOKgq8agKRzl4FLujPS6wxbXefzMNNlBq' >/srv/registry/htpasswd
    auth='auth: {htpasswd: {realm: registry, path: /srv/registry/htpasswd}}'
    cp "$PAGES_CERTIFICATES/ca.pem" /etc/ssl/registry.example.com.pem
else
    cp "$PAGES_CERTIFICATES/ca.pem" "/etc/ssl/certs/$(openssl x509 -noout -hash -in "$PAGES_CERTIFICATES/ca.pem").0"
fi
cat >/srv/registry/config.yml <<CONFIG
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: /srv/registry/storage}, delete: {enabled: true}}
http: {addr: "127.0.0.1:443", tls: {certificate: $PAGES_CERTIFICATES/ca.pem, key: $PAGES_CERTIFICATES/key.pem}}
$auth
CONFIG
: >/srv/registry/log
docker-registry serve /srv/registry/config.yml </dev/null >/srv/registry/log 2>&1 &
timeout 30 grep -q -m1 "listening on" < <(tail -n +1 -s 0.05 -f --pid=$! /srv/registry/log)
