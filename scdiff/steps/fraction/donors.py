"""Samples pooled by donor, and how much donors differ; for the step fraction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import InputError
from scdiff.vocabulary import NOT_DETECTED, NOT_MEASURABLE, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = [
    "NO_DONOR",
    "VALUES",
    "VARIATION",
    "DonorShares",
    "donor_tables",
    "pool_by_donor",
    "pool_samples",
]

VALUES = (
    "program", "state", "donor", "n_samples", "n_cells", "prevalence", "prevalence_low",
    "prevalence_high", "cells_worth",
)  # fmt: skip
"""Columns of the table of donors, an interface."""

_ESTIMATES = ("rho", "logit_variance", "donors_for_mean", "donors_for_change")
VARIATION = (
    "program", "state", "n_donors", "n_samples", "prevalence", "prevalence_low", "prevalence_high",
    "donor_least", "donor_most",
    *(f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high")),
    "verdict", "reason",
)  # fmt: skip
"""Columns of the table of variation between donors, an interface."""

NO_DONOR = "no sample has a donor: add the column donor to the sample sheet."
"""Reason shown if no sample has a donor."""


@dataclass(frozen=True)
class DonorShares:
    """One fraction per donor, over its samples.

    Parameters
    ----------
    names
        Donors, sorted, shape (n_donors,).
    n_samples, n_cells
        Samples and cells of each donor, shape (n_donors,).
    prevalence, low, high
        Fraction of each donor with its 95 % interval, shape (n_donors,), 0-1: the mean over its
        samples, weighted by their cells.
    """

    names: np.ndarray
    n_samples: np.ndarray
    n_cells: np.ndarray
    prevalence: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def worth(self) -> np.ndarray:
        """Number of independent cells that would give the same interval, shape (n_donors,)."""
        from scdiff.assay.donors import effective_cells

        return effective_cells(self.prevalence, self.low, self.high, self.n_cells)


def pool_by_donor(adata: AnnData, groups: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Name the donor of each sample within row ``all``.

    Parameters
    ----------
    adata
        Cells x genes.
    groups
        Cells of each row of the table (:func:`scdiff.steps.shared.markers.select_table_groups`).

    Returns
    -------
    Donor by sample; empty text for a sample without a donor.
    """
    inside = [
        name for name, group in groups.items() if name != POOLED and groups[POOLED][group].all()
    ]
    return {name: _read_donor(adata, groups[name]) for name in inside}


def _read_donor(adata: AnnData, cells: np.ndarray) -> str:
    """Name the donor of a sample; empty if it is missing."""
    donor = adata.obs["donor"][cells].iloc[0] if "donor" in adata.obs else None
    is_missing = donor is None or donor != donor  # noqa: PLR0124  # NaN
    return f"donor {donor}" if not is_missing and str(donor).strip() else ""


def pool_samples(donors: Any, bounds: Any, n_cells: Any) -> DonorShares:
    """Pool the samples of each donor, weighted by their cells.

    The interval of a donor is that of the mean of its samples.

    Parameters
    ----------
    donors
        Donor of each sample, shape (n_samples,); samples without a donor are left out.
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


def donor_tables(
    fractions: pd.DataFrame, donors: Mapping[str, str], reasons: Mapping[str, str]
) -> dict[str, pd.DataFrame]:
    """Compute for each programme how its fraction varies over donors.

    Parameters
    ----------
    fractions
        The table of fractions, only the positive state of each programme.
    donors
        Donor of each sample (:func:`pool_by_donor`).
    reasons
        By programme, why it is not measurable.

    Returns
    -------
    ``values``: one row per programme and donor, columns :data:`VALUES`. ``variation``: one row per
    programme, columns :data:`VARIATION`; fractions, rho and its interval are 0-1; the number of
    donors needed is 0 if it exceeds 10,000.
    """
    import pandas as pd

    values, variation = [], []
    for (program, state), table in fractions.groupby(
        ["program", "state"], sort=False, observed=True
    ):
        rows = table.set_index("sample")
        samples = rows.reindex(list(donors))
        bounds = (
            samples[["prevalence", "prevalence_low", "prevalence_high"]].to_numpy(dtype=float).T
        )
        shares = pool_samples(list(donors.values()), bounds, samples["n_cells"].fillna(0))
        which = {"program": str(program), "state": str(state)}
        values += [which | row for row in _value_rows(shares)]
        variation.append(
            which
            | _variation_row(shares, rows.loc[POOLED].to_dict(), reasons.get(str(program), ""))
        )
    numbers = dict.fromkeys(VARIATION[4:-2], float)
    return {
        "values": pd.DataFrame(values, columns=list(VALUES)),
        "variation": pd.DataFrame(variation, columns=list(VARIATION)).astype(numbers),
    }


def _value_rows(shares: DonorShares) -> list[dict[str, Any]]:
    """Return the rows of the donors."""
    columns = zip(VALUES[2:], (*vars(shares).values(), shares.worth), strict=True)
    frame = {
        name: values.astype(int).tolist() if name == "n_cells" else values.tolist()
        for name, values in columns
    }
    return [dict(zip(frame, row, strict=True)) for row in zip(*frame.values(), strict=True)]


def _variation_row(shares: DonorShares, pooled: Mapping[Any, Any], reason: str) -> dict[str, Any]:
    """Return the row of one programme; NaN and the reason if it cannot be estimated."""
    row: dict[str, Any] = dict.fromkeys(VARIATION[2:], np.nan)
    row |= {"n_donors": len(shares.names), "n_samples": int(shares.n_samples.sum())}
    row |= {
        name: float(pooled[name]) for name in ("prevalence", "prevalence_low", "prevalence_high")
    }
    if not len(shares.names):
        return row | {"verdict": "not estimable", "reason": NO_DONOR}
    if pooled["verdict"] == NOT_MEASURABLE or np.isnan(shares.prevalence).any():
        return row | {
            "verdict": NOT_MEASURABLE,
            "reason": reason or "a sample could not be measured",
        }
    row |= {
        "donor_least": float(shares.prevalence.min()),
        "donor_most": float(shares.prevalence.max()),
    }
    try:
        return row | _estimate_variation(shares, pooled) | {"verdict": "estimated", "reason": ""}
    except InputError as error:
        return row | {"verdict": "not estimable", "reason": str(error)}


def _estimate_variation(shares: DonorShares, pooled: Mapping[Any, Any]) -> dict[str, float]:
    """Estimate the variation between donors, and the number of donors needed.

    Raises
    ------
    InputError
        With one donor, or without a positive cell beyond what a blank shows.
    """
    from scdiff.assay.donor_plan import donors_for_change, donors_for_mean
    from scdiff.assay.variation import donor_variation

    found = vars(donor_variation(shares.prevalence, shares.worth))
    if pooled["verdict"] == NOT_DETECTED:
        raise InputError(
            "not detected in the pooled samples: the variation would be that of blanks."
        )
    share, cells = float(pooled["prevalence"]), float(1 / np.mean(1 / shares.worth))
    ends = {"": found["rho"], "_low": found["rho_low"], "_high": found["rho_high"]}
    plans: dict[str, Callable[..., int]] = {
        "donors_for_mean": donors_for_mean,
        "donors_for_change": donors_for_change,
    }
    needed = {
        f"{name}{end}": float(plan(share, rho, cells))
        for name, plan in plans.items()
        for end, rho in ends.items()
    }
    return found | needed
