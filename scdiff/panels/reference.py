"""Labelled cells of references and backgrounds: collect, check and halve them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scdiff import keys
from scdiff.errors import ConfigError, InputError, did_you_mean
from scdiff.genes import Species, resolve_species

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["BACKGROUND", "FEWEST_TARGETS", "Cells", "check_cells", "halve", "join", "read_cells"]

BACKGROUND = "background "
"""Start of the label of all background cells; the name of their sample follows."""

FEWEST_TARGETS = 20
"""Fewest target cells, and fewest other cells: ten to learn from, ten to validate on. Chosen, not
tuned."""

_CLUSTERINGS = re.compile(r"leiden|louvain|cluster|^ident$|kmeans|phenograph", re.IGNORECASE)


@dataclass(frozen=True)
class Cells:
    """Raw counts of labelled cells.

    Parameters
    ----------
    counts
        Counts, CSR, shape (n_cells, n_genes).
    genes
        Approved symbols, shape (n_genes,).
    names
        Names of the cells, shape (n_cells,).
    labels
        Label of each cell, shape (n_cells,); empty if it is missing.
    donors
        Donor of each cell, shape (n_cells,); empty if donors are not used.
    species
        Species of the genes.
    source
        Where the cells come from, for messages.
    origin
        The same with the hash of the file, for the programme.
    """

    counts: Any
    genes: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    donors: np.ndarray
    species: Species
    source: str
    origin: str

    @property
    def depth(self) -> np.ndarray:
        """Counts of each cell, shape (n_cells,)."""
        return np.asarray(self.counts.sum(axis=1, dtype=np.float64)).ravel()

    def pick(self, cells: np.ndarray) -> Cells:
        """Return some of the cells; ``cells`` is a mask or row numbers."""
        names = ("counts", "names", "labels", "donors")
        return replace(self, **{name: getattr(self, name)[cells] for name in names})

    @property
    def is_background(self) -> np.ndarray:
        """Whether each cell belongs to a background, shape (n_cells,)."""
        return np.char.startswith(self.labels.astype(str), BACKGROUND)


def read_cells(
    adata: AnnData,
    *,
    label: str | None,
    donor: str | None = None,
    source: str = "adata",
    origin: str = "",
) -> Cells:
    """Return the cells of a loaded or prepared object.

    Parameters
    ----------
    adata
        Loaded by :func:`scdiff.io.load` or prepared by :func:`scdiff.pp.prepare`.
    label
        Column of ``obs`` with the labels; None for background cells.
    donor
        Column of ``obs`` with the donors, if they are used.
    source, origin
        Where the cells come from; ``origin`` also has the hash of the file.

    Raises
    ------
    ConfigError
        If a column does not exist.
    MissingKeyError
        If the object is neither loaded nor prepared.
    """
    from scdiff.steps.load.prepare import working_copy

    work = working_copy(adata) if keys.is_prepared(adata) else adata
    keys.require(work, "panel")
    if label is None:
        labels = np.char.add(BACKGROUND, work.obs[keys.SAMPLE.name].astype(str).to_numpy(dtype=str))
    else:
        labels = read_column(adata.obs, label, source)
    donors = read_column(adata.obs, donor, source) if donor else np.full(work.n_obs, "", dtype="U1")
    return Cells(
        sparse.csr_matrix(work.layers[keys.COUNTS.name]),
        np.asarray(work.var_names, dtype=object),
        np.asarray(work.obs_names, dtype=object),
        labels,
        donors,
        resolve_species(work.uns[keys.ROOT][keys.INPUT.name].get("species")),
        source,
        origin or source,
    )


def read_column(table: pd.DataFrame, name: str, source: str) -> np.ndarray:
    """Return a column of the table of the cells as text; empty where it is missing.

    Raises
    ------
    ConfigError
        If the column does not exist.
    """
    if name not in table:
        raise ConfigError(
            f"{source}: obs has no column {name!r}. {did_you_mean(name, map(str, table.columns))}"
        )
    values = table[name].astype(object)
    return np.where(values.isna(), "", values.astype(str).str.strip()).astype(str)


def join(references: Sequence[Cells], backgrounds: Sequence[Cells]) -> tuple[Cells, list[str]]:
    """Join references and backgrounds on the genes that all references have.

    A gene without a row in a background counts as 0 there, with a warning for genes that matter
    (:func:`scdiff.panels.learn.panel` adds it).

    Returns
    -------
    All cells, and warnings.

    Raises
    ------
    InputError
        If the species differ, or the references share no gene.
    """
    first = references[0]
    for other in (*references[1:], *backgrounds):
        if other.species != first.species:
            raise InputError(
                f"{other.source}: the genes are those of {other.species}, but those of "
                f"{first.source} are of {first.species}. Give files of one species."
            )
    kept = set(first.genes).intersection(*(one.genes for one in references[1:]))
    genes = np.array([gene for gene in first.genes if gene in kept], dtype=object)
    if not len(genes):
        raise InputError(
            f"{', '.join(one.source for one in references)}: these references share no gene. "
            "Give references with the same kind of gene names."
        )
    parts, sources = [*references, *backgrounds], "; ".join(one.source for one in references)
    stacked = sparse.vstack([_align(one, genes) for one in parts], format="csr")
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in parts])
        for name in ("names", "labels", "donors")
    }
    missing = int((columns["labels"] == "").sum())
    joined = replace(
        first,
        counts=stacked,
        genes=genes,
        source=sources,
        origin="; ".join(one.origin for one in references),
        **columns,
    )
    warnings = [f"{missing:,} cells without a label are left out."] if missing else []
    return joined.pick(joined.labels != ""), warnings


def _align(cells: Cells, genes: np.ndarray) -> sparse.csr_matrix:
    """Return the counts on some genes; 0 for a gene without a row."""
    if np.array_equal(cells.genes, genes):
        return cells.counts.astype(np.float64)
    place = {gene: column for column, gene in enumerate(cells.genes)}
    found = [(place[gene], column) for column, gene in enumerate(genes) if gene in place]
    rows, columns = np.array(found, dtype=int).reshape(-1, 2).T
    spread = sparse.csr_matrix(
        (np.ones(len(rows)), (rows, columns)), shape=(len(cells.genes), len(genes))
    )
    return sparse.csr_matrix(cells.counts.astype(np.float64) @ spread)


def check_cells(cells: Cells, label: str, target: str) -> list[str]:
    """Check that a panel can be learned; return warnings.

    Raises
    ------
    ConfigError
        If no cell has the target label.
    InputError
        If there are too few target cells, or too few other cells.
    """
    labels = np.unique(cells.labels[~cells.is_background])
    if target not in labels:
        advice = did_you_mean(target, labels.tolist())
        raise ConfigError(f"{cells.source}: no cell has {label} {target!r}. {advice}")
    n_target = int((cells.labels == target).sum())
    if n_target < FEWEST_TARGETS:
        raise InputError(
            f"{cells.source}: {n_target} cells have {label} {target!r}, but a panel needs at least "
            f"{FEWEST_TARGETS}: half of them to learn, half to validate. Add a reference."
        )
    if (n_other := len(cells.labels) - n_target) < FEWEST_TARGETS:
        raise InputError(
            f"{cells.source}: {n_other} cells have another {label} than {target!r}, but at least "
            f"{FEWEST_TARGETS} must show which genes distinguish them. Add other labels, or a "
            "background (--background)."
        )
    numbers = all(re.fullmatch(r"\d+(\.0)?", name) for name in labels)
    if not (numbers or _CLUSTERINGS.search(label)):
        return []
    return [
        (
            f"Column {label} looks like clusters that were computed from the same counts: the "
            "choice is then circular, and the validation is too favourable. Use labels from "
            "another source."
        )
    ]


def halve(cells: Cells, target: str, seed: int) -> tuple[np.ndarray, list[str]]:
    """Choose the cells to learn from; the others are held out.

    With two or more donors of target cells, whole donors are held out, otherwise half of the cells
    of each label. The result does not depend on the order of the cells.

    Parameters
    ----------
    cells
        All cells.
    target
        The target label.
    seed
        Start of the random generator, 0 or more.

    Returns
    -------
    Mask of the cells to learn from, and warnings.
    """
    counted = [
        (-int(((cells.donors == name) & (cells.labels == target)).sum()), name)
        for name in np.unique(cells.donors[cells.labels == target])
        if name
    ]
    usable = [name for number, name in sorted(counted) if -number >= FEWEST_TARGETS // 2]
    chosen = _halve_labels(cells, seed)
    if len(usable) >= 2:
        others = [name for name in np.unique(cells.donors) if name and name not in usable]
        learned = [*usable[::2], *others[::2]]
        return np.where(cells.donors == "", chosen, np.isin(cells.donors, learned)), []
    if not (cells.donors != "").any():
        return chosen, []
    return chosen, [
        (
            "Fewer than two donors have ten target cells: cells are held out, not whole donors, "
            "so the validation does not show how much donors differ."
        )
    ]


def _halve_labels(cells: Cells, seed: int) -> np.ndarray:
    """Choose half of the cells of each label at random."""
    rng = np.random.default_rng([seed, 0])
    order = np.argsort(cells.names.astype(str), kind="stable")
    order = order[rng.permutation(len(order))]
    chosen = np.zeros(len(order), dtype=bool)
    for label in np.unique(cells.labels):
        chosen[order[cells.labels[order] == label][::2]] = True
    return chosen
