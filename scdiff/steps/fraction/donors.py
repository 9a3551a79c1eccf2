"""Samples taken together by donor, and how much donors differ; for the step fraction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import InputError
from scdiff.vocabulary import NOT_DETECTED, NOT_MEASURABLE, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["NO_DONOR", "VALUES", "VARIATION", "DonorShares", "donor_tables", "over_donors", "pool_by_donor"]

VALUES = ("program", "state", "donor", "n_samples", "n_cells", "prevalence", "prevalence_low", "prevalence_high", "cells_worth")
"""Columns of the table of donors, an interface."""

_ESTIMATES = ("rho", "logit_variance", "donors_for_mean", "donors_for_change")
VARIATION = (
    "program", "state", "n_donors", "n_samples", "prevalence", "prevalence_low", "prevalence_high", "donor_least", "donor_most",
    *(f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high")), "verdict", "reason",
)  # fmt: skip
"""Columns of the table of variation between donors, an interface."""

NO_DONOR = "no donor is named: give the column donor in the sample sheet."


@dataclass(frozen=True)
class DonorShares:
    """One fraction per donor, over its samples.

    Parameters
    ----------
    names
        Donors, sorted, shape (n_donors,).
    n_samples, n_cells
        Of each donor, shape (n_donors,).
    prevalence, low, high
        Fraction of each donor with its 95 % interval, by cells over its samples, shape (n_donors,), 0-1.
    """

    names: np.ndarray
    n_samples: np.ndarray
    n_cells: np.ndarray
    prevalence: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def worth(self) -> np.ndarray:
        """Cells whose plain count would be as sure, shape (n_donors,)."""
        from scdiff.assay.donors import effective_cells

        return effective_cells(self.prevalence, self.low, self.high, self.n_cells)


def pool_by_donor(adata: AnnData, groups: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Name the donor of each sample within row ``all``; empty for a sample whose donor is not given: it is no donor.

    Parameters
    ----------
    adata
        Cells x genes.
    groups
        Cells of each row of the table (:func:`scdiff.steps.shared.markers.table_groups`).
    """
    inside = [name for name, group in groups.items() if name != POOLED and groups[POOLED][group].all()]
    return {name: _donor(adata, groups[name]) for name in inside}


def _donor(adata: AnnData, cells: np.ndarray) -> str:
    """Name the donor of a sample; empty where it is not given."""
    donor = adata.obs["donor"][cells].iloc[0] if "donor" in adata.obs else None
    return f"donor {donor}" if donor is not None and donor == donor and str(donor).strip() else ""  # noqa: PLR0124


def over_donors(donors: Any, bounds: Any, n_cells: Any) -> DonorShares:
    """Take the samples of each donor together, by cells; the interval of a donor is that of the mean of its samples.

    Parameters
    ----------
    donors
        Donor of each sample, shape (n_samples,); samples without a name are left out.
    bounds
        Prevalence, lower and upper end of each sample, shape (3, n_samples), 0-1.
    n_cells
        Cells of each sample, shape (n_samples,).
    """
    from scdiff.assay.intervals import interval_of_mean

    named = np.asarray(donors, dtype=str)
    values, size = np.asarray(bounds, dtype=float), np.asarray(n_cells, dtype=float)
    names = np.unique(named[named != ""])
    parts = [(values[:, named == name], np.maximum(size[named == name], 1e-300)) for name in names]
    means = [interval_of_mean(part[0], part[1], part[2], weights) for part, weights in parts]
    n_samples = np.array([(named == name).sum() for name in names], dtype=int)
    cells = np.array([size[named == name].sum() for name in names], dtype=float)
    return DonorShares(names, n_samples, cells, *np.array(means, dtype=float).reshape(-1, 3).T)


def donor_tables(fractions: pd.DataFrame, donors: Mapping[str, str], reasons: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Say of each programme how its fraction varies over donors.

    Parameters
    ----------
    fractions
        The table of fractions, the positive state of each programme only.
    donors
        Donor of each sample (:func:`pool_by_donor`).
    reasons
        By programme, why it is not measurable.

    Returns
    -------
    ``values``: one row per programme and donor, columns :data:`VALUES`. ``variation``: one row per programme, columns
    :data:`VARIATION`; fractions, rho and its interval 0-1, donors to be taken 0 where more than 10,000.
    """
    import pandas as pd

    values, variation = [], []
    for (program, state), table in fractions.groupby(["program", "state"], sort=False, observed=True):
        rows = table.set_index("sample")
        samples = rows.reindex(list(donors))
        bounds = samples[["prevalence", "prevalence_low", "prevalence_high"]].to_numpy(dtype=float).T
        shares = over_donors(list(donors.values()), bounds, samples["n_cells"].fillna(0))
        which = {"program": str(program), "state": str(state)}
        values += [which | row for row in _values(shares)]
        variation.append(which | _variation(shares, rows.loc[POOLED].to_dict(), reasons.get(str(program), "")))
    numbers = dict.fromkeys(VARIATION[4:-2], float)
    frames = {"values": pd.DataFrame(values, columns=list(VALUES)), "variation": pd.DataFrame(variation, columns=list(VARIATION))}
    return frames | {"variation": frames["variation"].astype(numbers)}


def _values(shares: DonorShares) -> list[dict[str, Any]]:
    """Rows of the donors."""
    columns = zip(VALUES[2:], (*vars(shares).values(), shares.worth), strict=True)
    frame = {name: values.astype(int).tolist() if name == "n_cells" else values.tolist() for name, values in columns}
    return [dict(zip(frame, row, strict=True)) for row in zip(*frame.values(), strict=True)]


def _variation(shares: DonorShares, pooled: Mapping[Any, Any], reason: str) -> dict[str, Any]:
    """Row of one programme; NaN and the reason where nothing can be said."""
    row: dict[str, Any] = dict.fromkeys(VARIATION[2:], np.nan)
    row |= {"n_donors": len(shares.names), "n_samples": int(shares.n_samples.sum())}
    row |= {name: float(pooled[name]) for name in ("prevalence", "prevalence_low", "prevalence_high")}
    if not len(shares.names):
        return row | {"verdict": "not estimable", "reason": NO_DONOR}
    if pooled["verdict"] == NOT_MEASURABLE or np.isnan(shares.prevalence).any():
        return row | {"verdict": NOT_MEASURABLE, "reason": reason or "a sample could not be measured"}
    row |= {"donor_least": float(shares.prevalence.min()), "donor_most": float(shares.prevalence.max())}
    try:
        return row | _estimated(shares, pooled) | {"verdict": "estimated", "reason": ""}
    except InputError as error:
        return row | {"verdict": "not estimable", "reason": str(error)}


def _estimated(shares: DonorShares, pooled: Mapping[Any, Any]) -> dict[str, float]:
    """Variation between donors, and the donors that are needed.

    Raises
    ------
    InputError
        With one donor, or without a positive cell that is more than a blank gives.
    """
    from scdiff.assay.donor_plan import donors_for_change, donors_for_mean
    from scdiff.assay.variation import donor_variation

    found = vars(donor_variation(shares.prevalence, shares.worth))
    if pooled["verdict"] == NOT_DETECTED:
        raise InputError("not detected in all samples together: the variation would be that of blanks.")
    share, cells = float(pooled["prevalence"]), float(1 / np.mean(1 / shares.worth))
    ends = {"": found["rho"], "_low": found["rho_low"], "_high": found["rho_high"]}
    needed = {rho: (donors_for_mean(share, rho, cells), donors_for_change(share, rho, cells)) for rho in set(ends.values())}
    names = ("donors_for_mean", "donors_for_change")
    return found | {f"{name}{end}": float(needed[rho][place]) for place, name in enumerate(names) for end, rho in ends.items()}
