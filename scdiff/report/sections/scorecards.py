"""Sections: one short page per scorecard, which gathers the programmes of one claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.assay.dose import upper_bound
from scdiff.programs import SCORECARDS, Program
from scdiff.report.plots.fractions import read_outs
from scdiff.report.section import SECTIONS, Section, Table, picture
from scdiff.report.text import DASH, count, interval, percent
from scdiff.steps.scorecard import programs_on, scorecard
from scdiff.vocabulary import NO_NUMBER, NOT_DETECTED, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

FEWEST = 2
"""A scorecard of fewer programmes says no more than the section of all programmes."""

MOST_NAMED = 6

CLAIMS = {"up": "more is claimed", "down": "fewer is claimed", "either": ""}


def _scorecard(name: str) -> Callable[[AnnData], Section | None]:
    """Make the section of one scorecard."""

    def section(adata: AnnData) -> Section | None:
        if not (keys.has(adata, keys.FRACTIONS) and keys.has(adata, keys.CALL)):
            return None
        programs, table = programs_on(adata, name), scorecard(adata, name=name)
        pooled = table[table["sample"].astype(str) == POOLED]
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
    """Say what the scorecard is about, and what is known to expect, each expectation once."""
    claimed = {claim: [program.title for program in programs if program.direction == claim] for claim in ("up", "down")}
    words = [f"{word}: {', '.join(claimed[claim])}." for claim, word in (("up", "Should be high"), ("down", "Should be low"))]
    said = [text for text, claim in zip(words, ("up", "down"), strict=True) if 0 < len(claimed[claim]) <= 6]
    expected: dict[str, list[str]] = {}
    for program in programs:
        expected.setdefault(program.expected, []).append(program.title)
    known = [f"{_several(titles, len(programs))}: {_lower(text)}" for text, titles in expected.items() if text]
    return " ".join(["Transcripts only: neither protein nor function is measured.", *said, *(["Expected.", *known] if known else [])])


def _several(titles: Sequence[str], n_programs: int) -> str:
    """Name some read-outs, or say that they are all, or most, of the scorecard."""
    if len(titles) == n_programs:
        return "All"
    return (
        ", ".join(titles) if len(titles) <= MOST_NAMED else f"{', '.join(titles[: MOST_NAMED - 1])} and {len(titles) - MOST_NAMED + 1} more"
    )


def _lower(text: str) -> str:
    """Let a sentence go on after a colon; names of genes and acronyms stay."""
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def _view(pooled: pd.DataFrame) -> pd.DataFrame:
    """Say the read-outs in percent; columns that hold nothing are left out."""
    import pandas as pd

    view = pd.DataFrame([_said(row) for row in pooled.to_dict("records")])
    return view.loc[:, [column for column in view if column in ("read-out", "verdict") or (view[column] != "").any()]]


def _said(row: Mapping[Any, Any]) -> dict[str, str]:
    """Say one read-out."""
    missing = row["verdict"] in NO_NUMBER
    bounds = [
        f"{sign} {percent(row[key])} %"
        for key, sign in (("at_least", "≥"), ("at_most", "≤"))
        if row[key] == row[key] and row[key] is not None
    ]
    return {
        "read-out": str(row["title"]),
        "prevalence (95 %)": DASH if missing else _prevalence(row),
        "LOD": DASH if missing else f"{percent(row['lod'])} %",
        "verdict": str(row["verdict"]),
        "criterion (protein)": f"{' '.join(bounds)}: {row['criterion'] or DASH}" if bounds else "",
        "claim": CLAIMS[str(row["direction"])],
    }


def _prevalence(row: Mapping[Any, Any]) -> str:
    """Say the prevalence with its interval; of what was not detected, the upper bound."""
    if row["verdict"] == NOT_DETECTED:
        return f"≤ {percent(float(upper_bound(row['prevalence_high'], row['lob'])[0]))} %"
    return f"{percent(row['prevalence'])} % ({interval(row['prevalence_low'], row['prevalence_high'])})"


def _notes(programs: Sequence[Program], pooled: pd.DataFrame) -> tuple[str, ...]:
    """Say which genes are ambiguous, and why something is not measurable, each once."""
    rows = pooled.to_dict("records")
    shared = [
        f"{row['title']} shares markers with other programmes ({row['shared_genes']}): a cell may show both."
        for row in rows
        if row["shared_genes"]
    ]
    reasons = [f"{row['title']}: {row['verdict']}, {row['reason'].rstrip('.')}." for row in rows if row["reason"]]
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
