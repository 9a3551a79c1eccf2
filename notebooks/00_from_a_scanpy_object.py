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
# # From a scanpy object
#
# You have an object already: X log-normalised, the raw counts in a layer, your own clusters and map. Four lines lead from there
# to a fraction with its interval. Nothing of yours changes: all that scdiff adds has a name that starts with `scdiff`.

# %%
import tempfile
import warnings
from pathlib import Path

import scanpy as sc

import scdiff

warnings.filterwarnings("ignore")

# %% [markdown]
# ## 1. An object after an afternoon in scanpy
#
# Simulated cells of two donors, so that the truth is known: 6 % are progenitor-like. In your notebook, this is where
# `adata = sc.read_h5ad(...)` stands.

# %%
design = scdiff.simulate.BatchDesign(n_genes=1_000, donors=2)
adata = scdiff.simulate.simulate(n_cells=900, fraction=0.06, depth=3_000, design=design, seed=4)
adata.obs["donor_id"] = adata.obs["sample"].astype(str)
adata.obs = adata.obs[["donor_id"]]
adata.uns.clear()
adata.layers.clear()

adata.layers["umis"] = adata.X.copy()
sc.pp.normalize_total(adata, target_sum=1e4)
sc.pp.log1p(adata)
sc.pp.highly_variable_genes(adata, n_top_genes=400)
sc.pp.pca(adata, n_comps=15)
sc.pp.neighbors(adata)
sc.tl.umap(adata)
sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False)
mine = sorted([*adata.obs, *adata.obsm, *adata.obsp, *adata.layers])
print(*mine, sep=", ")

# %% [markdown]
# ## 2. Four lines to a fraction
#
# `prepare` looks for the matrix that holds raw counts and verifies it; `sample` names the column that tells samples apart.

# %%
scdiff.pp.prepare(adata, sample="donor_id", donor="donor_id")
scdiff.tl.call(adata, programs=["pancreatic_progenitor"], null_sets=200)
scdiff.tl.fraction(adata)
adata.scdiff

# %% [markdown]
# The matrix that was taken, and the main row of the table. With named donors, the interval is for donors like these.

# %%
print("counts:", adata.uns["scdiff"]["prepared"]["matrix"])
row = scdiff.get.fractions(adata, state="progenitor_like", sample="all").iloc[0]
print(f"{row['n_called']} of {row['n_cells']} cells called, verdict: {row['verdict']}")
print("the truth (6 %) is inside the interval:", bool(row["prevalence_low"] <= 0.06 <= row["prevalence_high"]))

# %% [markdown]
# ## 3. Your plots, your map
#
# States have their colours, and each state on the legend has cells. Evidence per marker becomes columns that scanpy draws.

# %%
adata.obs = adata.obs.join(scdiff.get.obs_df(adata, ["evidence:PDX1", "evidence:INS"]))
sc.pl.umap(adata, color=["leiden", "scdiff_state", "evidence:PDX1", "evidence:INS"], ncols=2, vmin=-5, vmax=20)

# %%
sc.pl.dotplot(adata, ["PDX1", "NKX6-1", "INS", "NEUROG3"], groupby="scdiff_state")

# %%
ax = scdiff.pl.forest(adata)

# %% [markdown]
# ## 4. Your clusters
#
# Which of your clusters hold the positive cells, and were they reached through intermediates? The trajectory takes your clusters
# and your components by name.

# %%
scdiff.tl.trajectory(adata, cluster_key="leiden", use_rep="X_pca")
ax = scdiff.pl.state_bars(adata, cluster_key="leiden")

# %% [markdown]
# ## 5. One page for the others
#
# The report as one file that needs no other: verdict, evidence, fractions, your clusters on your map.

# %%
with tempfile.TemporaryDirectory() as folder:
    page = Path(folder) / "out.html"
    scdiff.report(adata, page, cluster_key="leiden", use_rep="X_umap")
    print("files:", [path.name for path in page.parent.iterdir()])

# %% [markdown]
# ## 6. What is new in the object

# %%
new = sorted(name for name in [*adata.obs, *adata.obsm, *adata.obsp, *adata.layers] if name not in mine)
print("still there:", all(name in [*adata.obs, *adata.obsm, *adata.obsp, *adata.layers] for name in mine))
print("not of scdiff:", [name for name in new if not name.startswith(("scdiff", "evidence:"))])
