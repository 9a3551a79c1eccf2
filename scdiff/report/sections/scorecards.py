"""Sections: one per scorecard, which collects the programmes of one claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.assay.dose import upper_bound
from scdiff.programs import SCORECARDS, Program
from scdiff.report.plots.fractions import read_outs
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.text import DASH, count, estimate, percent
from scdiff.steps.scorecard import programs_on, scorecard
from scdiff.vocabulary import NO_NUMBER, NOT_DETECTED, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

FEWEST = 2
"""Fewest programmes of a scorecard; one programme is shown well enough with all programmes."""

MOST_NAMED = 6
"""Number of read-outs that a sentence names. Chosen, not tuned."""

CLAIMS = {"up": "should be high", "down": "should be low", "either": ""}
"""Direction of a programme -> its claim, as the table shows it."""


def _make_section(name: str) -> Callable[[AnnData], Section | None]:
    """Make the function of the section of one scorecard."""

    def section(adata: AnnData) -> Section | None:
        if not (keys.has(adata, keys.FRACTIONS) and keys.has(adata, keys.CALL)):
            return None
        programs, table = programs_on(adata, name), scorecard(adata, name=name)
        pooled = table[table["sample"].astype(str) == POOLED]
        if len(pooled) < FEWEST:
            return None
        caption = f"{SCORECARDS[name]}: all read-outs and samples."
        return Section(
            SCORECARDS[name],
            f"scorecard_{name}",
            _describe(programs),
            (_draw_read_outs(name, pooled),),
            (Table(f"scorecard_{name}.csv", table, caption, _format_table(pooled)),),
            _list_notes(programs, pooled),
        )

    return section


def _draw_read_outs(name: str, pooled: pd.DataFrame) -> Picture:
    """Draw the prevalence of each read-out."""
    has_criteria = pooled[["at_least", "at_most"]].notna().any(axis=None)
    marks = " Bars: the criterion, which was defined for the protein." if has_criteria else ""
    return picture(
        f"scorecard_{name}",
        lambda ax: read_outs(pooled, ax),
        caption=f"Prevalence in the {count(pooled['n_cells'].max())} cells of all samples, "
        "corrected for dropout and background, with 95 % intervals. Hollow: not detected; the line "
        f"ends at the upper bound.{marks}",
        alt=f"Prevalence of each read-out of the scorecard {SCORECARDS[name]}, with intervals",
        table=f"scorecard_{name}.csv",
        size=(3.5, 0.9 + 0.27 * len(pooled)),
    )


def _describe(programs: Sequence[Program]) -> str:
    """Describe what the scorecard claims, and what is expected, each expectation once."""
    sentences = ["Transcripts only: protein and function are not measured."]
    for claim, word in (("up", "Should be high"), ("down", "Should be low")):
        titles = [program.title for program in programs if program.direction == claim]
        if 0 < len(titles) <= MOST_NAMED:
            sentences.append(f"{word}: {', '.join(titles)}.")
    expected: dict[str, list[str]] = {}
    for program in programs:
        expected.setdefault(program.expected, []).append(program.title)
    for text, titles in expected.items():
        if text:
            subject = _name_read_outs(titles, len(programs))
            sentences.append(f"Expected for {subject}: {_lower_first(text)}")
    return " ".join(sentences)


def _name_read_outs(titles: Sequence[str], n_programs: int) -> str:
    """Name some read-outs: "all", up to six by name, or the first five and the number of others."""
    if len(titles) == n_programs:
        return "all"
    if len(titles) <= MOST_NAMED:
        return ", ".join(titles)
    first = ", ".join(titles[: MOST_NAMED - 1])
    return f"{first} and {len(titles) - MOST_NAMED + 1} more"


def _lower_first(text: str) -> str:
    """Write the first letter in lower case, unless the word is a gene or an acronym."""
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def _format_table(pooled: pd.DataFrame) -> pd.DataFrame:
    """Format the read-outs in percent; leave out columns without content."""
    import pandas as pd

    view = pd.DataFrame([_format_row(row) for row in pooled.to_dict("records")])
    always = ("read-out", "verdict")
    columns = [column for column in view if column in always or (view[column] != "").any()]
    return view.loc[:, columns]


def _format_row(row: Mapping[Any, Any]) -> dict[str, str]:
    """Format one read-out."""
    has_number = row["verdict"] not in NO_NUMBER
    bounds = [
        f"{sign} {percent(row[key])} %"
        for key, sign in (("at_least", "≥"), ("at_most", "≤"))
        if row[key] == row[key] and row[key] is not None
    ]
    return {
        "read-out": str(row["title"]),
        "verdict": str(row["verdict"]),
        "prevalence (95 %)": _format_prevalence(row) if has_number else DASH,
        "LOD": f"{percent(row['lod'])} %" if has_number else DASH,
        "criterion (protein)": f"{' '.join(bounds)}: {row['criterion'] or DASH}" if bounds else "",
        "claim": CLAIMS[str(row["direction"])],
    }


def _format_prevalence(row: Mapping[Any, Any]) -> str:
    """Format the prevalence with its interval, or the upper bound if it was not detected."""
    if row["verdict"] == NOT_DETECTED:
        bounds, _ = upper_bound(row["prevalence_high"], row["lob"])
        return f"≤ {percent(float(bounds))} %"
    return estimate(row["prevalence"], row["prevalence_low"], row["prevalence_high"])


def _list_notes(programs: Sequence[Program], pooled: pd.DataFrame) -> tuple[str, ...]:
    """Return which markers are shared, and why a read-out is not measurable, each once."""
    notes = []
    if any(program.at_least is not None or program.at_most is not None for program in programs):
        notes.append(
            "A criterion was defined for the protein, by flow cytometry; transcripts of the same "
            "genes may not agree with it."
        )
    rows = pooled.to_dict("records")
    notes += [
        f"{row['title']} shares markers with other programmes ({row['shared_genes']}): a cell may "
        "be positive for both."
        for row in rows
        if row["shared_genes"]
    ]
    notes += [
        f"{row['title']}: {row['verdict']}, {row['reason'].rstrip('.')}."
        for row in rows
        if row["reason"]
    ]
    return tuple(notes)


for _name, _title in SCORECARDS.items():
    SECTIONS.register(
        f"scorecard_{_name}",
        summary=f"Read-outs of the scorecard {_title}.",
        source="field convention",
        facts={"title": _title, "reads": ()},
    )(_make_section(_name))
