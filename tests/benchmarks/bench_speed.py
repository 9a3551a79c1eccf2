"""Time and memory from counts to clusters and map, beside scanpy, brisc and crest, and how far the answers agree.

Every run is a process of its own on the same file, which lies in the page cache; the tools take turns over the repeats. A
run of each on the smallest batch comes first and does not count: it fills the caches of compiled code. All get 2,000 variable
genes, 30 components, 15 neighbours (the cell itself included) and at least 200 genes per cell; the rest is each tool's
default. ``scdiff`` is the steps load to embed, whose qc flags doublets, which no other tool here does; ``scdiff run`` is all
steps with the report. ``scanpy tuned`` takes the Leiden of igraph with two iterations.

Run: python tests/benchmarks/bench_speed.py [--cells 5000 20000 100000] [--repeats 3] [--only TOOL ...]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isolated import Clock, batch_file, missing, options, recall, tried, truth_file, versions, warm

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData

    Found = dict[str, np.ndarray]
    """names, clusters, points (cells x components), neighbours (cells x others, -1 for none) and map (cells x 2)."""

N_HVG, N_PCS, N_NEIGHBORS, MIN_GENES, MIN_CELLS = 2_000, 30, 15, 200, 3
EMBED = ("hvg", "pca", "neighbours", "clusters", "umap", "embed")
GROUPS = {
    "import": ("import",),
    "load": ("load",),
    "qc": ("qc",),
    "normalise": ("normalise",),
    "embed": EMBED,
}
COLUMNS = [
    "total_s",
    "cpu_s",
    "peak_gib",
    "memory_ratio",
    "ari_truth",
    "ari_scanpy",
    "recall",
    "subspace",
    "variance_shared",
]
COLUMNS += ["n_clusters", "n_kept"]
REFERENCE, FASTEST, DASHED = "scanpy tuned", ("brisc", "crest"), ("scdiff run", "scanpy")


# --- the tools, each in a process of its own ----------------------------------------------------------------------


def scdiff_steps(file: Path, clock: Clock) -> Found:
    """Load, qc, normalise and embed, as a run does them; doublets are not sought, since no peer seeks them here."""
    from scdiff import io, pp

    steps = [
        ("qc", partial(pp.qc, doublets="skip")),
        ("normalise", partial(pp.normalise, store=False)),
        ("embed", pp.embed),
    ]
    read = io.load
    clock.lap("import")
    adata = read(file)
    clock.lap("load")
    for name, step in steps:
        step(adata)
        clock.lap(name)
    return from_anndata(adata)


def scdiff_run(file: Path, clock: Clock) -> Found:
    """All steps with checkpoints and report, as the command does."""
    from scdiff.run.pipeline import resolve, run, step_functions

    step_functions()
    clock.lap("import")

    def watch(step: str, event: str, seconds: float) -> None:
        if event == "finished":
            clock.lap("checkpoints")
            clock.seconds[step] = seconds
            clock.seconds["checkpoints"] -= seconds

    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        adata = run(resolve({"inputs": [file]}), Path(folder), watch=watch)
        clock.lap("checkpoints")
    return from_anndata(adata)


def scanpy_plain(file: Path, clock: Clock) -> Found:
    """Every default, with leidenalg."""
    return _scanpy(file, clock, {}, {})


def scanpy_tuned(file: Path, clock: Clock) -> Found:
    """With the options that scanpy recommends for speed."""
    return _scanpy(
        file,
        clock,
        {"svd_solver": "arpack"},
        {"flavor": "igraph", "n_iterations": 2, "directed": False},
    )


def _scanpy(file: Path, clock: Clock, pca: dict[str, Any], leiden: dict[str, Any]) -> Found:
    import scanpy as sc

    clock.lap("import")
    adata = sc.read_h5ad(file)
    clock.lap("load")
    adata.var["mt"] = adata.var_names.str.startswith("MT-")
    sc.pp.calculate_qc_metrics(adata, qc_vars=["mt"], inplace=True)
    sc.pp.filter_cells(adata, min_genes=MIN_GENES)
    sc.pp.filter_genes(adata, min_cells=MIN_CELLS)
    clock.lap("qc")
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    clock.lap("normalise")
    sc.pp.highly_variable_genes(adata, n_top_genes=N_HVG)
    clock.lap("hvg")
    sc.pp.pca(adata, n_comps=N_PCS, **pca)
    clock.lap("pca")
    sc.pp.neighbors(adata, n_neighbors=N_NEIGHBORS)
    clock.lap("neighbours")
    sc.tl.umap(adata)
    clock.lap("umap")
    sc.tl.leiden(adata, **leiden)
    clock.lap("clusters")
    return from_anndata(adata)


def brisc(file: Path, clock: Clock) -> Found:
    """As its tutorial, with other limits; what is simulated has no MALAT1 to ask for."""
    import numpy as np
    from brisc import SingleCell

    clock.lap("import")
    data = SingleCell(file)
    clock.lap("load")
    data = data.qc(
        subset=True,
        allow_float=True,
        nonzero_MALAT1=False,
        max_mito_fraction=None,
        min_genes=MIN_GENES,
    )
    clock.lap("qc")
    data = data.hvg(num_genes=N_HVG, min_cells=MIN_CELLS)
    clock.lap("hvg")
    data = data.normalize()
    clock.lap("normalise")
    data = data.pca(num_PCs=N_PCS)
    clock.lap("pca")
    data = data.neighbors(num_neighbors=N_NEIGHBORS - 1)  # it does not count the cell itself
    clock.lap("neighbours")
    data = data.shared_neighbors().cluster()
    clock.lap("clusters")
    data = data.umap()
    clock.lap("umap")
    names, clusters = (
        data.obs_names.to_list(),
        [str(name) for name in data.obs["cluster"].to_list()],
    )
    neighbours = data.obsm["neighbors"].astype(np.int64)
    return _found(names, clusters, data.obsm["pca"], neighbours, data.obsm["umap"])


def crest(file: Path, clock: Clock) -> Found:
    """As scanpy, with its own functions."""
    import crest as cr

    clock.lap("import")
    data = cr.read_h5ad(file)
    clock.lap("load")
    data = cr.pp.filter_cells(data, min_genes=MIN_GENES)
    data = cr.pp.filter_genes(data, min_cells=MIN_CELLS)
    clock.lap("qc")
    cr.pp.normalize_total(data, target_sum=1e4)
    cr.pp.log1p(data)
    clock.lap("normalise")
    cr.pp.highly_variable_genes(data, n_top_genes=N_HVG)
    clock.lap("hvg")
    cr.tl.pca(data, n_comps=N_PCS)
    clock.lap("pca")
    cr.pp.neighbors(data, n_neighbors=N_NEIGHBORS)
    clock.lap("neighbours")
    cr.tl.leiden(data)
    clock.lap("clusters")
    cr.tl.umap(data)
    clock.lap("umap")
    neighbours = data.uns["neighbors"]["indices"]
    return _found(
        data.obs["barcode"].to_list(),
        data.obs["leiden"].to_list(),
        data.obsm["X_pca"],
        neighbours,
        data.obsm["X_umap"],
    )


def from_anndata(adata: AnnData) -> Found:
    """Answer of a tool that writes where scanpy does."""
    import numpy as np

    graph = adata.obsp["distances"].tocsr()
    size = np.diff(graph.indptr)
    neighbours = np.full((graph.shape[0], size.max()), -1)
    place = np.arange(graph.nnz) - np.repeat(graph.indptr[:-1], size)
    neighbours[np.repeat(np.arange(len(size)), size), place] = graph.indices
    return _found(
        list(adata.obs_names),
        list(adata.obs["leiden"]),
        adata.obsm["X_pca"],
        neighbours,
        adata.obsm["X_umap"],
    )


def _found(
    names: list[str], clusters: list[str], points: Any, neighbours: Any, drawn: Any
) -> Found:
    import numpy as np

    return {
        "names": np.array(names, dtype=str),
        "clusters": np.array(clusters, dtype=str),
        "points": np.asarray(points, dtype=np.float32),
        "neighbours": np.asarray(neighbours),
        "map": np.asarray(drawn, dtype=np.float32),
    }


TOOLS: dict[str, tuple[Callable[[Path, Clock], Found], str]] = {
    "scdiff": (scdiff_steps, "scdiff"),
    "scdiff run": (scdiff_run, "scdiff"),
    "scanpy": (scanpy_plain, "scanpy"),
    "scanpy tuned": (scanpy_tuned, "scanpy"),
    "brisc": (brisc, "brisc"),
    "crest": (crest, "crest"),
}
"""Name: function and the module it needs."""

DISTRIBUTIONS = {
    "scdiff": "scdiff-markers",
    "scanpy": "scanpy",
    "brisc": "brisc",
    "crest": "crest-sc",
}


def worker(tool: str, file: Path, out: Path) -> None:
    """Run one tool; write what was measured to OUT.json and what it found to OUT.npz."""
    warnings.simplefilter("ignore")
    clock = Clock()
    found = TOOLS[tool][0](file, clock)
    import numpy as np

    np.savez(out.with_suffix(".npz"), **found)
    out.with_suffix(".json").write_text(json.dumps(clock.told()), encoding="utf-8")


# --- agreement ----------------------------------------------------------------------------------------------------


def agreement(found: Found, reference: Found | None, truth: pd.DataFrame) -> dict[str, float]:
    """Clusters beside truth (singlets) and reference, neighbours beside exact ones, components beside the reference's."""
    import pandas as pd
    from sklearn.metrics import adjusted_rand_score

    neighbours, singlet = (
        found["neighbours"],
        ~truth["truth_doublet"].reindex(found["names"]).to_numpy(dtype=bool),
    )
    state = truth["truth_state"].reindex(found["names"]).to_numpy()
    told = {"n_kept": len(found["names"]), "n_clusters": len(set(found["clusters"]))}
    told["ari_truth"] = adjusted_rand_score(state[singlet], found["clusters"][singlet])
    told["recall"] = recall(found["points"], neighbours, min(N_NEIGHBORS - 1, neighbours.shape[1]))
    if reference is None:
        return told
    place = pd.Index(reference["names"]).get_indexer(found["names"])
    both = place >= 0
    told["ari_scanpy"] = adjusted_rand_score(
        reference["clusters"][place[both]], found["clusters"][both]
    )
    told["subspace"] = shared_subspace(found["points"][both], reference["points"][place[both]])
    told["variance_shared"] = shared_variance(
        found["points"][both], reference["points"][place[both]]
    )
    return told


def shared_subspace(points: np.ndarray, reference: np.ndarray) -> float:
    """Mean squared canonical correlation of two sets of coordinates of the same cells, 0-1."""
    import numpy as np

    bases = [
        np.linalg.qr(x - x.mean(axis=0))[0]
        for x in (points.astype(np.float64), reference.astype(np.float64))
    ]
    return float((np.linalg.svd(bases[0].T @ bases[1], compute_uv=False) ** 2).mean())


def shared_variance(points: np.ndarray, reference: np.ndarray) -> float:
    """Share of the variance of the reference's coordinates that is linear in the others, 0-1; noise counts little here."""
    import numpy as np

    basis = np.linalg.qr(points.astype(np.float64) - points.mean(axis=0))[0]
    centred = reference.astype(np.float64) - reference.mean(axis=0)
    return float(((basis.T @ centred) ** 2).sum() / (centred**2).sum())


def matrix_gib(file: Path) -> float:
    """Size of the counts as a sparse matrix in memory, in GiB."""
    import h5py

    with h5py.File(file) as stored:
        return sum(part.size * part.dtype.itemsize for part in stored["X"].values()) / 2**30


# --- all runs -----------------------------------------------------------------------------------------------------


def measure(
    tools: list[str], n_cells: int, given: argparse.Namespace, repeat: int = 0
) -> list[dict[str, Any]]:
    """Run every tool once on a batch; one row each."""
    import pandas as pd

    file, rows = batch_file(n_cells, given.cache), []
    truth, matrix = pd.read_csv(truth_file(file), index_col=0), matrix_gib(file)
    with tempfile.TemporaryDirectory(dir=given.cache) as folder:
        outs = {tool: Path(folder) / tool.replace(" ", "-") for tool in tools}
        for tool, out in outs.items():
            warm(file)
            load = os.getloadavg()[0]
            if tried(tool, __file__, "worker", tool, file, out, timeout=given.timeout):
                told = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
                about = {"tool": tool, "cells": n_cells, "repeat": repeat, "load_before": load}
                rows.append(about | told | {"memory_ratio": told["peak_gib"] / matrix})
                print(
                    f"{n_cells} cells, {tool}: {told['total_s']:.2f} s, {told['peak_gib']:.2f} GiB",
                    flush=True,
                )
        reference = _answer(outs.get(REFERENCE))
        return [row | agreement(_answer(outs[row["tool"]]), reference, truth) for row in rows]


def _answer(out: Path | None) -> Any:
    import numpy as np

    if out is None or not out.with_suffix(".npz").exists():
        return None
    with np.load(out.with_suffix(".npz")) as stored:
        return dict(stored)


def summary(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Median over the repeats, seconds by group of steps, and ratios; one row per size and tool."""
    import pandas as pd

    runs = pd.DataFrame(rows)
    for group, steps in GROUPS.items():
        runs[f"{group}_s"] = [
            sum(told.get(step, 0.0) for step in steps) for told in runs["seconds"]
        ]
    runs["rest_s"] = runs["total_s"] - runs[[f"{group}_s" for group in GROUPS]].sum(axis=1)
    runs.loc[runs["rest_s"].abs() < 1e-6, "rest_s"] = 0.0
    columns = [*(f"{group}_s" for group in GROUPS), "rest_s", *COLUMNS]
    runs = runs.reindex(columns=["cells", "tool", *columns])
    table = runs.groupby(["cells", "tool"], sort=False)[columns].median().reset_index()
    fastest = table[table["tool"].isin(FASTEST)].groupby("cells")["total_s"].min()
    table.insert(
        table.columns.get_loc("total_s") + 1,
        "time_ratio",
        table["total_s"] / table["cells"].map(fastest),
    )
    return table.round(dict.fromkeys(columns, 4) | {"time_ratio": 3})


def steps_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Median seconds of each step, one row per size, tool and step."""
    import pandas as pd

    long = [
        {"cells": row["cells"], "tool": row["tool"], "step": k, "seconds": v}
        for row in rows
        for k, v in row["seconds"].items()
    ]
    return (
        pd.DataFrame(long)
        .groupby(["cells", "tool", "step"], sort=False)["seconds"]
        .median()
        .round(4)
        .reset_index()
    )


def figure(table: pd.DataFrame, file: Path) -> None:
    """Time and memory against cells, one line per tool."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    from scdiff.report.plots.style import GREY, PALETTE, STYLE

    panels = {"total_s": "Time with imports (s)", "peak_gib": "Peak memory (GiB)"}
    with plt.rc_context(STYLE):
        drawn, axes = plt.subplots(1, 2, figsize=(8.2, 4.0))
        for ax, (column, label) in zip(axes, panels.items(), strict=True):
            for tool, colour, marker in zip(TOOLS, PALETTE, "osD^vP", strict=False):
                part = table[table["tool"] == tool]
                if len(part):
                    line = "--" if tool in DASHED else "-"
                    ax.plot(
                        part["cells"],
                        part[column],
                        line,
                        color=colour,
                        marker=marker,
                        markersize=5,
                        linewidth=1.5,
                        label=tool,
                    )
            ax.set(xscale="log", yscale="log", xlabel="Cells", ylabel=label)
            _plain_ticks(ax, sorted(table["cells"].unique()))
        matrix = (table["peak_gib"] / table["memory_ratio"]).groupby(table["cells"]).median()
        axes[1].plot(
            matrix.index, matrix, color=GREY, linestyle=":", linewidth=1.5, label="count matrix"
        )
        handles, labels = axes[1].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="lower center", ncols=4)
        drawn.tight_layout(rect=(0, 0.12, 1, 1))
        drawn.savefig(file, dpi=110)
        plt.close(drawn)


def _plain_ticks(ax: Any, sizes: list[int]) -> None:
    from matplotlib.ticker import (
        FixedLocator,
        FuncFormatter,
        LogLocator,
        NullFormatter,
        NullLocator,
    )

    ax.xaxis.set(
        major_locator=FixedLocator(sizes),
        minor_locator=NullLocator(),
        major_formatter=FuncFormatter(lambda x, _: f"{x:,.0f}"),
    )
    ax.yaxis.set(
        major_locator=LogLocator(subs=(1, 2, 5)),
        major_formatter=FuncFormatter(lambda y, _: f"{y:g}"),
    )
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="y", linewidth=0.5, alpha=0.5)


def main() -> None:
    """Run all, print, and write the tables and the figure after every size."""
    given = options(__doc__).parse_args()
    import pandas as pd
    from sources import write

    wanted = given.only or list(TOOLS)
    absent = [tool for tool in wanted if missing([TOOLS[tool][1]])]
    tools, rows = [tool for tool in wanted if tool not in absent], []
    used = versions(
        [DISTRIBUTIONS[name] for name in dict.fromkeys(TOOLS[tool][1] for tool in tools)]
    )
    notes = [f"Median of {given.repeats} runs on {os.cpu_count()} cores; {used}."]
    notes += [f"Left out, not installed: {', '.join(absent)}."] if absent else []
    notes.append(
        "`_s`: seconds, `cpu_s` of all cores together. Ratios: of time to the faster of brisc and crest, of memory to the count matrix."
    )
    measure(tools, min(given.cells), given)
    for n_cells in given.cells:
        rows += [
            row for repeat in range(given.repeats) for row in measure(tools, n_cells, given, repeat)
        ]
        write(summary(rows), "speed", folder=given.results, notes=notes)
        write(steps_table(rows), "speed_steps", folder=given.results)
        plain = [{name: value for name, value in row.items() if name != "seconds"} for row in rows]
        pd.DataFrame(plain).to_csv(
            given.results / "speed_runs.csv", index=False, float_format="%.6g"
        )
        figure(summary(rows), given.results / "speed.png")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
