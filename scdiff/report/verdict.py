"""State the verdict on the batch in words, from the main row of the table of fractions."""

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
"""Phrase for a programme and its state, if the name of the state does not read well."""

_NO_REASON = "the reason was not recorded"
"""Text shown if a row without a number gives no reason."""


def state_phrase(program: str, state: str) -> str:
    """Return the phrase that names a state in a sentence.

    >>> state_phrase("pancreatic_progenitor", "progenitor_like"), state_phrase("il10", "positive")
    ('pancreatic-progenitor-like', 'positive for il10')
    """
    if (program, state) in _PHRASES:
        return _PHRASES[program, state]
    return f"positive for {program}" if state == "positive" else state.replace("_", "-")


def main_row(adata: AnnData) -> dict[str, Any]:
    """Return the row of the main programme's positive state in all samples pooled.

    This row carries the verdict of the run. ``reason`` is added if the call recorded one.
    ``dose_cells``, ``viability`` and ``weight_kg`` are added if the report recorded a dose.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``, ``uns["scdiff"]["dose"]`` (if
    present)

    Raises
    ------
    InputError
        If the table of fractions has no such row.
    """
    results = adata.uns[keys.ROOT]
    fractions = results[keys.FRACTIONS.name]
    call = results.get(keys.CALL.name, {})
    main = str(call.get("main", fractions["program"].iloc[0] if len(fractions) else ""))
    is_main = fractions["program"].astype(str) == main
    rows = fractions[is_main & (fractions["sample"].astype(str) == POOLED)]
    if rows.empty:
        raise InputError(
            f"the table of fractions has no row of programme {main!r} with sample 'all': "
            "run fraction again."
        )
    positive = rows[rows["state"].astype(str) == find_positive_state(adata, main)]
    row = (rows if positive.empty else positive).iloc[0].to_dict()
    reason = str(row.get("reason") or "") or str(call.get(main, {}).get("reason", ""))
    columns = {str(key): value for key, value in row.items()} | {"reason": reason}
    return columns | read_dose_options(adata)


def verdict_sentence(row: Mapping[str, Any]) -> str:
    """State the verdict of one row of the table of fractions as one sentence.

    Parameters
    ----------
    row
        Row with the columns of ``fractions.csv``. ``reason`` is needed if the verdict is ``not
        measurable``. Keys of the dose as in :func:`main_row`; without them, the dose is 80 million
        viable cells.

    >>> verdict_sentence(dict(program="pancreatic_progenitor", state="progenitor_like",
    ...                       n_cells=5000, n_called=0, prevalence=0.0, prevalence_low=0.0,
    ...                       prevalence_high=0.000737, verdict="not detected"))
    'Not detected: 0 of 5,000 cells are pancreatic-progenitor-like; at most 0.074 %, i.e. at most \
59,000 cells in a dose of 80 million.'
    """
    verdict = str(row["verdict"])
    phrase = state_phrase(str(row["program"]), str(row["state"]))
    if verdict in NO_NUMBER:
        return f"{verdict.capitalize()}: {_explain_no_number(row)}."
    if verdict == NOT_DETECTED:
        return _state_not_detected(row, phrase)
    if row["prevalence_high"] == 1 and row.get("reason"):
        low = percent(row["prevalence_low"])
        return f"At least {low} % of cells are {phrase}, detected: {_explain_no_number(row)}."
    ends = f"95 % interval {_format_intervals(row)}"
    ending = QUANTIFIED if verdict == QUANTIFIED else "detected, but too few to quantify"
    return f"{_format_prevalence(row)} % of cells are {phrase} ({ends}), {ending}."


def _state_not_detected(row: Mapping[str, Any], phrase: str) -> str:
    """State how many cells were called, and the upper bound as a fraction and as cells."""
    high, source = _find_upper_bound(row)
    dose = _read_dose(row)
    called = f"{count(row['n_called'])} of {count(row['n_cells'])} cells are {phrase}"
    blank = "" if row["n_called"] == 0 else ", no more than a blank gives"
    cells = f"at most {large(high * dose.viable_cells)} cells in {_describe_dose(dose)}"
    return f"Not detected: {called}{blank}; at most {percent(high)} %{source}, i.e. {cells}."


def _format_intervals(row: Mapping[str, Any]) -> str:
    """Format the interval of these cells, and the interval over donors if it differs."""
    low, high = float(row["prevalence_low"]), float(row["prevalence_high"])
    cells_low = float(row.get("prevalence_low_cells", low))
    cells_high = float(row.get("prevalence_high_cells", high))
    if (cells_low, cells_high) == (low, high) or cells_low != cells_low:  # noqa: PLR0124  # NaN
        return interval(low, high)
    return (
        f"{interval(low, high)} for donors like these, "
        f"{interval(cells_low, cells_high)} for these cells"
    )


def _explain_no_number(row: Mapping[str, Any]) -> str:
    """Return why a row has no number, without the full stop."""
    from scdiff.assay.limits import FEWEST_CELLS_FOR_VERDICT as FEWEST

    few = ""
    if row.get("n_cells", FEWEST) < FEWEST:
        few = f"{count(row['n_cells'])} cells are too few, at least {FEWEST} are needed"
    return str(row.get("reason") or few or _NO_REASON).strip().rstrip(".")


def _find_upper_bound(row: Mapping[str, Any]) -> tuple[float, str]:
    """Return the upper bound of a state that was not detected, and a note on its source.

    The bound is the upper end of the corrected interval, or of the raw interval if the fraction was
    not corrected. If the limit of blank is higher, it is the bound, and the note names it.
    """
    high = float(row["prevalence_high"])
    high = high if high == high else float(row.get("fraction_high", high))  # noqa: PLR0124  # NaN
    bounds, by_blank = upper_bound([high], [float(row.get("lob", float("nan")))])
    return float(bounds[0]), " (limit of blank)" if by_blank[0] else ""


def _read_dose(row: Mapping[str, Any]) -> Dose:
    """Return the dose of a row; values that are missing are those of the usual dose."""
    dose = {
        "cells": row.get("dose_cells"),
        "viability": row.get("viability"),
        "weight_kg": row.get("weight_kg"),
    }
    return Dose(**{name: value for name, value in dose.items() if value is not None})


def _describe_dose(dose: Dose, unit: str = "") -> str:
    """Name a dose, with the viable share if it is not 100 %."""
    share = "" if dose.viability == 1 else f", {percent(dose.viability)} % of them viable"
    return f"a dose of {large(dose.cells)}{unit}{share}"


def verdict_number(row: Mapping[str, Any]) -> str:
    """Return the one number of the verdict: the prevalence, its upper bound, or ``no number``.

    >>> verdict_number({"verdict": "quantified", "prevalence": 0.0412})
    '4.1 %'
    """
    verdict = str(row["verdict"])
    if verdict in NO_NUMBER:
        return "no number"
    if row.get("reason") and row.get("prevalence_high") == 1:
        return f"≥ {percent(row['prevalence_low'])} %"
    if verdict == NOT_DETECTED:
        return f"≤ {percent(_find_upper_bound(row)[0])} %"
    return f"{_format_prevalence(row)} %"


def _format_prevalence(row: Mapping[str, Any]) -> str:
    """Format the prevalence with the digits that its interval supports."""
    width = row.get("prevalence_high", 0.0) - row.get("prevalence_low", 0.0)
    return percent(row["prevalence"], width=width)


def dose_sentence(row: Mapping[str, Any]) -> str:
    """State how many positive cells a dose is expected to contain; empty if not measurable.

    Parameters
    ----------
    row
        As in :func:`verdict_sentence`.

    >>> dose_sentence({"verdict": "quantified", "prevalence": 0.04, "prevalence_low": 0.03,
    ...                "prevalence_high": 0.05, "weight_kg": 80})
    'A dose of 80 million cells is expected to contain about 3.2 million positive cells (95 % \
interval 2.4 million to 4 million), about 40,000 per kg.'
    """
    if row["verdict"] in NO_NUMBER:
        return ""
    dose = _read_dose(row)
    if row["verdict"] == NOT_DETECTED:
        word, ends = "at most", ""
        cells = _find_upper_bound(row)[0] * dose.viable_cells
    else:
        word, cells = "about", float(row["prevalence"]) * dose.viable_cells
        low, high = (
            large(float(row[name]) * dose.viable_cells)
            for name in ("prevalence_low", "prevalence_high")
        )
        ends = f" (95 % interval {low} to {high})"
    comma = "," if dose.viability < 1 else ""
    subject = f"A{_describe_dose(dose, ' cells')[1:]}{comma}"
    per_kg = f", {word} {large(cells / dose.weight_kg)} per kg" if dose.weight_kg else ""
    return f"{subject} is expected to contain {word} {large(cells)} positive cells{ends}{per_kg}."


def explanation(row: Mapping[str, Any], *, lacks_rows: bool = False) -> str:
    """Explain the verdict in two to four sentences, for a reader who is not a statistician.

    Parameters
    ----------
    row
        The row of the verdict.
    lacks_rows
        Whether a marker has no row in the matrix.

    >>> explanation({"verdict": "not measurable", "reason": "3 cells are too few"})
    'No fraction is reported, because these data do not support one.'
    """
    blank = "than a blank (a sample without positive cells) would show"
    sentences: dict[str, str] = {
        QUANTIFIED: f"The batch has more positive cells {blank}, and enough of them to report a "
        "number with its interval.",
        DETECTED: f"The batch has more positive cells {blank}, but too few for a reliable number. "
        "Use the interval, not the single number.",
        NOT_DETECTED: f"The batch has no more positive cells {blank}. This does not prove that it "
        f"has no positive cells{_state_power(row)}.{_state_weak_bound(row)}",
        INCONCLUSIVE: "The counts allow two different readings, so the report states no number. "
        "The table of fractions keeps the estimates.",
        NOT_MEASURABLE: "No fraction is reported, because these data do not support one.",
    }
    advice = ""
    if lacks_rows and row["verdict"] == NOT_MEASURABLE:
        advice = (
            " The expression of a gene without a row in the matrix is unknown, not zero: use a "
            "matrix that was counted against all genes and not filtered."
        )
    return sentences[str(row["verdict"])] + advice


def _state_power(row: Mapping[str, Any]) -> str:
    """State which fraction would have been detected; empty without a limit of detection."""
    lod = float(row.get("lod", float("nan")))
    if lod != lod:  # noqa: PLR0124  # NaN
        return ""
    return (
        f": a true fraction of {percent(lod)} % would have been detected in 95 of 100 such batches "
        "(LOD)"
    )


def _state_weak_bound(row: Mapping[str, Any]) -> str:
    """State the upper bounds for cells that express the markers weakly; empty without them."""
    third, tenth = (float(row.get(f"high_at_{part}", float("nan"))) for part in ("third", "tenth"))
    if third != third:  # noqa: PLR0124  # NaN
        return ""
    return (
        " Cells that express the markers weakly are harder to detect: at a third of the typical "
        f"expression the upper bound is {percent(third)} %, at a tenth it is {percent(tenth)} %."
    )


def path_sentence(row: Mapping[str, Any], path: str) -> str:
    """State whether intermediate cells lead to the positive cells; empty if none were detected.

    Parameters
    ----------
    row
        The row of the verdict.
    path
        Verdict of the trajectory: ``continuum``, ``separate population`` or ``undecided``.

    >>> path_sentence({"verdict": "quantified"}, "continuum")
    'Intermediate cells connect the positive cells to the other cells: a continuum.'
    """
    if row["verdict"] not in FOUND:
        return ""
    return {
        CONTINUUM: "Intermediate cells connect the positive cells to the other cells: a continuum.",
        SEPARATE: "The positive cells are separate from all other cells: rule out contamination or "
        "a mixed-in cell line before you call this differentiation.",
        UNDECIDED: "It could not be decided whether intermediate cells connect the positive cells "
        "to the other cells.",
    }.get(path, "")
