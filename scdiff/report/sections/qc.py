"""Section: cells that quality control kept and dropped."""

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
"""Key, column of its threshold, label, and whether the scale is logarithmic."""


@SECTIONS.register(
    "qc",
    summary="Cells kept and dropped.",
    source="field convention",
    facts={"title": "Quality control", "reads": (keys.QC, keys.SAMPLE)},
)
def qc(adata: AnnData) -> Section:
    """Show which cells were dropped, why, and the metrics of the kept cells.

    Reads
    -----
    ``uns["scdiff"]["qc"]``, ``obs["sample"]``, the QC columns of ``obs``
    """
    facts = adata.uns[keys.ROOT][keys.QC.name]
    dropped, thresholds = facts["dropped"], facts["thresholds"]
    before, after = int(dropped["n_before"].sum()), int(dropped["n_after"].sum())
    metrics = [metric for metric in _METRICS if _has_values(adata, metric[0])]
    return Section(
        "Quality control",
        "qc",
        f"{count(after)} of {count(before)} barcodes were kept as cells. Each dropped barcode is "
        "counted once, under the first criterion that it failed.",
        figures=(
            _draw_dropped(dropped),
            *(_draw_metric(adata, thresholds, *metric) for metric in metrics),
        ),
        tables=(_build_dropped(dropped), _build_thresholds(thresholds)),
        notes=tuple(str(note) for note in facts.get("notes", ())),
    )


def _has_values(adata: AnnData, key: keys.Key) -> bool:
    """Check whether a metric is present and known for at least one cell."""
    return keys.has(adata, key) and bool(adata.obs[key.name].notna().any())


def _draw_dropped(dropped: pd.DataFrame) -> Picture:
    """Draw how many barcodes of each sample were kept and dropped."""
    return picture(
        "qc_dropped",
        lambda ax: dropped_bars(dropped, ax),
        caption=f"Kept and dropped barcodes of each sample, {count(dropped['n_before'].sum())} "
        "barcodes in total. A long coloured part marks a filter that drops many barcodes.",
        alt="Stacked bars: barcodes per sample by kept or reason dropped",
        table="qc_dropped.csv",
        size=(3.5, 1.9 + 0.3 * len(dropped)),
    )


def _draw_metric(
    adata: AnnData, thresholds: pd.DataFrame, key: keys.Key, column: str, label: str, log: bool
) -> Picture:
    """Draw one metric of the kept cells."""
    values = adata.obs[key.name].to_numpy(dtype=float)
    samples = adata.obs[keys.SAMPLE.name].astype(str).to_numpy()
    limits = {str(sample): float(value) for sample, value in thresholds[column].items()}
    side = "above" if column.startswith("max") else "below"
    return picture(
        f"qc_{key.name}",
        lambda ax: metric_histogram(values, samples, ax, label=label, thresholds=limits, log=log),
        caption=f"{label[0].upper()}{label[1:]} of the {count(adata.n_obs)} cells that were kept, "
        f"one line per sample. Dashed: the threshold of the sample; cells {side} it were dropped.",
        alt=f"Histogram of {label} per sample with thresholds",
        table="cells.csv.gz",
    )


def _build_dropped(dropped: pd.DataFrame) -> Table:
    """Build the table of kept and dropped barcodes, with words as headings."""
    frame = dropped.rename_axis("sample").reset_index()
    words = {column: label for column, (label, _) in REASONS.items()}
    view = frame.rename(columns={"n_before": "before"} | words)
    caption = "Barcodes per sample before and after quality control, and dropped by reason."
    return Table("qc_dropped.csv", frame, caption, view)


def _build_thresholds(thresholds: pd.DataFrame) -> Table:
    """Build the table of thresholds."""
    frame = thresholds.rename_axis("sample").reset_index()
    words = {
        "min_counts": "min. counts",
        "min_genes": "min. genes",
        "max_mito_percent": "max. mitochondrial (%)",
    }
    caption = "Thresholds per sample; a dash means that no threshold could be set."
    return Table("qc_thresholds.csv", frame, caption, frame.rename(columns=words))
