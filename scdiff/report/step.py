"""The report: one page, its tables and figures, the result, and files for other tools.

All files are written to a partial folder first and then moved, ``report.html`` last. The output
folder therefore never looks finished before it is.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from scdiff import keys
from scdiff.assay.dose import DOSE_CELLS
from scdiff.options import step
from scdiff.steps.dose import DoseCells, Viability, WeightKg

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["CallablePackage", "report"]


@step
def report(
    adata: AnnData,
    *,
    out: Path,
    dose_cells: DoseCells = DOSE_CELLS,
    viability: Viability = 1.0,
    weight_kg: WeightKg | None = None,
    cluster_key: str | None = None,
    use_rep: str | None = None,
) -> None:
    """Write the report of a finished run to a folder, or as one page.

    This is the last step of a run. Use it also to write the report of a stored result again.
    A section whose keys are missing is shown as not run. A section that fails is shown as failed,
    with the reason. In a notebook, call it as ``scdiff.report(adata, "out.html")``.

    Parameters
    ----------
    adata
        Result of at least ``load`` or ``prepare``, ``call`` and ``fraction``.
    out
        Folder, created if it does not exist. Files of an earlier report in it are replaced, other
        files are not changed. If the name ends in ``.html``, only one page is written, which
        needs no other file.
    dose_cells
        Number of cells in a dose as administered. The report states how many of them are expected
        to be positive.
    viability
        Viable share of these cells (0-1); 1 if the dose counts only viable cells.
    weight_kg
        Body weight in kg, for the number of cells per kg.
    cluster_key
        Column of ``obs`` with the clusters to show. The default is the clusters of
        :func:`scdiff.pp.embed`.
    use_rep
        Entry of ``obsm`` whose first two columns are the map to show. The default is the map of
        :func:`scdiff.pp.embed`.

    Reads
    -----
    Every key of :mod:`scdiff.keys` that the object has.

    Writes
    ------
    ``uns["scdiff"]["dose"]``. In ``out``: ``report.html``, ``tables/``, ``figures/``,
    ``result.h5ad``, ``scdiff_mqc.json``, ``scdiff_states_mqc.json``, ``versions.yml``.

    Raises
    ------
    ConfigError
        If an option is out of range, or names a column or a map that does not exist.
    OutputError
        If the folder or the page cannot be written; then there is no new page.
    """
    from scdiff.report.output import stage_report, write_page, write_report
    from scdiff.report.sections import all_sections
    from scdiff.steps.dose import dose
    from scdiff.steps.shared.own import replace_by_own

    out = Path(out)
    adata.uns[keys.ROOT][keys.DOSE.name] = dose(
        adata, cells=dose_cells, viability=viability, weight_kg=weight_kg
    )
    sections = all_sections(
        replace_by_own(adata, cluster_key=cluster_key, use_rep=use_rep, slot_of_rep="X_umap")
    )
    if out.suffix.lower() == ".html":
        write_page(adata, sections, out)
        return
    with stage_report(out) as folder:
        write_report(adata, sections, folder, batch=out.resolve().name)


class CallablePackage(ModuleType):
    """Package ``scdiff.report`` that is also a function: ``scdiff.report(adata, "out.html")``."""

    def __call__(
        self,
        adata: AnnData,
        out: Path | str,
        *,
        dose_cells: float = DOSE_CELLS,
        viability: float = 1.0,
        weight_kg: float | None = None,
        cluster_key: str | None = None,
        use_rep: str | None = None,
    ) -> None:
        """Write the report; see :func:`report`."""
        shown = {"cluster_key": cluster_key, "use_rep": use_rep}
        report(
            adata,
            out=Path(out),
            dose_cells=dose_cells,
            viability=viability,
            weight_kg=weight_kg,
            **shown,
        )
