# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart: from counts to a verdict
#
# Three small simulated samples, two differentiated batches and a medium control, go through every step of scdiff by
# hand. Their truth is known, so the result can be checked at the end. On the command line all of this is
# `scdiff run --samples test_data/samples.csv --out results`.
#
# Each step is one function that writes into the object, as in scanpy:
# `io` reads, `pp` prepares, `tl` decides, `pl` draws.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import scdiff

DATA = next(folder / "test_data" for folder in (Path(), Path("..")) if (folder / "test_data").is_dir())

# %% [markdown]
# ## 1. Load
#
# The sheet says what the samples are, and which one is a control: a sample that cannot hold a positive cell, whose
# false calls tell how high a blank reads. Files may be h5ad, 10x h5 or folders, loom or text. Only raw counts are
# accepted; what is not an integer is refused.

# %%
pd.read_csv(DATA / "samples.csv")

# %%
adata = scdiff.io.load(samples=DATA / "samples.csv")
adata

# %% [markdown]
# ## 2. Quality control
#
# Limits adapt to each sample, and every dropped cell has one reason. There is no upper cut: cultured stromal cells are big.

# %%
scdiff.pp.qc(adata)
adata.uns["scdiff"]["qc"]["dropped"]

# %%
figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
thresholds = adata.uns["scdiff"]["qc"]["thresholds"]["min_counts"].to_dict()
_ = scdiff.pl.metric_histogram(
    adata.obs["total_counts"].to_numpy(), adata.obs["sample"].to_numpy(), ax, label="counts per cell", thresholds=thresholds, log=True
)
# %% [markdown]
# ## 3. Normalise, embed, score
#
# For orientation only. No call below depends on the map, the clusters or the scores.

# %%
scdiff.pp.normalise(adata)
scdiff.pp.embed(adata)
scdiff.tl.score(adata)
adata.obsm["scdiff_score"].groupby(adata.obs["leiden"], observed=True).mean().round(2).T

# %% [markdown]
# ## 4. Call
#
# A cell is called when its raw counts, given its depth, speak for at least two of PDX1, NKX6-1 and INS against what
# contamination alone would give. The evidence is a log-likelihood ratio per cell and marker: right of 0 the counts speak
# for expression, left of it for background.

# %%
scdiff.tl.call(adata)
adata.uns["scdiff"]["call"]["pancreatic_progenitor"]["markers"]

# %%
called = adata.obsm["scdiff_positive"]["pancreatic_progenitor"].to_numpy(dtype=bool)
evidence = adata.obsm["scdiff_evidence"].filter(like="pancreatic_progenitor:")
evidence.columns = evidence.columns.str.removeprefix("pancreatic_progenitor:")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
_ = scdiff.pl.evidence_strips(evidence, called, left)
_ = scdiff.pl.category_map(adata.obsm["X_umap"], adata.obs["scdiff_state"], right)
# %% [markdown]
# ## 5. Trajectory
#
# Cells are ordered from a root that is chosen from the stromal cells and recorded. Cells that no path joins to it get no
# pseudotime (NaN), rather than an invented one. An order is no proof of a course.

# %%
scdiff.tl.trajectory(adata)
adata.obs.groupby("scdiff_state", observed=True)["dpt_pseudotime"].agg(["size", "median"]).round(2)

# %%
figure, ax = plt.subplots(figsize=(4.5, 4), layout="constrained")
root = adata.obs_names.get_loc(adata.uns["scdiff"]["trajectory"]["root_cell"])
_ = scdiff.pl.pseudotime_map(adata.obsm["X_umap"], adata.obs["dpt_pseudotime"].to_numpy(), root, ax)
# %% [markdown]
# ## 6. The fraction
#
# The table that everybody reads. `fraction` is what was called; `prevalence` is corrected for positive cells whose
# markers were missed. Both have 95 % intervals. LOB: the highest fraction that a blank gives. LOD: the least
# fraction that would be found. LLOQ: the least fraction worth a number. Row `all` pools the samples that are no controls;
# its interval counts donors, not cells, and two donors of so few cells say little about a third.

# %%
scdiff.tl.fraction(adata)
fractions = adata.uns["scdiff"]["fractions"]
main = fractions[(fractions["program"] == "pancreatic_progenitor") & (fractions["state"] == "progenitor_like")].set_index("sample")
main.drop(columns=["program", "state"]).T

# %%
figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
_ = scdiff.pl.forest(main.reset_index(), ax)
# %% [markdown]
# ## 7. What else the batch does
#
# Who could send, and who could receive? "Not detected" is an answer here as well.

# %%
scdiff.tl.communicate(adata)
axes = adata.uns["scdiff"]["axes"]
axes.loc[axes["sample"] == "all", ["axis", "side", "gene", "n_expressing", "fraction", "lod", "verdict"]]

# %% [markdown]
# ## 8. Against the truth, and against the usual way
#
# These samples are simulated, so we know. Beside the assay stands what is usually done: count the cells in which
# something is seen (`n_positive / n`).

# %%
truth = pd.read_csv(DATA / "truth.csv", index_col="sample")["fraction"]
counts = pd.DataFrame(adata[:, ["PDX1", "NKX6-1", "INS"]].layers["counts"].toarray(), adata.obs_names, ["PDX1", "NKX6-1", "INS"])
by_sample = adata.obs["sample"].astype(str)
usual = {
    "INS > 0": counts["INS"] > 0,
    "any marker > 0": (counts > 0).any(axis=1),
    "two markers > 0": (counts > 0).sum(axis=1) >= 2,
    "score > 0": adata.obsm["scdiff_score"]["pancreatic_progenitor:mean_minus_control"] > 0,
}
compared = pd.DataFrame({"truth": truth} | {name: positive.groupby(by_sample).mean() for name, positive in usual.items()})
compared = compared.join(main[["prevalence", "prevalence_low", "prevalence_high", "verdict"]])
compared.round(3).T

# %% [markdown]
# In the differentiated samples a trace of insulin transcript is in every droplet, so whatever counts insulin finds several
# times too many cells. Asking for two markers loses those whose second marker was missed, and neither number says how
# far it may be off. The assay states the background first and corrects for what was missed: the intervals hold
# the truth, and the control reads `not detected`, with an upper bound.

# %%
held = compared["truth"].between(compared["prevalence_low"], compared["prevalence_high"])
held
