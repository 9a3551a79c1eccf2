"""Build and write the tables of the report; the same result gives the same bytes."""

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

__all__ = [
    "FRACTION_COLUMNS",
    "cells_table",
    "csv_text",
    "fraction_columns",
    "harmless",
    "main_evidence",
    "marker_counts",
    "write_table",
]

FRACTION_COLUMNS = COLUMNS
"""Columns of ``fractions.csv``: an interface."""

FORMULA_SIGNS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""First characters of a text that a spreadsheet runs as a formula; the last four are full-width."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")

ROWS = 50_000
"""Number of rows that are formatted at once, to limit memory. Chosen, not tuned."""

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
    """Return the columns of ``fractions.csv``, in their order.

    Results of earlier versions lack the column ``reason`` and the columns after it. They are added:
    ``reason`` as an empty text, the others as NaN.
    """
    later = FRACTION_COLUMNS[FRACTION_COLUMNS.index("reason") :]
    missing = [name for name in later if name not in fractions]
    complete = fractions.assign(**{name: "" if name == "reason" else np.nan for name in missing})
    return complete.loc[:, list(FRACTION_COLUMNS)].reset_index(drop=True)


def main_evidence(adata: AnnData) -> pd.DataFrame:
    """Return the evidence of the main programme, cells x markers.

    Reads
    -----
    ``obsm["scdiff_evidence"]``, ``uns["scdiff"]["call"]``
    """
    prefix = f"{adata.uns[keys.ROOT][keys.CALL.name]['main']}:"
    evidence = adata.obsm[keys.EVIDENCE.name]
    chosen = [name for name in evidence.columns if str(name).startswith(prefix)]
    return evidence[chosen].rename(
        columns={name: str(name).removeprefix(prefix) for name in chosen}
    )


def marker_counts(adata: AnnData) -> pd.DataFrame:
    """Return the raw counts of each marker of the main programme, summed over its genes.

    The result is cells x markers. A marker without a row in the matrix is left out.

    Reads
    -----
    ``layers["counts"]``, ``uns["scdiff"]["call"]``
    """
    import pandas as pd

    from scdiff.compute.blocks import get_counts, read_columns

    call = adata.uns[keys.ROOT][keys.CALL.name]
    places = {name: place for place, name in enumerate(adata.var_names)}
    counts = get_counts(adata)
    found: dict[str, np.ndarray] = {}
    markers = call.get(str(call.get("main", "")), {}).get("markers", {"genes": {}})
    for marker, genes in markers["genes"].items():
        names = (text.strip() for text in str(genes).split(","))
        columns = [places[gene] for gene in names if gene in places]
        if columns:
            found[str(marker)] = read_columns(counts, np.array(columns)).sum(axis=1)
    return pd.DataFrame(found, index=adata.obs_names)


def cells_table(adata: AnnData) -> pd.DataFrame:
    """Return one row per cell: columns of ``obs``, map, probabilities, calls, evidence, counts.

    Reads
    -----
    Those of these keys that are present.
    """
    import pandas as pd

    present = [key.name for key in _PER_CELL if keys.has(adata, key)]
    parts = [adata.obs[present].reset_index(drop=True)]
    if keys.has(adata, keys.UMAP):
        parts.append(pd.DataFrame(adata.obsm[keys.UMAP.name][:, :2], columns=["umap_1", "umap_2"]))
    matrices = (
        (keys.PROBABILITIES, "probability"),
        (keys.POSITIVE, "positive"),
        (keys.EVIDENCE, "evidence"),
    )
    for key, word in matrices:
        if keys.has(adata, key):
            parts.append(adata.obsm[key.name].add_prefix(f"{word}:").reset_index(drop=True))
    if keys.has(adata, keys.CALL) and keys.has(adata, keys.COUNTS):
        parts.append(marker_counts(adata).add_prefix("counts:").reset_index(drop=True))
    frame = pd.concat(parts, axis=1)
    frame.insert(0, "cell", [str(name) for name in adata.obs_names])
    return frame


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV: six significant digits, Unix line ends, empty text if missing."""
    import pandas as pd

    columns = {place: _format_column(frame.iloc[:, place]) for place in range(frame.shape[1])}
    texts = pd.DataFrame(columns, index=frame.index)
    names = [harmless(str(name)) for name in frame.columns]
    return texts.set_axis(names, axis=1).to_csv(index=False, lineterminator="\n")


def harmless(text: str) -> str:
    """Prefix a text with an apostrophe if a spreadsheet would run it as a formula.

    Numbers and a single dash stay as they are. A carriage return becomes a space, because CSV
    readers take it as the end of a row. See CSV injection at https://owasp.org/www-community/attacks/CSV_Injection.

    >>> harmless("=HYPERLINK(1)"), harmless("-2+3"), harmless("-1.5e-3"), harmless("day 7")
    ("'=HYPERLINK(1)", "'-2+3", '-1.5e-3', 'day 7')
    """
    is_formula = text[:1] in FORMULA_SIGNS and text != "-" and not _NUMBER.fullmatch(text)
    return (f"'{text}" if is_formula else text).replace("\r", " ")


def _format_column(column: pd.Series) -> Any:
    """Format the floats of a column with six digits; make texts harmless.

    One format string for the whole column is faster than pandas, which formats value by value.
    """
    import pandas as pd

    if not pd.api.types.is_float_dtype(column.dtype):
        is_number = pd.api.types.is_numeric_dtype(column.dtype)
        return column if is_number else _make_harmless(column)
    values = column.to_numpy(dtype=float, na_value=np.nan)
    texts = np.array(("%.6g\n" * len(values) % tuple(values)).split("\n")[:-1], dtype=object)
    texts[np.isnan(values)] = None
    return texts


def _make_harmless(column: pd.Series) -> pd.Series:
    """Make the texts of a column harmless; return the same column if all of them are."""
    import pandas as pd

    texts = [value for value in pd.unique(column.dropna()) if isinstance(value, str)]
    changed = {text: harmless(text) for text in texts if harmless(text) != text}
    if not changed:
        return column
    return column.astype(object).map(lambda value: changed.get(value, value))


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as CSV, compressed if the name ends in ``.gz``.

    The compressed file has no time stamp, so that equal tables give equal bytes.

    Parameters
    ----------
    frame
        Table.
    path
        File to write.

    Raises
    ------
    OSError
        If ``path`` cannot be written.
    """
    with (
        path.open("wb") as file,
        _compress(file) if path.suffix == ".gz" else nullcontext(file) as out,
    ):
        for start in range(0, max(len(frame), 1), ROWS):
            text = csv_text(frame.iloc[start : start + ROWS])
            out.write((text if start == 0 else text.split("\n", 1)[1]).encode())


def _compress(file: Any) -> IGzipFile:
    """Return a stream that compresses into ``file``."""
    from isal.igzip import IGzipFile

    return IGzipFile(filename="", mode="wb", fileobj=file, mtime=0)
