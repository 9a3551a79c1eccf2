# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Trajectory: differentiation, or contamination?
#
# Positive cells that are reached through intermediates became what they are; positive cells that stand apart were
# mixed in. This notebook looks at one course whose stages are known, the mouse pancreas at embryonic day 15.5
# (Bastidas-Ponce 2019, GSE132188: Ductal, Ngn3 low, Ngn3 high, Pre-endocrine, then Alpha, Beta, Delta, Epsilon), and
# then at a mixture made of its two ends.
#
# The data are not part of scdiff. Put `endocrinogenesis_mouse_e15_hvg.h5ad` (raw counts, `obs["cell_type"]`) into
# `../shared/data` beside the repository, or change the path below.

# %%
from pathlib import Path

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

import scdiff
from scdiff.report.plots.path import gene_courses, path_histogram

NAME = "shared/data/endocrinogenesis_mouse_e15_hvg.h5ad"
FILE = next((folder / NAME for folder in (Path(".."), Path("../..")) if (folder / NAME).is_file()), None)
if FILE is None:
    raise FileNotFoundError(f"{NAME} is not beside the repository: fetch GSE132188, or point FILE at your own file.")


# %% [markdown]
# ## 1. From counts to a path
#
# Calls first: the path needs to know which cells are positive. The markers themselves have no say in it.


# %%
def analyse(adata: anndata.AnnData) -> anndata.AnnData:
    """Run every step from counts to the table of fractions; the results have names that start with scdiff."""
    adata = anndata.AnnData(adata.X.copy(), obs=adata.obs[["cell_type"]].copy(), var=adata.var[[]].copy())
    scdiff.pp.prepare(adata, counts="X", species="mouse")
    scdiff.pp.embed(adata)
    scdiff.tl.call(adata, programs=["pancreatic_progenitor"], null_sets=0)
    scdiff.tl.trajectory(adata)
    scdiff.tl.fraction(adata)
    return adata


pancreas = analyse(anndata.read_h5ad(FILE))
record = pancreas.uns["scdiff"]["trajectory"]
record["verdict"], record["gap"]["p_continuum"], record["gap"]["p_separate"]

# %% [markdown]
# ## 2. The root
#
# No one told scdiff where to start. Each cluster is scored; where no gene of MSC identity is in the matrix, as here, cells that
# transcribe more genes count as earlier (CytoTRACE). A cluster, a cell or a gene can be named instead: `trajectory(adata, root="Sox9")`.

# %%
record["root_candidates"].head()

# %%
pancreas.obs["cell_type"][record["root_cell"]]

# %% [markdown]
# ## 3. The order of the stages
#
# Pseudotime is the diffusion distance from the root. The labels had no part in it, so they can check it.

# %%
stages = ["Ductal", "Ngn3 low EP", "Ngn3 high EP", "Pre-endocrine"]
rank = pancreas.obs["cell_type"].astype(str).map({stage: place for place, stage in enumerate(stages)}).fillna(4)
round(float(spearmanr(rank, pancreas.obs["scdiff_dpt_pseudotime"]).statistic), 3)

# %%
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
order = [*stages, "Epsilon", "Alpha", "Delta", "Beta"]
for place, stage in enumerate(order):
    values = pancreas.obs["scdiff_dpt_pseudotime"][pancreas.obs["cell_type"] == stage]
    ax.scatter(place + np.random.default_rng(0).uniform(-0.3, 0.3, len(values)), values, s=2)
ax.set_xticks(range(len(order)), order, rotation=30, ha="right")
ax.set_ylabel("diffusion pseudotime (0-1)")
plt.show()

# %% [markdown]
# ## 4. The fate
#
# The probability that a walk along the neighbours, forward in time, ends among the beta-like cells and not at another end or at the start.

# %%
pancreas.obs["scdiff_fate"].groupby(pancreas.obs["cell_type"], observed=True).mean().sort_values().round(3)

# %% [markdown]
# ## 5. The way
#
# Every cell between the start (0) and the end (1). The blue line is what doublets would give. Here the way is full.

# %%
figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
path_histogram(record["path"], record["gap"], ax)
plt.show()

# %%
figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
gene_courses(record["trends"], ax)
plt.show()

# %% [markdown]
# ## 6. The same two ends, mixed
#
# Ductal and Beta cells alone: the same states, nobody in between, and a twentieth doublets. The verdict changes, and with it the
# committed fraction, which is not stated for a population that stands apart.

# %%
ends = pancreas[pancreas.obs["cell_type"].isin(["Ductal", "Beta"])].copy()
counts = ends.X.copy().tolil()
generator = np.random.default_rng(0)
for cell, partner in zip(
    generator.permutation(ends.n_obs)[: ends.n_obs // 20], generator.integers(ends.n_obs, size=ends.n_obs // 20), strict=True
):
    counts[cell] = counts[cell] + counts[partner]
ends.X = counts.tocsr()
mixture = analyse(ends)
record = mixture.uns["scdiff"]["trajectory"]

# %%
figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
path_histogram(record["path"], record["gap"], ax)
plt.show()

# %%
table = pd.concat({"pancreas": pancreas.uns["scdiff"]["fractions"], "mixture": mixture.uns["scdiff"]["fractions"]})
rows = table[(table["sample"] == "all") & table["state"].isin(["progenitor_like", "committed"])]
rows[["state", "prevalence", "prevalence_low", "prevalence_high", "verdict"]].round(3)

# %%
print("pancreas:", pancreas.uns["scdiff"]["trajectory"]["verdict"], "| mixture:", record["verdict"])
