"""Call the cells of one programme: fit its markers together, its other markers one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from scdiff import keys
from scdiff.compute.parallel import each, many
from scdiff.programs import Marker, Program
from scdiff.steps.call.fits import build_record, tabulate_fits
from scdiff.steps.call.markers import (
    Batch,
    Result,
    build_model,
    choose_levels,
    leave_out_markers,
    read_ambient,
)
from scdiff.steps.call.states import assign_states
from scdiff.steps.shared.markers import select_control_cells
from scdiff.vocabulary import POOLED

if TYPE_CHECKING:
    from scdiff.assay.samples import SampleCalls

__all__ = ["call_program"]

FEWEST_CELLS = 2
"""Number of cells from which a background can be fitted: the variation between cells needs two."""


def call_program(batch: Batch, program: Program) -> Result:
    """Call the cells of one programme, and measure its other markers one by one."""
    batch = replace(batch, levels=choose_levels(batch.read, program))
    rows = batch.read.genes(program.markers)
    found = [marker for marker in program.markers if rows[marker.name] or batch.absent_as_zero]
    core = [marker for marker in program.core if marker in found]
    result = _start_result(batch, program)
    reason = _explain_refusal(program, core, batch.adata.n_obs)
    fits: SampleCalls | None = None
    if not reason:
        fits = call_markers(batch, core, program.min_markers, result)
        result.probability, result.positive = fits.calls.probability, fits.calls.positive
        result.left_out = leave_out_markers(batch, core, fits)
    for marker in found:
        if marker not in core and batch.adata.n_obs >= FEWEST_CELLS:
            call_markers(batch, [marker], 1, result)
    result.state = assign_states(batch.read, program, result, batch.levels, measurable=not reason)
    result.record = build_record(batch, program, core, result, reason)
    result.record["fits"] = tabulate_fits(fits)
    return result


def call_markers(
    batch: Batch, markers: Sequence[Marker], min_markers: int, result: Result
) -> SampleCalls:
    """Fit some markers together, sample by sample, and fill their columns of ``result``."""
    from scdiff.assay.samples import call_samples

    names = [marker.name for marker in markers]
    called = call_samples(
        batch.read.of(markers),
        batch.read.depth,
        batch.adata.obs[keys.SAMPLE.name].astype(str),
        build_model(batch, markers, min_markers, result),
        control=select_control_cells(batch.adata),
        rate=batch.fdr,
        doublet_rates=batch.doublets,
        soups=read_ambient(batch, markers),
        nascent=batch.parts.of(batch.read, markers) if batch.parts else None,
        each=partial(each, worthwhile=many(batch.adata), what="samples"),
    )
    result.evidence[names] = called.calls.evidence
    result.on[names] = called.calls.marker_probability
    pooled = called.fits[POOLED]
    fitted = [pooled.parameters.background, pooled.parameters.level, pooled.model.soup_share]
    rates = np.array(fitted) * 1e4
    result.rates_cp10k |= dict(zip(names, map(tuple, rates.T), strict=True))
    return called


def _start_result(batch: Batch, program: Program) -> Result:
    """Return the result of a programme before any marker is measured."""
    import pandas as pd

    n_cells, names = batch.adata.n_obs, [marker.name for marker in program.markers]
    empty = pd.DataFrame(np.nan, index=batch.adata.obs_names, columns=names)
    never = np.zeros(n_cells, dtype=bool)
    return Result(empty, empty.fillna(0.0), np.full(n_cells, np.nan), never)


def _explain_refusal(program: Program, core: Sequence[Marker], n_cells: int) -> str:
    """Return why a programme cannot be measured; empty if it can."""
    absent = [marker.name for marker in program.core if marker not in core]
    if len(core) < program.min_markers:
        verb, pronoun = ("has", "it") if len(absent) == 1 else ("have", "they")
        return (
            f"{' and '.join(absent)} {verb} no row in this matrix; absent is not zero, "
            f"so {pronoun} cannot be called negative"
        )
    if n_cells < FEWEST_CELLS:
        return f"only {n_cells} cell is left, and a background needs at least {FEWEST_CELLS}"
    return ""
