"""The report: one page, its tables and figures, the result, and what other tools gather from it.

Nothing in the output folder looks finished before everything is: all is written to a partial folder first,
then moved, ``report.html`` last.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scdiff.assay.dose import DOSE_CELLS
from scdiff.options import step
from scdiff.steps.dose import DoseCells, Viability, WeightKg

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["report"]


@step
def report(
    adata: AnnData, *, out: Path, dose_cells: DoseCells = DOSE_CELLS, viability: Viability = 1.0, weight_kg: WeightKg | None = None
) -> None:
    """Write the report of a finished run to a folder.

    Last step of a run; also useful alone, to write the report of a stored result again. Sections whose keys
    are missing are shown as not run, sections that fail are shown as failed, with the reason.

    Parameters
    ----------
    adata
        Result of the other steps; at least ``load``, ``qc``, ``call`` and ``fraction``.
    out
        Folder; made where it does not exist. Files of an earlier report in it are replaced, others are left alone.
    dose_cells
        Cells of a dose as administered; the report says how many of them are expected to be positive.
    viability
        Share of these that is viable; 1 where the dose counts viable cells only.
    weight_kg
        Body weight, kg, for the cells per kg.

    Reads
    -----
    Every key of :mod:`scdiff.keys` that is there.

    Writes
    ------
    ``uns["scdiff"]["dose"]``. In ``out``: ``report.html``, ``tables/``, ``figures/``, ``result.h5ad``, ``scdiff_mqc.json``,
    ``scdiff_states_mqc.json``, ``versions.yml``.

    Raises
    ------
    ConfigError
        If an option is out of range.
    OutputError
        If the folder cannot be written; no new ``report.html`` is there then.
    """
    from scdiff.report.output import stage_report, write_report
    from scdiff.report.sections import all_sections
    from scdiff.steps.dose import dose

    adata.uns["scdiff"]["dose"] = dose(adata, cells=dose_cells, viability=viability, weight_kg=weight_kg)
    with stage_report(Path(out)) as folder:
        write_report(adata, all_sections(adata), folder, batch=Path(out).resolve().name)
