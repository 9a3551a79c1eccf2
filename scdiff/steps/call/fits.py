"""Build the record of one programme: its markers, its fits, and why it was not measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.programs import Marker, Program
from scdiff.steps.call.markers import Batch, Result
from scdiff.steps.shared.states import classify_markers, names_in_file

if TYPE_CHECKING:
    import pandas as pd

    from scdiff.assay.samples import SampleCalls

__all__ = ["build_record", "tabulate_fits"]


def build_record(
    batch: Batch, program: Program, core: Sequence[Marker], result: Result, reason: str
) -> dict[str, Any]:
    """Return the entries that ``uns`` keeps of one programme.

    ``reason`` says why it cannot be measured; empty if it can.
    """
    rows = batch.read.genes(program.markers)
    return {
        "found": np.array([marker.name for marker in core], dtype=str),
        "absent": np.array([name for name in rows if not rows[name]], dtype=str),
        "doubt": batch.doubt,
        "measurable": not reason,
        "reason": reason,
        "markers": _tabulate_markers(batch, program, result),
    }


def _tabulate_markers(batch: Batch, program: Program, result: Result) -> pd.DataFrame:
    """Return one row per marker: its genes, rates, number of cells, and state in the file."""
    import pandas as pd

    rows, counts = batch.read.genes(program.markers), batch.read.of(program.markers)
    names = [marker.name for marker in program.markers]
    on = (result.on > 0.5) & (result.evidence > 0)
    rates = np.array([result.rates_cp10k.get(name, (np.nan,) * 3) for name in names])
    without = np.array([result.left_out.get(name, (np.nan, np.nan)) for name in names])
    detected = (counts > 0).sum(axis=0)
    symbols = {marker.name: marker.genes(batch.read.species) for marker in program.markers}
    columns = {
        "genes": [",".join(batch.adata.var_names[rows[name]]) for name in names],
        "background_cp10k": rates[:, 0],
        "level_cp10k": rates[:, 1],
        "soup_cp10k": rates[:, 2],
        "prevalence_without": without[:, 0],
        "n_called_without": without[:, 1],
        "n_on": on.sum().to_numpy(),
        "n_detected": detected,
    }
    markers = pd.DataFrame(columns, index=names)
    markers["found_as"] = [names_in_file(batch.adata, rows[name]) for name in names]
    markers["state"] = classify_markers(batch.adata, rows, symbols, detected)
    return markers


def tabulate_fits(called: SampleCalls | None) -> pd.DataFrame:
    """Return one row per fit with the numbers that restore it; no row without a fit."""
    import pandas as pd

    from scdiff.assay.samples import fit_record

    if called is None:
        return pd.DataFrame({"min_markers": pd.Series(dtype=float)}, index=pd.Index([], dtype=str))
    return pd.DataFrame({sample: fit_record(fit) for sample, fit in called.fits.items()}).T
