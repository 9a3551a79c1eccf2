"""Beside the pipeline: the read-outs of one claim, gathered from the calls and the table of fractions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
    "program", "title", "sample", "n_cells", "n_called", "fraction", "prevalence", "prevalence_low", "prevalence_high", "lob", "lod",
    "verdict", "direction", "at_least", "at_most", "criterion", "expected", "shared_genes", "reason", "source",
)  # fmt: skip
"""Columns of the table, and of ``scorecard_<name>.csv``."""


@step
def scorecard(adata: AnnData, *, name: str) -> pd.DataFrame:
    """Gather the read-outs of a scorecard: how many cells show each, what was expected, and whether a criterion is met.

    Use it after :func:`scdiff.tl.fraction`, on a run whose programmes are on the scorecard: ``programs=["all"]``, or the
    name of the scorecard among them.

    Parameters
    ----------
    adata
        Cells x genes; not changed.
    name
        One of :data:`scdiff.programs.SCORECARDS`.

    Returns
    -------
    One row per read-out and sample, with :data:`COLUMNS`: fractions 0-1; ``criterion`` is ``met``, ``not met`` or ``open``
    (the interval holds it), empty without one; ``shared_genes`` names markers that count for other programmes of the run too.

    Reads
    -----
    uns["scdiff"]["fractions"], uns["scdiff"]["call"]

    Raises
    ------
    UnknownNameError
        If there is no such scorecard.
    """
    if name not in SCORECARDS:
        raise UnknownNameError(f"unknown scorecard {name!r}. {did_you_mean(name, SCORECARDS)}")
    return _table(adata, programs_on(adata, name))


def programs_on(adata: AnnData, name: str) -> list[Program]:
    """Take the called programmes of a run that are on a scorecard."""
    return [program for program in read_programs(adata).values() if program.scorecard == name and program.is_called]


def _table(adata: AnnData, programs: Sequence[Program]) -> pd.DataFrame:
    """Gather the read-outs of some programmes."""
    import pandas as pd

    table, call, every = read_record(adata, "fractions"), read_record(adata, "call"), read_programs(adata).values()
    rows = []
    for program in programs:
        facts = {name: getattr(program, name) for name in ("title", "direction", "at_least", "at_most", "expected", "source")}
        facts |= {"shared_genes": _shared(program, every)}
        why = str(call.get(program.name, {}).get("reason", ""))
        chosen = (table["program"].astype(str) == program.name) & (table["state"].astype(str) == program.positive)
        rows += [
            row | facts | {"criterion": _criterion(program, row), "reason": str(row.get("reason") or "") or why}
            for row in table[chosen].to_dict("records")
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _shared(program: Program, others: Iterable[Program]) -> str:
    """Name the markers that count for other programmes of the run as well, as in ``SOX9: off_chondro, stage_ductal``."""
    own = {gene for marker in program.core for gene in marker.human}
    homes: dict[str, list[str]] = {}
    for other in others:
        if other.name != program.name and len(other.core) > 1 < len(program.core):
            for gene in own & {gene for marker in other.core for gene in marker.human}:
                homes.setdefault(gene, []).append(other.name)
    return "; ".join(f"{gene}: {', '.join(names)}" for gene, names in sorted(homes.items()))


def _criterion(program: Program, row: Mapping[Any, Any]) -> str:
    """Hold the interval to the criterion: ``met``, ``not met``, ``open``; empty without one or where not measurable."""
    least, most = program.at_least, program.at_most
    if (least is None and most is None) or row["verdict"] in NO_NUMBER:
        return ""
    low, high = float(row["prevalence_low"]), float(row["prevalence_high"])
    if (least is not None and high < least) or (most is not None and low > most):
        return "not met"
    return "met" if (least is None or low >= least) and (most is None or high <= most) else "open"
