"""compare: two groups of donors, from the table of fractions; not part of the pipeline."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Gt

from scdiff import keys
from scdiff.errors import ConfigError, InputError, did_you_mean
from scdiff.options import step
from scdiff.record import read_record, write_record
from scdiff.vocabulary import NOT_MEASURABLE, SEPARATE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scdiff.assay.donors import Comparison

__all__ = ["COLUMNS", "compare"]

logger = logging.getLogger(__name__)

COLUMNS = (
    "program", "state", "group_a", "group_b", "n_donors_a", "n_donors_b", "effect", "effect_low",
    "effect_high", "p_value", "verdict", "design", "margin",
)  # fmt: skip
"""Columns of the table, an interface."""

BALANCES = (("th1", "treg"), ("th17", "treg"))
"""Pairs of programmes whose balance is compared if both were called.

The balance is the share of the first among the cells of either.
"""


@step
def compare(
    adata: AnnData,
    *,
    by: str = "condition",
    pairs: str | None = None,
    margin: Annotated[float, Gt(0)] | None = None,
) -> None:
    """Compare two groups of donors: difference of the positive fraction, with interval and p-value.

    The effect is in percentage points, with 95 % interval. Use it after :func:`scdiff.tl.fraction`
    on two or more donors per group. The donor is the unit: cells of one donor are not independent
    evidence, so a group of one donor is refused. Samples of one donor and group are pooled; a
    sample without a donor counts as a donor of its own. Control samples and samples without a group
    are left out. The p-values are not adjusted for the number of rows. If Th1 or Th17 and Treg were
    called, rows of their balance follow: the share of the former among both. After
    :func:`scdiff.tl.trajectory`, rows of the programme ``fate`` follow: the mean probability that
    the cells of a donor reach each end. They are left out if the positive cells are a separate
    population, because no path leads to it.

    Parameters
    ----------
    adata
        Cells x genes.
    by
        Column of obs with two groups, each sample in one; the effect is the second in alphabetical
        order minus the first.
    pairs
        Column of obs that pairs the groups (``donor``: the same donors in both); None means
        unpaired.
    margin
        Difference that does not matter, percentage points: a smaller one is called equivalent, by
        two one-sided tests.

    Reads
    -----
    obs["sample"], obs["control"], obs["donor"] (if given), obs[by], uns["scdiff"]["fractions"],
    uns["scdiff"]["trajectory"] (if given)

    Writes
    ------
    uns["scdiff"]["comparison"]: effects and margin in percentage points

    Raises
    ------
    ConfigError
        If a column is missing or does not make two groups of samples.
    InputError
        With fewer than two donors per group, or fewer than two pairs.
    """
    import pandas as pd

    samples = _read_samples(adata, by, pairs)
    groups = _list_groups(samples, by)
    units = [_group_by_donor(samples[samples["group"] == group]) for group in groups]
    units = _pair_donors(units[0], units[1], pairs) if pairs is not None else units
    _refuse_few(groups, units, pairs)
    fractions = read_record(adata, "fractions")
    by_state = fractions.groupby(["program", "state"], sort=False, observed=True)
    rows = [
        {"program": program, "state": state, "group_a": groups[0], "group_b": groups[1]}
        | _compare_state(table.set_index("sample"), units, pairs, margin)
        for (program, state), table in [
            *by_state,
            *_compute_balances(fractions),
            *_tabulate_fates(read_record(adata, "trajectory")),
        ]
    ]
    write_record(adata, keys.COMPARISON, pd.DataFrame(rows, columns=list(COLUMNS)))


def _read_samples(adata: AnnData, by: str, pairs: str | None) -> pd.DataFrame:
    """Return group and unit of each sample that is not a control; index sample."""
    import pandas as pd

    for name in filter(None, (by, pairs)):
        if name not in adata.obs:
            raise ConfigError(
                f"compare: obs has no column {name!r}. {did_you_mean(name, adata.obs.columns)} "
                "Columns can be added in the sample sheet."
            )
    unit = pairs or ("donor" if "donor" in adata.obs else "sample")
    obs = {"sample": adata.obs[keys.SAMPLE.name], "group": adata.obs[by], "unit": adata.obs[unit]}
    columns = pd.DataFrame(obs).astype(object)
    if pairs is None:
        columns["unit"] = columns["unit"].where(columns["unit"].notna(), columns["sample"])
    if "control" in adata.obs:
        columns = columns[~adata.obs[keys.CONTROL.name].to_numpy(dtype=bool)]
    columns = columns.dropna().astype(str).drop_duplicates()
    for name, source in (("group", by), ("unit", unit)):
        number = columns.groupby("sample")[name].nunique()
        if (number > 1).any():
            raise ConfigError(
                f"compare: sample {number.idxmax()!r} has several values of {source!r}, "
                "but each sample must have one."
            )
    return columns.set_index("sample").sort_index()


def _list_groups(samples: pd.DataFrame, by: str) -> tuple[str, str]:
    """Return the names of the two groups, sorted."""
    groups = sorted(set(samples["group"]))
    if len(groups) != 2:
        found = ", ".join(groups) or "none"
        raise ConfigError(
            f"compare: {by!r} has {len(groups)} groups among the samples that are not controls "
            f"({found}), but 2 are needed."
        )
    return groups[0], groups[1]


def _group_by_donor(samples: pd.DataFrame) -> dict[str, list[str]]:
    """List the samples of each donor of one group."""
    return {
        str(unit): [str(sample) for sample in part.index] for unit, part in samples.groupby("unit")
    }


def _pair_donors(
    first: dict[str, list[str]], second: dict[str, list[str]], pairs: str
) -> list[dict[str, list[str]]]:
    """Keep the donors that both groups have, in one order."""
    if alone := sorted(first.keys() ^ second.keys()):
        names = ", ".join(alone)
        logger.warning("compare: %s %s in one group only, left out of the pairs", pairs, names)
    both = sorted(first.keys() & second.keys())
    return [{name: group[name] for name in both} for group in (first, second)]


def _refuse_few(
    groups: tuple[str, str], units: list[dict[str, list[str]]], pairs: str | None
) -> None:
    """Raise InputError if a group has one donor, and warn if pairs are not used."""
    for group, donors in zip(groups, units, strict=True):
        if len(donors) < 2:
            what = f"{len(donors)} {'pair' if pairs else 'donor'}{'s' * (len(donors) != 1)}"
            raise InputError(
                f"compare: {group!r} has {what} ({', '.join(donors) or 'none'}), but at least 2 "
                "are needed: cells of one donor are not independent evidence, so a difference may "
                "come from the condition or from the donor."
            )
    if pairs is None and (shared := units[0].keys() & units[1].keys()):
        logger.warning(
            "compare: donors %s are in both groups; pairs='donor' compares each with itself",
            ", ".join(sorted(shared)),
        )


def _compute_balances(fractions: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Yield tables of the balances in the columns that :func:`_compare_state` reads.

    A balance is the share of one programme among the called cells of two.
    """
    first_state = fractions.drop_duplicates(["program", "sample"]).set_index(["program", "sample"])
    for names in BALANCES:
        if not set(names) <= set(first_state.index.get_level_values("program").astype(str)):
            continue
        one, other = (first_state.loc[name] for name in names)
        both = (one["prevalence"] + other["prevalence"]).where(lambda total: total > 0)
        n_cells = (one["n_called"] + other["n_called"]).astype(int)
        share = one["prevalence"] / both
        state = f"{names[0]}_among_{names[0]}_and_{names[1]}"
        yield ("balance", state), _tabulate_shares(share, n_cells).reset_index()


def _tabulate_fates(found: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Yield a table of each end in the columns that :func:`_compare_state` reads.

    Neighbours have similar fates, so the cells of a sample count as so many independent ones at
    most; the spread between donors decides.
    """
    if "fates" not in found or found["verdict"] == SEPARATE:
        return
    fates = found["fates"]
    n_cells = fates["n_cells"].astype(int)
    for end in fates.columns.drop("n_cells"):
        mean = fates[end].where(n_cells > 0)
        table = _tabulate_shares(mean, n_cells).rename_axis("sample")
        yield ("fate", str(end)), table.reset_index()


def _tabulate_shares(share: pd.Series, n_cells: pd.Series) -> pd.DataFrame:
    """Return shares of cells as prevalences with the interval of a plain count; index sample."""
    import pandas as pd

    from scdiff.assay.intervals import clopper_pearson

    counted = (share.fillna(0.0) * n_cells).round().astype(int)
    ends = [
        clopper_pearson(k, n) if n else (0.0, 1.0) for k, n in zip(counted, n_cells, strict=True)
    ]
    low, high = zip(*ends, strict=True)
    columns = {"prevalence": share, "prevalence_low": low, "prevalence_high": high}
    return pd.DataFrame(columns | {"n_cells": n_cells}, index=share.index)


def _compare_state(
    table: pd.DataFrame, units: list[dict[str, list[str]]], pairs: str | None, margin: float | None
) -> dict[str, Any]:
    """Compare one state of one programme; NaN if it was not measured in every sample."""
    from scdiff.assay.donors import compare_donors, compare_pairs

    sizes: dict[str, Any] = {"n_donors_a": len(units[0]), "n_donors_b": len(units[1])}
    sizes |= {
        "design": "paired" if pairs else "unpaired",
        "margin": np.nan if margin is None else margin,
    }
    names = [sample for group in units for samples in group.values() for sample in samples]
    if not set(names) <= set(table.index) or table.loc[names, "prevalence"].isna().any():
        numbers = dict.fromkeys(("effect", "effect_low", "effect_high", "p_value"), np.nan)
        return numbers | sizes | {"verdict": NOT_MEASURABLE}
    (a, cells_a), (b, cells_b) = (_average_donors(table, group) for group in units)
    method = compare_pairs if pairs else compare_donors
    found = method(a, cells_a, b, cells_b, margin=None if margin is None else margin / 100)
    return sizes | _to_points(found)


def _to_points(found: Comparison) -> dict[str, Any]:
    """Return the columns of a comparison, in percentage points."""
    points = {"effect": found.effect, "effect_low": found.low, "effect_high": found.high}
    effects = {name: 100 * value for name, value in points.items()}
    return effects | {"p_value": found.p_value, "verdict": found.verdict}


def _average_donors(
    table: pd.DataFrame, units: dict[str, list[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return prevalence and effective number of cells of each donor, over the donor's samples."""
    from scdiff.assay.donors import effective_cells

    values, worth = [], []
    for samples in units.values():
        rows = table.loc[samples]
        prevalence, n_cells = rows["prevalence"], rows["n_cells"]
        cells = effective_cells(
            prevalence, rows["prevalence_low"], rows["prevalence_high"], n_cells
        )
        values.append(float(np.average(prevalence, weights=np.maximum(n_cells, 1))))
        worth.append(float(cells.sum()))
    return np.array(values), np.array(worth)
