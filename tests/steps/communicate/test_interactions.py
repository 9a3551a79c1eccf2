"""All against all: liana on groups of the batch; without liana one clear sentence."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from recorded import as_loaded
from scipy import sparse

from scdiff.errors import ConfigError, InputError, UnknownNameError
from scdiff.steps.communicate import interactions
from scdiff.steps.communicate.interactions import COLUMNS, check_liana, make_empty_table
from scdiff.steps.communicate.step import communicate

has_liana = pytest.mark.skipif(
    find_spec("liana") is None,
    reason="liana is not installed: pip install 'scdiff-markers[enrich]'",
)
SENT, RECEIVED = {"CXCL12": 30.0, "HGF": 10.0}, {"CXCR4": 12.0, "MET": 8.0}
OTHERS = (
    "VEGFA",
    "KDR",
    "FLT1",
    "IL10",
    "IL10RA",
    "IL10RB",
    "TGFB1",
    "TGFBR1",
    "TGFBR2",
    "LGALS9",
    "CD44",
    "PTPRC",
    "IL6",
    "IL6R",
    "IL6ST",
)


def two_groups(seed: int = 0) -> AnnData:
    """Draw two groups of 40 cells: one sends CXCL12 and HGF, the other has their receptors; all else is alike."""
    rng = np.random.default_rng(seed)
    genes = [*SENT, *RECEIVED, *OTHERS, *(f"GENE{index}" for index in range(60))]
    group = np.repeat(["sender", "target"], 40)
    mean = np.full((80, len(genes)), 2.0)
    for name, level in (SENT | RECEIVED).items():
        mean[:, genes.index(name)] = np.where((group == "sender") == (name in SENT), level, 0.05)
    obs = pd.DataFrame(
        {"sample": "s", "kind": pd.Categorical(group)},
        index=[f"cell{index:02d}" for index in rng.permutation(80)],
    )
    counts = sparse.csr_matrix(rng.poisson(mean).astype(np.float32))
    adata = AnnData(obs=obs, var=pd.DataFrame(index=genes), layers={"counts": counts})
    as_loaded(adata)
    return adata


def run(adata: AnnData, column: str = "kind", seed: int = 0) -> pd.DataFrame:
    """Table of all against all."""
    communicate(adata, axes=["HGF-MET"], receivers=["t_cell"], groups=column, seed=seed)
    return adata.uns["scdiff"]["interactions"]


@pytest.mark.long
@has_liana
def test_the_pair_that_was_planted_comes_first():
    found = run(adata := two_groups())
    assert tuple(found.columns) == COLUMNS
    best = found.iloc[0]
    assert best[["sender", "receiver", "ligand", "receptor"]].tolist() == [
        "sender",
        "target",
        "CXCL12",
        "CXCR4",
    ]
    counts = adata[adata.obs["kind"] == "sender", "CXCL12"].layers["counts"].toarray()
    assert best["ligand_fraction"] == (counts > 0).mean()
    assert best[["n_sender", "n_receiver"]].tolist() == [40, 40]
    assert (
        found[["magnitude_rank", "specificity_rank", "ligand_fraction", "receptor_fraction"]]
        .apply(lambda column: column.between(0, 1))
        .all(axis=None)
    )
    assert not found.duplicated(list(COLUMNS[:4])).any()
    assert adata.X is None


@pytest.mark.slow
@has_liana
def test_order_of_cells_and_genes_does_not_matter(shuffled):
    adata = two_groups()
    assert run(adata).equals(run(shuffled(adata)))


@has_liana
def test_a_complex_is_as_frequent_as_its_rarest_part():
    adata = two_groups()
    found = run(adata).set_index(["sender", "receiver", "ligand", "receptor"])
    cells = adata[adata.obs["kind"] == "target", ["TGFBR1", "TGFBR2"]].layers["counts"].toarray()
    assert (
        found.loc[("sender", "target", "TGFB1", "TGFBR1_TGFBR2"), "receptor_fraction"].item()
        == (cells > 0).mean(axis=0).min()
    )


@has_liana
def test_small_groups_and_cells_without_one_are_left_out(caplog):
    adata = two_groups()
    names = adata.obs["kind"].astype(object).to_numpy()
    names[:3], names[3:6] = "rare", np.nan
    adata.obs["kind"] = names
    found = run(adata)
    assert set(found["sender"]) == {"sender", "target"}
    assert found.loc[found["sender"] == "sender", "n_sender"].unique().tolist() == [34]
    adata.obs["one"] = "a"
    assert run(adata, "one").equals(make_empty_table())
    assert "one has fewer than two groups of 5 cells" in caplog.text


@has_liana
def test_an_unknown_column_gets_a_near_match():
    with pytest.raises(
        UnknownNameError,
        match=r"groups is 'kinds', which is not a column of obs. Did you mean 'kind'",
    ):
        run(two_groups(), "kinds")


@has_liana
def test_genes_that_liana_does_not_know_are_refused():
    adata = two_groups()
    adata.var_names = [f"G{index}" for index in range(adata.n_vars)]
    with pytest.raises(
        InputError, match="no gene of the object is among the human ligands and receptors of liana"
    ):
        run(adata)


@has_liana
def test_the_table_can_be_written(tmp_path):
    import anndata

    adata = two_groups()
    found = run(adata)
    adata.write_h5ad(tmp_path / "x.h5ad")
    back = anndata.read_h5ad(tmp_path / "x.h5ad").uns["scdiff"]["interactions"]
    pd.testing.assert_frame_equal(back, found, check_index_type=False, check_dtype=False)


def test_without_liana_one_sentence_names_the_extra(monkeypatch):
    monkeypatch.setattr(interactions, "find_spec", lambda _name: None)
    with pytest.raises(
        ConfigError, match=r"communicate.groups needs liana: pip install 'scdiff-markers\[enrich\]'"
    ):
        check_liana()
    adata = two_groups()
    with pytest.raises(ConfigError, match="needs liana"):
        run(adata)
    assert "axes" not in adata.uns["scdiff"]


def test_without_groups_the_table_is_empty_and_typed():
    table = make_empty_table()
    assert tuple(table.columns) == COLUMNS
    assert table["magnitude_rank"].to_numpy().dtype.kind == "f"
