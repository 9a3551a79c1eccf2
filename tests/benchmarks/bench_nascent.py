"""Unspliced reads as evidence: false calls with and without them, at equal sensitivity.

Beta and Pre-endocrine cells of E15.5 (their spliced and unspliced marker counts are real) stand among stromal cells, and each
droplet takes in 10 or 20 % of mature reads of the positive cells. A cell is positive if it shows two markers before the soup is
added. Batches that the fit without unspliced reads finds more than half positive are left out of the sums: their verdict is inconclusive.

Run: python tests/benchmarks/bench_nascent.py [--quick]
"""

from __future__ import annotations

import sys
from itertools import product

import anndata as ad
import numpy as np
import pandas as pd
from sources import DATA, marker_counts, model, negatives, write

from scdiff.assay.calls import call_cells
from scdiff.assay.fit import fit_mixture
from scdiff.assay.nascent import add_nascent
from scdiff.assay.table import tabulate

GENES = (["Pdx1"], ["Nkx6-1"], ["Ins1", "Ins2"])
N_CELLS, FRACTION, FEWEST_UMI = 2_000, 0.05, 2_500
OTHER_GENES = 2.5
"""All counts of a cell over those of the 2,000 genes in the file: the median of the 50 cells with all genes."""
SOUP_SD = 0.8
SEEDS = range(2) if "--quick" in sys.argv else range(10)


def cells_of_e15() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spliced and unspliced counts of the markers in positive cells, shape (n_cells, 3), and all counts, (n_cells,)."""
    adata = ad.read_h5ad(DATA / "endocrinogenesis_mouse_e15_hvg.h5ad")
    spliced, unspliced = (
        np.column_stack(
            [np.asarray(values[:, adata.var_names.isin(names)].sum(1)).ravel() for names in GENES]
        )
        for values in (adata.X, adata.layers["unspliced"])
    )
    chosen = adata.obs["cell_type"].isin(["Beta", "Pre-endocrine"]).to_numpy() & (
        (spliced > 0).sum(1) >= 2
    )
    depth = OTHER_GENES * np.asarray(adata.X.sum(1)).ravel()
    return spliced[chosen], unspliced[chosen], depth[chosen]


def batch(seed: int, depth: float, soup: float) -> dict[str, float]:
    """One batch: sensitivity of the calls, and false calls without and with unspliced reads."""
    rng = np.random.default_rng([seed, int(depth), int(100 * soup)])
    (spliced, unspliced, total), (stromal, of_stromal) = (
        cells_of_e15(),
        marker_counts(negatives()),
    )
    stromal, of_stromal = stromal[of_stromal > FEWEST_UMI], of_stromal[of_stromal > FEWEST_UMI]
    source, other = (
        rng.integers(0, len(total), N_CELLS),
        rng.integers(0, len(of_stromal), N_CELLS),
    )
    positive = rng.random(N_CELLS) < FRACTION
    before = np.where(positive, total[source], of_stromal[other])
    kept = np.minimum(rng.lognormal(np.log(depth), 0.4, N_CELLS) / before, 1.0)[:, None]
    mature = np.where(positive[:, None], spliced[source], stromal[other])
    nascent = np.where(positive[:, None], unspliced[source], 0)
    mature, nascent = (rng.binomial(counts.astype(int), kept) for counts in (mature, nascent))
    positive &= (mature > 0).sum(1) >= 2
    share = np.minimum(soup * rng.lognormal(-(SOUP_SD**2) / 2, SOUP_SD, N_CELLS), 0.8)
    own = before * kept[:, 0]
    profile = spliced.sum(0) / total.sum()
    counts = mature + rng.poisson(profile * (own * share / (1 - share))[:, None])
    fit = fit_mixture(tabulate(counts, own / (1 - share)), model())
    without = call_cells(fit)
    beside = add_nascent(without, fit, nascent.astype(float), counts.astype(float))
    found = int((without.positive & positive).sum())
    false = [count_false(calls, positive, found) for calls in (without, beside)]
    return {
        "depth": depth,
        "soup": soup,
        "prevalence": fit.prevalence,
        "sensitivity": found / max(int(positive.sum()), 1),
        "false without": false[0],
        "false with": false[1],
        "sensitivity with": (beside.positive & positive).sum() / max(int(positive.sum()), 1),
    }


def count_false(calls, positive: np.ndarray, found: int) -> int:  # type: ignore[no-untyped-def]
    """Count the negative cells at least as probable as the positive cell with this rank."""
    supported = (calls.evidence > 0).sum(1) >= 2
    rank = np.where(supported, calls.probability, -1.0)
    cutoff = np.sort(rank[positive])[::-1][max(found - 1, 0)]
    return int((rank[~positive] >= cutoff).sum())


def main() -> None:
    """Run all batches and write the sums by depth and soup."""
    rows = pd.DataFrame([batch(*task) for task in product(SEEDS, (2_000.0, 6_000.0), (0.1, 0.2))])
    judged = rows[rows["prevalence"] <= 0.5]
    table = judged.groupby(["depth", "soup"], as_index=False).agg(
        batches=("soup", "size"),
        sensitivity=("sensitivity", "mean"),
        without=("false without", "sum"),
        beside=("false with", "sum"),
        sensitivity_with=("sensitivity with", "mean"),
    )
    total = judged[["false without", "false with"]].sum()
    note = (
        f"False calls at equal sensitivity: {total.iloc[0]} without unspliced reads, {total.iloc[1]} with them "
        f"({total.iloc[1] / total.iloc[0]:.2f} times). {len(rows) - len(judged)} of {len(rows)} batches left out."
    )
    write(table.rename(columns={"beside": "with"}), "nascent", notes=[note])


if __name__ == "__main__":
    main()
