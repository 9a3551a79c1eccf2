"""Tables of the report: what goes into ``tables/``, byte for byte the same for the same result."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
from scdiff.steps.fraction.step import COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from isal.igzip import IGzipFile

__all__ = ["FRACTION_COLUMNS", "cells_table", "csv_text", "fraction_columns", "harmless", "main_evidence", "marker_counts", "write_table"]

FRACTION_COLUMNS = COLUMNS
"""Columns of ``fractions.csv``: an interface."""

FORMULA_SIGNS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""Signs at the start of a cell that make a spreadsheet run it; the last four are the wide forms of the first."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")

ROWS = 50_000
"""Rows that are formatted at once."""

_PER_CELL = (
    keys.SAMPLE,
    keys.CONTROL,
    keys.TOTAL_COUNTS,
    keys.N_GENES,
    keys.PERCENT_MITO,
    keys.DOUBLET_SCORE,
    keys.PREDICTED_DOUBLET,
    keys.LEIDEN,
    keys.STATE,
    keys.PROBABILITY,
    keys.PSEUDOTIME,
    keys.PSEUDOTIME_LOW,
    keys.PSEUDOTIME_HIGH,
    keys.POSITION,
    keys.FATE,
    keys.COMPONENT,
)


def fraction_columns(fractions: pd.DataFrame) -> pd.DataFrame:
    """Take the columns of the interface, in their order."""
    later = FRACTION_COLUMNS[FRACTION_COLUMNS.index("reason") :]  # results of earlier versions have none of these
    known = fractions.assign(**{name: "" if name == "reason" else np.nan for name in later if name not in fractions})
    return known.loc[:, list(FRACTION_COLUMNS)].reset_index(drop=True)


def main_evidence(adata: AnnData) -> pd.DataFrame:
    """Take the main programme's evidence, columns named by marker.

    Reads
    -----
    ``obsm["scdiff_evidence"]``, ``uns["scdiff"]["call"]``
    """
    prefix = f"{adata.uns['scdiff']['call']['main']}:"
    evidence = adata.obsm["scdiff_evidence"]
    chosen = [name for name in evidence.columns if str(name).startswith(prefix)]
    return evidence[chosen].rename(columns={name: str(name).removeprefix(prefix) for name in chosen})


def marker_counts(adata: AnnData) -> pd.DataFrame:
    """Sum the raw counts of the genes of each marker of the main programme that has a row in the matrix.

    Reads
    -----
    ``layers["counts"]``, ``uns["scdiff"]["call"]``
    """
    import pandas as pd

    from scdiff.compute.blocks import get_counts, read_columns

    call = adata.uns["scdiff"]["call"]
    rows = {name: number for number, name in enumerate(adata.var_names)}
    counts = get_counts(adata)
    found: dict[str, np.ndarray] = {}
    markers = call.get(str(call.get("main", "")), {}).get("markers", {"genes": {}})
    for marker, genes in markers["genes"].items():
        columns = [rows[gene] for gene in (text.strip() for text in str(genes).split(",")) if gene in rows]
        if columns:
            found[str(marker)] = read_columns(counts, np.array(columns)).sum(axis=1)
    return pd.DataFrame(found, index=adata.obs_names)


def cells_table(adata: AnnData) -> pd.DataFrame:
    """Gather one row per cell: our columns of ``obs``, map, probabilities, calls, evidence and marker counts.

    Reads
    -----
    Whatever of these is there.
    """
    import pandas as pd

    present = [key.name for key in _PER_CELL if keys.has(adata, key)]
    parts = [adata.obs[present].reset_index(drop=True)]
    if keys.has(adata, keys.UMAP):
        parts.append(pd.DataFrame(adata.obsm["X_umap"][:, :2], columns=["umap_1", "umap_2"]))
    for key, word in ((keys.PROBABILITIES, "probability"), (keys.POSITIVE, "positive"), (keys.EVIDENCE, "evidence")):
        if keys.has(adata, key):
            parts.append(adata.obsm[key.name].add_prefix(f"{word}:").reset_index(drop=True))
    if keys.has(adata, keys.CALL) and keys.has(adata, keys.COUNTS):
        parts.append(marker_counts(adata).add_prefix("counts:").reset_index(drop=True))
    frame = pd.concat(parts, axis=1)
    frame.insert(0, "cell", [str(name) for name in adata.obs_names])
    return frame


def csv_text(frame: pd.DataFrame) -> str:
    """Write a frame as CSV: six significant digits, Unix line ends, nothing for a missing value."""
    import pandas as pd

    texts = pd.DataFrame({place: _texts(frame.iloc[:, place]) for place in range(frame.shape[1])}, index=frame.index)
    return texts.set_axis([harmless(str(name)) for name in frame.columns], axis=1).to_csv(index=False, lineterminator="\n")


def harmless(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run as a formula; numbers and a dash alone stay as they are.

    See CSV injection at https://owasp.org/www-community/attacks/CSV_Injection.

    >>> harmless("=HYPERLINK(1)"), harmless("-2+3"), harmless("-1.5e-3"), harmless("day 7")
    ("'=HYPERLINK(1)", "'-2+3", '-1.5e-3', 'day 7')
    """
    runs = text[:1] in FORMULA_SIGNS and text != "-" and not _NUMBER.fullmatch(text)
    return f"'{text}".replace("\r", " ") if runs else text.replace("\r", " ")  # csv takes a bare carriage return for the end of a row


def _texts(column: pd.Series) -> Any:
    """Format the fractional numbers of a column, all in one go, which pandas does one by one; other columns stay."""
    import pandas as pd

    if not pd.api.types.is_float_dtype(column.dtype):
        return column if pd.api.types.is_numeric_dtype(column.dtype) else _harmless_column(column)
    values = column.to_numpy(dtype=float, na_value=np.nan)
    texts = np.array(("%.6g\n" * len(values) % tuple(values)).split("\n")[:-1], dtype=object)
    texts[np.isnan(values)] = None
    return texts


def _harmless_column(column: pd.Series) -> pd.Series:
    """Make the texts of a column harmless; the same column where all are."""
    import pandas as pd

    kinds = pd.unique(column.dropna())
    changed = {text: safe for text in kinds if isinstance(text, str) and (safe := harmless(text)) != text}
    return column.astype(object).map(lambda value: changed.get(value, value)) if changed else column


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as CSV, compressed where the name ends in ``.gz``, without a time stamp; some rows at a time, to save memory.

    Raises
    ------
    OSError
        If ``path`` cannot be written.
    """
    with path.open("wb") as file, _packed(file) if path.suffix == ".gz" else nullcontext(file) as out:
        for start in range(0, max(len(frame), 1), ROWS):
            text = csv_text(frame.iloc[start : start + ROWS])
            out.write((text if start == 0 else text.split("\n", 1)[1]).encode())


def _packed(file: Any) -> IGzipFile:
    """Compress what is written to ``file``."""
    from isal.igzip import IGzipFile

    return IGzipFile(filename="", mode="wb", fileobj=file, mtime=0)
