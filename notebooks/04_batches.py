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

# %% [markdown]
# # Batches: from runs to a history, a chart and a release
#
# Twelve batches of one process, one a week. The first seven hold about 10 % pancreatic-progenitor-like cells; from the
# eighth on, the share falls from batch to batch. All batches are simulated. This notebook uses the same commands as a
# terminal does: `scdiff run`, `scdiff trend`, `scdiff release` and `scdiff history`. Times and hashes differ each time,
# so the notebook shows them as "...".

# %%
import contextlib
import io
import os
import re
import tempfile

import matplotlib.pyplot as plt
import pandas as pd

from scdiff.cli import main
from scdiff.simulate import BatchDesign, simulate

FRACTIONS = [0.10, 0.09, 0.11, 0.10, 0.11, 0.09, 0.10, 0.08, 0.06, 0.05, 0.035, 0.025]
HISTORY = "sqlite:///batches.db"
CHANGING = re.compile(r"[0-9a-f]{16,}|\d{4}-\d\d-\d\dT[\d:]+Z")
os.chdir(tempfile.mkdtemp())


def scdiff(*words: str) -> int:
    """Run a command of scdiff as a terminal does; return its exit code."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = main(list(words))
    print(CHANGING.sub("...", said.getvalue()), end="")
    return code


# %% [markdown]
# ## 1. Run and register
#
# `--history` registers each run in a database: its figures, the hashes of its inputs and the versions of the software.
# Rows are only added, never changed.

# %%
for week, fraction in enumerate(FRACTIONS, start=1):
    name = f"batch{week:02d}"
    simulate(n_cells=1_500, fraction=fraction, design=BatchDesign(nuisance=0.0), seed=week).write_h5ad(f"{name}.h5ad")
    code = scdiff("run", f"{name}.h5ad", "--out", name, "--history", HISTORY, "--quiet", "--set", "programs=[pancreatic_progenitor]")

# %%
code = scdiff("history", "list", "--history", HISTORY)

# %% [markdown]
# ## 2. The chart
#
# `scdiff trend` writes one page with all charts (`index.html`) and the figures behind them (`trend.csv`).

# %%
code = scdiff("trend", "--history", HISTORY, "--out", "trend")
trend = pd.read_csv("trend/tables/trend.csv")
trend[["batch", "value", "low", "high", "verdict", "ewma", "ewma_limit"]].round(3)

# %%
figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, layout="constrained")
weeks = range(1, len(trend) + 1)
top.errorbar(weeks, trend["value"] * 100, yerr=[(trend["value"] - trend["low"]) * 100, (trend["high"] - trend["value"]) * 100], fmt="o")
top.plot(weeks, [100 * fraction for fraction in FRACTIONS], "x", color="black", label="truth")
top.set_ylabel("progenitor-like cells (%)")
top.legend()
bottom.plot(weeks, trend["ewma"], "o-")
for sign in (-1, 1):
    bottom.plot(weeks, sign * trend["ewma_limit"], color="#D55E00")
bottom.set(xlabel="week", ylabel="EWMA (sd)")
plt.show()

# %% [markdown]
# A point outside the limits asks for a note: cause, action and name. The note stays on its point.

# %%
note = ("--cause", "growth factor of lot B7 was weak", "--action", "lot replaced", "--who", "A. Muster")
code = scdiff("history", "note", "--history", HISTORY, "--batch", "batch12", *note)

# %% [markdown]
# ## 3. The release
#
# A specification states the limits. Each criterion is judged on the end of the interval that protects the patient, so
# a batch near a limit is "CANNOT TELL" and not "PASS". `release.html` is the sheet to sign.

# %%
written = ("--out", "release", "--history", HISTORY, "--who", "A. Muster")
code = scdiff("release", "batch01", "batch12", "--spec", "progenitor_yield", *written)
pd.read_csv("release/release.csv")[["batch", "title", "figure", "low", "high", "at_least", "decision"]]

# %% [markdown]
# ## 4. Nothing was changed
#
# Every row of the history holds the hash of the row before it, and every release the hashes of its tables.

# %%
codes = scdiff("history", "verify", "--history", HISTORY), scdiff("release", "--verify", "--out", "release", "--history", HISTORY)
