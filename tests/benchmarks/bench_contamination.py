"""A benchmark that can fail: real cells under contamination of many shapes, none of them drawn as the assay models it.

Stromal cells of the marrow are the negatives, deep beta cells of adult islets or endocrine cells of E15.5 the positives.
The soup is made of whole cells, all genes. Each family draws the contamination, the strangers or the expression in its
own way; each batch has new seeds, drawn from ``--seed`` (another one each time where none is given).

A verdict is *sure* unless it is ``inconclusive`` or ``not measurable``. It is *wrong* where the interval misses the truth
by more than one point and by more than a quarter of the truth, or where a batch without positives is called detected.

Run: python tests/benchmarks/bench_contamination.py [--seed N] [--per-cell N] [--family NAME] [--workers N]
"""

from __future__ import annotations

import argparse
import multiprocessing
import secrets
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from sources import DATA, RESULTS, as_loaded, marker_counts, negatives, positives, write

TRUTHS = (0.0, 0.001, 0.005, 0.03, 0.15, 0.6)
DEPTHS = (1_000.0, 4_000.0, 15_000.0)
SHARES = (0.02, 0.1, 0.3, 0.5)
N_CELLS = 2_000
FLUSH = 20
DEPTH_SPREAD = 0.4
MISLABELLED_CP10K = 1_000.0
"""A cell of another islet type with so much insulin is a doublet or carries the wrong label: no stranger of known truth."""
MARKER_GENES = ("Pdx1", "Nkx6-1", "Ins1", "Ins2")

Counts = sparse.csr_matrix
Family = Callable[["Bench"], ad.AnnData]
FAMILIES: dict[str, Family] = {}
NOT_IDENTIFIABLE = ("weak", "graded", "corrected")
"""Families in which the counts do not hold the answer, so that ``inconclusive`` is no fault."""


def family(function: Family) -> Family:
    """Enter a family of batches."""
    FAMILIES[function.__name__] = function
    return function


@cache
def side(name: str) -> tuple[Counts, pd.Index, pd.Series]:
    """Counts, genes and cell types of the stromal cells, the positives of either kind, or the strangers."""
    if name in ("islet", "e15"):
        adata = positives(name)
    elif name == "stromal":
        adata = negatives()
        adata = adata[np.asarray(adata.X.sum(1)).ravel() > 2_500]
    else:
        adata = ad.read_h5ad(DATA / "islet_mouse.h5ad")
        counts, depth = marker_counts(adata)
        known = (adata.obs["cell_type"] != "beta") & (
            counts[:, 2] / depth * 1e4 < MISLABELLED_CP10K
        )
        adata = adata[known] if name == "strangers" else adata
    return (
        sparse.csr_matrix(adata.X, dtype=float),
        adata.var_names,
        adata.obs["cell_type"].astype(str),
    )


@cache
def genes() -> pd.Index:
    """All genes of all sides."""
    return side("stromal")[1].union(side("islet")[1]).union(side("e15")[1])


@cache
def counts_of(name: str) -> Counts:
    """Counts of one side on all genes."""
    matrix, names, _ = side(name)
    place = genes().get_indexer(names)
    return sparse.csr_matrix(
        (matrix.data, place[matrix.indices], matrix.indptr), shape=(matrix.shape[0], len(genes()))
    )


def pooled(name: str) -> np.ndarray:
    """Composition of one side."""
    total = np.asarray(counts_of(name).sum(0)).ravel()
    return total / total.sum()


class Bench:
    """What one batch is made of: a truth, a depth, a kind of positives, a soup and random numbers."""

    def __init__(self, truth: float, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.truth, self.n = truth, N_CELLS
        self.depth = float(self.rng.choice(DEPTHS))
        self.kind = "e15" if self.rng.random() < 0.3 else "islet"
        self.share = float(self.rng.choice(SHARES))
        islets = "e15" if self.kind == "e15" else str(self.rng.choice(["islet", "all islets"]))
        self.soup = (1 - self.share) * pooled("stromal") + self.share * pooled(islets)
        self.positive = self.rng.random(self.n) < truth
        self.facts: dict[str, Any] = {"depth": self.depth, "kind": self.kind, "share": self.share}

    def depths(self, spread: float = DEPTH_SPREAD) -> np.ndarray:
        """All counts of each droplet."""
        return np.maximum(self.rng.lognormal(np.log(self.depth), spread, self.n), 100.0)

    def hump(self, mean: float, cv: float) -> np.ndarray:
        """Share of soup in each droplet from one even hump."""
        shape = np.log1p(cv**2)
        return np.minimum(mean * self.rng.lognormal(-shape / 2, np.sqrt(shape), self.n), 0.9)

    def own(self, target: np.ndarray, replace: dict[int, tuple[str, int]] | None = None) -> Counts:
        """Counts that each cell made, thinned to ``target``; ``replace`` names another source for some droplets."""
        drawn = {
            name: self.rng.integers(counts_of(name).shape[0], size=self.n)
            for name in (self.kind, "stromal")
        }
        source = [(self.kind if yes else "stromal") for yes in self.positive]
        place = np.where(self.positive, drawn[self.kind], drawn["stromal"])
        for droplet, (name, row) in (replace or {}).items():
            source[droplet], place[droplet] = name, row
        return self.gather(np.array(source, dtype=object), place, target)

    def gather(self, source: np.ndarray, place: np.ndarray, target: np.ndarray) -> Counts:
        """Take rows of several sides, each thinned to its target."""
        parts, order = [], []
        for name in sorted(set(source)):
            rows = np.flatnonzero(source == name)
            parts.append(counts_of(name)[place[rows]])
            order.append(rows)
        stacked = sparse.vstack(parts, format="csr")[np.argsort(np.concatenate(order))]
        return thin(stacked, target / np.maximum(np.asarray(stacked.sum(1)).ravel(), 1), self.rng)

    def ambient(self, molecules: np.ndarray, profile: np.ndarray | None = None) -> Counts:
        """Molecules of soup in each droplet."""
        profile = self.soup if profile is None else profile
        number = self.rng.poisson(molecules)
        gene = np.searchsorted(
            np.cumsum(profile), self.rng.random(number.sum()) * profile.sum()
        ).clip(max=len(profile) - 1)
        return sparse.csr_matrix(
            (np.ones(len(gene)), (np.repeat(np.arange(self.n), number), gene)),
            shape=(self.n, len(profile)),
        )

    def batch(self, counts: Counts, **columns: Any) -> ad.AnnData:
        """Make the object that the steps read."""
        counts = sparse.csr_matrix(counts, dtype=np.float32)
        obs = pd.DataFrame(
            {"sample": "one"} | columns, index=[f"c{i}" for i in range(counts.shape[0])]
        )
        obs["sample"], obs["truth"] = (
            pd.Categorical(obs["sample"]),
            self.positive[: counts.shape[0]],
        )
        adata = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes()))
        adata.layers["counts"] = adata.X
        return as_loaded(adata, "mouse")

    def mixed(
        self, rho: np.ndarray, depth: np.ndarray, replace: dict[int, tuple[str, int]] | None = None
    ) -> Counts:
        """Own counts and soup, the soup a share ``rho`` of each droplet."""
        return self.own(depth * (1 - rho), replace) + self.ambient(depth * rho)


def thin(counts: Counts, keep: np.ndarray, rng: np.random.Generator) -> Counts:
    """Keep each molecule with a chance."""
    kept = rng.binomial(
        np.rint(counts.data).astype(int), np.repeat(np.clip(keep, 0, 1), np.diff(counts.indptr))
    )
    return sparse.csr_matrix(
        (kept.astype(float), counts.indices, counts.indptr), shape=counts.shape
    )


@family
def hump(bench: Bench) -> ad.AnnData:
    """One hump, CV 0.3-0.7."""
    return bench.batch(
        bench.mixed(
            bench.hump(bench.rng.choice([0.02, 0.05, 0.1, 0.2]), bench.rng.uniform(0.3, 0.7)),
            bench.depths(),
        )
    )


@family
def wide_hump(bench: Bench) -> ad.AnnData:
    """One hump, CV 0.7-1.5."""
    return bench.batch(
        bench.mixed(
            bench.hump(bench.rng.choice([0.02, 0.05, 0.1, 0.2]), bench.rng.uniform(0.7, 1.5)),
            bench.depths(),
        )
    )


@family
def two_classes(bench: Bench) -> ad.AnnData:
    """5-50 % of the droplets hold 10-60 % soup, the others 2 %."""
    bad, low = bench.rng.random(bench.n) < bench.rng.uniform(0.05, 0.5), bench.rng.uniform(0.1, 0.5)
    rho = np.where(bad, bench.rng.uniform(low, low + 0.1, bench.n), bench.hump(0.02, 0.5))
    return bench.batch(bench.mixed(rho, bench.depths()))


@family
def volume(bench: Bench) -> ad.AnnData:
    """The same volume of soup in every droplet, whatever the cell's size."""
    depth = bench.depths(bench.rng.uniform(0.3, 1.0))
    soup = bench.depth * bench.rng.choice([0.02, 0.05, 0.1]) * bench.rng.gamma(11, 1 / 11, bench.n)
    return bench.batch(bench.own(depth) + bench.ambient(soup))


@family
def by_type(bench: Bench) -> ad.AnnData:
    """Contamination bound to one type of stromal cell."""
    kinds = side("stromal")[2].to_numpy()
    chosen = bench.rng.choice(np.unique(kinds))
    rows = bench.rng.integers(len(kinds), size=bench.n)
    dirty = (kinds[rows] == chosen) & ~bench.positive
    rho = np.where(dirty, bench.hump(bench.rng.uniform(0.15, 0.4), 0.3), bench.hump(0.02, 0.5))
    replace = {int(i): ("stromal", int(rows[i])) for i in np.flatnonzero(~bench.positive)}
    return bench.batch(bench.mixed(rho, bench.depths(), replace))


@family
def by_sample(bench: Bench) -> ad.AnnData:
    """Three samples with 1, 8 and 35 % soup."""
    sample = bench.rng.integers(0, 3, bench.n)
    rho = np.minimum(bench.hump(1.0, 0.4) * np.array([0.01, 0.08, 0.35])[sample], 0.9)
    return bench.batch(bench.mixed(rho, bench.depths()), sample=[f"s{k}" for k in sample])


@family
def debris(bench: Bench) -> ad.AnnData:
    """5-30 % of the droplets hold a fragment of one lysed positive cell, 3-15 % of its molecules."""
    depth, hit = bench.depths(), bench.rng.random(bench.n) < bench.rng.uniform(0.05, 0.3)
    rows = bench.rng.integers(counts_of(bench.kind).shape[0], size=bench.n)
    fragment = thin(
        counts_of(bench.kind)[rows],
        hit * bench.rng.uniform(0.03, 0.15, bench.n) * min(1.0, bench.depth / 8_000),
        bench.rng,
    )
    return bench.batch(bench.mixed(bench.hump(0.02, 0.5), depth) + fragment)


@family
def strangers(bench: Bench) -> ad.AnnData:
    """2-10 % real islet cells that are not beta, with the soup they came with."""
    bench.kind = "islet"  # beside islet cells floats the RNA of islets
    bench.soup = (1 - bench.share) * pooled("stromal") + bench.share * pooled("all islets")
    rows = np.flatnonzero(
        ~bench.positive & (bench.rng.random(bench.n) < bench.rng.uniform(0.02, 0.1))
    )
    number = counts_of("strangers").shape[0]
    replace = {int(i): ("strangers", int(bench.rng.integers(number))) for i in rows}
    return bench.batch(bench.mixed(bench.hump(0.03, 0.5), bench.depths(), replace))


@family
def swapping(bench: Bench) -> ad.AnnData:
    """Index swapping: a share of each droplet's molecules comes from one barcode of a sample of islets."""
    depth, rate = bench.depths(), bench.rng.choice([0.002, 0.01, 0.03])
    rows = bench.rng.integers(counts_of("all islets").shape[0], size=bench.n)
    swapped = bench.gather(
        np.full(bench.n, "all islets", dtype=object),
        rows,
        rate * depth * bench.rng.lognormal(0, 0.6, bench.n),
    )
    return bench.batch(bench.mixed(bench.hump(0.03, 0.5), depth) + swapped)


@family
def doublets(bench: Bench) -> ad.AnnData:
    """4-15 % of the droplets hold two cells; the truth is that of droplets."""
    counts = bench.mixed(bench.hump(0.05, 0.5), bench.depths())
    rate = bench.rng.uniform(0.04, 0.15)
    bench.facts["doublet_rate"] = rate
    first = np.flatnonzero(bench.rng.random(bench.n) < rate)
    second = bench.rng.integers(bench.n, size=len(first))
    adder = sparse.csr_matrix((np.ones(len(first)), (first, second)), shape=(bench.n, bench.n))
    bench.facts["truth"] = (bench.positive.sum() + bench.positive[second].sum()) / (
        bench.n + len(first)
    )
    return bench.batch(counts + adder @ counts)


@family
def leak(bench: Bench) -> ad.AnnData:
    """One marker is expressed by 1-40 % of the stromal cells, at 0.2 to 1 times its level."""
    counts = sparse.lil_matrix(
        bench.mixed(bench.hump(bench.rng.choice([0.05, 0.15]), 0.7), bench.depths())
    )
    gene, level = [("Pdx1", 2.0), ("Nkx6-1", 3.0), ("Ins2", 300.0)][bench.rng.integers(3)]
    cells = np.flatnonzero(
        ~bench.positive & (bench.rng.random(bench.n) < bench.rng.uniform(0.01, 0.4))
    )
    mean = (
        level
        / 1e4
        * bench.depth
        * bench.rng.uniform(0.2, 1.0)
        * bench.rng.lognormal(0, 0.5, len(cells))
    )
    column = genes().get_loc(gene)
    for cell, count in zip(cells, bench.rng.poisson(mean), strict=True):
        counts[cell, column] += count
    return bench.batch(counts.tocsr())


@family
def weak(bench: Bench) -> ad.AnnData:
    """Positives express their markers at 0.1 to 0.4 times the level of beta cells."""
    depth, rho = bench.depths(), bench.hump(0.05, 0.7)
    own = _weaker(
        bench.own(depth * (1 - rho)),
        np.where(bench.positive, bench.rng.uniform(0.1, 0.4), 1.0),
        bench.rng,
    )
    return bench.batch(own + bench.ambient(depth * rho))


@family
def graded(bench: Bench) -> ad.AnnData:
    """Expression is graded: from nothing to all, evenly in the logarithm; above a tenth counts as positive."""
    depth, rho, factor = (
        bench.depths(),
        bench.hump(0.05, 0.7),
        np.exp(bench.rng.uniform(np.log(0.01), 0.0, bench.n)),
    )
    own = _weaker(bench.own(depth * (1 - rho)), np.where(bench.positive, factor, 1.0), bench.rng)
    bench.positive &= factor >= 0.1
    return bench.batch(own + bench.ambient(depth * rho))


def _weaker(counts: Counts, factor: np.ndarray, rng: np.random.Generator) -> Counts:
    """Thin the markers only."""
    marker = np.isin(counts.indices, genes().get_indexer(MARKER_GENES))
    keep = np.where(marker, np.repeat(factor, np.diff(counts.indptr)), 1.0)
    return sparse.csr_matrix(
        (rng.binomial(counts.data.astype(int), keep).astype(float), counts.indices, counts.indptr),
        shape=counts.shape,
    )


@family
def corrected(bench: Bench) -> ad.AnnData:
    """Counts that somebody corrected: the mean soup taken off and rounded, or normalised to 10,000 and rounded."""
    depth, rho = bench.depths(), bench.hump(0.12, 0.7)
    counts = bench.mixed(rho, depth)
    if bench.rng.random() < 0.5:
        total = np.asarray(counts.sum(1)).ravel()
        counts = sparse.diags(1e4 / total) @ counts
        counts.data = np.rint(counts.data)
        return bench.batch(counts)
    counts = counts.tocsr()
    off = (
        np.repeat(0.12 * np.asarray(counts.sum(1)).ravel(), np.diff(counts.indptr))
        * bench.soup[counts.indices]
    )
    counts.data = np.maximum(counts.data - np.floor(off + bench.rng.random(len(off))), 0)
    counts.eliminate_zeros()
    return bench.batch(counts)


def measure(task: tuple[str, float, int]) -> dict[str, Any]:
    """Run the assay on one batch."""
    import scdiff

    warnings.simplefilter("ignore")
    name, truth, seed = task
    bench = Bench(truth, seed)
    adata = FAMILIES[name](bench)
    started = time.process_time()
    row: dict[str, Any] = {
        "family": name,
        "seed": seed,
        "pi": truth,
        "truth": float(bench.positive.mean()),
    } | bench.facts
    scdiff.tl.call(
        adata,
        programs=["pancreatic_progenitor"],
        null_sets=0,
        doublet_rate=bench.facts.get("doublet_rate"),
    )
    scdiff.tl.fraction(adata)
    table = adata.uns["scdiff"]["fractions"]
    found = table[(table["state"] == "progenitor_like") & (table["sample"] == "all")].iloc[0]
    keys = (
        "prevalence",
        "prevalence_low",
        "prevalence_high",
        "n_called",
        "lob",
        "lod",
        "verdict",
        "reason",
    )
    row |= {key: found.get(key, "") for key in keys} | {"cpu": time.process_time() - started}
    called = adata.obsm["scdiff_positive"]["pancreatic_progenitor"].to_numpy(bool)
    return row | {
        "precision": adata.obs["truth"].to_numpy()[called].mean() if called.any() else np.nan
    }


def judge(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what each batch counts as."""
    low, high, truth = frame["prevalence_low"], frame["prevalence_high"], frame["truth"]
    sure = ~frame["verdict"].isin(["inconclusive", "not measurable"])
    miss = np.maximum(np.maximum(low - truth, truth - high.fillna(1.0)), 0)
    found = frame["verdict"].isin(["detected", "quantified"])
    identifiable = ~frame["family"].isin(NOT_IDENTIFIABLE)
    return frame.assign(
        sure=sure, wrong=sure & (miss > 0.01) & (miss > truth / 4), false_find=found & (truth == 0),
        inconclusive=~sure, identifiable=identifiable, held=(miss == 0) & sure, width=high - low,
    )  # fmt: skip


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per family."""
    rows = []
    for name, part in [*frame.groupby("family", sort=False), ("all", frame)]:
        zero = part[part["truth"] == 0]
        error = (part["prevalence"] - part["truth"]).abs()[part["sure"]] * 100
        rows.append({
            "family": name, "batches": len(part), "sure and wrong, %": part["wrong"].mean() * 100,
            "false finds among zeros, %": zero["false_find"].mean() * 100, "inconclusive, %": part["inconclusive"].mean() * 100,
            "interval holds truth, % of sure": part["held"].sum() / max(part["sure"].sum(), 1) * 100,
            "mean error, points": error.mean(), "worst error, points": error.max(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    """Run all batches, write both tables, print the acceptance lines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--per-cell", type=int, default=6, help="batches per family and truth")
    parser.add_argument("--family", action="append")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", default="contamination")
    asked = parser.parse_args()
    names = asked.family or list(FAMILIES)
    for name in ("stromal", "islet", "e15", "strangers", "all islets"):
        counts_of(name)
    tasks = [(name, truth, asked.seed * 100_000 + 1_000 * list(FAMILIES).index(name) + 100 * index + number)
             for number in range(asked.per_cell) for name in names for index, truth in enumerate(TRUTHS)]  # fmt: skip
    sys.stdout.write(f"seed {asked.seed}, {len(tasks)} batches\n")
    rows: list[dict[str, Any]] = []
    with multiprocessing.Pool(asked.workers) as pool:
        for row in pool.imap_unordered(measure, tasks, chunksize=1):
            rows.append(row)
            if len(rows) % FLUSH == 0 or len(rows) == len(
                tasks
            ):  # a run that is broken off leaves what it has
                frame = judge(pd.DataFrame(rows)).sort_values(["family", "pi", "seed"])
                frame.to_csv(RESULTS / f"{asked.out}_batches.csv", index=False, float_format="%.6g")
    report(frame, asked.out, asked.seed)


def report(frame: pd.DataFrame, name: str, seed: int) -> None:
    """Write the table of the families, print the acceptance lines and the batches behind them."""
    write(
        summarise(frame), name, notes=[f"Seed {seed}; {len(frame)} batches of {N_CELLS:,} cells."]
    )
    some, one_hump = frame[frame["identifiable"]], frame[frame["family"] == "hump"]
    lines = {
        "sure and wrong": frame["wrong"].mean(),
        "false finds among zero batches": frame.loc[frame["truth"] == 0, "false_find"].mean(),
        "inconclusive among identifiable batches": some["inconclusive"].mean(),
        "inconclusive among one-hump batches, CV up to 0.7": one_hump["inconclusive"].mean(),
    }
    sys.stdout.write("\n".join(f"{name}: {value:.2%}" for name, value in lines.items()) + "\n")
    shown = [
        "family",
        "seed",
        "truth",
        "prevalence",
        "prevalence_low",
        "prevalence_high",
        "n_called",
        "lob",
        "verdict",
        "precision",
    ]
    shown += ["depth", "share", "kind", "reason"]
    bad = frame[
        frame["wrong"] | frame["false_find"] | (frame["inconclusive"] & frame["identifiable"])
    ]
    sys.stdout.write(bad[shown].to_string() + "\n")


if __name__ == "__main__":
    main()
