"""The report: one page, its tables and figures, the result, and what other tools gather from it.

Nothing in the output folder looks finished before everything is: all is written to a partial folder first,
then moved, ``report.html`` last.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

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

    Last step of a run; also useful alone, to write the report of a stored result again. Sections whose keys
    are missing are shown as not run, sections that fail are shown as failed, with the reason. In a notebook,
    ``scdiff.report(adata, "out.html")`` is the same function.

    Parameters
    ----------
    adata
        Result of the other steps; at least ``load`` or ``prepare``, ``call`` and ``fraction``.
    out
        Folder; made where it does not exist. Files of an earlier report in it are replaced, others are left alone.
        A name that ends in ``.html`` gives one page that needs no other file, and nothing else.
    dose_cells
        Cells of a dose as administered; the report says how many of them are expected to be positive.
    viability
        Share of these that is viable; 1 where the dose counts viable cells only.
    weight_kg
        Body weight, kg, for the cells per kg.
    cluster_key
        Column of ``obs`` with the clusters to show, such as your own; those of :func:`scdiff.pp.embed` where not given.
    use_rep
        Entry of ``obsm`` whose first two columns are the map to show; that of :func:`scdiff.pp.embed` where not given.

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
        If an option is out of range, or names a column or a map that is not there.
    OutputError
        If the folder or the page cannot be written; no new page is there then.
    """
    from scdiff.report.output import stage_report, write_page, write_report
    from scdiff.report.sections import all_sections
    from scdiff.steps.dose import dose
    from scdiff.steps.shared.own import replace_by_own

    out = Path(out)
    adata.uns["scdiff"]["dose"] = dose(
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
    """The package as the function that it is named after: ``scdiff.report(adata, "out.html")``."""

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
        """Call :func:`report`."""
        shown = {"cluster_key": cluster_key, "use_rep": use_rep}
        report(
            adata,
            out=Path(out),
            dose_cells=dose_cells,
            viability=viability,
            weight_kg=weight_kg,
            **shown,
        )
