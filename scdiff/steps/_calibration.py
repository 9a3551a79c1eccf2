"""Calibration of the called programmes on the batch's own counts: what :func:`scdiff.tl.call` adds to its result."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.programs import Program
from scdiff.steps._markers import MarkerCounts

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scdiff.assay.calibration import Batch
    from scdiff.assay.fit import Fit

logger = logging.getLogger(__name__)

__all__ = ["calibrated"]

BLANKS = 20


def calibrated(
    adata: AnnData,
    programs: Sequence[Program],
    read: MarkerCounts,
    records: Mapping[str, dict[str, Any]],
    null_sets: int,
    rate: float,
) -> pd.DataFrame:
    """Find p-values, cells x programmes (NaN where not measurable), and put each programme's calibration into its record.

    The first programme, the main one, also gets its blank: null sets that go through the full caller.
    """
    import pandas as pd

    from scdiff.assay.calibration import Batch

    batch = Batch(adata.layers["counts"], adata.obs_names, adata.var_names)
    p_values = pd.DataFrame(np.nan, index=adata.obs_names, columns=[program.name for program in programs])
    for program in programs:
        record = records[program.name]
        if null_sets and record["measurable"]:
            blanks = BLANKS if program is programs[0] else 0
            p_values[program.name], record["calibration"] = _calibrated(batch, program, read, record, (null_sets, blanks), rate)
    return p_values


def _calibrated(
    batch: Batch, program: Program, read: MarkerCounts, record: Mapping[str, Any], sets: tuple[int, int], rate: float
) -> tuple[Any, dict[str, Any]]:
    """Calibrate one programme; where the matrix has too few genes, the record says so."""
    from scdiff.assay.calibration import calibrate, calibration_record
    from scdiff.errors import InputError

    found = [marker for marker in program.core if marker.name in set(record["found"])]
    counts = read.of(found)
    own = [gene for genes in read.genes([*program.markers, *program.sets]).values() for gene in genes]
    fit = _pooled_fit(record, counts, read.depth)
    try:
        calibration = calibrate(batch, counts, fit, excluded=own, n_sets=sets[0], n_blanks=sets[1], rate=rate)
    except InputError as error:
        return np.nan, {"notes": np.array([str(error)], dtype=str)}
    for note in calibration.notes[: calibration.n_off]:
        logger.warning("%s: %s", program.name, note)
    return calibration.p_value, calibration_record(calibration)


def _pooled_fit(record: Mapping[str, Any], counts: np.ndarray, depth: np.ndarray) -> Fit:
    """Put the fit to all samples together again."""
    from scdiff.assay.samples import fit_from_record

    return fit_from_record(record["fits"].loc["all"].to_dict(), counts, depth)
