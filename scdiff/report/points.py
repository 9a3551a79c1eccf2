"""Data of the interactive map: positions and colours, packed as small integers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report.plots.style import colours, natural, ramp

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData

__all__ = ["MISSING", "map_points"]

MISSING = 65535
"""Code of a missing value; values are 0 to 65534."""

_CATEGORIES = ((keys.STATE, "state"), (keys.LEIDEN, "cluster"), (keys.SAMPLE, "sample"))
_NUMBERS = (
    (keys.PROBABILITY, "probability"),
    (keys.PSEUDOTIME, "pseudotime"),
    (keys.TOTAL_COUNTS, "total counts"),
    (keys.N_GENES, "genes"),
    (keys.PERCENT_MITO, "mitochondrial (%)"),
)


def map_points(adata: AnnData) -> dict[str, Any]:
    """Pack positions, names and the fields to colour by, four bytes a cell for positions and two per field.

    Reads
    -----
    ``obsm["X_umap"]``, and whatever is there of state, cluster, sample, probability, pseudotime and QC metrics
    """
    import numpy as np

    xy = np.asarray(adata.obsm["X_umap"], dtype=float)[:, :2]
    low, span = xy.min(axis=0), float(max(np.ptp(xy, axis=0).max(), 1e-9))
    fields = [_category(adata.obs[key.name], label) for key, label in _CATEGORIES if keys.has(adata, key)]
    numbers = [(adata.obs[key.name].to_numpy(dtype=float), label) for key, label in _NUMBERS if keys.has(adata, key)]
    return {
        "n": adata.n_obs,
        "names": [str(name) for name in adata.obs_names],
        "x": _packed((xy[:, 0] - low[0]) / span),
        "y": _packed((xy[:, 1] - low[1]) / span),
        "height": float(np.ptp(xy[:, 1]) / span),
        "width": float(np.ptp(xy[:, 0]) / span),
        "ramp": _ramp(),
        "fields": fields + [_number(values, label) for values, label in numbers if np.isfinite(values).any()],
    }


def _packed(shares: np.ndarray) -> str:
    """Pack shares of 0-1, NaN where missing, as base64 of little-endian 16-bit integers."""
    import numpy as np

    codes = np.where(np.isfinite(shares), np.round(np.nan_to_num(np.clip(shares, 0, 1)) * (MISSING - 1)), MISSING)
    return base64.b64encode(codes.astype("<u2").tobytes()).decode()


def _category(values: pd.Series, label: str) -> dict[str, Any]:
    """Pack a category, most frequent level first."""
    texts = values.astype(str)
    numbers = texts.value_counts()
    levels = sorted(numbers.index, key=lambda level: (-numbers[level], level))
    codes = texts.map({level: code for code, level in enumerate(levels)}).to_numpy()
    palette = colours(sorted(levels, key=natural))
    return {
        "label": label,
        "kind": "category",
        "levels": levels,
        "counts": [int(numbers[level]) for level in levels],
        "colours": [palette[level] for level in levels],
        "codes": base64.b64encode(codes.astype("<u2").tobytes()).decode(),
    }


def _number(values: np.ndarray, label: str) -> dict[str, Any]:
    """Pack a number per cell, with its range."""
    import numpy as np

    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    shares = (values - low) / max(high - low, 1e-12)
    return {"label": label, "kind": "number", "low": low, "high": high, "codes": _packed(shares)}


def _ramp() -> list[list[int]]:
    """Colours of numbers, dark to bright."""
    colour = ramp()
    return [[round(255 * part) for part in colour(step / 15)[:3]] for step in range(16)]
