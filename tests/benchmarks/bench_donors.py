"""Intervals over donors and comparisons of donor groups: coverage, false discoveries and power, by simulation.

``python tests/benchmarks/bench_donors.py [--quick]`` prints the tables and writes ``results/donors.csv`` and ``donors.md``.
Donors' fractions are beta distributed around the truth with a known CV (intervals) or overdispersion (comparisons), 500-3,000
cells each. ``corrected`` stands for prevalences with a standard error: three in five positive cells are called, and the
fraction is divided by that.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import betaln, expit, logit
from scipy.stats import chi2, f, norm, t, ttest_rel

from scdiff.assay import donors
from scdiff.assay.donors import (
    beta_binomial_interval,
    compare_donors,
    compare_pairs,
    effective_cells,
)
from scdiff.assay.intervals import clopper_pearson, donor_interval

RESULTS = Path(__file__).parent / "results"
TRUTHS, CVS, N_DONORS = (0.005, 0.01, 0.04, 0.2), (0.1, 0.3, 0.5, 1.0), (2, 3, 5, 8)
EARLIER_PRIOR = (0.03, 1.4)
"""Median of the overdispersion, and standard deviation of its logarithm, that earlier versions took for the interval."""
SENSITIVITY = 0.6
LOGITS = np.linspace(-13, 9, 121)


def drawn(
    rng: np.random.Generator, truth: float, rho: float, n_donors: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fractions of donors, and their cells."""
    total = (1 - rho) / rho
    return rng.beta(truth * total, (1 - truth) * total, n_donors), rng.integers(500, 3001, n_donors)


def measured(
    rng: np.random.Generator, fractions: np.ndarray, cells: np.ndarray, *, corrected: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Fractions as measured, and the cells that they are worth."""
    if not corrected:
        return rng.binomial(cells, fractions) / cells, cells.astype(float)
    called = rng.binomial(cells, SENSITIVITY * fractions)
    ends = (
        np.array([clopper_pearson(int(k), int(n)) for k, n in zip(called, cells, strict=True)])
        / SENSITIVITY
    )
    value, ends = np.clip(called / cells / SENSITIVITY, 0, 1), np.clip(ends, 0, 1)
    return value, effective_cells(value, ends[:, 0], ends[:, 1], cells)


def log_likelihood(
    values: np.ndarray, cells: np.ndarray, logits: np.ndarray, rho: np.ndarray
) -> np.ndarray:
    """Beta-binomial, shape (n_rho, n_logits)."""
    total = ((1 - rho) / rho)[:, None]
    a, b = expit(logits) * total, expit(-logits) * total
    return sum(
        betaln(x + a, n - x + b) - betaln(a, b) for x, n in zip(values * cells, cells, strict=True)
    )


def profile_interval(values: np.ndarray, cells: np.ndarray) -> tuple[float, float]:
    """Profile likelihood of the mean, penalised by the earlier prior on the overdispersion."""
    median, spread = EARLIER_PRIOR
    penalty = ((np.log(donors.GRID / median) / spread) ** 2 / 2)[:, None]
    profile = (log_likelihood(values, cells, LOGITS, donors.GRID) - penalty).max(axis=0)
    place = LOGITS[profile.argmax()]

    def drop(x: float) -> float:
        return float(profile.max() - np.interp(x, LOGITS, profile) - chi2.ppf(0.95, 1) / 2)

    low = expit(brentq(drop, LOGITS[0], place)) if values.any() and drop(LOGITS[0]) > 0 else 0.0
    return low, expit(brentq(drop, place, LOGITS[-1])) if drop(LOGITS[-1]) > 0 else 1.0


def known_interval(values: np.ndarray, cells: np.ndarray, cv: float) -> tuple[float, float]:
    """Beta-binomial interval of somebody who knows how much donors differ."""
    spreads, scale = donors.SPREADS, donors.DONOR_SD
    donors.SPREADS, donors.DONOR_SD = np.array([cv]), 1e3
    found = beta_binomial_interval(values, cells)
    donors.SPREADS, donors.DONOR_SD = spreads, scale
    return found


INTERVALS = {
    "beta-binomial": beta_binomial_interval,
    "beta-binomial profile": profile_interval,
    "logit-t": donor_interval,
}


def intervals(n_draws: int, seed: int) -> pd.DataFrame:
    """Coverage and width of each method in each corner."""
    rng, rows = np.random.default_rng(seed), []
    corners = [
        (m, p, r, d) for m in ("called", "corrected") for p in TRUTHS for r in CVS for d in N_DONORS
    ]
    for measure, truth, cv, n_donors in corners:
        rho = cv**2 * truth / (1 - truth)
        for _ in range(n_draws):
            values, cells = measured(
                rng, *drawn(rng, truth, rho, n_donors), corrected=measure == "corrected"
            )
            found = {method: interval(values, cells) for method, interval in INTERVALS.items()}
            found["spread known"] = known_interval(values, cells, cv)
            rows += [
                (measure, truth, cv, n_donors, name, low <= truth <= high, 100 * (high - low))
                for name, (low, high) in found.items()
            ]
    table = pd.DataFrame(
        rows, columns=["measure", "truth", "cv", "n_donors", "method", "covered", "width_points"]
    )
    return table.groupby(["measure", "truth", "cv", "n_donors", "method"], as_index=False).mean()


def pooled_t(a: np.ndarray, b: np.ndarray, *, welch: bool = False) -> float:
    """p-value of Student's (or Welch's) t."""
    va, vb, na, nb = a.var(ddof=1), b.var(ddof=1), len(a), len(b)
    if welch:
        error, df = (
            va / na + vb / nb,
            (va / na + vb / nb) ** 2
            / max((va / na) ** 2 / (na - 1) + (vb / nb) ** 2 / (nb - 1), 1e-300),
        )
    else:
        error, df = ((na - 1) * va + (nb - 1) * vb) / (na + nb - 2) * (1 / na + 1 / nb), na + nb - 2
    return float(2 * t.sf(abs(a.mean() - b.mean()) / np.sqrt(error + 1e-300), max(df, 1)))


def ratio_tests(
    a: np.ndarray, n: np.ndarray, b: np.ndarray, m: np.ndarray, rho: float
) -> dict[str, float]:
    """Likelihood ratio tests: overdispersion estimated, and known (the oracle)."""
    found = {}
    for name, grid in (("estimated", np.geomspace(1e-4, 0.6, 24)), ("oracle", np.array([rho]))):
        first, second = log_likelihood(a, n, LOGITS, grid), log_likelihood(b, m, LOGITS, grid)
        found[name] = max(
            0.0, 2 * ((first.max(axis=1) + second.max(axis=1)).max() - (first + second).max())
        )
    df = len(a) + len(b) - 2
    return {
        "beta-binomial LRT, chi2": float(chi2.sf(found["estimated"], 1)),
        "beta-binomial LRT, F": float(f.sf(found["estimated"], 1, df)),
        "oracle: LRT, overdispersion known": float(chi2.sf(found["oracle"], 1)),
    }


def quasi_f(a: np.ndarray, n: np.ndarray, b: np.ndarray, m: np.ndarray) -> float:
    """Quasi-binomial F test."""

    def deviance(x: np.ndarray, cells: np.ndarray, p: float) -> float:
        q = np.clip(p, 1e-12, 1 - 1e-12)
        return float((x * cells * np.log(q) + (1 - x) * cells * np.log1p(-q)).sum())

    pa, pb, p = (
        float((x * k).sum() / k.sum()) for x, k in ((a, n), (b, m), (np.r_[a, b], np.r_[n, m]))
    )
    gain = 2 * (deviance(a, n, pa) + deviance(b, m, pb) - deviance(a, n, p) - deviance(b, m, p))
    df = len(a) + len(b) - 2
    pearson = sum(
        (k * (x - q) ** 2 / max(q * (1 - q), 1e-9)).sum() for x, k, q in ((a, n, pa), (b, m, pb))
    )
    return float(f.sf(gain / max(pearson / df, 1.0), 1, df))


def p_values(rng: np.random.Generator, truth: float, other: float, rho: float) -> dict[str, Any]:
    """p-value of each method on one draw of three against three donors."""
    (a, n), (b, m) = (
        measured(rng, *drawn(rng, p, rho, 3), corrected=False) for p in (truth, other)
    )
    found = compare_donors(a, n, b, m)
    ends = [logit((x * k + 0.5) / (k + 1)) for x, k in ((a, n), (b, m))]
    angles = [np.arcsin(np.sqrt(x)) for x in (a, b)]
    return {
        "scdiff": found.p_value,
        "covered": found.low <= other - truth <= found.high,
        **ratio_tests(a, n, b, m, rho),
        "logit-t, pooled": pooled_t(*ends),
        "logit-t, Welch": pooled_t(*ends, welch=True),
        "linear t, pooled": pooled_t(a, b),
        "arcsine t, pooled": pooled_t(*angles),
        "quasi-binomial F": quasi_f(a, n, b, m),
    }


def comparisons(n_draws: int, seed: int, rhos: tuple[float, float] = (0.01, 0.1)) -> pd.DataFrame:
    """p-values over truths of 0.5-50 %, log-uniform; half without an effect, half 1-6 standard errors of the donors' mean."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(n_draws):
        truth, rho = (
            np.exp(rng.uniform(np.log(0.005), np.log(0.5))),
            np.exp(rng.uniform(*np.log(rhos))),
        )
        size = 0 if number % 2 == 0 else int(rng.integers(1, 7))
        other = min(truth + size * np.sqrt(truth * (1 - truth) * rho * 2 / 3), 0.97)
        rows.append(
            {"effect_size": size, "truth": truth, "overdispersion": rho}
            | p_values(rng, truth, other, rho)
        )
    return pd.DataFrame(rows)


def rates(table: pd.DataFrame) -> pd.DataFrame:
    """False discoveries and power of each method; the oracle also at the cut-off that errs in exactly 5 %."""
    methods = [
        name for name in table if name not in ("effect_size", "truth", "overdispersion", "covered")
    ]
    null = table["effect_size"] == 0
    third = pd.cut(
        table["overdispersion"],
        3 if table["overdispersion"].nunique() < 3 else np.geomspace(0.0099, 0.101, 4),
        labels=["low", "middle", "high"],
    )
    oracle = "oracle: LRT, overdispersion known"
    cutoffs = dict.fromkeys(methods, 0.05) | {
        "oracle at exactly 5 %": float(table.loc[null, oracle].quantile(0.05))
    }
    rows = []
    for method, cutoff in cutoffs.items():
        hit = 100 * (table[oracle if method not in table else method] <= cutoff)
        row = {"method": method, "false_discoveries": hit[null].mean(), "power": hit[~null].mean()}
        row |= {
            f"false_{part}": hit[null & (third == part)].mean()
            for part in ("low", "middle", "high")
        }
        rows.append(
            row
            | {f"power_{size}": hit[table["effect_size"] == size].mean() for size in range(1, 7)}
        )
    return pd.DataFrame(rows)


def pairs_on_fractions(a: np.ndarray, n: np.ndarray, b: np.ndarray, m: np.ndarray) -> float:
    """p-value of differences of fractions, not of logits: normal, with an overdispersion of median 0.02 in the response."""
    drawn_in = [(x * k + 0.5) / (k + 1) for x, k in ((a, n), (b, m))]
    noise = sum(x * (1 - x) / k for x, k in zip(drawn_in, (n, m), strict=True))
    middle = np.clip((a.mean() + b.mean()) / 2, 0.5 / n.sum(), 1 - 0.5 / n.sum())
    precision = 1 / (noise + 2 * donors.GRID[:, None] * middle * (1 - middle))
    total = precision.sum(axis=1)
    centre = (precision * (b - a)).sum(axis=1) / total
    evidence = (
        np.log(precision).sum(axis=1)
        - np.log(total)
        - (precision * ((b - a) - centre[:, None]) ** 2).sum(axis=1)
    ) / 2
    weight = evidence - (np.log(donors.GRID / 0.02) / 1.2) ** 2 / 2
    below = float(
        np.exp(weight - weight.max())
        @ norm.cdf(-centre * np.sqrt(total))
        / np.exp(weight - weight.max()).sum()
    )
    return 2 * min(below, 1 - below)


def co_culture(n_draws: int, seed: int) -> pd.DataFrame:
    """A share of regulatory T cells of 5 %, and a shift of 5 points or none: three donors with and without the batch, and three others."""
    rng, rows = np.random.default_rng(seed), []
    for response in (0.1, 0.2, 0.3, 0.4):
        for shift in (0.0, 0.05):
            hits = []
            for _ in range(n_draws):
                own, other = 0.05 * rng.lognormal(0, 0.2, (2, 3))
                treated = [
                    x * rng.lognormal(0, response, 3) + shift * rng.lognormal(0, 0.15, 3)
                    for x in (own, other)
                ]
                cells = rng.integers(500, 3001, 3)
                a, b, c = (rng.binomial(cells, x) / cells for x in (own, *treated))
                tests = (
                    compare_pairs(a, cells, b, cells).p_value,
                    pairs_on_fractions(a, cells, b, cells),
                    ttest_rel(a, b).pvalue,
                )
                hits.append(
                    [
                        value <= 0.05
                        for value in (*tests, compare_donors(a, cells, c, cells).p_value)
                    ]
                )
            rows.append([response, 100 * shift, *(100 * np.mean(hits, axis=0))])
    methods = [
        "scdiff, same donors",
        "differences of fractions",
        "paired t",
        "scdiff, other donors",
    ]
    return pd.DataFrame(rows, columns=["response", "shift_points", *methods])


def pairs(n_draws: int, seed: int) -> pd.DataFrame:
    """False discoveries and power on the same donors before and after."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(n_draws):
        n_donors, noise, effect = (
            int(rng.choice([2, 3, 5, 8])),
            rng.choice([0.0, 0.2, 0.5, 0.8]),
            rng.choice([0.0, 1.0]),
        )
        truth, rho = (
            np.exp(rng.uniform(np.log(0.01), np.log(0.4))),
            np.exp(rng.uniform(np.log(0.01), np.log(0.1))),
        )
        base = logit(np.clip(drawn(rng, truth, rho, n_donors)[0], 1e-7, 1 - 1e-7))
        cells = rng.integers(500, 3001, (2, n_donors))
        a, b = (
            rng.binomial(k, expit(base + rng.normal(0, noise, n_donors) + e)) / k
            for k, e in zip(cells, (0, effect), strict=True)
        )
        found = {
            "scdiff, paired": compare_pairs(a, cells[0], b, cells[1]).p_value,
            "paired t": ttest_rel(a, b).pvalue,
        }
        found["differences of fractions"] = pairs_on_fractions(a, cells[0], b, cells[1])
        found["scdiff, unpaired"] = compare_donors(a, cells[0], b, cells[1]).p_value
        rows += [
            {
                "n_donors": n_donors,
                "noise_logits": noise,
                "effect": effect,
                "method": k,
                "rate": 100 * (v <= 0.05),
            }
            for k, v in found.items()
        ]
    return pd.DataFrame(rows).pivot_table(
        index=["n_donors", "noise_logits"], columns=["effect", "method"], values="rate"
    )


def markdown(table: pd.DataFrame) -> str:
    """Table as Markdown, three digits."""
    cells = [
        [f"{value:.3g}" if isinstance(value, float) else str(value) for value in row]
        for row in table.itertuples(index=False)
    ]
    lines = [
        " | ".join(map(str, table.columns)),
        " | ".join("---" for _ in table.columns),
        *(" | ".join(row) for row in cells),
    ]
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few draws: to see that it runs")
    quick = parser.parse_args().quick
    cover = intervals(3 if quick else 100, 1)
    grouped = cover.groupby(["measure", "method"])
    summary = grouped.agg(
        coverage=("covered", "mean"),
        worst=("covered", "min"),
        width_points=("width_points", "mean"),
    ).reset_index()
    found = comparisons(60 if quick else 16_000, 2)
    outside = {r: comparisons(40 if quick else 800, 3, (r, r * 1.0001)) for r in (0.003, 0.2)}
    beyond = [
        f"{r}: {100 * (x.loc[x['effect_size'] == 0, 'scdiff'] <= 0.05).mean():.1f} %"
        for r, x in outside.items()
    ]
    paired = pairs(160 if quick else 6_000, 4).reset_index()
    paired.columns = [
        " ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in name).strip()
        for name in paired.columns
    ]
    by_donors = (
        cover.pivot_table(index=["truth", "cv"], columns=["method", "n_donors"], values="covered")
        .mul(100)
        .reset_index()
    )
    by_donors.columns = [" ".join(map(str, name)).strip() for name in by_donors.columns]
    text = "\n\n".join(
        [
            "# Donors",
            __doc__.split("\n\n")[1],
            "## 95 % intervals of the mean over donors: coverage (0-1) in the mean and the worst corner, width in points",
            markdown(summary),
            "Coverage (%) by corner:",
            markdown(by_donors),
            "## Three against three donors: % of p-values at most 0.05",
            "Overdispersion 0.01-0.1 (low, middle, high third), truth 0.5-50 %, effects of 1-6 standard errors of the donors' mean.",
            markdown(rates(found)),
            (
                f"95 % interval of the difference covers {100 * found['covered'].mean():.1f} %. False discoveries beyond the range of the "
                f"prior, at an overdispersion of {', of '.join(beyond)}."
            ),
            "## The same donors before and after (effect 0: false discoveries, 1 logit: power), %",
            markdown(paired),
            "## Three donors with and without the batch: a shift of regulatory T cells by 5 points, and none; % found",
            "Donors differ by a fifth before, their responses by ``response`` (logarithm); 500-3,000 cells each.",
            markdown(co_culture(5 if quick else 500, 5)),
        ]
    )
    print(text)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "donors.md").write_text(text + "\n", encoding="utf-8")
        cover.to_csv(RESULTS / "donors.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
