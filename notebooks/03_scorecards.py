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
# # Scorecards: what else a batch can do
#
# A therapy with mesenchymal cells claims more than new beta cells: growth factors, homing, fewer Th1 and Th17 cells, more
# regulatory ones. Each claim is a scorecard, a list of programmes that are read in the same way as the main one: calls above
# the background, a prevalence with its interval, a detection limit, and "not detected" where that is the truth. Transcripts are
# measured, no protein and no function.
#
# On the command line: `scdiff run batch.h5ad --set programs=[all]`, or the scorecards by name,
# as in `--set programs=[pancreatic_progenitor,paracrine,identity]`.

# %%
import matplotlib.pyplot as plt

import scdiff
from scdiff.programs import SCORECARDS, load_programs

for name, title in SCORECARDS.items():
    print(f"{title} ({name}): {', '.join(program.title for program in load_programs([name]))}")

# %% [markdown]
# ## 1. A batch of known truth
#
# Simulated cells, 4 % of them progenitor-like, from two donors.

# %%
adata = scdiff.simulate.simulate(n_cells=1_200, fraction=0.04, seed=3)
adata.obs["donor"] = ["one" if number % 2 else "two" for number in range(adata.n_obs)]
scdiff.pp.prepare(adata, sample="donor", donor="donor")

# %%
scdiff.tl.call(adata, programs=["pancreatic_progenitor", "paracrine", "identity", "stages"], null_sets=200)
scdiff.tl.fraction(adata)

# %% [markdown]
# ## 2. Paracrine factors
#
# Interleukin 10 is the honest case: resting mesenchymal cells have none, and the table says up to which share that is known.

# %%
paracrine = scdiff.tl.scorecard(adata, name="paracrine")
pooled = paracrine[paracrine["sample"] == "all"]
pooled[["title", "prevalence", "prevalence_low", "prevalence_high", "verdict", "expected"]]

# %%
figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax = scdiff.pl.read_outs(pooled, ax)
# %% [markdown]
# ## 3. Identity, beside the criterion of the protein
#
# The minimal criteria ask for 95 % of cells with CD73, CD90 and CD105, and at most 2 % with markers of blood, by flow cytometry.
# Transcripts are sparser, so the interval is held to the criterion but is no substitute for it. A gene without a row in the
# matrix is not measurable: absent is not zero.

# %%
identity = scdiff.tl.scorecard(adata, name="identity")
identity = identity[identity["sample"] == "all"]
identity[["title", "prevalence_low", "prevalence_high", "at_least", "at_most", "criterion", "verdict", "reason"]]

# %% [markdown]
# ## 4. Stages, and markers that two programmes share
#
# SOX9 is a marker of pancreatic progenitors, of duct and of cartilage. The table names such genes instead of hiding them.

# %%
stages = scdiff.tl.scorecard(adata, name="stages")
stages = stages[stages["sample"] == "all"].set_index("program")
stages[["title", "prevalence", "verdict", "shared_genes"]]

# %% [markdown]
# ## 5. In a dose
#
# The share as cells of a dose of 80 million, of which 90 % are alive; of what was not detected only the upper bound is given.

# %%
dose = scdiff.tl.dose(adata, cells=80e6, viability=0.9, weight_kg=70)
dose = dose[dose["sample"] == "all"].drop_duplicates("program").set_index("program")
dose.loc[["pancreatic_progenitor", "vegf", "il10"], ["cells", "cells_low", "cells_high", "cells_per_kg_high", "bound", "verdict"]]

# %% [markdown]
# ## 6. The check

# %%
row = stages.loc["pancreatic_progenitor"]
held = row["prevalence_low"] <= 0.04 <= row["prevalence_high"]
il10 = pooled.set_index("program").loc["il10", "verdict"]
print(f"truth inside the interval: {bool(held)} | IL-10: {il10}")
