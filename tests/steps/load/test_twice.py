"""The same cells in two inputs are refused, whatever their totals; different cells of the same names are not."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scdiff.errors import InputError
from scdiff.steps.load.step import load, look_at, plan_inputs

N_CELLS, N_GENES = 60, 200
SYMBOLS = [
    "PDX1",
    "INS",
    "ACTB",
    "GAPDH",
    "COL1A1",
    "RPL3",
    "VIM",
    *[f"GENE{number}" for number in range(N_GENES - 7)],
]
TWICE = "are also in 'a' .*count twice.*leave out one of the two"


def bases(n_cells: int, seed: int = 0, length: int = 16) -> list[str]:
    """Barcodes of a large space."""
    letters = np.array(list("ACGT"))
    return [
        "".join(letters[np.random.default_rng((seed, number)).integers(0, 4, length)])
        for number in range(n_cells)
    ]


def cells(names: list[str], seed: int = 0, mean: float = 1.0) -> anndata.AnnData:
    """Counts of one kind of cells, whose depth differs."""
    rng = np.random.default_rng(seed)
    depth, profile = (
        rng.lognormal(0, 0.5, (len(names), 1)),
        np.random.default_rng(99).lognormal(0, 1.0, (1, N_GENES)),
    )
    counts = rng.poisson(mean * depth * profile) + (np.arange(N_GENES) == 2)
    return anndata.AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        pd.DataFrame(index=names),
        pd.DataFrame(index=SYMBOLS),
    )


def counted_otherwise(adata: anndata.AnnData, seed: int = 5) -> anndata.AnnData:
    """The same cells with more counts, as introns add them, and some lost, as background removal takes them."""
    rng = np.random.default_rng(seed)
    other = adata.copy()
    kept = rng.binomial(adata.X.toarray().astype(int), 0.8) + rng.poisson(0.3, adata.shape)
    other.X = sparse.csr_matrix(kept.astype(np.float32))
    return other


def written(folder: Path, *objects: anndata.AnnData) -> list[Path]:
    """Write each object as a file of its own."""
    paths = [folder / f"{name}.h5ad" for name, _ in zip("abcdef", objects, strict=False)]
    for path, made in zip(paths, objects, strict=True):
        made.write_h5ad(path)
    return paths


def faults(paths: list[Path]) -> str:
    """What a look finds wrong."""
    return " | ".join(look_at(plan_inputs(paths))[1])


@pytest.mark.parametrize("suffixes", [("-1", "-1"), ("-1", ""), ("-1", "-2")])
def test_cells_counted_in_another_way_are_the_same_cells(tmp_path, suffixes) -> None:
    """broadinstitute/CellBender: its output beside Cell Ranger's."""
    first = cells([f"{name}{suffixes[0]}" for name in bases(N_CELLS)])
    second = counted_otherwise(first)
    second.obs_names = [f"{name}{suffixes[1]}" for name in bases(N_CELLS)]
    paths = written(tmp_path, first, second)
    with pytest.raises(InputError, match=TWICE):
        load(paths)
    assert "count twice" in faults(paths)


def test_names_before_the_barcodes_hide_nothing(tmp_path) -> None:
    first = cells(bases(N_CELLS))
    second = counted_otherwise(first)
    second.obs_names = [f"bender_{name}-1" for name in bases(N_CELLS)]
    with pytest.raises(InputError, match=TWICE):
        load(written(tmp_path, first, second))


def test_a_part_of_the_cells_beside_all_of_them_is_refused(tmp_path) -> None:
    first = cells(bases(N_CELLS))
    with pytest.raises(InputError, match=TWICE):
        load(written(tmp_path, first, counted_otherwise(first)[:20].copy()))


def test_one_sample_of_several_is_enough(tmp_path) -> None:
    first = cells(bases(N_CELLS))
    second = anndata.concat([counted_otherwise(first), cells(bases(3 * N_CELLS, seed=1), seed=1)])
    second.obs["sample"] = ["copy"] * N_CELLS + ["new"] * 3 * N_CELLS
    with pytest.raises(InputError, match="60 of 60 cells of 'copy' are also in 'a'"):
        load(written(tmp_path, first, second))


def test_two_ways_of_counting_in_one_folder_are_refused(tmp_path, write_mtx) -> None:
    """alexdobin/STAR#1153: --soloFeatures Gene GeneFull_Ex50pAS."""
    first = cells(bases(N_CELLS))
    for name, made in (("Gene", first), ("GeneFull_Ex50pAS", counted_otherwise(first))):
        write_mtx(made, f"s1/Solo.out/{name}/filtered", zipped=False)
    with pytest.raises(
        InputError,
        match=r"several inputs .*Gene/filtered.*GeneFull_Ex50pAS/filtered.*Give the path of the one",
    ):
        load([tmp_path / "s1"])
    with pytest.raises(InputError, match="count twice"):
        load(
            [tmp_path / "s1/Solo.out" / name / "filtered" for name in ("Gene", "GeneFull_Ex50pAS")]
        )


# ---------------------------------------------------------------- different cells


def test_samples_that_share_barcodes_by_chance_are_loaded(tmp_path) -> None:
    """Two lanes of 10x share a few barcodes in a hundred."""
    one, two = bases(N_CELLS), bases(N_CELLS, seed=1)
    two[:25] = one[:25]
    paths = written(tmp_path, cells(one), cells(two, seed=1))
    assert load(paths).n_obs == 2 * N_CELLS
    assert not faults(paths)


def test_slides_share_their_printed_barcodes(tmp_path) -> None:
    """Visium prints the same 4,992 barcodes on every slide: counts that have nothing in common are of other cells."""
    paths = written(tmp_path, cells(bases(N_CELLS)), cells(bases(N_CELLS), seed=1))
    assert load(paths).n_obs == 2 * N_CELLS
    assert not faults(paths)


def test_spliced_and_unspliced_counts_of_the_same_cells_are_refused(tmp_path) -> None:
    """Molecules differ, but the depth of the cells agrees."""
    rng = np.random.default_rng(0)
    depth = rng.lognormal(0, 0.7, (N_CELLS, 1))
    made = [cells(bases(N_CELLS)) for _ in range(2)]
    for one in made:
        one.X = sparse.csr_matrix(rng.poisson(2 * depth * np.ones((1, N_GENES))).astype(np.float32))
    with pytest.raises(InputError, match=TWICE):
        load(written(tmp_path, *made))


WELLS = [f"{row}{column}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)][:N_CELLS]
ROWS, COLUMNS = bases(8, seed=3, length=8), bases(12, seed=4, length=8)


@pytest.mark.parametrize(
    "names",
    [
        WELLS,
        [f"cell_{number}" for number in range(N_CELLS)],
        [str(number) for number in range(1000, 1000 + N_CELLS)],
        [row + column for row in ROWS for column in COLUMNS][:N_CELLS],
    ],
    ids=["wells", "numbered", "BD Rhapsody", "index pairs"],
)
def test_names_of_a_small_space_prove_nothing_alone(tmp_path, names) -> None:
    """BD Rhapsody numbers its cells, plates name them by well: two samples share all of these."""
    first = cells(names)
    paths = written(tmp_path, first, cells(names, seed=1))
    assert load(paths).n_obs == 2 * N_CELLS
    assert not faults(paths)
    (tmp_path / "again").mkdir()
    copies = [paths[0], *written(tmp_path / "again", counted_otherwise(first))]
    with pytest.raises(InputError, match=r"by their names and counts.*count twice"):
        load(copies)
    assert "by their names and counts" in faults(copies)


def test_cells_ordered_by_depth_are_no_copies(tmp_path) -> None:
    """Drop-seq tables that number cells by rank: the depths agree, the cells do not."""
    made = [cells([f"c{number}" for number in range(N_CELLS)], seed=seed) for seed in (0, 1)]
    ordered = [one[np.argsort(-np.asarray(one.X.sum(axis=1)).ravel())].copy() for one in made]
    for one in ordered:
        one.obs_names = [f"c{number}" for number in range(N_CELLS)]
    assert load(written(tmp_path, *ordered)).n_obs == 2 * N_CELLS


def test_counts_that_stay_on_disk_are_compared_too(tmp_path) -> None:
    first = cells(bases(N_CELLS))
    paths = written(tmp_path, first, cells(bases(N_CELLS), seed=1), counted_otherwise(first))
    assert load(paths[:2], engine="dask").n_obs == 2 * N_CELLS
    with pytest.raises(InputError, match="count twice"):
        load([paths[0], paths[2]], engine="dask")
