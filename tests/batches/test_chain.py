"""The chain finds every change of a row, and holds however many write at once."""

import itertools
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from simulated_batches import run_of, write_runs

from scdiff.batches.chain import find_faults
from scdiff.batches.database import reading
from scdiff.batches.history import Facts, open_history
from scdiff.batches.schema import (
    BASELINES,
    DECISIONS,
    ENTRIES,
    HEAD,
    NOTES,
    READOUTS,
    RUNS,
    canonical,
    digest,
)

NOTE = {
    "cause": "wrong lot",
    "action": "discarded",
    "who": "A. Muster",
    "chart": "process",
    "rule": "1-3s",
}
NUMBERS = ("centre", "spread", "centre_error", "spread_error", "score_mean")
BASELINE = dict.fromkeys(NUMBERS, 0.1) | {
    "name": "B", "chart": "process", "program": "p", "state": "s", "sample": "all",
    "phase": "{}", "runs": "[1]", "n_detected": 20, "who": "A",
}  # fmt: skip


def fill(history):
    """Five runs, a note, a decision and a baseline."""
    history.add_runs(
        [(run_of(f"B{index}"), Facts(donor="D1", lots={"medium": "A1"})) for index in range(5)]
    )
    history.add_note("B2", NOTE)
    history.add_decision("B3", {"specification": "isct", "version": "1", "decision": "PASS"})
    history.add_baseline(BASELINE)
    return history


def faults(history):
    with reading(history.engine) as connection:
        return [fault.sentence for fault in find_faults(connection)]


def change(history, *statements):
    """Change the tables past scdiff, as anyone with the password can."""
    options = {"client_encoding": "utf8"} if history.engine.dialect.name == "postgresql" else {}
    with sa.create_engine(
        history.engine.url, poolclass=sa.NullPool, connect_args=options
    ).begin() as connection:
        if options:
            connection.execute(sa.text("SET session_replication_role = replica"))
        for statement in statements:
            connection.execute(statement)


def test_an_untouched_history_verifies(new_url):
    history = fill(open_history(new_url, create=True))
    last, found = history.verify()
    assert (last.number, found) == (8, [])
    assert history.entries()["previous"].tolist()[1:] == history.entries()["hash"].tolist()[:-1]


def test_the_hash_of_a_row_is_what_the_documentation_says(history):
    history.add_run(run_of("B0"), Facts(donor="D1"))
    row = history.runs().iloc[0].drop(["number", "recorded"]).to_dict()
    row = {name: value for name, value in row.items() if isinstance(value, str)}
    readout = history.readouts().iloc[0].drop(["number", "digest", "why"]).to_dict()
    entry = history.entries().iloc[0]
    text = canonical(row)
    own = digest(
        canonical(
            {
                name: int(value) if name in {"n_cells", "n_called"} else value
                for name, value in readout.items()
            }
        )
    )
    assert entry["hash"] == digest("0" * 64, "1", "run", entry["recorded"], text, own)


CHANGES = {
    "changed": [sa.update(RUNS).where(RUNS.c.number == 3).values(donor="D2")],
    "emptied": [sa.update(RUNS).where(RUNS.c.number == 3).values(donor=None)],
    "read-out": [sa.update(READOUTS).where(READOUTS.c.number == 3).values(prevalence=0.5)],
    "note": [sa.update(NOTES).values(cause="none")],
    "decision": [sa.update(DECISIONS).values(decision="FAIL")],
    "baseline": [sa.update(BASELINES).values(spread=0.2)],
    "time": [
        sa.update(ENTRIES).where(ENTRIES.c.number == 3).values(recorded="2020-01-01T00:00:00Z")
    ],
    "kind": [sa.update(ENTRIES).where(ENTRIES.c.number == 3).values(kind="note")],
    "removed": [table.delete().where(table.c.number == 3) for table in (READOUTS, RUNS, ENTRIES)],
    "row removed": [table.delete().where(table.c.number == 3) for table in (READOUTS, RUNS)],
    "read-out removed": [READOUTS.delete().where(READOUTS.c.number == 3)],
    "swapped": [
        sa.update(RUNS).where(RUNS.c.number == number).values(batch=name)
        for number, name in ((2, "B2"), (3, "B1"))
    ],
    "reordered": [
        sa.update(ENTRIES).where(ENTRIES.c.number == old).values(number=new)
        for old, new in ((2, 99), (3, 2), (99, 3))
    ],
    "end removed": [table.delete().where(table.c.number == 8) for table in (BASELINES, ENTRIES)],
    "head moved": [
        BASELINES.delete(),
        ENTRIES.delete().where(ENTRIES.c.number == 8),
        sa.update(HEAD).values(number=7),
    ],
    "describe_entry": [sa.insert(NOTES).values(number=50, run=1, cause="a", action="b", who="c")],
}
NAMED = {
    "changed": "entry 3 .run of batch B2.: its row was changed",
    "read-out": "entry 3 .run of batch B2.: its read-out .* progenitor_like of sample all",
    "note": "entry 6 .note on entry 3.",
    "decision": "entry 7 .decision on entry 4.",
    "baseline": "entry 8 .baseline B version 1.",
    "removed": "entry 3 is missing",
    "row removed": "entry 3 .run.: its row was removed",
    "read-out removed": "entry 3 .*a read-out was added or removed",
    "end removed": "entry 8 is missing: a row was removed from the end",
    "head moved": "entry 7 is not the entry that was written last",
    "describe_entry": "row 50 of scdiff_notes has no entry",
}


@pytest.mark.parametrize("what", CHANGES)
def test_every_change_is_found_and_named(history, what):
    change(fill(history), *CHANGES[what])
    found = faults(history)
    assert found
    assert any(re.search(NAMED.get(what, r"entry \d"), sentence) for sentence in found), found
    if what in {"changed", "read-out", "note"}:
        assert {sentence.split(" (")[0] for sentence in found} == {
            f"entry {6 if what == 'note' else 3}"
        }


@pytest.mark.parametrize("what", ["changed", "read-out", "removed", "reordered"])
def test_postgresql_finds_it_as_well(postgres, what):
    history = fill(open_history(postgres(f"tamper_{what.replace('-', '')}"), create=True))
    change(history, *CHANGES[what])
    assert faults(history)


def test_every_cell_is_held(history):
    """Each column of each table, changed alone, is found."""
    fill(history)
    for table in (RUNS, READOUTS, NOTES, DECISIONS, BASELINES):
        for column in table.columns:
            if (
                column.name in {"number", "program", "state", "sample"} and table is READOUTS
            ) or column.name == "number":
                continue
            with (
                history.engine.connect().execution_options(scdiff_alone=True) as connection,
                connection.begin() as transaction,
            ):
                value = (
                    connection.execute(sa.select(column).order_by(table.c.number)).scalars().first()
                )
                other = (
                    f"{value}x"
                    if isinstance(value, str)
                    or (value is None and not hasattr(column.type, "asdecimal"))
                    else (value or 0) + 1
                )
                connection.execute(sa.update(table).values({column.name: other}))
                assert find_faults(connection), f"{table.name}.{column.name}"
                transaction.rollback()
    assert faults(history) == []


def test_writing_the_chain_anew_is_found_by_a_hash_that_was_noted(history, tmp_path):
    history.add_run(run_of("B0"), Facts(donor="D1"))
    noted = history.verify()[0].hash
    forged = open_history(f"sqlite:///{tmp_path / 'forged.db'}", create=True)
    forged.add_run(run_of("B0"), Facts(donor="D2"))
    assert forged.verify()[1] == []
    assert forged.holds(noted) is None
    assert history.holds(noted[:16]) == 1
    assert history.holds("%") is None


def writers(url, n_writers, n_runs, prefix="W"):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
        "from simulated_batches import write_runs; write_runs(*sys.argv[1:3], int(sys.argv[3]))"
    )
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, url, f"{prefix}{index}-", str(n_runs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(n_writers)
    ]


@pytest.mark.slow
def test_eight_writers_at_once_write_every_row(new_url):
    started = writers(new_url, 8, 200)
    ends = [process.communicate(timeout=500) for process in started]
    assert [process.returncode for process in started] == [0] * 8, ends
    history = open_history(new_url)
    last, found = history.verify()
    assert (last.number, found) == (1600, [])
    assert len(history.runs()["batch"].unique()) == 1600
    times = history.runs()["analysed"]
    assert times.is_monotonic_increasing


def test_two_writers_both_succeed(new_url):
    first, second = open_history(new_url, create=True), open_history(new_url, create=True)
    for one, name in itertools.product((first, second), "ab"):
        one.add_run(run_of(f"{id(one)}{name}"), Facts())
    assert first.verify()[0].number == 4
    assert first.verify()[1] == []


@pytest.mark.slow
def test_a_killed_writer_leaves_a_history_that_verifies(new_url):
    generator = np.random.default_rng(0)
    before = 0
    for _ in range(3):
        (process,) = writers(new_url, 1, 5000, prefix=f"K{before}-")
        assert process.stdout.readline().strip() == "begun"
        time.sleep(generator.uniform(0.05, 0.6))
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
        history = open_history(new_url)
        last, found = history.verify()
        assert found == []
        assert last.number > before
        before = last.number
    write_runs(new_url, "after", 2)
    assert open_history(new_url).verify()[1] == []
