"""panel: learn the markers of a cell type from labelled raw counts, and validate them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.accessor import register
from scdiff.errors import ConfigError
from scdiff.panels.choose import BATCH_CELLS, Choice, Pool, choose_markers, rank_candidates
from scdiff.panels.measure import FEWEST_CELLS, measure_genes, soup_profile
from scdiff.panels.reference import Cells, check_cells, halve, join, read_cells
from scdiff.panels.units import Unit, find_required, list_units, sum_units
from scdiff.panels.validate import call_labels, titrate_held_out
from scdiff.programs import RESERVED, Marker, Program, program_names
from scdiff.report.text import percent
from scdiff.vocabulary import INCONCLUSIVE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Panel", "learn", "panel"]

MOST_MARKERS = 6
"""Most markers of a panel: the model has a weight for each of their 2 ** n patterns."""
ALTERNATIVES = 12
"""Genes in the table next to the chosen ones. Chosen, not tuned."""


@dataclass(frozen=True)
class Panel:
    """A learned programme and its validation.

    Parameters
    ----------
    program
        The programme; :func:`scdiff.panels.write_panel` writes it as TOML.
    markers
        Chosen genes and the next best ones (:func:`scdiff.panels.measure.measure_genes`).
    confusion
        Calls of held-out cells, one row per label.
    titration
        Mixtures of held-out cells with known truth, one row each.
    warnings
        What limits the result.
    sentence
        The result in one sentence: markers, LOD, worst leak. ``program.notes`` has the numbers of
        the validation.
    """

    program: Program
    markers: pd.DataFrame
    confusion: pd.DataFrame
    titration: pd.DataFrame
    warnings: tuple[str, ...]
    sentence: str


def panel(
    adata: AnnData,
    background: AnnData | None = None,
    *,
    label: str,
    target: str,
    markers: int = 3,
    require: Sequence[str] = (),
    donor: str | None = None,
    seed: int = 0,
) -> Panel:
    """Learn the programme of a cell type from labelled cells, and validate it on held-out cells.

    The markers and ``min_markers`` have the lowest predicted limit of detection (LOD). They are
    chosen on half of the cells, or of the donors. The other half is called with the programme,
    label by label, and mixed at known fractions.

    Parameters
    ----------
    adata
        Labelled cells, loaded by :func:`scdiff.io.load` or prepared by :func:`scdiff.pp.prepare`;
        not changed.
    background
        Cells without target cells in which the programme will be used, loaded or prepared. A gene
        without a row counts as 0 there.
    label
        Column of ``obs`` with the labels.
    target
        Label of the cells to measure.
    markers
        Number of markers, 1-6.
    require
        Markers that the programme must have.
    donor
        Column of ``obs`` with the donors; whole donors are then held out.
    seed
        Start of the random generators, 0 or more.

    Reads
    -----
    layers["counts"] (for a prepared object the matrix that it was prepared from), obs[label],
    obs[donor], obs["sample"] of the background, uns["scdiff"]["input"]

    Writes
    ------
    Nothing. ``scdiff.tl.call`` needs a file: write one with ``scdiff.panels.write_panel``.

    Raises
    ------
    ConfigError
        If a column, the target or a required marker does not exist, or an option is out of range.
    InputError
        If there are fewer than 20 target cells or 20 other cells, or the species differ.
    MissingKeyError
        If an object is neither loaded nor prepared.

    Examples
    --------
    >>> import scdiff
    >>> adata = scdiff.datasets.demo()
    >>> scdiff.pp.prepare(adata)
    >>> found = scdiff.tl.panel(
    ...     adata, label="truth_state", target="beta"
    ... )  # doctest: +SKIP
    >>> found.program.min_markers  # doctest: +SKIP
    2
    """
    register()
    reference = read_cells(adata, label=label, donor=donor)
    others = [] if background is None else [read_cells(background, label=None, source="background")]
    return learn(
        [reference], others, label=label, target=target, markers=markers, require=require, seed=seed
    )


def learn(
    references: Sequence[Cells],
    backgrounds: Sequence[Cells],
    *,
    label: str,
    target: str,
    markers: int = 3,
    require: Sequence[str] = (),
    seed: int = 0,
) -> Panel:
    """Learn a programme from cells that are already collected, as :func:`panel` does.

    Raises
    ------
    ConfigError
        If the number of markers is out of range, or there are more required ones.
    """
    if not 1 <= markers <= MOST_MARKERS:
        raise ConfigError(f"markers is {markers}; allowed: 1 to {MOST_MARKERS}.")
    cells, warnings = join(references, backgrounds)
    warnings += check_cells(cells, label, target)
    required = find_required(require, list(cells.genes), cells.species, cells.source)
    if len(required) > markers:
        raise ConfigError(
            f"{len(required)} markers are required ({', '.join(required)}), but markers is "
            f"{markers}. Raise markers, or require fewer."
        )
    learned, notes = halve(cells, target, seed)
    units = list_units(list(cells.genes), cells.species, keep=required)
    if len(units) < markers:
        raise ConfigError(
            f"{cells.source}: only {len(units)} genes can be markers, but markers is {markers}. "
            "Give a reference with approved symbols of protein-coding genes."
        )
    table, choice = _choose(cells.pick(learned), units, target, markers, required, seed)
    draft = _build_program(choice, table, units, cells, f"{label}={target}")
    held_out = cells.pick(~learned)
    confusion = call_labels(held_out, draft, target)
    titration = titrate_held_out(held_out, draft, target, seed=seed)
    sentence = _state_result(draft, confusion, titration)
    validation = _state_validation(confusion, titration, held_out)
    program = draft.model_copy(update={"notes": validation})
    warnings += [*notes, *_list_missing_rows(backgrounds, choice, units)]
    shown = table[: markers + ALTERNATIVES].drop(columns=["column", "worst_gap", "mean_gap"])
    return Panel(program, shown.reset_index(), confusion, titration, tuple(warnings), sentence)


def _choose(
    cells: Cells,
    units: Sequence[Unit],
    target: str,
    markers: int,
    required: Sequence[str],
    seed: int,
) -> tuple[pd.DataFrame, Choice]:
    """Choose the markers; return the genes, chosen ones first, and the choice."""
    counts, depth = sum_units(cells.counts, list(cells.genes), units), np.maximum(cells.depth, 1.0)
    names = [unit.name for unit in units]
    measured = measure_genes(counts, depth, cells.labels, cells.donors, target=target, names=names)
    ranked = rank_candidates(measured.assign(column=range(len(names))))
    soup = soup_profile(counts, depth, cells.labels == target)
    choice = choose_markers(
        Pool(counts, depth, cells.labels, soup),
        ranked,
        target=target,
        markers=markers,
        require=required,
        seed=seed,
    )
    ranked.insert(0, "chosen", ranked.index.isin(choice.names))
    return ranked.sort_values("chosen", ascending=False, kind="stable"), choice


def _build_program(
    choice: Choice, table: pd.DataFrame, units: Sequence[Unit], cells: Cells, where: str
) -> Program:
    """Return the programme of a choice."""
    target = where.partition("=")[2]
    name = re.sub(r"\W+", "_", target, flags=re.ASCII).strip("_").lower()
    taken = (*RESERVED, *program_names())
    name = name if re.match(r"[a-z]", name) and name not in taken else f"learned_{name}"
    source = f"learned from {cells.origin}, label {where}"
    genes = {unit.name: unit.genes for unit in units}
    levels = table.loc[list(choice.names), "level_cp10k"].to_list()
    needed = f"at least {choice.min_markers} of {len(choice.names)} markers"
    return Program(
        name=name,
        title=target,
        summary=f"Cells that express {needed} of {target}.",
        positive=name,
        min_markers=choice.min_markers,
        source=source,
        markers=tuple(
            _build_marker(marker, genes[marker], cells, level, source)
            for marker, level in zip(choice.names, levels, strict=True)
        ),
    )


def _build_marker(
    name: str, genes: tuple[str, ...], cells: Cells, level: float, source: str
) -> Marker:
    """Return a marker, with the genes of the species of the reference."""
    own: dict[str, Any] = {} if cells.species == "human" else {cells.species: genes}
    rounded = float(f"{level:.3g}")
    return Marker(name=name, human=(name,), level_cp10k=rounded, source=source, **own)


def _state_result(program: Program, confusion: pd.DataFrame, titration: pd.DataFrame) -> str:
    """Return the result in one sentence: markers, LOD, worst leak, what blanks read."""
    names = ", ".join(marker.name for marker in program.markers)
    blanks, others = titration[titration["true"] == 0], confusion[~confusion["is_target"]]
    big = others[others["n_cells"] >= FEWEST_CELLS]
    worst = (big if len(big) else others).iloc[0]
    return (
        f"Panel of {program.title}: at least {program.min_markers} of {names}; limit of detection "
        f"{percent(blanks['lod'].median())} %, worst leak {percent(worst['called'])} % "
        f"({worst['label']}), mixtures without target cells read as "
        f"{percent(blanks['prevalence'].median())} %."
    )


def _state_validation(confusion: pd.DataFrame, titration: pd.DataFrame, held_out: Cells) -> str:
    """Return the numbers of the validation in one sentence."""
    others, blanks = confusion[~confusion["is_target"]], titration[titration["true"] == 0]
    mixed = titration[(titration["true"] > 0) & (titration["verdict"] != INCONCLUSIVE)]
    error = (mixed["prevalence"] - mixed["true"]).abs().mean()
    doubted = int((titration["verdict"] == INCONCLUSIVE).sum())
    leak = others["n_called"].sum() / others["n_cells"].sum()
    return (
        f"Validated on {len(held_out.names):,} held-out cells: "
        f"{percent(confusion['called'].iloc[0])} % of the target cells and "
        f"{percent(leak)} % of the others are called; "
        f"in {len(titration)} mixtures of {BATCH_CELLS:,} cells at "
        f"{np.median(held_out.depth):,.0f} counts per cell: inconclusive {doubted}, blanks "
        f"detected {int(blanks['false_find'].sum())} of {len(blanks)}, truth inside the interval "
        f"{int(mixed['inside'].sum())} of {len(mixed)}, mean error {percent(error)} percentage "
        "points."
    )


def _list_missing_rows(
    backgrounds: Sequence[Cells], choice: Choice, units: Sequence[Unit]
) -> list[str]:
    """Return a warning for each background without a row of a chosen marker."""
    genes = {unit.name: unit.genes for unit in units}
    found = []
    for cells in backgrounds:
        rows = set(cells.genes)
        if absent := [name for name in choice.names if not rows.intersection(genes[name])]:
            found.append(
                f"{cells.source}: {', '.join(absent)} has no row and counts as 0 there. Correct "
                "only if its reference contained the gene."
            )
    return found
