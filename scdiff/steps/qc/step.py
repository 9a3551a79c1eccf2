"""qc: drop what is no cell, flag what may be two."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from scdiff import keys
from scdiff.compute.arrays import as_csr
from scdiff.compute.blocks import get_counts, is_lazy, keep_rows_lazily, measure_cells
from scdiff.errors import InputError
from scdiff.options import step
from scdiff.record import as_text_array, write_record
from scdiff.steps.qc.doublets import Doublets, find_doublets, none_sought

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["qc"]

log = logging.getLogger(__name__)

REASONS = ("empty", "low_counts", "low_genes", "high_mito", "doublet")
"""Why a cell is dropped; a cell is counted under the first that holds."""

FLOOR_COUNTS, FLOOR_COUNTS_PER_GENE = 500, 0.05
FLOOR_GENES, FLOOR_GENES_SHARE = 200, 0.02
MITO_LEAST, MITO_MOST, MITO_MIN_GENES = 10.0, 50.0, 5
KEPT = -1
LEAST_CELLS = 2
WAIVED_BELOW = 50  # a sample too small for any verdict keeps its cells although none reaches the floors
MEDIAN_SHARE = 0.2  # a rare state of a quarter of the depth is no fault
NORMAL = 1.4826  # makes a median absolute deviation comparable to a standard deviation


@dataclass(frozen=True)
class _Floors:
    """Least counts and genes that an adaptive limit may reach."""

    counts: float
    genes: float


@step
def qc(
    adata: AnnData,
    *,
    mads: Annotated[float, Gt(0)] = 5.0,
    min_counts: Annotated[int, Ge(0)] | None = None,
    min_genes: Annotated[int, Ge(0)] | None = None,
    max_mito_percent: Annotated[float, Ge(0), Le(100)] | None = None,
    doublets: Literal["flag", "drop", "skip"] = "flag",
    seed: Annotated[int, Ge(0)] = 0,
) -> None:
    """Drop empty, shallow and dying cells, sample by sample, and flag doublets.

    Limits adapt to each sample. There is no upper cut on counts or genes: cultured MSC have
    22,000 to 32,000 UMI and 4,000 to 5,000 genes. Doublets are flagged, not dropped, because a differentiating
    cell looks like a doublet of the two ends; the assay puts the expected doublet rate into its null instead.

    Parameters
    ----------
    adata
        Cells x genes, with counts.
    mads
        Width of the adaptive limits, in median absolute deviations scaled to standard deviations, above 0.
        On ln(1 + counts) and ln(1 + genes) downwards, on the mitochondrial percentage upwards.
        The lower limits never exceed a fifth of the sample's median, so that a rare, shallower state stays.
        They never go below a floor (500 counts and 200 genes; on small panels 5 counts per 100 genes
        measured and 2 % of the genes measured). The mitochondrial limit stays within 10 and 50 %.
    min_counts, min_genes
        Least counts and genes per cell; replace the adaptive limits. 0 switches one off; empty cells always drop.
    max_mito_percent
        Most mitochondrial counts, percent, 0-100; replaces the adaptive limit.
    doublets
        ``flag`` the cells that look like two, ``drop`` them as well, or ``skip`` the search: scores are NaN, nothing is flagged.
    seed
        Start of the random generator of scrublet, 0 or more.

    Reads
    -----
    layers["counts"], obs["sample"]

    Writes
    ------
    obs["total_counts"], obs["n_genes_by_counts"], obs["pct_counts_mt"], obs["doublet_score"],
    obs["predicted_doublet"], uns["scdiff"]["qc"]. Drops cells in place, never genes.

    Raises
    ------
    InputError
        If fewer than two cells are left.

    Source
    ------
    10.15252/msb.20188746 (adaptive limits), 10.1016/j.cels.2018.11.005 (scrublet)
    """
    samples = adata.obs["sample"].astype("category").cat.remove_unused_categories()
    mito = np.flatnonzero(adata.var_names.str.upper().str.startswith("MT-"))
    metrics = _metrics(get_counts(adata), mito)
    asked = {"min_counts": min_counts, "min_genes": min_genes, "max_mito_percent": max_mito_percent}
    limits = _all_limits(metrics, samples, adata.n_vars, mads, asked, mito_usable=len(mito) >= MITO_MIN_GENES)
    faults = _faults(metrics, limits.loc[samples.astype(str)])
    whole = ~np.logical_or.reduce(faults)
    found = none_sought(samples) if doublets == "skip" else find_doublets(adata, samples, whole, seed)
    reason = _first([*faults, found.called & (doublets == "drop")])
    table = _dropped(reason, samples)
    _require_cells(table, limits, asked)
    notes = [*_mito_notes(len(mito), asked), *found.notes, *_emptied(table)]
    for name, values in (*metrics.items(), ("doublet_score", found.scores), ("predicted_doublet", found.called)):
        adata.obs[name] = values
    _keep_cells(adata, reason == KEPT)
    _report(adata, table, limits, found, notes)


def _metrics(counts: Any, mito: np.ndarray) -> dict[str, np.ndarray]:
    """Measure every cell as ``scanpy.pp.calculate_qc_metrics`` does; arrays of shape (n_cells,)."""
    marked = np.zeros(counts.shape[1], dtype=bool)
    marked[mito] = True
    total, from_mito, seen = measure_cells(counts, marked).T
    percent = 100 * np.divide(from_mito, total, out=np.zeros_like(total), where=total > 0)
    return {
        "total_counts": total,
        "n_genes_by_counts": seen.astype(int),
        "pct_counts_mt": percent if len(mito) else np.full_like(total, np.nan),
    }


def _keep_cells(adata: AnnData, kept: np.ndarray) -> None:
    """Drop the other cells in place. The counts are taken over array by array: a whole copy beside them would double the memory."""
    if kept.all():
        return
    held = {"counts": adata.layers.pop("counts")}
    adata._inplace_subset_obs(kept)  # noqa: SLF001  # as scanpy's own filters drop cells
    lazy = is_lazy(held["counts"])
    adata.layers["counts"] = keep_rows_lazily(held["counts"], kept) if lazy else _rows_kept(as_csr(held.pop("counts")), kept)


def _rows_kept(counts: csr_matrix, kept: np.ndarray) -> csr_matrix:
    """Take some rows; the values first, then their places, so that what is not needed any more can go."""
    from scipy import sparse

    canonical, shape = counts.has_canonical_format, (int(kept.sum()), counts.shape[1])
    ends = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0, append=0))
    stretches = [slice(*counts.indptr[pair]) for pair in ends.reshape(-1, 2)]
    indptr = np.concatenate([[0], np.cumsum(np.diff(counts.indptr)[kept])]).astype(counts.indptr.dtype)
    arrays = [counts.data, counts.indices]
    del counts
    for number in range(len(arrays)):
        arrays[number] = np.concatenate([arrays[number][stretch] for stretch in stretches])
    made = sparse.csr_matrix((*arrays, indptr), shape=shape)
    made.has_canonical_format = canonical
    return made


def _mito_notes(n_mito: int, asked: dict[str, float | None]) -> list[str]:
    """Say what the mitochondrial genes allow."""
    if n_mito == 0:
        return ["No mitochondrial gene (MT-) has a row: the mitochondrial percentage is not known and not used."]
    if n_mito < MITO_MIN_GENES and asked["max_mito_percent"] is None:
        return [f"Only {n_mito} mitochondrial genes (MT-) have a row: their percentage is shown, but no cell is dropped for it."]
    return []


def _all_limits(
    metrics: dict[str, np.ndarray], samples: pd.Series, n_genes: int, mads: float, asked: dict[str, float | None], *, mito_usable: bool
) -> pd.DataFrame:
    """Limits of every sample, one row each: what was asked for, else adaptive ones; NaN where none applies."""
    import pandas as pd

    floors = _Floors(min(FLOOR_COUNTS, FLOOR_COUNTS_PER_GENE * n_genes), min(FLOOR_GENES, FLOOR_GENES_SHARE * n_genes))
    rows = {}
    for name in samples.cat.categories:
        members = {key: values[(samples == name).to_numpy()] for key, values in metrics.items()}
        limits = _adaptive(members, floors, mads, mito_usable=mito_usable)
        rows[str(name)] = limits | {key: float(value) for key, value in asked.items() if value is not None}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["min_counts", "min_genes", "max_mito_percent"], dtype=float)
    if not np.isfinite(metrics["pct_counts_mt"]).all():
        table["max_mito_percent"] = np.nan
    return table.rename_axis("sample")


def _adaptive(metrics: dict[str, np.ndarray], floors: _Floors, mads: float, *, mito_usable: bool) -> dict[str, float]:
    """Limits from the cells of one sample that are above the floors, so that debris does not move them."""
    above = (metrics["total_counts"] >= floors.counts) & (metrics["n_genes_by_counts"] >= floors.genes)
    counts, genes, mito = (values[above] for values in metrics.values())
    if not len(counts):
        kept = 0.0 if len(above) < WAIVED_BELOW else 1.0
        return {"min_counts": kept * floors.counts, "min_genes": kept * floors.genes, "max_mito_percent": np.nan}
    upper = float(np.clip(np.median(mito) + mads * _spread(mito), MITO_LEAST, MITO_MOST))
    return {
        "min_counts": max(_lower(counts, mads), floors.counts),
        "min_genes": max(_lower(genes, mads), floors.genes),
        "max_mito_percent": upper if mito_usable else np.nan,
    }


def _spread(values: np.ndarray) -> float:
    """Median absolute deviation, scaled to the standard deviation of a normal."""
    return float(NORMAL * np.median(np.abs(values - np.median(values))))


def _lower(values: np.ndarray, mads: float) -> float:
    """Lower limit on the log scale, in the unit of ``values``; at most a fifth of the median."""
    logs = np.log1p(values)
    limit = np.expm1(np.median(logs) - mads * _spread(logs))
    return float(np.floor(min(limit, MEDIAN_SHARE * np.median(values))))


def _faults(metrics: dict[str, np.ndarray], limits: pd.DataFrame) -> list[np.ndarray]:
    """Which cell breaks which limit, in the order of :data:`REASONS`; ``limits`` holds one row per cell."""
    counts, genes, mito = metrics.values()
    low_counts, low_genes, high_mito = (limits[name].to_numpy() for name in limits)
    return [counts == 0, counts < low_counts, genes < low_genes, mito > high_mito]  # a comparison with NaN is false


def _first(faults: list[np.ndarray]) -> np.ndarray:
    """Position of the first fault of every cell, :data:`KEPT` where there is none."""
    stacked = np.vstack(faults)
    return np.where(stacked.any(axis=0), stacked.argmax(axis=0), KEPT)


def _dropped(reason: np.ndarray, samples: pd.Series) -> pd.DataFrame:
    """Cells by sample: before, dropped for each reason, after."""
    import pandas as pd

    columns: dict[str, list[int]] = {name: [] for name in ("n_before", *REASONS, "n_after")}
    for name in samples.cat.categories:
        here = reason[(samples == name).to_numpy()]
        columns["n_before"].append(len(here))
        columns["n_after"].append(int((here == KEPT).sum()))
        for position, why in enumerate(REASONS):
            columns[why].append(int((here == position).sum()))
    return pd.DataFrame(columns, index=pd.Index([str(name) for name in samples.cat.categories], dtype=object, name="sample"))


def _require_cells(table: pd.DataFrame, limits: pd.DataFrame, asked: dict[str, float | None]) -> None:
    """Refuse to go on with fewer than two cells, and say which option to loosen."""
    left = int(table["n_after"].sum())
    if left >= LEAST_CELLS:
        return
    options = {"low_counts": "min_counts", "low_genes": "min_genes", "high_mito": "max_mito_percent"}
    lost = {why: int(table[why].sum()) for why in REASONS if table[why].sum()}
    why = ", ".join(f"{count} {reason}" for reason, count in lost.items()) or "none was dropped"
    worst = max((reason for reason in lost if reason in options), key=lost.get, default=None)  # type: ignore[arg-type]
    advice = "the file holds no cells that can be analysed"
    if worst:
        name = options[worst]
        now = f"{limits[name].max() if worst != 'high_mito' else limits[name].min():.4g}"
        advice = f"loosen {name} of qc (now {now}, {'as asked for' if asked[name] is not None else 'set by the data'})"
    n_before = int(table["n_before"].sum())
    raise InputError(f"qc leaves {left} of {n_before} cells ({why}), but at least {LEAST_CELLS} are needed: {advice}, or check the input.")


def _emptied(table: pd.DataFrame) -> list[str]:
    """Name the samples that lost all their cells."""
    return [f"Sample {name}: all its {row.n_before} cells were dropped." for name, row in table.iterrows() if row.n_after == 0]


def _report(adata: AnnData, table: pd.DataFrame, limits: pd.DataFrame, doublets: Doublets, notes: list[str]) -> None:
    """Write the record of this step."""
    for note in notes:
        log.info(note)
    limits.index = table.index
    write_record(
        adata, keys.QC, {"dropped": table, "thresholds": limits, "doublets": doublets.table(table.index), "notes": as_text_array(notes)}
    )
