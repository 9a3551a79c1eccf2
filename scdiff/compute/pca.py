"""Compute principal components from the products of the genes.

This takes two passes over the cells and no copy of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.arrays import limit_blas_threads
from scdiff.compute.blocks import arrays, stack_blocks, sum_blocks
from scdiff.compute.kernels import products, projections
from scdiff.compute.moments import EXACT_BITS

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Components"]

DENSE_UP_TO = 200
"""Number of genes up to which all eigenvalues are computed (LAPACK), otherwise only the largest
(ARPACK). Chosen, not tuned."""

HIGHEST = 12.0
"""Upper limit of log-normalised values, ln(1 + x). The scale leaves room for a sum of products of
values up to this limit. Chosen, not tuned: ln(10,001) is 9.2."""


@dataclass(frozen=True)
class Components:
    """Principal components of some genes.

    Parameters
    ----------
    columns
        The genes, in an order that does not depend on that of the matrix.
    loadings
        Shape (n_columns, n_components).
    origin
        Coordinates of the mean before centring, shape (n_components,).
    variance
        Variance along each component, falling, shape (n_components,).
    """

    columns: np.ndarray
    loadings: np.ndarray
    origin: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, values: Any, columns: np.ndarray, number: int) -> Components:
        """Compute the first components.

        There are fewer if there are fewer cells or genes, and one component of zeros if nothing
        varies.

        Parameters
        ----------
        values
            Log-normalised values, cells x genes, from :func:`scdiff.compute.blocks.get_values`.
        columns, number
            The genes, and the number of components.
        """
        number = min(number, values.shape[0] - 1, len(columns))
        if number < 1:
            return cls(columns, np.zeros((len(columns), 1)), np.zeros(1), np.zeros(1))
        covariance, mean = _compute_covariance(values, np.sort(columns))
        by_name = np.argsort(np.argsort(columns))
        variance, loadings = _find_largest(covariance[np.ix_(by_name, by_name)], number)
        return cls(columns, loadings, mean[by_name] @ loadings, variance)

    def coordinates(self, values: Any) -> np.ndarray:
        """Return the coordinates of the cells, in their order; shape (n_cells, n_components)."""
        places = _map_genes_to_columns(self.columns, values.shape[1])
        return stack_blocks(
            values,
            partial(
                _project_block, column_of_gene=places, loadings=self.loadings, origin=self.origin
            ),
        )


def _map_genes_to_columns(columns: np.ndarray, n_genes: int) -> np.ndarray:
    """Return the place of each gene in ``columns``, -1 for other genes; shape (n_genes,)."""
    places = np.full(n_genes, -1, dtype=np.int32)
    places[columns] = np.arange(len(columns))
    return places


def _compute_covariance(values: Any, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the covariance, shape (n_columns, n_columns), and the mean of some genes.

    ``columns`` must rise, because the kernel is fast in this order.
    """
    n_cells, n_genes = values.shape
    scale = 2.0 ** np.floor((EXACT_BITS - np.log2(n_cells) - 2 * np.log2(HIGHEST)) / 2)
    places = _map_genes_to_columns(columns, n_genes)
    sums = sum_blocks(
        values, partial(_multiply_block, column_of_gene=places, n_columns=len(columns), scale=scale)
    )
    mean = sums[-1] / scale / n_cells
    upper = sums[:-1] / scale**2
    return (upper + np.triu(upper, 1).T - n_cells * np.outer(mean, mean)) / (n_cells - 1), mean


def _find_largest(covariance: np.ndarray, n_comps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues, falling, and their vectors as columns.

    The sign of each vector is such that its largest entry is positive.
    """
    from scipy.linalg import eigh
    from scipy.sparse.linalg import eigsh

    with limit_blas_threads():
        if len(covariance) <= DENSE_UP_TO or 2 * n_comps >= len(covariance):
            found, vectors = eigh(covariance)
        else:
            found, vectors = eigsh(covariance, k=n_comps, v0=np.ones(len(covariance)))
    order = np.argsort(-found, kind="stable")[:n_comps]
    found, vectors = np.maximum(found[order], 0.0), vectors[:, order]
    found[found <= len(covariance) * np.finfo(float).eps * found.max(initial=0.0)] = 0.0
    sign = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(n_comps)])
    return found, np.ascontiguousarray(vectors * sign)


def _multiply_block(
    block: csr_matrix, column_of_gene: np.ndarray, n_columns: int, scale: float
) -> np.ndarray:
    """Return the sums of products over one block."""
    return np.asarray(products(*arrays(block), column_of_gene, n_columns, scale))


def _project_block(
    block: csr_matrix, column_of_gene: np.ndarray, loadings: np.ndarray, origin: np.ndarray
) -> np.ndarray:
    """Return the coordinates of the cells of one block."""
    return np.asarray(projections(*arrays(block), column_of_gene, loadings, origin))
