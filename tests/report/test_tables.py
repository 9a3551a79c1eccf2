import gzip
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdiff.report.tables import (
    FRACTION_COLUMNS,
    cells_table,
    csv_text,
    fraction_columns,
    main_evidence,
    marker_counts,
    write_table,
)


def test_columns_of_fractions_are_an_interface(finished, tmp_path):
    table = finished.uns["scdiff"]["fractions"].assign(extra=1)
    write_table(fraction_columns(table[sorted(table.columns)]), tmp_path / "fractions.csv")
    assert (tmp_path / "fractions.csv").read_text().splitlines()[0] == (
        "program,state,sample,n_cells,n_called,fraction,fraction_low,fraction_high,prevalence,prevalence_low,prevalence_high,lob,lod,lloq,verdict,reason,"
        "prevalence_low_cells,prevalence_high_cells,lloq_events,high_at_third,high_at_tenth"
    )
    assert len(FRACTION_COLUMNS) == 21


def test_a_missing_column_is_an_error(finished):
    with pytest.raises(KeyError, match="lloq"):
        fraction_columns(finished.uns["scdiff"]["fractions"].drop(columns="lloq"))


@given(st.floats(0, 1))
def test_numbers_keep_six_digits(value):
    written = csv_text(pd.DataFrame({"a": [value]})).splitlines()[1]
    assert float(written) == pytest.approx(value, rel=1e-5, abs=1e-300)


def test_missing_values_are_empty_and_lines_end_plainly():
    assert (
        csv_text(pd.DataFrame({"a": [np.nan, 0.5], "b": ["x", "y"], "n": [1, 2]}))
        == "a,b,n\n,x,1\n0.5,y,2\n"
    )


def test_equal_tables_give_equal_bytes(finished, tmp_path):
    for name in ("one", "two"):
        write_table(cells_table(finished), tmp_path / f"{name}.csv.gz")
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "one.csv.gz").read_bytes()).decode().count("\n") == 601


def test_cells_table_has_all_that_is_drawn(finished):
    table = cells_table(finished)
    wanted = {
        "cell",
        "sample",
        "control",
        "scdiff_state",
        "scdiff_probability",
        "dpt_pseudotime",
        "umap_1",
        "umap_2",
        "counts:INS",
    }
    assert wanted <= set(table.columns)
    assert {"evidence:pancreatic_progenitor:INS", "positive:vegf", "probability:vegf"} <= set(
        table.columns
    )
    assert list(table["cell"]) == list(finished.obs_names)
    assert not table.columns.duplicated().any()


def test_cells_table_of_a_short_run(finished):
    del finished.obsm["X_umap"]
    del finished.obsm["scdiff_evidence"]
    del finished.uns["scdiff"]["call"]
    table = cells_table(finished)
    assert not [name for name in table.columns if name.startswith(("umap", "evidence", "counts"))]
    assert len(table) == finished.n_obs


def test_marker_counts_sum_the_genes_of_a_marker(finished):
    finished.uns["scdiff"]["call"]["pancreatic_progenitor"]["markers"].loc["INS", "genes"] = (
        "INS, GENE0,NOT_THERE"
    )
    counts = marker_counts(finished)
    expected = finished.layers["counts"][:, [2, 4]].sum(axis=1)
    np.testing.assert_array_equal(counts["INS"].to_numpy(), np.asarray(expected).ravel())


def test_marker_counts_leave_absent_markers_out(finished):
    assert list(marker_counts(finished[:, finished.var_names != "PDX1"].copy()).columns) == [
        "NKX6-1",
        "INS",
        "NEUROG3",
    ]


def test_main_evidence_is_of_the_main_programme_only(finished):
    finished.obsm["scdiff_evidence"]["vegf:VEGFA"] = 1.0
    assert list(main_evidence(finished).columns) == ["PDX1", "NKX6-1", "INS", "NEUROG3"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("rows", [1, 7, 600, 1_000])
def test_a_long_table_is_written_some_rows_at_a_time(finished, tmp_path, monkeypatch, suffix, rows):
    monkeypatch.setattr("scdiff.report.tables.ROWS", rows)
    table = cells_table(finished)
    path = tmp_path / f"cells{suffix}"
    write_table(table, path)
    content = gzip.decompress(path.read_bytes()) if suffix == ".csv.gz" else path.read_bytes()
    assert content.decode() == csv_text(table)


def test_a_table_without_rows_has_its_header(tmp_path):
    write_table(pd.DataFrame({"a": [], "b": []}), tmp_path / "empty.csv")
    assert (tmp_path / "empty.csv").read_text() == "a,b\n"


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://x","y")',
        "-2+3",
        "+cmd|' /C calc'!A0",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1+1",
        "--1",
    ],
)
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe(text: str) -> None:
    """CSV injection: https://owasp.org/www-community/attacks/CSV_Injection."""
    for column in ([text, "plain"], pd.Categorical([text, "plain"])):
        found = pd.read_csv(io.StringIO(csv_text(pd.DataFrame({text: column}))))
        assert found.columns[0][0] == found.iloc[0, 0][0] == "'"
        assert found.iloc[1, 0] == "plain"


@pytest.mark.parametrize("text", ["-1.5", "+3", "-1e-05", "-", "-inf", "day-7", "a=b", ""])
def test_numbers_and_other_texts_stay_as_they_are(text: str) -> None:
    frame = pd.DataFrame(
        {"a": [text, "b"], "number": [-1.5, -2.0], "count": [-1, 2], "known": [True, False]}
    )
    lines = csv_text(frame).splitlines()
    assert lines[1:] == [f"{text},-1.5,-1,True", "b,-2,2,False"]
