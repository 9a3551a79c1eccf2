"""scorecard: the read-outs of one claim, from the calls and the table of fractions.

Not part of the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import UnknownNameError, did_you_mean
from scdiff.options import step
from scdiff.programs import SCORECARDS, Program
from scdiff.record import read_programs, read_record
from scdiff.vocabulary import NO_NUMBER

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["COLUMNS", "programs_on", "scorecard"]

COLUMNS = (
    "program", "title", "sample", "n_cells", "n_called", "fraction", "prevalence", "prevalence_low",
    "prevalence_high", "lob", "lod", "verdict", "direction", "at_least", "at_most", "criterion",
    "expected", "shared_genes", "reason", "source",
)  # fmt: skip
"""Columns of the table, and of ``scorecard_<name>.csv``."""


@step
def scorecard(adata: AnnData, *, name: str) -> pd.DataFrame:
    """Return the read-outs of a scorecard: fraction, expectation and criterion of each.

    Use it after :func:`scdiff.tl.fraction`, on a run whose programmes are on the scorecard:
    ``programs=["all"]``, or the name of the scorecard among them.

    Parameters
    ----------
    adata
        Cells x genes; not changed.
    name
        One of :data:`scdiff.programs.SCORECARDS`.

    Returns
    -------
    One row per read-out and sample, with :data:`COLUMNS`. Fractions are 0-1. ``criterion`` is
    ``met``, ``not met``, ``open`` (the limit is inside the interval) or empty if there is no
    criterion. ``shared_genes`` names markers that count for other programmes of the run too.

    Reads
    -----
    uns["scdiff"]["fractions"], uns["scdiff"]["call"]

    Raises
    ------
    UnknownNameError
        If the scorecard is unknown.
    """
    if name not in SCORECARDS:
        raise UnknownNameError(f"unknown scorecard {name!r}. {did_you_mean(name, SCORECARDS)}")
    return _gather(adata, programs_on(adata, name))


def programs_on(adata: AnnData, name: str) -> list[Program]:
    """Return the called programmes of a run that are on a scorecard."""
    programs = read_programs(adata).values()
    return [program for program in programs if program.scorecard == name and program.is_called]


def _gather(adata: AnnData, programs: Sequence[Program]) -> pd.DataFrame:
    """Return the read-outs of some programmes."""
    import pandas as pd

    table, call = read_record(adata, "fractions"), read_record(adata, "call")
    every = read_programs(adata).values()
    names = ("title", "direction", "at_least", "at_most", "expected", "source")
    rows = []
    for program in programs:
        facts = {name: getattr(program, name) for name in names}
        facts |= {"shared_genes": _name_shared_genes(program, every)}
        why = str(call.get(program.name, {}).get("reason", ""))
        chosen = table["program"].astype(str) == program.name
        chosen &= table["state"].astype(str) == program.positive
        for row in table[chosen].to_dict("records"):
            reason = str(row.get("reason") or "") or why
            rows.append(
                row | facts | {"criterion": _check_criterion(program, row), "reason": reason}
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _name_shared_genes(program: Program, others: Iterable[Program]) -> str:
    """Name the markers that count for other programmes of the run too.

    For example ``SOX9: off_chondro, stage_ductal``.
    """
    own = {gene for marker in program.core for gene in marker.human}
    homes: dict[str, list[str]] = {}
    for other in others:
        if other.name != program.name and len(other.core) > 1 < len(program.core):
            for gene in own & {gene for marker in other.core for gene in marker.human}:
                homes.setdefault(gene, []).append(other.name)
    return "; ".join(f"{gene}: {', '.join(names)}" for gene, names in sorted(homes.items()))


def _check_criterion(program: Program, row: Mapping[Any, Any]) -> str:
    """Compare the interval with the criterion: ``met``, ``not met`` or ``open``.

    Empty without a criterion or if the programme is not measurable.
    """
    least, most = program.at_least, program.at_most
    if (least is None and most is None) or row["verdict"] in NO_NUMBER:
        return ""
    low, high = float(row["prevalence_low"]), float(row["prevalence_high"])
    least, most = -np.inf if least is None else least, np.inf if most is None else most
    if high < least or low > most:
        return "not met"
    return "met" if low >= least and high <= most else "open"
