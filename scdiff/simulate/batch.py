"""Draw a whole batch from a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scdiff.errors import ConfigError
from scdiff.genes import SPECIES, Species
from scdiff.simulate.biology import (
    EMPTY,
    FIRST,
    INS_ONLY,
    MSC_STATES,
    PDX1_ONLY,
    STEPS,
    SWITCH,
    Biology,
    biology,
    is_positive,
    pseudotimes,
    state_names,
)
from scdiff.simulate.truth import DEPTH_SPREAD, assemble, barcodes, check, contaminations

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["BatchDesign", "demo", "simulate"]

_MSC_SHARES = (0.5, 0.3, 0.2)
"""Share of each MSC state, 0-1, in the order of ``MSC_STATES``. Chosen, not tuned."""

_ISLAND = 0.7
"""Lowest pseudotime, 0-1, of positive cells without a continuum. Chosen, not tuned."""

_MITO_SPREAD = 0.35
"""Standard deviation of ln(factor of the mitochondrial genes) between cells. Chosen, not tuned."""

_DISPERSION = 0.15
"""Biological dispersion: squared coefficient of variation of a gene within its state. Chosen, not
tuned."""

_EMPTY_SHARE = 0.02
"""Depth of an empty droplet as a share of that of a cell, 0-1. Chosen, not tuned."""

_BLOCK = 1_000
"""Number of droplets drawn at once; it bounds the memory, and other values draw other counts."""


@dataclass(frozen=True)
class BatchDesign:
    """Design of a simulated batch, in addition to the options of :func:`simulate`.

    Parameters
    ----------
    n_genes
        Number of genes, 400 or more. Genes that no programme has are called ``GENE0001``, ...
    species
        Species of the gene symbols; mouse and rat have Ins1 and Ins2 for INS.
    soup_islet_share
        Share of the ambient RNA that comes from beta-like cells, 0-1; the rest has the mean profile
        of the sample.
    doublet_rate
        Share of droplets that hold two cells, 0-1.
    donors
        Number of donors, one sample each.
    controls
        Number of further samples without positives, intermediates or single-marker cells.
    donor_cv
        Coefficient of variation of the fraction and of the depth between donors.
    continuum
        Intermediate cells per positive cell; 0 (or False) leaves a gap before the positive cells.
    nuisance
        Share of cells that express only one marker, 0-1: half of them PDX1, half INS.
    n_empty
        Number of empty droplets, added as last rows with the state ``empty``.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    n_genes: int = 2_500
    species: Species = "human"
    soup_islet_share: float = 0.0
    doublet_rate: float = 0.0
    donors: int = 1
    controls: int = 0
    donor_cv: float = 0.2
    continuum: float = 1.0
    nuisance: float = 0.01
    n_empty: int = 0

    def __post_init__(self) -> None:
        check(
            "BatchDesign", {name: value for name, value in vars(self).items() if name != "species"}
        )
        if self.species not in SPECIES:
            raise ConfigError(
                f"BatchDesign: option 'species' is {self.species!r}, but it must be human, mouse "
                "or rat."
            )


@dataclass(frozen=True)
class _Droplets:
    """Content of each droplet; all arrays have shape (n_droplets,)."""

    sample: np.ndarray  # number of the sample
    state: np.ndarray  # row of the profiles
    partner: np.ndarray  # row of the second cell, -1 without one
    depth: np.ndarray  # expected UMI of the first cell
    partner_depth: np.ndarray  # expected UMI of the second cell, 0 without one
    contamination: np.ndarray  # share of the counts that is ambient RNA, 0-1


def simulate(
    *,
    n_cells: int = 3_000,
    fraction: float = 0.04,
    depth: float = 4_000.0,
    contamination: float = 0.05,
    design: BatchDesign | None = None,
    seed: int = 0,
) -> AnnData:
    """Draw a batch with known truth.

    Use it for tests, power calculations and demonstrations. The counts of a cell are negative
    binomial around the profile of its state. Ambient RNA replaces a share of them, and two cells
    may share a droplet. Mesenchymal cells have three states. Positive cells are on a path in
    pseudotime that starts at the stem-like state.

    Parameters
    ----------
    n_cells
        Number of droplets with cells, over all samples.
    fraction
        Share of the droplets with a positive cell, 0-1, exact to one droplet; control samples do
        not count.
    depth
        Median UMI of a single cell.
    contamination
        Mean share of the counts of a droplet that is ambient RNA, 0-0.9; its coefficient of
        variation is 0.5.
    design
        Further options; None means the defaults.
    seed
        Start of the random generator, 0 or more.

    Returns
    -------
    Object of shape (n_cells + n_empty, n_genes): counts as CSR in ``X`` and ``layers["counts"]``;
    ``obs`` sample, donor, condition, control, truth_positive, truth_state, truth_pseudotime (0-1,
    NaN without a path), truth_contamination (0-1), truth_doublet; ``uns["truth"]`` fraction,
    n_positive, n_cells (without control samples) and samples (table).

    Raises
    ------
    ConfigError
        If an option is out of range.

    >>> batch = simulate(n_cells=200, fraction=0.1, seed=1)
    >>> batch.shape, int(batch.obs["truth_positive"].sum())
    ((200, 2500), 20)
    """
    check(
        "simulate()",
        {
            "n_cells": n_cells,
            "fraction": fraction,
            "depth": depth,
            "contamination": contamination,
            "seed": seed,
        },
    )
    design = design or BatchDesign()
    rng = np.random.default_rng(seed)
    life = biology(design.n_genes, design.species)
    droplets = _fill_droplets(n_cells, fraction, depth, contamination, design, rng)
    soups = _mix_soups(life, droplets, design)
    blocks = [
        _draw(life, droplets, soups, slice(start, start + _BLOCK), rng)
        for start in range(0, len(droplets.state), _BLOCK)
    ]
    return assemble(sparse.vstack(blocks, format="csr"), life.genes, _build_obs(droplets, design))


def demo(*, seed: int = 0) -> AnnData:
    """Draw the batch of ``scdiff demo``: 3 donors, 1 control sample, 3,000 cells, 4 % positive.

    It needs no network and no file. The truth of each cell is in ``obs["truth_*"]``, that of the
    batch in ``uns["truth"]``.

    Parameters
    ----------
    seed
        Start of the random generator, 0 or more.

    Raises
    ------
    ConfigError
        If ``seed`` is negative.
    """
    design = BatchDesign(donors=3, controls=1, doublet_rate=0.04)
    return simulate(
        n_cells=3_000, fraction=0.04, depth=4_000.0, contamination=0.1, design=design, seed=seed
    )


def _fill_droplets(
    n_cells: int,
    fraction: float,
    depth: float,
    contamination: float,
    design: BatchDesign,
    rng: np.random.Generator,
) -> _Droplets:
    """Draw the content of every droplet."""
    n_samples = design.donors + design.controls
    sample = np.concatenate(
        [rng.permutation(n_cells) % n_samples, np.arange(design.n_empty) % n_samples]
    )
    n_all = len(sample)
    state = np.full(n_all, EMPTY)
    state[:n_cells] = _draw_states(sample[:n_cells], fraction, design, rng)
    depths = (
        np.array([rng.lognormal(np.log(depth), DEPTH_SPREAD, n_all) for _ in range(2)])
        * _draw_donor_factors(design, rng)[sample]
    )
    depths[:, n_cells:] *= _EMPTY_SHARE
    partner = np.full(n_all, -1)
    partner[:n_cells] = _draw_partners(state[:n_cells], sample[:n_cells], design, rng)
    rho = np.where(state == EMPTY, 1.0, contaminations(n_all, contamination, rng))
    return _Droplets(sample, state, partner, depths[0], np.where(partner >= 0, depths[1], 0.0), rho)


def _draw_donor_factors(design: BatchDesign, rng: np.random.Generator) -> np.ndarray:
    """Draw one factor of mean about 1 per sample.

    All factors are 1 if donors do not vary or there is only one.
    """
    n_samples = design.donors + design.controls
    if not design.donor_cv or design.donors == 1:
        return np.ones(n_samples)
    return np.maximum(rng.gamma(design.donor_cv**-2, design.donor_cv**2, n_samples), 0.05)


def _draw_states(
    sample: np.ndarray, fraction: float, design: BatchDesign, rng: np.random.Generator
) -> np.ndarray:
    """Draw the profile row of the (first) cell of each droplet."""
    state = rng.choice(len(MSC_STATES), len(sample), p=_MSC_SHARES)
    treated = np.flatnonzero(sample < design.donors)
    n_positive = round(fraction * len(treated))
    weights = _draw_donor_factors(design, rng)[sample[treated]]
    positive = rng.choice(treated, n_positive, replace=False, p=weights / weights.sum())
    first = round(SWITCH * STEPS)
    state[positive] = FIRST + rng.integers(
        first if design.continuum else round(_ISLAND * STEPS), STEPS + 1, n_positive
    )
    rest = rng.permutation(np.setdiff1d(treated, positive))
    n_between, n_single = (
        round(design.continuum * n_positive),
        round(design.nuisance * len(treated) / 2),
    )
    between, pdx1, ins, _ = np.split(
        rest, np.minimum(np.cumsum([n_between, n_single, n_single]), len(rest))
    )
    state[between] = FIRST + rng.integers(1, first, len(between))
    state[pdx1], state[ins] = PDX1_ONLY, INS_ONLY
    return state


def _draw_partners(
    state: np.ndarray, sample: np.ndarray, design: BatchDesign, rng: np.random.Generator
) -> np.ndarray:
    """Draw the profile row of the second cell of the doublets, -1 elsewhere.

    The number of positive droplets is fixed. A positive droplet is a doublet about twice as often
    as another one, and only positive droplets may get a positive second cell, as if any two cells
    had met.
    """
    partner = np.full(len(state), -1)
    positive = is_positive(state)
    for number in np.unique(sample):
        rows = np.flatnonzero(sample == number)
        share = positive[rows].mean()
        weights = np.where(positive[rows], 2 - share, max(1 - share, 1e-9))
        chosen = rng.choice(
            rows, round(design.doublet_rate * len(rows)), replace=False, p=weights / weights.sum()
        )
        both = positive[chosen] & (rng.random(len(chosen)) < share / (2 - share))
        for kind in (True, False):
            pool = (
                state[rows][positive[rows] == kind]
                if (positive[rows] == kind).any()
                else state[rows]
            )
            partner[chosen[both == kind]] = rng.choice(pool, (both == kind).sum())
    return partner


def _mix_soups(life: Biology, droplets: _Droplets, design: BatchDesign) -> np.ndarray:
    """Return the composition of the ambient RNA per sample, shape (samples, n_genes), sums 1."""
    n_samples, n_states = design.donors + design.controls, len(life.profiles)
    amounts = np.zeros((n_samples, n_states))
    np.add.at(
        amounts,
        (droplets.sample, droplets.state),
        np.where(droplets.state == EMPTY, 0, droplets.depth),
    )
    # row -1 is the empty profile, with depth 0
    np.add.at(amounts, (droplets.sample, droplets.partner), droplets.partner_depth)
    own = (amounts / np.maximum(amounts.sum(axis=1, keepdims=True), 1e-12)) @ life.profiles
    islet = life.profiles[FIRST + STEPS]
    return (1 - design.soup_islet_share) * own + design.soup_islet_share * islet


def _draw(
    life: Biology, droplets: _Droplets, soups: np.ndarray, rows: slice, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Draw the counts of a block of droplets."""
    depth, more, rho = (
        droplets.depth[rows, None],
        droplets.partner_depth[rows, None],
        droplets.contamination[rows, None],
    )
    rates = depth * life.profiles[droplets.state[rows]]
    double = np.flatnonzero(more[:, 0])
    rates[double] += more[double] * life.profiles[droplets.partner[rows][double]]
    rates *= rng.standard_gamma(1 / _DISPERSION, rates.shape) * _DISPERSION
    rates[:, life.mito] *= rng.lognormal(0, _MITO_SPREAD, (len(rates), 1))
    rates *= 1 - rho
    rates += rho * (depth + more) * soups[droplets.sample[rows]]
    return sparse.csr_matrix(rng.poisson(rates).astype(np.float32))


def _build_obs(droplets: _Droplets, design: BatchDesign) -> pd.DataFrame:
    """Return sample and truth of every droplet.

    The state of a doublet is that of the positive cell, otherwise that of the first cell.
    """
    import pandas as pd

    names = np.array(
        [f"sample{number + 1}" for number in range(design.donors)]
        + [f"control{number + 1}" for number in range(design.controls)]
    )
    donors = np.array([f"donor{number % design.donors + 1}" for number in range(len(names))])
    control = droplets.sample >= design.donors
    leading = np.where(
        is_positive(droplets.partner) & ~is_positive(droplets.state),
        droplets.partner,
        droplets.state,
    )
    table = pd.DataFrame(index=barcodes(len(leading)))
    table["sample"] = pd.Categorical(names[droplets.sample])
    table["donor"] = pd.Categorical(donors[droplets.sample])
    table["condition"] = pd.Categorical(np.where(control, "control", "treated"))
    table["control"] = control
    table["truth_positive"] = is_positive(leading)
    table["truth_state"] = pd.Categorical(state_names()[leading])
    table["truth_pseudotime"] = pseudotimes(leading)
    table["truth_contamination"] = droplets.contamination
    table["truth_doublet"] = droplets.partner >= 0
    return table
