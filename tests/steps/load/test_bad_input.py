"""Bad input, each refused with one clear sentence that names the file, or repaired and said."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scdiff.errors import ConfigError, InputError
from scdiff.steps.load.step import load


def test_missing_file(tmp_path) -> None:
    with pytest.raises(InputError, match=r"none\.h5ad: there is no such file or folder") as caught:
        load([tmp_path / "none.h5ad"])
    assert caught.value.exit_code == 3


def test_nothing_to_load() -> None:
    with pytest.raises(
        ConfigError, match="nothing to load: give files or folders, or a sample sheet"
    ):
        load([])


def test_empty_file(tmp_path) -> None:
    (tmp_path / "a.h5ad").touch()
    with pytest.raises(InputError, match=r"a\.h5ad: the file is empty"):
        load([tmp_path / "a.h5ad"])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_h5ad(write, share: float) -> None:
    path = write()
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"batch\.h5ad: the file is truncated"):
        load([path])


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_truncated_zipped_table(tmp_path, batch, share: float) -> None:
    data = gzip.compress(batch(n_cells=200).to_df().T.to_csv().encode())
    (tmp_path / "a.csv.gz").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"a\.csv\.gz: the file is truncated"):
        load([tmp_path / "a.csv.gz"])


@pytest.mark.parametrize("name", ["matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz"])
def test_truncated_zipped_part_of_a_triple(batch, write_mtx, name: str) -> None:
    folder = write_mtx(batch(n_cells=300))
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(
        InputError, match=r"folder: (the file is truncated|this cannot be read as 10x mtx)"
    ):
        load([folder])


def test_truncated_plain_matrix(batch, write_mtx) -> None:
    folder = write_mtx(batch(), zipped=False)
    lines = (folder / "matrix.mtx").read_text().splitlines(keepends=True)
    (folder / "matrix.mtx").write_text("".join(lines[:-5]))
    with pytest.raises(
        InputError,
        match=r"matrix\.mtx: the header states \d+ entries, but \d+ lines follow: the file is truncated",
    ):
        load([folder])


@pytest.mark.parametrize("name", ["a.h5ad", "a.h5", "a.loom"])
def test_hdf5_suffix_on_something_else(tmp_path, name: str) -> None:
    (tmp_path / name).write_text("cell,gene\n1,2\n")
    with pytest.raises(
        InputError,
        match=rf"{name}: this cannot be read as an HDF5 file \(OSError: .*damaged or has another format",
    ):
        load([tmp_path / name])


def test_hdf5_of_no_known_layout(tmp_path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        handle["table"] = [1, 2]
    with pytest.raises(
        InputError, match=r"a\.h5: this HDF5 file is not h5ad, 10x h5 or loom \(it holds table\)"
    ):
        load([tmp_path / "a.h5"])


def test_zipped_suffix_on_a_plain_text(tmp_path, batch) -> None:
    batch().to_df().T.to_csv(tmp_path / "a.txt")
    (tmp_path / "a.txt").rename(tmp_path / "a.csv.gz")
    with pytest.raises(
        InputError, match=r"a\.csv\.gz: this cannot be read as dense table \(BadGzipFile"
    ):
        load([tmp_path / "a.csv.gz"])


def test_binary_under_a_text_suffix(tmp_path) -> None:
    (tmp_path / "a.csv").write_bytes(bytes(range(128, 256)) * 4)
    with pytest.raises(
        InputError, match=r"a\.csv: this cannot be read as dense table \(UnicodeDecodeError"
    ):
        load([tmp_path / "a.csv"])


@pytest.mark.parametrize("name", ["a.png", "a.doc", "a"])
def test_unknown_suffix(tmp_path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(
        InputError, match=r"scdiff does not read .*; allowed: h5ad, zarr, 10x h5, loom, rds"
    ):
        load([tmp_path / name])


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz"])
def test_archive_suffix_on_something_else(tmp_path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(
        InputError, match=rf"{name}: (this cannot be read as an archive|the file is truncated)"
    ):
        load([tmp_path / name])


@pytest.mark.parametrize("gone", ["obs/_index", "X/indptr", "var/_index"])
def test_h5ad_with_a_part_missing(write, gone: str) -> None:
    path = write()
    with h5py.File(path, "a") as handle:
        del handle[gone]
    with pytest.raises(InputError, match=r"batch\.h5ad: this cannot be read as h5ad"):
        load([path])


@pytest.mark.parametrize("stored", [sparse.csr_matrix, sparse.csc_matrix])
def test_h5ad_with_an_index_out_of_range(write, batch, stored) -> None:
    adata = batch()
    adata.X = stored(adata.X)
    path = write(adata)
    with h5py.File(path, "a") as handle:
        handle["X/indices"][3] = 1 << 30
    with pytest.raises(InputError, match=r"batch\.h5ad: this cannot be read as h5ad"):
        load([path])


def test_h5ad_with_an_unknown_encoding(write) -> None:
    path = write()
    with h5py.File(path, "a") as handle:
        handle["X"].attrs["encoding-type"] = "made-up"
    with pytest.raises(
        InputError, match=r"batch\.h5ad: this cannot be read as h5ad \(IORegistryError"
    ):
        load([path])


@pytest.mark.parametrize(
    ("n_cells", "said"), [(0, "holds no cells; two or more"), (1, "holds 1 cell; two or more")]
)
def test_too_few_cells(batch, write, n_cells: int, said: str) -> None:
    with pytest.raises(InputError, match=rf"batch\.h5ad: the file {said}"):
        load([write(batch(n_cells=n_cells))])


def test_no_genes(batch, write) -> None:
    with pytest.raises(
        InputError, match=r"batch\.h5ad: (none of the 0 rows is a gene|the file holds no genes)"
    ):
        load([write(batch(genes=[]))])


def _scaled(counts: np.ndarray) -> np.ndarray:
    return (counts - counts.mean(axis=0)) / counts.std(axis=0)


def _per_cell(counts: np.ndarray, total: float) -> np.ndarray:
    return counts / counts.sum(axis=1, keepdims=True) * total


REFUSED = {
    r"X looks log-normalised \(max \d\.\d, non-integer\)": lambda counts: np.log1p(
        _per_cell(counts, 1e4)
    ),
    r"X looks like TPM or CPM \(every cell sums to about 1,000,000, non-integer\)": lambda counts: (
        _per_cell(counts, 1e6)
    ),
    r"X looks depth-normalised \(every cell sums to about 10,000, non-integer\)": lambda counts: (
        _per_cell(counts, 1e4)
    ),
    r"X looks like FPKM, RPKM or corrected values \(max": lambda counts: (
        counts * np.linspace(3.1, 40.7, counts.shape[1])
    ),
    r"X looks scaled, centred or integrated \(min -\d": _scaled,
    r"X holds negative values \(min -1\)": lambda counts: counts - 1,
    r"X holds 1 values that are NaN or infinite": lambda counts: np.where(
        np.arange(counts.size).reshape(counts.shape) == 5, np.nan, counts
    ),
    r"X holds 96 values that are NaN or infinite": lambda counts: np.full(counts.shape, np.inf),
    r"X holds no counts at all": np.zeros_like,
    r"X looks like rounded TPM or CPM": lambda counts: np.rint(_per_cell(counts + 1, 1e6)),
}


@pytest.mark.parametrize("said", REFUSED)
def test_values_that_are_no_counts(batch, write, said: str) -> None:
    values = REFUSED[said](batch().X.toarray().astype(float))
    with pytest.raises(
        InputError, match=rf"batch\.h5ad: no integer counts: ({said}).*Give the raw counts"
    ):
        load([write(values)])


def test_all_matrices_are_named_where_none_holds_counts(batch, write) -> None:
    counts = batch().X.toarray().astype(float)
    path = write(np.log1p(counts), layers={"scaled": _scaled(counts)})
    with pytest.raises(
        InputError, match=r"X looks log-normalised .*; scaled looks scaled, centred or integrated"
    ):
        load([path])


def test_float_noise_is_rounded_and_said(batch, write) -> None:
    counts = batch().X.toarray().astype(float)
    adata = load([write(sparse.csr_matrix(counts * (1 + 1e-11)))])
    assert np.array_equal(adata.layers["counts"].toarray(), counts)
    assert "Counts had float noise of up to" in adata.uns["scdiff"]["input"]["repairs"][0]


def test_duplicate_barcodes(batch, write) -> None:
    adata = batch()
    adata.obs_names = ["same", "same", *adata.obs_names[2:]]
    with pytest.raises(
        InputError, match=r"batch\.h5ad: 1 barcodes occur twice in one sample \(e\.g\. 'same'\)"
    ) as caught:
        load([write(adata)])
    assert caught.value.exit_code == 3


def test_duplicate_barcodes_of_a_table_are_not_hidden_by_the_reader(tmp_path, batch) -> None:
    frame = batch().to_df().T.astype(int)
    frame.columns = [frame.columns[1], *frame.columns[1:]]
    frame.to_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"a\.csv: 1 barcodes occur twice"):
        load([tmp_path / "a.csv"])


def test_duplicate_symbols_are_summed_and_said(batch, write) -> None:
    adata = batch(genes=["ACTB", "INS", "VIM", "x", "y"])
    adata.var_names = ["ACTB", "INS", "VIM", "INS", "INS"]
    loaded = load([write(adata)])
    counts = adata.X.toarray()
    assert list(loaded.var_names) == ["ACTB", "INS", "VIM"]
    assert np.array_equal(
        loaded.layers["counts"].toarray(),
        np.column_stack([counts[:, 0], counts[:, [1, 3, 4]].sum(axis=1), counts[:, 2]]),
    )
    assert (
        "1 gene symbols had several rows (INS); their counts were summed: 5 rows became 3 genes."
        in loaded.uns["scdiff"]["input"]["repairs"][0]
    )


def test_transposed_object(batch, write) -> None:
    adata = batch(genes=[f"RPL{i}" for i in range(1, 40)])
    with pytest.raises(
        InputError,
        match=r"batch\.h5ad: the cells have names of genes \(RPL1, RPL2, RPL3, \.\.\.\), so the matrix is transposed",
    ):
        load([write(adata.T.copy())])


def test_sample_column_with_gaps(batch, write) -> None:
    adata = batch()
    adata.obs["sample"] = pd.Categorical(["a"] * 9 + [None] * 3)
    with pytest.raises(
        InputError, match=r'batch\.h5ad: obs\["sample"\] is empty for 3 of 12 cells'
    ):
        load([write(adata)])


def test_unknown_control(write) -> None:
    with pytest.raises(
        ConfigError, match=r"control: there is no sample 'bach'. Did you mean 'batch'\?"
    ) as caught:
        load([write()], control=["bach"])
    assert caught.value.exit_code == 2


def test_a_refusal_is_one_line(write, batch) -> None:
    with pytest.raises(InputError, match="no integer counts") as caught:
        load([write(np.log1p(batch().X))])
    assert "\n" not in str(caught.value)


def test_unreadable_folder_of_text_only(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f/readme.md").write_text("nothing")
    with pytest.raises(InputError, match=r"f: the folder holds no matrix\.mtx"):
        load([tmp_path / "f"])
