"""Step 6: call the cells of each programme, from raw counts and the depth of each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from scdiff import keys
from scdiff.compute.parallel import each, many
from scdiff.options import step
from scdiff.palette import colours
from scdiff.programs import Program, load_programs
from scdiff.record import DEFINITIONS, as_text_array, dump_programs
from scdiff.steps.call.calibration import calibrate_programs
from scdiff.steps.call.fits import tabulate_fits
from scdiff.steps.call.markers import Batch, Result
from scdiff.steps.call.nascent import read_parts
from scdiff.steps.call.program import call_program
from scdiff.steps.call.samples import estimate_doublets, explain_doubt, refuse_unknown_genes
from scdiff.steps.call.sets import SetResult, call_sets
from scdiff.steps.call.states import list_states
from scdiff.steps.shared.controls import correct_by_controls
from scdiff.steps.shared.markers import read_markers

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["call"]


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
    """Call the cells above background for each programme, at a stated false discovery rate.

    Use it after :func:`scdiff.pp.qc`. It reads raw counts only: corrected, smoothed or integrated
    values are not used. Each sample is fitted separately; its fit starts from that of the pooled
    samples.

    Parameters
    ----------
    adata
        Cells x genes.
    programs
        Names of shipped programmes or paths of TOML files; the first with markers is the main one.
        If empty, the default ones.
    fdr
        Expected share of false calls among the called cells, between 0 and 1.
    absent_as_zero
        Count a marker without a row in the matrix as measured and never detected. Correct only if
        the reference contained the gene.
    doublet_rate
        Share of droplets with two cells, 0-0.3. If missing: 0.8 % per 1,000 cells of a sample for
        UMI, 0 for reads of plates.
    null_sets
        Number of gene sets as abundant as the markers. They give and check the p-values; 0 skips
        the calibration.

    Reads
    -----
    layers["counts"], obs["sample"], uns["scdiff"]["input"]; layers["unspliced"] and
    layers["spliced"] (if given): unspliced reads of a marker are evidence that the cell transcribes
    it, so they change calls, but not the prevalence

    Writes
    ------
    obsm["scdiff_evidence"], obsm["scdiff_probabilities"], obsm["scdiff_positive"],
    obsm["scdiff_p_value"], obs["scdiff_state"], obs["scdiff_probability"],
    uns["scdiff_state_colors"], uns["scdiff"]["call"]

    Raises
    ------
    UnknownNameError, ProgramError
        If a programme is unknown, breaks the schema, or no programme has markers.
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
        refuse_unknown_genes(adata)
    doublets, read = estimate_doublets(adata, doublet_rate), read_markers(adata, called)
    facts = (fdr, absent_as_zero, doublets, explain_doubt(adata, read.depth))
    batch = Batch(adata, read, *facts, parts=read_parts(adata, read))
    results, main = _call_programs(batch, loaded), loaded[0]
    results[main.name].record |= correct_by_controls(adata, main, read, results[main.name].record)
    _write_cells(adata, results)
    records = {name: result.record for name, result in results.items()}
    adata.obsm[keys.P_VALUE.name] = calibrate_programs(adata, loaded, read, records, null_sets, fdr)
    of_sets = [program for program in called if not program.markers]
    for name, of_set in call_sets(adata, of_sets, read, null_sets, fdr).items():
        _add_set(adata, name, of_set)
        records[name] = of_set.record | {"fits": tabulate_fits(None)}
    _write_main(adata, main, results[main.name])
    adata.uns[keys.ROOT][keys.CALL.name] = records | {
        "main": main.name,
        "fdr": fdr,
        "absent_as_zero": absent_as_zero,
        "programs": np.array(list(programs), dtype=str),
        DEFINITIONS: dump_programs(every),
        "doublet_rates": pd.Series(doublets, dtype=float).rename("rate").to_frame(),
    }


def _call_programs(batch: Batch, programs: Sequence[Program]) -> dict[str, Result]:
    """Call several programmes in parallel; those with most markers start first."""
    # loaded once, before processes share them: each of them would load scipy.stats
    from scdiff.assay import calibration, fmo, samples  # noqa: F401

    longest_first = sorted(programs, key=lambda program: -len(program.markers))
    fitted = each(partial(call_program, batch), longest_first, worthwhile=many(batch.adata))
    found = dict(zip([program.name for program in longest_first], fitted, strict=True))
    return {program.name: found[program.name] for program in programs}


def _write_cells(adata: AnnData, results: Mapping[str, Result]) -> None:
    """Write evidence, probability and calls of each programme into ``obsm``."""
    import pandas as pd

    cells = adata.obs_names
    adata.obsm[keys.EVIDENCE.name] = pd.concat(
        [result.evidence.add_prefix(f"{name}:") for name, result in results.items()], axis=1
    )
    adata.obsm[keys.PROBABILITIES.name] = pd.DataFrame(
        {name: result.probability for name, result in results.items()}, index=cells
    )
    adata.obsm[keys.POSITIVE.name] = pd.DataFrame(
        {name: result.positive for name, result in results.items()}, index=cells
    )


def _add_set(adata: AnnData, name: str, found: SetResult) -> None:
    """Add the columns of a programme that is called by its gene set."""
    columns = {"scdiff_evidence": found.score, "scdiff_probabilities": found.probability}
    columns |= {"scdiff_positive": found.positive, "scdiff_p_value": found.p_value}
    for slot, values in columns.items():
        adata.obsm[slot][f"{name}:{name}" if slot == "scdiff_evidence" else name] = values


def _write_main(adata: AnnData, main: Program, result: Result) -> None:
    """Write probability, state and colours of the states of the main programme.

    Categories without a cell are removed: scanpy draws a row for each and fails on an empty one.
    """
    import pandas as pd

    adata.obs[keys.PROBABILITY.name] = result.probability
    states = pd.Categorical(result.state, categories=list_states(main)).remove_unused_categories()
    adata.obs[keys.STATE.name] = states
    shades = list(colours(list(states.categories)).values())
    adata.uns[keys.STATE_COLOURS.name] = as_text_array(shades)
