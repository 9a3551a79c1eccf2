"""Small synthetic batches for the tests of the steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from recorded import as_loaded
from scipy import sparse

NAMED = (
    "PDX1", "NKX6-1", "INS", "NEUROG3", "NT5E", "THY1", "ENG", "CXCL12", "CXCR4", "VEGFA", "KDR", "FLT1", "HGF", "MET", "IL10", "IL10RB",
    *(f"MT-{i}" for i in range(8)),
)  # fmt: skip


def _names(n_genes: int) -> list[str]:
    return [*NAMED, *(f"GENE{i:04d}" for i in range(n_genes))][:n_genes]


@pytest.fixture
def batch() -> Callable[..., AnnData]:
    """Maker of batches: ``n_groups`` kinds of cells that differ in a tenth of the genes, Poisson counts, known depth."""

    def make(
        n_cells: int = 150,
        n_genes: int = 300,
        *,
        n_groups: int = 3,
        n_samples: int = 1,
        depth: float = 3_000,
        seed: int = 0,
    ) -> AnnData:
        rng = np.random.default_rng(seed)
        base = rng.gamma(0.5, size=n_genes) + 0.01
        change = np.exp(
            rng.normal(scale=2.0, size=(n_groups, n_genes))
            * (rng.random((n_groups, n_genes)) < 0.1)
        )
        shares = base * change
        shares /= shares.sum(axis=1, keepdims=True)
        group = np.arange(n_cells) % n_groups
        depths = depth * rng.lognormal(sigma=0.2, size=n_cells)
        counts = sparse.csr_matrix(rng.poisson(shares[group] * depths[:, None]).astype(np.float32))
        names = pd.Index([f"cell{i:05d}" for i in rng.permutation(n_cells)])
        samples = pd.Categorical([f"s{i * n_samples // n_cells}" for i in range(n_cells)])
        obs = pd.DataFrame(
            {"sample": samples, "control": False, "group": group.astype(str)}, index=names
        )
        adata = AnnData(
            counts.copy(),
            obs=obs,
            var=pd.DataFrame(index=_names(n_genes)),
            layers={"counts": counts},
        )
        as_loaded(adata)
        return adata

    return make


@pytest.fixture
def ready(batch: Callable[..., AnnData]) -> Callable[..., AnnData]:
    """Maker of batches that are normalised, embedded and carry calls (by ``positive``, else none)."""
    from scdiff.steps.embed.step import embed
    from scdiff.steps.normalise import normalise

    def make(
        n_cells: int = 150,
        n_genes: int = 300,
        *,
        positive: np.ndarray | None = None,
        **options: float,
    ) -> AnnData:
        adata = batch(n_cells, n_genes, **options)
        normalise(adata)
        embed(adata)
        return called(adata, positive)

    return make


def called(adata: AnnData, positive: np.ndarray | None = None) -> AnnData:
    """Enter what ``call`` would write: ``positive`` cells, the others negative."""
    mask = np.zeros(adata.n_obs, dtype=bool) if positive is None else positive
    adata.obs["scdiff_state"] = pd.Categorical(
        np.where(mask, "progenitor", "negative"),
        categories=["negative", "progenitor", "unassigned"],
    )
    adata.obs["scdiff_probability"] = np.where(mask, 0.95, 0.01)
    return adata


@pytest.fixture
def mark() -> Callable[..., AnnData]:
    """Give :func:`called` to the tests."""
    return called


@pytest.fixture
def shuffled() -> Callable[..., AnnData]:
    """Maker of a copy with cells and genes in another order."""

    def make(adata: AnnData, seed: int = 1) -> AnnData:
        rng = np.random.default_rng(seed)
        return adata[rng.permutation(adata.n_obs), rng.permutation(adata.n_vars)].copy()

    return make
