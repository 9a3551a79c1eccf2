"""What is read from the output folder of a run."""

import gzip
import json
import shutil

import h5py
import pytest

from scdiff.batches.folder import read_folder
from scdiff.errors import InputError
from scdiff.programs import load_program, load_programs
from scdiff.record import dump_programs, hash_programs

HEADER = (
    "program,state,sample,n_cells,n_called,fraction,fraction_low,fraction_high,"
    "prevalence,prevalence_low,prevalence_high,lob,lod,lloq,verdict,reason"
)
ROW = (
    "pancreatic_progenitor,progenitor_like,all,2250,56,0.025,0.02,0.03,"
    "0.035,0.02,0.08,0.002,0.008,0.04,quantified,"
)


@pytest.fixture
def folder(tmp_path):
    out = tmp_path / "batch 7"
    (out / "tables").mkdir(parents=True)
    (out / "report.html").write_text("<html>")
    (out / "tables" / "fractions.csv").write_text(
        f"{HEADER}\n{ROW}\nil10,positive,NA,10,0,0,0,1,,,,,,,not measurable,too few\n"
    )
    (out / "versions.yml").write_text("scdiff:\n  scdiff: 0.1.0\n  numpy: 2.0.0\n")
    (out / "run.yaml").write_text(
        "inputs: [a.h5ad]\nseed: 0\ncall:\n  fdr: 0.05\nreport:\n  dose_cells: 1\n"
    )
    (out / "tables" / "qc_dropped.csv").write_text(
        "sample,n_before,empty,n_after\na,100,4,96\nb,50,0,50\n"
    )
    (out / "tables" / "input_files.csv").write_text("sample,path,sha256\na,x,0aff\n")
    with gzip.open(out / "tables" / "cells.csv.gz", "wt") as file:
        file.write(
            "cell,control,total_counts,pct_counts_mt\n1,False,10,1\n2,False,20,3\n3,True,900,50\n"
        )
    with h5py.File(out / "result.h5ad", "w") as file:
        file["uns/scdiff/input/species"] = "human"
        file["uns/scdiff/call/definitions"] = dump_programs(load_programs(["il10", "vegf"]))
    return out


def test_a_run_tells_its_numbers(folder):
    run = read_folder(folder)
    assert run.name == "batch 7"
    assert run.row["scdiff"] == "0.1.0"
    assert run.row["inputs"] == '{"a":"0aff"}'
    assert run.row["species"] == "human"
    assert list(json.loads(run.row["programs"])) == ["il10", "vegf"]
    assert (
        run.row["qc"] == '{"dropped_empty":4.0,"median_counts":15.0,"median_mito_percent":2.0,'
        '"n_after":146.0,"n_before":150.0}'
    )
    first, second = run.readouts
    assert (first["prevalence"], first["verdict"], first["why"]) == (0.035, "quantified", None)
    assert (second["sample"], second["prevalence"], second["why"]) == ("NA", None, "too few")


def test_a_folder_of_the_least_is_enough(folder):
    for name in (
        "versions.yml",
        "run.yaml",
        "result.h5ad",
        "tables/qc_dropped.csv",
        "tables/input_files.csv",
        "tables/cells.csv.gz",
    ):
        (folder / name).unlink()
    run = read_folder(folder)
    assert (run.row["scdiff"], run.row["options"], run.row["result_sha256"]) == (
        "unknown",
        None,
        None,
    )


def test_the_content_of_a_programme_changes_its_hash_and_its_texts_do_not():
    def hash_of(**changes):
        return hash_programs(dump_programs([load_program("il10").model_copy(update=changes)]))

    marker = load_program("il10").markers[0]
    assert hash_of() == hash_of(summary="other words", notes="more", source="elsewhere")
    assert hash_of() == hash_of(markers=(marker.model_copy(update={"source": "elsewhere"}),))
    assert hash_of() != hash_of(min_markers=2)
    assert hash_of() != hash_of(markers=(marker.model_copy(update={"level_cp10k": 0.3}),))
    assert hash_of() != hash_of(markers=(marker.model_copy(update={"human": ("IL10RA",)}),))


def test_only_options_that_change_a_number_change_the_method(folder):
    before = read_folder(folder).row["options"]
    (folder / "run.yaml").write_text(
        "inputs: [b.h5ad]\nseed: 1\ncall:\n  fdr: 0.05\nreport:\n  dose_cells: 2\n"
    )
    assert read_folder(folder).row["options"] == before
    (folder / "run.yaml").write_text("call:\n  fdr: 0.01\n")
    assert read_folder(folder).row["options"] != before


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("report.html", None, "report.html is missing"),
        ("tables/fractions.csv", None, "tables/fractions.csv is missing"),
        ("tables/fractions.csv", "", "cannot be read as a table"),
        ("tables/fractions.csv", f"{HEADER}\n", "has no row"),
        ("tables/fractions.csv", "a,b\n1,2\n", "column 'program' is missing"),
        (
            "tables/fractions.csv",
            f"{HEADER}\n{ROW}\n{ROW}\n",
            "two rows describe pancreatic_progenitor progenitor_like of sample all",
        ),
        (
            "tables/fractions.csv",
            f"{HEADER}\n{ROW.replace('0.035', 'many')}\n",
            "column 'prevalence' contains 'many', which is not a number",
        ),
        ("versions.yml", "a: [", "cannot be read"),
        ("result.h5ad", b"definitions", "cannot be read as the result.h5ad"),
        ("result.h5ad", "text", "cannot be read as the result.h5ad"),
        ("tables/cells.csv.gz", "text", "cells.csv.gz: cannot be read"),
    ],
)
def test_a_damaged_folder_is_refused(folder, name, text, sentence):
    if text is None:
        (folder / name).unlink()
    elif isinstance(text, bytes):
        with h5py.File(folder / name, "r+") as file:
            file[f"uns/scdiff/call/{text.decode()}"][()] = "[1]"
    else:
        (folder / name).write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_folder(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"report\.html is missing"):
        read_folder(tmp_path / "none")


def test_a_truncated_table_of_cells(folder):
    path = folder / "tables" / "cells.csv.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match=r"cells.csv.gz: cannot be read"):
        read_folder(folder)


def test_a_link_is_named_by_where_it_leads(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert read_folder(tmp_path / "link").name == "batch 7"
    shutil.rmtree(folder)
