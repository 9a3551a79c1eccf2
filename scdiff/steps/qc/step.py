"""qc: drop damaged and empty cells, flag doublets."""

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
from scdiff.steps.qc.doublets import Doublets, find_doublets, skip_doublets

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["qc"]

log = logging.getLogger(__name__)

REASONS = ("empty", "low_counts", "low_genes", "high_mito", "doublet")
"""Reasons to drop a cell; a cell is counted under the first that applies."""

FLOOR_COUNTS = 500
"""Lowest adaptive limit of counts per cell. Chosen, not tuned."""
FLOOR_COUNTS_PER_GENE = 0.05
"""The same for small panels, in counts per cell and measured gene."""
FLOOR_GENES = 200
"""Lowest adaptive limit of genes per cell. Chosen, not tuned."""
FLOOR_GENES_SHARE = 0.02
"""The same for small panels, as a share of the measured genes, 0-1."""
MITO_LEAST = 10.0
"""Lowest adaptive limit of mitochondrial counts, percent. Chosen, not tuned."""
MITO_MOST = 50.0
"""Highest adaptive limit of mitochondrial counts, percent. Chosen, not tuned."""
MITO_MIN_GENES = 5
"""Mitochondrial genes (MT-) that the percentage needs to drop a cell; fewer are shown only.

The human genome has 13 coding ones; a file with few of them measures another percentage.
"""
KEPT = -1
"""Position that means "not dropped", next to positions in :data:`REASONS`."""
LEAST_CELLS = 2
"""Cells that must remain: with one cell nothing can be compared."""
WAIVED_BELOW = 50
"""Cells of a sample below which the floors are waived if no cell reaches them.

Such a sample is too small for any verdict, so its cells are kept and shown.
"""
MEDIAN_SHARE = 0.2
"""Highest lower limit, as a share of the sample's median, 0-1.

A rare state with a quarter of the usual depth is not damaged and must stay.
"""
NORMAL = 1.4826
"""Factor from a median absolute deviation to the standard deviation of a normal."""


@dataclass(frozen=True)
class _Floors:
    """Lowest counts and genes per cell that an adaptive limit may reach."""

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

    Limits adapt to each sample. There is no upper limit on counts or genes: cultured MSC have
    22,000 to 32,000 UMI and 4,000 to 5,000 genes. Doublets are flagged, not dropped, because a
    differentiating cell looks like a doublet of the two ends; the assay puts the expected doublet
    rate into its null instead.

    Parameters
    ----------
    adata
        Cells x genes, with counts.
    mads
        Width of the adaptive limits, in median absolute deviations scaled to standard deviations,
        above 0. It applies downwards to ln(1 + counts) and ln(1 + genes), and upwards to the
        mitochondrial percentage. The lower limits never exceed a fifth of the sample's median, so
        that a rare, shallower state stays. They never go below a floor (500 counts and 200 genes;
        on small panels 5 counts per 100 genes measured and 2 % of the genes measured). The
        mitochondrial limit stays within 10 and 50 %.
    min_counts, min_genes
        Lowest counts and genes per cell; they replace the adaptive limits. 0 turns a limit off;
        empty cells are always dropped.
    max_mito_percent
        Highest mitochondrial counts, percent, 0-100; replaces the adaptive limit.
    doublets
        ``flag`` doublets, also ``drop`` them, or ``skip`` the search: then scores are NaN and no
        cell is flagged.
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
        If fewer than two cells remain.

    Source
    ------
    10.15252/msb.20188746 (adaptive limits), 10.1016/j.cels.2018.11.005 (scrublet)
    """
    samples = adata.obs[keys.SAMPLE.name].astype("category").cat.remove_unused_categories()
    mito = np.flatnonzero(adata.var_names.str.upper().str.startswith("MT-"))
    metrics = _measure(get_counts(adata), mito)
    asked = {"min_counts": min_counts, "min_genes": min_genes, "max_mito_percent": max_mito_percent}
    limits = _limit_samples(
        metrics, samples, adata.n_vars, mads, asked, mito_usable=len(mito) >= MITO_MIN_GENES
    )
    faults = _find_faults(metrics, limits.loc[samples.astype(str)])
    whole = ~np.logical_or.reduce(faults)
    found = (
        skip_doublets(samples) if doublets == "skip" else find_doublets(adata, samples, whole, seed)
    )
    reason = _find_first_fault([*faults, found.called & (doublets == "drop")])
    table = _count_dropped(reason, samples)
    _require_cells(table, limits, asked)
    notes = [*_note_mito(len(mito), asked), *found.notes, *_list_emptied_samples(table)]
    for name, values in metrics.items():
        adata.obs[name] = values
    adata.obs[keys.DOUBLET_SCORE.name], adata.obs[keys.PREDICTED_DOUBLET.name] = (
        found.scores,
        found.called,
    )
    _keep_cells(adata, reason == KEPT)
    _write_report(adata, table, limits, found, notes)


def _measure(counts: Any, mito: np.ndarray) -> dict[str, np.ndarray]:
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
    """Drop the other cells in place.

    The counts are reduced array by array: a whole copy next to them would double the memory.
    """
    if kept.all():
        return
    held = {"counts": adata.layers.pop("counts")}
    adata._inplace_subset_obs(kept)  # noqa: SLF001  # as scanpy's own filters drop cells
    lazy = is_lazy(held["counts"])
    adata.layers[keys.COUNTS.name] = (
        keep_rows_lazily(held["counts"], kept)
        if lazy
        else _keep_rows(as_csr(held.pop("counts")), kept)
    )


def _keep_rows(counts: csr_matrix, kept: np.ndarray) -> csr_matrix:
    """Keep some rows of the counts.

    The values are copied first, then their places, so that each old array can be freed at once.
    """
    from scipy import sparse

    canonical, shape = counts.has_canonical_format, (int(kept.sum()), counts.shape[1])
    ends = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0, append=0))
    stretches = [slice(*counts.indptr[pair]) for pair in ends.reshape(-1, 2)]
    indptr = np.concatenate([[0], np.cumsum(np.diff(counts.indptr)[kept])]).astype(
        counts.indptr.dtype
    )
    arrays = [counts.data, counts.indices]
    del counts
    for number in range(len(arrays)):
        arrays[number] = np.concatenate([arrays[number][stretch] for stretch in stretches])
    made = sparse.csr_matrix((*arrays, indptr), shape=shape)
    made.has_canonical_format = canonical
    return made


def _note_mito(n_mito: int, asked: dict[str, float | None]) -> list[str]:
    """Return notes about what the mitochondrial genes allow."""
    if n_mito == 0:
        note = "No mitochondrial gene (MT-) has a row: their percentage is unknown and not used."
        return [note]
    if n_mito < MITO_MIN_GENES and asked["max_mito_percent"] is None:
        note = f"Only {n_mito} mitochondrial genes (MT-) have a row: their percentage is shown, "
        return [note + "but no cell is dropped for it."]
    return []


def _limit_samples(
    metrics: dict[str, np.ndarray],
    samples: pd.Series,
    n_genes: int,
    mads: float,
    asked: dict[str, float | None],
    *,
    mito_usable: bool,
) -> pd.DataFrame:
    """Return the limits of every sample, one row each: the user's, otherwise adaptive ones.

    NaN means that no limit applies.
    """
    import pandas as pd

    floors = _Floors(
        min(FLOOR_COUNTS, FLOOR_COUNTS_PER_GENE * n_genes),
        min(FLOOR_GENES, FLOOR_GENES_SHARE * n_genes),
    )
    rows = {}
    for name in samples.cat.categories:
        members = {key: values[(samples == name).to_numpy()] for key, values in metrics.items()}
        limits = _compute_adaptive_limits(members, floors, mads, mito_usable=mito_usable)
        rows[str(name)] = limits | {
            key: float(value) for key, value in asked.items() if value is not None
        }
    names = ["min_counts", "min_genes", "max_mito_percent"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names, dtype=float)
    if not np.isfinite(metrics["pct_counts_mt"]).all():
        table["max_mito_percent"] = np.nan
    return table.rename_axis("sample")


def _compute_adaptive_limits(
    metrics: dict[str, np.ndarray], floors: _Floors, mads: float, *, mito_usable: bool
) -> dict[str, float]:
    """Compute limits from the cells of one sample that are above the floors.

    Debris is below the floors, so it does not move the limits.
    """
    above = (metrics["total_counts"] >= floors.counts) & (
        metrics["n_genes_by_counts"] >= floors.genes
    )
    counts, genes, mito = (values[above] for values in metrics.values())
    if not len(counts):
        kept = 0.0 if len(above) < WAIVED_BELOW else 1.0
        return {
            "min_counts": kept * floors.counts,
            "min_genes": kept * floors.genes,
            "max_mito_percent": np.nan,
        }
    upper = float(np.clip(np.median(mito) + mads * _compute_spread(mito), MITO_LEAST, MITO_MOST))
    return {
        "min_counts": max(_compute_lower_limit(counts, mads), floors.counts),
        "min_genes": max(_compute_lower_limit(genes, mads), floors.genes),
        "max_mito_percent": upper if mito_usable else np.nan,
    }


def _compute_spread(values: np.ndarray) -> float:
    """Compute the median absolute deviation, scaled to the standard deviation of a normal."""
    return float(NORMAL * np.median(np.abs(values - np.median(values))))


def _compute_lower_limit(values: np.ndarray, mads: float) -> float:
    """Compute the lower limit on the log scale, in the unit of ``values``.

    It is at most a fifth of the median.
    """
    logs = np.log1p(values)
    limit = np.expm1(np.median(logs) - mads * _compute_spread(logs))
    return float(np.floor(min(limit, MEDIAN_SHARE * np.median(values))))


def _find_faults(metrics: dict[str, np.ndarray], limits: pd.DataFrame) -> list[np.ndarray]:
    """Return which cells break each limit, in the order of :data:`REASONS`.

    ``limits`` holds one row per cell.
    """
    counts, genes, mito = metrics.values()
    low_counts, low_genes, high_mito = (limits[name].to_numpy() for name in limits)
    # a comparison with NaN is false, so a missing limit drops no cell
    return [counts == 0, counts < low_counts, genes < low_genes, mito > high_mito]


def _find_first_fault(faults: list[np.ndarray]) -> np.ndarray:
    """Return the position of the first fault of every cell, or :data:`KEPT`."""
    stacked = np.vstack(faults)
    return np.where(stacked.any(axis=0), stacked.argmax(axis=0), KEPT)


def _count_dropped(reason: np.ndarray, samples: pd.Series) -> pd.DataFrame:
    """Count the cells of each sample: before, dropped for each reason, after."""
    import pandas as pd

    columns: dict[str, list[int]] = {name: [] for name in ("n_before", *REASONS, "n_after")}
    for name in samples.cat.categories:
        here = reason[(samples == name).to_numpy()]
        columns["n_before"].append(len(here))
        columns["n_after"].append(int((here == KEPT).sum()))
        for position, why in enumerate(REASONS):
            columns[why].append(int((here == position).sum()))
    names = [str(name) for name in samples.cat.categories]
    return pd.DataFrame(columns, index=pd.Index(names, dtype=object, name="sample"))


def _require_cells(
    table: pd.DataFrame, limits: pd.DataFrame, asked: dict[str, float | None]
) -> None:
    """Raise InputError if fewer than two cells remain, and name the option to loosen."""
    left, n_before = int(table["n_after"].sum()), int(table["n_before"].sum())
    if left >= LEAST_CELLS:
        return
    lost = {why: int(table[why].sum()) for why in REASONS if table[why].sum()}
    why = ", ".join(f"{count} {reason}" for reason, count in lost.items()) or "none was dropped"
    raise InputError(
        f"qc leaves {left} of {n_before} cells ({why}), but at least {LEAST_CELLS} are needed: "
        f"{_advise(lost, limits, asked)}, or check the input."
    )


def _advise(lost: dict[str, int], limits: pd.DataFrame, asked: dict[str, float | None]) -> str:
    """Name the option that dropped the most cells, with its value."""
    options = {
        "low_counts": "min_counts",
        "low_genes": "min_genes",
        "high_mito": "max_mito_percent",
    }
    by_option = {options[why]: count for why, count in lost.items() if why in options}
    if not by_option:
        return "the file holds no cells that can be analysed"
    name = max(by_option, key=by_option.__getitem__)
    strictest = limits[name].min() if name == "max_mito_percent" else limits[name].max()
    origin = "as set by the user" if asked[name] is not None else "set by the data"
    return f"loosen {name} of qc (now {strictest:.4g}, {origin})"


def _list_emptied_samples(table: pd.DataFrame) -> list[str]:
    """Name the samples that lost all their cells."""
    emptied = table[table["n_after"] == 0]
    return [
        f"Sample {name}: all its {row.n_before} cells were dropped."
        for name, row in emptied.iterrows()
    ]


def _write_report(
    adata: AnnData, table: pd.DataFrame, limits: pd.DataFrame, doublets: Doublets, notes: list[str]
) -> None:
    """Log the notes and write the record of this step."""
    for note in notes:
        log.info(note)
    limits.index = table.index
    write_record(
        adata,
        keys.QC,
        {
            "dropped": table,
            "thresholds": limits,
            "doublets": doublets.table(table.index),
            "notes": as_text_array(notes),
        },
    )
