"""Step 6: call the cells of each programme, from raw counts and each cell's depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from scdiff.compute.arrays import sort_names
from scdiff.compute.blocks import get_counts, read_rows
from scdiff.compute.parallel import each, many
from scdiff.options import step
from scdiff.palette import colours
from scdiff.programs import Marker, Program, StateRule, load_programs
from scdiff.record import DEFINITIONS, as_text_array, dump_programs
from scdiff.steps.call.calibration import calibrate_programs
from scdiff.steps.call.foreign import find_foreign
from scdiff.steps.call.sets import SetResult, call_sets
from scdiff.steps.shared.controls import correct_by_controls
from scdiff.steps.shared.markers import (
    MarkerCounts,
    read_markers,
    select_control_cells,
    select_pooled_cells,
)
from scdiff.steps.shared.states import classify_markers, names_in_file
from scdiff.vocabulary import POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scdiff.assay.foreign import Foreign
    from scdiff.assay.mixture import Soup
    from scdiff.assay.samples import SampleCalls

__all__ = ["call"]

UNSURE = 0.05
HIGH_SHARE = 0.5
FEWEST_CELLS = 2
MOSTLY_KNOWN = 0.5
"""Share of the gene names that must be known coding genes before an absent one may count as zero."""
CELLS_LOOKED_AT = 2_000
"""Cells whose smallest counts are looked at, to tell raw counts."""


@dataclass
class _Result:
    """What is found for one programme: per cell, and the record for ``uns``."""

    evidence: pd.DataFrame
    on: pd.DataFrame
    probability: np.ndarray
    positive: np.ndarray
    state: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))
    rates_cp10k: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    left_out: dict[str, tuple[float, float]] = field(default_factory=dict)
    foreign: Foreign | None = None
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Batch:
    """What all programmes of a run share."""

    adata: AnnData
    read: MarkerCounts
    fdr: float
    absent_as_zero: bool
    doublets: dict[str, float]
    doubt: str
    levels: Mapping[str, float] = field(default_factory=dict)


@step
def call(
    adata: AnnData,
    *,
    programs: Sequence[str] = (),
    fdr: Annotated[float, Gt(0), Lt(1)] = 0.05,
    absent_as_zero: bool = False,
    doublet_rate: Annotated[float, Ge(0), Le(0.3)] | None = None,
    null_sets: Annotated[int, Ge(0)] = 1000,
) -> None:
    """Call the cells that are positive for each programme, above the background and at a stated false discovery rate.

    Use it after :func:`scdiff.pp.qc`. It reads raw counts only: no corrected, smoothed or integrated value enters.
    Each sample is fitted by itself, starting from the fit to all samples together.

    Parameters
    ----------
    adata
        Cells x genes.
    programs
        Names of shipped programmes or paths of TOML files; the first that has markers is the main one. Empty: the default ones.
    fdr
        Expected share of false calls among the called cells, between 0 and 1.
    absent_as_zero
        Take a marker without a row in the matrix as measured and never seen. Only true if the reference had the gene.
    doublet_rate
        Share of droplets with two cells, 0-0.3. Not given: 0.8 % per 1,000 cells of a sample for UMI, 0 for reads of plates.
    null_sets
        Sets of genes as abundant as the markers that give the p-values and check them; 0 leaves the calibration out.

    Reads
    -----
    layers["counts"], obs["sample"], uns["scdiff"]["input"]

    Writes
    ------
    obsm["scdiff_evidence"], obsm["scdiff_probabilities"], obsm["scdiff_positive"], obsm["scdiff_p_value"],
    obs["scdiff_state"], obs["scdiff_probability"], uns["scdiff_state_colors"], uns["scdiff"]["call"]

    Raises
    ------
    UnknownNameError, ProgramError
        If a programme is unknown, breaks the schema, or none of them has markers.
    ConfigError
        If ``absent_as_zero`` is set, but the species or most of the genes are not known.
    """
    import pandas as pd

    from scdiff.errors import ProgramError

    every = load_programs(programs)
    called = [program for program in every if program.is_called]
    loaded = [program for program in called if program.markers]
    if not loaded:
        raise ProgramError(
            f"none of the programmes {', '.join(programs)} has markers to call: name one that has."
        )
    if absent_as_zero:
        _refuse_unknown_genes(adata)
    doublets, read = _doublet_rates(adata, doublet_rate), read_markers(adata, called)
    batch = _Batch(adata, read, fdr, absent_as_zero, doublets, _doubt(adata, read.depth))
    longest_first = sorted(loaded, key=lambda program: -len(program.markers))
    fitted = each(partial(_call_program, batch), longest_first, worthwhile=many(adata))
    found = dict(zip([program.name for program in longest_first], fitted, strict=True))
    results = {program.name: found[program.name] for program in loaded}
    main, cells = loaded[0], adata.obs_names
    results[main.name].record |= correct_by_controls(adata, main, read, results[main.name].record)
    adata.obsm["scdiff_evidence"] = pd.concat(
        [result.evidence.add_prefix(f"{name}:") for name, result in results.items()], axis=1
    )
    adata.obsm["scdiff_probabilities"] = pd.DataFrame(
        {name: result.probability for name, result in results.items()}, index=cells
    )
    adata.obsm["scdiff_positive"] = pd.DataFrame(
        {name: result.positive for name, result in results.items()}, index=cells
    )
    records = {name: result.record for name, result in results.items()}
    adata.obsm["scdiff_p_value"] = calibrate_programs(adata, loaded, read, records, null_sets, fdr)
    for name, of_set in call_sets(
        adata, [program for program in called if not program.markers], read, null_sets, fdr
    ).items():
        _enter_set(adata, name, of_set)
        records[name] = of_set.record | {"fits": _fit_table(None)}
    adata.obs["scdiff_probability"] = results[main.name].probability
    states = pd.Categorical(results[main.name].state, categories=_state_names(main))
    states = (
        states.remove_unused_categories()
    )  # scanpy draws a row for each category, and fails where it is empty
    adata.obs["scdiff_state"] = states
    adata.uns["scdiff_state_colors"] = as_text_array(
        list(colours(list(states.categories)).values())
    )
    options: dict[str, Any] = {
        "main": main.name,
        "fdr": fdr,
        "absent_as_zero": absent_as_zero,
        "programs": np.array(list(programs), dtype=str),
        DEFINITIONS: dump_programs(every),
    }
    options["doublet_rates"] = pd.Series(doublets, dtype=float).rename("rate").to_frame()
    adata.uns["scdiff"]["call"] = records | options


def _enter_set(adata: AnnData, name: str, found: SetResult) -> None:
    """Add the columns of a programme that is called by its gene set."""
    columns = {"scdiff_evidence": found.score, "scdiff_probabilities": found.probability}
    columns |= {"scdiff_positive": found.positive, "scdiff_p_value": found.p_value}
    for slot, values in columns.items():
        adata.obsm[slot][f"{name}:{name}" if slot == "scdiff_evidence" else name] = values


def _doublet_rates(adata: AnnData, given: float | None) -> dict[str, float]:
    """Share of doublets by sample, and their mean over the cells that row ``all`` holds."""
    from scdiff.assay.doublets import estimate_doublet_rate

    samples, pooled = adata.obs["sample"].astype(str), select_pooled_cells(adata)
    sizes, inside = (names.value_counts().sort_index() for names in (samples, samples[pooled]))
    is_plate = adata.uns["scdiff"]["input"].get("technology") == "reads"
    rates = {
        str(name): given
        if given is not None
        else 0.0
        if is_plate
        else estimate_doublet_rate(int(size))
        for name, size in sizes.items()
    }
    return rates | {
        POOLED: sum(rates[str(name)] * size for name, size in inside.items())
        / max(int(pooled.sum()), 1)
    }


def _refuse_unknown_genes(adata: AnnData) -> None:
    """Refuse to take absent markers for zeros where the file's genes are not known: they may be there by another name."""
    from scdiff.errors import ConfigError
    from scdiff.genes import annotation

    species = str(adata.uns["scdiff"]["input"].get("species"))
    if species not in ("human", "mouse"):
        raise ConfigError(
            "call.absent_as_zero is set, but the species is not known: give --species, or leave the option out."
        )
    coding = annotation("human" if species == "human" else "mouse").coding
    known = sum(name in coding for name in adata.var_names) / max(adata.n_vars, 1)
    if known < MOSTLY_KNOWN:
        raise ConfigError(
            f"call.absent_as_zero is set, but only {known:.0%} of the {adata.n_vars:,} gene names are {species} genes, such as "
            f"{adata.var_names[0]!r}: absent markers may be there by another name. Give gene symbols, or leave the option out."
        )


def _doubt(adata: AnnData, depth: np.ndarray) -> str:
    """Say why the counts are no raw counts; empty where nothing speaks against it."""
    from scdiff.assay.counts_state import doubt_counts

    chosen = sort_names(adata.obs_names)[:CELLS_LOOKED_AT]
    some = read_rows(get_counts(adata), np.sort(chosen))
    filled = np.flatnonzero(np.diff(some.indptr))
    smallest = (
        np.minimum.reduceat(np.where(some.data > 0, some.data, np.inf), some.indptr[filled])
        if len(filled)
        else np.empty(0)
    )
    are_reads = adata.uns["scdiff"]["input"].get("technology") == "reads"
    return doubt_counts(depth, smallest, np.diff(some.indptr)[filled], are_reads=are_reads)


def _call_program(batch: _Batch, program: Program) -> _Result:
    """Call one programme."""
    import pandas as pd

    batch = replace(batch, levels=_levels(batch.read, program))
    adata, rows = batch.adata, batch.read.genes(program.markers)
    found = [marker for marker in program.markers if rows[marker.name] or batch.absent_as_zero]
    names = [marker.name for marker in program.markers]
    empty = pd.DataFrame(np.nan, index=adata.obs_names, columns=names)
    result = _Result(
        empty, empty.fillna(0.0), np.full(adata.n_obs, np.nan), np.zeros(adata.n_obs, dtype=bool)
    )
    core = [marker for marker in program.core if marker in found]
    reason = _why_not(program, core, adata.n_obs)
    fits: SampleCalls | None = None
    if not reason:
        fits = _call_markers(batch, core, program.min_markers, result)
        result.probability, result.positive = fits.calls.probability, fits.calls.positive
        result.left_out = _leave_one_out(batch, core, fits)
    for marker in found:
        if marker not in core and adata.n_obs >= FEWEST_CELLS:
            _call_markers(batch, [marker], 1, result)
    result.state = _states(batch.read, program, result, batch.levels, measurable=not reason)
    result.record = _record(batch, program, core, result, reason) | {"fits": _fit_table(fits)}
    return result


def _levels(read: MarkerCounts, program: Program) -> dict[str, float]:
    """Level of each marker, share of a cell's counts: as the programme gives it, else learned from the cells."""
    from scdiff.assay.levels import learn_levels

    given = {
        marker.name: marker.level_cp10k / 1e4
        for marker in program.markers
        if marker.level_cp10k is not None
    }
    unknown = [marker for marker in program.markers if marker.level_cp10k is None]
    learned = learn_levels(read.of(unknown), read.depth)
    return given | {
        marker.name: float(level) for marker, level in zip(unknown, learned, strict=True)
    }


def _why_not(program: Program, core: Sequence[Marker], n_cells: int) -> str:
    """Say why a programme cannot be measured; empty if it can."""
    absent = [marker.name for marker in program.core if marker not in core]
    if len(core) < program.min_markers:
        verb, pronoun = ("has", "it") if len(absent) == 1 else ("have", "they")
        return f"{' and '.join(absent)} {verb} no row in this matrix; absent is not zero, so {pronoun} cannot be called negative"
    if n_cells < FEWEST_CELLS:
        return f"only {n_cells} cell is left, and a background needs at least {FEWEST_CELLS}"
    return ""


def _call_markers(
    batch: _Batch, markers: Sequence[Marker], min_markers: int, result: _Result
) -> SampleCalls:
    """Run some markers through the assay; fill their columns of ``result``."""
    from scdiff.assay.mixture import Model
    from scdiff.assay.priors import LEVEL_SD, MOST_REACH, UNKNOWN_LEVEL_SD
    from scdiff.assay.samples import call_samples

    names = [marker.name for marker in markers]
    levels = np.array([batch.levels[marker.name] for marker in markers])
    learned = any(marker.level_cp10k is None for marker in markers)
    model = Model(tuple(levels), min_markers, level_sd=UNKNOWN_LEVEL_SD if learned else LEVEL_SD)
    if model.witness is not None:
        result.foreign = _foreign(batch, markers, model.witness)
        model = replace(
            model, reach=min(result.foreign.reach, MOST_REACH) if result.foreign else 0.0
        )
    samples, control = batch.adata.obs["sample"].astype(str), select_control_cells(batch.adata)
    counts, depth, doublets, soups = (
        batch.read.of(markers),
        batch.read.depth,
        batch.doublets,
        _soups(batch, markers),
    )
    called = call_samples(
        counts,
        depth,
        samples,
        model,
        control=control,
        rate=batch.fdr,
        doublet_rates=doublets,
        soups=soups,
    )
    result.evidence[names], result.on[names] = (
        called.calls.evidence,
        called.calls.marker_probability,
    )
    pooled = called.fits[POOLED]
    rates = (
        np.array([pooled.parameters.background, pooled.parameters.level, pooled.model.soup_share])
        * 1e4
    )
    result.rates_cp10k |= dict(zip(names, map(tuple, rates.T), strict=True))
    return called


def _foreign(batch: _Batch, markers: Sequence[Marker], witness: int) -> Foreign | None:
    """Measure what comes along with the marker that tells the contamination."""
    marker, rows = markers[witness], batch.read.genes(markers)
    excluded = [gene for genes in rows.values() for gene in genes]
    return find_foreign(
        batch.adata,
        batch.read.of([marker])[:, 0],
        batch.read.depth,
        batch.levels[marker.name],
        excluded,
    )


def _soups(batch: _Batch, markers: Sequence[Marker]) -> dict[str, Soup]:
    """Find what the empty droplets hold, by sample and for row ``all``, where it is known."""
    samples = batch.adata.obs["sample"].astype(str)
    groups = {name: [name] for name in samples.unique()} | {
        POOLED: samples[select_pooled_cells(batch.adata)].unique()
    }
    found = {name: batch.read.soup_of(markers, inside) for name, inside in groups.items()}
    return {name: soup for name, soup in found.items() if soup is not None}


def _leave_one_out(
    batch: _Batch, core: Sequence[Marker], fits: SampleCalls
) -> dict[str, tuple[float, float]]:
    """Prevalence and number of calls without each marker, over all samples that are no controls."""
    from scdiff.assay.fmo import leave_one_out

    kept, read = select_pooled_cells(batch.adata), batch.read
    found = leave_one_out(
        read.of(core)[kept],
        read.depth[kept],
        fits.fits[POOLED],
        rate=batch.fdr,
        doublet_rate=batch.doublets[POOLED],
    )
    return {
        marker.name: (without.prevalence, float(without.n_called))
        for marker, without in zip(core, found, strict=False)
    }


def _states(
    read: MarkerCounts,
    program: Program,
    result: _Result,
    levels: Mapping[str, float],
    *,
    measurable: bool,
) -> np.ndarray:
    """State of each cell: the first rule that it meets; ``unassigned`` where neither side is sure."""
    rate = read.of(program.markers) / np.maximum(read.depth, 1)[:, None] * 1e4
    high = {
        marker.name: rate[:, index] >= HIGH_SHARE * levels[marker.name] * 1e4
        for index, marker in enumerate(program.markers)
    }
    on = {
        name: ((result.on[name] > 0.5) & (result.evidence[name] > 0)).to_numpy()
        for name in result.on.columns
    }
    unsure = (
        (result.probability > UNSURE) & ~result.positive
        if measurable
        else np.ones(len(rate), dtype=bool)
    )
    state = np.where(
        result.positive, program.positive, np.where(unsure, "unassigned", "negative")
    ).astype(object)
    for rule in reversed(program.states):
        group = result.positive if rule.within else ~result.positive & ~unsure
        state[group & _meets(rule, on, high)] = rule.name
    return state


def _meets(rule: StateRule, on: dict[str, np.ndarray], high: dict[str, np.ndarray]) -> np.ndarray:
    """Cells that meet the marker conditions of a rule, shape (n_cells,)."""
    meets = np.ones(len(next(iter(on.values()))), dtype=bool)
    for name in rule.on:
        meets &= on[name]
    for name in rule.high:
        meets &= high[name]
    return meets & np.any([on[name] for name in rule.any], axis=0) if rule.any else meets


def _state_names(program: Program) -> list[str]:
    """All states that a cell of the programme can be in."""
    return [
        *dict.fromkeys(
            [*(rule.name for rule in program.states), program.positive, "unassigned", "negative"]
        )
    ]


def _record(
    batch: _Batch, program: Program, core: Sequence[Marker], result: _Result, reason: str
) -> dict[str, Any]:
    """Put together what ``uns`` keeps of one programme."""
    import pandas as pd

    rows, counts = batch.read.genes(program.markers), batch.read.of(program.markers)
    genes = [",".join(batch.adata.var_names[rows[marker.name]]) for marker in program.markers]
    on = (result.on > 0.5) & (result.evidence > 0)
    names = [marker.name for marker in program.markers]
    rates = np.array([result.rates_cp10k.get(name, (np.nan,) * 3) for name in names])
    without = np.array([result.left_out.get(name, (np.nan, np.nan)) for name in names])
    detected = (counts > 0).sum(axis=0)
    asked = {marker.name: marker.genes(batch.read.species) for marker in program.markers}
    columns = {
        "genes": genes,
        "background_cp10k": rates[:, 0],
        "level_cp10k": rates[:, 1],
        "soup_cp10k": rates[:, 2],
    }
    columns |= {"prevalence_without": without[:, 0], "n_called_without": without[:, 1]}
    markers = pd.DataFrame(
        columns | {"n_on": on.sum().to_numpy(), "n_detected": detected}, index=names
    )
    markers["found_as"] = [names_in_file(batch.adata, rows[name]) for name in names]
    markers["state"] = classify_markers(batch.adata, rows, asked, detected)
    return {
        "found": np.array([marker.name for marker in core], dtype=str),
        "absent": np.array([name for name in rows if not rows[name]], dtype=str),
        "doubt": batch.doubt,
        "measurable": not reason,
        "reason": reason,
        "markers": markers,
    }


def _fit_table(called: SampleCalls | None) -> pd.DataFrame:
    """One row per fit with the numbers that put it together again; empty where nothing was fitted."""
    import pandas as pd

    from scdiff.assay.samples import fit_record

    if called is None:
        return pd.DataFrame({"min_markers": pd.Series(dtype=float)}, index=pd.Index([], dtype=str))
    return pd.DataFrame({sample: fit_record(fit) for sample, fit in called.fits.items()}).T
