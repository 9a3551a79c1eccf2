"""Text readers: triples of every shape, dense tables in either orientation."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from scipy import sparse

from scdiff.errors import InputError
from scdiff.steps.load.step import load


def same(path: Path, expected) -> bool:
    """Whether the loaded cells, genes and counts are the expected ones."""
    adata = load([path])
    assert list(adata.obs_names) == list(expected.obs_names)
    assert list(adata.var_names) == list(expected.var_names)
    return (adata.layers["counts"] != expected.X).nnz == 0


# ---------------------------------------------------------------- the triple


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_triple_with_any_number_of_gene_columns(
    batch, write_mtx, zipped: bool, columns: int
) -> None:
    folder = write_mtx(batch(), zipped=zipped, columns=columns)
    assert same(folder, batch())
    expected = list(batch().var_names) if columns == 1 else [f"ENSG{i:011d}" for i in range(8)]
    assert list(load([folder]).var["gene_id"]) == expected


@pytest.mark.parametrize("prefix", ["GSM0000001_BMSC_rep1_", "GSM2.", "x-"])
def test_triple_with_any_prefix(batch, write_mtx, prefix: str) -> None:
    assert same(write_mtx(batch(), prefix=prefix), batch())


def test_turned_matrix_is_turned_back_and_said(batch, write_mtx) -> None:
    folder = write_mtx(batch(), zipped=False)
    scipy.io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(batch().X).astype(int))
    assert same(folder, batch())
    assert (
        "had cells in rows and was transposed"
        in load([folder]).uns["scdiff"]["input"]["repairs"][0]
    )


def test_heading_line_in_the_lists_is_passed_over_and_said(batch, write_mtx) -> None:
    folder = write_mtx(batch(), zipped=False)
    for name in ("barcodes.tsv", "features.tsv"):
        text = (folder / name).read_text()
        (folder / name).write_text(f"heading\tof\tcolumns\n{text}")
    assert same(folder, batch())
    assert (
        "first line of barcodes.tsv and features.tsv was read as a header"
        in load([folder]).uns["scdiff"]["input"]["repairs"][0]
    )


@pytest.mark.parametrize("name", ["barcodes.tsv", "features.tsv"])
def test_lists_that_do_not_fit_the_matrix_are_refused(batch, write_mtx, name: str) -> None:
    folder = write_mtx(batch(), zipped=False)
    lines = (folder / name).read_text().splitlines(keepends=True)
    (folder / name).write_text("".join(lines[:-1]))
    with pytest.raises(
        InputError,
        match=r"the matrix has 8 x 12 entries, but features\.tsv lists \d genes and barcodes\.tsv 1\d cells",
    ):
        load([folder])


def test_matrix_of_real_numbers_that_are_integers(batch, write_mtx) -> None:
    folder = write_mtx(batch(), zipped=False)
    scipy.io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(batch().X.T).astype(np.float64))
    assert same(folder, batch())


def test_windows_line_ends_in_the_lists(batch, write_mtx) -> None:
    folder = write_mtx(batch(), zipped=False)
    for name in ("barcodes.tsv", "features.tsv"):
        (folder / name).write_bytes((folder / name).read_bytes().replace(b"\n", b"\r\n"))
    assert same(folder, batch())


# ---------------------------------------------------------------- dense tables


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize(
    ("suffix", "separator"),
    [(".csv", ","), (".tsv", "\t"), (".txt", " "), (".csv", ";"), (".txt.gz", "\t")],
)
def test_dense_table_in_either_orientation(
    tmp_path, batch, turned: bool, suffix: str, separator: str
) -> None:
    frame = batch().to_df().astype(int)
    (frame.T if turned else frame).to_csv(tmp_path / f"a{suffix}", sep=separator)
    assert same(tmp_path / f"a{suffix}", batch())


def test_heading_may_lack_the_corner_as_r_writes_it(tmp_path, batch) -> None:
    text = batch().to_df().T.astype(int).to_csv(sep="\t")
    (tmp_path / "a.tsv").write_text(text.removeprefix("\t"))
    assert same(tmp_path / "a.tsv", batch())


def test_quotes_comments_and_a_byte_order_mark_are_passed_over(tmp_path, batch) -> None:
    text = batch().to_df().T.astype(int).to_csv(quoting=1)
    (tmp_path / "a.csv").write_bytes(
        b"\xef\xbb\xbf# made by hand\n# twice\n" + text.replace("\n", "\r\n").encode()
    )
    assert same(tmp_path / "a.csv", batch())


def test_more_rows_than_one_chunk(tmp_path, batch) -> None:
    adata = batch(
        n_cells=4,
        genes=["INS", "PDX1", "ACTB", "VIM", "GAPDH", "CD63", *(f"RPL{i}X" for i in range(2500))],
    )
    adata.to_df().T.astype(int).to_csv(tmp_path / "a.csv")
    assert same(tmp_path / "a.csv", adata)


def test_integers_written_as_floats(tmp_path, batch) -> None:
    batch().to_df().T.to_csv(tmp_path / "a.csv")
    assert same(tmp_path / "a.csv", batch())


def test_gene_called_na_keeps_its_name(tmp_path, batch) -> None:
    adata = batch(genes=["ACTB", "NA", "INS"])
    adata.to_df().T.astype(int).to_csv(tmp_path / "a.csv")
    assert same(tmp_path / "a.csv", adata)


def test_genes_alone_decide_where_cells_are_numbered(tmp_path, batch) -> None:
    adata = batch()
    adata.obs_names = [f"c{i}" for i in range(12)]
    adata.to_df().astype(int).to_csv(tmp_path / "a.csv")
    assert same(tmp_path / "a.csv", adata)


def test_barcodes_alone_decide_where_genes_are_unheard_of(tmp_path, batch) -> None:
    adata = batch(genes=["Q1", "Q2", "Q3"])
    adata.to_df().T.astype(int).to_csv(tmp_path / "a.csv")
    assert same(tmp_path / "a.csv", adata)


def test_undecidable_orientation_is_refused(tmp_path) -> None:
    pd.DataFrame(np.ones((3, 3), dtype=int), index=list("abc"), columns=list("xyz")).to_csv(
        tmp_path / "a.csv"
    )
    with pytest.raises(
        InputError,
        match=r"a\.csv: the names do not distinguish genes from cells \(rows: a, b, \.\.\.; columns: x, y, \.\.\.\)",
    ):
        load([tmp_path / "a.csv"])


def test_column_of_text_is_named(tmp_path, batch) -> None:
    frame = batch().to_df().T.astype(int)
    frame.insert(0, "chromosome", "chr1")
    frame.to_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"a\.csv: column 'chromosome' holds 'chr1', not a number"):
        load([tmp_path / "a.csv"])


def test_empty_field_is_no_zero(tmp_path, batch) -> None:
    text = batch().to_df().T.astype(int).to_csv()
    head, first, rest = text.split("\n", 2)
    cut = first.split(",")
    (tmp_path / "a.csv").write_text("\n".join([head, ",".join([*cut[:2], "", *cut[3:]]), rest]))
    with pytest.raises(InputError, match="the matrix holds 1 values that are NaN or infinite"):
        load([tmp_path / "a.csv"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("just one line\n", "this is not a table of values: the second line has 0 fields"),
        ("a,b,c\nx\n", "this is not a table of values: the second line has 1 fields"),
        (",a,b,c,d\nx,1,2\n", "the header names 5 columns, but the first line of values has 3"),
        (
            ",AAACCTGAGAAACCAT,AAACCTGAGAAACCAG\nINS,1,2\nVIM,1,2,3,4\n",
            r"this cannot be read as dense table \(ParserError",
        ),
    ],
)
def test_text_that_is_no_table(tmp_path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=rf"a\.csv: {said}"):
        load([tmp_path / "a.csv"])


def test_zipped_text_is_read_as_utf8(tmp_path, batch) -> None:
    adata = batch(genes=["INS", "VIM", "GENE\u03b1"])
    (tmp_path / "a.csv.gz").write_bytes(
        gzip.compress(adata.to_df().T.astype(int).to_csv().encode("utf-8"))
    )
    assert same(tmp_path / "a.csv.gz", adata)
