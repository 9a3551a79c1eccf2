"""Compare ``fractions.csv`` of two commits, byte by byte: a change that only moves or words code must not change a number.

Usage: python tests/benchmarks/compare_fractions.py OLD NEW [INPUT ...]

Each commit is checked out into a temporary folder and run with the Python that runs this script. Inputs are the demo batch,
the test data, and the files given. The exit code is 1 if a table differs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def check_out(commit: str, folder: Path) -> Path:
    """Check a commit out into a new work tree."""
    subprocess.run(
        ["git", "worktree", "add", "--detach", "--quiet", str(folder), commit], cwd=ROOT, check=True
    )
    return folder


def run_commands(inputs: list[Path]) -> dict[str, list[str]]:
    """List the commands by name; each writes a run to the folder that is its last word."""
    runs = {
        "demo": ["demo"],
        "test data": ["run", "--samples", str(ROOT / "test_data" / "samples.csv")],
    }
    return runs | {path.name: ["run", str(path)] for path in inputs}


def fractions(tree: Path, words: list[str], out: Path) -> bytes:
    """Run one command of a work tree; return its table, or its error."""
    command = [sys.executable, "-m", "scdiff", *words, "--out", str(out), "--quiet"]
    done = subprocess.run(
        command,
        cwd=out.parent,
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        check=False,
    )
    return (out / "tables" / "fractions.csv").read_bytes() if done.returncode == 0 else done.stderr


def main() -> int:
    """Compare all tables; print one line per input."""
    old, new, *given = sys.argv[1:]
    differing = 0
    with tempfile.TemporaryDirectory() as name:
        trees = [
            check_out(commit, Path(name, side)) for commit, side in ((old, "old"), (new, "new"))
        ]
        try:
            for number, (title, words) in enumerate(
                run_commands([Path(path).resolve() for path in given]).items()
            ):
                tables = [
                    fractions(tree, words, Path(name, f"{tree.name}-{number}")) for tree in trees
                ]
                same = tables[0] == tables[1]
                differing += not same
                print(
                    f"{title}: {'identical' if same else 'DIFFERENT'} ({len(tables[1]):,} bytes)",
                    flush=True,
                )
        finally:
            for tree in trees:
                subprocess.run(
                    ["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=False
                )
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
