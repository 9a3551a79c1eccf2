"""plan_inputs: paths and sheet to sources, before any matrix is read."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from scdiff.errors import ConfigError, InputError
from scdiff.steps.load.plan.inputs import Source
from scdiff.steps.load.step import plan_inputs


@pytest.fixture
def data(tmp_path: Path, batch, write, write_mtx) -> Path:
    """Folder with three inputs: a.h5ad, b.csv and the 10x folder c."""
    write(batch(seed=1), "a.h5ad")
    batch(seed=2).to_df().astype(int).to_csv(tmp_path / "b.csv")
    write_mtx(batch(seed=3), "c")
    return tmp_path


def faults(caught: pytest.ExceptionInfo[ConfigError], sheet: Path) -> list[str]:
    return [line.removeprefix(f"{sheet}: ") for line in str(caught.value).splitlines()]


# ---------------------------------------------------------------- names and layouts


def test_each_layout_is_told_without_reading_the_matrix(
    data: Path, batch, write_10x_h5, write_loom
) -> None:
    paths = [
        data / "a.h5ad",
        data / "b.csv",
        data / "c",
        write_10x_h5(batch()),
        write_loom(batch()),
    ]
    told = [source.layout for source in plan_inputs(paths)]
    assert told == ["h5ad", "dense table", "10x mtx", "10x h5 (v3)", "loom"]


def test_content_tells_the_layout_of_an_hdf5_file_not_its_suffix(data: Path) -> None:
    (data / "a.h5ad").rename(data / "a.h5")
    assert plan_inputs([data / "a.h5"])[0].layout == "h5ad"


def test_planning_reads_no_matrix(data: Path) -> None:
    with h5py.File(data / "a.h5ad", "a") as handle:
        handle["X/data"][:] = np.nan
    assert plan_inputs([data / "a.h5ad"]) == [
        Source("a", data / "a.h5ad", "h5ad", (data / "a.h5ad",))
    ]


def test_one_path_need_not_stand_in_a_list(data: Path) -> None:
    assert (
        plan_inputs(str(data / "a.h5ad"))
        == plan_inputs(data / "a.h5ad")
        == plan_inputs([data / "a.h5ad"])
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("donor1.csv.gz", "donor1"),
        ("donor1/outs/filtered_feature_bc_matrix/matrix.csv", "donor1"),
        ("donor1/filtered_gene_bc_matrices/hg19/counts.tsv", "donor1"),
        ("GSM1_day.7.txt", "GSM1_day.7"),
    ],
)
def test_sample_is_named_by_what_people_chose(tmp_path: Path, path: str, name: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("x")
    assert plan_inputs([tmp_path / path])[0].sample == name


def test_repeated_names_get_a_number(data: Path, batch, write) -> None:
    paths = [data / "a.h5ad", write(batch(), "x/a.h5ad"), write(batch(), "y/a.h5ad")]
    assert [source.sample for source in plan_inputs(paths)] == ["a", "a_2", "a_3"]


def test_same_input_twice_is_refused(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.h5ad: this input is given twice"):
        plan_inputs([data / "a.h5ad", data / "c" / ".." / "a.h5ad"])


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("columns", [2, 3])
def test_triple_is_found_plain_or_zipped(batch, write_mtx, zipped: bool, columns: int) -> None:
    folder = write_mtx(batch(), "f", "GSM1_rep1_", zipped=zipped, columns=columns)
    (source,) = plan_inputs([folder])
    ending = ".gz" if zipped else ""
    features = "features" if columns == 3 else "genes"
    assert source.sample == "GSM1_rep1"
    assert [path.name for path in source.files] == [
        f"GSM1_rep1_{name}{ending}" for name in ("matrix.mtx", "barcodes.tsv", f"{features}.tsv")
    ]


def test_matrix_file_itself_may_be_named(batch, write_mtx) -> None:
    write_mtx(batch(seed=1), "f", "one_")
    folder = write_mtx(batch(seed=2), "f", "two_")
    assert [source.sample for source in plan_inputs([folder / "two_matrix.mtx.gz"])] == ["two"]
    assert len(plan_inputs([folder])) == 2


@pytest.mark.parametrize(
    ("gone", "said"), [("barcodes", r"barcodes\.tsv"), ("features", r"features\.tsv or genes\.tsv")]
)
def test_incomplete_triple_is_refused(batch, write_mtx, gone: str, said: str) -> None:
    folder = write_mtx(batch())
    (folder / f"{gone}.tsv.gz").unlink()
    with pytest.raises(
        InputError, match=rf"folder: {said} \(plain or \.gz\) is missing next to matrix\.mtx"
    ):
        plan_inputs([folder])


def test_empty_part_of_a_triple_is_refused(batch, write_mtx) -> None:
    folder = write_mtx(batch(), zipped=False)
    (folder / "barcodes.tsv").write_text("")
    with pytest.raises(InputError, match=r"barcodes\.tsv: the file is empty"):
        plan_inputs([folder])


def test_one_matrix_folder_below_is_found(batch, write_mtx) -> None:
    folder = write_mtx(batch(), "donor9/hg38")
    (source,) = plan_inputs([folder.parent])
    assert (source.sample, source.path) == ("donor9", folder.parent)


def test_several_matrix_folders_below_are_refused(batch, write_mtx) -> None:
    write_mtx(batch(), "up/hg19")
    above = write_mtx(batch(), "up/mm10").parent
    with pytest.raises(
        InputError,
        match=r"up: the folder holds several inputs \(hg19, mm10\)\. Give the path of the one to load",
    ):
        plan_inputs([above])


def test_folder_of_files_is_refused_with_their_names(data: Path) -> None:
    with pytest.raises(InputError, match=r"the folder holds several inputs \(c, a\.h5ad, b\.csv\)"):
        plan_inputs([data])


# ---------------------------------------------------------------- samples within a file


def test_samples_of_an_h5ad_are_sources_sorted_by_name(batch, write) -> None:
    adata = batch()
    adata.obs["sample"] = ["d7", "d0", "d7"] * 4
    sources = plan_inputs([write(adata)])
    assert [(source.sample, source.label) for source in sources] == [("d0", "d0"), ("d7", "d7")]


def test_same_sample_names_in_two_files_stay_apart(batch, write) -> None:
    paths = []
    for seed in (1, 2):
        adata = batch(seed=seed)
        adata.obs["sample"] = ["d0", "d7"] * 6
        paths.append(write(adata, f"{seed}.h5ad"))
    assert [(source.sample, source.label) for source in plan_inputs(paths)] == [
        ("d0", "d0"),
        ("d7", "d7"),
        ("d0_2", "d0"),
        ("d7_2", "d7"),
    ]


def test_numeric_sample_names_become_text(batch, write) -> None:
    adata = batch()
    adata.obs["sample"] = [1, 2] * 6
    assert [source.sample for source in plan_inputs([write(adata)], control=["2"])] == ["1", "2"]


def test_control_is_marked_and_checked(data: Path) -> None:
    paths = [data / "a.h5ad", data / "b.csv"]
    assert [source.control for source in plan_inputs(paths, control=["b"])] == [False, True]
    assert [source.control for source in plan_inputs(paths, control="b")] == [False, True]
    with pytest.raises(ConfigError, match=r"control: there is no sample 'A'\. .*Known: a, b\."):
        plan_inputs(paths, control=["A"])


# ---------------------------------------------------------------- the sheet


def test_sheet_alone_names_paths_relative_to_itself(data: Path) -> None:
    (data / "meta").mkdir()
    sheet = data / "meta/sheet.tsv"
    sheet.write_text(
        "sample\tpath\tdonor\tcontrol\nfirst\t../a.h5ad\tD1\tyes\nthird\t../c\tD2\tno\n"
    )
    one, two = plan_inputs([], samples=sheet)
    assert (one.sample, one.layout, one.fields, one.control) == (
        "first",
        "h5ad",
        {"donor": "D1"},
        True,
    )
    assert (two.sample, two.layout, two.fields, two.control) == (
        "third",
        "10x mtx",
        {"donor": "D2"},
        False,
    )


def test_sheet_joins_inputs_by_name_in_any_order(data: Path) -> None:
    sheet = data / "s.csv"
    sheet.write_text("donor,sample\nD2,b\nD1,a\n")
    sources = plan_inputs([data / "a.h5ad", data / "b.csv"], samples=sheet)
    assert [(source.sample, source.fields["donor"]) for source in sources] == [
        ("a", "D1"),
        ("b", "D2"),
    ]


def test_sheet_joins_inputs_by_path_and_renames_them(data: Path) -> None:
    sheet = data / "s.csv"
    sheet.write_text("sample,path\nday 7,b.csv\nday 0,a.h5ad\n")
    sources = plan_inputs([data / "a.h5ad", data / "b.csv"], samples=sheet)
    assert [(source.sample, source.path.name) for source in sources] == [
        ("day 0", "a.h5ad"),
        ("day 7", "b.csv"),
    ]


def test_rows_may_share_the_path_of_an_h5ad_that_holds_their_samples(
    data: Path, batch, write
) -> None:
    adata = batch()
    adata.obs["sample"] = ["d0", "d7"] * 6
    write(adata, "both.h5ad")
    sheet = data / "s.csv"
    sheet.write_text("sample,path,day\nd7,both.h5ad,7\nd0,both.h5ad,0\n")
    assert [(source.label, source.fields["day"]) for source in plan_inputs([], samples=sheet)] == [
        ("d0", "0"),
        ("d7", "7"),
    ]


def test_windows_sheet_is_read(data: Path) -> None:
    sheet = data / "s.csv"
    sheet.write_bytes(b"\xef\xbb\xbfsample;path;donor\r\nx;a.h5ad;D1\r\n\r\n")
    (source,) = plan_inputs([], samples=sheet)
    assert (source.sample, source.fields) == ("x", {"donor": "D1"})


def test_all_faults_of_a_sheet_are_told_at_once(data: Path) -> None:
    sheet = data / "s.csv"
    sheet.write_text(
        "sample,path,leiden,control\nx,a.h5ad,1,maybe\nx,none.h5ad,2,no\n,c,3,no\nshort,c\ny,b.doc,4,\n"
    )
    (data / "b.doc").write_text("x")
    with pytest.raises(ConfigError, match="Rename it") as caught:
        plan_inputs([], samples=sheet)
    told = faults(caught, sheet)
    assert told[:5] == [
        "column 'leiden' has a name that scdiff writes itself. Rename it.",
        "line 2: control is 'maybe'; allowed: yes, no, true, false, 1, 0, negative, positive or empty.",
        "line 3: sample 'x' is already on line 2.",
        "line 4: the sample has no name.",
        "line 5: 2 fields, but the header has 4.",
    ]
    assert "none.h5ad: there is no such file or folder." in told[5]
    assert "scdiff does not read .doc" in told[6]
    assert len(told) == 7


def test_unknown_sample_in_the_sheet(data: Path) -> None:
    sheet = data / "s.csv"
    sheet.write_text("sample,donor\na,D1\nbb,D2\n")
    with pytest.raises(
        ConfigError, match=r"line 3: there is no sample 'bb' in the inputs\. Did you mean 'b'\?"
    ) as caught:
        plan_inputs([data / "a.h5ad", data / "b.csv"], samples=sheet)
    assert faults(caught, sheet)[1] == f"sample 'b' of {data / 'b.csv'} has no row in the sheet."
    assert caught.value.exit_code == 2


def test_row_beyond_the_inputs(data: Path) -> None:
    sheet = data / "s.csv"
    sheet.write_text("sample,path\na,a.h5ad\nc,c\n")
    with pytest.raises(
        ConfigError, match=r"line 3: .*c is not among the inputs\. Add it, or give no inputs"
    ):
        plan_inputs([data / "a.h5ad"], samples=sheet)


def test_row_without_a_path_where_nothing_else_says_it(data: Path) -> None:
    sheet = data / "s.csv"
    sheet.write_text("sample,path\na,a.h5ad\nb,\n")
    with pytest.raises(
        ConfigError, match="line 3: sample 'b' has no path, and no inputs are given"
    ):
        plan_inputs([], samples=sheet)


def test_two_rows_for_a_file_with_one_sample(data: Path) -> None:
    sheet = data / "s.csv"
    sheet.write_text("sample,path\na,a.h5ad\nz,a.h5ad\n")
    with pytest.raises(
        ConfigError,
        match=r"line 3: there is no sample 'z' in .*a\.h5ad\. Every sample already has a row",
    ):
        plan_inputs([], samples=sheet)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("smaple,path\na,b\n", r"no column 'sample'\. Did you mean 'smaple'\?"),
        ("", "the sample sheet is empty"),
        ("sample,path\n", "the sheet lists no sample"),
        ("sample,donor,donor\na,1,2\n", "column 'donor' occurs twice"),
        ("sample,\na,1\n", "a column has no name"),
        ("sample,scdiff_x\na,1\n", "column 'scdiff_x' has a name that scdiff writes itself"),
    ],
)
def test_sheet_that_is_no_sheet(data: Path, text: str, said: str) -> None:
    (data / "s.csv").write_text(text)
    with pytest.raises(ConfigError, match=said):
        plan_inputs([data / "a.h5ad"], samples=data / "s.csv")


def test_missing_sheet(data: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"none\.csv: the sample sheet cannot be read \(No such file"
    ):
        plan_inputs([data / "a.h5ad"], samples=data / "none.csv")


def test_binary_sheet(data: Path) -> None:
    (data / "s.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"s\.csv: the sample sheet is not csv or tsv text"):
        plan_inputs([data / "a.h5ad"], samples=data / "s.csv")


def test_sample_named_like_the_pooled_row_is_refused(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("gene,A,B\nINS,1,2\nPDX1,0,1\n")
    with pytest.raises(ConfigError, match="named 'all', the name of the pooled row"):
        plan_inputs([path])


def test_an_xlsx_sheet_is_read_like_a_csv(data: Path) -> None:
    sheet = data / "s.xlsx"
    pd.DataFrame(
        {"sample": ["x", "y"], "path": ["a.h5ad", "b.csv"], "day": [0, 7], "donor": ["D1", ""]}
    ).to_excel(sheet, index=False)
    one, two = plan_inputs([], samples=sheet)
    assert (one.sample, one.fields) == ("x", {"day": "0", "donor": "D1"})
    assert (two.path, two.fields) == (data / "b.csv", {"day": "7", "donor": ""})


@pytest.mark.parametrize("content", [b"", b"no workbook", b"PK\x03\x04 cut off"])
def test_a_damaged_xlsx_is_refused_in_a_sentence(data: Path, content: bytes) -> None:
    sheet = data / "s.xlsx"
    sheet.write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"s\.xlsx: the sample sheet cannot be read as xlsx .*Save it as csv"
    ):
        plan_inputs([], samples=sheet)


def test_a_matrix_given_as_sheet_is_refused_unread(data: Path) -> None:
    sheet = data / "s.csv"
    with sheet.open("wb") as handle:
        handle.truncate(60_000_000)
    with pytest.raises(ConfigError, match="60 MB is too large for a sample sheet"):
        plan_inputs([], samples=sheet)


@pytest.mark.parametrize(
    "value", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "a\x07b"]
)
def test_formulas_and_unprintable_texts_are_refused(data: Path, value: str) -> None:
    sheet = data / "s.csv"
    sheet.write_text(f"sample,path,condition\nx,a.h5ad,{value}\n")
    with pytest.raises(ConfigError, match=r"line 2: condition is .* a formula or unprintable"):
        plan_inputs([], samples=sheet)


@pytest.mark.parametrize("value", ["+IFNg", "-", "-1.5", "+ insulin"])
def test_conditions_may_begin_with_a_sign(data: Path, value: str) -> None:
    sheet = data / "s.csv"
    sheet.write_text(f"sample,path,condition\nx,a.h5ad,{value}\n")
    assert plan_inputs([], samples=sheet)[0].fields == {"condition": value}


@pytest.mark.parametrize(
    ("name", "meant"),
    [("contol", "control"), ("Donor", "donor"), ("conditions", "condition"), ("Day", "day")],
)
def test_a_column_that_looks_like_a_known_one_is_no_column_of_its_own(
    data: Path, name: str, meant: str
) -> None:
    sheet = data / "s.csv"
    sheet.write_text(f"sample,path,{name}\nx,a.h5ad,1\n")
    with pytest.raises(ConfigError, match=f"column '{name}' looks like '{meant}'"):
        plan_inputs([], samples=sheet)
