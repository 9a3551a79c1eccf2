import numpy as np
import pytest

from scdiff.assay.dose import DOSE_CELLS
from scdiff.errors import InputError
from scdiff.report.verdict import (
    dose_sentence,
    explanation,
    main_row,
    path_sentence,
    state_phrase,
    verdict_number,
    verdict_sentence,
)

NAN = float("nan")


def row(verdict, **changed):
    base = {
        "program": "pancreatic_progenitor",
        "state": "progenitor_like",
        "sample": "all",
        "n_cells": 5000,
        "n_called": 190,
        "fraction": 0.038,
        "fraction_low": 0.033,
        "fraction_high": 0.044,
        "prevalence": 0.0412,
        "prevalence_low": 0.034,
        "prevalence_high": 0.049,
        "lob": 0.0004,
        "lod": 0.0012,
        "lloq": 0.01,
        "verdict": verdict,
        "reason": "",
    }
    return base | changed


def test_quantified():
    assert (
        verdict_sentence(row("quantified"))
        == "4.1 % of cells are pancreatic-progenitor-like (95 % interval 3.4-4.9 %), quantified."
    )
    assert verdict_number(row("quantified")) == "4.1 %"


def test_detected_says_that_it_is_not_a_quantity():
    said = verdict_sentence(
        row("detected", prevalence=0.0021, prevalence_low=0.001, prevalence_high=0.0042)
    )
    assert (
        said
        == "0.21 % of cells are pancreatic-progenitor-like (95 % interval 0.10-0.42 %), detected, but too few to quantify."
    )


def test_not_detected_gives_the_bound_and_the_dose():
    zero = row(
        "not detected", n_called=0, prevalence=0.0, prevalence_low=0.0, prevalence_high=0.000737
    )
    assert verdict_sentence(zero) == (
        "Not detected: 0 of 5,000 cells are pancreatic-progenitor-like; at most 0.074 %, i.e. at most 59,000 cells in a dose of 80 million."
    )
    assert verdict_number(zero) == "≤ 0.074 %"


def test_not_detected_with_called_cells_names_the_blank():
    assert (
        "3 of 5,000 cells are pancreatic-progenitor-like, no more than a blank gives;"
        in verdict_sentence(row("not detected", n_called=3))
    )


def test_not_detected_falls_back_to_the_raw_bound():
    said = verdict_sentence(
        row("not detected", n_called=0, prevalence_high=NAN, fraction_high=0.000737)
    )
    assert "at most 0.074 %" in said


def test_not_measurable_gives_the_reason_and_no_number():
    blind = row("not measurable", prevalence=NAN, reason="PDX1 and INS have no row in this matrix")
    assert verdict_sentence(blind) == "Not measurable: PDX1 and INS have no row in this matrix."
    assert not any(character.isdigit() for character in verdict_number(blind))
    assert dose_sentence(blind) == ""


@pytest.mark.parametrize("reason", ["", None])
def test_not_measurable_without_reason(reason):
    assert (
        verdict_sentence(row("not measurable", reason=reason))
        == "Not measurable: the reason was not recorded."
    )


def test_one_full_stop_only():
    assert verdict_sentence(row("not measurable", reason="3 cells are too few.")).endswith("few.")


def test_dose_is_the_prevalence_times_the_cells():
    assert DOSE_CELLS == 80_000_000
    assert (
        dose_sentence(row("quantified"))
        == "A dose of 80 million cells is expected to contain about 3.3 million positive cells (95 % interval 2.7 million to 3.9 million)."
    )
    assert "at most 3.9 million positive cells" in dose_sentence(row("not detected"))


def test_the_dose_of_the_row_is_the_one_that_is_said():
    other = {"dose_cells": 10e6, "viability": 0.5, "weight_kg": 50}
    assert dose_sentence(row("quantified", **other)) == (
        "A dose of 10 million cells, 50 % of them viable, is expected to contain about 210,000 positive cells "
        "(95 % interval 170,000 to 240,000), about 4,100 per kg."
    )
    assert (
        "at most 4.9 %, i.e. at most 240,000 cells in a dose of 10 million, 50 % of them viable."
        in verdict_sentence(row("not detected", **other))
    )


def test_a_blank_that_hides_more_is_the_bound_and_is_named():
    hidden = row("not detected", n_called=3, prevalence_high=0.001, lob=0.002)
    assert (
        "at most 0.20 % (limit of blank), i.e. at most 160,000 cells in a dose of 80 million."
        in verdict_sentence(hidden)
    )
    assert verdict_number(hidden) == "≤ 0.20 %"
    assert "at most 160,000 positive cells." in dose_sentence(hidden)


@pytest.mark.parametrize("verdict", ["quantified", "detected", "not detected", "not measurable"])
def test_no_sentence_speaks_of_function_or_benefit(verdict):
    text = " ".join(
        (verdict_sentence(row(verdict)), explanation(row(verdict)), dose_sentence(row(verdict)))
    ).lower()
    assert not [
        word
        for word in ("function", "benefit", "safe", "potent", "efficacy", "therapeutic")
        if word in text
    ]


def test_explanation_of_not_detected_states_the_power():
    assert "a true fraction of 0.12 % would have been detected in 95 of 100" in explanation(
        row("not detected")
    )


def test_explanation_without_a_limit_states_no_power():
    said = explanation(row("not detected", lod=NAN))
    assert said.endswith("This does not prove that it has no positive cells.")
    assert "n/a" not in said


def test_explanation_advises_on_rows_only_where_rows_are_missing():
    assert "without a row" in explanation(row("not measurable"), lacks_rows=True)
    assert "without a row" not in explanation(row("not measurable"))


def test_phrases():
    assert state_phrase("pancreatic_progenitor", "progenitor_like") == "pancreatic-progenitor-like"
    assert state_phrase("vegf", "positive") == "positive for vegf"
    assert state_phrase("mine", "beta_like") == "beta-like"


def test_main_row_is_the_pooled_row_of_all_positive_states(finished):
    table = finished.uns["scdiff"]["fractions"]
    finished.uns["scdiff"]["fractions"] = table.iloc[::-1].reset_index(drop=True)
    found = main_row(finished)
    assert (found["program"], found["state"], found["sample"]) == (
        "pancreatic_progenitor",
        "progenitor_like",
        "all",
    )
    assert found["n_called"] == int(
        np.asarray(finished.obsm["scdiff_positive"]["pancreatic_progenitor"]).sum()
    )


def test_main_row_carries_the_reason(batch):
    assert main_row(batch("not measurable"))["reason"] == "PDX1 and INS have no row in this matrix"


def test_main_row_of_a_programme_of_ones_own(finished):
    results = finished.uns["scdiff"]
    results["fractions"] = results["fractions"].replace(
        {"program": {"pancreatic_progenitor": "mine"}}
    )
    results["call"] = {"main": "mine", "mine": {"reason": ""}}
    assert main_row(finished)["state"] == "progenitor_like"


def test_main_row_needs_the_pooled_row(finished):
    results = finished.uns["scdiff"]
    results["fractions"] = results["fractions"][results["fractions"]["sample"] != "all"]
    with pytest.raises(
        InputError, match="no row of programme 'pancreatic_progenitor' with sample 'all'"
    ):
        main_row(finished)


def test_too_few_cells_is_a_reason() -> None:
    row = {
        "program": "pancreatic_progenitor",
        "state": "progenitor_like",
        "n_cells": 47,
        "verdict": "not measurable",
        "reason": "",
    }
    assert verdict_sentence(row) == "Not measurable: 47 cells are too few, at least 50 are needed."
    assert (
        verdict_sentence(row | {"reason": "INS has no row."}) == "Not measurable: INS has no row."
    )
    assert verdict_sentence(row | {"n_cells": 50}) == "Not measurable: the reason was not recorded."


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("continuum", "a continuum"),
        ("separate population", "contamination"),
        ("undecided", "not be decided"),
        ("", ""),
    ],
)
def test_the_path_is_said_of_what_was_found_only(path, words):
    assert words in path_sentence({"verdict": "detected"}, path)
    assert bool(words) is bool(path_sentence({"verdict": "quantified"}, path))
    assert (
        path_sentence({"verdict": "not detected"}, path)
        == path_sentence({"verdict": "not measurable"}, path)
        == ""
    )
