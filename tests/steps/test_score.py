"""score: laws that every registered scorer keeps, and what each one is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from scipy.stats import mannwhitneyu

from scdiff import keys
from scdiff.errors import MissingKeyError, UnknownNameError
from scdiff.steps.normalise import normalise
from scdiff.steps.score import SCORERS, mean_minus_control, rank_u, score

N_GENES = 40
counts = arrays(np.int64, (6, N_GENES), elements=st.integers(0, 6))
genes = st.lists(st.integers(0, N_GENES - 1), min_size=1, max_size=5, unique=True).map(np.array)


def _run(
    name: str, matrix: np.ndarray, signatures: list[np.ndarray], means: np.ndarray | None = None
) -> np.ndarray:
    """Scores of a registered kernel on its own kind of values."""
    given_ = {
        "means": matrix.mean(axis=0) if means is None else means,
        "by_name": np.arange(matrix.shape[1]),
        "seed": 0,
    }
    return SCORERS[name].function(
        sparse.csr_matrix(matrix.astype(float)),
        signatures,
        **{need: given_[need] for need in SCORERS[name].facts["needs"]},
    )


def _object(values: np.ndarray) -> AnnData:
    """Batch with the main programme among its genes."""
    names = ["PDX1", "NKX6-1", "INS", *(f"G{i}" for i in range(values.shape[1] - 3))]
    obs = pd.DataFrame(index=[f"c{i}" for i in range(len(values))])
    adata = AnnData(
        obs=obs,
        var=pd.DataFrame(index=names),
        layers={"counts": sparse.csr_matrix(values.astype(np.float32))},
    )
    normalise(adata)
    return adata


def _scored(adata: AnnData, **options) -> pd.DataFrame:
    score(adata, programs=["pancreatic_progenitor"], **options)
    return adata.obsm["scdiff_score"]


def test_both_scorers_are_registered_with_their_facts():
    assert list(SCORERS) == ["mean_minus_control", "rank_u"]
    for card in SCORERS.cards():
        assert card.facts["matrix"] in ("X", "counts")
        assert card.facts["low"] < card.facts["high"]
        assert card.source.startswith("10.")


@pytest.mark.parametrize("name", list(SCORERS))
@settings(max_examples=25, deadline=None)
@given(values=counts, order=st.permutations(range(6)))
def test_law_cells_keep_their_scores_in_any_order(name, values, order):
    adata = _object(values)
    other = adata[list(order)].copy()
    pd.testing.assert_frame_equal(
        _scored(adata, methods=[name]).iloc[list(order)],
        _scored(other, methods=[name]),
        check_exact=True,
    )


@pytest.mark.parametrize("name", list(SCORERS))
@settings(max_examples=25, deadline=None)
@given(values=counts, order=st.permutations(range(N_GENES)))
def test_law_order_of_genes_does_not_matter(name, values, order):
    adata = _object(values)
    other = adata[:, list(order)].copy()
    pd.testing.assert_frame_equal(
        _scored(adata, methods=[name]), _scored(other, methods=[name]), check_exact=True
    )


@pytest.mark.parametrize("name", list(SCORERS))
@settings(max_examples=25, deadline=None)
@given(values=counts)
def test_law_sparse_is_dense_and_the_input_stays(name, values):
    adata, dense = _object(values), _object(values)
    dense.X = dense.X.toarray()
    dense.layers["counts"] = dense.layers["counts"].toarray()
    before = adata.X.copy()
    pd.testing.assert_frame_equal(
        _scored(adata, methods=[name]), _scored(dense, methods=[name]), check_exact=True
    )
    assert (before != adata.X).nnz == 0
    np.testing.assert_array_equal(adata.layers["counts"].toarray(), values)


@pytest.mark.parametrize("name", list(SCORERS))
@settings(max_examples=60, deadline=None)
@given(
    values=counts,
    signature=genes,
    cell=st.integers(0, 5),
    which=st.integers(0, 4),
    more=st.integers(1, 9),
)
def test_law_more_of_a_signature_gene_never_lowers_the_score(
    name, values, signature, cell, which, more
):
    raised = values.copy()
    raised[cell, signature[which % len(signature)]] += more
    means = values.mean(axis=0)  # the levels by which controls are chosen stay as they are
    before, after = (_run(name, matrix, [signature], means)[cell, 0] for matrix in (values, raised))
    assert after >= before - 1e-12


@pytest.mark.parametrize("name", list(SCORERS))
@settings(max_examples=40, deadline=None)
@given(values=counts, signature=genes)
def test_law_scores_are_finite_and_within_their_range(name, values, signature):
    found = _run(name, values, [signature])
    assert np.isfinite(found).all()
    assert (found >= SCORERS[name].facts["low"]).all()
    assert (found <= SCORERS[name].facts["high"]).all()


@pytest.mark.parametrize("name", list(SCORERS))
def test_law_no_gene_no_score(name):
    assert np.isnan(_run(name, np.ones((3, 10)), [np.zeros(0, dtype=int)])).all()


@pytest.mark.parametrize("name", list(SCORERS))
def test_law_a_matrix_of_signature_genes_only_has_no_score(name):
    assert np.isnan(_run(name, np.arange(6.0).reshape(2, 3), [np.arange(3)])).all()


@settings(max_examples=60, deadline=None)
@given(values=counts, signature=genes)
def test_rank_u_is_the_mann_whitney_statistic(values, signature):
    found = rank_u(sparse.csr_matrix(values), [signature], max_rank=None)[:, 0]
    others = np.setdiff1d(np.arange(N_GENES), signature)
    for cell, row in enumerate(values):
        u = mannwhitneyu(row[signature], row[others]).statistic
        assert found[cell] == pytest.approx(u / (len(signature) * len(others)))


@settings(max_examples=40, deadline=None)
@given(values=counts, signature=genes, max_rank=st.integers(6, 60))
def test_rank_u_equals_the_slow_definition(values, signature, max_rank):
    found = rank_u(sparse.csr_matrix(values), [signature], max_rank=max_rank)[:, 0]
    n, top = len(signature), min(max_rank, N_GENES)
    for cell, row in enumerate(values):
        ranks = [
            1 + sum(other > value for other in row) + (sum(other == value for other in row) - 1) / 2
            for value in row[signature]
        ]
        total = sum(min(rank, top) for rank in ranks)
        least, most = (
            n * (n + 1) / 2,
            sum(min(rank, top) for rank in range(N_GENES - n + 1, N_GENES + 1)),
        )
        assert found[cell] == pytest.approx(min(max(1 - (total - least) / (most - least), 0), 1))


def test_rank_u_ends_are_0_and_1_and_depth_does_not_count():
    values = np.zeros((2, 50))
    values[0, :3] = [9, 8, 7]
    values[1, 3:40] = np.arange(1, 38)
    found = rank_u(sparse.csr_matrix(values), [np.arange(3)], max_rank=20)[:, 0]
    assert found.tolist() == [1.0, 0.0]
    np.testing.assert_array_equal(
        rank_u(sparse.csr_matrix(values * 5), [np.arange(3)], max_rank=20)[:, 0], found
    )


def test_explicit_zeros_are_zeros():
    values = np.array([[3.0, 0.0, 1.0, 0.0]])
    stored = sparse.csr_matrix((values[0], [0, 1, 2, 3], [0, 4]), shape=(1, 4))
    np.testing.assert_array_equal(
        rank_u(stored, [np.array([1])]), rank_u(sparse.csr_matrix(values), [np.array([1])])
    )


def test_mean_minus_control_is_that_of_scanpy(batch):
    adata = batch(60, 300)
    normalise(adata)
    adata = adata[:, np.sort(adata.var_names)].copy()
    adata.X = adata.X.astype(np.float64)
    wanted = ["PDX1", "NKX6-1", "INS", "GENE0040", "GENE0100"]
    sc.tl.score_genes(adata, wanted, ctrl_size=50, n_bins=25, random_state=0)
    columns = adata.var_names.get_indexer(wanted)
    found = mean_minus_control(
        adata.X.tocsr(), [columns], means=np.asarray(adata.X.mean(axis=0)).ravel(), seed=0
    )[:, 0]
    np.testing.assert_allclose(found, adata.obs["score"], atol=1e-6)


@pytest.mark.parametrize("n_genes", [2, 3, 6, 30])
def test_one_gene_among_few_has_a_score(n_genes):
    values = np.random.default_rng(0).poisson(2, size=(5, n_genes)).astype(float)
    found = _run("mean_minus_control", values, [np.array([0])])
    assert np.isfinite(found).all()
    if n_genes == 2:
        np.testing.assert_allclose(found[:, 0], values[:, 0] - values[:, 1])


def test_table_has_a_column_for_each_programme_and_method(batch):
    adata = batch(30, 120)
    normalise(adata)
    score(adata, programs=["pancreatic_progenitor", "il10"])
    table = adata.obsm["scdiff_score"]
    assert table.columns.tolist() == [
        "pancreatic_progenitor:mean_minus_control",
        "il10:mean_minus_control",
        "pancreatic_progenitor:rank_u",
        "il10:rank_u",
    ]
    assert table.index.equals(adata.obs_names)
    assert keys.has(adata, keys.SCORE)


def test_default_programmes_are_all_there(batch):
    from scdiff.programs import DEFAULT_PROGRAMS

    adata = batch(20, 60)
    normalise(adata)
    score(adata, methods=["rank_u"])
    assert adata.obsm["scdiff_score"].columns.tolist() == [
        f"{name}:rank_u" for name in DEFAULT_PROGRAMS
    ]


def test_programme_without_a_row_is_not_a_number(batch, caplog):
    adata = batch(20, 60)
    normalise(adata)
    adata = adata[:, ~adata.var_names.isin(["PDX1", "NKX6-1", "INS"])].copy()
    with caplog.at_level("INFO"):
        table = _scored(adata)
    assert table.isna().all().all()
    assert "none of its genes has a row" in caplog.text


def test_mouse_genes_are_found(batch):
    adata = batch(20, 60)
    adata.var_names = [{"INS": "Ins2"}.get(name, name.capitalize()) for name in adata.var_names]
    adata.uns["scdiff"]["input"]["species"] = "mouse"
    normalise(adata)
    assert _scored(adata).notna().all().all()


def test_any_chunk_size_gives_the_same(batch, monkeypatch):
    adata = batch(50, 80)
    normalise(adata)
    whole = _scored(adata)
    monkeypatch.setattr("scdiff.compute.blocks.BLOCK", 7)
    pd.testing.assert_frame_equal(whole, _scored(adata), check_exact=True)


def test_positive_cells_score_higher(batch):
    adata = batch(60, 200)
    values = adata.layers["counts"].toarray()
    values[:10, adata.var_names.get_indexer(["PDX1", "NKX6-1", "INS"])] += 60
    adata.layers["counts"] = sparse.csr_matrix(values)
    normalise(adata)
    for name, column in _scored(adata).items():
        assert column.iloc[:10].min() > column.iloc[10:].median(), name


def test_unknown_names_get_a_near_match(batch):
    adata = batch(10, 40)
    normalise(adata)
    with pytest.raises(UnknownNameError, match=r"unknown scorer 'rank'. Did you mean 'rank_u'"):
        score(adata, methods=["rank"])
    with pytest.raises(UnknownNameError, match=r"unknown programme 'il_10'. Did you mean 'il10'"):
        score(adata, programs=["il_10"])


def test_needs_normalised_values(batch):
    with pytest.raises(MissingKeyError, match=r"score reads X .* run normalise first"):
        score(batch(10, 40))
