"""Runs, notes, decisions and baselines: appended, superseded with a reason, never changed."""

import dataclasses

import pytest
from simulated_batches import run_of

from scdiff.batches import times
from scdiff.batches.history import Facts
from scdiff.errors import ConfigError, UnknownNameError


def test_what_is_entered_is_read_again(history):
    facts = Facts(
        donor="D1", passage=4, culture_day=21.5, operator="Zoë",
        lots={"serum": "S2", "medium": "A1"}, chemistry="10x 3' v3",
        specification="isct@1", collected="2026-01-01T10:00:00+02:00",
        analysed="2026-01-02T10:00:00Z", role="run_control",
    )  # fmt: skip
    entry, new = history.add_run(run_of("B1"), facts)
    row = history.runs().iloc[0]
    assert (entry.number, new) == (1, True)
    assert row[["batch", "role", "donor", "passage", "culture_day", "operator"]].tolist() == [
        "B1",
        "run control",
        "D1",
        4,
        21.5,
        "Zoë",
    ]
    assert row[["lots", "collected", "analysed"]].tolist() == [
        '{"medium":"A1","serum":"S2"}',
        "2026-01-01T08:00:00Z",
        "2026-01-02T10:00:00Z",
    ]
    assert history.readouts().iloc[0]["prevalence"] == 0.03


def test_the_same_numbers_are_entered_once(history):
    history.add_run(run_of("B1"), Facts(donor="D1"))
    entry, new = history.add_run(run_of("B1"), Facts())
    assert (entry.number, new, len(history.runs())) == (1, False, 1)


def test_other_numbers_need_a_reason_and_both_rows_stay(history):
    history.add_run(run_of("B1"), Facts(donor="D1", passage=3))
    with pytest.raises(
        ConfigError,
        match=r"batch 'B1' is already in the history with other numbers or facts .entry 1.",
    ):
        history.add_run(run_of("B1", n_called=10), Facts())
    with pytest.raises(ConfigError, match="other numbers or facts"):
        history.add_run(run_of("B1"), Facts(donor="D2"))
    history.add_run(run_of("B1", n_called=10), Facts(passage=4), reason="wrong threshold")
    assert history.runs()[
        ["number", "supersedes", "reason", "donor", "passage"]
    ].values.tolist() == [[2, 1, "wrong threshold", "D1", 4]]
    assert len(history.runs(superseded=True)) == 2
    assert history.successors() == {1: 2}
    with pytest.raises(ConfigError, match="no run of batch 'B9' to supersede"):
        history.add_run(run_of("B9"), Facts(), reason="why")


def test_a_run_again_of_the_same_inputs_says_itself_why(history):
    history.add_run(run_of("B1"), Facts(role="run control", donor="D1"))
    assert history.add_run(run_of("B1", n_called=80, options="b" * 64), Facts(), again=True)[1]
    assert history.add_run(
        run_of("B1", n_called=70, options="b" * 64, version="0.2.0"), Facts(), again=True
    )[1]
    assert not history.add_run(
        run_of("B1", n_called=70, options="b" * 64, version="0.2.0"), Facts(), again=True
    )[1]
    runs = history.runs(superseded=True)
    assert runs["reason"].fillna("").tolist() == [
        "",
        "run again: other options",
        "run again: scdiff 0.1.0 to 0.2.0",
    ]
    assert set(runs["role"]) == {"run control"}
    assert set(runs["donor"]) == {"D1"}
    other = run_of("B1", n_called=5)
    other.row["inputs"] = '{"all":"another"}'
    with pytest.raises(ConfigError, match="or another name with --batch"):
        history.add_run(other, Facts(), again=True)


def test_runs_are_added_all_or_none(history):
    history.add_run(run_of("B1"), Facts())
    with pytest.raises(ConfigError, match="'B1'"):
        history.add_runs([(run_of("B0"), Facts()), (run_of("B1", n_called=1), Facts())])
    assert history.runs()["batch"].tolist() == ["B1"]


def test_time_does_not_run_backwards(history):
    history.add_run(run_of("B1"), Facts(analysed="2026-02-01T12:00:00Z"))
    history.add_run(run_of("B2"), Facts(analysed="2026-02-01T13:00:00+01:00"))
    with pytest.raises(
        ConfigError,
        match=r"--analysed 2026-02-01T11:59:59Z is before the last row of the history "
        r".2026-02-01T12:00:00Z.",
    ):
        history.add_run(run_of("B3"), Facts(analysed="2026-02-01T11:59:59Z"))
    with pytest.raises(ConfigError, match="is in the future"):
        history.add_run(run_of("B3"), Facts(analysed="2999-01-01T00:00:00Z"))
    with pytest.raises(ConfigError, match="--collected 2026-02-02T00:00:00Z is after the analysis"):
        history.add_run(
            run_of("B3"), Facts(collected="2026-02-02T00:00:00Z", analysed="2026-02-01T12:00:00Z")
        )
    assert len(history.runs()) == 2


def test_a_clock_that_runs_backwards_is_said(history, monkeypatch):
    monkeypatch.setattr(times, "now", lambda: "2026-03-01T12:00:00Z")
    history.add_run(run_of("B1"), Facts())
    monkeypatch.setattr(times, "now", lambda: "2026-03-01T11:56:00Z")
    history.add_run(run_of("B2"), Facts())  # clocks of two computers differ a little
    monkeypatch.setattr(times, "now", lambda: "2026-03-01T11:54:59Z")
    with pytest.raises(
        ConfigError,
        match=r"the clock of this computer .2026-03-01T11:54:59Z. is before the last row",
    ):
        history.add_run(run_of("B3"), Facts())
    assert history.runs()["analysed"].tolist() == ["2026-03-01T12:00:00Z"] * 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("yesterday", "this is not a time"), ("2026-01-01T10:00:00", "the time zone is missing")],
)
def test_a_time_without_zone_is_refused(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        times.utc(text, option="--collected")


@pytest.mark.parametrize(
    ("facts", "error", "sentence"),
    [
        ({"role": "run controll"}, UnknownNameError, "Did you mean 'run control'"),
        ({"passage": -1}, ConfigError, "passage -1"),
        ({"culture_day": float("nan")}, ConfigError, "culture day nan"),
        ({"batch": ""}, ConfigError, "1 to 200 printable"),
        ({"batch": "x" * 201}, ConfigError, "1 to 200 printable"),
        ({"batch": "a\nb"}, ConfigError, "1 to 200 printable"),
    ],
)
def test_facts_that_cannot_be_are_refused(history, facts, error, sentence):
    with pytest.raises(error, match=sentence):
        history.add_run(run_of("B1"), Facts(**facts))
    assert history.runs().empty


def test_odd_texts_survive_on_both_databases(new_url):
    from scdiff.batches.history import open_history

    odd = [
        "'; DROP TABLE scdiff_runs; --",
        "naïve\u2028line",
        "\ud800half",
        "nul\x00in",
        "=cmd()",
        "🧫",
    ]
    history = open_history(new_url, create=True)
    for index, text in enumerate(odd):
        history.add_run(run_of(f"B{index}"), Facts(donor=text))
    assert history.runs()["donor"].tolist() == [*odd[:2], "?half", "nulin", *odd[4:]]
    assert history.verify()[1] == []


def test_notes_are_of_a_run(history):
    history.add_run(run_of("B1"), Facts())
    note = {"cause": "a", "action": "b", "who": "c"}
    history.add_note("B1", note)
    history.add_note("1", note)
    assert history.notes()["run"].tolist() == [1, 1]
    with pytest.raises(UnknownNameError, match=r"no batch 'BB1'. Did you mean 'B1'"):
        history.add_note("BB1", note)
    with pytest.raises(
        ConfigError, match="--action is empty: a note needs a cause, an action and a name"
    ):
        history.add_note("B1", note | {"action": " "})


def test_decisions_are_of_a_run(history):
    history.add_run(run_of("B1"), Facts())
    history.add_decision("B1", {"specification": "isct", "decision": "PASS"})
    assert history.decisions()[["run", "decision"]].values.tolist() == [[1, "PASS"]]


def test_facts_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Facts().donor = "D1"
