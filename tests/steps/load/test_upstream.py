"""Files as upstream tools write them, remade from public reports; each test names the report or the page of the format."""

from __future__ import annotations

import gzip
import re
import tarfile
import zipfile
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import sparse

from scdiff.errors import InputError, ScdiffError
from scdiff.genes import annotation
from scdiff.programs import load_program
from scdiff.steps.load.step import load, look_at, plan_inputs
from scdiff.steps.shared.markers import read_markers


def counts_of(loaded: anndata.AnnData) -> np.ndarray:
    return loaded.layers["counts"].toarray()


def told(loaded: anndata.AnnData) -> str:
    return " | ".join(
        [*loaded.uns["scdiff"]["input"]["notes"], *loaded.uns["scdiff"]["input"]["repairs"]]
    )


def agreed(path: Path, said: str) -> None:
    """Check and run refuse with the same sentence."""
    with pytest.raises(InputError, match=said) as caught:
        load(path)
    try:
        faults = look_at(plan_inputs(path))[1]
    except ScdiffError as error:
        faults = [str(error)]
    assert faults == [str(caught.value)]


def loom(
    path: Path,
    adata: anndata.AnnData,
    matrix: np.ndarray,
    layers: dict[str, np.ndarray] | None = None,
) -> Path:
    """Write a loom file: https://linnarssonlab.org/loompy/format/."""
    with h5py.File(path, "w") as handle:
        handle["matrix"] = matrix.T
        handle.create_group("layers")
        for name, values in (layers or {}).items():
            handle[f"layers/{name}"] = values.T
        text = h5py.string_dtype()
        handle.create_group("row_attrs").create_dataset(
            "Gene", data=list(adata.var_names), dtype=text
        )
        handle.create_group("col_attrs").create_dataset(
            "CellID", data=list(adata.obs_names), dtype=text
        )
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
    agreed(write(made), r"holds a count of 3e\+38, more than a gene can have in a cell")


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


def test_a_loom_gives_its_parts_beside_the_matrix_that_was_asked_for(batch, tmp_path) -> None:
    """velocyto writes the layers spliced, unspliced and ambiguous (https://velocyto.org/velocyto.py/tutorial/cli.html)."""
    dense = batch().X.toarray()
    layers = {"spliced": dense, "unspliced": dense + 1, "ambiguous": dense + 2, "counts": dense + 7}
    path = loom(tmp_path / "a.loom", batch(), dense, layers)
    for matrix, counts in (
        ("auto", 3 * dense + 3),
        ("S+U", 2 * dense + 1),
        ("X", dense),
        ("counts", dense + 7),
        ("unspliced", dense + 1),
    ):
        loaded = load(path, matrix=matrix)
        np.testing.assert_array_equal(counts_of(loaded), counts)
        np.testing.assert_array_equal(loaded.layers["unspliced"].toarray(), dense + 1)


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
    ("prefix", "species"),
    [
        ("ENSSSCG", "pig"),
        ("ENSBTAG", "cow"),
        ("ENSXYZG", r"another species \(ids ENSXYZG"),
    ],
)
def test_other_species_are_named_and_refused(batch, write, prefix: str, species: str) -> None:
    """Pig symbols look like human ones (vib-singlecell-nf/vsn-pipelines#269)."""
    made = batch(genes=[f"ABC{n}" for n in range(40)])
    made.var["gene_ids"] = [f"{prefix}{n:011d}" for n in range(40)]
    path = write(made)
    agreed(path, f"the genes are those of {species}")
    loaded = load(path, species="mouse")
    assert "only genes with the same symbol are found" in told(loaded)


def test_a_species_is_named_before_its_genes_are_said_to_be_unknown(batch, write) -> None:
    made = batch(genes=[f"odd{n}x" for n in range(40)])
    made.var["gene_ids"] = [f"ENSSSCG{n:011d}" for n in range(40)]
    agreed(write(made), "the genes are those of pig")


def test_a_programme_may_give_the_genes_of_another_species(batch, write, tmp_path: Path) -> None:
    ids = [f"ENSSSCG{n:011d}" for n in range(40)]
    path = write(batch(genes=ids, n_cells=60))
    agreed(path, r"the genes are those of pig.*a programme of your own can, under human = ")
    own = tmp_path / "pig.toml"
    own.write_text(
        'name = "pig"\ntitle = "pig"\nsummary = "s"\nsource = "field convention"\n[[markers]]\n'
        f'name = "INS"\nhuman = ["{ids[3]}"]\nsource = "field convention"\n'
    )
    loaded = load(path, species="human")
    found = read_markers(loaded, [load_program(str(own))])
    sums = found.of(load_program(str(own)).markers)[:, 0]
    assert np.array_equal(sums, counts_of(loaded)[:, 3])


RATS = {
    "ids": (["Ins1", "Pdx1", "Il4r", "Actb"], True, "rat"),
    "ids alone": ([], True, "rat"),
    "symbols": (["RT1-A1", "RT1-Ba", "RT1-Bb", "Ins1", "Ins2", "Actb", "Pdx1"], False, "rat"),
    "mitochondria": (["Mt-nd1", "Mt-co1", "Mt-cyb", "Ins1", "Ins2", "Actb", "Pdx1"], False, "rat"),
    "symbols of both rodents": (["Ins1", "Ins2", "Actb", "Pdx1"], False, "mouse"),
}


@pytest.mark.parametrize(("names", "has_ids", "species"), RATS.values(), ids=RATS)
def test_a_rat_is_detected_by_its_ids_or_its_own_genes(batch, write, names, has_ids, species):
    """Rat symbols look like those of mouse (vib-singlecell-nf/vsn-pipelines#269)."""
    known = annotation("rat").symbols
    more = [symbol for symbol in known.values() if re.fullmatch("Ccl[0-9]+|Cx3.*", symbol)]
    stable = dict(zip(known.values(), known, strict=True))
    chosen = list(dict.fromkeys([*names, *more])) if has_ids else names
    made = batch(genes=chosen if names else [stable[name] for name in chosen])
    if has_ids:
        made.var["gene_ids"] = [stable[name] for name in chosen]
    loaded = load(write(made))
    assert loaded.uns["scdiff"]["input"]["species"] == species
    assert list(loaded.var_names) == chosen
    assert load(write(made), species="rat").uns["scdiff"]["input"]["species"] == "rat"
    assert "but the gene names look like" not in told(load(write(made), species="rat"))


def test_symbols_of_both_rodents_follow_the_other_input(batch, write) -> None:
    clear, unclear = ["RT1-A1", "RT1-Ba", "Mt-nd1", "Ins1", "Actb"], ["Ins1", "Actb", "Pdx1", "Vim"]
    inputs = [write(batch(genes=genes), f"{genes[0]}.h5ad") for genes in (unclear, clear)]
    assert load(inputs).uns["scdiff"]["input"]["species"] == "rat"


@pytest.mark.parametrize(
    ("column", "genes", "others"),
    [
        ("feature_types", "GEX", "ADT"),  # GSE194122
        (
            "feature_types",
            "Gene Expression",
            "Multiplexing Capture",
        ),  # 10x Feature Barcode, features.tsv
        ("feature_types", "Gene Expression", "CRISPR Guide Capture"),
        ("modality", "rna", "prot"),  # muon
        ("feature_type", "protein_coding", "Antibody Capture"),
    ],
)
def test_rows_that_are_no_genes_are_left_out_and_counted(
    batch, write, column: str, genes: str, others: str
) -> None:
    made = batch(genes=["PDX1", "INS", "ACTB", "GAPDH", "CD4", "CD8"])
    made.var[column] = [genes] * 4 + [others] * 2
    loaded = load(write(made))
    assert list(loaded.var_names) == ["PDX1", "INS", "ACTB", "GAPDH"]
    assert f"Features that are not genes were left out: 2 {others}." in told(loaded)


@pytest.mark.parametrize(
    "name",
    [
        "Hashtag1-ACCCACCAGTAAGAC",
        "HTO_1",
        "ADT-CD3",
        "CD4_TotalSeqB",
        "B0251_anti-human_Hashtag",
        "CMO301",
        "unmapped",
    ],
)
def test_rows_named_like_antibodies_are_left_out(batch, write, name: str) -> None:
    """CITE-seq-Count writes name-SEQUENCE and unmapped (scverse/scanpy#1916)."""
    loaded = load(write(batch(genes=["PDX1", "INS", "ACTB", "GAPDH", name])))
    assert name not in set(loaded.var_names)
    assert f"1 rows that are not genes ({name})" in told(loaded)


@pytest.mark.parametrize(
    "name", ["HTRA1", "ABCA1", "TAGLN", "ADTRP", "CD4", "HLA-DRA", "AC012345.1"]
)
def test_genes_with_names_alike_stay(batch, write, name: str) -> None:
    assert name in set(load(write(batch(genes=["PDX1", "INS", "ACTB", "GAPDH", name]))).var_names)


def test_check_refuses_inputs_that_run_cannot_join(batch, write) -> None:
    paths = [
        write(batch(), "a.h5ad"),
        write(batch(genes=["Ins1", "Ins2", "Pdx1"], seed=1), "b.h5ad"),
    ]
    with pytest.raises(InputError, match="share no gene") as caught:
        load(paths)
    assert look_at(plan_inputs(paths))[1] == [str(caught.value)]


def test_check_refuses_the_same_cells_in_two_inputs(batch, write) -> None:
    paths = [write(batch(), "a.h5ad"), write(batch(), "b.h5ad")]
    with pytest.raises(InputError, match="Give each cell once") as caught:
        load(paths)
    assert look_at(plan_inputs(paths))[1] == [str(caught.value)]


@pytest.mark.parametrize("suffix", ["h5ad", "h5", "loom"])
def test_gzipped_single_files_are_unpacked(batch, write, tmp_path, suffix: str) -> None:
    """GEO gzips single files (GSE..._all.h5ad.gz, GSM..._filtered_feature_bc_matrix.h5.gz), also within GSE..._RAW.tar."""
    path, dense = write(batch()), batch().X.toarray()
    if suffix == "loom":
        loom(path, batch(), dense)
    elif suffix == "h5":
        ten_h5(path, batch())
    (tmp_path / f"GSE1_all.{suffix}.gz").write_bytes(gzip.compress(path.read_bytes()))
    loaded = load(tmp_path / f"GSE1_all.{suffix}.gz")
    np.testing.assert_array_equal(counts_of(loaded), dense)
    assert set(loaded.obs["sample"]) == {"GSE1_all"}
    with tarfile.open(tmp_path / "GSE1_RAW.tar", "w") as archive:
        for name in ("GSM1_a", "GSM2_b"):
            archive.add(tmp_path / f"GSE1_all.{suffix}.gz", f"{name}.{suffix}.gz")
    assert [source.sample for source in plan_inputs(tmp_path / "GSE1_RAW.tar")] == [
        "GSM1_a",
        "GSM2_b",
    ]


def ten_h5(path: Path, adata: anndata.AnnData) -> Path:
    """Write a Cell Ranger h5 (https://www.10xgenomics.com/support: Feature-barcode matrices, HDF5)."""
    matrix = sparse.csc_matrix(adata.X.T.astype(np.int32))
    with h5py.File(path, "w") as handle:
        group = handle.create_group("matrix")
        group["barcodes"] = np.array(list(adata.obs_names), dtype="S20")
        group["data"], group["indices"], group["indptr"] = (
            matrix.data,
            matrix.indices,
            matrix.indptr,
        )
        group["shape"] = np.array(matrix.shape, dtype=np.int32)
        features = group.create_group("features")
        features["id"] = features["name"] = np.array(list(adata.var_names), dtype="S20")
        features["feature_type"] = np.array(["Gene Expression"] * adata.n_vars, dtype="S20")
    return path


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zip_of_a_zarr_store_is_read(batch, tmp_path, zarr_format: int) -> None:
    """zarr.storage.ZipStore keeps the groups at the root of the zip (scverse/anndata#2152)."""
    with anndata.settings.override(zarr_write_format=zarr_format):
        batch().write_zarr(tmp_path / "x.zarr")
    with zipfile.ZipFile(tmp_path / "atlas.zarr.zip", "w") as archive:
        for file in sorted((tmp_path / "x.zarr").rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(tmp_path / "x.zarr").as_posix())
    loaded = load(tmp_path / "atlas.zarr.zip")
    np.testing.assert_array_equal(counts_of(loaded), batch().X.toarray())
    assert set(loaded.obs["sample"]) == {"atlas"}


def mudata(path: Path, source: Path, names: tuple[str, ...]) -> Path:
    """Write a MuData file: https://mudata.readthedocs.io, section on the on-disk format."""
    with h5py.File(source) as given, h5py.File(path, "w") as handle:
        handle.attrs["encoding-type"] = "MuData"
        modalities = handle.create_group("mod")
        for name in names:
            given.copy(given["/"], modalities, name)
        for name in ("obs", "var", "obsm", "varm", "uns"):
            given.copy(given[name], handle, name)
    return path


def test_the_modality_of_genes_is_read_of_mudata(batch, write, tmp_path) -> None:
    """scverse/mudata; also saved as .h5ad (openpipelines-bio/openpipeline#586)."""
    source = write(batch())
    for name, modalities in (
        ("a.h5mu", ("prot", "rna")),
        ("b.h5ad", ("gex",)),
        ("c.h5mu", ("only",)),
    ):
        np.testing.assert_array_equal(
            counts_of(load(mudata(tmp_path / name, source, modalities))), batch().X.toarray()
        )
    agreed(
        mudata(tmp_path / "d.h5mu", source, ("first", "second")),
        r"no modality has the name rna, and there are several \(first, second\)",
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_one_table_of_spatialdata_is_read(batch, tmp_path, zarr_format: int) -> None:
    """SpatialData stores keep an AnnData below tables/ (https://spatialdata.scverse.org, design document)."""
    store = tmp_path / "s.zarr"
    root = zarr.open_group(store, mode="w", zarr_format=zarr_format)
    root.create_group("images")
    root.create_group("tables")
    with anndata.settings.override(zarr_write_format=zarr_format):
        batch().write_zarr(store / "tables" / "table")
    np.testing.assert_array_equal(counts_of(load(store)), batch().X.toarray())


def test_a_zarr_store_of_something_else_is_named(tmp_path) -> None:
    zarr.open_group(tmp_path / "s.zarr", mode="w").create_group("images")
    with pytest.raises(
        InputError, match=r"holds no AnnData with cells and genes \(it holds images\)"
    ):
        plan_inputs(tmp_path / "s.zarr")


def table(batch, path: Path, ending: str = "") -> Path:
    frame = pd.DataFrame(
        batch().X.toarray().astype(int).T, index=batch().var_names, columns=batch().obs_names
    )
    lines = frame.rename_axis("gene").to_csv().splitlines()
    path.write_text("".join(f"{line}{ending}\n" for line in lines))
    return path


def test_a_table_about_the_cells_beside_the_counts_is_passed_over(batch, tmp_path) -> None:
    """A folder for a cell browser: the matrix and meta.tsv (maximilianh/cellBrowser#267)."""
    (tmp_path / "f").mkdir()
    table(batch, tmp_path / "f" / "GSE7_counts.csv")
    about = pd.DataFrame(
        {"nCount_RNA": 1, "nFeature_RNA": 2, "cluster": 3}, index=batch().obs_names
    )
    about.to_csv(tmp_path / "f" / "GSE7_metadata.csv")
    loaded = load(tmp_path / "f")
    np.testing.assert_array_equal(counts_of(loaded), batch().X.toarray())
    assert "Files next to the counts were skipped: GSE7_metadata.csv." in told(loaded)


@pytest.mark.parametrize("mark", ["#", "# ", "# made by a program\n#"])
def test_a_heading_that_starts_with_a_hash_is_read(batch, tmp_path, mark: str) -> None:
    """biom convert writes '#OTU ID', Drop-seq tools comments before it."""
    path = table(batch, tmp_path / "h.csv")
    path.write_text(mark + path.read_text())
    np.testing.assert_array_equal(counts_of(load(path)), batch().X.toarray())


def test_comments_before_a_heading_are_no_heading(batch, tmp_path) -> None:
    path = table(batch, tmp_path / "h.csv")
    path.write_text("# a, comment, with, commas\n" + path.read_text())
    np.testing.assert_array_equal(counts_of(load(path)), batch().X.toarray())


def test_blank_columns_and_rows_of_a_spreadsheet_are_left_out(batch, tmp_path) -> None:
    path = table(batch, tmp_path / "s.csv", ending=",,,")
    with path.open("a") as handle:
        handle.write("," * 15 + "\n")
    np.testing.assert_array_equal(counts_of(load(path)), batch().X.toarray())


def test_blank_columns_of_a_sheet_are_left_out(batch, write, tmp_path) -> None:
    write(batch(), "a.h5ad")
    (tmp_path / "sheet.csv").write_text("sample,path,donor,,\ns1,a.h5ad,d1,,\n,,,,\n")
    assert [source.sample for source in plan_inputs((), samples=tmp_path / "sheet.csv")] == ["s1"]
    (tmp_path / "sheet.csv").write_text("sample,path,donor,\ns1,a.h5ad,d1,x\n")
    with pytest.raises(ScdiffError, match="a column has no name"):
        plan_inputs((), samples=tmp_path / "sheet.csv")


def test_the_folder_of_cellbender_gives_its_filtered_matrix(batch, tmp_path) -> None:
    """https://cellbender.readthedocs.io, section on the outputs of remove-background."""
    folder = tmp_path / "s1"
    folder.mkdir()
    for name in ("out.h5", "out_filtered.h5"):
        ten_h5(folder / name, batch())
    with h5py.File(folder / "out_posterior.h5", "w") as handle:
        handle["cell_probability"] = np.ones(3)
    (folder / "out_cell_barcodes.csv").write_text("\n".join(batch().obs_names) + "\n")
    (folder / "out_metrics.csv").write_text(
        "total_raw_counts,11000\ntotal_output_counts,9000\nfraction_counts_removed,0.1\n"
    )
    (folder / "out.log").write_text("cellbender:remove-background: done\n")
    (folder / "ckpt.tar.gz").write_bytes(gzip.compress(b"weights"))
    loaded = load(folder)
    np.testing.assert_array_equal(counts_of(loaded), batch().X.toarray())
    assert "Files next to the counts were skipped: out.h5, out_metrics.csv." in told(loaded)


def test_the_conversions_of_nf_core_scrnaseq_give_a_sample_each(batch, write, tmp_path) -> None:
    """https://nf-co.re/scrnaseq/docs/output: per sample raw and filtered as h5ad and rds, and all samples combined."""
    for name in ("s1", "s2"):
        for state in ("raw", "filtered"):
            write(batch(seed=int(name[1])), f"mtx_conversions/{name}/{name}_{state}_matrix.h5ad")
            (tmp_path / f"mtx_conversions/{name}/{name}_{state}_matrix.seurat.rds").write_bytes(
                gzip.compress(b"X\n")
            )
    write(batch(n_cells=24), "mtx_conversions/combined_filtered_matrix.h5ad")
    loaded = load(tmp_path / "mtx_conversions")
    assert loaded.obs["sample"].value_counts().to_dict() == {"s1": 12, "s2": 12}
    assert "combined_filtered_matrix.h5ad" in told(loaded)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("x.h5seurat",),
            r"this is h5Seurat, which scdiff does not read\. Convert it: SeuratDisk::Convert",
        ),
        (
            ("m/storage_order", "m/version", "m/val"),
            r"this is a matrix of BPCells.*write_matrix_10x_hdf5",
        ),
        (
            ("e/__tiledb_group.tdb", "e/ms/RNA"),
            r"this is a SOMA experiment of TileDB.*tiledbsoma\.io\.to_h5ad",
        ),
        (("x.csv.bz2",), r"scdiff unpacks only gz, tar and zip\. Unpack this file"),
        (("x.xlsx",), r"this is a spreadsheet.*save the sheet as csv"),
    ],
)
def test_what_is_not_read_is_refused_with_the_line_that_converts_it(
    tmp_path, names: tuple[str, ...], said: str
) -> None:
    """bnprks/BPCells, single-cell-data/TileDB-SOMA, mojaveazure/seurat-disk: the formats as their documentation lists the files."""
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    agreed(tmp_path / names[0].split("/")[0], said)


@pytest.mark.parametrize("name", ['"a\nb"', "a\u2028b", "a\u202eb", "a\x07b"])
def test_a_name_with_a_line_break_or_a_turn_of_direction_is_refused(
    batch, write, tmp_path, name: str
) -> None:
    write(batch(), "a.h5ad")
    (tmp_path / "sheet.csv").write_text(f"sample,path\n{name},a.h5ad\n")
    with pytest.raises(
        ScdiffError, match=r"line 2: sample is .*, a formula or unprintable text\. Write plain text"
    ):
        plan_inputs((), samples=tmp_path / "sheet.csv")
