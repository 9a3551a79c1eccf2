"""Genes by whatever they are called: genome names before them, ids pasted to them, names in another column, or none at all."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from identified import IDS, said
from scipy import sparse

from scdiff.errors import InputError
from scdiff.steps.load.checks.called import compute_known_share, find_gene_names
from scdiff.steps.load.step import load, look_at, plan_inputs

MOUSE = {"Ins1": "ENSMUSG00000035804", "Pdx1": "ENSMUSG00000029644", "Actb": "ENSMUSG00000029580"}
HUMAN_COUNTS = np.random.default_rng(0).poisson(4.0, (20, 6)) + 1
MOUSE_COUNTS = np.random.default_rng(1).poisson(
    np.where(np.arange(20) < 3, 40.0, 0.3)[:, None], (20, 3)
)


def made(
    names: list[str], values: np.ndarray = HUMAN_COUNTS, **columns: list[str]
) -> anndata.AnnData:
    """An object whose genes have these names and columns."""
    var = pd.DataFrame(columns, index=names)
    cells = [
        f"{'ACGT'[n % 4]}TTGACAACGTTGCAT{'ACGT'[n // 4 % 4]}{'GC'[n // 16]}-1"
        for n in range(len(values))
    ]
    return anndata.AnnData(
        sparse.csr_matrix(values.astype(np.float32)), pd.DataFrame(index=cells), var
    )


def loaded(folder: Path, adata: anndata.AnnData, **options: str) -> anndata.AnnData:
    """Write and load."""
    adata.write_h5ad(folder / "a.h5ad")
    return load([folder / "a.h5ad"], **options)


def is_right(adata: anndata.AnnData) -> bool:
    """Whether the counts stand at the right symbols, with their ids."""
    found = pd.DataFrame(adata.layers["counts"].toarray(), columns=adata.var_names)
    return sorted(found) == sorted(IDS) and bool(
        (found[list(IDS)].to_numpy() == HUMAN_COUNTS).all()
    )


# ---------------------------------------------------------------- genomes


@pytest.mark.parametrize(
    "mark",
    [
        "GRCh38_",
        "GRCh38______",
        "GRCh38-",
        "hg19_",
        "hg38_",
        "GRCh38.p13_",
        "GRCh38_premrna_",
        "GRCh38.",
        "HUMAN_",
        "hg19:",
    ],
)
def test_one_genome_is_cut_off(tmp_path, mark) -> None:
    """scverse/scanpy#2393: Cell Ranger puts the genome before id and symbol; Seurat turns _ into -."""
    adata = loaded(
        tmp_path,
        made(
            [f"{mark}{name}" for name in IDS],
            gene_ids=[f"{mark}{stable}" for stable in IDS.values()],
        ),
    )
    assert is_right(adata)
    assert list(adata.var["gene_id"]) == list(IDS.values())
    assert "was removed from the names of 6 genes" in said(adata)


def barnyard(marks: tuple[str, str] = ("GRCh38_", "mm10___")) -> anndata.AnnData:
    """Human cells, three of them mouse ones, on a mixed reference."""
    names = [*(f"{marks[0]}{name}" for name in IDS), *(f"{marks[1]}{name}" for name in MOUSE)]
    return made(names, np.hstack([HUMAN_COUNTS, MOUSE_COUNTS]))


def test_of_two_genomes_one_is_taken_and_the_share_of_the_other_reported(tmp_path) -> None:
    adata = loaded(tmp_path, barnyard(), species="human")
    assert is_right(adata)
    share = MOUSE_COUNTS.sum(axis=1) / (MOUSE_COUNTS.sum(axis=1) + HUMAN_COUNTS.sum(axis=1))
    np.testing.assert_allclose(adata.obs["share_mm10"], share)
    assert "mm10 has" in said(adata)
    assert "more than half in 3 of 20 cells, which were kept" in said(adata)


def test_genomes_may_be_called_by_their_species(tmp_path) -> None:
    """GSE100866 (CITE-seq of cord blood): HUMAN_ and MOUSE_ before the symbols."""
    assert is_right(loaded(tmp_path, barnyard(("HUMAN_", "MOUSE_")), species="human"))


def test_the_asked_genome_is_taken(tmp_path) -> None:
    adata = loaded(tmp_path, barnyard(), species="mouse")
    assert list(adata.var_names) == list(MOUSE)
    assert "share_GRCh38" in adata.obs


def test_a_genome_before_few_genes_stays_and_is_said(tmp_path) -> None:
    adata = loaded(
        tmp_path, made([*IDS, "mm10___Ins1"], np.hstack([HUMAN_COUNTS, MOUSE_COUNTS[:, :1]]))
    )
    assert "mm10___Ins1" in adata.var_names
    assert "1 of 7 genes have the name of a genome (mm10) before their own" in said(adata)


# ---------------------------------------------------------------- pasted names


@pytest.mark.parametrize(
    "form",
    [
        "{s}.{i}",
        "{s}_{i}",
        "{i}_{s}",
        "{i}.7_{s}",
        "{i}-{s}",
        "{i}|{s}",
        "{s};{i}",
        "{s} ({i})",
        "{i}.12.{s}",
        "{s}|3630",
        "hg38_{i}_{s}",
    ],
)
def test_symbols_and_ids_are_taken_apart(tmp_path, form) -> None:
    """Single-Cell-Genomics-Group-CNAG-CRG/Tumor-Immune-Cell-Atlas#9."""
    adata = loaded(
        tmp_path, made([form.format(s=symbol, i=stable) for symbol, stable in IDS.items()])
    )
    assert is_right(adata)
    assert "held symbol and id, and were split" in said(adata)


def test_ids_of_both_sex_chromosomes_are_no_pasted_names() -> None:
    assert compute_known_share(["ENSG00000182378.15_PAR_Y", "ENSG00000182378.15"]) > 0


# ---------------------------------------------------------------- other columns


@pytest.mark.parametrize(
    "column",
    [
        "_index",
        "gene_short_name",
        "external_gene_name",
        "features",
        "gene_name",
        "Symbol",
        "name",
        "whatever",
    ],
)
def test_names_in_another_column_are_found(tmp_path, column) -> None:
    """mojaveazure/seurat-disk#196 (_index), monocle (gene_short_name), biomaRt (external_gene_name)."""
    adata = made(
        [str(n) for n in range(6)],
        kind=["gene"] * 6,
        **({column: list(IDS)} if column != "_index" else {"names_": list(IDS)}),
    )
    adata.write_h5ad(tmp_path / "a.h5ad")
    if column == "_index":
        import h5py

        with h5py.File(tmp_path / "a.h5ad", "a") as handle:
            handle.move("var/_index", "var/rows")
            handle["var"].attrs["_index"] = "rows"
            handle.move("var/names_", "var/_index")
            handle["var"].attrs["column-order"] = np.array(["kind", "_index"], dtype=object)
    adata = load([tmp_path / "a.h5ad"])
    assert is_right(adata)
    assert f"named by column {column.casefold()!r}" in said(adata)


def test_ids_beside_numbers_are_found(tmp_path) -> None:
    """theislab/single-cell-tutorial#34: after concatenation ids stand in gene_ids-0 and gene_ids-1, the index is numbers."""
    ids = {"gene_ids-0": list(IDS.values()), "gene_ids-1": list(IDS.values())}
    adata = loaded(tmp_path, made([str(n) for n in range(6)], **ids))
    assert is_right(adata)


def test_symbols_and_ids_beside_numbers_are_both_used(tmp_path) -> None:
    adata = loaded(
        tmp_path,
        made(
            [f"row{n}" for n in range(6)],
            stable=[f"{name}.3" for name in IDS.values()],
            called=list(IDS),
        ),
    )
    assert is_right(adata)
    assert list(adata.var["gene_id"]) == list(IDS.values())


def test_an_index_that_names_genes_is_kept() -> None:
    columns = {"gene_short_name": pd.Series(["ACTB", "VIM"])}
    assert find_gene_names(np.array(["INS", "PDX1"], dtype=object), columns) is None
    assert (
        find_gene_names(np.array(["ENSG00000254647", "ENSG00000139515"], dtype=object), columns)
        is None
    )


# ---------------------------------------------------------------- no genes


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (
            ["Hashtag1-ACCCACCAGTAAGAC", "unmapped", "x", "y", "z", "w"],
            r"4 genes has a name of human, mouse or rat \(x",
        ),
        (
            [f"chr1:{n}00-{n}99" for n in range(6)],
            r"6 genes has a name of human, mouse or rat \(chr1:000-099",
        ),
    ],
)
def test_names_of_no_genes_are_refused_and_shown(tmp_path, names, shown) -> None:
    """scverse/scanpy#1916: umi_count of CITE-seq-Count holds antibodies, left out as no genes; peaks are no genes either."""
    made(names).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match=f"hardly any of the {shown}"):
        load([tmp_path / "a.h5ad"])
    assert "hardly any" in " ".join(look_at(plan_inputs([tmp_path / "a.h5ad"]))[1])


@pytest.mark.parametrize("name", ["Mar-01", "1-Mar", "01-Sep", "Dec-01", "2023-03-01", "2-Sep"])
def test_names_that_became_dates_are_said(tmp_path, name) -> None:
    """griffithlab/genviz.org#9."""
    assert f"turned 1 gene names into dates ({name})" in said(
        loaded(tmp_path, made([name, *list(IDS)[1:]]))
    )


@pytest.mark.parametrize("name", ["DEC1", "OCT4", "SEPTIN2", "MARCHF1", "APR-1"])
def test_genes_that_sound_like_dates_are_genes(tmp_path, name) -> None:
    assert "dates" not in said(loaded(tmp_path, made([name, *list(IDS)[1:]])))
