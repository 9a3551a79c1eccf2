"""What the benchmarks of speed share: simulated input files, fresh processes, peak memory.

Nothing but the standard library is imported above, because the fresh processes time their imports.
``python isolated.py batch CELLS FILE`` and ``python isolated.py points BATCH FILE`` make the inputs, so that the process that
starts the others stays small.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

SIZES = (5_000, 20_000, 100_000)
CACHE = Path(tempfile.gettempdir()) / "scdiff-bench"
N_GENES, CELLS_OF_SAMPLE, N_QUERIES, SEED = 25_000, 5_000, 1_000, 0


def options(about: str) -> argparse.ArgumentParser:
    """Command line that the benchmarks of speed have in common."""
    from sources import RESULTS

    parser = argparse.ArgumentParser(description=about.split("\n\n", maxsplit=1)[0])
    parser.add_argument(
        "--cells", type=int, nargs="+", default=list(SIZES), help="sizes of the batches"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs per tool and size; the median counts"
    )
    parser.add_argument(
        "--only", nargs="+", help="names of tools; all that are installed without it"
    )
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="folder of the input files, kept for the next run"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the tables")
    parser.add_argument(
        "--timeout", type=float, default=7_200, help="seconds after which a run is given up"
    )
    return parser


def batch_file(n_cells: int, cache: Path) -> Path:
    """Simulated batch of so many cells, and its truth beside it (:func:`truth_file`)."""
    file = cache / f"batch-{n_cells}.h5ad"
    if not (file.exists() and truth_file(file).exists()):
        cache.mkdir(parents=True, exist_ok=True)
        fresh(__file__, "batch", n_cells, file)
    return file


def truth_file(batch: Path) -> Path:
    """Table of the states and doublets of a batch."""
    return batch.with_suffix(".truth.csv")


def points_file(n_cells: int, cache: Path) -> Path:
    """Thirty principal components of a simulated batch."""
    file = cache / f"points-{n_cells}.npy"
    if not file.exists():
        fresh(__file__, "points", batch_file(n_cells, cache), file)
    return file


def make_batch(n_cells: int, file: Path) -> None:
    """Draw a batch; write counts as X only, uncompressed, with bare gene names and plain strings: what every tool reads."""
    import anndata as ad
    import pandas as pd

    from scdiff.simulate import BatchDesign, simulate

    design = BatchDesign(
        n_genes=N_GENES, donors=max(1, n_cells // CELLS_OF_SAMPLE), doublet_rate=0.04
    )
    drawn = simulate(
        n_cells=n_cells, fraction=0.04, depth=4_000, contamination=0.05, design=design, seed=1
    )
    drawn.obs_names_make_unique()
    drawn.obs[["truth_state", "truth_doublet"]].to_csv(truth_file(file))
    bare = ad.AnnData(
        X=drawn.X,
        obs=drawn.obs[["sample", "donor"]].astype(str),
        var=pd.DataFrame(index=drawn.var_names),
    )
    bare.write_h5ad(file)


def make_points(batch: Path, file: Path) -> None:
    """Write the principal components of a batch as scanpy finds them, shape (n_cells, 30), float32."""
    import numpy as np
    import scanpy as sc

    adata = sc.read_h5ad(batch)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2_000)
    adata = adata[:, adata.var["highly_variable"]].copy()
    sc.pp.pca(adata, n_comps=30, svd_solver="arpack")
    np.save(file, np.ascontiguousarray(adata.obsm["X_pca"], dtype=np.float32))


def warm(file: Path) -> None:
    """Read a file once, so that every tool finds it in the page cache."""
    with file.open("rb") as stream:
        while stream.read(1 << 24):
            pass


def fresh(
    script: str, *arguments: object, timeout: float | None = None, threads: int | None = None
) -> None:
    """Run a script in a process of its own, with so many threads; a failure shows the end of what it said."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = os.environ | (dict.fromkeys(names, str(threads)) if threads else {})
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command[1:])} failed ({done.returncode}):\n{done.stderr[-2_000:]}"
        )


def tried(tool: str, script: str, *arguments: object, **limits: Any) -> bool:
    """Run a script as :func:`fresh` does; say so and go on where it fails or takes too long."""
    try:
        fresh(script, *arguments, **limits)
    except (RuntimeError, subprocess.TimeoutExpired) as fault:
        print(f"{tool}: left out: {fault}", flush=True)
        return False
    return True


def missing(packages: Sequence[str]) -> list[str]:
    """Modules that are not installed."""
    return [name for name in packages if find_spec(name) is None]


def versions(distributions: Sequence[str]) -> str:
    """Names and versions, for the table's note."""
    return ", ".join(f"{name} {version(name)}" for name in distributions)


def peak_gib() -> float:
    """Most memory that this process held, in GiB.

    Linux hands the peak that getrusage tells of down to started processes; the kernel's own high-water mark begins anew.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return (
            next(
                int(line.split()[1])
                for line in status.read_text(encoding="ascii").splitlines()
                if line.startswith("VmHWM")
            )
            / 2**20
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**30 if sys.platform == "darwin" else 2**20
    )


class Clock:
    """Seconds per step since the last one, seconds of all cores, and peak memory."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.begun = self.last = time.perf_counter()

    def lap(self, step: str) -> None:
        """End a step."""
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self.last
        self.last, self.total, self.cpu, self.peak = (
            now,
            now - self.begun,
            time.process_time(),
            peak_gib(),
        )

    def told(self) -> dict[str, Any]:
        """All that was measured."""
        return {
            "seconds": self.seconds,
            "total_s": self.total,
            "cpu_s": self.cpu,
            "peak_gib": self.peak,
        }


def others(indices: np.ndarray, cells: np.ndarray, k: int) -> list[list[int]]:
    """First ``k`` neighbours of each cell that are not the cell itself; -1 stands for none."""
    return [
        [j for j in row if j not in (cell, -1)][:k]
        for row, cell in zip(indices.tolist(), cells.tolist(), strict=True)
    ]


def recall(points: np.ndarray, indices: np.ndarray, k: int) -> float:
    """Share of the exact ``k`` nearest others, by brute force, that was found for 1,000 cells."""
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    cells = np.random.default_rng(SEED).choice(
        len(points), min(N_QUERIES, len(points)), replace=False
    )
    search = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(points.astype(np.float64))
    exact = others(
        search.kneighbors(points[cells].astype(np.float64), return_distance=False), cells, k
    )
    found = others(indices[cells], cells, k)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(exact, found, strict=True)]))


if __name__ == "__main__":
    made, source, target = sys.argv[1:]
    if made == "batch":
        make_batch(int(source), Path(target))
    else:
        make_points(Path(source), Path(target))
