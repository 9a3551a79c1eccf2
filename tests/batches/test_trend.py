"""The trend as files: page, tables, what MultiQC reads; baselines that are locked."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from multiqc_page import build_page
from simulated_batches import draw, run_of

from scdiff.batches.history import Facts
from scdiff.batches.schema import ENTRIES, GENESIS, READOUTS, RUNS
from scdiff.batches.trend import TREND_COLUMNS, compute_trend, lock_baseline, write_trend
from scdiff.batches.trend_page import render_trend, status_of
from scdiff.errors import ConfigError, InputError, UnknownNameError


@pytest.fixture
def steady(filled):
    """25 batches of a process that does not change, and 20 run controls."""
    generator = np.random.default_rng(0)
    n_cells, n_called = draw(generator, 25)
    history = filled(
        [
            (f"B{index:02d}", int(cells), int(called))
            for index, (cells, called) in enumerate(zip(n_cells, n_called, strict=True))
        ]
    )
    controls = zip(*draw(generator, 20, fraction=0.2, spread=0.05), strict=True)
    history.add_runs(
        [
            (run_of(f"RC{index:02d}", int(cells), int(called)), Facts(role="run control"))
            for index, (cells, called) in enumerate(controls)
        ]
    )
    return history


def test_the_tables_hold_what_was_computed(steady, tmp_path):
    paths = write_trend(compute_trend(steady, limits=(0.01, None)), tmp_path / "out")
    assert sorted(path.name for path in paths) == [
        "baselines.csv",
        "index.html",
        "scdiff_trend_mqc.json",
        "signals.csv",
        "trend.csv",
    ]
    table = pd.read_csv(tmp_path / "out" / "tables" / "trend.csv")
    assert tuple(table.columns) == TREND_COLUMNS
    assert table["chart"].value_counts().to_dict() == {"process": 25, "assay": 20}
    assert table["score"].notna().all()


def test_writing_twice_gives_the_same_but_for_the_time(steady, tmp_path):
    for name in ("a", "b"):
        write_trend(compute_trend(steady), tmp_path / name)
    for name in ("tables/trend.csv", "tables/signals.csv", "scdiff_trend_mqc.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_baseline_is_named_versioned_and_locked(steady):
    assert status_of(compute_trend(steady))[0] == "provisional"
    assert lock_baseline(steady, "B", who="A")[1] == 1
    trend = compute_trend(steady)
    assert status_of(trend) == (
        "in control",
        "No signal needs a note. Baseline: B version 1.",
    )
    assert trend.points.loc[trend.points["chart"] == "process", "in_baseline"].all()
    with pytest.raises(ConfigError, match=r"'B' is already locked as version 1. Give the reason"):
        lock_baseline(steady, "B", who="A")
    assert lock_baseline(steady, "B", who="A", reason="two batches more", until="B22")[1] == 2
    assert lock_baseline(steady, "RC", chart="assay", who="A")[1] == 1
    assert [phase.name for phase in compute_trend(steady).phases] == ["RC version 1", "B version 2"]


def test_fewer_than_twenty_batches_are_no_baseline(steady):
    with pytest.raises(
        InputError, match=r"needs 20 batches .* The phase has 19 batches, of which 19 are detected"
    ):
        lock_baseline(steady, "B", who="A", until="B18")
    with pytest.raises(UnknownNameError, match="--until 'C1'"):
        lock_baseline(steady, "B", who="A", until="C1")
    with pytest.raises(ConfigError, match="--who"):
        lock_baseline(steady, "B")
    assert steady.baselines().empty


def test_a_locked_baseline_does_not_cross_a_change_of_version(steady):
    lock_baseline(steady, "B", who="A")
    steady.add_runs(
        [(run_of(f"N{index}", 5000, 150, version="0.2.0"), Facts()) for index in range(9)]
    )
    process = [phase for phase in compute_trend(steady).phases if phase.chart == "process"]
    assert [(phase.name, phase.change) for phase in process] == [
        ("B version 1", ""),
        ("provisional", "scdiff 0.1.0 to 0.2.0"),
    ]


OLD, NEW = "1" * 64, "2" * 64
"""Hashes of two definitions of the programme."""


def test_a_changed_programme_breaks_the_chart(filled):
    history = filled([(f"B{index}", 3000, 90) for index in range(3)], program=OLD)
    history.add_runs([(run_of(f"N{index}", 3000, 80, program=NEW), Facts()) for index in range(3)])
    trend = compute_trend(history)
    assert [phase.change for phase in trend.phases] == [
        "",
        "definition of the programme 11111111 to 22222222",
    ]
    assert trend.points["program_sha256"].tolist() == [OLD] * 3 + [NEW] * 3


def test_a_changed_programme_makes_a_new_run_of_the_same_numbers(filled):
    history = filled([("B0", 3000, 90)], program=OLD)
    entry, new = history.add_run(run_of("B0", program=NEW), Facts(), again=True)
    assert (entry.number, new) == (2, True)
    assert history.runs()["reason"].tolist() == ["run again: other definition of a programme"]
    assert history.add_run(run_of("B0"), Facts(), again=True)[1] is False, "not stated"


def test_runs_that_do_not_state_their_programme_belong_to_their_neighbours(steady):
    """Histories of earlier versions: their baselines stay locked, until the programme changes."""
    lock_baseline(steady, "B", who="A")
    for name, program in (("M", OLD), ("N", NEW)):
        steady.add_runs(
            [(run_of(f"{name}{index}", 5000, 150, program=program), Facts()) for index in range(9)]
        )
    process = [phase for phase in compute_trend(steady).phases if phase.chart == "process"]
    assert [(phase.name, phase.n_points) for phase in process] == [
        ("B version 1", 34),
        ("provisional", 9),
    ]
    assert lock_baseline(steady, "B", who="A", until="M3", reason="more batches")[1] == 2
    process = [phase for phase in compute_trend(steady).phases if phase.chart == "process"]
    assert [phase.name for phase in process] == ["B version 2", "provisional"]


def test_every_decision_on_a_batch_is_shown(filled, tmp_path):
    history = filled([("B0", 3000, 90), ("B1", 3000, 90)])
    for specification, version, decision in (
        ("isct", "1", "CANNOT TELL"),
        ("yield", "2", "PASS"),
        ("isct", "1", "PASS"),
        ("isct", "1", "PASS"),
        ("isct", None, "FAIL"),
    ):
        history.add_decision(
            "B0", {"specification": specification, "version": version, "decision": decision}
        )
    trend = compute_trend(history)
    expected = ["CANNOT TELL, then PASS (isct 1)", "PASS (yield 2)", "FAIL (isct)"]
    assert trend.decisions == {1: expected}
    write_trend(trend, tmp_path)
    table = pd.read_csv(tmp_path / "tables" / "trend.csv", keep_default_na=False)
    assert table["decisions"].tolist() == ["; ".join(expected), ""]
    rows = json.loads((tmp_path / "scdiff_trend_mqc.json").read_text())["data"]
    assert rows["B0"]["decisions"] == "; ".join(expected)
    assert "decisions" not in rows["B1"]


@pytest.mark.parametrize("limits", [(-0.1, None), (None, 1.2), (0.2, 0.1), (0.1, 0.1)])
def test_limits_that_cannot_be_are_refused(steady, limits):
    with pytest.raises(ConfigError, match=r"--lower|--upper"):
        compute_trend(steady, limits=limits)


def test_the_specification_is_held_by_value_and_by_bound(steady):
    steady.add_runs([(run_of("none", 20_000, 0), Facts()), (run_of("few", 300, 0), Facts())])
    signals = compute_trend(steady, limits=(0.01, 0.9)).signals
    assert signals.loc[signals["rule"] == "specification", "batch"].tolist() == ["none"]


def test_two_processes_are_compared(steady, tmp_path):
    trend = compute_trend(steady, change="B12", margin=2.0)
    assert (trend.comparison.n_before, trend.comparison.n_after, trend.comparison.verdict) == (
        12,
        13,
        "equivalent",
    )
    write_trend(trend, tmp_path)
    assert (tmp_path / "tables" / "comparability.csv").is_file()
    assert (
        "Equivalent: 12 batches before B12 and 13 from it on"
        in (tmp_path / "index.html").read_text()
    )
    write_trend(compute_trend(steady), tmp_path)
    assert not (tmp_path / "tables" / "comparability.csv").exists()


def test_an_empty_history_is_said(history):
    with pytest.raises(InputError, match="the history has no run yet"):
        compute_trend(history)


@pytest.mark.parametrize("role", ["batch", "run control"])
@pytest.mark.parametrize("n_called", [0, 2, 90, 3000])
def test_one_run_is_drawn(history, tmp_path, role, n_called):
    history.add_run(run_of("B1", n_called=n_called), Facts(role=role))
    trend = compute_trend(history)
    assert status_of(trend)[0] == "no limits yet"
    assert all(path.is_file() for path in write_trend(trend, tmp_path))


def test_the_page_is_one_file_and_names_with_markup_are_text(history, tmp_path):
    name = "</script><img src=x onerror=alert(1)>"
    history.add_run(run_of(name), Facts(donor="<b>D</b>", operator="'\"&"))
    history.add_note(name, {"cause": "<i>", "action": "</style>", "who": "&"})
    text = render_trend(compute_trend(history), tmp_path)
    assert "<img" not in text
    assert "<i>" not in text
    assert not re.search(r"(src|href)=[\"']?https?:", text)
    assert "@import" not in text


def test_links_lead_from_the_page_to_the_reports(history, tmp_path):
    run = run_of("B1")
    run.row["report"] = str(tmp_path / "runs" / "B 1?#%" / "report.html")
    history.add_run(run, Facts())
    data = json.loads(
        re.search(
            r'id="trend-data">(.*?)</script>',
            render_trend(compute_trend(history), tmp_path / "page"),
        ).group(1)
    )
    assert data["series"]["process"]["report"] == ["../runs/B%201%3F%23%25/report.html"]


def test_multiqc_reads_one_row_per_batch(steady, tmp_path):
    write_trend(compute_trend(steady), tmp_path)
    content = json.loads((tmp_path / "scdiff_trend_mqc.json").read_text())
    assert content["plot_type"] == "table"
    assert len(content["data"]) == 25
    assert set(content["data"]["B00"]) <= set(content["headers"])


def write_at_once(history, runs):
    """Write runs without their chain: the charts do not read it, and it takes most of the time."""
    numbered = list(enumerate(runs, start=1))
    fixed = {"kind": "run", "recorded": "2026-01-01T00:00:00Z", "previous": GENESIS}
    facts = {"role": "batch", "analysed": "2026-01-01T00:00:00Z"}
    with history.engine.begin() as connection:
        connection.execute(
            sa.insert(ENTRIES), [fixed | {"number": n, "hash": f"{n:064d}"} for n, _ in numbered]
        )
        connection.execute(
            sa.insert(RUNS),
            [one.row | facts | {"number": n, "batch": one.name} for n, one in numbered],
        )
        connection.execute(
            sa.insert(READOUTS),
            [row | {"number": n, "digest": ""} for n, one in numbered for row in one.readouts],
        )


@pytest.mark.slow
def test_ten_thousand_batches_are_drawn(filled, tmp_path):
    generator = np.random.default_rng(1)
    n_cells, n_called = draw(generator, 10_000)
    history = filled([])
    write_at_once(
        history,
        [
            run_of(f"B{index}", int(cells), int(called))
            for index, (cells, called) in enumerate(zip(n_cells, n_called, strict=True))
        ],
    )
    trend = compute_trend(history)
    write_trend(trend, tmp_path / "out")
    assert len(trend.points) == 10_000
    beyond = trend.signals[(trend.signals["rule"] == "1-3s")]
    assert 0.0005 < len(beyond) / 10_000 < 0.02
    assert (tmp_path / "out" / "index.html").stat().st_size < 12e6


@pytest.mark.long
def test_the_real_multiqc_shows_every_batch(steady, tmp_path):
    write_trend(compute_trend(steady), tmp_path)
    table = json.dumps(build_page(tmp_path)["report_plot_data"]["scdiff_trend_table"])
    assert all(f'"B{number:02d}"' in table for number in range(25))
