#!/usr/bin/env bash
# Installs what the tests need and is not there, and says what. Where it cannot
# (no root, no apt-get, no network), it says what will be skipped.
set -u
have() { command -v "$1" >/dev/null || [ -d "$1" ]; }
need() { # need COMMAND-OR-FOLDER PACKAGE WHY
  have "$1" && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $2 ($3)"
    [ -n "${updated:-}" ] || apt-get update -qq >/dev/null 2>&1; updated=1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $2 >/dev/null 2>&1 && have "$1" && return
  fi
  echo "SKIPPED: $3 ($2 is not installed and cannot be installed here)"
}
need cc "gcc libc6-dev" "the race detector and the cgo SQLite driver"
need /usr/lib/postgresql/15/bin/postgres postgresql-15 "the tests on PostgreSQL"
need /usr/sbin/pgbouncer pgbouncer "the tests behind a pooler"
need /usr/sbin/haproxy haproxy "the tests behind HAProxy"
need /usr/sbin/nginx nginx "the tests behind nginx"
need strace strace "the tests in which the kernel fails a server's writes and syncs"
need mkfs.ext4 e2fsprogs "the tests on a disk of their own: power cuts, a read-only file system"
need /usr/sbin/mariadbd "mariadb-server-core mariadb-client-core" "the tests of a step-ca whose database is in MariaDB"
need node "nodejs npm" "the JavaScript clients"
need openssl openssl "the tests of files that OpenSSL makes"
need soffice "--no-install-recommends libreoffice-calc" "opening exported CSV in LibreOffice"
if [ "${1:-}" = corpora ]; then
  need certtool gnutls-bin "comparing certificates with GnuTLS"
  need /usr/share/ca-certificates/mozilla ca-certificates "Debian's certificates"
  need /usr/lib/python3/dist-packages/cryptography_vectors/x509 python3-cryptography-vectors "the certificates of python-cryptography"
  need /usr/lib/python3.11/test/capath libpython3.11-testsuite "the certificates of Python's tests"
fi
exit 0
