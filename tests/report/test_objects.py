"""Plots of an object: each reads what it shows from there, under either kind of names, or says which step to run."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import scdiff
from scdiff.errors import InputError, MissingKeyError, ScdiffError, UnknownNameError
from scdiff.programs import load_program

OPTIONS = {"read_outs": {"name": "paracrine"}}
NEEDS = {
    "axis_pairs": ("axes", "communicate"),
    "receptor_dots": ("axes", "communicate"),
    "counts_against_depth": ("call", "call"),
    "evidence_strips": ("call", "call"),
    "positives_heatmap": ("call", "call"),
    "read_outs": ("call", "call"),
    "forest": ("fractions", "fraction"),
    "dots": ("fractions", "fraction"),
    "dropped_bars": ("qc", "qc"),
    "metric_histogram": ("qc", "qc"),
    "paga_graph": ("trajectory", "trajectory"),
    "pseudotime_map": ("trajectory", "trajectory"),
}
"""Plot -> what it reads from uns, and the step that writes it."""


@pytest.fixture(autouse=True)
def closed():
    """Draw on no screen, and leave no figure open."""
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


@pytest.mark.parametrize("name", [name for name in scdiff.pl.__all__ if name != "read_outs"])
def test_every_plot_takes_an_object(finished, name):
    given = Figure().add_subplot()
    assert getattr(scdiff.pl, name)(finished, ax=given) is given
    assert given.has_data() or given.texts
    assert isinstance(getattr(scdiff.pl, name)(finished), Axes)
    assert f"``{name}(adata, ax=None" in getattr(scdiff.pl, name).__doc__


def test_axes_may_stand_second_as_in_the_other_form(finished):
    given = Figure().add_subplot()
    assert scdiff.pl.forest(finished, given) is given


@pytest.mark.parametrize("name", NEEDS)
def test_what_is_missing_names_the_step_to_run(finished, name):
    key, step = NEEDS[name]
    del finished.uns["scdiff"][key]
    with pytest.raises(MissingKeyError, match=rf"{name} reads .*run {step} first"):
        getattr(scdiff.pl, name)(finished, **OPTIONS.get(name, {}))


def test_clusters_map_and_states_that_are_missing_name_the_step(finished):
    for slot, key, name, said in (
        ("obs", "leiden", "state_bars", "run embed first, or name your own with cluster_key"),
        ("obsm", "X_umap", "category_map", "run embed first, or name a map with use_rep"),
        ("obs", "scdiff_state", "category_map", "run call first"),
        ("obs", "scdiff_state", "state_bars", "run call first"),
        ("obs", "dpt_pseudotime", "pseudotime_map", "run trajectory first"),
        ("obs", "total_counts", "metric_histogram", "run qc first"),
    ):
        adata = finished.copy()
        del getattr(adata, slot)[key]
        with pytest.raises(MissingKeyError, match=said):
            getattr(scdiff.pl, name)(adata)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("forest", {"program": "vgf"}, "Did you mean 'vegf'"),
        ("forest", {"state": "progenitr"}, "Did you mean 'progenitor"),
        ("dots", {"sample": "donor C"}, "no sample 'donor C'"),
        ("category_map", {"color": "liden"}, "Did you mean 'leiden'"),
        ("category_map", {"use_rep": "X_uma"}, "Did you mean 'X_umap'"),
        ("state_bars", {"cluster_key": "liden"}, "Did you mean 'leiden'"),
        ("metric_histogram", {"metric": "total_count"}, "Did you mean 'total_counts'"),
        ("counts_against_depth", {"marker": "PDX2"}, "Did you mean 'PDX1'"),
        ("read_outs", {"name": "identiti"}, "Did you mean 'identity'"),
        ("read_outs", {"name": "off_target"}, "run call with programs"),
        ("paga_graph", {"cluster_key": "sample"}, "pass the cluster_key that trajectory used"),
    ],
)
def test_unknown_names_have_a_near_match(finished, name, options, said):
    with pytest.raises(ScdiffError, match=said):
        getattr(scdiff.pl, name)(finished, **options)


def test_data_that_lack_a_column_are_named_in_a_sentence(finished):
    table = finished.uns["scdiff"]["fractions"].drop(columns="lob")
    with pytest.raises(InputError, match=r"forest\(\): the data have no column or row 'lob'"):
        scdiff.pl.forest(table, Figure().add_subplot())


def test_no_positive_cell_gives_no_heat_map(finished):
    finished.obsm["scdiff_positive"].loc[:, :] = False
    with pytest.raises(InputError, match="no cell is called positive"):
        scdiff.pl.positives_heatmap(finished)


def test_a_colour_column_is_drawn_as_it_stands(finished):
    ax = scdiff.pl.category_map(finished, color="sample")
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(
        finished.obs["sample"].astype(str)
    )
    with pytest.raises(UnknownNameError):
        scdiff.pl.category_map(finished, color="")


def test_a_prepared_object_is_drawn_by_its_own_names():
    adata = scdiff.simulate.simulate(
        n_cells=120,
        fraction=0.3,
        depth=3_000,
        design=scdiff.simulate.BatchDesign(n_genes=400),
        seed=2,
    )
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(120, 2))
    adata.obs["leiden"] = pd.Categorical(np.where(np.arange(120) % 2, "a", "b"))
    scdiff.pp.prepare(adata)
    scdiff.tl.call(adata, programs=["pancreatic_progenitor", "il10"], null_sets=0)
    scdiff.tl.fraction(adata)
    assert [
        label.get_text()
        for label in scdiff.pl.read_outs(
            adata, name=load_program("il10").scorecard
        ).get_yticklabels()
    ]
    for name in ("forest", "dots", "evidence_strips", "counts_against_depth", "category_map"):
        assert isinstance(getattr(scdiff.pl, name)(adata), Axes)
    with pytest.raises(MissingKeyError, match="run embed first, or name your own with cluster_key"):
        scdiff.pl.state_bars(adata)  # her own clusters are shown only where she names them
    ax = scdiff.pl.state_bars(adata, cluster_key="leiden")
    assert sorted(label.get_text() for label in ax.get_yticklabels()) == ["a", "b"]
