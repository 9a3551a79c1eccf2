"""What loading costs beside scanpy's readers of the same files, and what a look with ``scdiff check`` costs.

Each reading is a process of its own that has read a small file of each species before, so that imports, tables of genes
and caches count for neither; files lie in the page cache. scdiff checks names, values and indices, hashes the file (which takes
most of its time where nothing is packed), and has another process walk through an HDF5 file first; scanpy does none of it.

Matrices as text are read of the smallest batch only. Run: python tests/benchmarks/bench_loading.py [--cells 5000 20000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from isolated import batch_file, fresh, options, warm
from sources import DATA, write

SMALL = (DATA / "msc_mouse_bone_marrow.h5ad", DATA / "fetal_pancreas_human.h5ad")
"""Read first, one of each species."""


def read(tool: str, layout: str, file: Path) -> Any:
    """Read a file with one of the two, or look into it."""
    if tool == "check":
        from scdiff.steps.load.step import look_at, plan_inputs

        return look_at(plan_inputs(file))
    if tool == "scdiff":
        from scdiff.io import load

        return load(file)
    import scanpy as sc

    return {"h5ad": sc.read_h5ad, "10x h5": sc.read_10x_h5, "10x mtx": sc.read_10x_mtx}[layout](
        file
    )


def worker(tool: str, layout: str, file: Path, out: Path) -> None:
    """Time one reading."""
    for small in SMALL:
        read(tool, "h5ad", small)
    begun = time.perf_counter()
    read(tool, layout, file)
    out.write_text(json.dumps(time.perf_counter() - begun))


def layouts(batch: Path, folder: Path) -> dict[str, Path]:
    """Write a simulated batch in other layouts; return all by layout."""
    import anndata as ad
    import h5py
    import numpy as np
    import scipy.io

    folder.mkdir(parents=True, exist_ok=True)
    packed, tenx, triple = folder / "packed.h5ad", folder / "cells.h5", folder / "triple"
    written = {"h5ad": batch, "h5ad, gzipped": packed, "10x h5": tenx, "10x mtx": triple}
    if triple.exists():
        return written
    adata = ad.read_h5ad(batch)
    adata.write_h5ad(packed, compression="gzip")
    with h5py.File(tenx, "w") as handle:
        group = handle.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group.create_dataset(
                name,
                data=getattr(adata.X, name).astype(np.int64 if name == "indptr" else np.int32),
                compression="gzip",
                shuffle=True,
            )
        group["shape"] = np.array(adata.shape[::-1])
        group["barcodes"] = np.array(adata.obs_names, dtype="S")
        genes = np.array(adata.var_names, dtype="S")
        kinds = np.full(adata.n_vars, b"Gene Expression")
        for name, values in {
            "id": genes,
            "name": genes,
            "feature_type": kinds,
            "genome": np.full(adata.n_vars, b"GRCh38"),
        }.items():
            group[f"features/{name}"] = values
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    scipy.io.mmwrite(partial / "matrix.mtx", adata.X.T.astype(np.int64))
    (partial / "barcodes.tsv").write_text("\n".join(adata.obs_names) + "\n")
    (partial / "features.tsv").write_text(
        "".join(f"{gene}\t{gene}\tGene Expression\n" for gene in adata.var_names)
    )
    subprocess.run(["gzip", *map(str, partial.iterdir())], check=True)
    partial.rename(triple)
    return written


def measure(layout: str, file: Path, repeats: int) -> dict[str, Any]:
    """Time both in turns."""
    inside = list(file.iterdir()) if file.is_dir() else [file]
    for inner in inside:
        warm(inner)
    found: dict[str, list[float]] = {"scanpy": [], "scdiff": [], "check": []}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seconds.json"
        for _ in range(repeats):
            for tool, seconds in found.items():
                fresh(__file__, "--worker", tool, layout.partition(",")[0], file, out)
                seconds.append(json.loads(out.read_text()))
    medians = {f"{tool} s": statistics.median(seconds) for tool, seconds in found.items()}
    size = sum(inner.stat().st_size for inner in inside) / 1e6
    return (
        {"layout": layout, "MB": size}
        | medians
        | {"scdiff / scanpy": medians["scdiff s"] / medians["scanpy s"]}
    )


def main() -> None:
    """Read all files."""
    if sys.argv[1:2] == ["--worker"]:
        tool, layout, *paths = sys.argv[2:]
        worker(tool, layout, *map(Path, paths))
        return
    parser = options(__doc__)
    parser.set_defaults(cells=[5_000, 20_000], repeats=5)
    given: argparse.Namespace = parser.parse_args()
    rows: list[dict[str, Any]] = []
    files = {path.stem: {"h5ad, gzipped": path} for path in sorted(DATA.glob("*.h5ad"))}
    smallest = f"{min(given.cells):,} simulated cells"
    files |= {
        f"{n:,} simulated cells": layouts(batch_file(n, given.cache), given.cache / f"layouts-{n}")
        for n in given.cells
    }
    for name, found in files.items():
        for layout, file in found.items():
            if layout == "10x mtx" and name != smallest:
                continue
            rows.append({"file": name} | measure(layout, file, given.repeats))
            print(rows[-1], flush=True)
    write(
        pd.DataFrame(rows),
        "loading",
        folder=given.results,
        notes=[
            "Medians. check: a look into the file as `scdiff check` takes it, of h5ad and 10x h5 at 1,500 cells."
        ],
    )


if __name__ == "__main__":
    main()
