"""Nearest neighbours of principal components: time in a fresh process, recall, and whether threads change the answer.

Every search is a process of its own, on one thread and on two, for 15 neighbours besides the cell itself. ``total_s``
holds importing (``import_s``, as far as it is not put off), compiling, building and searching. A run of each on the smallest
batch comes first and does not count.

Run: python tests/benchmarks/bench_neighbours.py [--cells 5000 20000 100000] [--repeats 3] [--only METHOD ...]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isolated import SEED, missing, options, peak_gib, points_file, recall, tried, versions, warm

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Search = Callable[[np.ndarray], np.ndarray]
    """From points (n, dimensions) to indices (n, 16 at most), the point itself possibly among them."""

K = 15
LINKS, BUILD, SEARCH = 16, 64, 48
"""Of all graphs of small worlds: links per point, and points looked at when building and when searching."""
THREADS = (1, 2)


# --- the searches: import, then return what is timed --------------------------------------------------------------


def scdiff(threads: int) -> Search:
    """What the step embed uses."""
    from scdiff.compute.nearest import nearest

    return lambda points: nearest(points, K)[0]


def brute(threads: int) -> Search:
    """All distances, by scikit-learn."""
    from sklearn.neighbors import NearestNeighbors

    return lambda points: (
        NearestNeighbors(n_neighbors=K, algorithm="brute")
        .fit(points)
        .kneighbors(return_distance=False)
    )


def pynndescent(threads: int) -> Search:
    """As scanpy and umap-learn call it."""
    from pynndescent import NNDescent

    return lambda points: NNDescent(
        points, n_neighbors=K + 1, random_state=SEED, n_jobs=threads
    ).neighbor_graph[0]


def hnswlib(threads: int) -> Search:
    """Graph of small worlds."""
    from hnswlib import Index

    def search(points: np.ndarray) -> np.ndarray:
        index = Index(space="l2", dim=points.shape[1])
        index.init_index(max_elements=len(points), ef_construction=BUILD, M=LINKS, random_seed=SEED)
        index.add_items(points, num_threads=threads)
        index.set_ef(SEARCH)
        return index.knn_query(points, K + 1, num_threads=threads)[0]

    return search


def usearch(threads: int) -> Search:
    """Graph of small worlds."""
    from usearch.index import Index

    def search(points: np.ndarray) -> np.ndarray:
        import numpy as np

        index = Index(
            ndim=points.shape[1],
            metric="l2sq",
            connectivity=LINKS,
            expansion_add=BUILD,
            expansion_search=SEARCH,
        )
        index.add(np.arange(len(points)), points, threads=threads)
        return index.search(points, K + 1, threads=threads).keys

    return search


def faiss_flat(threads: int) -> Search:
    """All distances."""
    faiss = _faiss(threads)
    return lambda points: _searched(faiss.IndexFlatL2(points.shape[1]), points)


def faiss_ivf(threads: int) -> Search:
    """As many cells of Voronoi as the square root of the points; the ten nearest are searched."""
    faiss = _faiss(threads)

    def search(points: np.ndarray) -> np.ndarray:
        width = points.shape[1]
        quantiser = faiss.IndexFlatL2(width)
        index = faiss.IndexIVFFlat(quantiser, width, int(len(points) ** 0.5))
        index.cp.niter, index.cp.max_points_per_centroid = 5, 64
        index.train(points)
        index.nprobe = 10
        return _searched(index, points)

    return search


def faiss_hnsw(threads: int) -> Search:
    """Graph of small worlds."""
    faiss = _faiss(threads)

    def search(points: np.ndarray) -> np.ndarray:
        index = faiss.IndexHNSWFlat(points.shape[1], LINKS)
        index.hnsw.efConstruction, index.hnsw.efSearch = BUILD, SEARCH
        return _searched(index, points)

    return search


def faiss_nndescent(threads: int) -> Search:
    """Graph of neighbours by descent."""
    faiss = _faiss(threads)

    def search(points: np.ndarray) -> np.ndarray:
        index = faiss.IndexNNDescentFlat(points.shape[1], 2 * LINKS)
        index.nndescent.L = SEARCH
        return _searched(index, points)

    return search


def _faiss(threads: int) -> Any:
    import faiss

    faiss.omp_set_num_threads(threads)
    return faiss


def _searched(index: Any, points: np.ndarray) -> np.ndarray:
    index.add(points)
    return index.search(points, K + 1)[1]


METHODS: dict[str, tuple[Callable[[int], Search], str]] = {
    "scdiff": (scdiff, "scdiff"),
    "sklearn brute": (brute, "sklearn"),
    "pynndescent": (pynndescent, "pynndescent"),
    "hnswlib": (hnswlib, "hnswlib"),
    "usearch": (usearch, "usearch"),
    "faiss Flat": (faiss_flat, "faiss"),
    "faiss IVFFlat": (faiss_ivf, "faiss"),
    "faiss HNSW": (faiss_hnsw, "faiss"),
    "faiss NNDescent": (faiss_nndescent, "faiss"),
}
"""Name: function and the module it needs."""

DISTRIBUTIONS = {"scdiff": "scdiff-markers", "sklearn": "scikit-learn", "faiss": "faiss-cpu"}


def worker(method: str, file: Path, out: Path, threads: int) -> None:
    """Run one search; write what was measured to OUT.json and the indices to OUT.npy."""
    warnings.simplefilter("ignore")
    import numpy as np

    points = np.load(file)
    begun = time.perf_counter()
    search = METHODS[method][0](threads)
    ready = time.perf_counter()
    indices = search(points)
    told = {
        "import_s": ready - begun,
        "total_s": time.perf_counter() - begun,
        "peak_gib": peak_gib(),
    }
    np.save(out.with_suffix(".npy"), np.asarray(indices).astype(np.int64))
    out.with_suffix(".json").write_text(json.dumps(told), encoding="utf-8")


# --- all runs -----------------------------------------------------------------------------------------------------


def measure(
    methods: list[str], n_cells: int, given: argparse.Namespace, repeats: int
) -> list[dict[str, Any]]:
    """Run every method on each number of threads, taking turns; one row per run."""
    import numpy as np

    file, rows, first = points_file(n_cells, given.cache), [], {}
    points = np.load(file)
    warm(file)
    with tempfile.TemporaryDirectory(dir=given.cache) as folder:
        out = Path(folder) / "found"
        runs = [
            (repeat, threads, method)
            for repeat in range(repeats)
            for threads in THREADS
            for method in methods
        ]
        for repeat, threads, method in runs:
            if not tried(
                method,
                __file__,
                "worker",
                method,
                file,
                out,
                threads,
                timeout=given.timeout,
                threads=threads,
            ):
                continue
            told = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
            indices = np.load(out.with_suffix(".npy"))
            same = bool(np.array_equal(first.setdefault((method, threads), indices), indices))
            alone = first.get((method, THREADS[0]))
            rows.append(
                {"method": method, "cells": n_cells, "threads": threads, "repeat": repeat, **told}
            )
            rows[-1] |= {"recall": recall(points, indices, K), "same_again": same}
            rows[-1]["same_as_1_thread"] = alone is not None and bool(
                np.array_equal(alone, indices)
            )
            print(
                f"{n_cells} cells, {method}, threads {threads}: {told['total_s']:.2f} s", flush=True
            )
    return rows


def summary(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Median over the repeats; one row per size, method and number of threads."""
    import pandas as pd

    numbers = {name: (name, "median") for name in ("import_s", "total_s", "peak_gib", "recall")}
    facts = {name: (name, "all") for name in ("same_again", "same_as_1_thread")}
    runs = pd.DataFrame(rows)
    if not runs["repeat"].any():
        facts.pop("same_again")  # one run repeats nothing
    grouped = runs.groupby(["cells", "method", "threads"], sort=False)
    return grouped.agg(**numbers, **facts).round(dict.fromkeys(numbers, 4)).reset_index()


def main() -> None:
    """Run all, print, and write the table after every size."""
    given = options(__doc__).parse_args()
    from sources import write

    wanted = given.only or list(METHODS)
    absent = [method for method in wanted if missing([METHODS[method][1]])]
    methods, rows = [method for method in wanted if method not in absent], []
    modules = dict.fromkeys(METHODS[method][1] for method in methods)
    used = versions([DISTRIBUTIONS.get(name, name) for name in modules])
    notes = [
        f"Median of {given.repeats} runs on {os.cpu_count()} cores; recall of the {K} nearest of 1,000 cells; {used}."
    ]
    notes += [f"Left out, not installed: {', '.join(absent)}."] if absent else []
    measure(methods, min(given.cells), given, 1)
    for n_cells in given.cells:
        rows += measure(methods, n_cells, given, given.repeats)
        write(summary(rows), "neighbours", folder=given.results, notes=notes)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
