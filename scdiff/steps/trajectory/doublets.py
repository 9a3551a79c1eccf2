"""Draw the droplets with two cells that a batch is expected to hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Doublets"]


@dataclass(frozen=True)
class Doublets:
    """Expected droplets with two cells.

    Parameters
    ----------
    first, second
        Cells of the drawn pairs, shape (n_pairs,) each.
    expected
        Expected number of doublets among the droplets.
    """

    first: np.ndarray
    second: np.ndarray
    expected: float

    @classmethod
    def draw(
        cls,
        samples: np.ndarray,
        rates: np.ndarray,
        order: np.ndarray,
        *,
        weights: np.ndarray | None = None,
        n_pairs: int = 20_000,
        seed: int = 0,
    ) -> Doublets:
        """Pair cells of the same sample at random, samples by their expected number of doublets.

        Parameters
        ----------
        samples
            Number of each cell's sample, shape (n_cells,).
        rates
            Share of the droplets of each sample that hold two cells, shape (n_samples,), 0-1.
        order
            The cells in the order of their names, shape (n_cells,).
        weights
            How many cells of the batch each cell represents, shape (n_cells,); None means one.
        n_pairs
            Pairs to draw; 0 if all rates are 0.
        seed
            Start of the random generator.
        """
        weight = np.ones(len(samples)) if weights is None else weights
        sizes = np.bincount(samples, weights=weight, minlength=len(rates))
        expected = sizes * rates
        if not expected.any():
            return cls(np.zeros(0, dtype=int), np.zeros(0, dtype=int), 0.0)
        generator = np.random.default_rng(seed)
        sample = generator.choice(len(rates), n_pairs, p=expected / expected.sum())
        by_sample = order[np.argsort(samples[order], kind="stable")]
        ends = np.cumsum(weight[by_sample])
        before, size = (np.cumsum(sizes) - sizes)[sample], sizes[sample]
        first, second = (
            by_sample[np.searchsorted(ends, before + generator.random(n_pairs) * size, "right")]
            for _ in range(2)
        )
        return cls(first, second, float(expected.sum()))
