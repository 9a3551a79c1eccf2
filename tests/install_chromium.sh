#!/bin/sh
# Install Debian's Chromium for the tests that open the report in a browser; without it they are skipped with this reason.
set -eu
if command -v chromium >/dev/null 2>&1; then exit 0; fi
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
  echo "chromium is not installed, and cannot be without apt-get and root: the browser tests will be skipped" >&2
  exit 0
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium >/dev/null
