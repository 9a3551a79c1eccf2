"""Layouts of upstream tools, each written from the page that documents it, with what is right: counts, cells, genes and samples.

A contract is written from the tool's documentation and output, never from the loader. All hold the same simulated cells, so that what is
right is known exactly: 48 cells, 37 human genes, each count split into a spliced, an unspliced and an ambiguous part.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from scdiff.errors import ScdiffError
from scdiff.steps.load.step import load

__all__ = ["CONTRACTS", "Contract", "Verdict", "judge"]

N_CELLS = 48
_HUMAN = (
    "INS=ENSG00000254647 PDX1=ENSG00000139515 NKX6-1=ENSG00000163623 NEUROG3=ENSG00000122859 GCG=ENSG00000115263 "
    "SOX9=ENSG00000125398 ACTB=ENSG00000075624 GAPDH=ENSG00000111640 VIM=ENSG00000026025 COL1A1=ENSG00000108821 "
    "COL1A2=ENSG00000164692 COL3A1=ENSG00000168542 MALAT1=ENSG00000251562 RPL3=ENSG00000100316 RPS6=ENSG00000137154 "
    "EEF1A1=ENSG00000156508 TPT1=ENSG00000133112 B2M=ENSG00000166710 FTL=ENSG00000087086 FTH1=ENSG00000167996 "
    "LGALS1=ENSG00000100097 S100A6=ENSG00000197956 SPARC=ENSG00000113140 TMSB4X=ENSG00000205542 TMSB10=ENSG00000034510 "
    "THY1=ENSG00000154096 ENG=ENSG00000106991 NT5E=ENSG00000135318 LUM=ENSG00000139329 DCN=ENSG00000011465 "
    "FN1=ENSG00000115414 TAGLN=ENSG00000149591 HLA-A=ENSG00000206503 MT-CO1=ENSG00000198804 VEGFA=ENSG00000112715 "
    "HGF=ENSG00000019991 CD4=ENSG00000010610 "
)
HUMAN = dict(pair.split("=") for pair in _HUMAN.split())
_MOUSE = (
    "Ins1=ENSMUSG00000035804 Ins2=ENSMUSG00000000215 Pdx1=ENSMUSG00000029644 Nkx6-1=ENSMUSG00000035187 Neurog3=ENSMUSG00000044312 "
    "Actb=ENSMUSG00000029580 Gapdh=ENSMUSG00000057666 Vim=ENSMUSG00000026728 Col1a1=ENSMUSG00000001506 Col1a2=ENSMUSG00000029661 "
    "Malat1=ENSMUSG00000092341 Rpl3=ENSMUSG00000060036 Eef1a1=ENSMUSG00000037742 B2m=ENSMUSG00000060802 Thy1=ENSMUSG00000032011 "
    "Eng=ENSMUSG00000026814 Lum=ENSMUSG00000036446 Dcn=ENSMUSG00000019929 Fn1=ENSMUSG00000026193 "
)
MOUSE = dict(pair.split("=") for pair in _MOUSE.split())

Frames = dict[str, pd.DataFrame]


# ---------------------------------------------------------------- the truth


def bases(n_cells: int, seed: int, length: int = 16) -> list[str]:
    """Barcodes drawn at random."""
    drawn = np.array(list("ACGT"))[np.random.default_rng(seed).integers(0, 4, (n_cells, length))]
    return ["".join(row) for row in drawn]


def simulated(genes: Mapping[str, str], seed: int) -> np.ndarray:
    """Counts of a part, cells x genes: markers rare, other genes of many levels."""
    rng = np.random.default_rng(seed)
    level = np.where(
        [
            gene.upper() in ("INS", "INS1", "INS2", "PDX1", "NKX6-1", "NEUROG3", "GCG")
            for gene in genes
        ],
        0.4,
        1.0,
    )
    return rng.poisson(level * rng.gamma(2.0, 1.0, len(genes)), (N_CELLS, len(genes)))


CELLS = bases(N_CELLS, 1)
PARTS = {
    name: pd.DataFrame(simulated(HUMAN, seed), CELLS, list(HUMAN))
    for seed, name in enumerate(("spliced", "unspliced", "ambiguous"))
}
TOTAL = PARTS["spliced"] + PARTS["unspliced"] + PARTS["ambiguous"]
OF_CELLS = PARTS["spliced"] + PARTS["ambiguous"]
OF_MOUSE = pd.DataFrame(simulated(MOUSE, 7) + simulated(MOUSE, 8), CELLS, list(MOUSE))
MORE = TOTAL + np.random.default_rng(9).poisson(0.2, TOTAL.shape)
"""The same cells by another way of counting."""

_EMPTY = pd.DataFrame(
    np.random.default_rng(3).poisson(0.03, (150, len(HUMAN))), bases(150, 4), list(HUMAN)
)
RAW = pd.concat([TOTAL, _EMPTY[_EMPTY.sum(axis=1) > 0]])
"""Cells and droplets without one."""


def lane(frame: pd.DataFrame, number: int | Sequence[int] = 1) -> pd.DataFrame:
    """Write the number of the lane after each barcode."""
    numbers = [number] * len(frame) if isinstance(number, int) else number
    return frame.set_axis([f"{cell}-{n}" for cell, n in zip(frame.index, numbers, strict=True)])


def halves(frame: pd.DataFrame = TOTAL, names: Sequence[str] = ("ctrl", "treated")) -> Frames:
    """Two samples of half the cells each."""
    return dict(zip(names, (frame.iloc[: N_CELLS // 2], frame.iloc[N_CELLS // 2 :]), strict=True))


OF_SAMPLES = ["ctrl"] * (N_CELLS // 2) + ["treated"] * (N_CELLS // 2)


# ---------------------------------------------------------------- the registry


@dataclass(frozen=True)
class Contract:
    """One layout.

    Parameters
    ----------
    name
        Tool and layout.
    page
        What documents it.
    write
        Writes the files into a folder and returns what a user gives.
    right
        Sample -> counts, cells x genes; None where it must be refused.
    refusal
        What the refusal must say: the file to give, or the command to run.
    options
        Of :func:`scdiff.steps.load.load`.
    said
        What a note must say.
    """

    name: str
    page: str
    write: Callable[[Path], Any]
    right: Frames | None = None
    refusal: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    said: str = ""

    def __str__(self) -> str:
        return self.name


CONTRACTS: list[Contract] = []


def contract(
    name: str,
    page: str,
    right: Frames | None = None,
    *,
    refusal: str = "",
    said: str = "",
    **options: Any,
) -> Any:
    """Enter a layout; the function writes it."""

    def enter(write: Callable[[Path], Any]) -> Callable[[Path], Any]:
        CONTRACTS.append(Contract(name, page, write, right, refusal, options, said))
        return write

    return enter


@dataclass(frozen=True)
class Verdict:
    """What became of a layout: ``right``, ``refused rightly``, ``refused``, ``samples lost`` or ``wrong``; and why."""

    found: str
    why: str = ""

    @property
    def holds(self) -> bool:
        """Whether the contract is kept."""
        return self.found in ("right", "refused rightly")


def judge(of: Contract, folder: Path) -> Verdict:
    """Write a layout, load it, and hold what comes out against what is right."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = of.write(folder)
        try:
            adata = load(given, **of.options)
        except ScdiffError as error:
            said = str(error).replace(str(folder), "")
            return Verdict(
                "refused rightly" if of.refusal and re.search(of.refusal, said) else "refused", said
            )
    record = adata.uns["scdiff"]["input"]
    said = " | ".join([*record["notes"], *record["repairs"]])
    if of.right is None:
        return Verdict("wrong", f"accepted {adata.n_obs} cells")
    verdict = compared(adata, of.right)
    return (
        Verdict("wrong", f"no note says {of.said!r}: {said}")
        if verdict.holds and not re.search(of.said, said)
        else verdict
    )


def compared(adata: anndata.AnnData, right: Frames) -> Verdict:
    """Compare samples, cells, genes and counts."""
    samples = adata.obs["sample"].astype(str).to_numpy()
    if set(samples) != set(right):
        return Verdict("samples lost", f"samples {sorted(set(samples))} for {sorted(right)}")
    counts = pd.DataFrame(adata.layers["counts"].toarray(), adata.obs_names, adata.var_names)
    for sample, frame in right.items():
        here = counts[samples == sample]
        here = here.set_axis(
            [
                name if name in frame.index else name.removeprefix(f"{sample}:")
                for name in here.index
            ]
        )
        if sorted(here.index) != sorted(frame.index):
            return Verdict(
                "samples lost",
                f"{sample}: {len(here)} cells ({list(here.index[:2])}) for {len(frame)} ({list(frame.index[:2])})",
            )
        if set(here.columns) != set(frame.columns):
            odd = sorted(set(here.columns) ^ set(frame.columns))
            return Verdict("wrong", f"{here.shape[1]} genes for {frame.shape[1]} ({odd[:4]})")
        if not np.array_equal(here.loc[frame.index, frame.columns].to_numpy(), frame.to_numpy()):
            return Verdict(
                "wrong",
                f"{sample}: the sum is {here.to_numpy().sum() / frame.to_numpy().sum():.3f} of the right one",
            )
    return Verdict("right")


# ---------------------------------------------------------------- writers


def put(path: Path, data: str | bytes) -> Path:
    """Write a file, gzipped where its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = data.encode() if isinstance(data, str) else data
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return path


def lines(values: Sequence[Any]) -> str:
    """One value a line."""
    return "".join(f"{value}\n" for value in values)


def mtx(values: Any, kind: str = "integer") -> str:
    """Text of a matrix in the Matrix Market format, as it stands."""
    matrix = sparse.coo_matrix(np.asarray(values))
    body = lines(
        [
            f"{row + 1} {column + 1} {value}"
            for row, column, value in zip(matrix.row, matrix.col, matrix.data, strict=True)
        ]
    )
    return f"%%MatrixMarket matrix coordinate {kind} general\n%\n{matrix.shape[0]} {matrix.shape[1]} {matrix.nnz}\n{body}"


def features(
    frame: pd.DataFrame, kind: str = "Gene Expression", genes: Mapping[str, str] = HUMAN
) -> list[str]:
    """Lines of features.tsv: id, name, type."""
    return [f"{genes.get(gene, gene)}\t{gene}\t{kind}" for gene in frame]


def mex(
    at: Path,
    frame: pd.DataFrame,
    listed: Sequence[str] | None = None,
    *,
    gz: str = ".gz",
    genes: str = "features.tsv",
    prefix: str = "",
) -> Path:
    """Matrix (genes x cells), barcodes and features, as Cell Ranger and STARsolo write them."""
    put(at / f"{prefix}matrix.mtx{gz}", mtx(frame.to_numpy().T))
    put(at / f"{prefix}barcodes.tsv{gz}", lines(frame.index))
    put(at / f"{prefix}{genes}{gz}", lines(features(frame) if listed is None else listed))
    return at


def tenx_h5(
    path: Path,
    frame: pd.DataFrame,
    kinds: Sequence[str] | None = None,
    genome: str = "GRCh38",
    genes: Mapping[str, str] = HUMAN,
) -> Path:
    """HDF5 of Cell Ranger 3 and later: group matrix with features."""
    path.parent.mkdir(parents=True, exist_ok=True)
    matrix = sparse.csc_matrix(frame.to_numpy().T.astype(np.int32))
    with h5py.File(path, "w") as handle:
        group = handle.create_group("matrix")
        group["barcodes"] = np.array(list(frame.index), dtype="S")
        group["data"], group["indices"], group["indptr"] = (
            matrix.data,
            matrix.indices.astype(np.int64),
            matrix.indptr.astype(np.int64),
        )
        group["shape"] = np.array(matrix.shape, dtype=np.int32)
        listed = group.create_group("features")
        listed["_all_tag_keys"] = np.array([b"genome"])
        listed["id"] = np.array([genes.get(gene, gene) for gene in frame], dtype="S")
        listed["name"] = np.array(list(frame), dtype="S")
        listed["feature_type"] = np.array(kinds or ["Gene Expression"] * frame.shape[1], dtype="S")
        listed["genome"] = np.array([genome] * frame.shape[1], dtype="S")
    return path


def annotated(
    x: pd.DataFrame | None, frame: pd.DataFrame = TOTAL, **layers: pd.DataFrame
) -> anndata.AnnData:
    """Object with symbols as index of the genes."""
    values = None if x is None else sparse.csr_matrix(x.to_numpy().astype(np.float32))
    made = anndata.AnnData(
        values, pd.DataFrame(index=list(frame.index)), pd.DataFrame(index=list(frame.columns))
    )
    for name, part in layers.items():
        made.layers[name] = sparse.csr_matrix(part.to_numpy().astype(np.float32))
    return made


def by_id(adata: anndata.AnnData, column: str, version: str = "") -> anndata.AnnData:
    """Make the Ensembl id the index of the genes, with the symbols in a column."""
    adata.var[column] = list(adata.var_names)
    adata.var_names = [f"{HUMAN[gene]}{version}" for gene in adata.var_names]
    return adata


def save(adata: anndata.AnnData, path: Path) -> Path:
    """Write as h5ad."""
    path.parent.mkdir(parents=True, exist_ok=True)
    adata.write_h5ad(path)
    return path


def logged(frame: pd.DataFrame) -> pd.DataFrame:
    """ln(1 + counts per 10,000)."""
    return np.log1p(frame.div(frame.sum(axis=1), axis=0) * 1e4)


def loom(
    path: Path,
    frame: pd.DataFrame,
    layers: Frames | None = None,
    rows: Any = None,
    columns: Any = None,
) -> Path:
    """Loom file of version 3: genes x cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = h5py.string_dtype()
    with h5py.File(path, "w") as handle:
        handle["matrix"] = frame.to_numpy().T.astype(np.float32)
        handle.create_group("layers")
        for name, values in (layers or {}).items():
            handle[f"layers/{name}"] = values.to_numpy().T.astype(np.uint32)
        for group, attributes in (("row_attrs", rows), ("col_attrs", columns)):
            made = handle.create_group(group)
            for name, values in attributes.items():
                made.create_dataset(
                    name,
                    data=list(values),
                    dtype=text if isinstance(next(iter(values)), str) else None,
                )
        for name in ("row_graphs", "col_graphs", "attrs"):
            handle.create_group(name)
        handle["attrs"].create_dataset("LOOM_SPEC_VERSION", data="3.0.0", dtype=text)
    return path


def zipped(path: Path, folder: Path) -> Path:
    """Zip of the files of a folder, which goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    for file in sorted(folder.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    folder.rmdir()
    return path


# ---------------------------------------------------------------- Cell Ranger

CR = "https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/outputs/"
CR_OLD = "https://support.10xgenomics.com/single-cell-gene-expression/software/pipelines/"
ONE = {"s1": lane(TOTAL)}


@contract("Cell Ranger count: outs/ whole", f"{CR}cr-outputs-gex-overview", ONE)
def _(at: Path) -> Path:
    outs = at / "s1" / "outs"
    mex(outs / "filtered_feature_bc_matrix", lane(TOTAL))
    mex(outs / "raw_feature_bc_matrix", lane(RAW))
    tenx_h5(outs / "filtered_feature_bc_matrix.h5", lane(TOTAL))
    tenx_h5(outs / "raw_feature_bc_matrix.h5", lane(RAW))
    put(
        outs / "metrics_summary.csv",
        'Estimated Number of Cells,Mean Reads per Cell,Q30\n"1,204","51,000",96.1%\n',
    )
    put(
        outs / "analysis/clustering/gene_expression_graphclust/clusters.csv",
        "Barcode,Cluster\nAAAC-1,1\n",
    )
    put(
        outs / "analysis/pca/gene_expression_10_components/projection.csv",
        "Barcode,PC-1\nAAAC-1,0.5\n",
    )
    put(outs / "web_summary.html", "<html></html>")
    put(outs / "cloupe.cloupe", b"\x00\x01")
    with h5py.File(outs / "molecule_info.h5", "w") as handle:
        handle["barcode_idx"] = np.arange(4)
    return at / "s1"


@contract("Cell Ranger count: filtered_feature_bc_matrix/", f"{CR}cr-outputs-mex-matrices", ONE)
def _(at: Path) -> Path:
    return mex(at / "s1/outs/filtered_feature_bc_matrix", lane(TOTAL))


@contract(
    "Cell Ranger 2 count: filtered_gene_bc_matrices/GRCh38/", f"{CR_OLD}2.2/output/matrices", ONE
)
def _(at: Path) -> Path:
    folder = at / "s1/outs/filtered_gene_bc_matrices/GRCh38"
    mex(folder, lane(TOTAL), [f"{HUMAN[gene]}\t{gene}" for gene in TOTAL], gz="", genes="genes.tsv")
    return at / "s1/outs"


@contract("Cell Ranger count: filtered_feature_bc_matrix.h5", f"{CR}cr-outputs-h5-matrices", ONE)
def _(at: Path) -> Path:
    return tenx_h5(at / "s1/outs/filtered_feature_bc_matrix.h5", lane(TOTAL))


@contract(
    "Cell Ranger 2 count: filtered_gene_bc_matrices_h5.h5", f"{CR_OLD}2.2/advanced/h5_matrices", ONE
)
def _(at: Path) -> Path:
    path = at / "s1/outs/filtered_gene_bc_matrices_h5.h5"
    path.parent.mkdir(parents=True)
    matrix = sparse.csc_matrix(TOTAL.to_numpy().T.astype(np.int32))
    with h5py.File(path, "w") as handle:
        group = handle.create_group("GRCh38")
        group["barcodes"] = np.array(list(lane(TOTAL).index), dtype="S")
        group["genes"], group["gene_names"] = (
            np.array(list(names), dtype="S") for names in (HUMAN.values(), HUMAN)
        )
        group["data"], group["indices"], group["indptr"] = (
            matrix.data,
            matrix.indices.astype(np.int64),
            matrix.indptr.astype(np.int64),
        )
        group["shape"] = np.array(matrix.shape, dtype=np.int32)
    return path


@contract("Cell Ranger count: mouse", f"{CR}cr-outputs-mex-matrices", {"m1": lane(OF_MOUSE)})
def _(at: Path) -> Path:
    return mex(
        at / "m1/outs/filtered_feature_bc_matrix", lane(OF_MOUSE), features(OF_MOUSE, genes=MOUSE)
    )


BARNYARD = "https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/inputs/cr-3p-references"


@contract(
    "Cell Ranger count: GRCh38_and_mm10", BARNYARD, ONE, said="several genomes", species="human"
)
def _(at: Path) -> Path:
    both = pd.concat([lane(TOTAL), lane(OF_MOUSE) // 2], axis=1)
    listed = [f"GRCh38_{i}\tGRCh38_{s}\tGene Expression" for s, i in HUMAN.items()]
    listed += [f"mm10___{i}\tmm10___{s}\tGene Expression" for s, i in MOUSE.items()]
    return mex(at / "s1/outs/filtered_feature_bc_matrix", both, listed)


TAGS = pd.DataFrame(
    np.random.default_rng(5).poisson(80, (N_CELLS, 3)), CELLS, ["CMO301", "CMO302", "CMO303"]
)
ADT = pd.DataFrame(
    np.random.default_rng(6).poisson(60, (N_CELLS, 4)), CELLS, ["CD3", "CD19", "CD4", "CD8"]
)
GUIDES = pd.DataFrame(
    np.random.default_rng(7).poisson(9, (N_CELLS, 3)), CELLS, ["PDX1-1", "NTC-1", "NTC-2"]
)
PEAKS = pd.DataFrame(
    np.random.default_rng(8).poisson(1, (N_CELLS, 60)),
    CELLS,
    [f"chr1:{n}00-{n}90" for n in range(60)],
)


def with_others(others: pd.DataFrame, kind: str, name: str) -> tuple[pd.DataFrame, list[str]]:
    """Genes and other features with lines of features.tsv; ``name`` is how an id is made of a name."""
    listed = [*features(TOTAL), *(f"{name.format(other)}\t{other}\t{kind}" for other in others)]
    both = pd.concat([TOTAL, others], axis=1)
    return lane(both), listed


@contract(
    "Cell Ranger multi: per_sample_outs/ with CellPlex",
    f"{CR}cr-multi-outputs-overview",
    halves(lane(TOTAL)),
)
def _(at: Path) -> Path:
    both, listed = with_others(TAGS, "Multiplexing Capture", "{}")
    outs = at / "pool/outs"
    for name, frame in halves(both).items():
        mex(outs / f"per_sample_outs/{name}/count/sample_filtered_feature_bc_matrix", frame, listed)
        tenx_h5(
            outs / f"per_sample_outs/{name}/count/sample_filtered_feature_bc_matrix.h5",
            frame,
            [line.split("\t")[2] for line in listed],
        )
        put(
            outs / f"per_sample_outs/{name}/metrics_summary.csv",
            "Category,Library Type,Metric Name,Metric Value\nCells,Gene Expression,Cells,24\n",
        )
    mex(outs / "multi/count/raw_feature_bc_matrix", lane(RAW))
    put(
        outs / "multi/multiplexing_analysis/assignment_confidence_table.csv",
        "CMO301,CMO302,Barcode\n0.9,0.1,AAAC-1\n",
    )
    put(outs / "config.csv", "[gene-expression]\nreference,/r\n")
    return at / "pool"


FLEX = f"{CR}cr-flex-multi-outputs-overview"


def flexed() -> pd.DataFrame:
    """Cells of a Flex run: 16 bases of the droplet, 8 of the probe barcode, ``-1``."""
    probes = {"ctrl": "ACTTTAGG", "treated": "AACGGGAA"}
    return TOTAL.set_axis(
        [f"{cell}{probes[sample]}-1" for cell, sample in zip(CELLS, OF_SAMPLES, strict=True)]
    )


@contract("Cell Ranger multi: Flex, probe barcodes", FLEX, halves(flexed()))
def _(at: Path) -> Path:
    outs = at / "flex/outs"
    for name, frame in halves(flexed()).items():
        count = outs / f"per_sample_outs/{name}/count"
        mex(count / "sample_filtered_feature_bc_matrix", frame)
        tenx_h5(count / "sample_filtered_feature_bc_matrix.h5", frame)
        tenx_h5(count / "sample_raw_probe_bc_matrix.h5", frame)
        put(
            count / "probe_set.csv",
            "#panel_name=Human\ngene_id,probe_seq,probe_id,included,region\nENSG1,ACGT,p1,TRUE,spliced\n",
        )
        put(
            outs / f"per_sample_outs/{name}/metrics_summary.csv",
            "Category,Metric Name,Metric Value\nCells,Cells,24\n",
        )
    tenx_h5(outs / "multi/count/raw_feature_bc_matrix.h5", flexed())
    return at / "flex/outs"


@contract("Cell Ranger multi: one sample's folder", FLEX, {"ctrl": halves(flexed())["ctrl"]})
def _(at: Path) -> Path:
    return mex(
        at / "outs/per_sample_outs/ctrl/count/sample_filtered_feature_bc_matrix",
        halves(flexed())["ctrl"],
    )


AGGR = "https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/running-pipelines/cr-3p-aggr"
WELLS = [1] * (N_CELLS // 2) + [2] * (N_CELLS // 2)


def aggregated(at: Path, h5: bool) -> Path:
    """Output of cellranger aggr."""
    outs = at / "aggr/outs"
    put(
        outs / "aggregation.csv",
        "sample_id,molecule_h5,donor\nctrl,/a/molecule_info.h5,d1\ntreated,/b/molecule_info.h5,d2\n",
    )
    put(outs / "count/summary.json", "{}")
    if h5:
        return tenx_h5(outs / "count/filtered_feature_bc_matrix.h5", lane(TOTAL, WELLS))
    mex(outs / "count/filtered_feature_bc_matrix", lane(TOTAL, WELLS))
    return outs


@contract("Cell Ranger aggr: outs/ with aggregation.csv", AGGR, halves(lane(TOTAL, WELLS)))
def _(at: Path) -> Path:
    return aggregated(at, h5=False)


@contract("Cell Ranger aggr: h5 with aggregation.csv", AGGR, halves(lane(TOTAL, WELLS)))
def _(at: Path) -> Path:
    return aggregated(at, h5=True)


ARC = "https://support.10xgenomics.com/single-cell-multiome-atac-gex/software/pipelines/latest/output/matrices"


@contract("Cell Ranger ARC: genes and peaks", ARC, ONE, said="60 Peaks")
def _(at: Path) -> Path:
    both, listed = with_others(PEAKS, "Peaks", "{}")
    placed = [f"{line}\tchr1\t100\t200" for line in listed]
    return mex(at / "s1/outs/filtered_feature_bc_matrix", both, placed)


@contract("Cell Ranger ARC: h5", ARC, ONE)
def _(at: Path) -> Path:
    both, listed = with_others(PEAKS, "Peaks", "{}")
    return tenx_h5(
        at / "s1/outs/filtered_feature_bc_matrix.h5", both, [line.split("\t")[2] for line in listed]
    )


CITE = "https://support.10xgenomics.com/single-cell-gene-expression/software/pipelines/3.0/output/matrices"


@contract("Cell Ranger count: antibodies (CITE-seq)", CITE, ONE, said="4 Antibody Capture")
def _(at: Path) -> Path:
    both, listed = with_others(ADT, "Antibody Capture", "{}_TotalSeqB")
    return mex(at / "s1/outs/filtered_feature_bc_matrix", both, listed)


@contract("Cell Ranger count: guides (CRISPR), h5", CITE, ONE)
def _(at: Path) -> Path:
    both, listed = with_others(GUIDES, "CRISPR Guide Capture", "{}")
    return tenx_h5(
        at / "s1/outs/filtered_feature_bc_matrix.h5", both, [line.split("\t")[2] for line in listed]
    )


@contract("Cell Ranger count: hashtags", CITE, ONE)
def _(at: Path) -> Path:
    hashtags = TAGS.set_axis(["HTO_1", "HTO_2", "HTO_3"], axis=1)
    both, listed = with_others(hashtags, "Antibody Capture", "{}")
    return mex(at / "s1/outs/filtered_feature_bc_matrix", both, listed)


@contract(
    "Cell Ranger: molecule_info.h5 alone",
    f"{CR}cr-outputs-molecule-info",
    refusal="filtered_feature_bc_matrix",
)
def _(at: Path) -> Path:
    path = at / "molecule_info.h5"
    with h5py.File(path, "w") as handle:
        for name in ("barcode_idx", "feature_idx", "count", "gem_group", "umi"):
            handle[name] = np.arange(9)
        handle["barcodes"] = np.array(CELLS, dtype="S")
    return path


GEO = "https://www.ncbi.nlm.nih.gov/geo/info/seq.html"


@contract("GEO: prefixed triples in one folder", GEO, halves(lane(TOTAL), ("GSM1_d0", "GSM2_d21")))
def _(at: Path) -> Path:
    for name, frame in halves(lane(TOTAL), ("GSM1_d0", "GSM2_d21")).items():
        mex(at / "GSE1", frame, prefix=f"{name}_")
    return at / "GSE1"


@contract("GEO: RAW.tar of h5", GEO, halves(lane(TOTAL), ("GSM1_d0", "GSM2_d21")))
def _(at: Path) -> Path:
    with tarfile.open(at / "GSE1_RAW.tar", "w") as archive:
        for name, frame in halves(lane(TOTAL), ("GSM1_d0", "GSM2_d21")).items():
            path = tenx_h5(at / f"{name}.h5", frame)
            archive.add(path, f"{name}_filtered_feature_bc_matrix.h5")
            path.unlink()
    return at / "GSE1_RAW.tar"


# ---------------------------------------------------------------- STARsolo

STAR = "https://github.com/alexdobin/STAR/blob/master/docs/STARsolo.md"
BARE = {"s1": TOTAL}


def solo(
    at: Path,
    feature: str,
    frame: pd.DataFrame = TOTAL,
    raw: pd.DataFrame | None = RAW,
    prefix: str = "",
) -> Path:
    """One feature of STARsolo: filtered and raw."""
    gene = at / f"s1/{prefix}Solo.out/{feature}"
    mex(gene / "filtered", frame, gz="")
    if raw is not None:
        mex(gene / "raw", raw, gz="")
    put(
        gene / "Summary.csv",
        "Number of Reads,1200000\nReads With Valid Barcodes,0.97\nEstimated Number of Cells,48\n",
    )
    put(gene / "Features.stats", "   noUnmapped  1200\n   yesWLmatch  800000\n")
    put(gene / "UMIperCellSorted.txt", lines(sorted(frame.sum(axis=1), reverse=True)))
    put(at / f"s1/{prefix}Solo.out/Barcodes.stats", "   nNoAdapter  0\n")
    return at / "s1"


@contract("STARsolo: Gene, filtered and raw", STAR, BARE)
def _(at: Path) -> Path:
    return solo(at, "Gene")


@contract("STARsolo: GeneFull", STAR, BARE)
def _(at: Path) -> Path:
    return solo(at, "GeneFull")


@contract("STARsolo: GeneFull_Ex50pAS, the folder filtered", STAR, BARE)
def _(at: Path) -> Path:
    return solo(at, "GeneFull_Ex50pAS") / "Solo.out/GeneFull_Ex50pAS/filtered"


@contract("STARsolo: --outFileNamePrefix run7_", STAR, {"run7": TOTAL})
def _(at: Path) -> Path:
    return solo(at, "Gene", prefix="run7_")


@contract(
    "STARsolo: Gene beside GeneFull_Ex50pAS",
    STAR,
    refusal=r"(?s)Gene/filtered.*Give the path of the one to load|Give each cell once",
)
def _(at: Path) -> Path:
    solo(at, "GeneFull_Ex50pAS", MORE, None)
    return solo(at, "Gene")


def shared_reads(frame: pd.DataFrame) -> str:
    """Counts with shares of reads that map to several genes: fractions."""
    return mtx(frame.to_numpy().T + np.where(frame.to_numpy().T > 2, 0.25, 0.0), "real")


@contract("STARsolo: UniqueAndMult-EM.mtx beside matrix.mtx", STAR, {"s1": TOTAL})
def _(at: Path) -> Path:
    raw = mex(at / "s1/Solo.out/Gene/raw", TOTAL, gz="")
    for way in ("EM", "Uniform", "Rescue", "PropUnique"):
        put(raw / f"UniqueAndMult-{way}.mtx", shared_reads(TOTAL))
    return raw


@contract(
    "STARsolo: UniqueAndMult-EM.mtx itself", STAR, refusal="Give matrix.mtx in the same folder"
)
def _(at: Path) -> Path:
    raw = mex(at / "s1/Solo.out/Gene/raw", TOTAL, gz="")
    return put(raw / "UniqueAndMult-EM.mtx", shared_reads(TOTAL))


VELOCYTO = "https://github.com/alexdobin/STAR/issues/774"


def velocyto(at: Path, *, old: bool, states: Sequence[str] = ("raw",)) -> Path:
    """Folder Velocyto: a matrix for each part; before STAR 2.7.9 one with three values a line."""
    for state in states:
        folder = at / f"s1/Solo.out/Velocyto/{state}"
        put(folder / "barcodes.tsv", lines(CELLS))
        put(folder / "features.tsv", lines(features(TOTAL)))
        if not old:
            for name, part in PARTS.items():
                put(folder / f"{name}.mtx", mtx(part.to_numpy().T))
            continue
        rows, columns = np.nonzero(TOTAL.to_numpy().T)
        values = [part.to_numpy().T[rows, columns] for part in PARTS.values()]
        body = lines(
            [
                " ".join(map(str, entry))
                for entry in zip(rows + 1, columns + 1, *values, strict=True)
            ]
        )
        put(
            folder / "matrix.mtx",
            f"%%MatrixMarket matrix coordinate integer general\n%\n{len(HUMAN)} {N_CELLS} {len(rows)}\n{body}",
        )
    return at / "s1"


@contract("STARsolo: Gene and Velocyto", STAR, BARE)
def _(at: Path) -> Path:
    solo(at, "Gene")
    return velocyto(at, old=False, states=("raw", "filtered"))


@contract("STARsolo: Velocyto alone", STAR, BARE)
def _(at: Path) -> Path:
    return velocyto(at, old=False)


@contract(
    "STARsolo before 2.7.9: Velocyto with three values a line",
    VELOCYTO,
    BARE,
    said=r"spliced \+ unspliced \+ ambiguous",
)
def _(at: Path) -> Path:
    return velocyto(at, old=True) / "Solo.out/Velocyto/raw"


@contract("STARsolo before 2.7.9: Gene and Velocyto", VELOCYTO, BARE)
def _(at: Path) -> Path:
    solo(at, "Gene")
    return velocyto(at, old=True)


@contract("STARsolo: Gene and SJ", "https://github.com/alexdobin/STAR/issues/1818", BARE)
def _(at: Path) -> Path:
    junctions = pd.DataFrame(np.random.default_rng(2).poisson(0.4, (N_CELLS, 25)), CELLS)
    listed = [f"chr1\t{n * 1000}\t{n * 1000 + 400}\t1\t1\t1\t3\t0\t30" for n in range(25)]
    mex(at / "s1/Solo.out/SJ/raw", junctions, listed, gz="")
    return solo(at, "Gene")


# ---------------------------------------------------------------- alevin, alevin-fry, simpleaf

FRY = "https://alevin-fry.readthedocs.io/en/latest/quant.html"
PYROE = "https://pyroe.readthedocs.io/en/latest/processing_fry_quants.html"
SIMPLEAF = "https://simpleaf.readthedocs.io/en/latest/quant-command.html"


def fry(at: Path, *, usa: bool = True) -> Path:
    """Folder that alevin-fry quant writes."""
    folder = at / "s1/af_quant"
    ends = {"": "spliced", "-U": "unspliced", "-A": "ambiguous"} if usa else {"": ""}
    parts = np.hstack(
        [PARTS[part].to_numpy() if part else TOTAL.to_numpy() for part in ends.values()]
    )
    put(folder / "alevin/quants_mat.mtx", mtx(parts, "real"))
    put(folder / "alevin/quants_mat_rows.txt", lines(CELLS))
    put(
        folder / "alevin/quants_mat_cols.txt",
        lines([f"{stable}{end}" for end in ends for stable in HUMAN.values()]),
    )
    put(
        folder / "quant.json",
        json.dumps({"usa_mode": usa, "num_genes": parts.shape[1], "num_quantified_cells": N_CELLS}),
    )
    put(folder / "featureDump.txt", "CB\tCorrectedReads\tMappedReads\nACGT\t10\t9\n")
    return folder


@contract(
    "alevin-fry: USA mode, cells (S+A)",
    FRY,
    {"s1": OF_CELLS},
    said=r"For nuclei, set load.matrix=S\+U\+A",
)
def _(at: Path) -> Path:
    return fry(at)


@contract("alevin-fry: USA mode, nuclei (S+U+A)", PYROE, BARE, matrix="S+U+A")
def _(at: Path) -> Path:
    return fry(at)


@contract("alevin-fry: standard mode", FRY, BARE)
def _(at: Path) -> Path:
    return fry(at, usa=False)


def simpleaf(at: Path) -> Path:
    """quants.h5ad of simpleaf quant --anndata-out in USA mode: X is zero, the parts are layers."""
    nothing = TOTAL * 0
    made = by_id(annotated(nothing, **PARTS), "gene_symbol")
    made.obs["barcodes"] = list(made.obs_names)
    made.var["gene_id"] = list(made.var_names)
    return save(made, at / "s1/af_quant/alevin/quants.h5ad")


@contract("simpleaf: quants.h5ad, cells (S+A)", SIMPLEAF, {"s1": OF_CELLS}, matrix="S+A")
def _(at: Path) -> Path:
    return simpleaf(at)


@contract("simpleaf: quants.h5ad, nuclei (S+U+A)", SIMPLEAF, BARE, matrix="S+U+A")
def _(at: Path) -> Path:
    return simpleaf(at)


@contract("simpleaf: quants.h5ad, all parts where none is asked for", SIMPLEAF, BARE)
def _(at: Path) -> Path:
    return simpleaf(at)


@contract(
    "simpleaf: first quants.h5ad, names beside the index",
    "https://github.com/COMBINE-lab/af-anndata",
    BARE,
)
def _(at: Path) -> Path:
    made = annotated(TOTAL * 0, **PARTS)
    made.obs["barcodes"] = list(made.obs_names)
    made.var["gene_symbols"] = list(HUMAN.values())
    made.obs_names, made.var_names = (list(map(str, range(n))) for n in made.shape)
    return save(made, at / "s1/af_quant/alevin/quants.h5ad")


@contract("simpleaf: the whole folder", SIMPLEAF, {"s1": OF_CELLS})
def _(at: Path) -> Path:
    simpleaf(at)
    put(at / "s1/af_map/map_info.json", "{}")
    put(at / "s1/simpleaf_quant_log.json", "{}")
    fry(at)
    return at / "s1"


@contract("pyroe convert: h5ad as scRNA (X is S+A)", PYROE, {"s1": OF_CELLS})
def _(at: Path) -> Path:
    made = annotated(OF_CELLS, unspliced=PARTS["unspliced"])
    made.var_names = list(HUMAN.values())
    return save(made, at / "s1.h5ad")


ALEVIN = "https://salmon.readthedocs.io/en/latest/alevin.html"


@contract("salmon alevin: quants_mat.mtx.gz", ALEVIN, BARE)
def _(at: Path) -> Path:
    folder = at / "s1/alevin"
    put(folder / "quants_mat.mtx.gz", mtx(TOTAL.to_numpy(), "real"))
    put(folder / "quants_mat_rows.txt", lines(CELLS))
    put(folder / "quants_mat_cols.txt", lines(HUMAN.values()))
    put(folder / "quants_tier_mat.gz", b"\x01\x02")
    put(folder / "featureDump.txt", "CB\tCorrectedReads\nACGT\t10\n")
    return folder


@contract("salmon alevin: binary quants_mat.gz", ALEVIN, refusal="--dumpMtx")
def _(at: Path) -> Path:
    folder = at / "s1/alevin"
    put(folder / "quants_mat.gz", b"\x01\x02\x03")
    put(folder / "quants_mat_rows.txt", lines(CELLS))
    put(folder / "quants_mat_cols.txt", lines(HUMAN.values()))
    return folder


# ---------------------------------------------------------------- kallisto | bustools

KB = "https://www.kallistobus.tools/kb_usage/kb_count/"
KB_NAC = "https://doi.org/10.1038/s41596-024-01057-0"


def kb(
    at: Path, matrices: Frames, state: str = "counts_unfiltered", cells: Sequence[str] = CELLS
) -> Path:
    """Matrices of kb count, cells x genes, with the lists of all."""
    folder = at / "s1" / state
    for name, frame in matrices.items():
        put(folder / f"cells_x_genes{name}.mtx", mtx(frame.loc[list(cells)].to_numpy(), "real"))
    put(folder / "cells_x_genes.barcodes.txt", lines(cells))
    put(
        folder / "cells_x_genes.genes.txt",
        lines([f"{stable}.{n % 9 + 1}" for n, stable in enumerate(HUMAN.values())]),
    )
    put(folder / "cells_x_genes.genes.names.txt", lines(HUMAN))
    put(at / "s1/run_info.json", "{}")
    put(at / "s1/inspect.json", "{}")
    put(at / "s1/transcripts.txt", "ENST1\n")
    return folder


NAC = {
    f".{name}": part
    for name, part in zip(("mature", "nascent", "ambiguous"), PARTS.values(), strict=True)
}
LAMANNO = {name: PARTS[name] for name in ("spliced", "unspliced")}
OF_LAMANNO = {"s1": PARTS["spliced"] + PARTS["unspliced"]}


@contract("kb count: standard", KB, BARE)
def _(at: Path) -> Path:
    return kb(at, {"": TOTAL})


@contract("kb count: standard, filtered beside unfiltered", KB, {"s1": TOTAL.iloc[:40]})
def _(at: Path) -> Path:
    kb(at, {"": TOTAL}, "counts_filtered", CELLS[:40])
    put(at / "s1/filter_barcodes.txt", lines(CELLS[:40]))
    kb(at, {"": TOTAL})
    return at / "s1"


@contract("kb count: --cellranger", KB, BARE)
def _(at: Path) -> Path:
    listed = [f"{stable}\t{gene}" for gene, stable in HUMAN.items()]
    return mex(at / "s1/counts_unfiltered/cellranger", TOTAL, listed, gz="", genes="genes.tsv")


@contract("kb count: standard, adata.h5ad", KB, BARE)
def _(at: Path) -> Path:
    return save(by_id(annotated(TOTAL), "gene_name", ".3"), at / "s1/counts_unfiltered/adata.h5ad")


@contract("kb count: nac", KB_NAC, BARE)
def _(at: Path) -> Path:
    return kb(at, NAC)


@contract("kb count: nac --sum=total", KB_NAC, BARE)
def _(at: Path) -> Path:
    return kb(at, {**NAC, ".total": TOTAL})


@contract("kb count: nac --sum=cell", KB_NAC, {"s1": OF_CELLS}, matrix="S+A")
def _(at: Path) -> Path:
    return kb(at, {**NAC, ".cell": OF_CELLS})


@contract("kb count: nac, the matrix total", KB_NAC, BARE)
def _(at: Path) -> Path:
    return kb(at, {**NAC, ".total": TOTAL}) / "cells_x_genes.total.mtx"


@contract(
    "kb count: nac --sum=nucleus, the matrix nucleus",
    KB_NAC,
    {"s1": PARTS["unspliced"] + PARTS["ambiguous"]},
)
def _(at: Path) -> Path:
    return (
        kb(at, {**NAC, ".nucleus": PARTS["unspliced"] + PARTS["ambiguous"]})
        / "cells_x_genes.nucleus.mtx"
    )


@contract(
    "kb count: nac, adata.h5ad (X is mature)",
    "https://github.com/pachterlab/kb_python/issues/265",
    BARE,
)
def _(at: Path) -> Path:
    layers = {name[1:]: part for name, part in NAC.items()}
    return save(
        by_id(annotated(PARTS["spliced"], **layers), "gene_name", ".3"),
        at / "s1/counts_unfiltered/adata.h5ad",
    )


@contract("kb count: lamanno", KB, OF_LAMANNO)
def _(at: Path) -> Path:
    folder = at / "s1/counts_unfiltered"
    for name, part in LAMANNO.items():
        put(folder / f"{name}.mtx", mtx(part.to_numpy(), "real"))
        put(folder / f"{name}.barcodes.txt", lines(CELLS))
        put(folder / f"{name}.genes.txt", lines([f"{stable}.2" for stable in HUMAN.values()]))
        put(folder / f"{name}.genes.names.txt", lines(HUMAN))
    return folder


@contract("kb count: lamanno, adata.h5ad", KB, OF_LAMANNO)
def _(at: Path) -> Path:
    return save(
        by_id(annotated(PARTS["spliced"], **LAMANNO), "gene_name", ".2"),
        at / "s1/counts_unfiltered/adata.h5ad",
    )


@contract("kb count: --loom", KB, BARE)
def _(at: Path) -> Path:
    rows = {"target_name": list(HUMAN.values()), "gene_name": list(HUMAN)}
    return loom(
        at / "s1/counts_unfiltered/adata.loom", TOTAL, rows=rows, columns={"barcode": CELLS}
    )


# ---------------------------------------------------------------- Parse, ScaleBio

PARSE = "https://support.parsebiosciences.com/hc/en-us/articles/17166220335636-Pipeline-Outputs"
WELL_CELLS = [
    f"{n % 48 + 1:02d}_{n * 7 % 96 + 1:02d}_{n * 11 % 96 + 1:02d}__s1" for n in range(N_CELLS)
]
PARSED = TOTAL.set_axis(WELL_CELLS)


def parse(
    at: Path, frame: pd.DataFrame, samples: Sequence[str], matrix: str = "count_matrix.mtx"
) -> Path:
    """Folder DGE_filtered of split-pipe: cells x genes."""
    put(at / matrix, mtx(frame.to_numpy()))
    put(
        at / "all_genes.csv",
        "gene_id,gene_name,genome\n"
        + lines([f"{stable},{gene},hg38" for gene, stable in HUMAN.items()]),
    )
    told = [
        f"{cell},{sample},hg38,{30 + n},{90 + n},{120 + n},A1,B2,C3"
        for n, (cell, sample) in enumerate(zip(frame.index, samples, strict=True))
    ]
    heading = (
        "bc_wells,sample,species,gene_count,tscp_count,mread_count,bc1_well,bc2_well,bc3_well\n"
    )
    put(at / "cell_metadata.csv", heading + lines(told))
    return at


@contract(
    "Parse: all-sample/DGE_filtered", PARSE, halves(PARSED), said="cell_metadata.csv column sample"
)
def _(at: Path) -> Path:
    return parse(at / "exp1/all-sample/DGE_filtered", PARSED, OF_SAMPLES)


@contract("Parse before 1.0: all-well/DGE_filtered with DGE.mtx", PARSE, halves(PARSED))
def _(at: Path) -> Path:
    return parse(at / "exp1/all-well/DGE_filtered", PARSED, OF_SAMPLES, "DGE.mtx")


@contract("Parse: folders of two samples", PARSE, halves(PARSED))
def _(at: Path) -> list[Path]:
    return [
        parse(at / f"exp1/{name}/DGE_filtered", frame, [name] * len(frame))
        for name, frame in halves(PARSED).items()
    ]


@contract("Parse: filtered and unfiltered", PARSE, halves(PARSED))
def _(at: Path) -> Path:
    parse(at / "exp1/all-sample/DGE_filtered", PARSED, OF_SAMPLES)
    empty = _EMPTY.iloc[:20].set_axis([f"{n:02d}_95_96__s1" for n in range(20)])
    parse(
        at / "exp1/all-sample/DGE_unfiltered",
        pd.concat([PARSED, empty]),
        [*OF_SAMPLES, *["ctrl"] * 20],
    )
    put(at / "exp1/all-sample/report/analysis_summary.csv", "statistic,value\ncells,48\n")
    return at / "exp1/all-sample"


@contract(
    "Parse: the whole output, combined and by sample",
    PARSE,
    refusal="Give the path of the one to load|Give each cell once",
)
def _(at: Path) -> Path:
    parse(at / "exp1/all-sample/DGE_filtered", PARSED, OF_SAMPLES)
    for name, frame in halves(PARSED).items():
        parse(at / f"exp1/{name}/DGE_filtered", frame, [name] * len(frame))
    return at / "exp1"


@contract("Parse: anndata.h5ad", PARSE, halves(PARSED))
def _(at: Path) -> Path:
    made = annotated(PARSED, PARSED)
    made.obs["sample"], made.obs["species"] = OF_SAMPLES, "hg38"
    made.var["gene_id"], made.var["genome"] = list(HUMAN.values()), "hg38"
    return save(made, at / "exp1/all-sample/DGE_filtered/anndata.h5ad")


SCALE = "https://scalebio.github.io/ScaleRna-docs/samples-output"


SCALED = halves(PARSED, ("ctrl.QSR-P", "treated.QSR-P"))
"""Samples by the name of the library, too: one sample may have several."""


@contract("ScaleBio: samples/", SCALE, SCALED)
def _(at: Path) -> Path:
    for name, frame in SCALED.items():
        mex(at / f"samples/{name}.filtered.matrix", frame)
        put(
            at / f"samples/{name}.allCells.csv",
            "cell_id,counts,genes,sample\n"
            + lines([f"{cell},90,30,{name}" for cell in frame.index]),
        )
    return at / "samples"


# ---------------------------------------------------------------- BD Rhapsody

BD = "https://bd-rhapsody-bioinfo-docs.genomics.bd.com/outputs/outputs_datatables.html"
BD_TAGS = "https://bd-rhapsody-bioinfo-docs.genomics.bd.com/steps/steps_sample_tag.html"
BD_TOOLS = "https://bd-rhapsody-bioinfo-docs.genomics.bd.com/outputs/outputs_sctools.html"
INDEX = [
    str(number)
    for number in np.sort(
        np.random.default_rng(4).choice(np.arange(1_000, 800_000), N_CELLS, replace=False)
    )
]
OF_BD = TOTAL.set_axis(INDEX)
HEADER = (
    "####################\n## BD Targeted Multiplex Rhapsody Analysis Pipeline Version 1.11\n"
    "## Analysis Date: 2022-03-01\n## Sample: exp\n####################\n"
)
CALLED = [*["ctrl"] * 22, *["treated"] * 20, *["Multiplet"] * 4, *["Undetermined"] * 2]
TAGGED = {name: OF_BD[np.array(CALLED) == name] for name in ("ctrl", "treated")}


def rhapsody_zip(
    at: Path, frame: pd.DataFrame = OF_BD, name: str = "exp_RSEC_MolsPerCell_MEX.zip"
) -> Path:
    """MEX zip: cell indexes, symbols twice, types."""
    listed = [f"{gene}\t{gene}\tGene Expression" for gene in frame]
    antibodies = ADT.set_axis(frame.index).add_suffix(":Clone|Ab|pAbO")
    listed += [f"{name}\t{name}\tAntibody Capture" for name in antibodies]
    return zipped(at / name, mex(at / "unpacked", pd.concat([frame, antibodies], axis=1), listed))


def rhapsody_csv(at: Path) -> Path:
    """Table of cells x genes below comments."""
    return put(at / "exp_RSEC_MolsPerCell.csv", HEADER + OF_BD.rename_axis("Cell_Index").to_csv())


def sample_tags(at: Path) -> None:
    """Table of the sample of each cell, in another order."""
    tags = {"ctrl": "SampleTag01_hs", "treated": "SampleTag02_hs"}
    told = [
        f"{cell},{tags.get(name, name)},{name}" for cell, name in zip(INDEX, CALLED, strict=True)
    ][::-1]
    put(
        at / "exp_Sample_Tag_Calls.csv", f"{HEADER}Cell_Index,Sample_Tag,Sample_Name\n{lines(told)}"
    )
    put(
        at / "exp_Sample_Tag_Metrics.csv",
        f"{HEADER}Sample_Tag,Sample_Name,Raw_Reads\nSampleTag01_hs,ctrl,900\n",
    )


@contract("BD Rhapsody: RSEC_MolsPerCell_MEX.zip", BD, {"exp": OF_BD})
def _(at: Path) -> Path:
    return rhapsody_zip(at)


@contract("BD Rhapsody: RSEC_MolsPerCell.csv", BD, {"exp": OF_BD})
def _(at: Path) -> Path:
    return rhapsody_csv(at)


LEFT_OUT = "Multiplet.*Undetermined"


@contract("BD Rhapsody: MEX.zip beside Sample_Tag_Calls.csv", BD_TAGS, TAGGED, said=LEFT_OUT)
def _(at: Path) -> Path:
    sample_tags(at)
    return rhapsody_zip(at)


@contract("BD Rhapsody: csv beside Sample_Tag_Calls.csv", BD_TAGS, TAGGED, said=LEFT_OUT)
def _(at: Path) -> Path:
    sample_tags(at)
    return rhapsody_csv(at)


@contract(
    "BD Rhapsody: unpacked MEX beside Sample_Tag_Calls.csv, the folder",
    BD_TAGS,
    TAGGED,
    said=LEFT_OUT,
)
def _(at: Path) -> Path:
    mex(
        at / "run/exp_RSEC_MolsPerCell_MEX",
        OF_BD,
        [f"{gene}\t{gene}\tGene Expression" for gene in OF_BD],
    )
    sample_tags(at / "run")
    return at / "run"


@contract("BD Rhapsody: csv and Sample_Tag_Calls.csv, the folder", BD_TAGS, TAGGED, said=LEFT_OUT)
def _(at: Path) -> Path:
    sample_tags(at / "run")
    rhapsody_csv(at / "run")
    put(
        at / "run/exp_Metrics_Summary.csv",
        f"{HEADER}#Sequencing Quality#\nTotal_Reads,Pct\n900,80\n",
    )
    return at / "run"


@contract(
    "BD Rhapsody: filtered and Unfiltered MEX.zip, the folder",
    BD,
    refusal="Give the path of the one to load",
)
def _(at: Path) -> Path:
    rhapsody_zip(at / "run")
    rhapsody_zip(at / "run", name="exp_RSEC_MolsPerCell_Unfiltered_MEX.zip")
    return at / "run"


def mudata(path: Path, **modalities: anndata.AnnData) -> Path:
    """MuData: modalities below mod."""
    with h5py.File(path, "w") as handle:
        handle.attrs["encoding-type"], handle.attrs["encoding-version"] = "MuData", "0.1.0"
        for name, adata in modalities.items():
            part = save(adata, path.with_name("part.h5ad"))
            with h5py.File(part) as given:
                given.copy(given["/"], handle.require_group("mod"), name)
                for slot in ("obs", "var", "obsm", "varm", "uns") if name == "rna" else ():
                    given.copy(given[slot], handle, slot)
            part.unlink()
    return path


def proteins(index: Sequence[str] = CELLS) -> anndata.AnnData:
    return annotated(ADT.set_axis(list(index)), ADT.set_axis(list(index)))


@contract("BD Rhapsody: h5mu with sample tags", BD_TOOLS, TAGGED, said=LEFT_OUT)
def _(at: Path) -> Path:
    made = annotated(OF_BD, OF_BD)
    made.obs["Sample_Tag"], made.obs["Sample_Name"] = [f"tag {name}" for name in CALLED], CALLED
    made.obs["Putative_Cell_Calling_Type"] = "mRNA"
    return mudata(at / "exp.h5mu", rna=made, prot=proteins(INDEX))


# ---------------------------------------------------------------- CellBender

BENDER = "https://cellbender.readthedocs.io/en/latest/reference/index.html"


def bent(path: Path, frame: pd.DataFrame, version: int) -> Path:
    """Output of remove-background with its latent variables."""
    tenx_h5(path, lane(frame))
    rng = np.random.default_rng(0)
    with h5py.File(path, "a") as handle:
        if version == 2:
            group = handle["matrix"]
            group["latent_cell_probability"], group["latent_RT_efficiency"] = (
                rng.random(len(frame)),
                rng.random(len(frame)),
            )
            group["ambient_expression"], group["latent_gene_encoding"] = (
                rng.random(frame.shape[1]),
                np.zeros((len(frame), 5)),
            )
            group["contamination_fraction_params"] = np.array([1.5, 20.0])
        else:
            cells = handle.create_group("droplet_latents")
            cells["cell_probability"], cells["barcode_indices_for_latents"] = (
                np.ones(len(frame)),
                np.arange(len(frame)),
            )
            handle.create_group("global_latents")["ambient_expression"] = np.full(
                frame.shape[1], 1 / frame.shape[1]
            )
            handle.create_group("metadata")["estimator"] = np.array([b"mckp"])
    return path


@contract("CellBender 0.3: the folder", BENDER, ONE)
def _(at: Path) -> Path:
    bent(at / "s1/output.h5", RAW, 3)
    bent(at / "s1/output_filtered.h5", TOTAL, 3)
    with h5py.File(at / "s1/output_posterior.h5", "w") as handle:
        handle["posterior_noise_log_prob"] = np.ones(3)
    put(at / "s1/output_cell_barcodes.csv", lines(lane(TOTAL).index))
    put(at / "s1/output_metrics.csv", "total_raw_counts,11000\nfraction_counts_removed,0.1\n")
    put(at / "s1/output_report.html", "<html></html>")
    put(at / "s1/output.log", "cellbender:remove-background\n")
    put(at / "s1/output.pdf", b"%PDF")
    put(at / "s1/ckpt.tar.gz", b"weights")
    return at / "s1"


@contract("CellBender 0.3: h5 with latents", BENDER, {"s1": lane(TOTAL)})
def _(at: Path) -> Path:
    return bent(at / "s1_cellbender_filtered.h5", TOTAL, 3).rename(at / "s1_cellbender_filtered.h5")


@contract("CellBender 0.2: h5 with latents in the group matrix", BENDER, {"s1": lane(TOTAL)})
def _(at: Path) -> Path:
    return bent(at / "s1_filtered.h5", TOTAL, 2)


@contract(
    "CellBender beside Cell Ranger: the same cells twice", BENDER, refusal="Give each cell once"
)
def _(at: Path) -> list[Path]:
    return [
        bent(at / "s1_cellbender.h5", TOTAL, 3),
        mex(at / "s1/outs/filtered_feature_bc_matrix", lane(MORE)),
    ]


# ---------------------------------------------------------------- other tools

DROPSEQ = (
    "https://github.com/broadinstitute/Drop-seq/blob/master/doc/Drop-seq_Alignment_Cookbook.pdf"
)
DROPS = TOTAL.set_axis(bases(N_CELLS, 12, 12))


def dropseq(at: Path, header: str = "") -> Path:
    """DigitalExpression: genes x cells, with its summary."""
    comments = "## htsjdk.samtools.metrics.StringHeader\n# DigitalExpression INPUT=x.bam\n\n"
    summary = f"{comments}CELL_BARCODE\tNUM_GENIC_READS\tNUM_TRANSCRIPTS\tNUM_GENES\n"
    put(at / "s1.dge.summary.txt", summary + lines([f"{cell}\t90\t80\t30" for cell in DROPS.index]))
    return put(at / "s1.dge.txt.gz", header + DROPS.T.rename_axis("GENE").to_csv(sep="\t"))


@contract("Drop-seq tools: dge.txt.gz", DROPSEQ, {"s1": DROPS})
def _(at: Path) -> Path:
    return dropseq(at)


@contract("Drop-seq tools: dge.txt.gz with header, the folder", DROPSEQ, {"s1": DROPS})
def _(at: Path) -> Path:
    dropseq(at / "run", "#DGE\tVERSION:1.1\tEXPRESSION_FORMAT:raw\n#LIBRARY\tINPUT:x.bam\n")
    return at / "run"


INDROP = TOTAL.set_axis(
    [
        f"lib1.bc{''.join(np.array(list('EHGKLMNP'))[np.random.default_rng(n).integers(0, 8, 6)])}"
        for n in range(N_CELLS)
    ]
)


@contract("inDrops: counts.tsv.gz", "https://github.com/indrops/indrops", {"lib1": INDROP})
def _(at: Path) -> Path:
    return put(at / "lib1.counts.tsv.gz", INDROP.rename_axis("barcode").to_csv(sep="\t"))


UMI_TOOLS = "https://umi-tools.readthedocs.io/en/latest/reference/count.html"


@contract("UMI-tools count: --wide-format-cell-counts", UMI_TOOLS, {"s1": TOTAL})
def _(at: Path) -> Path:
    return put(
        at / "s1.counts.tsv.gz",
        TOTAL.set_axis(list(HUMAN.values()), axis=1).T.rename_axis("gene").to_csv(sep="\t"),
    )


@contract(
    "UMI-tools count: a line for each gene and cell",
    UMI_TOOLS,
    refusal="umi_tools count --wide-format-cell-counts",
)
def _(at: Path) -> Path:
    long = TOTAL.rename_axis("cell").reset_index().melt("cell", var_name="gene", value_name="count")
    told = [f"{HUMAN[gene]}\t{cell}\t{n}" for cell, gene, n in long[long["count"] > 0].to_numpy()]
    return put(at / "s1.counts.tsv.gz", "gene\tcell\tcount\n" + lines(told))


OPTIMUS = "https://broadinstitute.github.io/warp/docs/Pipelines/Optimus_Pipeline/Loom_schema/"


@contract("Optimus: h5ad", OPTIMUS, BARE)
def _(at: Path) -> Path:
    made = annotated(TOTAL)
    made.obs["cell_names"], made.obs["input_id"], made.obs["n_reads"] = (
        list(made.obs_names),
        "uuid-1",
        900,
    )
    made.var["gene_names"], made.var["ensembl_ids"] = (
        list(HUMAN),
        [f"{stable}.3" for stable in HUMAN.values()],
    )
    made.var["n_reads"] = 40
    made.uns["expression_data_type"], made.uns["pipeline_version"] = "exonic", "Optimus_v8.0.0"
    return save(made, at / "s1.h5ad")


@contract("Optimus before 7: loom", OPTIMUS, BARE)
def _(at: Path) -> Path:
    rows = {
        "Gene": list(HUMAN),
        "gene_names": list(HUMAN),
        "ensembl_ids": [f"{stable}.3" for stable in HUMAN.values()],
        "n_reads": [4] * len(HUMAN),
    }
    columns = {
        "CellID": CELLS,
        "cell_names": CELLS,
        "input_id": ["uuid-1"] * N_CELLS,
        "n_reads": [90] * N_CELLS,
    }
    return loom(at / "s1.loom", TOTAL, rows=rows, columns=columns)


@contract(
    "Optimus: sparse_counts.npz",
    "https://broadinstitute.github.io/warp/docs/Pipelines/Optimus_Pipeline/README/",
    refusal=r"load_npz.*write_h5ad",
)
def _(at: Path) -> Path:
    sparse.save_npz(at / "s1_sparse_counts.npz", sparse.csr_matrix(TOTAL.to_numpy()))
    np.save(at / "s1_sparse_counts_row_index.npy", np.array(CELLS))
    np.save(at / "s1_sparse_counts_col_index.npy", np.array(list(HUMAN)))
    return at / "s1_sparse_counts.npz"


DRAGEN = "https://support-docs.illumina.com/SW/dragen_v42/Content/SW/DRAGEN/scRNAOutputs_fDG.htm"


def dragen(at: Path, genes: str = "genes.tsv.gz") -> Path:
    """Filtered and unfiltered matrix with one list of genes."""
    for state, frame in (("", RAW), ("filtered.", TOTAL)):
        put(at / f"s1.scRNA.{state}matrix.mtx.gz", mtx(frame.to_numpy().T))
        put(at / f"s1.scRNA.{state}barcodes.tsv.gz", lines(frame.index))
    put(at / f"s1.scRNA.{genes}", lines([f"{stable}\t{gene}" for gene, stable in HUMAN.items()]))
    put(
        at / "s1.scRNA.barcodeSummary.tsv",
        "ID\tBarcode\tTotalReads\tFilter\n"
        + lines([f"{n}\t{cell}\t90\tPASS" for n, cell in enumerate(CELLS)]),
    )
    put(at / "s1.scRNA_metrics.csv", "RUN,,Invalid barcode read,12\nRUN,,Filtered cell-barcode,8\n")
    return at


@contract("DRAGEN: filtered and unfiltered with one list of genes", DRAGEN, BARE)
def _(at: Path) -> Path:
    return dragen(at / "out")


@contract("DRAGEN: the filtered matrix", DRAGEN, BARE)
def _(at: Path) -> Path:
    return dragen(at / "out") / "s1.scRNA.filtered.matrix.mtx.gz"


@contract(
    "DRAGEN before 4: genes.tsv and one matrix",
    "https://support-docs.illumina.com/SW/DRAGEN_v310/Content/SW/DRAGEN/scRNAOutputs_fDG.htm",
    BARE,
)
def _(at: Path) -> Path:
    put(at / "s1.scRNA.matrix.mtx", mtx(TOTAL.to_numpy().T))
    put(at / "s1.scRNA.barcodes.tsv", lines(CELLS))
    put(at / "s1.scRNA.genes.tsv", lines([f"{stable}\t{gene}" for gene, stable in HUMAN.items()]))
    return at


PIPS = "https://www.fluentbio.com/resources/pipseeker-downloads/"


@contract("PIPseeker: filtered_matrix/sensitivity_3", PIPS, BARE)
def _(at: Path) -> Path:
    return mex(at / "s1/filtered_matrix/sensitivity_3", TOTAL)


@contract(
    "PIPseeker: all sensitivities",
    PIPS,
    refusal="sensitivity_1.*Give the path of the one to load|Give each cell once",
)
def _(at: Path) -> Path:
    for level, n_cells in enumerate((20, 30, 40, 44, 48), start=1):
        mex(at / f"s1/filtered_matrix/sensitivity_{level}", TOTAL.iloc[:n_cells])
    mex(at / "s1/raw_matrix", RAW)
    return at / "s1"


CELESCOPE = "https://github.com/singleron-RD/CeleScope/blob/master/docs/tools/count.md"


@contract(
    "CeleScope 2: outs/filtered and outs/raw", "https://github.com/singleron-RD/CeleScope", BARE
)
def _(at: Path) -> Path:
    mex(at / "s1/outs/filtered", TOTAL)
    mex(at / "s1/outs/raw", RAW)
    put(
        at / "s1/outs/counts.tsv",
        "barcode\tUMI\tcountedU\tmark\n" + lines([f"{cell}\t90\t80\tCB" for cell in CELLS]),
    )
    return at / "s1/outs"


@contract("CeleScope 1: s1_matrix_10X", CELESCOPE, BARE)
def _(at: Path) -> Path:
    listed = [f"{stable}\t{gene}" for gene, stable in HUMAN.items()]
    return mex(at / "s1_matrix_10X", TOTAL, listed, gz="", genes="genes.tsv")


@contract(
    "CITE-seq-Count: umi_count of tags",
    "https://hoohm.github.io/CITE-seq-Count/Reading-the-output/",
    refusal="Give the gene expression",
)
def _(at: Path) -> Path:
    tags = pd.DataFrame(np.random.default_rng(2).poisson(60, (N_CELLS, 4)), CELLS)
    listed = [
        "Hashtag1-ACCCACCAGTAAGAC",
        "Hashtag2-GGTCGAGAGCATTCA",
        "Hashtag3-CTTGCCGCATGTCAT",
        "unmapped",
    ]
    return mex(at / "umi_count", tags, listed)


NFCORE = "https://nf-co.re/scrnaseq/docs/output"


def nfcore(frame: pd.DataFrame, sample: Any) -> anndata.AnnData:
    made = by_id(annotated(frame, frame), "gene_symbol")
    made.obs["sample"] = sample
    return made


@contract(
    "nf-core/scrnaseq: mtx_conversions by sample and combined",
    NFCORE,
    halves(),
    said="combined_filtered_matrix.h5ad",
)
def _(at: Path) -> Path:
    folder = at / "results/alevin/mtx_conversions"
    for name, frame in halves().items():
        for state in ("raw", "filtered"):
            save(nfcore(frame, name), folder / f"{name}/{name}_{state}_matrix.h5ad")
            put(folder / f"{name}/{name}_{state}_matrix.seurat.rds", gzip.compress(b"X\n"))
    save(nfcore(TOTAL, OF_SAMPLES), folder / "combined_filtered_matrix.h5ad")
    save(nfcore(TOTAL, OF_SAMPLES), folder / "combined_raw_matrix.h5ad")
    return folder


NAMED = TOTAL.set_axis([f"{cell}_{sample}" for cell, sample in zip(CELLS, OF_SAMPLES, strict=True)])


@contract("nf-core/scrnaseq: combined_filtered_matrix.h5ad", NFCORE, halves(NAMED))
def _(at: Path) -> Path:
    return save(nfcore(NAMED, OF_SAMPLES), at / "combined_filtered_matrix.h5ad")


# ---------------------------------------------------------------- objects

CXG = "https://github.com/chanzuckerberg/single-cell-curation/blob/main/schema/5.2.0/schema.md"


@contract("CELLxGENE: h5ad, counts in raw.X", CXG, {"atlas": TOTAL}, said="donor_id")
def _(at: Path) -> Path:
    made = by_id(annotated(TOTAL), "feature_name")
    made.var["feature_is_filtered"], made.var["feature_biotype"] = False, "gene"
    made.var["feature_reference"] = "NCBITaxon:9606"
    made.raw = made.copy()
    made.X = sparse.csr_matrix(logged(TOTAL).to_numpy().astype(np.float32))
    made.obs["donor_id"], made.obs["cell_type"], made.obs["assay"] = (
        pd.Categorical(OF_SAMPLES),
        "stromal cell",
        "10x 3' v3",
    )
    made.uns["title"], made.uns["schema_version"] = "an atlas", "5.2.0"
    return save(made, at / "atlas.h5ad")


@contract(
    "HCA matrix service: csv",
    "https://github.com/HumanCellAtlas/matrix-service",
    {"expression": TOTAL},
)
def _(at: Path) -> Path:
    folder = at / "unpacked/project"
    ids = TOTAL.set_axis([f"{stable}.3" for stable in HUMAN.values()], axis=1)
    put(folder / "expression.csv", ids.rename_axis("cellkey").to_csv())
    put(
        folder / "cells.csv",
        "cellkey,genes_detected,total_umis,barcode\n"
        + lines([f"{cell},30,90,{cell}" for cell in CELLS]),
    )
    put(
        folder / "genes.csv",
        "featurekey,featurename,featuretype,chromosome\n"
        + lines([f"{i}.3,{s},protein_coding,1" for s, i in HUMAN.items()]),
    )
    return folder / "expression.csv"


def of_seurat(made: anndata.AnnData) -> anndata.AnnData:
    """Columns that Seurat writes about cells."""
    made.obs["orig.ident"], made.obs["nCount_RNA"], made.obs["nFeature_RNA"] = (
        OF_SAMPLES,
        TOTAL.sum(axis=1).to_numpy(),
        30,
    )
    return made


@contract(
    "SeuratDisk: h5ad, counts in raw",
    "https://mojaveazure.github.io/seurat-disk/reference/Convert.html",
    halves(),
)
def _(at: Path) -> Path:
    made = of_seurat(annotated(TOTAL))
    made.var["features"] = list(HUMAN)
    made.raw = made.copy()
    made = made[:, [gene for gene in HUMAN if gene not in ("PDX1", "CD4")]].copy()
    made.X = logged(TOTAL).loc[:, list(made.var_names)].to_numpy().astype(np.float32)
    return save(made, at / "s1.h5ad")


@contract("sceasy: h5ad, X is data, layer counts", "https://github.com/cellgeni/sceasy", halves())
def _(at: Path) -> Path:
    made = of_seurat(annotated(logged(TOTAL), counts=TOTAL))
    made.var["vst.mean"], made.var["vst.variable"] = 0.5, True
    return save(made, at / "s1.h5ad")


ZELL = "https://bioconductor.org/packages/release/bioc/html/zellkonverter.html"


@contract("zellkonverter: h5ad, X is counts, layer logcounts", ZELL, BARE)
def _(at: Path) -> Path:
    made = annotated(TOTAL, logcounts=logged(TOTAL))
    made.var["ID"], made.var["Symbol"], made.var["Type"] = (
        list(HUMAN.values()),
        list(HUMAN),
        "Gene Expression",
    )
    made.var_names = list(HUMAN.values())
    made.uns["X_name"] = "counts"
    return save(made, at / "s1.h5ad")


@contract(
    "anndataR: h5ad of a Seurat object, X is empty",
    "https://anndatar.data-intuitive.com/articles/usage_seurat.html",
    halves(),
)
def _(at: Path) -> Path:
    return save(of_seurat(annotated(None, counts=TOTAL, data=logged(TOTAL))), at / "s1.h5ad")


DOTTED = TOTAL.set_axis([f"{cell}.1" for cell in CELLS])


@contract(
    "Seurat: table of GetAssayData",
    "https://satijalab.org/seurat/articles/essential_commands",
    {"s1": DOTTED},
)
def _(at: Path) -> Path:
    return put(at / "s1.csv.gz", DOTTED.T.to_csv())


@contract(
    "MuData: h5mu of genes and proteins", "https://mudata.readthedocs.io/latest/io/spec.html", BARE
)
def _(at: Path) -> Path:
    return mudata(at / "s1.h5mu", rna=annotated(TOTAL), prot=proteins())


@contract(
    "SpatialData: table in a zarr store",
    "https://spatialdata.scverse.org/en/stable/design_doc.html",
    BARE,
)
def _(at: Path) -> Path:
    import zarr

    store = at / "s1.zarr"
    zarr.open_group(store, mode="w", zarr_format=2).create_group("images")
    made = annotated(TOTAL)
    made.obs["region"], made.obs["instance_id"] = (
        pd.Categorical(["cells"] * N_CELLS),
        range(N_CELLS),
    )
    with anndata.settings.override(zarr_write_format=2):
        made.write_zarr(store / "tables/table")
    (store / "tables/.zgroup").write_text('{"zarr_format": 2}')
    return store


@contract(
    "AnnData: zarr store", "https://anndata.readthedocs.io/en/stable/fileformat-prose.html", BARE
)
def _(at: Path) -> Path:
    annotated(TOTAL).write_zarr(at / "s1.zarr")
    return at / "s1.zarr"


@contract(
    "AnnData: zarr.zip", "https://zarr.readthedocs.io/en/stable/user-guide/storage.html", BARE
)
def _(at: Path) -> Path:
    annotated(TOTAL).write_zarr(at / "s1.zarr")
    return zipped(at / "s1.zarr.zip", at / "s1.zarr")


@contract("GEO: h5ad.gz", GEO, {"GSE1_all": TOTAL})
def _(at: Path) -> Path:
    plain = save(annotated(TOTAL), at / "plain.h5ad")
    return put(at / "GSE1_all.h5ad.gz", plain.read_bytes())


@contract("GEO: loom.gz", GEO, {"GSE1_all": TOTAL})
def _(at: Path) -> Path:
    plain = loom(at / "plain.loom", TOTAL, rows={"Gene": list(HUMAN)}, columns={"CellID": CELLS})
    return put(at / "GSE1_all.loom.gz", plain.read_bytes())


@contract(
    "velocyto run10x: loom",
    "https://velocyto.org/velocyto.py/tutorial/cli.html",
    {"s1": TOTAL.set_axis([f"s1:{cell}x" for cell in CELLS])},
)
def _(at: Path) -> Path:
    rows = {
        "Gene": list(HUMAN),
        "Accession": list(HUMAN.values()),
        "Chromosome": ["1"] * len(HUMAN),
    }
    return loom(at / "s1.loom", TOTAL, PARTS, rows, {"CellID": [f"s1:{cell}x" for cell in CELLS]})


@contract(
    "scVelo: h5ad with layers spliced and unspliced (X is spliced)",
    "https://scvelo.readthedocs.io/en/stable/getting_started.html",
    BARE,
)
def _(at: Path) -> Path:
    return save(annotated(PARTS["spliced"], **PARTS), at / "s1.h5ad")


# ---------------------------------------------------------------- what is not read


@contract(
    "SeuratDisk: h5Seurat",
    "https://mojaveazure.github.io/seurat-disk/articles/h5Seurat-spec.html",
    refusal=r'SeuratDisk::Convert\("s1.h5Seurat"',
)
def _(at: Path) -> Path:
    with h5py.File(at / "s1.h5Seurat", "w") as handle:
        handle.attrs["active.assay"], handle.attrs["version"] = "RNA", "4.0.0"
        handle["cell.names"] = np.array(CELLS, dtype="S")
        handle["assays/RNA/features"] = np.array(list(HUMAN), dtype="S")
    return at / "s1.h5Seurat"


@contract(
    "BPCells: folder of a matrix",
    "https://bnprks.github.io/BPCells/articles/web-only/how-it-works.html",
    refusal=r"BPCells::write_matrix_10x_hdf5",
)
def _(at: Path) -> Path:
    put(at / "bp/version", "unpacked-uint-matrix-v2\n")
    put(at / "bp/storage_order", "col\n")
    for name in ("col_names", "row_names", "val", "index", "idxptr", "shape"):
        put(at / "bp" / name, b"UINT32v1")
    return at / "bp"


@contract(
    "TileDB-SOMA: experiment",
    "https://tiledbsoma.readthedocs.io/en/latest/python-tiledbsoma-io.html",
    refusal=r"tiledbsoma\.io\.to_h5ad",
)
def _(at: Path) -> Path:
    put(at / "exp/__group/__1_1_abc", b"\x01")
    put(at / "exp/__meta/__1_1_abc", b"\x01")
    put(at / "exp/ms/RNA/X/raw/__schema/__1", b"\x01")
    put(at / "exp/obs/__schema/__1", b"\x01")
    return at / "exp"


@contract("R: qs", "https://github.com/qsbase/qs", refusal=r"saveRDS\(qs::qread")
def _(at: Path) -> Path:
    return put(at / "s1.qs", b"\x0b\x0e\x0a\x0c")


@contract(
    "a spreadsheet of counts",
    "https://www.ncbi.nlm.nih.gov/geo/info/seq.html",
    refusal="save the sheet as csv",
)
def _(at: Path) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return put(at / "counts.xlsx", buffer.getvalue())
