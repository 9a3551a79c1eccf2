"""Several samples through one caller, each with its own fit.

Each sample has its own contamination.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scdiff.assay.calls import Calls, call_table
from scdiff.assay.fit import Fit, fit_at, fit_mixture
from scdiff.assay.mixture import Model, Soup
from scdiff.assay.nascent import add_nascent
from scdiff.assay.table import Floats, tabulate
from scdiff.vocabulary import POOLED

__all__ = ["FEWEST_CELLS_FOR_FIT", "SampleCalls", "call_samples", "fit_from_record", "fit_record"]

FEWEST_CELLS_FOR_FIT = 10
"""Fewest cells of a sample for a fit of its own; a smaller sample takes the parameters of the
pooled fit. Chosen, not tuned."""


@dataclass(frozen=True)
class SampleCalls:
    """Fits and calls of several samples.

    Parameters
    ----------
    fits
        The fit to all samples except controls under ``all``, then one per sample. The first
        describes the batch (limits, calibration); its prevalence is combined from the samples' own
        fits.
    calls
        Each cell called by the fit of its sample, in the order of the cells.
    """

    fits: dict[str, Fit]
    calls: Calls


def call_samples(
    counts: Any,
    depth: Any,
    samples: Any,
    model: Model,
    *,
    control: Any = None,
    rate: float = 0.05,
    doublet_rates: Mapping[str, float] | None = None,
    soups: Mapping[str, Soup] | None = None,
    nascent: tuple[Floats, Floats] | None = None,
    each: Callable[[Callable[[str], Fit], Sequence[str]], Iterable[Fit]] = map,
) -> SampleCalls:
    """Fit and call several samples.

    Each sample's fit also tries the pooled optimum as a start. The pooled fit assumes one
    contamination for all samples; if that is wrong, its optimum must not decide.

    Parameters
    ----------
    counts
        Marker counts, shape (n_cells, n_markers).
    depth
        All counts of each cell, shape (n_cells,).
    samples
        Sample of each cell, shape (n_cells,).
    model
        Typical levels and the number of markers needed.
    control
        Cells of control samples, shape (n_cells,); left out of the pooled fit if there are other
        samples.
    rate
        Expected share of false calls among the calls, between 0 and 1.
    doublet_rates
        Share of droplets with two cells, by sample and for ``all``; 0 if it is missing.
    soups
        Ambient RNA counted in empty droplets, by sample and for ``all``; if it is missing, the
        background is learned from the cells.
    nascent
        Unspliced and other reads of each marker, shape (n_cells, n_markers) each: evidence that a
        cell transcribes the marker (:mod:`scdiff.assay.nascent`). None without such reads.
    each
        Applies a function to each sample and returns the results in order; ``map``, or a function
        that uses several processes.
    """
    doublets, empty = doublet_rates or {}, soups or {}
    matrix, total = np.asarray(counts, dtype=float), np.asarray(depth, dtype=float)
    names = np.asarray(samples, dtype=str)
    kept = np.ones(len(names), dtype=bool)
    if control is not None and not np.all(control):
        kept = ~np.asarray(control, dtype=bool)
    shared = replace(model, soup=empty.get(POOLED))
    pooled = fit_mixture(
        tabulate(matrix[kept], total[kept]), shared, doublet_rate=doublets.get(POOLED, 0.0)
    )
    cells = {str(name): names == name for name in np.unique(names)}
    own = [name for name in cells if not np.array_equal(cells[name], kept)]

    def fit_sample(name: str) -> Fit:
        of_sample, its_model = cells[name], replace(model, soup=empty.get(name))
        rate_of_doublets = doublets.get(name) or 0.0
        return _fit_sample(matrix[of_sample], total[of_sample], pooled, its_model, rate_of_doublets)

    fits = dict.fromkeys([POOLED, *cells], pooled)
    fits |= dict(zip(own, each(fit_sample, own), strict=True))
    parts = []
    for name, of_sample in cells.items():
        fit = fits[name]
        calls = call_table(fit.model, fit.theta, fit.table, rate=rate)
        if nascent is not None:
            unspliced, mature = (reads[of_sample] for reads in nascent)
            calls = add_nascent(calls, fit, unspliced, mature, rate=rate)
        parts.append((np.flatnonzero(of_sample), calls))
    return SampleCalls(fits, _order_calls(parts))


def _fit_sample(
    counts: Floats, depth: Floats, pooled: Fit, model: Model, doublet_rate: float
) -> Fit:
    """Fit one sample, with the pooled optimum among its starts.

    A very small sample takes the pooled parameters.
    """
    table = tabulate(counts, depth)
    if len(depth) < FEWEST_CELLS_FOR_FIT:
        return fit_at(table, pooled.model, pooled.theta, evidence_of_positives=0.0)
    return fit_mixture(table, model, also=pooled.theta, doublet_rate=doublet_rate)


def _order_calls(parts: list[tuple[Any, Calls]]) -> Calls:
    """Put the calls of the samples back into the order of the cells."""
    order = np.argsort(np.concatenate([cells for cells, _ in parts]), kind="stable")
    joined = (
        np.concatenate([getattr(calls, name) for _, calls in parts])[order]
        for name in Calls.__dataclass_fields__
    )
    return Calls(*joined)


def fit_record(fit: Fit) -> dict[str, float]:
    """Return the numbers that, with the cells, rebuild a fit."""
    theta = {f"theta_{index}": float(value) for index, value in enumerate(fit.theta)}
    level = {f"level_{index}": float(value) for index, value in enumerate(fit.model.level)}
    soup = fit.model.soup or Soup((np.nan,) * fit.model.n_markers, np.nan)
    empty = {"soup_total": soup.total}
    empty |= {f"soup_{index}": value for index, value in enumerate(soup.markers)}
    known = {
        "min_markers": fit.model.min_markers,
        "reach": fit.model.reach,
        "spread_of_level": fit.model.level_sd,
    }
    known |= {"rival_gap": fit.rival[0], "rival_prevalence": fit.rival[1]}
    return {"evidence_of_positives": fit.evidence_of_positives, **known, **theta, **level, **empty}


def fit_from_record(record: dict[str, float], counts: Any, depth: Any) -> Fit:
    """Rebuild a fit from :func:`fit_record` and its cells.

    Parameters
    ----------
    record
        Result of :func:`fit_record`.
    counts
        Marker counts, shape (n_cells, n_markers).
    depth
        All counts of each cell, shape (n_cells,).
    """
    n_theta, n_markers = sum(key.startswith("theta_") for key in record), np.shape(counts)[1]
    theta = np.array([record[f"theta_{index}"] for index in range(n_theta)])
    level = tuple(record[f"level_{index}"] for index in range(n_markers))
    soup = tuple(record[f"soup_{index}"] for index in range(n_markers))
    empty = Soup(soup, record["soup_total"]) if np.isfinite(record["soup_total"]) else None
    model = Model(level, int(record["min_markers"]), soup=empty, reach=float(record["reach"]))
    model = replace(model, level_sd=float(record["spread_of_level"]))
    evidence = record["evidence_of_positives"]
    fit = fit_at(tabulate(counts, depth), model, theta, evidence_of_positives=evidence)
    return replace(fit, rival=(float(record["rival_gap"]), float(record["rival_prevalence"])))
