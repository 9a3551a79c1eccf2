"""Validate a programme on held-out cells: calls by label, and titrations with known truth."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
from scdiff.panels.choose import BATCH_CELLS
from scdiff.panels.measure import CONTAMINATION, FROM_TARGET
from scdiff.panels.reference import Cells
from scdiff.programs import Program
from scdiff.programs.write import format_program
from scdiff.vocabulary import DETECTED, POOLED, QUANTIFIED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["FRACTIONS", "call_labels", "titrate_held_out"]

FRACTIONS = (0.0, 0.0, 0.0, 0.003, 0.01, 0.03, 0.1, 0.3)
"""True fractions of the titration; several blanks."""


def call_labels(cells: Cells, program: Program, target: str) -> pd.DataFrame:
    """Call held-out cells by :func:`scdiff.tl.call`; return one row per label.

    Parameters
    ----------
    cells
        Held-out cells.
    program
        The programme.
    target
        The target label, which comes first.

    Returns
    -------
    ``label``, ``is_target``, ``n_cells``, ``n_called``, ``called`` (share, 0-1) and its 95 %
    interval; the target first, then by falling share.
    """
    import pandas as pd

    from scdiff.assay.intervals import clopper_pearson

    work = _call(_as_object(cells), program, cells)
    positive = work.obsm[keys.POSITIVE.name][program.name].to_numpy(dtype=bool)
    rows = []
    for label in np.unique(cells.labels):
        inside = positive[cells.labels == label]
        low, high = clopper_pearson(int(inside.sum()), len(inside))
        numbers = {"n_cells": len(inside), "n_called": int(inside.sum()), "called": inside.mean()}
        ends = {"called_low": low, "called_high": high}
        rows.append({"label": str(label), "is_target": label == target} | numbers | ends)
    order = ["is_target", "called", "n_cells"]
    table = pd.DataFrame(rows).sort_values(order, ascending=False, kind="stable")
    return table.reset_index(drop=True)


def titrate_held_out(cells: Cells, program: Program, target: str, *, seed: int) -> pd.DataFrame:
    """Mix held-out target cells into the other ones, or into the background, and measure them.

    Parameters
    ----------
    cells
        Held-out cells.
    program
        The programme.
    target
        The target label.
    seed
        Start of the random generators.

    Returns
    -------
    One row per mixture: ``true``, ``prevalence`` with its interval, ``recovery``, ``inside`` (the
    interval holds the truth), ``n_called``, ``lob``, ``lod``, ``lloq``, ``verdict``, ``reason``,
    ``false_find`` (detected without target cells).
    """
    import pandas as pd

    from scdiff.simulate.titration import titrate

    positives, others = cells.pick(cells.labels == target), cells.pick(cells.labels != target)
    if others.is_background.any():
        others = others.pick(others.is_background)
    depth, rows = float(np.median(cells.depth)), []
    sides = [_as_object(_pick_some(one, seed)) for one in (positives, others)]
    for number, fraction in enumerate(FRACTIONS):
        mixed = titrate(
            *sides,
            n_cells=BATCH_CELLS,
            fraction=fraction,
            depth=depth,
            contamination=CONTAMINATION,
            soup_share=FROM_TARGET,
            seed=seed + number,
        )
        rows.append(_measure(mixed, program, cells, fraction))
    return pd.DataFrame(rows)


def _pick_some(cells: Cells, seed: int) -> Cells:
    """Return at most twice the cells of a mixture, at random."""
    most = 2 * BATCH_CELLS
    if len(cells.names) <= most:
        return cells
    return cells.pick(
        np.random.default_rng([seed, 4]).choice(len(cells.names), most, replace=False)
    )


def _as_object(cells: Cells) -> AnnData:
    """Return cells as an object with counts in X."""
    import pandas as pd
    from anndata import AnnData

    names = pd.Index([f"cell{number}" for number in range(len(cells.names))], dtype=object)
    genes = pd.Index(cells.genes, dtype=object)
    return AnnData(
        cells.counts.astype(np.float32),
        obs=pd.DataFrame(index=names),
        var=pd.DataFrame(index=genes),
    )


def _call(adata: AnnData, program: Program, cells: Cells) -> AnnData:
    """Call the cells of an object as a run would: one sample, no doublets, no null sets."""
    from anndata import AnnData

    from scdiff.steps.call.step import call
    from scdiff.steps.load.step import load_object

    bare = AnnData(adata.X, obs=adata.obs, var=adata.var)
    options: dict[str, Any] = {"counts": "X", "sample": None, "donor": None, "control": ()}
    work, _ = load_object(bare, species=cells.species, **options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{program.name}.toml"
        path.write_text(format_program(program), encoding="utf-8")
        call(work, programs=[str(path)], null_sets=0, doublet_rate=0.0)
    return work


def _measure(mixed: AnnData, program: Program, cells: Cells, true: float) -> dict[str, Any]:
    """Return the row of one mixture."""
    from scdiff.steps.fraction.step import fraction

    truth = float(mixed.obs["truth_positive"].mean())
    mixed.obs = mixed.obs[[]]
    work = _call(mixed, program, cells)
    fraction(work)
    table = work.uns[keys.ROOT][keys.FRACTIONS.name]
    mine = (table["state"] == program.positive) & (table["sample"] == POOLED)
    row = table[mine].iloc[0]
    low, high = float(row["prevalence_low"]), float(row["prevalence_high"])
    measured = {name: row[name] for name in ("n_called", "lob", "lod", "lloq", "verdict", "reason")}
    return {
        "true": truth,
        "prevalence": float(row["prevalence"]),
        "prevalence_low": low,
        "prevalence_high": high,
        "recovery": float(row["prevalence"]) / truth if true else np.nan,
        "inside": bool(low <= truth <= high),
        **measured,
        "false_find": not true and row["verdict"] in (DETECTED, QUANTIFIED),
    }
