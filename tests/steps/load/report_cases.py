"""The reports: each function makes the files of one report in an empty folder, and says what must come of them."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from reports import (
    MARKERS,
    N_CELLS,
    TEXT,
    Right,
    adata,
    barcodes,
    features,
    h5ad,
    known,
    layer,
    logged,
    loom,
    mtx,
    named,
    put,
    report,
    table,
    tar,
    tenx,
    triple,
    truth,
    variable,
)

from scdiff.genes import annotation

TWICE, PART, POOLED = "same cells twice", "part of the counts", "samples pooled or renamed"
ABSENT, VARIABLE, TRACE = "genes absent", "variable genes preferred", "tracebacks"
SPECIES, READABLE, HOSTILE = "species", "readable files refused", "hostile files"
COUNT_TWICE = "would count twice"
NO_COUNTS = "no matrix.*counts|not counts|whole numbers|integer"


def halves() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two samples of different cells."""
    return truth(1), truth(2)


# ---------------------------------------------------------------- same cells twice


@report("theislab/scvelo#197", TWICE, "of two looms of velocyto 31 of 18,147 cells were left")
def velocyto_looms(folder: Path) -> Right:
    one, two = halves()
    runs = {"T851Q": one, "OB274": two}
    paths = []
    for name, counts in runs.items():
        whole = named(counts, f"possorted_genome_bam_{name}:")
        spliced = whole // 2
        layers = {"spliced": spliced, "unspliced": whole - spliced, "ambiguous": whole * 0}
        paths.append(loom(folder / f"{name}.loom", whole, layers=layers))
    right = {name: named(counts, f"possorted_genome_bam_{name}:") for name, counts in runs.items()}
    return Right(paths, right, also=lambda x: "" if "spliced" in x.layers else "no layer spliced")


@report("mbourgey/scRNA_GBM#2", TWICE, "the files 1of2 and 2of2 of a sample hold the same cells")
def two_halves_that_are_one(folder: Path) -> Right:
    paths = [triple(folder / f"BT364_{part}of2", truth()) for part in (1, 2)]
    return Right(paths, refusal=COUNT_TWICE)


@report("satijalab/seurat#6684", TWICE, "merge adds _1 and _2 to the names of the cells")
def merged_suffixes(folder: Path) -> Right:
    one, two = halves()
    both = pd.concat([named(one, suffix="_1"), named(two.set_axis(one.index, axis=0), suffix="_2")])
    sample = ["HC1"] * N_CELLS + ["HC2"] * N_CELLS
    right = {"HC1": both.iloc[:N_CELLS], "HC2": both.iloc[N_CELLS:]}
    return Right(h5ad(folder / "merged.h5ad", adata(both, sample=sample)), right)


@report("scverse/scanpy#55", TWICE, "barcodes of 12 bases: two samples share some by chance")
def short_barcodes(folder: Path) -> Right:
    names = barcodes(2 * N_CELLS - 4, "", length=12)
    one, two = (
        counts.set_axis(cells, axis=0)
        for counts, cells in zip(halves(), (names[:N_CELLS], names[-N_CELLS:]), strict=True)
    )
    paths = [table(folder / f"data{n}.txt", counts) for n, counts in enumerate((one, two), 1)]
    return Right(paths, {"data1": one, "data2": two})


@report("satijalab/seurat#480", TWICE, "different cells have the same numbers as names")
def numbered_cells(folder: Path) -> Right:
    numbers = [f"cell_{n}" for n in range(N_CELLS)]
    one, two = (counts.set_axis(numbers, axis=0) for counts in halves())
    paths = [table(folder / f"{name}.csv", c, ",") for name, c in (("a", one), ("b", two))]
    return Right(paths, {"a": one, "b": two})


@report("singleron-RD/CeleScope#296", TWICE, "raw and filtered matrices lie next to each other")
def raw_next_to_filtered(folder: Path) -> Right:
    counts = truth()
    empty = truth(5, 300) // 12
    triple(folder / "s1" / "outs" / "filtered_feature_bc_matrix", counts)
    triple(folder / "s1" / "outs" / "raw_feature_bc_matrix", pd.concat([counts, empty]))
    return Right(folder / "s1", {"s1": counts})


@report("linnarsson-lab/loompy#182", TWICE, "a loom and the filtered matrix of the same run")
def loom_and_matrix(folder: Path) -> Right:
    counts = truth()
    bare = [name.removesuffix("-1") for name in counts.index]
    path = loom(folder / "run.loom", counts.set_axis([f"run:{name}x" for name in bare], axis=0))
    matrix = triple(folder / "filtered_feature_bc_matrix", counts)
    return Right([path, matrix], refusal=COUNT_TWICE)


@report("scverse/scirpy#362", TWICE, "samples were joined without making the cells' names unique")
def joined_without_unique_names(folder: Path) -> Right:
    one, two = halves()
    two = two.set_axis(one.index, axis=0)
    sample = ["C141"] * N_CELLS + ["C142"] * N_CELLS
    path = h5ad(folder / "joined.h5ad", adata(pd.concat([one, two]), sample=sample))
    return Right(path, {"C141": one, "C142": two})


@report(
    "r3fang/SnapATAC#102", TWICE, "barcodes repeat because samples were merged; no column says so"
)
def merged_without_a_sample(folder: Path) -> Right:
    one, two = halves()
    both = pd.concat([one, two.set_axis(one.index, axis=0)])
    return Right(h5ad(folder / "merged.h5ad", adata(both)), refusal="twice|more than once|repeat")


# ---------------------------------------------------------------- part of the counts taken for the counts


@report(
    "Single-Cell-Genomics-Group-CNAG-CRG/Tumor-Immune-Cell-Atlas#4",
    PART,
    "X is normalised, raw.X holds the counts",
)
def counts_in_raw(folder: Path) -> Right:
    counts = truth()
    made = adata(counts, logged(counts))
    made.raw = adata(counts)
    return Right(h5ad(folder / "atlas.h5ad", made), {"atlas": counts}, said="raw")


@report("icbi-lab/crc-atlas#3", PART, "X is normalised by quantiles; no matrix holds counts")
def no_counts_at_all(folder: Path) -> Right:
    ranks = logged(truth()).rank() / 17.3
    return Right(h5ad(folder / "crc.h5ad", adata(truth(), ranks)), refusal=NO_COUNTS)


@report("scverse/scanpy#1875", PART, "the slots of Seurat became layers: raw, data, scale.data")
def slots_as_layers(folder: Path) -> Right:
    counts = truth()
    made = adata(counts, logged(counts))
    made.layers["data"], made.layers["raw"] = made.X.copy(), layer(counts)
    made.layers["scale.data"] = (logged(counts) - 1.0).to_numpy(np.float32)
    return Right(h5ad(folder / "s.h5ad", made), {"s": counts}, said="raw")


@report(
    "chanzuckerberg/cellxgene-census#465", PART, "counts are in raw.X in some files, in X in others"
)
def counts_here_and_there(folder: Path) -> Right:
    one, two = halves()
    made = adata(one, logged(one))
    made.raw = adata(one)
    paths = [h5ad(folder / "a.h5ad", made), h5ad(folder / "b.h5ad", adata(two))]
    return Right(paths, {"a": one, "b": two})


@report("samuel-marsh/scCustomize#188", PART, "the counts are in a layer called counts_RNA")
def layer_with_the_name_of_the_assay(folder: Path) -> Right:
    counts = truth()
    made = adata(counts, logged(counts))
    made.layers["counts_RNA"] = layer(counts)
    return Right(h5ad(folder / "s.h5ad", made), {"s": counts}, said="counts_RNA")


@report(
    "czbiohub-sf/tabula-muris-senis#13",
    PART,
    "X is log-normalised and capped at 10; counts are in raw",
)
def capped_values(folder: Path) -> Right:
    counts = truth()
    made = adata(counts, np.minimum(logged(counts), 4.0))
    made.raw = adata(counts)
    return Right(h5ad(folder / "senis.h5ad", made), {"senis": counts}, said="raw")


@report("bjstewart1/kidney_sc_immune#2", PART, "the file holds log-normalised values only")
def log_normalised_is_refused(folder: Path) -> Right:
    return Right(h5ad(folder / "k.h5ad", adata(truth(), logged(truth()))), refusal="recover")


@report("bjstewart1/kidney_sc_immune#2", PART, "... from which the counts follow, if asked")
def log_normalised_is_recovered(folder: Path) -> Right:
    counts = truth()
    path = h5ad(folder / "k.h5ad", adata(counts, logged(counts)))

    def check(loaded: anndata.AnnData) -> str:
        return "" if np.array_equal(loaded.layers["counts"].toarray(), counts) else "differs"

    return Right(path, {"k": counts}, options={"recover": True}, also=check)


@report(
    "satijalab/seurat#2457",
    PART,
    "X holds the counts that SCTransform corrected, a layer the real ones",
)
def corrected_counts(folder: Path) -> Right:
    counts = truth()
    total = counts.sum(axis=1).to_numpy()[:, None]
    made = adata(counts, (counts / total * np.median(total)).round())
    made.layers["counts"] = layer(counts)
    return Right(h5ad(folder / "sct.h5ad", made), {"sct": counts}, said="counts")


@report("broadinstitute/CellBender#334", PART, "some counts are negative")
def negative_counts(folder: Path) -> Right:
    counts = truth()
    counts.iloc[3, 7] = -2
    return Right(h5ad(folder / "n.h5ad", adata(counts)), refusal="negative")


@report("satijalab/seurat#3805", PART, "the table of a cell browser holds Inf")
def infinite_counts(folder: Path) -> Right:
    counts = truth().astype(float)
    counts.iloc[3, 7] = np.inf
    path = table(folder / "exprMatrix.tsv.gz", counts)
    return Right(path, refusal="infinite|inf|not a number|finite")


@report("openproblems-bio/openproblems#680", PART, "the layer counts holds 1.0019583")
def counts_that_are_not_whole(folder: Path) -> Right:
    counts = truth()
    made = adata(counts, logged(counts))
    made.layers["counts"] = layer(counts * 1.0019583)
    return Right(h5ad(folder / "p.h5ad", made), refusal=NO_COUNTS)


@report("satijalab/seurat#9090", PART, "counts after SoupX have decimals")
def decimals_after_soupx(folder: Path) -> Right:
    counts = truth() * 0.97
    text = mtx(counts, "real")
    return Right(triple(folder / "soupx", counts, matrix=text), refusal=NO_COUNTS)


@report("alanocallaghan/scater#88", PART, "a table of counts holds NA")
def missing_counts(folder: Path) -> Right:
    counts = truth().astype(object)
    counts.iloc[3, 7] = "NA"
    return Right(table(folder / "GSE98969.txt", counts), refusal="NaN|missing")


@report("IGS/gEAR#1126", PART, "the values are counts per million")
def counts_per_million(folder: Path) -> Right:
    counts = truth()
    scaled = counts.div(counts.sum(axis=1), axis=0) * 1e6
    return Right(table(folder / "cochlea.tsv", scaled), refusal=NO_COUNTS)


@report("ventolab/Human-Uterus-Cell-Altas_UHCA#3", PART, "X is log2-normalised and raw is empty")
def log2_without_raw(folder: Path) -> Right:
    return Right(h5ad(folder / "u.h5ad", adata(truth(), logged(truth(), 2))), refusal=NO_COUNTS)


@report("giotto-suite/Giotto#105", PART, "the raw matrix has other genes than the filtered one")
def raw_of_other_genes(folder: Path) -> Right:
    counts = truth()
    fewer = counts.iloc[:, ::2]
    droplets = pd.concat([counts, truth(5, 300) // 12])
    tenx(folder / "outs" / "filtered_feature_bc_matrix.h5", fewer)
    tenx(folder / "outs" / "raw_feature_bc_matrix.h5", droplets)
    return Right(folder / "outs", {"given": fewer})


# ---------------------------------------------------------------- samples or donors pooled or renamed


def _merged(prefixes: tuple[str, str]) -> pd.DataFrame:
    one, two = halves()
    return pd.concat([named(one, prefixes[0]), named(two, prefixes[1])])


@report(
    "satijalab/seurat#6783",
    POOLED,
    "orig.ident is SeuratProject; only the cells' names say WT and KO",
)
def one_project_for_all(folder: Path) -> Right:
    both = _merged(("WT_", "KO_"))
    ident = pd.Categorical(["SeuratProject"] * len(both))
    made = adata(both, **{"orig.ident": ident})
    return Right(h5ad(folder / "merged.h5ad", made), {"merged": both}, said="WT.*KO|KO.*WT")


@report(
    "satijalab/seurat#2008", POOLED, "orig.ident is missing after a merge; names start with c9, d9"
)
def no_project(folder: Path) -> Right:
    both = _merged(("c9_", "d9_"))
    return Right(h5ad(folder / "merged.h5ad", adata(both)), {"merged": both}, said="c9.*d9")


@report(
    "satijalab/seurat#4560", POOLED, "the samples of cellranger multi, one of which lost its name"
)
def per_sample_outs(folder: Path) -> Right:
    one, two = halves()
    for name, counts in (("HC_1", one), ("JSS_1", two)):
        at = folder / "outs" / "per_sample_outs" / name / "count"
        triple(at / "sample_filtered_feature_bc_matrix", counts)
    return Right(folder / "outs", {"HC_1": one, "JSS_1": two})


@report("satijalab/seurat#9475", POOLED, "cells of several days in one object, one sample a day")
def days_in_one_object(folder: Path) -> Right:
    one, two = halves()
    both = pd.concat([one, two])
    day = ["d3"] * N_CELLS + ["d7"] * N_CELLS
    made = adata(both, sample=[f"s_{name}" for name in day], day=day)

    def check(loaded: anndata.AnnData) -> str:
        found = list(dict.fromkeys(loaded.obs["day"]))
        return "" if found == [3.0, 7.0] else f"days {found}"

    return Right(h5ad(folder / "days.h5ad", made), {"s_d3": one, "s_d7": two}, also=check)


@report("scverse/scanpy#3601", POOLED, "GSE136103_RAW/: one folder for each sample")
def folders_of_an_archive(folder: Path) -> Right:
    one, two = halves()
    for name, counts in (("GSM4041150_healthy1", one), ("GSM4041161_cirrhotic1", two)):
        triple(
            folder / "GSE136103_RAW" / name,
            counts,
            names="genes.tsv",
            gz="",
            genes=features(counts, ("id", "name")),
        )
    right = {"GSM4041150_healthy1": one, "GSM4041161_cirrhotic1": two}
    return Right(folder / "GSE136103_RAW", right)


@report(
    "zhangzlab/covid_balf#5",
    POOLED,
    "h5 files of one sample each, named GSM..._filtered_feature_bc_matrix.h5",
)
def h5_files_of_geo(folder: Path) -> Right:
    one, two = halves()
    for name, counts in (("GSM4339769_C141", one), ("GSM4339770_C142", two)):
        tenx(folder / f"{name}_filtered_feature_bc_matrix.h5", counts)
    return Right(folder, {"GSM4339769_C141": one, "GSM4339770_C142": two})


@report(
    "scverse/scanpy#3214",
    POOLED,
    "the files of several samples in one folder, told apart by a prefix",
)
def prefixes_in_one_folder(folder: Path) -> Right:
    one, two = halves()
    for name, counts in (("GSM6567157_PDAC1", one), ("GSM6567159_PDAC2", two)):
        triple(folder / "GSE212966", counts, prefix=f"{name}_")
    return Right(folder / "GSE212966", {"GSM6567157_PDAC1": one, "GSM6567159_PDAC2": two})


@report("satijalab/seurat#8300", POOLED, "one sample in the folder, its files with a prefix of GEO")
def one_prefix(folder: Path) -> Right:
    counts = truth()
    triple(folder / "x", counts, prefix="GSM4710689_PDAC_TISSUE_1_")
    return Right(folder / "x", {"GSM4710689_PDAC_TISSUE_1": counts})


@report("scverse/scirpy#331", POOLED, "ten runs of cellranger count in one folder")
def ten_runs(folder: Path) -> Right:
    runs = {f"run{n:02d}": truth(n, 40) for n in range(1, 11)}
    for name, counts in runs.items():
        triple(folder / name / "outs" / "filtered_feature_bc_matrix", counts)
    return Right(folder, runs)


@report("satijalab/seurat#432", POOLED, "after a merge of six tables cells were missing")
def six_tables(folder: Path) -> Right:
    runs = {
        f"R_{n}_DGE_matrix-3000_reads": truth(n).set_axis(barcodes(N_CELLS, "", n, 12), axis=0)
        for n in (1067, 1340, 1406, 1505, 1539, 1560)
    }
    paths = [table(folder / f"{name}.txt", counts) for name, counts in runs.items()]
    return Right(paths, runs)


@report("wheaton5/souporcell#168", POOLED, "cells of three samples, told apart by -1, -2, -3 alone")
def numbers_of_the_library(folder: Path) -> Right:
    bare = [name.removesuffix("-1") for name in truth().index]
    parts = [truth(n).set_axis([f"{name}-{n}" for name in bare], axis=0) for n in (1, 2, 3)]
    both = pd.concat(parts)
    return Right(
        tenx(folder / "merged.h5", both),
        {"merged": both},
        said="end in the numbers of 3 wells or samples .1, 2, 3.",
    )


@report("scverse/scanpy#1409", POOLED, "GSE132188_RAW: an archive for each sample")
def archives_of_samples(folder: Path) -> Right:
    one, two = halves()
    paths = []
    for name, counts in (("GSM3852752_E12_5_counts", one), ("GSM3852753_E13_5_counts", two)):
        triple(
            folder / name, counts, names="genes.tsv", gz="", genes=features(counts, ("id", "name"))
        )
        paths.append(tar(folder / f"{name}.tar.gz", folder / name))
    right = {"GSM3852752_E12_5_counts": one, "GSM3852753_E13_5_counts": two}
    return Right(paths, right)


# ---------------------------------------------------------------- genes said to be absent


@report("scverse/scanpy#2053", ABSENT, "genes.tsv has one column")
def one_column(folder: Path) -> Right:
    counts = truth()
    genes = features(counts, ("name",))
    return Right(
        triple(folder / "Carraro", counts, names="genes.tsv", gz="", genes=genes),
        {"Carraro": counts},
    )


@report("bvaldebenitom/SoloTE#22", ABSENT, "features.tsv has no column of types")
def two_columns(folder: Path) -> Right:
    counts = truth()
    genes = features(counts, ("name", "name"))
    return Right(triple(folder / "solote", counts, gz="", genes=genes), {"solote": counts})


@report("scverse/scanpy#1408", ABSENT, "genes.tsv.gz of an old Cell Ranger, called features.tsv.gz")
def genes_called_features(folder: Path) -> Right:
    counts = truth()
    return Right(
        triple(folder / "old", counts, genes=features(counts, ("id", "name"))), {"old": counts}
    )


@report("satijalab/seurat#6289", ABSENT, "genes.tsv.gz: the old name, gzipped")
def gzipped_genes(folder: Path) -> Right:
    counts = truth()
    genes = features(counts, ("id", "name"))
    return Right(triple(folder / "old", counts, names="genes.tsv", genes=genes), {"old": counts})


@report("broadinstitute/CellBender#56", ABSENT, "an h5 file without feature_type")
def h5_without_types(folder: Path) -> Right:
    counts = truth()
    return Right(tenx(folder / "s.h5", counts, kinds=()), {"s": counts})


@report("biothings/mygene.info#137", ABSENT, "genes are named by Ensembl ids with a version")
def versions_of_ids(folder: Path) -> Right:
    counts = truth()
    ids = [f"{known()[name]}.{place % 19 + 1}" for place, name in enumerate(counts)]
    path = h5ad(folder / "v.h5ad", adata(counts.set_axis(ids, axis=1)))
    return Right(path, {"v": counts}, said="Ensembl id")


@report("lgeistlinger/EnrichmentBrowser#24", ABSENT, "ids with a version in a table of text")
def versions_in_a_table(folder: Path) -> Right:
    counts = truth()
    ids = [f"{known()[name]}.14" for name in counts]
    return Right(table(folder / "v.tsv", counts.set_axis(ids, axis=1)), {"v": counts})


@report(
    "chanzuckerberg/single-cell-curation#188",
    ABSENT,
    "the symbol of some genes is the id of another",
)
def symbols_that_are_ids(folder: Path) -> Right:
    counts = truth()
    symbols = list(counts.columns)
    symbols[5] = "ENSG10010139884.1"
    made = adata(counts.set_axis([known()[name] for name in counts], axis=1))
    made.var["feature_name"] = symbols
    return Right(h5ad(folder / "c.h5ad", made), {"c": counts})


@report(
    "uc-bd2k/GREIN#9",
    ABSENT,
    "mitochondrial genes are called COX1, ND5, CYTB, or MT-CO1 under another name",
)
def former_names(folder: Path) -> Right:
    counts = truth()
    formerly = counts.rename(columns={"INS": "proinsulin", "PDX1": "IPF1", "NEUROG3": "NGN3"})
    return Right(
        h5ad(folder / "g.h5ad", adata(formerly)),
        {"g": counts.rename(columns={"INS": "proinsulin"})},
        said="IPF1 is PDX1",
    )


@report(
    "scverse/scanpy#65", ABSENT, "R wrote A1BG.AS1 for A1BG-AS1; cells are called lymph_1--Cell_1"
)
def dots_for_hyphens(folder: Path) -> Right:
    counts = truth().rename(columns={"NKX6-1": "NKX6.1"})
    cells = [f"lymph_{n % 2 + 1}--Cell_{n}" for n in range(N_CELLS)]
    counts = counts.set_axis(cells, axis=0)
    path = table(folder / "t.tsv", counts, index_label="Gene_symbol")
    return Right(path, {"t": counts.rename(columns={"NKX6.1": "NKX6-1"})}, said="NKX6")


# ---------------------------------------------------------------- variable genes preferred


def _lists_all(loaded: anndata.AnnData) -> str:
    absent = list(loaded.uns["scdiff"]["input"]["absent"])
    return f"absent: {absent}" if absent else ""


@report("scverse/scanpy#826", VARIABLE, "X holds the counts of variable genes, raw those of all")
def variable_counts(folder: Path) -> Right:
    counts = truth()
    made = adata(counts[variable()])
    made.raw = adata(counts)
    return Right(h5ad(folder / "v.h5ad", made), {"v": counts}, said="raw", also=_lists_all)


@report(
    "scverse/scanpy#438",
    VARIABLE,
    "X and the layer are of variable genes, raw is of all and holds counts",
)
def variable_layers(folder: Path) -> Right:
    counts = truth()
    made = adata(counts[variable()], logged(counts)[variable()])
    made.layers["counts"] = layer(counts[variable()])
    made.raw = adata(counts)
    return Right(h5ad(folder / "v.h5ad", made), {"v": counts}, said="raw", also=_lists_all)


@report("scverse/scanpy#2098", VARIABLE, "other genes were discarded: some markers have no row")
def others_discarded(folder: Path) -> Right:
    counts = truth()[variable()]

    def check(loaded: anndata.AnnData) -> str:
        absent = set(loaded.uns["scdiff"]["input"]["absent"])
        return "" if absent == set(MARKERS) - set(variable()) else f"absent: {absent}"

    return Right(h5ad(folder / "v.h5ad", adata(counts)), {"v": counts}, also=check)


@report(
    "omicverse/omicverse#246",
    VARIABLE,
    "3,000 variable genes have counts; raw of all genes is normalised",
)
def raw_is_normalised(folder: Path) -> Right:
    counts = truth()
    made = adata(counts[variable()], logged(counts)[variable()])
    made.layers["counts"] = layer(counts[variable()])
    made.raw = adata(counts, logged(counts))
    right = {"v": counts[variable()]}
    return Right(h5ad(folder / "v.h5ad", made), right, said="raw")


@report(
    "theislab/zellkonverter#135",
    VARIABLE,
    "X is scaled, of variable genes; raw is log-normalised, of all",
)
def scaled_variable(folder: Path) -> Right:
    counts = truth()
    values = logged(counts)[variable()]
    made = adata(counts[variable()], (values - values.mean()) / values.std().clip(lower=0.1))
    made.raw = adata(counts, logged(counts))
    return Right(h5ad(folder / "v.h5ad", made), refusal="raw")


@report(
    "theislab/zellkonverter#135",
    VARIABLE,
    "... from which the counts of all genes follow, if asked",
)
def recovered_from_raw(folder: Path) -> Right:
    counts = truth()
    made = adata(counts[variable()], logged(counts)[variable()])
    made.raw = adata(counts, logged(counts))
    path = h5ad(folder / "v.h5ad", made)
    return Right(path, {"v": counts}, options={"recover": True}, also=_lists_all)


# ---------------------------------------------------------------- tracebacks


@report(
    "linnarsson-lab/loompy#171",
    TRACE,
    "attributes of the cells of compound type, and of Python objects",
)
def compound_attributes(folder: Path) -> Right:
    counts = truth()
    path = loom(folder / "s.loom", counts)
    with h5py.File(path, "a") as file:
        places = np.zeros(N_CELLS, dtype=[("_X", "<f8"), ("_Y", "<f8")])
        file["col_attrs/Embedding"], file["col_attrs/Embeddings_X"] = places, places[["_X"]]
    return Right(path, {"s": counts})


@report("scverse/anndata#563", TRACE, "an h5ad of 2018: the tables are compound data sets")
def compound_tables(folder: Path) -> Right:
    counts = truth()
    path = folder / "e15.h5ad"
    matrix = layer(counts)
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", counts.shape
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        for name, listed in (("obs", counts.index), ("var", counts.columns)):
            file[name] = np.array([(one.encode(),) for one in listed], dtype=[("index", "S30")])
    return Right(path, {"e15": counts})


@report("scverse/anndata#731", TRACE, "categories are in __categories, as before anndata 0.8")
def old_categories(folder: Path) -> Right:
    one, two = halves()
    both = pd.concat([one, two])
    path = h5ad(folder / "old.h5ad", adata(both))
    with h5py.File(path, "a") as file:
        obs = file["obs"]
        obs.attrs["column-order"], obs.attrs["encoding-version"] = (
            np.array(["sample"], dtype=object),
            "0.1.0",
        )
        obs.create_dataset("__categories/sample", data=["a", "b"], dtype=TEXT)
        obs["sample"] = np.repeat(np.array([0, 1], dtype=np.int8), N_CELLS)
        obs["sample"].attrs["categories"] = obs["__categories/sample"].ref
    return Right(path, {"a": one, "b": two})


@report("scverse/anndata#1051", TRACE, "JHDF5 left a group of named types in the file")
def named_types(folder: Path) -> Right:
    counts = truth()
    path = h5ad(folder / "j.h5ad", adata(counts))
    with h5py.File(path, "a") as file:
        file["__DATA_TYPES__/Enum_Boolean"] = np.dtype("i1")
    return Right(path, {"j": counts})


@report("scverse/scanpy#102", TRACE, "a categorical column with one number as its category")
def one_category(folder: Path) -> Right:
    counts = truth()
    made = adata(counts, single_cat=pd.Categorical([1] * N_CELLS))
    return Right(h5ad(folder / "c.h5ad", made), {"c": counts})


@report("GuoBioinfoLab/STCAT#8", TRACE, "a file of a newer anndata, with an unknown kind of entry")
def newer_encoding(folder: Path) -> Right:
    counts = truth()
    path = h5ad(folder / "n.h5ad", adata(counts))
    with h5py.File(path, "a") as file:
        odd = file.create_group("uns/log1p")
        odd.attrs["encoding-type"], odd.attrs["encoding-version"] = "from-the-future", "9.9.9"
    return Right(path, {"n": counts})


@report("jmbreda/Sanity#6", TRACE, "matrix.mtx was not copied completely")
def half_a_matrix(folder: Path) -> Right:
    text = mtx(truth())
    path = triple(folder / "pbmc", truth(), matrix=text[: len(text) // 2], gz="")
    return Right(path, refusal="truncated|incomplete|lines|entries|values")


@report("cellatlas/human#1", TRACE, "2,802 columns, but 3,790 barcodes")
def too_many_barcodes(folder: Path) -> Right:
    counts = truth()
    path = triple(folder / "adipose", counts, gz="")
    put(path / "barcodes.tsv", "\n".join([*counts.index, *barcodes(9, seed=50)]) + "\n")
    return Right(path, refusal="80.*89|89.*80")


@report("alexdobin/STAR#1818", TRACE, "the matrix has fewer rows than the list of features")
def too_many_features(folder: Path) -> Right:
    counts = truth()
    genes = features(counts) + "ENSG00000000457\tSCYL3\tGene Expression\n"
    return Right(triple(folder / "SJ", counts, genes=genes), refusal="300.*301|301.*300")


@report("IGS/gEAR#628", TRACE, "the transfer of an h5ad was cut off")
def cut_h5ad(folder: Path) -> Right:
    path = h5ad(folder / "cut.h5ad", adata(truth()))
    path.write_bytes(path.read_bytes()[:-4000])
    return Right(path, refusal="truncated|incomplete|damaged")


@report("dchary/ucdeconvolve#22", TRACE, "what was saved as h5ad is the page of an error")
def page_of_an_error(folder: Path) -> Right:
    path = put(folder / "d.h5ad", "<html><body>504 Gateway Time-out</body></html>")
    return Right(path, refusal=r"d\.h5ad.*(HDF5|web page|HTML|not a)")


@report("apache/systemds#2104", TRACE, "the header counts other entries than there are")
def wrong_number_of_entries(folder: Path) -> Right:
    lines = mtx(truth()).splitlines(keepends=True)
    text = "".join([*lines[:2], "300 80 24000\n", *lines[3:]])
    return Right(triple(folder / "m", truth(), matrix=text), refusal="24.?000")


@report("dmcable/spacexr#9", TRACE, "a table without a header loses its first cell")
def no_header(folder: Path) -> Right:
    path = put(folder / "h.csv", truth().T.to_csv(header=False))
    return Right(path, refusal="lacks the names of its columns")


@report("satijalab/seurat#967", TRACE, "a gene has no name, in a table")
def gene_without_a_name(folder: Path) -> Right:
    counts = truth()
    counts.columns = ["" if name == "INS" else name for name in counts]
    return Right(table(folder / "n.csv", counts, ","), refusal=r"n\.csv: 1 genes have no name")


# ---------------------------------------------------------------- species


@report("sqjin/CellChat#576", SPECIES, "zebrafish, by its Ensembl ids")
def zebrafish_ids(folder: Path) -> Right:
    counts = truth().rename(columns=str.lower)
    made = adata(counts)
    made.var["gene_ids"] = [f"ENSDARG{n:011d}" for n in range(counts.shape[1])]
    return Right(h5ad(folder / "z.h5ad", made), refusal="zebrafish")


@report(
    "chanzuckerberg/single-cell-curation#995", SPECIES, "zebrafish of CELLxGENE: ids in the index"
)
def zebrafish_of_cellxgene(folder: Path) -> Right:
    counts = truth()
    ids = [f"ENSDARG{n:011d}" for n in range(counts.shape[1])]
    made = adata(counts.set_axis(ids, axis=1))
    made.var["feature_name"] = [name.lower() for name in counts]
    return Right(h5ad(folder / "z.h5ad", made), refusal="zebrafish")


@report("ggjlab/cell_landscape#2", SPECIES, "names of zebrafish genes that no id explains")
def names_of_no_known_species(folder: Path) -> Right:
    odd = [f"zgc:{n + 10000}" if n % 2 else f"FO{n + 704000}.1" for n in range(300)]
    path = table(folder / "dge.txt", truth().set_axis(odd, axis=1))
    return Right(path, refusal="hardly any")


@report("vib-singlecell-nf/vsn-pipelines#269", SPECIES, "rat: its symbols look like those of mouse")
def rat(folder: Path) -> Right:
    of = annotation("rat").symbols
    chosen = {name: of[name] for name in list(of)[:: len(of) // 290]}
    chosen |= {name: symbol for name, symbol in of.items() if symbol in ("Ins1", "Ins2", "Pdx1")}
    listed = list({symbol: name for name, symbol in chosen.items()}.items())[:300]
    counts = truth().iloc[:, : len(listed)].set_axis([symbol for symbol, _ in listed], axis=1)
    genes = "".join(f"{name}\t{symbol}\tGene Expression\n" for symbol, name in listed)

    def check(loaded: anndata.AnnData) -> str:
        return "" if loaded.uns["scdiff"]["input"]["species"] == "rat" else "not rat"

    return Right(triple(folder / "rat", counts, genes=genes), {"rat": counts}, also=check)


# ---------------------------------------------------------------- readable files refused


@report(
    "satijalab/seurat-wrappers#115",
    READABLE,
    "kb writes the loom with barcode and gene_name in place of CellID and Gene",
)
def loom_of_kb(folder: Path) -> Right:
    counts = truth()
    path = loom(folder / "adata.loom", counts, gene="gene_name", cell="barcode")
    return Right(path, {"given": counts})


@report("pachterlab/kb_python#182", READABLE, "kb writes the loom with barcode and target_name")
def loom_of_newer_kb(folder: Path) -> Right:
    counts = truth()
    path = loom(folder / "adata.loom", counts, gene="target_name", cell="barcode")
    return Right(path, {"given": counts})


@report(
    "linnarsson-lab/loompy#181", READABLE, "cell_names and gene_names; no version of the format"
)
def loom_without_version(folder: Path) -> Right:
    counts = truth()
    path = loom(
        folder / "GSM4878541_umi_hCEP_1.loom",
        counts,
        gene="gene_names",
        cell="cell_names",
        attrs=False,
    )
    return Right(path, {"GSM4878541_umi_hCEP_1": counts})


@report("cellgeni/sceasy#31", READABLE, "sceasy leaves out the group attrs")
def loom_of_sceasy(folder: Path) -> Right:
    counts = truth()
    return Right(loom(folder / "ldat.loom", counts, attrs=False), {"ldat": counts})


@report(
    "sdparekh/zUMIs#175",
    READABLE,
    "zUMIs writes whole numbers as integers, without groups of graphs",
)
def loom_of_zumis(folder: Path) -> Right:
    counts = truth()
    path = loom(folder / "exon.loom", counts, attrs=False)
    with h5py.File(path, "a") as file:
        for name in ("layers", "row_graphs", "col_graphs", "matrix"):
            del file[name]
        file["matrix"] = counts.to_numpy().T.astype(np.int32)
    return Right(path, {"exon": counts})


@report("vkostyukov/la4j#127", READABLE, "comments after the header, and values such as 1.0")
def comments_and_decimals(folder: Path) -> Right:
    counts = truth()
    text = mtx(counts, "real", "% genes cells entries\n% made by a script\n", ".0")
    return Right(triple(folder / "m", counts, matrix=text), {"m": counts})


@report("ginkgo-project/ginkgo#1557", READABLE, "lines end as on Windows")
def windows_lines(folder: Path) -> Right:
    counts = truth()
    path = triple(folder / "w", counts, gz="")
    for file in path.iterdir():
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    return Right(path, {"w": counts})


@report("scipy/scipy#3896", READABLE, "the words of the header in another case")
def case_of_the_header(folder: Path) -> Right:
    counts = truth()
    text = mtx(counts).replace(
        "matrix coordinate integer general", "MATRIX Coordinate Integer General"
    )
    return Right(triple(folder / "m", counts, matrix=text), {"m": counts})


@report("satijalab/seurat#967", READABLE, "gene names repeat in a csv file")
def repeated_genes(folder: Path) -> Right:
    counts = truth()
    double = pd.concat([counts, counts[["VIM" if "VIM" in counts else counts.columns[9]]]], axis=1)
    again = double.columns[-1]
    right = counts.assign(**{again: counts[again] * 2})
    return Right(table(folder / "d.csv", double, ","), {"d": right}, said="several rows")


@report(
    "satijalab/seurat#5145",
    READABLE,
    "a csv file with quotes and without a name for its first column",
)
def quoted_csv(folder: Path) -> Right:
    counts = truth()
    return Right(table(folder / "q.csv", counts, ",", quoting=1), {"q": counts})


@report(
    "showteeth/GEfetch2R#9",
    READABLE,
    "featureCounts puts Chr, Start, End, Strand and Length before the cells",
)
def featurecounts(folder: Path) -> Right:
    counts = truth()
    frame = counts.T.rename_axis("Geneid")
    columns = {
        "Chr": "1;1",
        "Start": "11869;12613",
        "End": "12227;12721",
        "Strand": "+;+",
        "Length": 467,
    }
    for place, (name, value) in enumerate(columns.items()):
        frame.insert(place, name, value)
    path = put(folder / "GSE182219.txt", frame.to_csv(sep="\t"))
    return Right(path, {"GSE182219": counts})


@report("honzee/RNAseqCNV#18", READABLE, "featureCounts writes its command in the first line")
def command_in_the_first_line(folder: Path) -> Right:
    counts = truth()
    frame = counts.T.rename_axis("Geneid")
    for place, name in enumerate(("Chr", "Start", "End", "Strand", "Length")):
        frame.insert(place, name, 467 if name == "Length" else "1")
    head = '# Program:featureCounts v2.0.1; Command:"featureCounts" "-T" "10" "-o" "read.count"\n'
    path = put(folder / "read.tsv", head + frame.to_csv(sep="\t"))
    return Right(path, {"read": counts})


def join_features(counts: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Counts, with other features of the same cells behind the genes."""
    others = truth(4).iloc[:, : len(names)].to_numpy()
    return pd.concat([counts, pd.DataFrame(others, counts.index, names)], axis=1)


@report("satijalab/seurat#1872", READABLE, "genes and hashtags in one h5 file")
def hashtags(folder: Path) -> Right:
    counts = truth()
    kinds = ["Gene Expression"] * 300 + ["Antibody Capture"] * 4
    every = join_features(counts, ["N5", "N6", "N7", "N8"])
    return Right(tenx(folder / "s.h5", every, kinds), {"s": counts}, said="Antibody")


@report("plasslab/SCALPEL#30", READABLE, "multiome: genes and peaks in one matrix")
def genes_and_peaks(folder: Path) -> Right:
    counts = truth()
    kinds = ["Gene Expression"] * 300 + ["Peaks"] * 250
    every = join_features(counts, [f"chr1:{n * 900}-{n * 900 + 500}" for n in range(250)])
    return Right(tenx(folder / "s.h5", every, kinds), {"s": counts}, said="Peaks")


@report("wguo-research/scCancer#7", READABLE, "antibodies with the names of genes in a 10x folder")
def antibodies(folder: Path) -> Right:
    counts, names = truth(), ["PDX1", "CD3", "CD8"]
    genes = features(counts) + "".join(f"{name}\t{name}\tAntibody Capture\n" for name in names)
    path = triple(folder / "cite", join_features(counts, names), genes=genes)
    return Right(path, {"cite": counts}, said="Antibody")


# ---------------------------------------------------------------- hostile files


class _Trap:
    """An object whose unpickling writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (io.open, (str(self.path), "w"))


@report("python/cpython#80090", HOSTILE, "a zip file whose entries lie outside of it")
def outside_of_the_zip(folder: Path) -> Right:
    path = folder / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped/matrix.mtx", mtx(truth()))
        archive.writestr("../../escaped/barcodes.tsv", "\n".join(truth().index))
        archive.writestr("../../escaped/features.tsv", features(truth()))
    return Right(path, refusal=r"z\.zip", unwritten=folder.parent / "escaped")


@report("MemTensor/MemOS#2203", HOSTILE, "a tar file with a link to a file outside of it")
def link_in_a_tar(folder: Path) -> Right:
    outside = put(folder.parent / "secret" / "matrix.mtx", mtx(truth()))
    path = folder / "t.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("s/matrix.mtx")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        archive.addfile(link)
        for name, text in (
            ("barcodes.tsv", "\n".join(truth().index)),
            ("features.tsv", features(truth())),
        ):
            entry = tarfile.TarInfo(f"s/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return Right(path, refusal=r"t\.tar")


@report("hdmf-dev/hdmf-zarr#385", HOSTILE, "a zarr array whose codec is pickle")
def pickle_in_a_zarr(folder: Path) -> Right:
    counts = truth()
    path = folder / "p.zarr"
    adata(counts).write_zarr(path)
    at = path / "uns" / "odd"
    at.mkdir(parents=True)
    kind = {"chunks": [1], "compressor": None, "dtype": "|O", "fill_value": None, "order": "C"}
    codecs = {"filters": [{"id": "json2"}, {"id": "pickle"}], "shape": [1], "zarr_format": 2}
    put(at / ".zarray", json.dumps(kind | codecs))
    put(at / "0", pickle.dumps(_Trap(folder.parent / "sprung")))

    return Right(path, refusal="pickle", unwritten=folder.parent / "sprung")


@report("numpy/numpy#27761", HOSTILE, "an array of pickled objects")
def pickled_array(folder: Path) -> Right:
    data = pickle.dumps(_Trap(folder.parent / "sprung"))
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    path = put(folder / "counts.npy", b"\x93NUMPY\x01\x00v\x00" + head + data)
    return Right(path, refusal=r"counts\.npy", unwritten=folder.parent / "sprung")
