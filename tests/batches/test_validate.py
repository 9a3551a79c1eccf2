"""A protocol is locked, measured and judged; a caller that is broken on purpose fails it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from run_folders import csv_of, fraction_row

from scdiff.assay.calls import call_cells
from scdiff.assay.intervals import clopper_pearson
from scdiff.assay.mixture import Model
from scdiff.batches.designs import detection_designs, make_batch, plan_designs
from scdiff.batches.findings import find_all
from scdiff.batches.measure import Measured, measure_counts, model_of
from scdiff.batches.pools import Pool, Pools
from scdiff.batches.precision import fit_components
from scdiff.batches.protocol import FIGURES, load_protocol, lock_protocol
from scdiff.batches.validate import assess, validate_method
from scdiff.batches.validation import Validation
from scdiff.cli import main
from scdiff.errors import ConfigError, InputError, UnknownNameError
from scdiff.programs import load_program

PROTOCOL = """\
schema_version: 1
name: small
version: "1"
title: Small
kind: in silico
nominal: {cells: 600, depth: 4000, soup: 0.02, soup_share: 0.0}
blanks: {soups: [0.0, 0.05], replicates: 2, more: 4}
interference: {single_marker: 0.02, debris: 0, replicates: 2}
recovery: {levels: [0.05, 0.1, 0.3], replicates: 4}
detection: {of_lod: [0.1, 0.5, 2.0], replicates: 5}
precision: {levels: [0.2], days: 3, libraries: 2, replicates: 2}
robustness: {level: 0.1, replicates: 1}
acceptance:
  - {figure: false_detections, at_most: 0.05}
  - {figure: false_detections_interference, at_most: 0.05}
  - {figure: called_in_blanks, at_most: 0.005}
  - {figure: recovery, at_least: 0.7, at_most: 1.3}
  - {figure: within_laboratory_cv, at_most: 0.5}
  - {figure: lod_of_claim, at_most: 1.5}
  - {figure: coverage, at_least: 0.95, judge: not contradicted}
"""


def count_two_markers(counts: Any, depth: Any, model: Model, doublet_rate: float) -> Measured:
    """Stand-in for the assay that costs nothing: cells with two markers seen; it is fair on deep and clean cells."""
    seen = int(((np.asarray(counts) > 0).sum(axis=1) >= 2).sum())
    n = len(depth)
    low, high = clopper_pearson(seen, n)
    verdict = "not detected" if seen < 3 else "detected" if seen < 50 else "quantified"
    return Measured(n, seen, seen / n, low, high, 2 / n, 7 / n, 50 / n, verdict)


def call_everything(counts: Any, depth: Any, model: Model, doublet_rate: float) -> Measured:
    """The caller with its threshold at 0: any cell is called."""
    n = len(depth)
    return Measured(n, n, 1.0, *clopper_pearson(n, n), 0.0, 3 / n, 50 / n, "quantified")


@pytest.fixture
def protocol_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(PROTOCOL, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pools() -> Pools:
    """Negatives without any marker, positives with all three, at 8,000 counts."""
    rng = np.random.default_rng(0)
    depth = rng.lognormal(np.log(8000), 0.2, 800).round()
    negatives = Pool(np.zeros((400, 3)), depth[:400], "made")
    positives = Pool(rng.poisson([20, 20, 800], (400, 3)).astype(float), depth[400:], "made")
    return Pools(
        ("PDX1", "NKX6-1", "INS"),
        negatives,
        positives,
        {"gut": Pool(np.tile([5.0, 0, 0], (50, 1)), np.full(50, 8000.0), "gut")},
    )


@pytest.fixture
def with_pools(monkeypatch, pools) -> None:
    monkeypatch.setattr("scdiff.batches.study.read_pools", lambda *_: pools)


def test_the_protocol_is_locked_before_data_are_read(protocol_file, tmp_path, monkeypatch) -> None:
    out, seen = tmp_path / "out", []

    def read(*_arguments: object) -> Pools:
        seen.append((out / "protocol.lock").read_text())
        raise InputError("stop")

    monkeypatch.setattr("scdiff.batches.study.read_pools", read)
    with pytest.raises(InputError, match="stop"):
        validate_method(protocol_file, out)
    assert f"sha256: {hashlib.sha256(protocol_file.read_bytes()).hexdigest()}\n" in seen[0]
    protocol_file.write_text(PROTOCOL.replace("at_most: 0.05}", "at_most: 0.5}"))
    with pytest.raises(ConfigError, match="locked for another protocol"):
        validate_method(protocol_file, out)
    assert len(seen) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("with_pools")
def test_a_fair_caller_passes_and_everything_is_written(protocol_file, tmp_path) -> None:
    out = tmp_path / "out"
    found = validate_method(protocol_file, out, measurer=count_two_markers)
    assert found.decision == "PASS", [(one.criterion.figure, one.why) for one in found.accepted]
    record = json.loads((out / "validation.json").read_text())
    assert record["batches"] == len(pd.read_csv(out / "batches.csv")) == len(found.rows)
    for line in (out / "validation.sha256").read_text().splitlines():
        sha256, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == sha256
    page = (out / "validation.html").read_text()
    for shown in (
        "Specificity",
        "Recovery",
        "Precision",
        "Linearity",
        "Limits",
        "Robustness",
        "Claim check",
        "Signature",
        "PASS",
    ):
        assert shown in page


@pytest.mark.usefixtures("with_pools")
def test_a_caller_that_is_broken_on_purpose_fails(protocol_file, tmp_path) -> None:
    found = assess(load_protocol(protocol_file), measurer=call_everything)
    assert found.decision == "FAIL"
    decisions = {one.criterion.figure: one.decision for one in found.accepted}
    assert decisions["false_detections"] == decisions["recovery"] == decisions["coverage"] == "FAIL"


@pytest.mark.long
@pytest.mark.usefixtures("with_pools")
def test_the_real_assay_with_its_threshold_at_zero_fails(protocol_file, monkeypatch) -> None:
    """Every cell with a probability of 0 or more is called; all else is the assay as it is."""

    def call_at_zero(fit: Any, *, rate: float) -> Any:
        calls = call_cells(fit, rate=rate)
        return replace(calls, positive=calls.probability >= 0)

    monkeypatch.setattr("scdiff.assay.calls.call_cells", call_at_zero)
    found = assess(load_protocol(protocol_file))
    decisions = {one.criterion.figure: one.decision for one in found.accepted}
    assert found.decision == decisions["called_in_blanks"] == "FAIL"


@pytest.mark.parametrize(("decision", "code"), [("PASS", 0), ("FAIL", 1), ("CANNOT TELL", 2)])
def test_the_exit_code_is_the_decision(
    protocol_file, tmp_path, monkeypatch, decision, code
) -> None:
    done = Validation(load_protocol(protocol_file), "", pd.DataFrame(), [], [], decision)
    monkeypatch.setattr("scdiff.batches.validate.validate_method", lambda *_: done)
    assert main(["validate", str(protocol_file), "--out", str(tmp_path / "out"), "--quiet"]) == code


def test_batches_hold_what_their_design_says(protocol_file, pools) -> None:
    protocol_file.write_text(PROTOCOL.replace("debris: 0,", "debris: 0.02,"))
    designs = plan_designs(load_protocol(protocol_file).content, ("gut",))
    assert len({design.seed for design in designs}) == len(designs)
    assert {design.background for design in designs} == {
        "plain",
        "single-marker cells",
        "debris of positive cells",
        "gut",
    }
    for design in designs:
        batch = make_batch(design, pools)
        assert len(batch.depth) <= design.nominal.cells
        assert (batch.counts.sum(axis=1) <= batch.depth).all()
        if design.fraction == 0:
            assert batch.positives == 0
    level = [
        make_batch(design, pools).positives / 600
        for design in designs
        if design.section == "recovery" and design.fraction == 0.3
    ]
    assert abs(np.mean(level) - 0.3) < 0.05
    assert len(set(level)) > 1
    assert np.array_equal(
        make_batch(designs[-1], pools).counts, make_batch(designs[-1], pools).counts
    )
    half = next(design for design in designs if design.condition == "0.25 x the UMI")
    assert np.median(make_batch(half, pools).depth) == pytest.approx(1000, rel=0.1)


def test_replicates_of_a_library_share_their_cells(protocol_file, pools) -> None:
    designs = [
        design
        for design in plan_designs(load_protocol(protocol_file).content)
        if design.section == "precision"
    ]
    first, second, other = (make_batch(design, pools) for design in designs[:3])
    assert first.positives == second.positives
    assert not np.array_equal(first.counts, second.counts)
    assert (
        designs[0].labels["library"] == designs[1].labels["library"] != designs[2].labels["library"]
    )
    assert (
        np.corrcoef(first.depth, second.depth)[0, 1]
        > 0.9
        > np.corrcoef(first.depth, other.depth)[0, 1]
    )


def test_detection_levels_follow_the_printed_limit(protocol_file) -> None:
    designs = detection_designs(load_protocol(protocol_file).content, 0.01)
    assert sorted({design.fraction for design in designs}) == pytest.approx([0.001, 0.005, 0.02])


def test_inconclusive_batches_are_left_out_and_counted() -> None:
    row = {
        "section": "recovery",
        "condition": "",
        "expected": 0.1,
        "n_cells": 100,
        "n_called": 10,
        "prevalence": 0.1,
    }
    row |= {"low": 0.05, "high": 0.2, "lob": 0.01, "lod": 0.05, "lloq": 0.5, "verdict": "detected"}
    rows = pd.DataFrame(
        [row, row | {"verdict": "inconclusive", "low": 0.2}, row | {"verdict": "not detected"}]
    )
    claims = next(finding for finding in find_all(rows, goal=0.6) if finding.title == "Claim check")
    assert claims.figures["detected_at_lod"].value == 0.5
    assert claims.figures["coverage"].value == 1
    assert claims.figures["inconclusive"].value == pytest.approx(1 / 3)


def test_the_precision_is_fitted_once(monkeypatch) -> None:
    """The expanded uncertainty uses the fit of the section on precision."""
    rng, fits = np.random.default_rng(0), []

    def fit(values: Any, factors: Any) -> Any:
        fits.append(len(values))
        return fit_components(values, factors)

    monkeypatch.setattr("scdiff.batches.scatter.fit_components", fit)
    row = {"section": "precision", "condition": "", "expected": 0.1, "library": "", "lot": ""}
    rows = pd.DataFrame(
        [
            row | {"day": at // 3, "replicate": at, "prevalence": 0.1 + rng.normal(0, 0.01)}
            for at in range(12)
        ]
    )
    rows = rows.assign(verdict="detected", n_cells=100, n_called=10, lob=0, lod=0.01, lloq=0.05)
    found = {finding.title: finding for finding in find_all(rows.assign(low=0, high=1), goal=0.6)}
    assert fits == [12]
    spread = found["Precision"].figures["within_laboratory_cv"].value
    bias = rows["prevalence"].mean() / 0.1 - 1
    expanded = found["Total error and uncertainty"].figures["expanded_uncertainty"].value
    assert expanded == pytest.approx(2 * np.hypot(spread, bias), rel=0.01)


def test_a_study_of_almost_nothing_says_what_it_lacks() -> None:
    row = {
        "section": "wet",
        "condition": "a",
        "expected": 0.1,
        "n_cells": 100,
        "n_called": 10,
        "prevalence": 0.1,
    }
    row |= {"low": 0.05, "high": 0.2, "lob": 0.01, "lod": 0.05, "lloq": 0.5, "verdict": "detected"}
    for finding in find_all(pd.DataFrame([row]), goal=0.6):
        assert finding.title in ("Recovery", "Claim check") or finding.sentence.startswith(
            "Not evaluated: "
        )


# --- wet ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def wet(make_result, tmp_path) -> Path:
    """Wet protocol over 24 finished runs, of four levels by two operators on three days, measured 10 % too high."""
    rng, rows = np.random.default_rng(0), []
    for number, (level, day, operator) in enumerate(
        (level, day, operator)
        for level in (0.0, 0.02, 0.05, 0.2)
        for day in (1, 2, 3)
        for operator in "ab"
    ):
        value = level * 1.1 * float(np.exp(rng.normal(0, 0.05)))
        ends = {
            "prevalence": value,
            "prevalence_low": value * 0.8,
            "prevalence_high": value * 1.25 + 0.002,
        }
        said = {
            "verdict": "not detected" if level == 0 else "quantified",
            "n_called": round(value * 1000),
        }
        make_result(f"run{number}", fraction_row(**ends, **said))
        entry = {
            "sample": f"s{number}",
            "path": f"run{number}",
            "expected": level,
            "replicate": 1,
            "day": day,
            "operator": operator,
            "lot": "L1",
        }
        rows.append(entry | {"flow": level + 0.001 * (number % 3)})
    (tmp_path / "sheet.csv").write_text(csv_of(rows), encoding="utf-8")
    path = tmp_path / "wet.yaml"
    path.write_text(
        'schema_version: 1\nname: wet\nversion: "1"\ntitle: Wet\nkind: wet\nsheet: sheet.csv\nacceptance:\n'
        "  - {figure: recovery, at_least: 0.9, at_most: 1.2}\n  - {figure: flow_slope, at_least: 1.0, at_most: 1.3}\n"
        "  - {figure: flow_bias, at_most: 0.03}\n  - {figure: within_laboratory_cv, at_most: 0.1}\n  - {figure: linearity, at_most: 0.2}\n",
        encoding="utf-8",
    )
    return path


def test_a_sheet_of_finished_runs_is_validated(wet, tmp_path) -> None:
    out = tmp_path / "out"
    found = validate_method(wet, out)
    figures = {one.criterion.figure: one.figure.value for one in found.accepted}
    assert found.decision == "PASS", [(one.criterion.figure, one.why) for one in found.accepted]
    assert figures["flow_slope"] == pytest.approx(1.1, abs=0.05)
    assert 0.02 < figures["within_laboratory_cv"] < 0.1
    assert "Passing-Bablok" in (out / "validation.html").read_text()
    assert (out / "comparison_with_flow_cytometry.csv").is_file()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("expected", "expectd", "no column 'expected'. Did you mean 'expectd'"),
        (",0.02,", ",2,", "line 8: expected is '2'; write a fraction"),
        ("run3", "nowhere", "nowhere"),
        (
            "sample,path,expected,replicate,day,operator,lot,flow\n",
            "sample,path\n",
            "no column 'expected'",
        ),
    ],
)
def test_a_bad_sheet_is_refused(wet, tmp_path, old, new, said) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(sheet.read_text().replace(old, new))
    with pytest.raises((ConfigError, InputError), match=said):
        assess(load_protocol(wet))


# --- protocols ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("figure: recovery", "figure: recovry", "Did you mean 'recovery'"),
        ("kind: in silico", "kind: wet", "a wet protocol must name its sheet"),
        (", at_most: 0.5}", "}", "give at_least or at_most"),
        ("cells: 600", "cells: 6", "greater than or equal to 100"),
        ("blanks:", "blancs:", "Did you mean 'blanks'"),
        ("schema_version: 1", "schema_version: 2", "schema_version"),
    ],
)
def test_bad_protocols_are_refused(protocol_file, old, new, said) -> None:
    protocol_file.write_text(PROTOCOL.replace(old, new))
    with pytest.raises(ConfigError, match=said):
        load_protocol(protocol_file)


def test_the_shipped_protocol_asks_for_known_figures(tmp_path, capsys) -> None:
    protocol = load_protocol("standard")
    assert {one.figure for one in protocol.content.acceptance} <= set(FIGURES)
    assert lock_protocol(protocol, tmp_path) == lock_protocol(protocol, tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean 'standard'"):
        load_protocol("standart")
    assert main(["validate", "standart"]) == 12
    assert "Did you mean" in capsys.readouterr().err


@pytest.mark.slow
def test_the_assay_measures_what_is_mixed(protocol_file) -> None:
    protocol = load_protocol(protocol_file)
    from scdiff.batches.study import read_pools

    program = load_program(protocol.content.program)
    drawn = read_pools(protocol, program)
    designs = [design for design in plan_designs(protocol.content) if design.section == "recovery"][
        ::3
    ]
    for design in designs:
        batch = make_batch(design, drawn)
        found = measure_counts(batch.counts, batch.depth, model_of(program))
        assert found.low <= batch.positives / batch.cells <= found.high
