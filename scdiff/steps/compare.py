"""Beside the pipeline: two groups of donors compared, from the table of fractions."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Gt

from scdiff import keys
from scdiff.errors import ConfigError, InputError, did_you_mean
from scdiff.options import step
from scdiff.record import read_record, write_record
from scdiff.vocabulary import NOT_MEASURABLE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scdiff.assay.donors import Comparison

__all__ = ["COLUMNS", "compare"]

logger = logging.getLogger(__name__)

COLUMNS = (
    "program", "state", "group_a", "group_b", "n_donors_a", "n_donors_b", "effect", "effect_low", "effect_high", "p_value",
    "verdict", "design", "margin",
)  # fmt: skip
"""Columns of the table, an interface."""


BALANCES = (("th1", "treg"), ("th17", "treg"))
"""Programmes whose balance is compared where both were called: the share of the first among the cells of either."""


@step
def compare(adata: AnnData, *, by: str = "condition", pairs: str | None = None, margin: Annotated[float, Gt(0)] | None = None) -> None:
    """Compare two groups of donors: how many percentage points more cells are positive, with 95 % interval and p-value.

    Use it after :func:`scdiff.tl.fraction` on two or more donors a group. The donor is the unit: cells of one donor are
    no independent evidence, so one donor a group is refused. Samples of one donor and group are taken together; a sample
    whose donor is not given is one by itself. Control samples and samples without a group are left out. The p-value of
    each row stands for itself. Where Th1 or Th17 and Treg were called, their balance follows: the share of the former among both.

    Parameters
    ----------
    adata
        Cells x genes.
    by
        Column of obs with two groups, each sample in one; the effect is the second in alphabetical order minus the first.
    pairs
        Column of obs by which the groups are paired (``donor``: the same donors in both); unpaired where not given.
    margin
        Difference that does not matter, percentage points: a smaller one is then called equivalent, by two one-sided tests.

    Reads
    -----
    obs["sample"], obs["control"], obs["donor"] (where given), obs[by], uns["scdiff"]["fractions"]

    Writes
    ------
    uns["scdiff"]["comparison"]: effects and margin in percentage points

    Raises
    ------
    ConfigError
        If a column is missing or does not make two groups of samples.
    InputError
        With fewer than two donors a group, or two pairs.
    """
    import pandas as pd

    samples = _samples(adata, by, pairs)
    groups = _two_groups(samples, by)
    units = [_units(samples[samples["group"] == group]) for group in groups]
    units = _paired(units[0], units[1], pairs) if pairs is not None else units
    _refuse_few(groups, units, pairs)
    fractions = read_record(adata, "fractions")
    rows = [
        {"program": program, "state": state, "group_a": groups[0], "group_b": groups[1]}
        | _row(table.set_index("sample"), units, pairs, margin)
        for (program, state), table in [*fractions.groupby(["program", "state"], sort=False, observed=True), *_balances(fractions)]
    ]
    write_record(adata, keys.COMPARISON, pd.DataFrame(rows, columns=list(COLUMNS)))


def _samples(adata: AnnData, by: str, pairs: str | None) -> pd.DataFrame:
    """One row per sample that is no control: group and unit; index sample."""
    import pandas as pd

    for name in filter(None, (by, pairs)):
        if name not in adata.obs:
            raise ConfigError(f"compare: obs has no column {name!r}. {did_you_mean(name, adata.obs.columns)} The sample sheet may give it.")
    unit = pairs or ("donor" if "donor" in adata.obs else "sample")
    columns = pd.DataFrame({"sample": adata.obs["sample"], "group": adata.obs[by], "unit": adata.obs[unit]}).astype(object)
    if pairs is None:
        columns["unit"] = columns["unit"].where(columns["unit"].notna(), columns["sample"])
    if "control" in adata.obs:
        columns = columns[~adata.obs["control"].to_numpy(dtype=bool)]
    columns = columns.dropna().astype(str).drop_duplicates()
    for name, of in (("group", by), ("unit", unit)):
        several = columns.groupby("sample")[name].nunique()
        if (several > 1).any():
            raise ConfigError(f"compare: sample {several.idxmax()!r} has several values of {of!r}: each sample must have one.")
    return columns.set_index("sample").sort_index()


def _two_groups(samples: pd.DataFrame, by: str) -> tuple[str, str]:
    """Names of the two groups, sorted."""
    groups = sorted(set(samples["group"]))
    if len(groups) != 2:
        found = ", ".join(groups) or "none"
        raise ConfigError(f"compare: {by!r} has {len(groups)} groups among the samples that are no controls ({found}); 2 are needed.")
    return groups[0], groups[1]


def _units(samples: pd.DataFrame) -> dict[str, list[str]]:
    """List the samples of each donor of one group."""
    return {str(unit): [str(sample) for sample in part.index] for unit, part in samples.groupby("unit")}


def _paired(first: dict[str, list[str]], second: dict[str, list[str]], pairs: str) -> list[dict[str, list[str]]]:
    """Keep what both groups have, in one order."""
    if alone := sorted(first.keys() ^ second.keys()):
        logger.warning("compare: %s %s in one group only, left out of the pairs", pairs, ", ".join(alone))
    both = sorted(first.keys() & second.keys())
    return [{name: group[name] for name in both} for group in (first, second)]


def _refuse_few(groups: tuple[str, str], units: list[dict[str, list[str]]], pairs: str | None) -> None:
    """Refuse a comparison that rests on one donor, and warn of pairs that are not used."""
    for group, donors in zip(groups, units, strict=True):
        if len(donors) < 2:
            what = f"{len(donors)} {'pair' if pairs else 'donor'}{'s' * (len(donors) != 1)}"
            raise InputError(
                f"compare: {group!r} has {what} ({', '.join(donors) or 'none'}), and at least 2 are needed: cells of one donor are no "
                "independent evidence, so whether the condition or the donor makes the difference cannot be told."
            )
    if pairs is None and (shared := units[0].keys() & units[1].keys()):
        logger.warning("compare: donors %s are in both groups; pairs='donor' would compare each with itself", ", ".join(sorted(shared)))


def _balances(fractions: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Tables of the balances, as :func:`_row` reads them: the share of one programme among the called cells of two."""
    import pandas as pd

    from scdiff.assay.intervals import clopper_pearson

    first_state = fractions.drop_duplicates(["program", "sample"]).set_index(["program", "sample"])
    for names in BALANCES:
        if not set(names) <= set(first_state.index.get_level_values("program").astype(str)):
            continue
        one, other = (first_state.loc[name] for name in names)
        both = (one["prevalence"] + other["prevalence"]).where(lambda total: total > 0)
        n_cells = (one["n_called"] + other["n_called"]).astype(int)
        share = one["prevalence"] / both
        called = (share.fillna(0.0) * n_cells).round().astype(int)
        ends = [clopper_pearson(k, n) if n else (0.0, 1.0) for k, n in zip(called, n_cells, strict=True)]
        low, high = zip(*ends, strict=True)
        columns = {"prevalence": share, "prevalence_low": low, "prevalence_high": high, "n_cells": n_cells}
        yield ("balance", f"{names[0]}_among_{names[0]}_and_{names[1]}"), pd.DataFrame(columns, index=one.index).reset_index()


def _row(table: pd.DataFrame, units: list[dict[str, list[str]]], pairs: str | None, margin: float | None) -> dict[str, Any]:
    """Compare one state of one programme; NaN where it was not measured in every sample."""
    from scdiff.assay.donors import compare_donors, compare_pairs

    sizes: dict[str, Any] = {"n_donors_a": len(units[0]), "n_donors_b": len(units[1])}
    sizes |= {"design": "paired" if pairs else "unpaired", "margin": np.nan if margin is None else margin}
    names = [sample for group in units for samples in group.values() for sample in samples]
    if not set(names) <= set(table.index) or table.loc[names, "prevalence"].isna().any():
        return dict.fromkeys(("effect", "effect_low", "effect_high", "p_value"), np.nan) | sizes | {"verdict": NOT_MEASURABLE}
    (a, cells_a), (b, cells_b) = (_per_donor(table, group) for group in units)
    method = compare_pairs if pairs else compare_donors
    found = method(a, cells_a, b, cells_b, margin=None if margin is None else margin / 100)
    return sizes | _said(found)


def _said(found: Comparison) -> dict[str, Any]:
    """Columns of a comparison, in percentage points."""
    points = {"effect": found.effect, "effect_low": found.low, "effect_high": found.high}
    return {name: 100 * value for name, value in points.items()} | {"p_value": found.p_value, "verdict": found.said}


def _per_donor(table: pd.DataFrame, units: dict[str, list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Prevalence of each donor and the cells that it is worth, over the donor's samples."""
    from scdiff.assay.donors import effective_cells

    values, worth = [], []
    for samples in units.values():
        rows = table.loc[samples]
        cells = effective_cells(rows["prevalence"], rows["prevalence_low"], rows["prevalence_high"], rows["n_cells"])
        values.append(float(np.average(rows["prevalence"], weights=np.maximum(rows["n_cells"], 1))))
        worth.append(float(cells.sum()))
    return np.array(values), np.array(worth)
