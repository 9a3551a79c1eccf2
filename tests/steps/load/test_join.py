"""Joining tables: genes, cells, sheet values and species, over drawn parts."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scdiff.errors import InputError
from scdiff.steps.load import hashes, join
from scdiff.steps.load.source import Layout, Source
from scdiff.steps.load.table import Table

POOL = ("ACTB", "COL1A1", "GAPDH", "HGF", "IL10", "INS", "PDX1", "VIM")


def part(name: str, genes: list[str], seed: int = 0, n_cells: int = 3, **fields: str) -> join.Part:
    """A part with one sample, its files being this test file."""
    symbols = np.array(genes, dtype=object)
    entries = sparse.csr_matrix(
        np.random.default_rng(seed).poisson(2.0, (n_cells, len(genes))).astype(np.float32)
    )
    cells = np.array([f"{name}{i}" for i in range(n_cells)], dtype=object)
    source = Source(name, Path(f"{name}.h5ad"), Layout.H5AD, (Path(__file__),), fields=fields)
    return join.Part(
        (source,), Table(entries, cells, symbols, symbols), np.full(n_cells, name, dtype=object)
    )


genes_of_a_file = st.lists(st.sampled_from(POOL), unique=True, min_size=1)


@given(st.lists(genes_of_a_file, min_size=1, max_size=4), st.integers(0, 50))
def test_join_agrees_with_a_plain_loop(lists: list[list[str]], seed: int) -> None:
    parts = [part(f"s{place}_", genes, seed + place) for place, genes in enumerate(lists)]
    shared = [gene for gene in lists[0] if all(gene in genes for genes in lists)]
    if not shared:
        with pytest.raises(InputError, match="the inputs share no gene"):
            join.join_parts(parts, species="human", notes=[])
        return
    adata = join.join_parts(parts, species="human", notes=[])
    assert list(adata.var_names) == list(adata.var["gene_id"]) == shared
    expected = [
        [one.table.entries[cell, genes.index(gene)] for gene in shared]
        for one, genes in zip(parts, lists, strict=True)
        for cell in range(3)
    ]
    assert adata.layers["counts"].toarray().tolist() == expected
    lost = [note for note in adata.uns["scdiff"]["input"]["notes"] if "not in every input" in note]
    assert len(lost) == sum(len(genes) > len(shared) for genes in lists)


def same_name(first: list[str], second: list[str]) -> list[join.Part]:
    """Return two parts whose files have the same name in different folders."""
    parts = []
    for folder, genes in (("one", first), ("two", second)):
        made = part(folder, genes)
        path = Path("data", folder, "outs", "matrix.h5")
        parts.append(replace(made, sources=(replace(made.sources[0], path=path),)))
    return parts


def test_species_of_files_with_the_same_name_differ() -> None:
    human = [f"GENE{number}" for number in range(100)]
    parts = same_name(human, [name.capitalize() for name in human])
    with pytest.raises(InputError) as caught:
        join.detect_species_of_parts(parts, "auto")
    assert str(caught.value) == (
        "the inputs are of different species (one/outs/matrix.h5 human, two/outs/matrix.h5 mouse). "
        "Run each species separately."
    )


def test_a_small_file_does_not_hide_that_of_the_same_name() -> None:
    # the file without enough genes comes last and must not replace the species of the first
    parts = same_name([f"GENE{number}" for number in range(100)], ["Gene1", "Gene2"])
    assert join.detect_species_of_parts(parts, "auto") == ("human", ())


def test_notes_name_files_of_the_same_name_with_their_folder() -> None:
    adata = join.join_parts(same_name(["INS", "PDX1"], ["INS"]), species="human", notes=[])
    (note,) = adata.uns["scdiff"]["input"]["notes"][:1]
    assert note.startswith("one/outs/matrix.h5: 1 of 2 genes are not in every input")
    with pytest.raises(InputError, match=r"genes: one/outs/matrix\.h5 1, two/outs/matrix\.h5 1"):
        join.join_parts(same_name(["INS"], ["PDX1"]), species="human", notes=[])


def test_one_part_is_not_copied() -> None:
    one = part("a", list(POOL))
    adata = join.join_parts([one], species="human", notes=[])
    assert np.shares_memory(adata.layers["counts"].data, one.table.entries.data)


def test_cells_are_called_by_their_sample_where_samples_share_barcodes() -> None:
    parts = [part("a", list(POOL)), part("b", list(POOL), seed=1)]
    alike = [
        join.Part(
            one.sources,
            replace(one.table, barcodes=np.array(["x", "y", "z"], dtype=object)),
            one.samples,
        )
        for one in parts
    ]
    assert list(join.join_parts(alike, species="human", notes=[]).obs_names) == [
        "a:x",
        "a:y",
        "a:z",
        "b:x",
        "b:y",
        "b:z",
    ]
    assert list(join.join_parts(parts, species="human", notes=[]).obs_names) == [
        "a0",
        "a1",
        "a2",
        "b0",
        "b1",
        "b2",
    ]


def test_given_notes_come_first() -> None:
    adata = join.join_parts(
        [part("a", ["INS"]), part("b", ["INS", "VIM"])], species="human", notes=["first of all"]
    )
    assert adata.uns["scdiff"]["input"]["notes"][0] == "first of all"


def test_numbers_in_the_sheet_stay_numbers_and_texts_texts() -> None:
    adata = join.join_parts(
        [part("a", ["INS"], day="7", donor="1a"), part("b", ["INS"], day="", donor="2")],
        species="human",
        notes=[],
    )
    assert adata.obs["day"].tolist()[:3] == [7.0] * 3
    assert adata.obs["day"].isna().tolist() == [False] * 3 + [True] * 3
    assert adata.obs["donor"].astype(str).tolist() == ["1a"] * 3 + ["2"] * 3


@pytest.mark.parametrize(
    ("symbols", "asked", "told", "n_notes"),
    [
        (["INS", "PDX1"], "auto", "human", 0),
        (["Ins1", "Pdx1"], "auto", "mouse", 0),
        (["1", "2"], "auto", "unknown", 1),
        (["1", "2"], "mouse", "mouse", 0),
        (["INS", "PDX1"], "human", "human", 0),
        (["INS", "PDX1"], "mouse", "mouse", 1),
    ],
)
def test_species_is_told_from_names_or_as_asked(
    symbols: list[str], asked: str, told: str, n_notes: int
) -> None:
    species, notes = join.detect_species_of_parts([part("a", symbols)], asked)
    assert (species, len(notes)) == (told, n_notes)


def test_few_odd_names_do_not_make_another_species() -> None:
    human = [f"GENE{i}" for i in range(200)]
    assert (
        join.detect_species_of_parts([part("a", human), part("b", ["Odd1", "Odd2"])], "auto")[0]
        == "human"
    )


def test_absent_markers_are_asked_for_in_the_species() -> None:
    adata = join.join_parts([part("a", ["Ins1", "Nkx6.1", "Pdx1"])], species="mouse", notes=[])
    assert list(adata.uns["scdiff"]["input"]["absent"]) == ["Ins2", "Neurog3"]


def test_hash_of_several_files_is_the_hash_of_their_listing(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
    listing = "".join(
        f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in ("a", "b")
    )
    assert (
        hashes.hash_files((tmp_path / "b", tmp_path / "a"))
        == hashlib.sha256(listing.encode()).hexdigest()
    )
    assert hashes.hash_files((tmp_path / "a",)) == hashlib.sha256(b"a").hexdigest()
