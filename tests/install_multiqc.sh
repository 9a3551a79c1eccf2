#!/bin/sh
# Install MultiQC into an environment of its own for the tests that build a real MultiQC page; without it they are skipped.
set -eu
folder=$(cd "$(dirname "$0")/.." && pwd)/.multiqc
if [ -x "$folder/bin/multiqc" ]; then exit 0; fi
"${PYTHON:-python3}" -m venv "$folder" || "${PYTHON:-python3}" -m virtualenv "$folder"
"$folder/bin/python" -m pip install --quiet 'multiqc>=1.25,<2'
