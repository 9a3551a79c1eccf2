"""Spliced, unspliced and ambiguous counts: a part is never taken for the counts, and all forms of the same cells give the same."""

from __future__ import annotations

from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from identified import IDS, said
from scipy import sparse

from scdiff.errors import ConfigError, InputError
from scdiff.steps.load.step import load, look_at, plan_inputs

CELLS = [
    f"{'ACGT'[n % 4]}{'TTGACA'[n % 6]}ACGTTGCATGAC{'ACGT'[n // 4]}{'CA'[n % 2]}" for n in range(16)
]
PARTS = {
    name: np.random.default_rng(seed).poisson(2.0, (16, 6))
    for seed, name in enumerate(("spliced", "unspliced", "ambiguous"))
}
TOTAL = sum(PARTS.values())
OF_CELLS = PARTS["spliced"] + PARTS["ambiguous"]


def put(path: Path, text: str) -> Path:
    """Write a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def mtx(values: np.ndarray, kind: str = "integer") -> str:
    """Text of a matrix as it stands."""
    rows, columns = np.nonzero(values)
    lines = "".join(f"{r + 1} {c + 1} {values[r, c]}\n" for r, c in zip(rows, columns, strict=True))
    return f"%%MatrixMarket matrix coordinate {kind} general\n{values.shape[0]} {values.shape[1]} {len(rows)}\n{lines}"


def counts(adata: anndata.AnnData, layer: str = "counts") -> np.ndarray:
    """Counts of the cells and genes in the order of the truth."""
    names = [name.split(":")[-1].removesuffix("-1") for name in adata.obs_names]
    frame = pd.DataFrame(adata.layers[layer].toarray(), index=names, columns=adata.var_names)
    return frame.loc[CELLS, list(IDS)].to_numpy()


# ---------------------------------------------------------------- alevin-fry


def usa(folder: Path) -> Path:
    """alevin-fry.readthedocs.io, quant: cells x features; pyroe.readthedocs.io: S, then U with -U, then A with -A."""
    at = folder / "af_quant" / "alevin"
    put(
        at / "quants_mat.mtx",
        mtx(np.hstack([PARTS["spliced"], PARTS["unspliced"], PARTS["ambiguous"]]), "real"),
    )
    put(at / "quants_mat_rows.txt", "\n".join(CELLS) + "\n")
    put(
        at / "quants_mat_cols.txt",
        "".join(f"{name}{end}\n" for end in ("", "-U", "-A") for name in IDS.values()),
    )
    return at


def test_usa_rows_are_added_as_for_cells(tmp_path) -> None:
    adata = load([usa(tmp_path)])
    np.testing.assert_array_equal(counts(adata), OF_CELLS)
    np.testing.assert_array_equal(counts(adata, "spliced"), PARTS["spliced"])
    np.testing.assert_array_equal(counts(adata, "unspliced"), PARTS["unspliced"])
    assert adata.n_vars == 6
    assert (
        "counts are spliced + ambiguous, as for cells. For nuclei, set load.matrix=S+U+A"
        in said(adata)
    )


def test_usa_rows_are_added_as_asked(tmp_path) -> None:
    path = usa(tmp_path)
    np.testing.assert_array_equal(counts(load([path], matrix="S+U+A")), TOTAL)
    np.testing.assert_array_equal(counts(load([path], matrix="U")), PARTS["unspliced"])


def test_genes_that_end_in_a_letter_are_no_parts(batch, write) -> None:
    adata = load([write(batch(genes=["HLA-A", "INS", "ACTB", "VIM", "HLA-U"]))])
    assert "HLA-A" in adata.var_names
    assert not [name for name in adata.layers if name != "counts"]


# ---------------------------------------------------------------- kb


def kb(folder: Path, names: tuple[str, str, str], *, sums: bool = False) -> Path:
    """pachterlab/kb_python, kb count --workflow nac: one matrix for each part, lists of cells and genes for all."""
    at = folder / "s1" / "counts_unfiltered"
    for name, values in zip(names, PARTS.values(), strict=True):
        put(at / f"cells_x_genes.{name}.mtx", mtx(values))
    for name, values in (
        {"total": TOTAL, "cell": OF_CELLS, "nucleus": TOTAL - PARTS["spliced"]}.items()
        if sums
        else ()
    ):
        put(at / f"cells_x_genes.{name}.mtx", mtx(values))
    put(at / "cells_x_genes.barcodes.txt", "\n".join(CELLS) + "\n")
    put(at / "cells_x_genes.genes.txt", "".join(f"{name}.3\n" for name in IDS.values()))
    put(at / "cells_x_genes.genes.names.txt", "\n".join(IDS) + "\n")
    return at


@pytest.mark.parametrize("sums", [False, True])
def test_matrices_of_kb_nac_are_added(tmp_path, sums) -> None:
    """pachterlab/CGCCP_2023#2: which of the matrices to use."""
    at = kb(tmp_path, ("mature", "nascent", "ambiguous"), sums=sums)
    adata = load([at])
    np.testing.assert_array_equal(counts(adata), TOTAL)
    np.testing.assert_array_equal(counts(adata, "unspliced"), PARTS["unspliced"])
    assert set(adata.obs["sample"]) == {"s1"}
    assert "counts are spliced + unspliced + ambiguous" in said(adata)
    np.testing.assert_array_equal(counts(load([at], matrix="S+A")), OF_CELLS)
    assert not look_at(plan_inputs([at]))[1]


def test_one_matrix_that_is_named_is_taken_alone(tmp_path) -> None:
    at = kb(tmp_path, ("mature", "nascent", "ambiguous"), sums=True)
    np.testing.assert_array_equal(counts(load([at / "cells_x_genes.total.mtx"])), TOTAL)
    one = load([at / "cells_x_genes.mature.mtx"])
    np.testing.assert_array_equal(counts(one), PARTS["spliced"])
    assert "it holds only a part of the counts" in said(one)


def test_parts_with_other_cells_are_added_cell_by_cell(tmp_path) -> None:
    """kb count --workflow lamanno: each matrix has lists of its own, and not the same barcodes."""
    at = tmp_path / "s2" / "counts_unfiltered"
    for name, cells in (("spliced", range(12)), ("unspliced", range(15, 3, -1))):
        put(at / f"{name}.mtx", mtx(PARTS[name][list(cells)]))
        put(at / f"{name}.barcodes.txt", "".join(f"{CELLS[n]}\n" for n in cells))
        put(at / f"{name}.genes.txt", "".join(f"{stable}\n" for stable in IDS.values()))
    right = (
        PARTS["spliced"] * (np.arange(16) < 12)[:, None]
        + PARTS["unspliced"] * (np.arange(16) > 3)[:, None]
    )
    adata = load([at])
    np.testing.assert_array_equal(counts(adata), right)
    assert set(adata.obs["sample"]) == {"s2"}


def test_sums_without_a_total_are_refused(tmp_path) -> None:
    at = kb(tmp_path, ("mature", "nascent", "ambiguous"), sums=True)
    for name in ("mature", "nascent", "ambiguous", "total"):
        (at / f"cells_x_genes.{name}.mtx").unlink()
    with pytest.raises(
        InputError,
        match=r"several inputs of one name \(cells_x_genes.cell.mtx, cells_x_genes.nucleus.mtx\)",
    ):
        load([at])


def stored(x: np.ndarray, **layers: np.ndarray) -> anndata.AnnData:
    """An object with symbols, X and layers."""
    made = anndata.AnnData(
        sparse.csr_matrix(x.astype(np.float32)),
        pd.DataFrame(index=CELLS),
        pd.DataFrame(index=list(IDS)),
    )
    for name, values in layers.items():
        made.layers[name] = sparse.csr_matrix(values.astype(np.float32))
    return made


MATURE = dict(zip(("mature", "nascent", "ambiguous"), PARTS.values(), strict=True))


@pytest.mark.parametrize("layers", [PARTS, MATURE], ids=["scVelo", "kb nac"])
@pytest.mark.parametrize("engine", ["memory", "dask"])
def test_x_that_is_a_part_is_not_the_counts(tmp_path, layers, engine) -> None:
    """pachterlab/kb_python#265: X of the h5ad is the layer mature; scanpy.read_loom takes spliced for X."""
    stored(PARTS["spliced"], **layers).write_h5ad(tmp_path / "a.h5ad")
    adata = load([tmp_path / "a.h5ad"], engine=engine)
    adata = adata.to_memory() if engine == "dask" else adata
    adata.layers = {
        name: values.compute() if hasattr(values, "compute") else values
        for name, values in adata.layers.items()
    }
    np.testing.assert_array_equal(counts(adata), TOTAL)
    np.testing.assert_array_equal(counts(adata, "spliced"), PARTS["spliced"])
    assert "X holds only a part of the counts" in said(adata)


def test_a_whole_layer_goes_before_the_sum(tmp_path) -> None:
    stored(PARTS["spliced"], matrix=TOTAL + 1, **PARTS).write_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(counts(load([tmp_path / "a.h5ad"])), TOTAL + 1)


def test_x_that_is_the_whole_stays_and_keeps_the_parts(tmp_path) -> None:
    stored(TOTAL + 1, **PARTS).write_h5ad(tmp_path / "a.h5ad")
    adata = load([tmp_path / "a.h5ad"])
    np.testing.assert_array_equal(counts(adata), TOTAL + 1)
    np.testing.assert_array_equal(counts(adata, "unspliced"), PARTS["unspliced"])
    np.testing.assert_array_equal(counts(load([tmp_path / "a.h5ad"], matrix="X")), TOTAL + 1)
    np.testing.assert_array_equal(counts(load([tmp_path / "a.h5ad"], matrix="S+A")), OF_CELLS)


def test_parts_are_added_where_x_is_missing_or_holds_no_counts(tmp_path) -> None:
    for name, x in (("log", np.log1p(TOTAL)), ("none", None)):
        made = stored(TOTAL if x is None else x, **PARTS)
        if x is None:
            made.X = None
        made.write_h5ad(tmp_path / f"{name}.h5ad")
        np.testing.assert_array_equal(counts(load([tmp_path / f"{name}.h5ad"])), TOTAL)


def test_unspliced_counts_beside_x_alone_are_said(tmp_path) -> None:
    stored(PARTS["spliced"], unspliced=PARTS["unspliced"]).write_h5ad(tmp_path / "a.h5ad")
    assert "X may hold only the spliced part of the counts" in said(load([tmp_path / "a.h5ad"]))


def test_layers_that_hold_no_counts_are_left_out(tmp_path) -> None:
    stored(TOTAL, spliced=PARTS["spliced"] / 3, unspliced=PARTS["unspliced"]).write_h5ad(
        tmp_path / "a.h5ad"
    )
    adata = load([tmp_path / "a.h5ad"])
    assert set(adata.layers) == {"counts", "unspliced"}
    assert "Layer spliced holds no counts and was left out" in said(adata)


def test_layers_that_not_every_input_has_are_left_out(tmp_path) -> None:
    first, second = stored(TOTAL, **PARTS), stored(TOTAL + 1)
    second.obs_names = [name[::-1] for name in CELLS]
    first.write_h5ad(tmp_path / "a.h5ad"), second.write_h5ad(tmp_path / "b.h5ad")
    adata = load([tmp_path / "a.h5ad", tmp_path / "b.h5ad"])
    assert set(adata.layers) == {"counts"}
    assert "Layer spliced was left out: not every input has it" in said(adata)


def test_a_sum_of_parts_needs_parts(tmp_path) -> None:
    stored(TOTAL).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(
        ConfigError,
        match=r"load.matrix is 'S\+A', but the input has no spliced and unspliced counts",
    ):
        load([tmp_path / "a.h5ad"], matrix="S+A")


@pytest.mark.parametrize(("whole", "right"), [("spliced", TOTAL), ("total", TOTAL)])
def test_loom_layers_are_parts(tmp_path, whole, right) -> None:
    """velocyto.org: layers spliced, unspliced, ambiguous; the main matrix is their sum, in other tools one of them."""
    with h5py.File(tmp_path / "v.loom", "w") as handle:
        handle["matrix"] = (TOTAL if whole == "total" else PARTS["spliced"]).T
        for name, values in PARTS.items():
            handle[f"layers/{name}"] = values.T
        for place, values in (("row_attrs/Gene", IDS), ("col_attrs/CellID", CELLS)):
            handle.create_dataset(place, data=list(values), dtype=h5py.string_dtype())
    adata = load([tmp_path / "v.loom"])
    np.testing.assert_array_equal(counts(adata), right)
    np.testing.assert_array_equal(counts(adata, "unspliced"), PARTS["unspliced"])
    assert ("The matrix is the layer spliced" in said(adata)) == (whole == "spliced")


# ---------------------------------------------------------------- STARsolo


def solo(folder: Path, *, gene: bool = True) -> Path:
    """alexdobin/STAR, docs/STARsolo.md: Velocyto/filtered beside Gene/filtered, genes x cells, three matrices."""
    for name, matrices in {"Gene": {"matrix": TOTAL}, "Velocyto": PARTS}.items():
        at = folder / "s3" / "Solo.out" / name / "filtered"
        for matrix, values in matrices.items() if gene or name == "Velocyto" else ():
            put(at / f"{matrix}.mtx", mtx(values.T))
            put(at / "barcodes.tsv", "".join(f"{name}-1\n" for name in CELLS))
            put(
                at / "features.tsv",
                "".join(f"{stable}\t{symbol}\tGene Expression\n" for symbol, stable in IDS.items()),
            )
    return folder / "s3"


def test_velocyto_of_starsolo_gives_layers_of_the_genes(tmp_path) -> None:
    """scverse/scanpy#1860, alexdobin/STAR#2097."""
    adata = load([solo(tmp_path)])
    np.testing.assert_array_equal(counts(adata), TOTAL)
    np.testing.assert_array_equal(counts(adata, "spliced"), PARTS["spliced"])
    assert set(adata.obs["sample"]) == {"s3"}


def test_velocyto_of_starsolo_alone_is_added(tmp_path) -> None:
    adata = load([solo(tmp_path, gene=False)])
    np.testing.assert_array_equal(counts(adata), TOTAL)
    assert "Each matrix holds a part of the counts" in said(adata)
