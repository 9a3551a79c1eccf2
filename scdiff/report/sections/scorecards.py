"""Sections: one short page per scorecard, which gathers the programmes of one claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.errors import ScdiffError
from scdiff.programs import SCORECARDS, Program, load_programs
from scdiff.report.plots.fractions import read_outs
from scdiff.report.section import SECTIONS, Section, Table, picture
from scdiff.report.text import DASH, count, interval, percent

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["SCORE_COLUMNS", "run_programs", "scorecard_table"]

FEWEST = 2
"""A scorecard of fewer programmes says no more than the section of all programmes."""

SCORE_COLUMNS = (
    "program", "title", "sample", "n_cells", "n_called", "fraction", "prevalence", "prevalence_low", "prevalence_high", "lob", "lod",
    "verdict", "direction", "at_least", "at_most", "criterion", "expected", "shared_genes", "reason", "source",
)  # fmt: skip
"""Columns of ``scorecard_<name>.csv``."""

CLAIMS = {"up": "more is claimed", "down": "fewer is claimed", "either": ""}


def run_programs(adata: AnnData) -> dict[str, Program]:
    """Load the programmes of a run by name; without those whose file is gone.

    Reads
    -----
    ``uns["scdiff"]["call"]``
    """
    found: dict[str, Program] = {}
    for name in [str(name) for name in adata.uns["scdiff"]["call"].get("programs", ())] or [""]:
        try:
            found |= {program.name: program for program in load_programs([name] if name else None)}
        except ScdiffError:
            continue
    return found


def scorecard_table(adata: AnnData, programs: Sequence[Program]) -> pd.DataFrame:
    """Gather the read-outs of some programmes, a row per programme and sample, with :data:`SCORE_COLUMNS`.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``
    """
    import pandas as pd

    table, call, every = adata.uns["scdiff"]["fractions"], adata.uns["scdiff"]["call"], run_programs(adata).values()
    rows = []
    for program in programs:
        facts = {name: getattr(program, name) for name in ("title", "direction", "at_least", "at_most", "expected", "source")}
        facts |= {"shared_genes": _shared(program, every), "reason": str(call.get(program.name, {}).get("reason", ""))}
        chosen = (table["program"].astype(str) == program.name) & (table["state"].astype(str) == program.positive)
        rows += [row | facts | {"criterion": _criterion(program, row)} for row in table[chosen].to_dict("records")]
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def _shared(program: Program, others: Any) -> str:
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
    if (least is None and most is None) or row["verdict"] == "not measurable":
        return ""
    low, high = float(row["prevalence_low"]), float(row["prevalence_high"])
    if (least is not None and high < least) or (most is not None and low > most):
        return "not met"
    return "met" if (least is None or low >= least) and (most is None or high <= most) else "open"


def _scorecard(name: str) -> Callable[[AnnData], Section | None]:
    """Make the section of one scorecard."""

    def section(adata: AnnData) -> Section | None:
        if not (keys.has(adata, keys.FRACTIONS) and keys.has(adata, keys.CALL)):
            return None
        programs = [program for program in run_programs(adata).values() if program.scorecard == name and program.is_called]
        table = scorecard_table(adata, programs)
        pooled = table[table["sample"].astype(str) == "all"]
        if len(pooled) < FEWEST:
            return None
        file = f"scorecard_{name}.csv"
        drawing = picture(
            f"scorecard_{name}",
            lambda ax: read_outs(pooled, ax),
            caption=f"Prevalence in the {count(pooled['n_cells'].max())} cells of all samples, corrected for dropout and background, with "
            f"95 % intervals. Hollow: not detected, the line ends at the upper bound.{_marks(pooled)}",
            alt=f"Prevalence of each read-out of the scorecard {SCORECARDS[name]}, with intervals",
            table=file,
            size=(3.5, 0.9 + 0.27 * len(pooled)),
        )
        shown = Table(file, table, f"{SCORECARDS[name]}: every read-out and sample.", _view(pooled))
        return Section(SCORECARDS[name], f"scorecard_{name}", _description(programs), (drawing,), (shown,), _notes(programs, pooled))

    return section


def _marks(pooled: pd.DataFrame) -> str:
    """Explain the marks of criteria, if there are any."""
    return " Bars: the criterion, which is of the protein." if pooled[["at_least", "at_most"]].notna().any(axis=None) else ""


def _description(programs: Sequence[Program]) -> str:
    """Say what the scorecard is about."""
    claimed = {claim: [program.title for program in programs if program.direction == claim] for claim in ("up", "down")}
    words = [f"{word}: {', '.join(claimed[claim])}." for claim, word in (("up", "Claimed to be there"), ("down", "Better absent"))]
    said = [text for text, claim in zip(words, ("up", "down"), strict=True) if 0 < len(claimed[claim]) <= 6]
    return " ".join(["Transcripts only: neither protein nor function is measured.", *said])


def _view(pooled: pd.DataFrame) -> pd.DataFrame:
    """Say the read-outs in percent; columns that hold nothing are left out."""
    import pandas as pd

    view = pd.DataFrame([_said(row) for row in pooled.to_dict("records")])
    return view.loc[:, [column for column in view if column in ("read-out", "verdict") or (view[column] != "").any()]]


def _said(row: Mapping[Any, Any]) -> dict[str, str]:
    """Say one read-out."""
    missing = row["verdict"] == "not measurable"
    ends = interval(row["prevalence_low"], row["prevalence_high"])
    bounds = [
        f"{sign} {percent(row[key])} %"
        for key, sign in (("at_least", "≥"), ("at_most", "≤"))
        if row[key] == row[key] and row[key] is not None
    ]
    return {
        "read-out": str(row["title"]),
        "prevalence (95 %)": DASH if missing else f"{percent(row['prevalence'])} % ({ends})",
        "LOD": DASH if missing else f"{percent(row['lod'])} %",
        "verdict": str(row["verdict"]),
        "criterion (protein)": f"{' '.join(bounds)}: {row['criterion'] or DASH}" if bounds else "",
        "claim": CLAIMS[str(row["direction"])],
        "expected": str(row["expected"]),
    }


def _notes(programs: Sequence[Program], pooled: pd.DataFrame) -> tuple[str, ...]:
    """Say which genes are ambiguous, and why something is not measurable, each once."""
    rows = pooled.to_dict("records")
    shared = [
        f"{row['title']} shares markers with other programmes ({row['shared_genes']}): a cell may show both."
        for row in rows
        if row["shared_genes"]
    ]
    reasons = [f"{row['title']}: not measurable, {row['reason'].rstrip('.')}." for row in rows if row["reason"]]
    caveat = "A criterion is of the protein, by flow cytometry; transcripts of the same genes need not agree with it."
    criteria = [caveat] if any(program.at_least is not None or program.at_most is not None for program in programs) else []
    return (*criteria, *shared, *reasons)


for _name, _title in SCORECARDS.items():
    SECTIONS.register(
        f"scorecard_{_name}",
        summary=f"Read-outs of the scorecard {_title}.",
        source="field convention",
        facts={"title": _title, "reads": ()},
    )(_scorecard(_name))
