"""score: how strongly each cell expresses each programme; for maps and trends, not for calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge

from scdiff import keys
from scdiff.compute.arrays import sort_names
from scdiff.compute.blocks import arrays, get_counts, get_values, read_columns, stack_blocks
from scdiff.compute.kernels import ranks, set_means
from scdiff.compute.moments import gene_moments
from scdiff.genes import Lookup
from scdiff.options import step
from scdiff.programs import load_programs
from scdiff.record import read_species
from scdiff.registry import Registry

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["SCORERS", "mean_minus_control", "rank_u", "score"]

log = logging.getLogger(__name__)

SCORERS: Registry[Callable[..., np.ndarray]] = Registry("scorer")
"""Registered scorers ``(matrix, signatures) -> scores``.

Facts: ``matrix`` (X or counts), ``needs`` (means, by_name, seed), ``low`` and ``high``.
"""

N_BINS = 25
"""Level bins of the genes, as in scanpy."""
CONTROL_SIZE = 50
"""Control genes drawn from each bin, as in scanpy."""
MAX_RANK = 1_500
"""Rank above which genes count as equal, as in UCell."""


@SCORERS.register(
    "mean_minus_control",
    summary="Mean of the genes minus the mean of control genes of similar level "
    "(scanpy's score_genes).",
    source="10.1126/science.aad0501",
    facts={"matrix": "X", "needs": ("means", "by_name", "seed"), "low": -np.inf, "high": np.inf},
)
def mean_minus_control(
    matrix: Any,
    signatures: Sequence[np.ndarray],
    *,
    means: np.ndarray,
    by_name: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Score cells by the mean of a signature minus that of control genes.

    A score above 0 does not mean expressed: with strong background nearly every cell is above 0.
    Use it to compare cells, not as a threshold.

    Parameters
    ----------
    matrix
        Log-normalised values, shape (n_cells, n_genes): CSR, or another form that
        :mod:`scdiff.compute.blocks` reads.
    signatures
        Column numbers of each signature.
    means
        Mean of each gene over all cells of the batch, shape (n_genes,): the level by which controls
        are matched.
    by_name
        Columns in the order of the names of the genes, in which controls are drawn; None means the
        order of the columns.
    seed
        Start of the random generator that draws the control genes.

    Returns
    -------
    Shape (n_cells, n_signatures); NaN for a signature without a gene, or without any other gene as
    control.

    Source
    ------
    10.1126/science.aad0501, in the definition of ``scanpy.tl.score_genes``
    """
    order = np.arange(matrix.shape[1]) if by_name is None else by_name
    place = np.argsort(order)
    controls = [
        order[_draw_controls(means[order], np.sort(place[genes]), seed)] for genes in signatures
    ]
    pairs = list(zip(signatures, controls, strict=True))
    known = [len(genes) > 0 and len(others) > 0 for genes, others in pairs]
    sets = [group for pair, both in zip(pairs, known, strict=True) if both for group in pair]
    scores = np.full((matrix.shape[0], len(signatures)), np.nan)
    if sets:
        found = stack_blocks(matrix, partial(_compute_set_means, sets=sets))
        scores[:, known] = found[:, ::2] - found[:, 1::2]
    return scores


def _draw_controls(means: np.ndarray, genes: np.ndarray, seed: int) -> np.ndarray:
    """Draw up to 50 genes from each level bin of the signature, without the signature.

    If the bins hold no other gene, all other genes are controls.
    """
    import pandas as pd

    per_bin = max(int(np.round(len(means) / (N_BINS - 1))), 1)
    level = (pd.Series(means).rank(method="min") // per_bin).to_numpy()
    draw = np.random.RandomState(seed)  # the generator of scanpy, so that the scores are equal
    drawn = []
    for bin_ in np.unique(level[genes]):
        members = pd.Series(np.flatnonzero(level == bin_))
        if len(members) > CONTROL_SIZE:
            members = members.sample(CONTROL_SIZE, random_state=draw)
        drawn.append(members)
    controls = np.setdiff1d(np.concatenate(drawn), genes) if drawn else np.zeros(0, dtype=int)
    return controls if len(controls) else np.setdiff1d(np.arange(len(means)), genes)


def _compute_set_means(block: csr_matrix, sets: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean over each set of columns of every row, shape (n_cells, n_sets).

    The sum follows the order of the set.
    """
    columns, members = np.unique(np.concatenate(sets), return_inverse=True)
    ends = np.cumsum([0, *map(len, sets)])
    return np.asarray(set_means(read_columns(block, columns), members.ravel(), ends))


@SCORERS.register(
    "rank_u",
    summary="U statistic of the ranks of the genes within each cell, with average ranks for ties "
    "(after UCell).",
    source="10.1016/j.csbj.2021.06.043",
    facts={"matrix": "counts", "needs": (), "low": 0.0, "high": 1.0},
)
def rank_u(
    matrix: Any, signatures: Sequence[np.ndarray], *, max_rank: int | None = MAX_RANK
) -> np.ndarray:
    """Score cells by the ranks of a signature among all genes of the cell: 1 - U / U_max.

    The score does not depend on other cells, and not on the depth unless genes drop out. In deep
    cells one molecule ranks beyond ``max_rank`` and scores 0: for weak transcription factors the
    evidence of the call is better.

    Parameters
    ----------
    matrix
        Counts, not negative, shape (n_cells, n_genes): CSR, or another form that
        :mod:`scdiff.compute.blocks` reads.
    signatures
        Column numbers of each signature.
    max_rank
        Higher ranks count as this rank, above 0. None ranks all genes; then the score is the area
        under the ROC curve of signature genes against the others.

    Returns
    -------
    Shape (n_cells, n_signatures), 0-1; equal values share their average rank. NaN for a signature
    without a gene, or of all genes.

    Source
    ------
    10.1016/j.csbj.2021.06.043
    """
    scores = np.full((matrix.shape[0], len(signatures)), np.nan)
    n_genes = matrix.shape[1]
    known = [0 < len(genes) < n_genes for genes in signatures]
    if any(known):
        chosen = [genes for genes, usable in zip(signatures, known, strict=True) if usable]
        top = min(max_rank or n_genes, n_genes)
        scores[:, known] = stack_blocks(matrix, partial(_score_block, signatures=chosen, top=top))
    return scores


def _score_block(block: csr_matrix, signatures: Sequence[np.ndarray], top: int) -> np.ndarray:
    """Return the scores of the cells of one block, shape (n_cells, n_signatures)."""
    columns = np.unique(np.concatenate(signatures))
    indptr, _, data = arrays(block)
    found = np.minimum(ranks(indptr, data, read_columns(block, columns), block.shape[1]), top)
    scores = np.full((block.shape[0], len(signatures)), np.nan)
    for column, genes in enumerate(signatures):
        least = len(genes) * (len(genes) + 1) / 2
        most = np.minimum(np.arange(block.shape[1] - len(genes) + 1, block.shape[1] + 1), top).sum()
        if most > least:
            total = found[:, np.searchsorted(columns, genes)].sum(axis=1)
            scores[:, column] = np.clip(1 - (total - least) / (most - least), 0, 1)
    return scores


@step
def score(
    adata: AnnData,
    *,
    programs: Sequence[str] = (),
    methods: Sequence[str] = ("mean_minus_control", "rank_u"),
    seed: Annotated[int, Ge(0)] = 0,
) -> None:
    """Score every cell for every programme.

    Scores are for maps, trends and comparisons of clusters, never for calls: no threshold on them
    separates expression from background. The calls come from ``call``.

    Parameters
    ----------
    adata
        Cells x genes, with counts and log-normalised values.
    programs
        Names of shipped programmes or paths of TOML files; empty means the default set.
    methods
        Names of registered scorers.
    seed
        Start of the random generator that draws control genes, 0 or more.

    Reads
    -----
    X, layers["counts"]

    Writes
    ------
    obsm["scdiff_score"]: one column ``<programme>:<method>`` each; NaN if no gene of the programme
    has a row.

    Raises
    ------
    UnknownNameError
        If a programme or a method is unknown.
    """
    import pandas as pd

    cards = [SCORERS[name] for name in methods]
    loaded = load_programs(programs)
    by_name, species = sort_names(adata.var_names), read_species(adata)
    lookup = Lookup(adata.var_names[by_name].tolist(), species)
    signatures = []
    for program in loaded:
        columns = lookup.find(program.score_genes(species))
        signatures.append(by_name[np.array(columns, dtype=int)])
        if not columns:
            log.info("Programme %s: none of its genes has a row; its scores are NaN.", program.name)
    found: dict[str, np.ndarray] = {}
    for card in cards:
        matrix = get_values(adata) if card.facts["matrix"] == "X" else get_counts(adata)
        needs, given = card.facts["needs"], {}
        if needs:
            given = {"means": gene_moments(matrix)[0], "by_name": by_name, "seed": seed}
        values = card.function(matrix, signatures, **{need: given[need] for need in needs})
        found |= {f"{program.name}:{card.name}": values[:, i] for i, program in enumerate(loaded)}
    adata.obsm[keys.SCORE.name] = pd.DataFrame(found, index=adata.obs_names)
