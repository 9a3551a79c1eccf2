"""Define the biology of simulated batches: states of mesenchymal cells, a path to beta cells."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from scdiff.genes import Species, ortholog
from scdiff.programs import load_programs

__all__ = ["SWITCH", "Biology", "biology", "is_positive"]

SWITCH = 0.5
"""Pseudotime, 0-1, from which cells express PDX1, NKX6-1 and INS and are positive. Chosen, not
tuned."""

MSC_STATES = ("msc_stem", "msc_osteo", "msc_cycling")
STEPS = 100
"""Number of intervals of the grid of pseudotime. Chosen, not tuned."""

FIRST = len(MSC_STATES)
"""Row of the profiles at pseudotime 0."""

PDX1_ONLY, INS_ONLY, EMPTY = FIRST + STEPS + 1, FIRST + STEPS + 2, FIRST + STEPS + 3
"""Rows of the profiles of single-marker cells and of empty droplets."""

_NEUROG3_WINDOW = (0.65, 0.85)
"""Range of pseudotime, 0-1, in which cells express NEUROG3. Chosen, not tuned."""

_NEUROG3_CP10K = 4.0
"""Level of NEUROG3 in its window, counts per 10,000. Chosen, not tuned."""

_NUISANCE_CP10K = {"PDX1": 3.0, "INS": 30.0}
"""Level of the marker of a single-marker cell, counts per 10,000. Chosen, not tuned."""

_CYCLING_FOLD = 15.0
"""Level of cell-cycle genes in cycling cells, times that in others. Chosen, not tuned."""

_OTHER_CP10K = 0.3
"""Level of a gene that ``levels.csv`` does not have, counts per 10,000. Chosen, not tuned."""

_CYCLE_CP10K = 0.12
"""Level of such a gene of the cell cycle, counts per 10,000. Chosen, not tuned."""

_FILLER_SPREAD = 1.8
"""Standard deviation of ln(level) of the genes without a name. Chosen, not tuned."""

_FILLER_SHARE = 0.1
"""Share of these genes, 0-1, in each module. Chosen, not tuned."""


@dataclass(frozen=True)
class Biology:
    """Genes and their share of the counts of a cell, one row per state."""

    genes: np.ndarray  # (n_genes,)
    profiles: np.ndarray  # (states, n_genes), rows sum to 1; the row EMPTY is zero
    mito: np.ndarray  # (n_genes,) bool


@cache
def _read_levels() -> dict[str, dict[str, float]]:
    """Read the level of each human gene in each named state, counts per 10,000."""
    with Path(__file__).with_name("levels.csv").open(encoding="utf-8", newline="") as handle:
        return {
            row.pop("gene"): {state: float(level) for state, level in row.items()}
            for row in csv.DictReader(handle)
        }


@cache
def _list_named_genes(species: Species) -> tuple[tuple[str, str, int], ...]:
    """List the genes with a name: human gene, symbol in ``species``, number of symbols of the gene.

    The symbols of a gene share its level.
    """
    groups = [group for program in load_programs() for group in (*program.markers, *program.sets)]
    explicit = {group.human[0]: group.genes(species) for group in groups if len(group.human) == 1}
    genes = dict.fromkeys([*_read_levels(), *(gene for group in groups for gene in group.human)])
    symbols = {
        gene: explicit.get(gene) or ((gene,) if species == "human" else (ortholog(gene, species),))
        for gene in genes
    }
    return tuple(
        (gene, symbol, len(found)) for gene, found in symbols.items() for symbol in found if symbol
    )


@cache
def biology(n_genes: int, species: Species) -> Biology:
    """Build the profiles of all states; the levels of genes without a name are lognormal."""
    named = _list_named_genes(species)
    n_filler = n_genes - len(named)
    word = "GENE" if species == "human" else "Gene"
    filler = [f"{word}{number + 1:04d}" for number in range(n_filler)]
    known = np.column_stack([_find_levels_of(gene) / share for gene, _, share in named])
    others = _draw_filler(n_filler)
    others *= (10_000 - known.sum(axis=1, keepdims=True)) / others.sum(axis=1, keepdims=True)
    profiles = np.hstack([known, others]) / 10_000
    genes = np.array([symbol for _, symbol, _ in named] + filler)
    profiles = np.vstack([profiles, np.zeros(n_genes)])
    return Biology(genes, profiles, np.char.startswith(np.char.upper(genes), "MT-"))


def _find_levels_of(gene: str) -> np.ndarray:
    """Return the level of a named gene in every state, counts per 10,000, shape (states,)."""
    cycle = {gene for group in load_programs(["cell_cycle"])[0].sets for gene in group.human}
    default = dict.fromkeys(
        ("stem", "osteo", "progenitor", "beta"), _CYCLE_CP10K if gene in cycle else _OTHER_CP10K
    )
    level = _read_levels().get(gene, default)
    cycling = level["stem"] * (_CYCLING_FOLD if gene in cycle else 1.0)
    path = _interpolate(gene, level)
    nuisance = [
        _NUISANCE_CP10K[marker] if gene == marker else path[0] for marker in _NUISANCE_CP10K
    ]
    return np.array([level["stem"], level["osteo"], cycling, *path, *nuisance])


def _interpolate(gene: str, level: Mapping[str, float]) -> np.ndarray:
    """Return the level of a gene along pseudotime, log-linear between the stages.

    A gene that stem cells do not express is 0 before ``SWITCH``.
    """
    time = np.linspace(0, 1, STEPS + 1)
    if gene == "NEUROG3":
        low, high = _NEUROG3_WINDOW
        return np.where((time >= low) & (time < high), _NEUROG3_CP10K, 0.0)
    if not level["beta"]:
        return np.full(STEPS + 1, level["stem"])
    start = level["stem"] or level["progenitor"]
    path = np.exp(
        np.interp(time, [0, SWITCH, 1], np.log([start, level["progenitor"], level["beta"]]))
    )
    return path if level["stem"] else np.where(time >= SWITCH, path, 0.0)


def _draw_filler(n_genes: int) -> np.ndarray:
    """Draw the relative levels of the genes without a name.

    Modules of them differ between the MSC states, or rise or fall along the path.
    """
    rng = np.random.default_rng(20_240_101)
    base = rng.lognormal(0, _FILLER_SPREAD, n_genes)
    osteo, cycling = (
        np.where(rng.random(n_genes) < _FILLER_SHARE, rng.lognormal(0, 1, n_genes), 1)
        for _ in range(2)
    )
    sign = rng.choice([-1, 0, 1], n_genes, p=[_FILLER_SHARE, 1 - 2 * _FILLER_SHARE, _FILLER_SHARE])
    slope = sign * rng.uniform(1, 3, n_genes)
    path = np.exp(np.linspace(0, 1, STEPS + 1)[:, None] * slope)
    return base * np.vstack([np.ones(n_genes), osteo, cycling, path, np.ones((2, n_genes))])


def is_positive(state: np.ndarray) -> np.ndarray:
    """Check which profile rows express at least two of the three markers.

    Same shape as ``state``.
    """
    return (state >= FIRST + round(SWITCH * STEPS)) & (state <= FIRST + STEPS)


def pseudotimes(state: np.ndarray) -> np.ndarray:
    """Return the pseudotime of each profile row.

    0 for MSC, 0-1 on the path, NaN for single-marker cells and empty droplets.
    """
    time = np.clip((state - FIRST) / STEPS, 0, 1)
    return np.where(state <= FIRST + STEPS, time, np.nan)


@cache
def state_names() -> np.ndarray:
    """Return the name of every profile row, shape (states,)."""
    path = np.linspace(0, 1, STEPS + 1)
    low, high = _NEUROG3_WINDOW
    stages = np.select(
        [path < SWITCH, path < low, path < high],
        ["intermediate", "progenitor", "endocrine_progenitor"],
        "beta_like",
    )
    return np.array([*MSC_STATES, *stages, "pdx1_only", "ins_only", "empty"])
