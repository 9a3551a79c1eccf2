"""Points, phases, limits and signals of the charts, from a history with known truth."""

import json

import numpy as np
import pytest
from simulated_batches import MAIN, draw, readout, run_of

from scdiff.batches.control import evaluate
from scdiff.batches.folder import RunFolder
from scdiff.batches.history import Facts, open_history
from scdiff.batches.series import chart_points, find_readout
from scdiff.batches.signals import check_rule, find_signals, notes_by_run
from scdiff.errors import ConfigError, UnknownNameError


def batches(counts, prefix="B"):
    return [
        (f"{prefix}{index}", int(n_cells), int(n_called))
        for index, (n_cells, n_called) in enumerate(zip(*counts, strict=True))
    ]


def charted(history, **options):
    """Points, phases and signals of a history."""
    points, phases = evaluate(chart_points(history, *MAIN, **options))
    return (
        points,
        phases,
        find_signals(points, phases, notes_by_run(history.notes(), history.successors())),
    )


def test_a_measured_batch_keeps_its_number_and_one_that_was_not_detected_only_a_bound(filled):
    points = chart_points(filled([("B1", 3000, 90), ("B2", 3000, 1), ("B3", 3000, 0)]), *MAIN)
    assert points["kind"].tolist() == ["measured", "bound", "bound"]
    assert points["value"].iloc[0] == 0.03
    assert np.isnan(points["value"].iloc[1:]).all()
    assert points["bound"].iloc[2] == pytest.approx(readout(3000, 0)["prevalence_high"])
    assert (points["bound"].iloc[1:] > 0).all()
    assert points["level"].iloc[2] == 0.001  # the limit of blank, as three of 3,000 cells are


def test_the_interval_tells_the_number_of_cells(filled):
    points = chart_points(filled([("B1", 3000, 90), ("B2", 20_000, 600)]), *MAIN)
    assert points["size"].to_numpy() == pytest.approx([3000, 20_000], rel=0.06)


@pytest.mark.parametrize("verdict", ["inconclusive", "not measurable"])
def test_a_batch_without_a_number_is_neither(history, verdict):
    row = run_of("B1")
    history.add_run(RunFolder("B1", row.row, [row.readouts[0] | {"verdict": verdict}]), Facts())
    points, phases, signals = charted(history)
    assert points["kind"].tolist() == ["none"]
    assert phases[0].baseline is None
    assert signals.empty


def test_a_lower_bound_is_no_number(history):
    row = run_of("B1")
    history.add_run(RunFolder("B1", row.row, [row.readouts[0] | {"prevalence_high": 1.0}]), Facts())
    assert chart_points(history, *MAIN)["kind"].tolist() == ["none"]


def test_controls_go_to_the_chart_of_the_assay(history):
    history.add_run(run_of("RC1"), Facts(role="run control"))
    history.add_run(run_of("REF"), Facts(role="reference"))
    run = run_of("B1")
    history.add_run(
        RunFolder("B1", run.row, [*run.readouts, readout(700, 20, sample="control1")]), Facts()
    )
    assert chart_points(history, *MAIN)[["chart", "batch"]].values.tolist() == [
        ["assay", "RC1"],
        ["assay", "REF"],
        ["process", "B1"],
    ]
    points = chart_points(history, *MAIN, run_control="control1")
    assert points[["chart", "batch", "sample"]].values.tolist()[2] == ["assay", "B1", "control1"]


def test_a_change_of_the_method_begins_a_phase(history):
    for index, (version, options, chemistry) in enumerate(
        [("1", "a", None), ("1", "a", None), ("2", "a", None), ("2", "b", None), ("2", "b", "v4")]
    ):
        history.add_run(
            run_of(f"B{index}", version=version, options=options), Facts(chemistry=chemistry)
        )
    points = chart_points(history, *MAIN)
    assert points["phase"].tolist() == [0, 0, 1, 2, 3]
    assert points["change"].tolist() == [
        "",
        "",
        "scdiff 1 to 2",
        "other options",
        "chemistry not given to v4",
    ]


def test_a_superseded_run_is_not_drawn_and_its_notes_go_on(history):
    history.add_run(run_of("B1"), Facts())
    history.add_note("B1", {"cause": "a", "action": "b", "who": "c"})
    history.add_run(run_of("B1", n_called=10), Facts(), reason="recount")
    assert chart_points(history, *MAIN)["number"].tolist() == [3]
    assert list(notes_by_run(history.notes(), history.successors())) == [3]


def test_a_batch_far_off_is_a_signal_until_a_note_answers_it_and_after(filled):
    generator = np.random.default_rng(0)
    counts = draw(generator, 25)
    history = filled([*batches(counts), ("low", 5000, 12), ("high", 5000, 1500)])
    _, _, signals = charted(history)
    found = signals[signals["rule"] == "1-3s"]
    assert found["batch"].tolist() == ["low", "high"]
    assert found["needs_note"].all()
    history.add_note(
        "low",
        {
            "cause": "wrong lot",
            "action": "discarded",
            "who": "A",
            "chart": "process",
            "rule": "1-3s",
        },
    )
    _, _, signals = charted(history)
    answered = signals[(signals["rule"] == "1-3s") & (signals["batch"] == "low")].iloc[0]
    assert not answered["needs_note"]
    assert answered["notes"] == "wrong lot - discarded (A)"
    assert signals[(signals["rule"] == "1-3s") & (signals["batch"] == "high")].iloc[0]["needs_note"]


def test_not_detected_is_a_signal_only_where_the_bound_is_beyond(filled):
    generator = np.random.default_rng(1)
    history = filled([*batches(draw(generator, 25)), ("few", 200, 0), ("none", 20_000, 0)])
    points, _, signals = charted(history)
    assert signals.loc[signals["rule"] == "1-3s", "batch"].tolist() == ["none"]
    last = points.set_index("batch")
    assert np.isnan(last.loc["none", "value"])
    assert last.loc["none", "score_high"] < -3
    assert -3 < last.loc["few", "score_high"] < 3


def test_a_drift_is_found_though_no_batch_is_beyond_its_limits(filled):
    generator = np.random.default_rng(8)
    steady, shifted = draw(generator, 25), draw(generator, 15, shift=0.4)
    _, _, signals = charted(filled([*batches(steady), *batches(shifted, "S")]))
    assert len(signals)
    assert set(signals["rule"]) <= {"ewma", "cusum"}
    assert signals["batch"].str.startswith("S").all()


def test_limits_follow_the_number_of_cells_and_need_eight_batches(filled):
    generator = np.random.default_rng(3)
    points, phases, _ = charted(filled(batches(draw(generator, 7))))
    assert phases[0].baseline is None
    assert points["limit_high_3"].isna().all()
    points, _, _ = charted(filled(batches(draw(generator, 30)), name="more.db"))
    points = points.sort_values("size")
    assert (points["limit_high_3"].diff().dropna() <= 1e-12).all()
    assert points["in_baseline"].sum() == 20


def test_a_locked_baseline_holds_whatever_comes_later(filled):
    from scdiff.batches.trend import lock_baseline

    generator = np.random.default_rng(4)
    history = filled(batches(draw(generator, 24)))
    _, version, baseline = lock_baseline(history, "B", who="A", until="B21")
    row = history.baselines().iloc[0]
    assert (version, len(json.loads(row["runs"]))) == (1, 22)
    history.add_runs([(run_of(f"L{index}", 5000, 900), Facts()) for index in range(5)])
    _, phases = evaluate(chart_points(history, *MAIN), [dict(row)])
    assert phases[0].baseline == baseline
    assert phases[0].name == "B version 1"


@pytest.mark.long
def test_with_seventy_percent_not_detected_false_alarms_are_rare(tmp_path):
    """Thirty batches, twenty of them the baseline: at most 5 % of the histories give an alarm."""
    generator = np.random.default_rng(5)
    alarms, shares, points_beyond, n_points = [], [], 0, 0
    for index in range(60):
        n_cells, n_called = draw(generator, 30, fraction=0.0022, spread=0.6)
        lob = np.quantile(n_called / n_cells, 0.7)
        history = open_history(f"sqlite:///{tmp_path / f'{index}.db'}", create=True)
        history.add_runs(
            [(run_of(*batch, lob=lob), Facts()) for batch in batches((n_cells, n_called))]
        )
        points, _, signals = charted(history)
        shares.append((points["kind"] == "bound").mean())
        alarms.append(len(signals) > 0)
        points_beyond += signals["batch"].nunique()
        n_points += len(points)
    assert np.mean(shares) == pytest.approx(0.7, abs=0.05)
    assert points_beyond / n_points <= 0.05
    assert np.mean(alarms) <= 0.05


def test_when_nothing_was_ever_detected_there_are_no_limits_and_no_alarm(filled):
    points, phases, signals = charted(filled([(f"B{index}", 3000, 0) for index in range(30)]))
    assert (points["kind"] == "bound").all()
    assert phases[0].baseline is None
    assert signals.empty


def test_readouts_are_found_by_name(filled):
    history = filled([("B1", 100, 10)])
    assert find_readout(history, "pancreatic_progenitor") == MAIN
    with pytest.raises(
        UnknownNameError, match="Did you mean 'pancreatic_progenitor/progenitor_like'"
    ):
        find_readout(history, "pancreatic_progenitors")


def test_rules_are_checked():
    check_rule("process", "ewma")
    check_rule("assay", "10x")
    with pytest.raises(UnknownNameError, match="the process chart does not have this rule"):
        check_rule("process", "10x")
    with pytest.raises(UnknownNameError, match="Did you mean 'process'"):
        check_rule("proces", None)
    with pytest.raises(ConfigError, match="needs its chart: give --chart"):
        check_rule(None, "ewma")
