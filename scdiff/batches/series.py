"""Read the points of a control chart from the history, in the order of analysis."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.assay.limits import DETECTABLE_CALLS
from scdiff.errors import UnknownNameError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from scdiff.batches.history import History

__all__ = ["DEFINITION", "PHASE", "belongs_to", "chart_points", "find_readout", "phase_key"]

METHOD = ("scdiff", "options", "specification", "chemistry")
"""Columns of a run that describe the method."""

DEFINITION = "program_sha256"
"""Column with the SHA-256 of the definition of the programme of the read-out."""

PHASE = (*METHOD, DEFINITION)
"""Columns whose change starts a new phase, with control limits of its own."""

Z95 = 1.959964
"""Number of standard errors from the middle of a 95 % interval to its end."""

_FACTS = (
    "number",
    "batch",
    "role",
    "donor",
    "passage",
    "culture_day",
    "operator",
    "lots",
    "analysed",
    "collected",
    "report",
    "programs",
    *METHOD,
)
_NUMBERS = (
    "prevalence",
    "prevalence_low",
    "prevalence_high",
    "prevalence_low_cells",
    "prevalence_high_cells",
    "lob",
    "n_cells",
    "n_called",
)


def find_readout(history: History, text: str) -> tuple[str, str]:
    """Return programme and state of a read-out, written ``programme`` or ``programme/state``.

    Raises
    ------
    UnknownNameError
        If no run has the read-out.
    """
    program, _, state = text.partition("/")
    pairs = history.readout_names()
    found = [pair for pair in pairs if pair[0] == program and state in {"", pair[1]}]
    if not found:
        names = [f"{one}/{other}" for one, other in pairs]
        raise UnknownNameError(
            f"--readout {text!r}: no run of the history has it. {did_you_mean(text, names)}"
        )
    preferred = [pair for pair in found if pair[1] in {"progenitor_like", "positive"}]
    return (preferred or found)[0]


def chart_points(
    history: History, program: str, state: str, *, run_control: str | None = None
) -> pd.DataFrame:
    """Return the points of both charts of a read-out.

    Parameters
    ----------
    history
        An open history.
    program, state
        The read-out.
    run_control
        Sample that is the control of every run; its rows are also points of the assay chart.

    Returns
    -------
    One row per point with the facts of its run and ``chart`` (``assay`` or ``process``), ``kind``
    (``measured``, ``bound`` or ``none``), ``value``, ``low``, ``high``, ``bound``, ``level``,
    ``size`` and ``phase_key``.
    """
    import pandas as pd

    readouts, runs = history.readouts(program, state), history.runs()
    joined = runs[list(_FACTS)].merge(readouts.drop(columns=["digest"]), on="number", how="inner")
    pooled, named = joined["sample"] == "all", joined["sample"] == run_control
    process = joined[pooled & (joined["role"] == "batch")].assign(chart="process")
    assay = joined[
        (pooled & (joined["role"] != "batch")) | (named & (joined["role"] == "batch"))
    ].assign(chart="assay")
    points = pd.concat([assay, process], ignore_index=True).sort_values(
        ["chart", "number"], ignore_index=True
    )
    for name in _NUMBERS:
        points[name] = pd.to_numeric(points[name], errors="coerce").astype(float)
    return _add_phases(_add_sizes(_add_kinds(_add_definition(points, program))))


def _add_definition(points: pd.DataFrame, program: str) -> pd.DataFrame:
    """Add the hash of the definition of the programme.

    A run that does not state it, as those of earlier versions, has that of its neighbours.
    """
    points = points.copy()
    points[DEFINITION] = [
        json.loads(text).get(program) if isinstance(text, str) else None
        for text in points.pop("programs")
    ]
    points[DEFINITION] = points.groupby("chart")[DEFINITION].bfill()
    points[DEFINITION] = points.groupby("chart")[DEFINITION].ffill()
    return points


def _add_kinds(points: pd.DataFrame) -> pd.DataFrame:
    """Classify each point: measured, bounded (not detected), or without a number."""
    stated = points["verdict"].isin(["detected", "quantified"])
    whole = stated & points["prevalence"].between(1e-9, 1 - 1e-9) & (points["prevalence_high"] < 1)
    bound = points[["prevalence_high", "lob"]].max(axis=1)
    absent = (points["verdict"] == "not detected") & (bound > 0) & (points["n_cells"] > 0)
    seen = DETECTABLE_CALLS / points["n_cells"].where(points["n_cells"] > 0)
    level = points["lob"].fillna(0.0).clip(lower=seen.fillna(0.0)).clip(upper=bound)
    return points.assign(
        kind=np.select([whole, absent], ["measured", "bound"], "none"),
        value=points["prevalence"].where(whole),
        low=points["prevalence_low"].where(whole),
        high=points["prevalence_high"].where(whole),
        bound=bound.where(absent),
        level=level.where(absent),
    )


def _add_sizes(points: pd.DataFrame) -> pd.DataFrame:
    """Add the effective number of cells, whose counting error equals that of the interval."""
    low = points["prevalence_low_cells"].fillna(points["prevalence_low"])
    high = points["prevalence_high_cells"].fillna(points["prevalence_high"])
    value = points["value"]
    both = (_compute_logit(high) - _compute_logit(low)) / (2 * Z95)
    error = both.where(
        low > 1e-7, (_compute_logit(high) - _compute_logit(value)) / Z95
    )  # an interval from zero has no lower end on the logit
    size = (1 / (error.where(error > 0) ** 2 * value * (1 - value))).clip(
        upper=points["n_cells"], lower=1.0
    )
    shares = (size / points["n_cells"]).dropna()
    spared = points["n_cells"] * (shares.median() if len(shares) else 1.0)
    return points.assign(size=size.fillna(spared).clip(lower=1.0))


def _compute_logit(fractions: pd.Series) -> pd.Series:
    """Return the logarithm of the odds."""
    inside = fractions.clip(1e-12, 1 - 1e-12)
    return inside.div(1 - inside).map(math.log, na_action="ignore")


def phase_key(point: Any) -> str:
    """Return the method of a point as JSON: the columns that are constant within a phase.

    An unknown definition is left out, as in the baselines that earlier versions locked.
    """
    known = {name: point[name] for name in PHASE}
    texts = {name: str(value) if isinstance(value, str) else None for name, value in known.items()}
    if texts[DEFINITION] is None:
        del texts[DEFINITION]
    return json.dumps(texts, sort_keys=True)


def belongs_to(points: pd.DataFrame, locked: Mapping[str, Any]) -> bool:
    """Return whether a locked baseline is one of the phase of these points.

    A baseline that was locked without the definition of the programme belongs to the phase of its
    runs.
    """
    here, there = json.loads(points["phase_key"].iloc[0]), json.loads(locked["phase"])
    if DEFINITION in here and DEFINITION not in there:
        del here[DEFINITION]
        return here == there and bool(points["number"].isin(json.loads(locked["runs"])).any())
    return bool(here == there)


def _add_phases(points: pd.DataFrame) -> pd.DataFrame:
    """Count the phases of each chart; describe the change at the first point of each."""
    keys = [phase_key(point) for point in points[list(PHASE)].to_dict("records")]
    phases, changes = np.zeros(len(points), dtype=int), [""] * len(points)
    charts = points["chart"].tolist()
    for place in range(1, len(points)):
        if charts[place] != charts[place - 1]:
            continue
        if keys[place] != keys[place - 1]:
            changes[place] = _describe_change(keys[place - 1], keys[place])
        phases[place] = phases[place - 1] + bool(changes[place])
    return points.assign(phase_key=keys, phase=phases, change=changes)


def _describe_change(before: str, after: str) -> str:
    """Return a description of the change between two phases."""
    old, new = json.loads(before), json.loads(after)
    texts = {
        name: f"{name} {old[name] or 'not given'} to {new[name] or 'not given'}" for name in METHOD
    }
    texts["options"] = "other options"  # a hash is of no use to a reader
    if DEFINITION in old and DEFINITION in new:
        ends = (found[DEFINITION][:8] for found in (old, new))
        texts[DEFINITION] = f"definition of the programme {' to '.join(ends)}"
    return "; ".join(texts[name] for name in PHASE if old.get(name) != new.get(name))
