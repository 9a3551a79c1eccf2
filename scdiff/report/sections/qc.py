"""Section: what quality control kept and dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scdiff import keys
from scdiff.report.plots.qc import REASONS, dropped_bars, metric_histogram
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.text import count

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

_METRICS = (
    (keys.TOTAL_COUNTS, "min_counts", "counts per cell", True),
    (keys.N_GENES, "min_genes", "genes per cell", True),
    (keys.PERCENT_MITO, "max_mito_percent", "mitochondrial counts (%)", False),
)


@SECTIONS.register(
    "qc", summary="Cells kept and dropped.", source="field convention", facts={"title": "Quality control", "reads": (keys.QC, keys.SAMPLE)}
)
def qc(adata: AnnData) -> Section:
    """Show which cells were dropped, why, and the metrics of those that were kept.

    Reads
    -----
    ``uns["scdiff"]["qc"]``, ``obs["sample"]``, the QC columns of ``obs``
    """
    facts = adata.uns["scdiff"]["qc"]
    dropped, thresholds = facts["dropped"], facts["thresholds"]
    before, after = int(dropped["n_before"].sum()), int(dropped["n_after"].sum())
    return Section(
        "Quality control",
        "qc",
        f"{count(after)} of {count(before)} barcodes were kept as cells. Each dropped one is counted once, under its first reason.",
        figures=(_bars(dropped), *(_histogram(adata, thresholds, *metric) for metric in _METRICS if _drawable(adata, metric[0]))),
        tables=(_dropped_table(dropped), _thresholds_table(thresholds)),
        notes=tuple(str(note) for note in facts.get("notes", ())),
    )


def _drawable(adata: AnnData, key: keys.Key) -> bool:
    """Tell whether a metric is there and finite for any cell."""
    return keys.has(adata, key) and bool(adata.obs[key.name].notna().any())


def _bars(dropped: pd.DataFrame) -> Picture:
    """Draw what became of the barcodes of each sample."""
    return picture(
        "qc_dropped",
        lambda ax: dropped_bars(dropped, ax),
        caption=f"What became of the {count(dropped['n_before'].sum())} barcodes, by sample. A long coloured end means a costly filter.",
        alt="Stacked bars: barcodes per sample by kept or reason dropped",
        table="qc_dropped.csv",
        size=(3.5, 1.9 + 0.3 * len(dropped)),
    )


def _histogram(adata: AnnData, thresholds: pd.DataFrame, key: keys.Key, column: str, label: str, log: bool) -> Picture:
    """Draw one metric of the cells kept."""
    values = adata.obs[key.name].to_numpy(dtype=float)
    samples = adata.obs["sample"].astype(str).to_numpy()
    limits = {str(sample): float(value) for sample, value in thresholds[column].items()}
    side = "above" if column.startswith("max") else "below"
    return picture(
        f"qc_{key.name}",
        lambda ax: metric_histogram(values, samples, ax, label=label, thresholds=limits, log=log),
        caption=f"{label[0].upper()}{label[1:]}, {count(adata.n_obs)} cells kept, a line per sample; "
        f"dashed: the sample's threshold, cells {side} it were dropped.",
        alt=f"Histogram of {label} per sample with thresholds",
        table="cells.csv.gz",
    )


def _dropped_table(dropped: pd.DataFrame) -> Table:
    """Show the table of dropped cells with words as headings."""
    frame = dropped.rename_axis("sample").reset_index()
    view = frame.rename(columns={"n_before": "before"} | {column: label for column, (label, _) in REASONS.items()})
    return Table("qc_dropped.csv", frame, "Barcodes per sample before and after QC, and the reasons of those dropped.", view)


def _thresholds_table(thresholds: pd.DataFrame) -> Table:
    """Show the thresholds that were used."""
    frame = thresholds.rename_axis("sample").reset_index()
    view = frame.rename(columns={"min_counts": "least counts", "min_genes": "least genes", "max_mito_percent": "most mito. (%)"})
    return Table("qc_thresholds.csv", frame, "Thresholds per sample; a dash means that none could be set.", view)
