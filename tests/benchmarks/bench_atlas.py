"""An atlas on one machine: the engine dask on zarr, seconds per step and the resident memory of its processes.

The batch of 100,000 simulated cells is written again and again, each time thinned anew to nine tenths, with its samples under
other names. ``worst`` is the largest process, ``all`` the sum of all at one moment, three times a second. The table of fractions
of the smallest size is compared, byte for byte, with that of a run in memory.

Run: python tests/benchmarks/bench_atlas.py [--cells 100000 1000000] [--cache FOLDER]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from isolated import batch_file, options
from sources import write

PART, N_GENES = 100_000, 20_000


def atlas(n_cells: int, cache: Path) -> Path:
    """Write the batch as zarr, ``n_cells / 100,000`` times."""
    import anndata as ad
    import zarr

    path = cache / f"atlas-{n_cells}.zarr"
    if path.exists():
        return path
    warnings.simplefilter("ignore")
    whole = ad.read_h5ad(batch_file(min(PART, n_cells), cache))[:, :N_GENES].copy()
    rng, partial = np.random.default_rng(0), path.with_suffix(".partial")
    store, names, samples = zarr.open_group(str(partial), mode="w", zarr_format=2), [], []
    for part in range(max(1, n_cells // PART)):
        thinned = whole.X.copy()
        thinned.data = rng.binomial(thinned.data.astype(np.int64), 0.9).astype(np.float32)
        thinned.eliminate_zeros()
        if part:
            ad.io.sparse_dataset(store["X"]).append(thinned)
        else:
            ad.io.write_elem(store, "X", thinned, dataset_kwargs={"chunks": (1 << 20,)})
        names += [f"{name}_{part}" for name in whole.obs_names]
        samples += [f"{sample}_{part}" for sample in whole.obs["sample"]]
    ad.io.write_elem(store, "obs", pd.DataFrame({"sample": samples}, index=names))
    ad.io.write_elem(store, "var", whole.var)
    store.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    return partial.rename(path)


def resident(pid: int) -> list[int]:
    """Resident bytes of a process and of all that it started, from /proc."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            parents[int(folder.name)] = (
                int(fields[1]),
                int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
            )
        except OSError:
            continue
    family = {pid}
    while new := {child for child, (parent, _) in parents.items() if parent in family} - family:
        family |= new
    return [parents[one][1] for one in family if one in parents]


def watched(file: Path, out: Path, engine: str) -> dict[str, Any]:
    """Run ``scdiff run`` in a process of its own; seconds by step and memory."""
    shutil.rmtree(out, ignore_errors=True)
    begun, worst, most = time.monotonic(), 0, 0
    command = [
        sys.executable,
        "-m",
        "scdiff",
        "run",
        str(file),
        "--engine",
        engine,
        "--out",
        str(out),
    ]
    with (
        (out.with_suffix(".log")).open("w") as log,
        subprocess.Popen(command, stderr=log, stdout=log) as process,
    ):
        while process.poll() is None:
            sizes = resident(process.pid) or [0]
            worst, most = max(worst, *sizes), max(most, sum(sizes))
            time.sleep(0.3)
    said = out.with_suffix(".log").read_text()
    steps = {
        name: float(seconds)
        for name, seconds in re.findall(r"^ {2}(\w+) +([\d.]+) s$", said, re.MULTILINE)
    }
    return {
        "seconds": time.monotonic() - begun,
        **steps,
        "worst_gib": worst / 2**30,
        "all_gib": most / 2**30,
        "code": process.returncode,
    }


def main() -> None:
    """Run every size, and the smallest in memory as well."""
    parser = options(__doc__)
    parser.set_defaults(cells=[100_000, 1_000_000])
    given = parser.parse_args()
    sizes = sorted(given.cells)
    rows = [
        {"cells": size} | watched(atlas(size, given.cache), given.cache / f"atlas-{size}", "dask")
        for size in sizes
    ]
    watched(atlas(sizes[0], given.cache), given.cache / "atlas-memory", "memory")
    tables = [
        (given.cache / name / "tables" / "fractions.csv").read_bytes()
        for name in (f"atlas-{sizes[0]}", "atlas-memory")
    ]
    note = f"Fractions of {sizes[0]:,} cells by dask and in memory: {'identical, byte for byte' if tables[0] == tables[1] else 'DIFFERENT'}."
    write(pd.DataFrame(rows), "atlas", folder=given.results, notes=[note])


if __name__ == "__main__":
    main()
