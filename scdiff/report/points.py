"""Pack the data of the interactive map: positions and colours, as 16-bit integers."""

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
"""Code of a missing value: the largest 16-bit integer. Values are 0 to 65534."""

RAMP_STEPS = 16
"""Number of colours of the ramp for numbers; the page interpolates. Chosen, not tuned."""

_CATEGORIES = ((keys.STATE, "state"), (keys.LEIDEN, "cluster"), (keys.SAMPLE, "sample"))
"""Categories to colour by: key and label."""

_NUMBERS = (
    (keys.PROBABILITY, "probability"),
    (keys.PSEUDOTIME, "pseudotime"),
    (keys.TOTAL_COUNTS, "total counts"),
    (keys.N_GENES, "genes"),
    (keys.PERCENT_MITO, "mitochondrial (%)"),
)
"""Numbers to colour by: key and label."""


def map_points(adata: AnnData) -> dict[str, Any]:
    """Pack positions, names and the fields to colour by.

    A cell takes four bytes for its position and two for each field. Fields without a value are
    left out.

    Reads
    -----
    ``obsm["X_umap"]``; if present, state, cluster, sample, probability, pseudotime and QC metrics
    """
    import numpy as np

    xy = np.asarray(adata.obsm[keys.UMAP.name], dtype=float)[:, :2]
    low, span = xy.min(axis=0), float(max(np.ptp(xy, axis=0).max(), 1e-9))
    fields = [
        _pack_category(adata.obs[key.name], label)
        for key, label in _CATEGORIES
        if keys.has(adata, key)
    ]
    for key, label in _NUMBERS:
        if keys.has(adata, key):
            values = adata.obs[key.name].to_numpy(dtype=float)
            fields += [_pack_number(values, label)] if np.isfinite(values).any() else []
    return {
        "n": adata.n_obs,
        "names": [str(name) for name in adata.obs_names],
        "x": _pack_shares((xy[:, 0] - low[0]) / span),
        "y": _pack_shares((xy[:, 1] - low[1]) / span),
        "height": float(np.ptp(xy[:, 1]) / span),
        "width": float(np.ptp(xy[:, 0]) / span),
        "ramp": _list_ramp(),
        "fields": fields,
    }


def _pack_shares(shares: np.ndarray) -> str:
    """Pack shares of 0-1, NaN if missing, as base64 of little-endian 16-bit integers."""
    import numpy as np

    scaled = np.round(np.nan_to_num(np.clip(shares, 0, 1)) * (MISSING - 1))
    codes = np.where(np.isfinite(shares), scaled, MISSING)
    return base64.b64encode(codes.astype("<u2").tobytes()).decode()


def _pack_category(values: pd.Series, label: str) -> dict[str, Any]:
    """Pack a category, the most frequent level first."""
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


def _pack_number(values: np.ndarray, label: str) -> dict[str, Any]:
    """Pack one number per cell, with the range of the numbers."""
    import numpy as np

    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    shares = (values - low) / max(high - low, 1e-12)
    return {
        "label": label,
        "kind": "number",
        "low": low,
        "high": high,
        "codes": _pack_shares(shares),
    }


def _list_ramp() -> list[list[int]]:
    """Return the colours of numbers, dark to bright, as red, green and blue of 0-255."""
    colour = ramp()
    steps = [step / (RAMP_STEPS - 1) for step in range(RAMP_STEPS)]
    return [[round(255 * part) for part in colour(step)[:3]] for step in steps]
