"""Programmes whose rule is ``score``: called by their gene set, through the steps call and fraction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from recorded import as_loaded
from scipy import sparse

from scdiff.errors import ProgramError
from scdiff.steps.call.step import call
from scdiff.steps.fraction.step import fraction

GENES = [f"SETGENE{number}" for number in range(12)]
PROGRAM = """
name = "mine"
title = "Mine"
summary = "A test."
source = "field convention"
rule = "score"
positive = "raised"
[[sets]]
name = "genes"
human = [GENES]
source = "field convention"
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A programme of twelve genes."""
    path = tmp_path / "mine.toml"
    path.write_text(
        PROGRAM.replace("GENES", ", ".join(f'"{gene}"' for gene in GENES)), encoding="utf-8"
    )
    return str(path)


def drawn(seed: int = 0, share: float = 0.2, names: list[str] = GENES) -> AnnData:
    """Draw two samples; in a share of the cells of the second the set is raised."""
    rng = np.random.default_rng(seed)
    n_cells, n_genes = 600, 300
    level = np.concatenate([rng.lognormal(-1, 0.3, 12), rng.lognormal(-1, 1, n_genes - 12)])
    sample = np.repeat(["a", "b"], n_cells // 2)
    raised = (sample == "b") & (rng.random(n_cells) < share)
    mean = rng.lognormal(7.5, 0.3, (n_cells, 1)) * level / level.sum()
    mean[:, :12] *= np.where(raised, 8.0, 1.0)[:, None]
    adata = AnnData(layers={"counts": sparse.csr_matrix(rng.poisson(mean).astype(np.float32))})
    adata.var_names = [*names, *(f"GENE{number}" for number in range(n_genes - 13)), "HGF"]
    adata.obs_names = [f"cell{number}" for number in range(n_cells)]
    adata.obs["sample"], adata.obs["raised"] = pd.Categorical(sample), raised
    as_loaded(adata)
    return adata


@pytest.mark.slow
def test_a_raised_set_is_called_where_it_is_raised(program):
    adata = drawn()
    call(adata, programs=["hgf", program])
    fraction(adata)
    rows = adata.uns["scdiff"]["fractions"].set_index(["program", "sample"]).loc["mine"]
    assert (
        list(rows["verdict"]) == ["quantified", "not detected", "quantified"]
        or rows.loc["b", "verdict"] == "detected"
    )
    assert (
        rows.loc["b", "prevalence_low"]
        < adata.obs["raised"][adata.obs["sample"] == "b"].mean()
        < rows.loc["b", "prevalence_high"]
    )
    assert rows.loc["a", "n_called"] <= 3
    positive = adata.obsm["scdiff_positive"]["mine"]
    assert positive[adata.obs["raised"]].mean() > 0.8
    record = adata.uns["scdiff"]["call"]["mine"]
    assert (record["measurable"], list(record["found"])) == (True, GENES)
    assert "qq" in record["calibration"]
    assert {"mine:mine"} <= set(adata.obsm["scdiff_evidence"].columns)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "null_sets", "said"),
    [
        (
            [f"OTHER{number}" for number in range(9)] + GENES[:3],
            100,
            r"only 3 of its 12 genes have a row in this matrix",
        ),
        (GENES, 0, r"null_sets is 0"),
    ],
)
def test_what_cannot_be_measured_says_why(program, names, null_sets, said):
    adata = drawn(names=names)
    call(adata, programs=["hgf", program], null_sets=null_sets)
    fraction(adata)
    rows = adata.uns["scdiff"]["fractions"].set_index("program").loc[["mine"]]
    assert set(rows["verdict"]) == {"not measurable"}
    assert said in adata.uns["scdiff"]["call"]["mine"]["reason"]
    assert adata.obsm["scdiff_probabilities"]["mine"].isna().all()


def test_a_set_alone_carries_no_verdict(program):
    with pytest.raises(ProgramError, match="has markers to call: name one that has"):
        call(drawn(), programs=[program])
