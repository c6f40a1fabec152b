#!/usr/bin/env bash
# Installs what the tests need and is not there, and says what. Where it cannot
# (no root, no apt-get, no network), it says what will be skipped.
set -u
need() { # need COMMAND PACKAGE WHY
  command -v "$1" >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $2 ($3)"
    [ -n "${updated:-}" ] || apt-get update -qq >/dev/null 2>&1; updated=1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $2 >/dev/null 2>&1 && command -v "$1" >/dev/null && return
  fi
  echo "SKIPPED: $3 ($2 is not installed and cannot be installed here)"
}
need cc "gcc libc6-dev" "the race detector and the cgo SQLite driver"
need /usr/lib/postgresql/15/bin/postgres postgresql-15 "the tests on PostgreSQL"
need /usr/sbin/pgbouncer pgbouncer "the tests behind a pooler"
need node "nodejs npm" "the JavaScript clients"
exit 0
