"""The biology of the simulated batch: states of mesenchymal cells and a path toward the beta cell."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from scdiff.genes import ortholog
from scdiff.programs import load_programs

__all__ = ["SWITCH", "Biology", "biology", "is_positive"]

SWITCH = 0.5
"""Pseudotime at which PDX1, NKX6-1 and INS switch on; cells from here on are positive."""

MSC_STATES = ("msc_stem", "msc_osteo", "msc_cycling")
STEPS = 100
"""Steps of the grid of pseudotime."""

FIRST = len(MSC_STATES)
"""Row of pseudotime 0."""

PDX1_ONLY, INS_ONLY, EMPTY = FIRST + STEPS + 1, FIRST + STEPS + 2, FIRST + STEPS + 3
_NEUROG3_WINDOW, _NEUROG3_CP10K = (0.65, 0.85), 4.0
_NUISANCE_CP10K = {"PDX1": 3.0, "INS": 30.0}
_CYCLING_FOLD, _OTHER_CP10K, _CYCLE_CP10K = 15.0, 0.3, 0.12
_FILLER_SPREAD, _FILLER_SHARE = 1.8, 0.1  # sd of ln level; share of genes in each module


@dataclass(frozen=True)
class Biology:
    """Genes and their share of a cell's counts, one row per state."""

    genes: np.ndarray  # (n_genes,)
    profiles: np.ndarray  # (states, n_genes), rows sum to 1; the row EMPTY is zero
    mito: np.ndarray  # (n_genes,) bool


@cache
def _levels() -> dict[str, dict[str, float]]:
    """Human gene -> level in CP10K in each named state."""
    with Path(__file__).with_name("levels.csv").open(encoding="utf-8", newline="") as handle:
        return {
            row.pop("gene"): {state: float(level) for state, level in row.items()}
            for row in csv.DictReader(handle)
        }


@cache
def _named_genes(species: Literal["human", "mouse"]) -> tuple[tuple[str, str, int], ...]:
    """Human gene, its symbol in ``species``, and the number of symbols that share its level."""
    groups = [group for program in load_programs() for group in (*program.markers, *program.sets)]
    explicit = {group.human[0]: group.genes(species) for group in groups if len(group.human) == 1}
    genes = dict.fromkeys([*_levels(), *(gene for group in groups for gene in group.human)])
    symbols = {
        gene: explicit.get(gene) or ((gene,) if species == "human" else (ortholog(gene),))
        for gene in genes
    }
    return tuple(
        (gene, symbol, len(found)) for gene, found in symbols.items() for symbol in found if symbol
    )


@cache
def biology(n_genes: int, species: Literal["human", "mouse"]) -> Biology:
    """Build the profiles of all states: named genes at their levels, the others lognormal."""
    named = _named_genes(species)
    n_filler = n_genes - len(named)
    word = "GENE" if species == "human" else "Gene"
    filler = [f"{word}{number + 1:04d}" for number in range(n_filler)]
    known = np.column_stack([_course(gene) / share for gene, _, share in named])
    others = _filler(n_filler)
    others *= (10_000 - known.sum(axis=1, keepdims=True)) / others.sum(axis=1, keepdims=True)
    profiles = np.hstack([known, others]) / 10_000
    genes = np.array([symbol for _, symbol, _ in named] + filler)
    profiles = np.vstack([profiles, np.zeros(n_genes)])
    return Biology(genes, profiles, np.char.startswith(np.char.upper(genes), "MT-"))


def _course(gene: str) -> np.ndarray:
    """Level of a named gene in CP10K in every state, shape (states,)."""
    cycle = {gene for group in load_programs(["cell_cycle"])[0].sets for gene in group.human}
    default = dict.fromkeys(
        ("stem", "osteo", "progenitor", "beta"), _CYCLE_CP10K if gene in cycle else _OTHER_CP10K
    )
    level = _levels().get(gene, default)
    cycling = level["stem"] * (_CYCLING_FOLD if gene in cycle else 1.0)
    path = _path(gene, level)
    nuisance = [
        _NUISANCE_CP10K[marker] if gene == marker else path[0] for marker in _NUISANCE_CP10K
    ]
    return np.array([level["stem"], level["osteo"], cycling, *path, *nuisance])


def _path(gene: str, level: Mapping[str, float]) -> np.ndarray:
    """Level along pseudotime, log-linear between the stages; a gene that stem cells lack switches on at once."""
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


def _filler(n_genes: int) -> np.ndarray:
    """Relative levels of the genes without a name: states of MSC, and modules that rise and fall on the path."""
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
    """Tell which profile rows hold at least two of the three markers, shape as ``state``."""
    return (state >= FIRST + round(SWITCH * STEPS)) & (state <= FIRST + STEPS)


def pseudotimes(state: np.ndarray) -> np.ndarray:
    """Pseudotime of each profile row: 0 for MSC, 0-1 on the path, NaN for single-marker cells and empty droplets."""
    time = np.clip((state - FIRST) / STEPS, 0, 1)
    return np.where(state <= FIRST + STEPS, time, np.nan)


@cache
def state_names() -> np.ndarray:
    """Name of every profile row, shape (states,)."""
    path = np.linspace(0, 1, STEPS + 1)
    low, high = _NEUROG3_WINDOW
    stages = np.select(
        [path < SWITCH, path < low, path < high],
        ["intermediate", "progenitor", "endocrine_progenitor"],
        "beta_like",
    )
    return np.array([*MSC_STATES, *stages, "pdx1_only", "ins_only", "empty"])
