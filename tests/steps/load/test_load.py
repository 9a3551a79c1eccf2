"""load: from files to an object of verified counts."""

from __future__ import annotations

import gzip
import hashlib
import logging
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

from scdiff import keys
from scdiff.errors import ConfigError, InputError
from scdiff.programs import load_program
from scdiff.steps.load import table
from scdiff.steps.load.step import load, look_at, plan_inputs
from scdiff.steps.shared.states import FILTERED, UNCLEAR, WHOLE

GENES = ("PDX1", "INS", "ACTB", "GAPDH", "COL1A1", "RPL3", "VIM", "MALAT1")
H5AD = (
    "endocrinogenesis_mouse_e15_50cells",
    "endocrinogenesis_mouse_e15_hvg",
    "fetal_pancreas_human",
    "islet_mouse",
    "msc_mouse_bone_marrow",
    "pbmc_facs_human",
)
RENAMED = dict(zip(H5AD, ("2,713", "147", "1,791", "799", "1,113", "2,002"), strict=True))
LISTS = {
    "endocrinogenesis_mouse_e15_50cells": WHOLE,
    "endocrinogenesis_mouse_e15_hvg": UNCLEAR,
    "fetal_pancreas_human": WHOLE,
}
MISSING = {
    "msc_mouse_bone_marrow": ["Pdx1", "Ins1", "Ins2", "Neurog3"],
    "pbmc_facs_human": ["PDX1", "INS", "NEUROG3"],
}


def record(adata: anndata.AnnData) -> dict:
    return adata.uns["scdiff"]["input"]


def said(adata: anndata.AnnData, kind: str = "notes") -> str:
    return "\n".join(record(adata)[kind])


def assert_same(adata: anndata.AnnData, expected: anndata.AnnData) -> None:
    """Same cells, genes and values as another reader's object, in the same order; rows of one gene summed."""
    assert list(adata.obs_names) == list(expected.obs_names)
    place = {
        name: row
        for row, names in enumerate(adata.var["name_in_file"])
        for name in names.split("|")
    }
    rows = [place[name] for name in expected.var_names]
    assert list(dict.fromkeys(rows)) == list(range(adata.n_vars))
    gather = sparse.csr_matrix((np.ones(len(rows), dtype=np.float32), (range(len(rows)), rows)))
    assert (adata.layers["counts"] != sparse.csr_matrix(expected.X) @ gather).nnz == 0


# ---------------------------------------------------------------- real files


@pytest.mark.parametrize("name", H5AD)
def test_real_h5ad_has_the_matrix_that_anndata_reads(shared_data: Path, name: str) -> None:
    adata = load([shared_data / f"{name}.h5ad"])
    assert_same(adata, anndata.read_h5ad(shared_data / f"{name}.h5ad"))
    assert record(adata)["species"] == ("human" if "human" in name else "mouse")
    assert record(adata)["technology"] == ("reads" if name == "fetal_pancreas_human" else "UMI")
    assert list(record(adata)["absent"]) == MISSING.get(name, [])
    assert f"{RENAMED[name]} genes were given their approved symbols" in said(adata, "repairs")
    assert (len(record(adata)["repairs"]) == 2) == (name == "pbmc_facs_human")
    assert list(record(adata)["files"]["gene_list"]) == [LISTS.get(name, FILTERED)]


def test_real_smart_seq_is_said_to_be_reads(shared_data: Path) -> None:
    assert "Smart-seq reads, not UMI" in said(load([shared_data / "fetal_pancreas_human.h5ad"]))


def test_real_h5ad_keeps_its_columns_and_ids(shared_data: Path) -> None:
    adata = load([shared_data / "pbmc_facs_human.h5ad"])
    expected = anndata.read_h5ad(shared_data / "pbmc_facs_human.h5ad")
    assert list(adata.obs["celltype"].astype(str)) == list(expected.obs["celltype"].astype(str))
    ids = expected.var["ensembl_id"].astype(str)
    assert [stable for ids in adata.var["gene_id"] for stable in ids.split("|")][:3000] == list(
        ids[:3000]
    )
    assert sorted("|".join(adata.var["gene_id"]).split("|")) == sorted(ids)
    assert (
        dict(zip(adata.var_names, adata.var["gene_id"], strict=True))["CRYBG3"]
        == f"{ids['CRYBG3']}|{ids['CRYBG3-1']}"
    )


@pytest.mark.parametrize(
    "name", ["3.0.0/filtered_feature_bc_matrix", "1.2.0/filtered_gene_bc_matrices/hg19_chr21"]
)
def test_real_10x_folder_has_the_matrix_that_scanpy_reads(shared_data: Path, name: str) -> None:
    folder = shared_data / "layouts/real_10x" / name
    expected = sc.read_10x_mtx(folder, make_unique=False)
    adata = load([folder])
    assert_same(adata, expected)
    assert list(adata.var["gene_id"]) == list(expected.var["gene_ids"])
    assert record(adata)["files"].loc[name.split("/", maxsplit=1)[0], "layout"] == "10x mtx"


def test_real_10x_folder_of_one_genome_is_found_from_above(shared_data: Path) -> None:
    above = shared_data / "layouts/real_10x/1.2.0/filtered_gene_bc_matrices"
    assert_same(load([above]), sc.read_10x_mtx(above / "hg19_chr21", make_unique=False))


@pytest.mark.parametrize(
    ("name", "genome", "layout"),
    [
        ("3.0.0/filtered_feature_bc_matrix.h5", None, "10x h5 (v3)"),
        ("1.2.0/filtered_gene_bc_matrices_h5.h5", None, "10x h5 (v1)"),
        ("1.2.0/multiple_genomes.h5", "hg19_chr21", "10x h5 (v1)"),
    ],
)
def test_real_10x_h5_has_the_matrix_that_scanpy_reads(
    shared_data: Path, name: str, genome: str | None, layout: str
) -> None:
    path = shared_data / "layouts/real_10x" / name
    adata = load([path])
    assert_same(adata, sc.read_10x_h5(path, genome=genome))
    assert list(record(adata)["files"]["layout"]) == [layout]
    assert ("several genomes (another_genome 13, hg19_chr21 12 counts)" in said(adata)) == (
        genome is not None
    )


def test_real_10x_folder_with_numeric_ids(shared_data: Path) -> None:
    folder = shared_data / "layouts/real_10x/int-ids"
    features = pd.read_csv(folder / "features.tsv", sep="\t", header=None)
    entries = np.loadtxt(folder / "matrix.mtx", skiprows=3, ndmin=2)
    expected = np.zeros((6, 5))
    expected[entries[:, 0].astype(int) - 1, entries[:, 1].astype(int) - 1] = entries[:, 2]
    adata = load([folder])
    assert np.array_equal(adata.layers["counts"].toarray(), expected.T)
    assert list(adata.var_names) == list(features[1])
    assert list(adata.var["gene_id"]) == [str(number) for number in features[0]]


@pytest.mark.parametrize(
    "name",
    [
        "geo_10x_v3_prefixed",
        "geo_10x_v2_plain",
        "GSM0000002_BMSC_dense_genes_x_cells.csv.gz",
        "GSM0000005_BMSC.loom",
    ],
)
def test_real_layouts_hold_the_same_counts_as_the_h5ad(shared_data: Path, name: str) -> None:
    adata = load([shared_data / "layouts" / name])
    whole = anndata.read_h5ad(shared_data / "msc_mouse_bone_marrow.h5ad")
    whole.obs_names = [cell.removeprefix("rna_") for cell in whole.obs_names]
    cells = [cell.removeprefix("rna_").removesuffix("-1") for cell in adata.obs_names]
    expected = whole[cells, adata.var["name_in_file"]].X
    assert adata.n_vars == whole.n_vars
    assert adata.n_obs == (250 if "v3" in name or "loom" in name else 60)
    assert (adata.layers["counts"] != expected).nnz == 0


@pytest.mark.slow
def test_real_sample_names_come_from_what_tells_samples_apart(shared_data: Path) -> None:
    layouts = shared_data / "layouts"
    given = [layouts / "geo_10x_v3_prefixed", layouts / "geo_10x_v2_plain"]
    assert [source.sample for source in plan_inputs(given)] == [
        "GSM0000001_BMSC_rep1",
        "geo_10x_v2_plain",
    ]
    with pytest.raises(
        InputError, match="60 of 60 cells of 'geo_10x_v2_plain' are also in 'GSM0000001_BMSC_rep1'"
    ):  # the same cells, cut
        load(given)


# ---------------------------------------------------------------- the contract


def test_result_holds_only_what_is_promised(batch, write) -> None:
    adata = batch()
    adata.obsm["X_pca"], adata.varm["PCs"] = np.zeros((adata.n_obs, 2)), np.zeros((adata.n_vars, 2))
    adata.obsp["distances"], adata.uns["leiden"] = (
        sparse.csr_matrix((adata.n_obs, adata.n_obs)),
        {"a": 1},
    )
    loaded = load([write(adata)])
    assert loaded.X is None
    assert [name for name in loaded.layers if name is not None] == ["counts"]
    assert (list(loaded.obsm), list(loaded.varm), list(loaded.obsp), list(loaded.uns)) == (
        [],
        [],
        [],
        ["scdiff"],
    )
    assert list(loaded.var) == ["gene_id", "name_in_file"]
    assert list(loaded.obs) == ["sample", "control"]


def test_result_has_the_promised_dtypes(write) -> None:
    adata = load([write()])
    assert isinstance(adata.layers["counts"], sparse.csr_matrix)
    assert adata.layers["counts"].dtype == np.float32
    assert isinstance(adata.obs["sample"].dtype, pd.CategoricalDtype)
    assert adata.obs["control"].dtype == bool
    assert all(isinstance(name, str) for name in adata.var["gene_id"])
    assert all(keys.has(adata, key) for key in keys.list_written("load"))


def test_record_names_the_file_its_hash_and_its_size(write) -> None:
    path = write(name="donor.h5ad")
    files = record(load([path]))["files"]
    assert files.loc["donor"].to_dict() == {
        "path": str(path),
        "raw": "",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "layout": "h5ad",
        "n_cells": 12,
        "n_genes": 8,
        "gene_list": UNCLEAR,
    }


def test_hash_of_a_folder_follows_its_content(batch, write_mtx) -> None:
    hashes = [
        record(load([write_mtx(batch(seed=seed))]))["files"]["sha256"].iloc[0] for seed in (1, 1, 2)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_hash_of_a_folder_covers_each_of_its_files(batch, write_mtx) -> None:
    folder = write_mtx(batch(), zipped=False)
    before = record(load([folder]))["files"]["sha256"].iloc[0]
    for name in ("barcodes.tsv", "features.tsv"):
        (folder / name).write_text((folder / name).read_text().replace("1", "7", 1))
        after = record(load([folder]))["files"]["sha256"].iloc[0]
        assert after != before
        before = after


def test_result_can_be_written_and_loaded_again(tmp_path, batch, write) -> None:
    adata = batch()
    adata.obs["sample"] = ["a", "b"] * 6
    first = load([write(adata)], control=["b"])
    first.X = np.log1p(first.layers["counts"])
    first.obs["leiden"], first.obs["scdiff_state"] = (
        pd.Categorical(["0"] * 12),
        pd.Categorical(["negative"] * 12),
    )
    first.obsm["scdiff_score"] = pd.DataFrame(
        np.zeros((12, 1)), index=first.obs_names, columns=["p:m"]
    )
    first.write_h5ad(tmp_path / "result.h5ad")
    again = load([tmp_path / "result.h5ad"])
    assert (again.layers["counts"] != first.layers["counts"]).nnz == 0
    assert list(again.obs["sample"]) == list(first.obs["sample"])
    assert list(again.obs["control"]) == [False, True] * 6
    assert "scdiff_state" not in again.obs
    assert "Counts were taken from counts (X looks log-normalised" in said(again)
    assert "left out (leiden, scdiff_state)" in said(again)


def test_record_survives_writing(tmp_path, write) -> None:
    adata = load([write()])
    adata.write_h5ad(tmp_path / "out.h5ad")
    back = record(anndata.read_h5ad(tmp_path / "out.h5ad"))
    assert list(back["files"].index) == ["batch"]
    assert list(back["absent"]) == ["NKX6-1", "NEUROG3"]
    assert back["repairs"].size == 0


def test_repairs_are_logged_as_warnings(batch, write, caplog: pytest.LogCaptureFixture) -> None:
    adata = batch()
    adata.X = sparse.csr_matrix(adata.X.toarray().astype(float) + 1e-9)
    with caplog.at_level(logging.WARNING, logger="scdiff"):
        load([write(adata)])
    assert "repaired: batch.h5ad: Counts had float noise" in caplog.text


# ---------------------------------------------------------------- choice of the matrix


def test_auto_passes_over_what_is_no_count(batch, write) -> None:
    adata = batch()
    counts = adata.X.copy()
    adata.X = np.log1p(counts)
    loaded = load([write(adata, layers={"scaled": counts.toarray() - 1.5, "umi": counts})])
    assert (loaded.layers["counts"] != counts).nnz == 0
    assert "Counts were taken from umi (X looks log-normalised (max" in said(loaded)


def test_auto_takes_the_layer_called_counts_before_the_others(batch, write) -> None:
    adata = batch()
    counts = adata.X.copy()
    adata.X = np.log1p(counts)
    loaded = load([write(adata, layers={"ambient": counts * 3, "counts": counts})])
    assert (loaded.layers["counts"] != counts).nnz == 0


def test_auto_finds_counts_in_raw_with_genes_of_their_own(batch, write) -> None:
    whole = batch()
    part = whole[:, :4].copy()
    part.X = np.log1p(part.X)
    part.raw = whole
    loaded = load([write(part)])
    assert_same(loaded, whole)
    assert "Counts were taken from raw" in said(loaded)


def test_auto_never_takes_a_layer_of_rna_velocity(batch, write) -> None:
    adata = batch()
    spliced = adata.X.copy()
    adata.X = np.log1p(spliced)
    path = write(adata, layers={"spliced": spliced})
    with pytest.raises(
        InputError, match=r"no integer counts: X looks log-normalised .*Give the raw counts"
    ):
        load([path])
    assert (load([path], matrix="spliced").layers["counts"] != spliced).nnz == 0


def test_asked_matrix_is_taken_even_where_x_holds_counts(batch, write) -> None:
    adata = batch()
    double = adata.X * 2
    assert (
        load([write(adata, layers={"double": double})], matrix="double").layers["counts"] != double
    ).nnz == 0


def test_unknown_matrix_is_refused_with_the_near_match(batch, write) -> None:
    with pytest.raises(
        ConfigError,
        match=r"batch\.h5ad: there is no matrix 'count'. Did you mean 'counts'\? Known: X, counts\.",
    ):
        load([write(batch(), layers={"counts": batch().X})], matrix="count")


@pytest.mark.parametrize("kind", ["dense", "csc", "int64"])
def test_matrix_of_any_kind_becomes_the_same_csr(batch, write, kind: str) -> None:
    counts = batch().X
    made = {
        "dense": counts.toarray(),
        "csc": sparse.csc_matrix(counts),
        "int64": counts.astype(np.int64),
    }[kind]
    assert (load([write(made)]).layers["counts"] != counts).nnz == 0


# ---------------------------------------------------------------- several inputs


def test_several_inputs_become_samples(batch, write) -> None:
    paths = [
        write(batch(seed=seed), f"{name}.h5ad")
        for seed, name in enumerate(("day0", "day7"), start=1)
    ]
    adata = load(paths)
    assert adata.obs["sample"].value_counts(sort=False).to_dict() == {"day0": 12, "day7": 12}
    expected = sparse.vstack([batch(seed=1).X, batch(seed=2).X])
    assert (adata.layers["counts"] != expected).nnz == 0
    assert list(adata.obs_names) == [*batch(seed=1).obs_names, *batch(seed=2).obs_names]


def test_shared_barcodes_get_their_sample_in_front(batch, write) -> None:
    one, two = batch(), batch(seed=1)
    two.obs_names = [*one.obs_names[:4], *two.obs_names[4:]]  # by chance
    adata = load([write(one, "a.h5ad"), write(two, "b.h5ad")])
    assert list(adata.obs_names) == [f"a:{cell}" for cell in one.obs_names] + [
        f"b:{cell}" for cell in two.obs_names
    ]


@pytest.mark.parametrize(("n_shared", "refused"), [(40, True), (21, True), (20, False), (0, False)])
def test_the_same_cells_in_two_inputs_are_refused(
    batch, write, n_shared: int, refused: bool
) -> None:
    one, two = batch(n_cells=40, seed=1), batch(n_cells=40, seed=2)
    mixed = anndata.concat([two[n_shared:], one[:n_shared]])
    mixed.obs_names = [name.replace("-1", "-2") for name in mixed.obs_names]
    paths = [write(one, "a.h5ad"), write(mixed, "b.h5ad")]
    if not refused:
        assert load(paths).n_obs == 80
        return
    with pytest.raises(
        InputError,
        match=rf"b\.h5ad: {n_shared} of 40 cells of 'b' are also in 'a' \(.*a\.h5ad\), .*count twice",
    ):
        load(paths)


def test_genes_are_joined_inner_and_the_lost_are_numbered(batch, write) -> None:
    first, second = ["PDX1", "INS", "ACTB", "VIM"], ["VIM", "ACTB", "HGF", "INS", "IL10"]
    one, two = batch(genes=first, seed=1), batch(genes=second, seed=2)
    adata = load([write(one, "a.h5ad"), write(two, "b.h5ad")])
    assert list(adata.var_names) == ["INS", "ACTB", "VIM"]
    expected = sparse.vstack([one[:, adata.var_names].X, two[:, adata.var_names].X])
    assert (adata.layers["counts"] != expected).nnz == 0
    assert "a.h5ad: 1 of 4 genes are not in every input" in said(adata)
    assert "b.h5ad: 2 of 5 genes are not in every input" in said(adata)
    assert list(record(adata)["absent"]) == ["PDX1", "NKX6-1", "NEUROG3"]


def test_inputs_without_a_common_gene_are_refused(batch, write) -> None:
    paths = [
        write(batch(genes=["ACTB", "VIM"]), "a.h5ad"),
        write(batch(genes=["INS", "PDX1"]), "b.h5ad"),
    ]
    with pytest.raises(
        InputError, match=r"the inputs share no gene \(genes: a\.h5ad 2, b\.h5ad 2\)"
    ):
        load(paths)


def test_inputs_of_two_species_are_refused(batch, write) -> None:
    human, mouse = (
        ["INS", *(f"GENE{i}" for i in range(200))],
        ["Ins1", *(f"Gene{i}" for i in range(200))],
    )
    with pytest.raises(InputError, match=r"different species \(a\.h5ad human, b\.h5ad mouse\)"):
        load([write(batch(genes=human), "a.h5ad"), write(batch(genes=mouse), "b.h5ad")])


def test_layouts_can_be_mixed(batch, write, write_mtx) -> None:
    adata = load([write(batch(seed=1), "a.h5ad"), write_mtx(batch(seed=2), "b")])
    assert list(record(adata)["files"]["layout"]) == ["h5ad", "10x mtx"]
    assert (adata.layers["counts"] != sparse.vstack([batch(seed=1).X, batch(seed=2).X])).nnz == 0


def test_folder_with_several_prefixes_gives_several_samples(batch, write_mtx) -> None:
    write_mtx(batch(seed=1), "GSE1_RAW", "GSM1_day0_")
    folder = write_mtx(batch(seed=2), "GSE1_RAW", "GSM2_day7.")
    adata = load([folder])
    assert list(adata.obs["sample"].cat.categories) == ["GSM1_day0", "GSM2_day7"]
    assert (adata[adata.obs["sample"] == "GSM2_day7"].layers["counts"] != batch(seed=2).X).nnz == 0


def test_samples_of_one_h5ad_are_kept(batch, write) -> None:
    adata = batch()
    adata.obs["sample"] = pd.Categorical(["late", "early", "late"] * 4)
    loaded = load([write(adata)])
    assert list(loaded.obs["sample"]) == ["late", "early", "late"] * 4
    assert record(loaded)["files"]["n_cells"].to_dict() == {"early": 4, "late": 8}
    assert "left out" not in said(loaded)


def test_column_with_one_name_per_cell_is_no_sample_column(batch, write) -> None:
    adata = batch()
    adata.obs["sample"] = [f"cell{i}" for i in range(12)]
    loaded = load([write(adata)])
    assert list(loaded.obs["sample"].cat.categories) == ["batch"]
    assert "left out (sample)" in said(loaded)


def test_same_barcode_in_two_samples_of_one_file_is_no_fault(batch, write) -> None:
    adata = batch(n_cells=4)
    adata.obs["sample"] = ["a", "a", "b", "b"]
    adata.obs_names = ["x", "y", "x", "y"]
    assert list(load([write(adata)]).obs_names) == ["a:x", "a:y", "b:x", "b:y"]


def test_control_marks_the_cells_of_the_named_sample(batch, write) -> None:
    adata = load(
        [write(batch(seed=1), "medium.h5ad"), write(batch(seed=2), "treated.h5ad")],
        control=["medium"],
    )
    assert adata.obs.groupby("sample", observed=True)["control"].all().to_dict() == {
        "medium": True,
        "treated": False,
    }


# ---------------------------------------------------------------- sheet columns


def test_sheet_columns_become_columns_of_obs(tmp_path, batch, write) -> None:
    for seed, name in enumerate("ab"):
        write(batch(seed=seed), f"data/{name}.h5ad")
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(
        "sample,path,donor,day,control\nA,data/a.h5ad,D1,0,yes\nB,data/b.h5ad,D2,7.5,\n"
    )
    adata = load(samples=sheet)
    per_sample = adata.obs.groupby("sample", observed=True)[["donor", "day", "control"]].first()
    assert per_sample["donor"].astype(str).to_dict() == {"A": "D1", "B": "D2"}
    assert per_sample["day"].to_dict() == {"A": 0.0, "B": 7.5}
    assert per_sample["control"].to_dict() == {"A": True, "B": False}


def test_sheet_column_wins_over_the_file_and_says_so(tmp_path, batch, write) -> None:
    adata = batch()
    adata.obs["donor"] = "old"
    path = write(adata)
    (tmp_path / "s.tsv").write_text("sample\tdonor\nbatch\tnew\n")
    loaded = load([path], samples=tmp_path / "s.tsv")
    assert set(loaded.obs["donor"]) == {"new"}
    assert "left out (donor)" in said(loaded)


def test_a_sample_of_several_donors_is_said(batch, write) -> None:
    adata = batch()
    adata.obs["donor"] = ["D1", "D2"] * 6
    assert "Sample 'batch' holds cells of 2 donors and counts as one" in said(load([write(adata)]))
    adata.obs["sample"] = adata.obs["donor"]
    assert "donors" not in said(load([write(adata)]))


def test_blank_fields_of_the_sheet_are_missing(tmp_path, batch, write) -> None:
    paths = [write(batch(seed=seed), f"{name}.h5ad") for seed, name in enumerate("ab")]
    (tmp_path / "s.csv").write_text("sample,donor,day\na,,\nb,D2,3\n")
    obs = load(paths, samples=tmp_path / "s.csv").obs
    assert obs["donor"].isna().sum() == obs["day"].isna().sum() == 12


def test_sheet_describes_the_samples_within_one_h5ad(tmp_path, batch, write) -> None:
    adata = batch()
    adata.obs["sample"] = ["a", "b"] * 6
    path = write(adata)
    (tmp_path / "s.csv").write_text("sample,condition\nb,treated\na,medium\n")
    loaded = load([path], samples=tmp_path / "s.csv")
    assert list(loaded.obs["condition"]) == ["medium", "treated"] * 6


# ---------------------------------------------------------------- obs of any kind


def test_columns_of_any_kind_can_be_written_afterwards(tmp_path, batch, write) -> None:
    one, two = batch(seed=1), batch(seed=2)
    one.obs["depth"], one.obs["flag"], one.obs["type"] = (
        range(12),
        True,
        pd.Categorical(["x", "y"] * 6),
    )
    two.obs["type"], two.obs["text"] = "z", pd.array(["t"] * 12, dtype="string")
    adata = load([write(one, "a.h5ad"), write(two, "b.h5ad")])
    adata.write_h5ad(tmp_path / "out.h5ad")
    obs = anndata.read_h5ad(tmp_path / "out.h5ad").obs
    assert list(obs["type"].astype(str)) == ["x", "y"] * 6 + ["z"] * 12
    assert obs["depth"].isna().sum() == obs["text"].isna().sum() == 12
    assert obs["flag"].astype(str).value_counts()["True"] == 12


# ---------------------------------------------------------------- species


@pytest.mark.parametrize(
    ("asked", "told"), [("auto", "human"), ("human", "human"), ("mouse", "mouse")]
)
def test_species_is_told_or_taken_as_given(write, asked: str, told: str) -> None:
    adata = load([write()], species=asked)
    assert record(adata)["species"] == told
    assert (
        "The species was given as mouse, but the gene names look like human." in said(adata)
    ) == (asked == "mouse")
    assert ("species" in said(adata)) == (asked == "mouse")


def test_genes_of_no_known_name_are_refused_unless_the_species_is_given(batch, write) -> None:
    path = write(batch(genes=["1", "2", "3"]))
    with pytest.raises(
        InputError,
        match=r"batch\.h5ad: hardly any of the 3 genes has a name of human, mouse or rat \(1, 2, 3\)",
    ):
        load([path])
    adata = load([path], species="human")
    assert "markers are searched by these names" in said(adata)
    assert list(record(adata)["absent"]) == ["PDX1", "NKX6-1", "INS", "NEUROG3"]


def test_species_of_another_kind_is_refused(write) -> None:
    with pytest.raises(ConfigError, match=r"species is 'pig'; allowed: auto, human, mouse, rat"):
        load([write()], species="pig")


def test_text_tables_and_zipped_ones_are_the_same(tmp_path, batch) -> None:
    frame = batch().to_df().T.astype(int)
    frame.to_csv(tmp_path / "plain.csv")
    (tmp_path / "zipped.csv.gz").write_bytes(gzip.compress((tmp_path / "plain.csv").read_bytes()))
    first, second = (load([tmp_path / name]) for name in ("plain.csv", "zipped.csv.gz"))
    assert (first.layers["counts"] != second.layers["counts"]).nnz == 0
    assert list(first.obs["sample"].cat.categories) == ["plain"]


# ---------------------------------------------------------------- what only a request recovers


@pytest.mark.slow
def test_log_normalised_counts_are_recovered_on_request_only(batch, write) -> None:
    adata = batch(30, [*GENES, *(f"GENE{n}" for n in range(60))])
    expected = adata.X.toarray()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    path = write(adata)
    with pytest.raises(InputError, match=r"looks log-normalised .*--set load.recover=true"):
        load(path)
    loaded = load(path, recover=True)
    np.testing.assert_array_equal(loaded.layers["counts"].toarray(), expected)
    assert any(
        "Counts were recovered from ln(1 + x), as requested" in said
        for said in loaded.uns["scdiff"]["input"]["repairs"]
    )


def test_what_cannot_be_recovered_is_refused_on_request_too(batch, write) -> None:
    adata = batch(30, [*GENES, *(f"GENE{n}" for n in range(60))])
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    adata.X.data = np.round(adata.X.data, 1)
    with pytest.raises(InputError, match="exact counts cannot be recovered"):
        load(write(adata), recover=True)


# ---------------------------------------------------------------- a look


@pytest.mark.parametrize("form", ["csr", "csc", "dense", "zarr", "10x h5", "csv"])
def test_a_look_tells_what_load_reads(
    batch, tmp_path, write_10x_h5, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(table, "LOOKED_AT", 4)
    adata = batch(40)
    if form == "10x h5":
        path = write_10x_h5(adata)
    elif form == "csv":
        path = tmp_path / "batch.csv"
        adata.to_df().T.to_csv(path)
    elif form == "zarr":
        path = tmp_path / "batch.zarr"
        adata.write_zarr(path)
    else:
        path = tmp_path / "batch.h5ad"
        adata.X = {
            "csr": sparse.csr_matrix,
            "csc": sparse.csc_matrix,
            "dense": lambda matrix: matrix.toarray(),
        }[form](adata.X)
        adata.write_h5ad(path)
    (look,), faults = look_at(plan_inputs(path))
    loaded = load(path)
    assert faults == []
    assert (look.n_cells, look.n_genes, look.species) == (
        *loaded.shape,
        loaded.uns["scdiff"]["input"]["species"],
    )
    rows = np.arange(40) if form == "csv" else np.r_[0:4, 18:22, 36:40]
    expected = (loaded.layers["counts"][rows] > 0).mean(axis=0)
    np.testing.assert_allclose(list(look.seen.values()), np.ravel(expected))
    assert look.n_looked == len(rows)


def test_a_look_names_every_fault_and_reads_the_rest(batch, write) -> None:
    good, scaled = write(), write(batch().X * 0.37, name="scaled.h5ad")
    looks, faults = look_at(plan_inputs([good, scaled]))
    assert [look.source.path for look in looks] == [good]
    assert [fault.partition(":")[0] for fault in faults] == [str(scaled)]


def test_a_look_says_of_each_marker_where_it_stands(batch, write) -> None:
    adata = batch(20, ["PDX1", "NKX6.1", *GENES[2:]])
    adata.X[:, 0] = 0
    ((look,), _) = look_at(plan_inputs(write(adata)))
    said = look.markers(load_program("pancreatic_progenitor"))
    assert said.startswith("PDX1 in none of 20 cells, NKX6-1 in ")
    assert said.endswith("INS has no row")
