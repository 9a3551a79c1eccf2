"""The verdict in words: what the main row of the table of fractions says about the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.assay.dose import Dose, upper_bound
from scdiff.errors import InputError
from scdiff.record import find_positive_state
from scdiff.report.text import count, interval, large, percent
from scdiff.steps.dose import read_dose_options
from scdiff.vocabulary import (
    CONTINUUM,
    DETECTED,
    FOUND,
    INCONCLUSIVE,
    NO_NUMBER,
    NOT_DETECTED,
    NOT_MEASURABLE,
    POOLED,
    QUANTIFIED,
    SEPARATE,
    UNDECIDED,
)

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "dose_sentence",
    "explanation",
    "main_row",
    "path_sentence",
    "state_phrase",
    "verdict_number",
    "verdict_sentence",
]

_PHRASES = {("pancreatic_progenitor", "progenitor_like"): "pancreatic-progenitor-like"}

_UNSAID = "the reason was not recorded"


def state_phrase(program: str, state: str) -> str:
    """Name a state in prose.

    >>> state_phrase("pancreatic_progenitor", "progenitor_like"), state_phrase("il10", "positive")
    ('pancreatic-progenitor-like', 'positive for il10')
    """
    if (program, state) in _PHRASES:
        return _PHRASES[program, state]
    return f"positive for {program}" if state == "positive" else state.replace("_", "-")


def main_row(adata: AnnData) -> dict[str, Any]:
    """Take the row of the main programme's positive state in all samples together.

    This row carries the verdict of the run; ``reason`` is added where the call recorded one, and ``dose_cells``,
    ``viability`` and ``weight_kg`` where the report recorded a dose.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``, ``uns["scdiff"]["dose"]`` (where it is there)

    Raises
    ------
    InputError
        If the table of fractions holds no such row.
    """
    results = adata.uns["scdiff"]
    fractions = results[keys.FRACTIONS.name]
    call = results.get(keys.CALL.name, {})
    main = str(call.get("main", fractions["program"].iloc[0] if len(fractions) else ""))
    rows = fractions[(fractions["program"].astype(str) == main) & (fractions["sample"].astype(str) == POOLED)]
    if rows.empty:
        raise InputError(f"the table of fractions has no row of programme {main!r} with sample 'all': run fraction again.")
    named = rows[rows["state"].astype(str) == find_positive_state(adata, main)]
    row = (rows if named.empty else named).iloc[0].to_dict()
    reason = str(row.get("reason") or "") or str(call.get(main, {}).get("reason", ""))
    found = {str(key): value for key, value in row.items()} | {"reason": reason}
    return found | read_dose_options(adata)


def verdict_sentence(row: Mapping[str, Any]) -> str:
    """Say the verdict of one row of the table of fractions as one sentence.

    Parameters
    ----------
    row
        A row with the columns of ``fractions.csv``, ``reason`` where the verdict is ``not measurable``, and the dose
        (:func:`main_row`), 80 million viable cells where it is not given.

    >>> verdict_sentence(dict(program="pancreatic_progenitor", state="progenitor_like", n_cells=5000, n_called=0,
    ...                       prevalence=0.0, prevalence_low=0.0, prevalence_high=0.000737, verdict="not detected"))
    'Not detected: 0 of 5,000 cells are pancreatic-progenitor-like; at most 0.074 %, i.e. at most 59,000 cells in a dose of 80 million.'
    """
    verdict = str(row["verdict"])
    phrase = state_phrase(str(row["program"]), str(row["state"]))
    if verdict in NO_NUMBER:
        return f"{verdict.capitalize()}: {_reason(row)}."
    if verdict == NOT_DETECTED:
        high, blanked = _upper(row)
        called = f"{count(row['n_called'])} of {count(row['n_cells'])} cells are {phrase}"
        blank = "" if row["n_called"] == 0 else ", no more than a blank gives"
        dose = _dose(row)
        bound = f"at most {percent(high)} %{blanked}, i.e. at most {large(high * dose.viable_cells)} cells in {_dose_phrase(dose)}"
        return f"Not detected: {called}{blank}; {bound}."
    if row["prevalence_high"] == 1 and row.get("reason"):
        return f"At least {percent(row['prevalence_low'])} % of cells are {phrase}, detected: {_reason(row)}."
    ends = f"95 % interval {_intervals(row)}"
    ending = QUANTIFIED if verdict == QUANTIFIED else "detected, but too few to quantify"
    return f"{percent(row['prevalence'])} % of cells are {phrase} ({ends}), {ending}."


def _intervals(row: Mapping[str, Any]) -> str:
    """Give the interval of these cells, and that of donors like these where it differs."""
    low, high = float(row["prevalence_low"]), float(row["prevalence_high"])
    cells = tuple(float(row.get(f"{name}_cells", bound)) for name, bound in (("prevalence_low", low), ("prevalence_high", high)))
    if cells == (low, high) or cells[0] != cells[0]:
        return interval(low, high)
    return f"{interval(low, high)} for donors like these, {interval(*cells)} for these cells"


def _reason(row: Mapping[str, Any]) -> str:
    """Say why a row is not measurable, without the full stop."""
    from scdiff.assay.limits import FEWEST_CELLS_FOR_VERDICT

    few = (
        f"{count(row['n_cells'])} cells are too few, at least {FEWEST_CELLS_FOR_VERDICT} are needed"
        if row.get("n_cells", FEWEST_CELLS_FOR_VERDICT) < FEWEST_CELLS_FOR_VERDICT
        else ""
    )
    return str(row.get("reason") or few or _UNSAID).strip().rstrip(".")


def _upper(row: Mapping[str, Any]) -> tuple[float, str]:
    """Upper bound of what was not detected: end of the corrected interval, of the raw one without it, or a larger LOB, which is named."""
    high = float(row["prevalence_high"])
    high = high if high == high else float(row.get("fraction_high", high))  # noqa: PLR0124
    bounds, by_blank = upper_bound([high], [float(row.get("lob", float("nan")))])
    return float(bounds[0]), " (limit of blank)" if by_blank[0] else ""


def _dose(row: Mapping[str, Any]) -> Dose:
    """Dose of a row, the usual one where it names none."""
    given = {"cells": row.get("dose_cells"), "viability": row.get("viability"), "weight_kg": row.get("weight_kg")}
    return Dose(**{name: value for name, value in given.items() if value is not None})


def _dose_phrase(dose: Dose, unit: str = "") -> str:
    """Name a dose, with the viable share where not all cells are."""
    return f"a dose of {large(dose.cells)}{unit}" + ("" if dose.viability == 1 else f", {percent(dose.viability)} % of them viable")


def verdict_number(row: Mapping[str, Any]) -> str:
    """Give the one number of the verdict: the prevalence, its upper bound, or a dash.

    >>> verdict_number({"verdict": "quantified", "prevalence": 0.0412})
    '4.1 %'
    """
    verdict = str(row["verdict"])
    if verdict in NO_NUMBER:
        return "no number"
    if row.get("reason") and row.get("prevalence_high") == 1:
        return f"≥ {percent(row['prevalence_low'])} %"
    return f"≤ {percent(_upper(row)[0])} %" if verdict == NOT_DETECTED else f"{percent(row['prevalence'])} %"


def dose_sentence(row: Mapping[str, Any]) -> str:
    """Say how many such cells a dose is expected to hold; empty where not measurable.

    Parameters
    ----------
    row
        As in :func:`verdict_sentence`.

    >>> dose_sentence({"verdict": "quantified", "prevalence": 0.04, "prevalence_low": 0.03, "prevalence_high": 0.05, "weight_kg": 80})
    'In a dose of 80 million cells this is about 3.2 million such cells (2.4 million to 4 million), about 40,000 per kg.'
    """
    if row["verdict"] in NO_NUMBER:
        return ""
    dose = _dose(row)
    opening = f"In {_dose_phrase(dose, ' cells')}{',' * (dose.viability < 1)} this is"
    found = row["verdict"] != NOT_DETECTED
    best = (float(row["prevalence"]) if found else _upper(row)[0]) * dose.viable_cells
    word = "about" if found else "at most"
    low, high = (large(float(row[key]) * dose.viable_cells) if found else "" for key in ("prevalence_low", "prevalence_high"))
    ends = f" ({low} to {high})" if found else ""
    per_kg = f", {word} {large(best / dose.weight_kg)} per kg" if dose.weight_kg else ""
    return f"{opening} {word} {large(best)} such cells{ends}{per_kg}."


def explanation(row: Mapping[str, Any], *, lacks_rows: bool = False) -> str:
    """Explain the verdict to a reader who is no statistician, in one or two sentences.

    Parameters
    ----------
    row
        The row of the verdict.
    lacks_rows
        Whether a marker has no row in the matrix.

    >>> explanation({"verdict": "not measurable", "reason": "3 cells are too few"})
    'No fraction is stated: a number from these data could not be defended.'
    """
    power = f"a share of {percent(float(row.get('lod', float('nan'))))} % would have been found in 95 of 100 such batches (LOD)"
    third, tenth = (float(row.get(f"high_at_{part}", float("nan"))) for part in ("third", "tenth"))
    weak = (
        f" Cells that express the markers weakly are harder to see: at a third of the typical levels the bound is {percent(third)} %, "
        f"at a tenth {percent(tenth)} %."
        if third == third  # noqa: PLR0124
        else ""
    )
    advice = (
        " A gene without a row is not a gene with zero counts: use a matrix that was counted against all genes and not filtered."
        if lacks_rows
        else ""
    )
    sentences: dict[str, str] = {
        QUANTIFIED: "The batch holds more such cells than a blank explains, and enough of them to state a number with its interval.",
        DETECTED: "The batch holds more such cells than a blank explains, but too few for a reliable number: read the interval.",
        NOT_DETECTED: f"No more such cells than a blank gives. This is no proof of absence: {power}.{weak}",
        INCONCLUSIVE: "The counts allow two readings that differ, so no number is stated; the table keeps the estimates.",
        NOT_MEASURABLE: f"No fraction is stated: a number from these data could not be defended.{advice}",
    }
    return sentences[str(row["verdict"])]


def path_sentence(row: Mapping[str, Any], path: str) -> str:
    """Say how the positive cells of a verdict were reached; empty where none were found.

    Parameters
    ----------
    row
        The row of the verdict.
    path
        Verdict of the trajectory: ``continuum``, ``separate population`` or ``undecided``.

    >>> path_sentence({"verdict": "quantified"}, "continuum")
    'Intermediates join them to the other cells: a continuum.'
    """
    if row["verdict"] not in FOUND:
        return ""
    return {
        CONTINUUM: "Intermediates join them to the other cells: a continuum.",
        SEPARATE: "They stand apart from all other cells: look for contamination or a mixed-in cell line before you call it "
        "differentiation.",
        UNDECIDED: "Whether intermediates join them to the other cells could not be decided.",
    }.get(path, "")
