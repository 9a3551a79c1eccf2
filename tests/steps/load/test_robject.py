"""What R saves: refused with the R line that exports it where it cannot be read, never run, never swollen. Layouts: test_zoo."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import zoo
from zoo import R

from scdiff.errors import InputError
from scdiff.steps.load import stream
from scdiff.steps.load.readers import robject
from scdiff.steps.load.step import load, plan_inputs

needs_rdata = pytest.mark.skipif(
    importlib.util.find_spec("rdata") is None, reason="the package rdata is not installed"
)


def test_without_the_package_the_sentence_says_how_to_install_it_and_how_to_export(
    tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "a.rds").write_bytes(b"x")
    monkeypatch.setattr(robject.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(
        InputError,
        match=r"a\.rds: the package rdata, which reads files of R, is not installed.*pip install .*In R: .*writeMM\(SeuratObject",
    ) as caught:
        plan_inputs(tmp_path / "a.rds")
    assert "\n" not in str(caught.value)


@needs_rdata
@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"X\n",
        b"RDX3\nX\n",
        b"\x80\x04N.",
        gzip.compress(b"nothing of R", mtime=0),
        bz2.compress(b""),
    ],
)
def test_what_is_no_r_object_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.rds").write_bytes(data)
    with pytest.raises(
        InputError, match=r"a\.rds: (this cannot be read as R object|the file is truncated)"
    ):
        load(tmp_path / "a.rds")


def about(of: zoo.Truth, kind: str) -> bytes:
    """What is said of the cells: texts, a factor, numbers and truths, each with a missing value, and what is no column."""
    n = len(of.cells)
    columns = {
        "donor": R.texts([f"D{place % 3}" for place in range(n)]),
        "batch": R.numbers(
            [1 + place % 2 for place in range(n)],
            {"levels": R.texts(["one", "two"]), "class": R.texts(["factor"])},
        ),
        "age": R.numbers([-(2**31), *range(1, n)]),
        "share": R.numbers(np.linspace(0.0, 1.0, n)),
        "kept": R.numbers([0, *[1] * (n - 1)], kind=10),
        "nested": R.vector(19, 0, b""),
    }
    if kind == "seurat":
        return R.items(
            columns, **{"row.names": R.texts(of.cells), "class": R.texts(["data.frame"])}
        )
    listed = {"rownames": R.texts(of.cells), "nrows": R.numbers([n]), "listData": R.items(columns)}
    return R.s4("DFrame", "S4Vectors", listed)


@needs_rdata
@pytest.mark.parametrize("kind", ["seurat", "experiment"])
def test_what_is_said_of_the_cells_is_kept(tmp_path: Path, kind: str) -> None:
    of = zoo.truth()
    said = about(of, kind)
    made = (
        zoo.seurat({"RNA": zoo.assay(of)}, about=said)
        if kind == "seurat"
        else zoo.experiment(of, about=said)
    )
    obs = load(zoo.write_r(tmp_path / "a.rds", made)).obs
    assert list(obs.columns) == ["sample", "control", "donor", "batch", "age", "share", "kept"]
    assert list(obs["donor"][:4]) == ["D0", "D1", "D2", "D0"]
    assert list(obs["batch"][:3]) == ["one", "two", "one"]
    assert np.isnan(obs["age"].iloc[0])
    assert list(obs["age"][1:3]) == [1.0, 2.0]
    assert list(obs["kept"][:2]) == [0.0, 1.0]
    assert obs["share"].iloc[-1] == 1.0


@needs_rdata
def test_what_is_said_of_other_cells_is_left_missing(tmp_path: Path) -> None:
    of = zoo.truth()
    some = of.part(slice(5, None))
    obs = load(
        zoo.write_r(
            tmp_path / "a.rds", zoo.seurat({"RNA": zoo.assay(of)}, about=about(some, "seurat"))
        )
    ).obs
    assert obs["donor"].isna().tolist() == [True] * 5 + [False] * (len(of.cells) - 5)


WRITE = """
suppressMessages({library(Matrix); library(SeuratObject); library(SingleCellExperiment)})
m <- as(as(as.matrix(read.csv("counts.csv", row.names = 1, check.names = FALSE)), "CsparseMatrix"), "dgCMatrix")
about <- data.frame(donor = paste0("D", seq_len(ncol(m)) %% 3), row.names = colnames(m))
seurat <- CreateSeuratObject(m, meta.data = about)
experiment <- SingleCellExperiment(list(logcounts = log1p(m), counts = m), colData = about)
dense <- as.matrix(m); storage.mode(dense) <- "integer"
saveRDS(seurat, "seurat.rds"); saveRDS(experiment, "experiment.rds", compress = "xz"); saveRDS(m, "sparse.rds", compress = FALSE)
saveRDS(dense, "dense.rds", version = 2); saveRDS(as.data.frame(dense), "frame.rds"); saveRDS(as(m, "TsparseMatrix"), "triplet.rds")
saveRDS(t(m), "turned.rds"); save(seurat, file = "seurat.rda"); save(m, about, file = "two.rda")
"""


@needs_rdata
@pytest.mark.slow
def test_what_r_itself_writes_is_read(tmp_path: Path) -> None:
    of, rscript = zoo.truth(), shutil.which("Rscript")
    of.frame().T.to_csv(tmp_path / "counts.csv")
    made = (
        subprocess.run(
            [rscript, "-e", WRITE], check=False, cwd=tmp_path, capture_output=True, text=True
        )
        if rscript
        else None
    )
    if made is None or made.returncode:
        pytest.skip(
            f"R with SeuratObject and SingleCellExperiment is not installed {made.stderr[-200:] if made else ''}"
        )
    files = sorted(tmp_path.glob("*.rd[sa]"))
    assert len(files) == 9
    for file in files:
        adata = load(file)
        assert zoo.fault(adata, {file.stem: of.frame()}) == "", file.name
        assert ("donor" in adata.obs) == (file.stem in {"seurat", "experiment"}), file.name


@needs_rdata
def test_a_pickle_is_not_unpickled(tmp_path: Path) -> None:
    import pickle

    class Mark:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "run",))

    (tmp_path / "a.rds").write_bytes(pickle.dumps(Mark()))
    with pytest.raises(InputError):
        load(tmp_path / "a.rds")
    assert not (tmp_path / "run").exists()


@needs_rdata
def test_a_file_that_swells_is_refused(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.rds").write_bytes(gzip.compress(bytes(1 << 24)))
    monkeypatch.setattr(stream, "ALWAYS_BYTES", 1 << 20)
    with pytest.raises(InputError, match=r"a\.rds: the file unpacks to more than 1,048,576 bytes"):
        load(tmp_path / "a.rds")


@needs_rdata
def test_a_file_packed_again_and_again_is_refused(tmp_path: Path) -> None:
    data = b"X\n"
    for _ in range(4):
        data = gzip.compress(data)
    (tmp_path / "a.rds").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.rds: the file is packed more than three times"):
        load(tmp_path / "a.rds")


@needs_rdata
def test_the_line_of_r_in_a_refusal_writes_what_load_reads(
    tmp_path: Path, batch, write_mtx
) -> None:
    folder = write_mtx(batch(), "counts", zipped=False, columns=1)
    names = {"matrix.mtx", "barcodes.tsv", "genes.tsv"}
    assert {file.name for file in folder.iterdir()} == names
    assert all(f"'counts/{name}'" in robject._EXPORT for name in names)
    assert np.array_equal(load(folder).layers["counts"].toarray(), batch().X.toarray())


# ---------------------------------------------------------------- layers and parts of Seurat objects


def thinned(of: zoo.Truth, share: float) -> zoo.Truth:
    """A part of the counts: about this share of each one."""
    counts = np.random.default_rng(1).binomial(of.counts, share)
    return zoo.Truth(counts, of.cells, of.symbols, of.ids)


def rest(of: zoo.Truth, *parts: zoo.Truth) -> zoo.Truth:
    """What the parts leave of the counts."""
    return zoo.Truth(of.counts - sum(p.counts for p in parts), of.cells, of.symbols, of.ids)


def said(loaded) -> str:
    return " ".join(loaded.uns["scdiff"]["input"]["notes"])


@needs_rdata
@pytest.mark.parametrize("n_layers", [2, 3, 10])
def test_numbered_layers_are_joined(tmp_path: Path, n_layers: int) -> None:
    """Merged objects hold counts.1, counts.2, ... (satijalab/seurat-object#197, satijalab/seurat#8337)."""
    of, size = zoo.truth(), -(-zoo.N_CELLS // n_layers)
    layers = {f"counts.{n + 1}": of.part(slice(n * size, (n + 1) * size)) for n in range(n_layers)}
    path = zoo.write_r(tmp_path / "a.rds", zoo.seurat({"RNA": zoo.assay5(layers)}))
    loaded = load(path)
    assert zoo.fault(loaded, {"a": of.frame()}) == ""
    assert f"The counts are in {n_layers} layers, which were joined." in said(loaded)


@needs_rdata
def test_genes_that_a_layer_lacks_are_named(tmp_path: Path) -> None:
    of = zoo.truth()
    first, second = of.part(slice(30)), of.part(slice(30, None))
    fewer = zoo.Truth(second.counts[:, 5:], second.cells, second.symbols[5:], second.ids[5:])
    path = tmp_path / "a.rds"
    made = zoo.seurat({"RNA": zoo.assay5({"counts.1": first, "counts.2": fewer})})
    loaded = load(zoo.write_r(path, made))
    assert zoo.fault(loaded, {"a": of.frame().iloc[:, 5:]}) == ""
    assert f"5 genes that not all layers have were left out ({of.symbols[0]}" in said(loaded)


@needs_rdata
@pytest.mark.parametrize("joined", ["rest", "all"])
def test_a_layer_counts_next_to_numbered_ones(tmp_path: Path, joined: str) -> None:
    """It holds the remaining cells, or all cells: then the numbered layers are not added once more."""
    of = zoo.truth()
    whole = of if joined == "all" else of.part(slice(40))
    layers = {"counts": whole, "counts.2": of.part(slice(40, None))}
    loaded = load(zoo.write_r(tmp_path / "a.rds", zoo.seurat({"RNA": zoo.assay5(layers)})))
    assert zoo.fault(loaded, {"a": of.frame()}) == ""


VELOCITY = {
    "RNA is the total": ("of", {}, "of"),
    "RNA is a copy of spliced": ("spliced", {}, "of"),
    "no other assay": ("", {}, "of"),
    "cells: spliced and ambiguous": ("spliced", {"matrix": "S+A"}, "S+A"),
}


@needs_rdata
@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(("rna", "options", "right"), VELOCITY.values(), ids=VELOCITY)
def test_assays_of_spliced_and_unspliced_counts(tmp_path: Path, version, rna, options, right):
    """Objects of velocyto hold a part of the counts in each assay (satijalab/seurat-wrappers#115)."""
    of = zoo.truth()
    spliced = thinned(of, 0.6)
    unspliced = thinned(rest(of, spliced), 0.7)
    known = {"of": of, "spliced": spliced, "S+A": rest(of, unspliced)}
    parts = {"spliced": spliced, "unspliced": unspliced, "ambiguous": rest(of, spliced, unspliced)}
    given = ({"RNA": known[rna]} if rna else {}) | parts
    write = zoo.assay if version == 4 else lambda part: zoo.assay5({"counts": part})
    assays = {name: write(part) for name, part in given.items()}
    path = zoo.write_r(tmp_path / "a.rds", zoo.seurat(assays, (rna and "RNA") or "spliced"))
    loaded = load(path, **options)
    assert zoo.fault(loaded, {"a": known[right].frame()}) == ""
    for name in ("spliced", "unspliced"):
        places = [of.symbols.index(gene) for gene in loaded.var["name_in_file"]]
        assert np.array_equal(loaded.layers[name].toarray(), parts[name].counts[:, places])
    assert ("holds only the spliced part of the counts" in said(loaded)) == (rna == "spliced")


@needs_rdata
def test_an_experiment_of_spliced_and_unspliced_counts(tmp_path: Path) -> None:
    of = zoo.truth()
    spliced = thinned(of, 0.6)
    parts = {"spliced": spliced.counts, "unspliced": rest(of, spliced).counts}
    made = zoo.experiment(of, tuple(parts), parts=parts)
    loaded = load(zoo.write_r(tmp_path / "a.rds", made))
    assert zoo.fault(loaded, {"a": of.frame()}) == ""
    assert {"spliced", "unspliced"} <= set(loaded.layers)
