"""Files as upstream tools write them, remade from public reports; each test names the report or the page of the format."""

from __future__ import annotations

from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from scdiff.errors import InputError, ScdiffError
from scdiff.steps.load import load, look_at, plan_inputs


def counts_of(loaded: anndata.AnnData) -> np.ndarray:
    return loaded.layers["counts"].toarray()


def told(loaded: anndata.AnnData) -> str:
    return " | ".join([*loaded.uns["scdiff"]["input"]["notes"], *loaded.uns["scdiff"]["input"]["repairs"]])


def agreed(path: Path, said: str) -> None:
    """Check and run refuse with the same sentence."""
    with pytest.raises(InputError, match=said) as caught:
        load(path)
    try:
        faults = look_at(plan_inputs(path))[1]
    except ScdiffError as error:
        faults = [str(error)]
    assert faults == [str(caught.value)]


def loom(path: Path, adata: anndata.AnnData, matrix: np.ndarray, layers: dict[str, np.ndarray] | None = None) -> Path:
    """Write a loom file: https://linnarssonlab.org/loompy/format/."""
    with h5py.File(path, "w") as handle:
        handle["matrix"] = matrix.T
        handle.create_group("layers")
        for name, values in (layers or {}).items():
            handle[f"layers/{name}"] = values.T
        text = h5py.string_dtype()
        handle.create_group("row_attrs").create_dataset("Gene", data=list(adata.var_names), dtype=text)
        handle.create_group("col_attrs").create_dataset("CellID", data=list(adata.obs_names), dtype=text)
    return path


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_counts_stored_as_float16_are_read(batch, write, kind: str) -> None:
    """Matrices in half precision save space (chanzuckerberg/cellxgene#2379)."""
    made = batch()
    dense = made.X.toarray()
    path = write(made if kind == "csr" else {"csc": sparse.csc_matrix(dense), "dense": dense}[kind])
    with h5py.File(path, "a") as handle:
        place = "X" if kind == "dense" else "X/data"
        values, about = handle[place][:].astype(np.float16), dict(handle[place].attrs)
        del handle[place]
        handle[place] = values
        handle[place].attrs.update(about)
    np.testing.assert_array_equal(counts_of(load(path)), dense)
    assert look_at(plan_inputs(path))[1] == []


def test_counts_that_float16_rounds_are_refused(batch, write) -> None:
    path = write(batch())
    with h5py.File(path, "a") as handle:
        values = handle["X/data"][:].astype(np.float16)
        values[0] = 4_000
        del handle["X/data"]
        handle["X/data"] = values
    agreed(path, "counts above 2,048 are stored as float16, which rounds them")


def test_a_count_that_no_gene_can_have_is_refused(batch, write) -> None:
    made = batch()
    made.X.data[0] = 3e38
    agreed(write(made), r"holds a count of 3e\+38, more than any gene of a cell can have")


def test_the_counts_of_a_loom_may_be_a_layer(batch, tmp_path) -> None:
    """The main matrix is log-normalised, the counts are the layer counts (mojaveazure/loomR#62)."""
    dense = batch().X.toarray()
    logged = np.log1p(dense / dense.sum(1, keepdims=True) * 1e4).astype(np.float32)
    path = loom(tmp_path / "a.loom", batch(), logged, {"spliced": dense // 2, "counts": dense})
    loaded = load(path)
    np.testing.assert_array_equal(counts_of(loaded), dense)
    assert "Counts were taken from counts (the matrix looks log-normalised" in told(loaded)
    with pytest.raises(ScdiffError, match=r"there is no matrix 'count'\. Did you mean 'counts'"):
        load(path, matrix="count")


def test_attributes_of_a_loom_that_are_no_columns_are_passed_over(batch, tmp_path) -> None:
    """SCope keeps Clusterings as a compound type (aertslab/pySCENIC#116), pegasus a name with a slash (lilab-bcb/pegasus#323)."""
    dense = batch().X.toarray()
    path = loom(tmp_path / "a.loom", batch(), dense)
    with h5py.File(path, "a") as handle:
        handle["col_attrs/Clusterings"] = np.zeros(12, dtype=[("0", "i4"), ("1", "i4")])
        handle["col_attrs/Embedding"] = np.zeros((12, 2))
        handle["col_attrs/cluster/fine"] = np.arange(12)
        handle["row_attrs/Chromosome/arm"] = np.zeros(8)
    loaded = load(path)
    np.testing.assert_array_equal(counts_of(loaded), dense)
    assert list(loaded.obs["cluster_fine"]) == list(range(12))
    assert "Clusterings, Embedding" in told(loaded)


@pytest.mark.parametrize(
    ("prefix", "species"), [("ENSRNOG", "rat"), ("ENSSSCG", "pig"), ("ENSBTAG", "cow"), ("ENSXYZG", r"another species \(ids ENSXYZG")]
)
def test_other_species_are_named_and_refused(batch, write, prefix: str, species: str) -> None:
    """Rat symbols look like those of mouse, pig symbols like human ones (vib-singlecell-nf/vsn-pipelines#269)."""
    made = batch(genes=[f"{'Abc' if prefix == 'ENSRNOG' else 'ABC'}{n}" for n in range(40)])
    made.var["gene_ids"] = [f"{prefix}{n:011d}" for n in range(40)]
    path = write(made)
    agreed(path, f"the genes are those of {species}")
    loaded = load(path, species="mouse")
    assert "only genes of the same symbol are found" in told(loaded)


def test_a_rat_is_told_by_its_symbols_where_there_are_no_ids(batch, write) -> None:
    agreed(write(batch(genes=["RT1-A1", "RT1-Ba", "RT1-Bb", "Ins1", "Ins2", "Actb", "Col1a1"])), "the genes are those of rat")


@pytest.mark.parametrize(
    ("column", "genes", "others"),
    [
        ("feature_types", "GEX", "ADT"),  # GSE194122
        ("feature_types", "Gene Expression", "Multiplexing Capture"),  # 10x Feature Barcode, features.tsv
        ("feature_types", "Gene Expression", "CRISPR Guide Capture"),
        ("modality", "rna", "prot"),  # muon
        ("feature_type", "protein_coding", "Antibody Capture"),
    ],
)
def test_rows_that_are_no_genes_are_left_out_and_counted(batch, write, column: str, genes: str, others: str) -> None:
    made = batch(genes=["PDX1", "INS", "ACTB", "GAPDH", "CD4", "CD8"])
    made.var[column] = [genes] * 4 + [others] * 2
    loaded = load(write(made))
    assert list(loaded.var_names) == ["PDX1", "INS", "ACTB", "GAPDH"]
    assert f"Features that are not genes were left out: 2 {others}." in told(loaded)


@pytest.mark.parametrize(
    "name", ["Hashtag1-ACCCACCAGTAAGAC", "HTO_1", "ADT-CD3", "CD4_TotalSeqB", "B0251_anti-human_Hashtag", "CMO301", "unmapped"]
)
def test_rows_named_like_antibodies_are_left_out(batch, write, name: str) -> None:
    """CITE-seq-Count writes name-SEQUENCE and unmapped (scverse/scanpy#1916)."""
    loaded = load(write(batch(genes=["PDX1", "INS", "ACTB", "GAPDH", name])))
    assert name not in set(loaded.var_names)
    assert f"1 rows are no genes ({name})" in told(loaded)


@pytest.mark.parametrize("name", ["HTRA1", "ABCA1", "TAGLN", "ADTRP", "CD4", "HLA-DRA", "AC012345.1"])
def test_genes_with_names_alike_stay(batch, write, name: str) -> None:
    assert name in set(load(write(batch(genes=["PDX1", "INS", "ACTB", "GAPDH", name]))).var_names)


def test_check_refuses_inputs_that_run_cannot_join(batch, write) -> None:
    paths = [write(batch(), "a.h5ad"), write(batch(genes=["Ins1", "Ins2", "Pdx1"], seed=1), "b.h5ad")]
    with pytest.raises(InputError, match="share no gene") as caught:
        load(paths)
    assert look_at(plan_inputs(paths))[1] == [str(caught.value)]
