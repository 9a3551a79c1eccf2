#!/bin/sh
# Install Debian's PostgreSQL for the tests of a history that a team shares; without it they are skipped with this reason.
set -eu
if command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then exit 0; fi
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
  echo "PostgreSQL is not installed, and cannot be without apt-get and root: its tests will be skipped" >&2
  exit 0
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends postgresql >/dev/null
