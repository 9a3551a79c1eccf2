"""From a run folder to a decision: what is read, refused, written and said."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import jsonschema
import pytest
from run_folders import SPECIFICATION, fraction_row

from scdiff import __version__
from scdiff.batches.decide import EXIT_CODES
from scdiff.batches.record import SCHEMA_FILE, json_schema, read_release
from scdiff.batches.release import release_batches
from scdiff.batches.specification import list_specifications
from scdiff.cli import main
from scdiff.errors import ConfigError, InputError, UnknownNameError


def lines_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "release.csv").read_text())))


def test_a_batch_passes_and_its_record_follows_the_schema(make_result, spec_file, tmp_path) -> None:
    out = tmp_path / "out"
    release = release_batches([make_result("lot7")], [spec_file()], out)
    assert release.decision == "PASS"
    record = json.loads((out / "release.json").read_text())
    jsonschema.validate(record, json.loads(SCHEMA_FILE.read_text()))
    assert record["sheets"][0]["batch"] == "lot7"
    assert record["results"][0]["inputs"] == [
        {"sample": "s1", "path": "/data/lot7.h5ad", "sha256": "ab" * 32}
    ]
    assert read_release(out / "release.json") == release
    page = (out / "release.html").read_text()
    for shown in (
        "lot7",
        "ab" * 32,
        release.specifications[0].sha256,
        "Name",
        "Role",
        "Date",
        "Meaning",
        "PASS",
        "2.9 to 5.3 %",
    ):
        assert shown in page


def test_the_shipped_schema_is_that_of_the_record() -> None:
    assert SCHEMA_FILE.read_text() == json_schema()


@pytest.mark.parametrize(
    ("changes", "n_cells", "decision"),
    [
        ({}, 200, "PASS"),
        ({"prevalence_low": 0.019}, 200, "CANNOT TELL"),
        ({"prevalence": 0.01, "prevalence_low": 0.005, "prevalence_high": 0.019}, 200, "FAIL"),
        ({"lod": 0.021}, 200, "CANNOT TELL"),
        ({"verdict": "inconclusive", "reason": "more depth would decide"}, 200, "CANNOT TELL"),
        ({"verdict": "not measurable", "prevalence": "", "prevalence_low": ""}, 200, "CANNOT TELL"),
        ({}, 99, "INVALID"),
        ({"prevalence": 0.01, "prevalence_low": 0.005, "prevalence_high": 0.019}, 99, "INVALID"),
    ],
)
def test_decisions_and_exit_codes(
    make_result, spec_file, tmp_path, changes, n_cells, decision
) -> None:
    folder, out = make_result("lot", fraction_row(**changes), n_cells=n_cells), tmp_path / "out"
    code = main(["release", str(folder), "--spec", str(spec_file()), "--out", str(out)])
    assert code == EXIT_CODES[decision]
    assert read_release(out / "release.json").decision == decision


def test_each_decision_is_reproduced_by_hand_from_the_csv(make_result, spec_file, tmp_path) -> None:
    changed = [
        {},
        {"prevalence_low": 0.019},
        {"prevalence_high": 0.019, "prevalence_low": 0.001, "prevalence": 0.01},
        {"lod": 0.021},
    ]
    folders = [make_result(f"lot{at}", fraction_row(**one)) for at, one in enumerate(changed)]
    release_batches(folders, [spec_file()], tmp_path / "out")
    decisions = set()
    for line in lines_of(tmp_path / "out"):
        low, high, lod = (float(line[name] or "nan") for name in ("low", "high", "lod"))
        limit, lower = float(line["at_least"]), line["judge"] == "bound"
        low, high = (low, high) if lower else (float(line["figure"]),) * 2
        blind = limit < lod
        expected = (
            "FAIL"
            if high < limit and not blind
            else "CANNOT TELL"
            if blind or low < limit
            else "PASS"
        )
        assert line["decision"] == expected
        decisions.add(expected)
    assert decisions == {"PASS", "FAIL", "CANNOT TELL"}


def test_what_would_decide_comes_from_the_plan(make_result, spec_file, tmp_path) -> None:
    wide = make_result(
        "wide", fraction_row(prevalence=0.03, prevalence_low=0.015, prevalence_low_cells=0.015)
    )
    blind = make_result("blind", fraction_row(lod=0.05))
    donors = make_result("donors", fraction_row(prevalence_low=0.015))
    doubt = make_result(
        "doubt", fraction_row(verdict="inconclusive", reason="the unfiltered matrix would decide")
    )
    release = release_batches([wide, blind, donors, doubt], [spec_file()], tmp_path / "out")
    said = {sheet.batch: sheet.judgements[-1].advice for sheet in release.sheets}
    # the lower end lies 1.5 points below 3 %, the limit 1: 2.25 times the cells, which are 1,000
    assert said["wide"] == "1,300 more cells at 4,100 UMI; PASS if the figure stays at 3 %"
    assert "more cells at 4,100 UMI" in said["blind"]
    assert int(said["blind"].split()[0].replace(",", "")) >= 1500
    assert said["donors"].startswith("more donors")
    assert said["doubt"] == "another measurement: the unfiltered matrix would decide"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "pancreatic_progenitor/progenitor_like",
            "pancreatic_progenitr/progenitor_like",
            "Did you mean 'pancreatic_progenitor'",
        ),
        (
            "pancreatic_progenitor/progenitor_like",
            "pancreatic_progenitor/progenitor_lik",
            "Did you mean 'progenitor_like'",
        ),
        (
            "pancreatic_progenitor/progenitor_like",
            "pancreatic_progenitor/progenitor_like/prevalance",
            "Did you mean 'prevalence'",
        ),
        (
            "pancreatic_progenitor/progenitor_like",
            "isct_CD34/CD34_positive",
            r"programs=\[pancreatic_progenitor,isct\]",
        ),
        (
            "pancreatic_progenitor/progenitor_like",
            "tables/fraction.csv/lod",
            "Did you mean 'fractions.csv'",
        ),
        (
            "pancreatic_progenitor/progenitor_like",
            "progenitor_like",
            "is not valid. Write programme",
        ),
        ("qc/cells", "qc/cell", "Did you mean 'cells'"),
        ("title: Positive cells", "title: Positive cells, sample: al", "Did you mean 'all'"),
    ],
)
def test_unknown_read_outs_are_refused_and_nothing_is_judged(
    make_result, spec_file, tmp_path, old, new, said
) -> None:
    with pytest.raises(UnknownNameError, match=said):
        release_batches([make_result("lot")], [spec_file(old, new)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_unit_that_does_not_fit_is_refused(make_result, spec_file, tmp_path) -> None:
    with pytest.raises(
        ConfigError, match=r"qc/cells cannot have the unit 'UMI'\. Allowed units: cells"
    ):
        release_batches(
            [make_result("lot")], [spec_file("unit: cells", "unit: UMI")], tmp_path / "out"
        )


def test_other_tables_are_read_by_column_and_row(make_result, spec_file, tmp_path) -> None:
    folder = make_result("lot")
    (folder / "tables" / "trajectory.csv").write_text("verdict,p_continuum\ncontinuum,0.2\n")
    (folder / "tables" / "dose.csv").write_text(
        "program,sample,cells,low\na,all,5,4\nb,all,9,7\na,s1,1,1\n"
    )
    old = SPECIFICATION.split("criteria:\n")[1]
    new = (
        "  - {id: path, title: Path, read_out: tables/trajectory.csv/verdict, unit: text, allowed: [continuum], source: DOI}\n"
        "  - {id: dose, title: Dose, read_out: tables/dose.csv/cells, where: {program: b}, "
        "low: low, unit: cells, at_least: 8, source: DOI}\n"
    )
    lines = (
        release_batches([folder], [spec_file(old, new)], tmp_path / "out").sheets[0].judgements[1:]
    )
    assert [(line.figure, line.low, line.decision) for line in lines] == [
        (None, None, "PASS"),
        (9.0, 7.0, "CANNOT TELL"),
    ]
    with pytest.raises(ConfigError, match=r"2 rows of dose\.csv"):
        release_batches(
            [folder], [spec_file(old, new.replace("where: {program: b}, ", ""))], tmp_path / "out2"
        )


def test_controls_are_suitability_and_may_be_absent(make_result, spec_file, tmp_path) -> None:
    old = "criteria:\n"
    new = (
        "  - {id: control, title: Controls, read_out: pancreatic_progenitor/progenitor_like/verdict, "
        "sample: each control, unit: text, allowed: [not detected], required: false, source: DOI}\n"
        "criteria:\n"
    )
    control = fraction_row(sample="control1", verdict="detected")
    with_control = make_result("a", fraction_row(), control, controls=60)
    assert (
        release_batches([with_control], [spec_file(old, new)], tmp_path / "out").decision
        == "INVALID"
    )
    without = release_batches([make_result("b")], [spec_file(old, new)], tmp_path / "out2")
    assert without.decision == "PASS"
    assert [line.decision for line in without.sheets[0].judgements] == [
        "PASS",
        "NOT MEASURED",
        "PASS",
    ]


def test_controls_are_not_counted_among_the_cells(make_result, spec_file, tmp_path) -> None:
    folder = make_result("a", fraction_row(), n_cells=99, controls=500)
    assert release_batches([folder], [spec_file()], tmp_path / "out").decision == "INVALID"


def test_another_version_is_judged_only_with_the_same_layout(
    make_result, spec_file, tmp_path
) -> None:
    release_batches([make_result("old", version="0.0.9")], [spec_file()], tmp_path / "out")
    assert (
        "The result was written by scdiff 0.0.9" in (tmp_path / "out" / "release.html").read_text()
    )
    foreign = make_result("foreign", version="9.0")
    path = foreign / "tables" / "fractions.csv"
    path.write_text(path.read_text().replace("prevalence,", "proportion,"))
    with pytest.raises(
        InputError,
        match=f"column 9 is 'proportion', but scdiff {__version__} needs 'prevalence'.*written by scdiff 9.0",
    ):
        release_batches([foreign], [spec_file()], tmp_path / "out2")


def test_several_results_and_specifications(make_result, spec_file, tmp_path) -> None:
    good, bad = (
        make_result("good"),
        make_result("bad", fraction_row(prevalence=0.001, prevalence_low=0, prevalence_high=0.004)),
    )
    other = spec_file('version: "1"', 'version: "2"', name="two.yaml")
    release = release_batches([good, bad], [spec_file(), other], tmp_path / "out")
    assert [(sheet.batch, sheet.version, sheet.decision) for sheet in release.sheets] == [
        ("good", "1", "PASS"), ("good", "2", "PASS"), ("bad", "1", "FAIL"), ("bad", "2", "FAIL"),
    ]  # fmt: skip
    assert release.exit_code == 1
    named = release_batches([good, bad], [spec_file()], tmp_path / "named", batches=["x", "y"])
    assert [sheet.batch for sheet in named.sheets] == ["x", "y"]
    with pytest.raises(ConfigError, match="two results have the batch name 'good'"):
        release_batches([good, good], [spec_file()], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"1 names .--batch. for 2 results"):
        release_batches([good, bad], [spec_file()], tmp_path / "out", batches=["x"])


def test_a_changed_specification_of_the_same_version_is_refused_in_the_same_folder(
    make_result, spec_file, tmp_path
) -> None:
    folder, out = make_result("lot"), tmp_path / "out"
    first = release_batches([folder], [spec_file()], out)
    again = release_batches([folder], [spec_file()], out)
    assert again.replaces
    assert first.sheets == again.sheets
    with pytest.raises(ConfigError, match="same name and version"):
        release_batches([folder], [spec_file("at_least: 2", "at_least: 1")], out)
    assert read_release(out / "release.json") == again


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere", "--spec", "isct"], 13, "not the folder of a finished run"),
        (["--spec", "isct"], 12, "at least one result"),
        (["{lot}"], 12, "and one specification"),
        (["{lot}", "--spec", "isctt"], 12, "Did you mean 'isct'"),
        (["{lot}", "--spce", "isct"], 12, "No such option"),
        (["{lot}", "--verify"], 12, "--verify takes only the folder"),
        (["--verify"], 13, "release.json is missing"),
    ],
)
def test_errors_have_codes_of_their_own(make_result, tmp_path, capsys, words, code, said) -> None:
    lot = str(make_result("lot"))
    assert (
        main(
            [
                "release",
                *(word.replace("{lot}", lot) for word in words),
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == code
    )
    assert said in capsys.readouterr().err


def test_a_fault_of_the_program_is_no_decision(make_result, tmp_path, monkeypatch, capsys) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("scdiff.batches.release.release_batches", fail)
    assert (
        main(["release", str(make_result("lot")), "--spec", "isct", "--out", str(tmp_path / "out")])
        == 70
    )
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("fractions.csv", b""),
        ("fractions.csv", b"\xff\xfe"),
        ("fractions.csv", b"program,state\na\n"),
        ("cells.csv.gz", b"no gzip"),
    ],
)
def test_damaged_tables_are_refused_in_a_sentence(
    make_result, spec_file, tmp_path, name, damage
) -> None:
    folder = make_result("lot")
    (folder / "tables" / name).write_bytes(damage)
    with pytest.raises(InputError, match=name):
        release_batches([folder], [spec_file()], tmp_path / "out")


def test_names_that_are_markup_or_formulas_stay_text(make_result, spec_file, tmp_path) -> None:
    out = tmp_path / "out"
    release_batches([make_result("lot")], [spec_file()], out, batches=["=1+1<script>"])
    assert "<script>" not in (out / "release.html").read_text()
    assert "'=1+1<script>" not in (out / "release.json").read_text()
    assert lines_of(out)[0]["batch"].startswith("'=")


def test_a_finished_run_is_judged(finished_run, tmp_path) -> None:
    assert (
        main(
            [
                "release",
                str(finished_run),
                "--spec",
                "progenitor_yield",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 3
    )  # 70 cells are too few
    assert main(["release", "--verify", "--out", str(tmp_path / "out")]) == 0


def test_no_number_of_a_sheet_is_lost(make_result, spec_file, tmp_path) -> None:
    release_batches([make_result("lot")], [spec_file()], tmp_path / "out")
    line = lines_of(tmp_path / "out")[-1]
    assert [float(line[name]) for name in ("figure", "low", "high", "lod")] == [4.0, 2.9, 5.3, 0.5]
    assert math.isnan(float(lines_of(tmp_path / "out")[0]["lod"] or "nan"))


def test_every_shipped_specification_has_its_name_in_the_help(capsys) -> None:
    main(["release", "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in list_specifications())
