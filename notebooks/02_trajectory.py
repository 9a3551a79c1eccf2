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
# Positive cells that are reached through intermediate cells differentiated here. Positive cells that stand apart were
# mixed in. This notebook looks at a course whose stages are known, and then at a mixture of its two ends.
#
# The course is simulated, so the notebook needs no data. To see the same with real cells, the mouse pancreas at
# embryonic day 15.5 (Bastidas-Ponce 2019, GSE132188), set the variable `SCDIFF_E15` to an h5ad file with its raw counts
# and the cell types in `obs["cell_type"]`.

# %%
import os

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import spearmanr

import scdiff
from scdiff.report.plots.path import gene_courses, path_histogram
from scdiff.simulate import BatchDesign, simulate

REAL = os.environ.get("SCDIFF_E15")
if REAL:
    course = anndata.read_h5ad(REAL)
    course.obs["stage"] = course.obs["cell_type"]
    STAGES = ["Ductal", "Ngn3 low EP", "Ngn3 high EP", "Pre-endocrine", "Epsilon", "Alpha", "Delta", "Beta"]
else:
    course = simulate(n_cells=2_000, fraction=0.2, contamination=0.02, design=BatchDesign(nuisance=0.0), seed=1)
    STAGES = ["msc_stem", "intermediate", "progenitor", "endocrine_progenitor", "beta_like"]
    course = course[course.obs["truth_state"].isin(STAGES)].copy()
    course.obs["stage"] = course.obs["truth_state"]
course.obs["stage"].value_counts()


# %% [markdown]
# ## 1. From counts to a path
#
# The calls come first: the path needs to know which cells are positive. The markers themselves do not shape the path.


# %%
def analyse(adata: anndata.AnnData) -> anndata.AnnData:
    """Run every step from counts to the table of fractions; the names of all results start with scdiff."""
    adata = anndata.AnnData(adata.X.copy(), obs=adata.obs[["stage"]].copy(), var=adata.var[[]].copy())
    scdiff.pp.prepare(adata, counts="X")
    scdiff.pp.embed(adata)
    scdiff.tl.call(adata, programs=["pancreatic_progenitor"], null_sets=0)
    scdiff.tl.trajectory(adata)
    scdiff.tl.fraction(adata)
    return adata


course = analyse(course)
record = course.uns["scdiff"]["trajectory"]
record["verdict"], record["gap"]["p_continuum"], record["gap"]["p_separate"]

# %% [markdown]
# ## 2. The root
#
# Nobody told scdiff where the course starts. It scores each cluster by the genes of MSC identity; without such genes,
# cells that express more genes count as earlier (CytoTRACE). You can name a cluster, a cell or a gene instead:
# `trajectory(adata, root="SOX9")`.

# %%
record["root_candidates"].head()

# %%
course.obs["stage"][record["root_cell"]]

# %% [markdown]
# ## 3. The order of the stages
#
# Pseudotime is the diffusion distance from the root. The known stages had no part in it, so they can check it.

# %%
# the four endocrine cell types of the real course are one stage
rank = course.obs["stage"].astype(str).map({stage: min(place, 4) for place, stage in enumerate(STAGES)})
round(float(spearmanr(rank, course.obs["scdiff_dpt_pseudotime"]).statistic), 3)

# %%
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for place, stage in enumerate(STAGES):
    values = course.obs["scdiff_dpt_pseudotime"][course.obs["stage"] == stage]
    ax.scatter(place + np.random.default_rng(0).uniform(-0.3, 0.3, len(values)), values, s=2)
ax.set_xticks(range(len(STAGES)), STAGES, rotation=30, ha="right")
ax.set_ylabel("diffusion pseudotime (0-1)")
plt.show()

# %% [markdown]
# ## 4. The fate
#
# The fate is the probability that a walk along the neighbours, forward in time, ends among the beta-like cells and not
# at another end or at the start.

# %%
course.obs["scdiff_fate"].groupby(course.obs["stage"], observed=True).mean().sort_values().round(3)

# %% [markdown]
# ## 5. The way
#
# The figure shows every cell between the start (0) and the end (1). The blue line is what doublets would give. Here
# cells fill the whole way.

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
# Only the cells of the first and of the last stage, with one droplet in twenty that holds two cells: the same states,
# but no cell between them. The verdict changes. The committed fraction is then not measurable, because a population
# that stands apart is not the end of a course.

# %%
ends = course[course.obs["stage"].isin([STAGES[0], STAGES[-1]])].copy()
generator, n_cells = np.random.default_rng(0), ends.n_obs
first = generator.choice(n_cells, n_cells // 20, replace=False)
second = generator.integers(n_cells, size=len(first))
ends.X = ends.X + sparse.csr_matrix((np.ones(len(first)), (first, second)), shape=(n_cells, n_cells)) @ ends.X
mixture = analyse(ends)
record = mixture.uns["scdiff"]["trajectory"]

# %%
figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
path_histogram(record["path"], record["gap"], ax)
plt.show()

# %%
table = pd.concat({"course": course.uns["scdiff"]["fractions"], "mixture": mixture.uns["scdiff"]["fractions"]})
rows = table[(table["sample"] == "all") & table["state"].isin(["progenitor_like", "committed"])]
rows[["state", "prevalence", "prevalence_low", "prevalence_high", "verdict"]].round(3)

# %%
print("course:", course.uns["scdiff"]["trajectory"]["verdict"], "| mixture:", record["verdict"])
