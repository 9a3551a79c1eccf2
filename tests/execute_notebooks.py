"""Execute notebooks and keep their outputs: ``python tests/execute_notebooks.py [NAME ...]``, all where none is named.

The script of each pair is the source; ``tests/test_notebooks.py`` compares what is kept with what comes out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jupytext
import nbclient
import nbformat

ROOT = Path(__file__).resolve().parents[1]


def execute(script: Path) -> None:
    """Execute the notebook of a script and write it with its outputs."""
    target, source = script.with_suffix(".ipynb"), jupytext.read(script)
    kept = nbformat.read(target, as_version=4).cells if target.is_file() else []
    for number, cell in enumerate(source.cells):
        cell["id"] = kept[number].id if number < len(kept) else f"cell-{number}"
        cell.metadata.pop("lines_to_next_cell", None)
    nbclient.NotebookClient(
        source,
        timeout=900,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(script.parent)}},
    ).execute()
    for cell in source.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    source.metadata.pop("language_info", None)
    source.metadata["jupytext"].pop("text_representation", None)
    nbformat.write(source, target)


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(ROOT)
    wanted = sys.argv[1:]
    for path in sorted((ROOT / "notebooks").glob("*.py")):
        if not wanted or path.stem in wanted:
            execute(path)
