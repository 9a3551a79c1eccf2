"""Build a page with the real MultiQC, which has an environment of its own (``tests/install_multiqc.sh``)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build_page(folder: Path) -> dict[str, Any]:
    """Run MultiQC on a folder and return the data of its page; skip where MultiQC is not installed."""
    own = ROOT / ".multiqc" / "bin" / "multiqc"
    program = str(own) if own.is_file() else shutil.which("multiqc")
    if program is None:
        pytest.skip("MultiQC is not installed (sh tests/install_multiqc.sh)")
    page = folder / "page"
    words = ["--outdir", page, "--no-version-check", "--data-format", "json", "--strict"]
    done = subprocess.run(
        [program, folder, *words], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (page / "multiqc_report.html").is_file()
    return json.loads((page / "multiqc_data" / "multiqc_data.json").read_text())
