"""planning: table, sentence and files of `scdiff plan`, and the command itself."""

from __future__ import annotations

import pandas as pd
import pytest

from scdiff.cli import main
from scdiff.errors import OutputError, ProgramError
from scdiff.report.planning import plan_sentence, plan_table, plan_view, write_plan


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return plan_table("pancreatic_progenitor", [2_000.0, 4_000.0], fraction=0.01)


def test_the_table_is_said_in_words(table):
    heading, *rows = plan_view(table)
    assert heading == ("depth", "sensitivity", "cells to detect", "cells to quantify")
    assert [row[0] for row in rows] == ["2,000", "4,000"]
    assert plan_view(table.assign(cells_to_detect=0))[1][2] == "more than 10 million"


def test_the_sentence_rounds_up(table):
    fixed = table.assign(cells_to_detect=511, cells_to_quantify=8_501)
    sentence = plan_sentence(fixed, 4_000.0, fraction=0.01)
    assert (
        "To detect a fraction of 1.0 % with 95 % power at 4,000 counts per cell, sequence 520 cells; to quantify it, sequence 8,600"
        in sentence
    )


def test_files_are_written_the_same_each_time(table, tmp_path):
    for name in ("one", "two"):
        write_plan(table, tmp_path / name, fraction=0.01)
    for name in ("plan.csv", "plan.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert list(pd.read_csv(tmp_path / "one" / "plan.csv")) == list(table)


def test_a_folder_that_cannot_be_written_is_told(table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="the plan cannot be written"):
        write_plan(table, tmp_path / "file", fraction=0.01)


def test_a_programme_without_markers_is_refused():
    with pytest.raises(ProgramError, match="programme 'cell_cycle' has no markers to call"):
        plan_table("cell_cycle", [4_000.0], fraction=0.01)


@pytest.mark.slow
def test_the_command_prints_table_and_sentence(capsys, tmp_path):
    assert main(["plan", "--lod", "0.01", "--depth", "3000", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("depth")
    assert "at 3,000 counts per cell, sequence" in printed
    assert (tmp_path / "plan.png").stat().st_size > 5_000


def test_the_command_says_what_is_wrong(capsys):
    assert main(["plan", "--lod", "2"]) == 3
    assert "the fraction to find is 2, but it must lie between 0 and 1" in capsys.readouterr().err
