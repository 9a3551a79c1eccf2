"""A finished run made by hand: 600 cells of two samples and a control, following the contract of the keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scdiff.assay.calibration import Calibration, calibration_record
from scdiff.assay.empirical import NOMINAL
from scdiff.report.output import stage_report, write_report
from scdiff.report.section import Section
from scdiff.report.sections import all_sections
from scdiff.steps.dose import dose
from scdiff.steps.fraction.donors import donor_tables

MAIN = "pancreatic_progenitor"
MARKERS = ("PDX1", "NKX6-1", "INS", "NEUROG3")
STATES = ("progenitor", "endocrine_progenitor", "beta_like", "unspecific", "unassigned")
N_GENES = 40


def make_batch(
    verdict: str = "quantified", *, n_cells: int = 600, seed: int = 0
) -> anndata.AnnData:
    """Build a finished object with the verdict asked for."""
    rng = np.random.default_rng([seed, 7])
    sample = np.array(["donor A", "donor B", "medium control"])[np.arange(n_cells) % 3]
    positive = _positive(rng, sample, verdict)
    adata = anndata.AnnData(
        obs=_obs(rng, sample, positive), var=_var(), layers={"counts": _counts(rng, positive)}
    )
    adata.X = _lognorm(adata.layers["counts"])
    adata.uns["log1p"] = {"base": None}
    _embed(adata, rng, positive)
    _call(adata, rng, positive, verdict)
    _trajectory(adata, positive)
    adata.uns["scdiff"] |= {
        "input": _input(),
        "qc": _qc(adata),
        "fractions": _fractions(adata, verdict),
        "axes": _axes(adata),
    }
    adata.uns["scdiff"]["run"] = {
        "options": {
            "load": "species: human\n",
            "qc": "n_mads: 5.0\ndoublets: true\n",
            "embed": "n_pcs: 30\n",
        },
        "versions": {"scdiff": "0.1.0", "python": "3.11.2", "scanpy": "1.11.5"},
        "seconds": {"load": 0.4, "qc": 1.2},
    }
    adata.uns["scdiff"] |= {
        "donors": _donors(adata.uns["scdiff"]["fractions"], verdict),
        "dose": dose(adata),
    }
    return adata


def _positive(rng: np.random.Generator, sample: np.ndarray, verdict: str) -> np.ndarray:
    share = {"quantified": 0.12, "detected": 0.015, "not detected": 0.0, "not measurable": 0.0}[
        verdict
    ]
    return (rng.random(len(sample)) < share) & (sample != "medium control")


def _obs(rng: np.random.Generator, sample: np.ndarray, positive: np.ndarray) -> pd.DataFrame:
    n_cells = len(sample)
    depth = rng.lognormal(9.4, 0.5, n_cells).round()
    state = np.where(
        positive,
        rng.choice(STATES[:3], n_cells, p=[0.6, 0.2, 0.2]),
        rng.choice(["negative", *STATES[3:]], n_cells, p=[0.94, 0.03, 0.03]),
    )
    names = [f"{one}:{index:05d}-1" for index, one in enumerate(sample)]
    return pd.DataFrame(
        {
            "sample": pd.Categorical(sample),
            "control": sample == "medium control",
            "total_counts": depth,
            "n_genes_by_counts": (900 * np.sqrt(depth / 3000)).astype(int),
            "pct_counts_mt": rng.gamma(4, 0.6, n_cells),
            "doublet_score": rng.random(n_cells) * 0.2,
            "predicted_doublet": np.zeros(n_cells, dtype=bool),
            "scdiff_state": pd.Categorical(state),
            "scdiff_probability": np.where(positive, 0.97, rng.random(n_cells) * 0.1),
        },
        index=names,
    )


def _var() -> pd.DataFrame:
    names = [*MARKERS, *(f"GENE{index}" for index in range(N_GENES - len(MARKERS)))]
    return pd.DataFrame({"gene_id": [f"ENSG{index:011d}" for index in range(N_GENES)]}, index=names)


def _counts(rng: np.random.Generator, positive: np.ndarray) -> sparse.csr_matrix:
    counts = rng.poisson(30.0, (len(positive), N_GENES))
    counts[:, : len(MARKERS)] = rng.poisson([0.02, 0.02, 0.6, 0.01], (len(positive), len(MARKERS)))
    counts[positive, : len(MARKERS)] += rng.poisson(
        [2.5, 2.0, 60.0, 0.5], (int(positive.sum()), len(MARKERS))
    )
    return sparse.csr_matrix(counts.astype(np.float32))


def _lognorm(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    scaled = counts.multiply(1e4 / counts.sum(axis=1)).tocsr()
    return scaled.log1p().astype(np.float32)


def _embed(adata: anndata.AnnData, rng: np.random.Generator, positive: np.ndarray) -> None:
    cluster = np.where(positive, 3, rng.integers(0, 3, adata.n_obs))
    centres = np.array([[0.0, 0.0], [4.0, 1.0], [1.5, 4.0], [9.0, 5.0]])
    adata.obsm["X_umap"] = (centres[cluster] + rng.normal(0, 0.9, (adata.n_obs, 2))).astype(
        np.float32
    )
    adata.obs["leiden"] = pd.Categorical(cluster.astype(str))


def _call(
    adata: anndata.AnnData, rng: np.random.Generator, positive: np.ndarray, verdict: str
) -> None:
    counts = adata.layers["counts"][:, : len(MARKERS)].toarray()
    evidence = pd.DataFrame(
        np.where(counts > 0, 2.5 * counts - 1.5, -0.3) + rng.normal(0, 0.1, counts.shape),
        adata.obs_names,
        list(MARKERS),
    )
    absent = ["PDX1", "INS"] if verdict == "not measurable" else []
    evidence[absent] = np.nan
    adata.obsm["scdiff_evidence"] = evidence.add_prefix(f"{MAIN}:")
    adata.obsm["scdiff_positive"] = pd.DataFrame(
        {MAIN: positive, "vegf": rng.random(adata.n_obs) < 0.4}, adata.obs_names
    )
    adata.obsm["scdiff_probabilities"] = adata.obsm["scdiff_positive"] * 0.9 + 0.05
    markers = pd.DataFrame(
        {
            "genes": list(MARKERS),
            "background_cp10k": [0.01, 0.02, 3.0, 0.01],
            "level_cp10k": [2.0, 3.0, 900.0, 2.0],
            "n_on": (evidence > 0).sum().to_numpy(),
            "n_detected": (counts > 0).sum(axis=0),
        },
        index=list(MARKERS),
    )
    reason = "PDX1 and INS have no row in this matrix" if absent else ""
    facts = {
        "found": np.array([name for name in MARKERS if name not in absent]),
        "absent": np.array(absent, dtype=str),
        "markers": markers,
    }
    calibration = {} if absent else {"calibration": _calibration(adata.n_obs)}
    adata.uns["scdiff"] = {
        "call": {
            "main": MAIN,
            MAIN: {**facts, "measurable": not absent, "reason": reason, **calibration},
        }
    }


def _calibration(n_cells: int) -> dict[str, object]:
    rng = np.random.default_rng(0)
    shares = [np.clip(NOMINAL[:, None] * rng.uniform(0.9, 1.1, 5), 0, 1) for _ in range(2)]
    own = np.clip(NOMINAL[:, None] * 1.5 + 0.01, 0, 1) * np.ones(5)
    blank, notes = np.linspace(0, 0.002, 40), ("At nominal 5 % the rate is off.",)
    return calibration_record(
        Calibration(rng.random(n_cells), *shares, own, blank, np.array([1.2]), 1_000, notes, 0)
    )


def _trajectory(adata: anndata.AnnData, positive: np.ndarray) -> None:
    xy = adata.obsm["X_umap"]
    distance = np.hypot(*(xy - xy[0]).T)
    adata.obs["dpt_pseudotime"] = np.where(positive, np.nan, distance / distance.max())
    adata.obs["scdiff_component"] = pd.Categorical(positive.astype(int).astype(str))
    clusters = sorted(adata.obs["leiden"].cat.categories)
    paga = pd.DataFrame(0.4, clusters, clusters) * (1 - np.eye(len(clusters)))
    numbers = adata.obs["scdiff_component"].value_counts()
    adata.uns["scdiff"]["trajectory"] = {
        "root_cluster": "0",
        "root_cell": str(adata.obs_names[0]),
        "root_candidates": pd.DataFrame({"msc_identity": 0.8, "score": 0.7}, index=clusters),
        "components": pd.DataFrame(
            {"n_cells": numbers, "n_positive": 0, "has_root": numbers.index == "0"},
            index=numbers.index.astype(str),
        ),
        "paga": paga,
        "notes": np.array(["The called cells form a component of their own."]),
    }


def _input() -> dict[str, object]:
    files = pd.DataFrame(
        {
            "path": ["a.h5ad", "b.h5ad", "c.h5ad"],
            "sha256": ["0123456789abcdef" * 4] * 3,
            "layout": "h5ad",
            "n_cells": 250,
            "n_genes": N_GENES,
        },
        index=["donor A", "donor B", "medium control"],
    )
    return {
        "species": "human",
        "technology": "UMI",
        "repairs": np.array(["2 duplicate symbols were made unique."]),
        "notes": np.array([], dtype=str),
        "files": files,
        "absent": np.array([], dtype=str),
    }


def _qc(adata: anndata.AnnData) -> dict[str, object]:
    after = adata.obs["sample"].value_counts().sort_index()
    reasons = pd.DataFrame(
        {"empty": 20, "low_counts": 12, "low_genes": 5, "high_mito": 9, "doublet": 14},
        index=after.index.astype(str),
    )
    dropped = reasons.assign(n_after=after.to_numpy())
    dropped.insert(0, "n_before", dropped.sum(axis=1))
    thresholds = pd.DataFrame(
        {"min_counts": 3000.0, "min_genes": 900.0, "max_mito_percent": [6.0, 6.5, np.nan]},
        index=dropped.index,
    )
    return {"dropped": dropped, "thresholds": thresholds, "notes": np.array([], dtype=str)}


def _fractions(adata: anndata.AnnData, verdict: str) -> pd.DataFrame:
    rows = []
    for state in ("progenitor_like", *STATES):
        for sample in ("donor A", "donor B", "medium control", "all"):
            chosen = ~adata.obs["control"] if sample == "all" else adata.obs["sample"] == sample
            called = (
                adata.obsm["scdiff_positive"][MAIN]
                if state == "progenitor_like"
                else adata.obs["scdiff_state"] == state
            )
            rows.append(
                _row(MAIN, state, sample, int(chosen.sum()), int((called & chosen).sum()), verdict)
            )
    for program, share in (("il10", 0.0), ("vegf", 0.4), ("hgf", 0.08), ("msc_identity", 0.93)):
        rows.extend(
            _row(
                program,
                "positive",
                sample,
                400,
                round(400 * share),
                "quantified" if share else "not detected",
            )
            for sample in ("donor A", "all")
        )
    return pd.DataFrame(rows)


def _donors(fractions: pd.DataFrame, verdict: str) -> dict[str, pd.DataFrame]:
    main = fractions[(fractions["program"] == MAIN) & (fractions["state"] == "progenitor_like")]
    other = [
        _row("vegf", "positive", sample, 400, called, "quantified")
        for sample, called in (("donor A", 120), ("donor B", 200), ("all", 160))
    ]
    names = {"donor A": "sample donor A", "donor B": "sample donor B"}
    reasons = (
        {MAIN: "PDX1 and INS have no row in this matrix"} if verdict == "not measurable" else {}
    )
    return donor_tables(pd.concat([main, pd.DataFrame(other)]), names, reasons)


def _row(
    program: str, state: str, sample: str, n_cells: int, n_called: int, verdict: str
) -> dict[str, object]:
    fraction = n_called / n_cells
    half = 1.96 * np.sqrt(fraction * (1 - fraction) / n_cells)
    high = fraction + half if n_called else 1 - 0.025 ** (1 / n_cells)
    numbers = {
        "fraction": fraction,
        "fraction_low": max(fraction - half, 0.0),
        "fraction_high": min(high, 1.0),
        "prevalence": min(1.1 * fraction, 1.0),
        "prevalence_low": max(1.1 * fraction - 1.2 * half, 0.0),
        "prevalence_high": min(1.1 * high, 1.0),
        "lob": 0.002,
        "lod": 0.008,
        "lloq": 0.04,
    }
    if sample == "medium control" and verdict != "not measurable":
        verdict = "not detected"
    if verdict == "not measurable":
        numbers |= dict.fromkeys(
            (*(name for name in numbers if name.startswith("prevalence")), "lob", "lod", "lloq"),
            float("nan"),
        )
    return {
        "program": program,
        "state": state,
        "sample": sample,
        "n_cells": n_cells,
        "n_called": n_called,
        **numbers,
        "verdict": verdict,
    }


def _axes(adata: anndata.AnnData) -> pd.DataFrame:
    sides = [
        ("CXCL12-CXCR4", "ligand", "CXCL12", 0.6, 0.0),
        ("CXCL12-CXCR4", "receptor", "CXCR4", 0.01, 0.4),
        ("VEGFA-KDR/FLT1", "ligand", "VEGFA", 0.45, 0.1),
        ("VEGFA-KDR/FLT1", "receptor", "KDR", 0.0, 0.02),
        ("VEGFA-KDR/FLT1", "receptor", "FLT1", 0.1, None),
        ("IL10-IL10RA/B", "ligand", "IL10", None, 0.0),
        ("IL10-IL10RA/B", "receptor", "IL10RA", 0.2, 0.3),
    ]
    rows = []
    for axis, side, gene, share, elsewhere in sides:
        head = {"axis": axis, "side": side, "gene": gene}
        for sample in ("donor A", "all"):
            reason = "" if share is not None else f"{gene} has no row in this matrix"
            rows.append(
                head
                | {"sample": sample, "where": "batch", "species": "human"}
                | _axis_numbers(adata.n_obs, share, reason)
            )
        place = {
            "sample": "endothelium",
            "where": "endothelium",
            "species": "mouse",
            "gene": gene.capitalize(),
        }
        rows.append(
            head
            | place
            | _axis_numbers(
                139, elsewhere, "" if elsewhere is not None else f"no row for {gene} in the profile"
            )
        )
    return pd.DataFrame(rows)


def _axis_numbers(n_cells: int, share: float | None, reason: str) -> dict[str, object]:
    value = share if share is not None else float("nan")
    ends = {"low": value * 0.8, "high": value * 1.2 + 0.003}
    return {
        "n_cells": n_cells,
        "n_expressing": round(n_cells * (share or 0)),
        "fraction": value,
        **{f"fraction_{name}": end for name, end in ends.items()},
        "prevalence": value if n_cells > 200 else float("nan"),
        **{
            f"prevalence_{name}": end if n_cells > 200 else float("nan")
            for name, end in ends.items()
        },
        "lod": 0.005 if share is not None else float("nan"),
        "verdict": "not measurable" if share is None else "detected" if share else "not detected",
        "above_background": "" if share is None else "yes" if share > 0.05 else "no",
        "reason": reason,
    }


@cache
def _drawn(verdict: str) -> tuple[anndata.AnnData, tuple[Section, ...]]:
    adata = make_batch(verdict)
    return adata, tuple(all_sections(adata))


@pytest.fixture(scope="session")
def drawn() -> Callable[[str], tuple[anndata.AnnData, tuple[Section, ...]]]:
    """Object and its sections by verdict, drawn once; look, do not change."""
    return _drawn


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of the whole report by verdict, written once; look, do not change."""

    @cache
    def publish(verdict: str) -> Path:
        out = tmp_path_factory.mktemp(verdict.replace(" ", "-"))
        adata, sections = _drawn(verdict)
        with stage_report(out) as folder:
            write_report(adata, list(sections), folder, batch=out.name)
        return out

    return publish


@pytest.fixture
def batch() -> Callable[..., anndata.AnnData]:
    """Builder of finished objects, by verdict."""
    return make_batch


@pytest.fixture
def finished() -> anndata.AnnData:
    """A finished object with a quantified fraction."""
    return _finished().copy()


@cache
def _finished() -> anndata.AnnData:
    """Build it once for all tests."""
    return make_batch()
