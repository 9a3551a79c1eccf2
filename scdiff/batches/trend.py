"""Compute the trend, and write it as a page, tables and a file for MultiQC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff.batches.baseline import FEWEST, FEWEST_DETECTED, Baseline
from scdiff.batches.control import Phase, baseline_of, evaluate
from scdiff.batches.equivalence import FEWEST_OF_EACH, Comparison, compare_processes
from scdiff.batches.series import chart_points, find_readout
from scdiff.batches.signals import find_signals, notes_by_run
from scdiff.batches.trend_findings import Trend
from scdiff.errors import ConfigError, InputError, UnknownNameError, did_you_mean
from scdiff.storage.atomic import replace_atomically

if TYPE_CHECKING:
    import pandas as pd

    from scdiff.batches.history import History

__all__ = ["READOUT", "Trend", "compare_at", "compute_trend", "lock_baseline", "write_trend"]

READOUT = "pancreatic_progenitor/progenitor_like"
"""Default read-out."""

TREND_COLUMNS = (
    *(
        "chart",
        "phase",
        "number",
        "batch",
        "role",
        "sample",
        "donor",
        "passage",
        "culture_day",
        "operator",
        "chemistry",
        "specification",
    ),
    *(
        "scdiff",
        "collected",
        "analysed",
        "n_cells",
        "n_called",
        "verdict",
        "kind",
        "value",
        "low",
        "high",
        "bound",
        "size",
    ),
    *(
        "baseline",
        "in_baseline",
        "score",
        "score_high",
        "score_drift",
        "range",
        "ewma",
        "ewma_limit",
        "cusum_up",
        "cusum_down",
        "cusum_limit",
    ),
    *("limit_low_3", "limit_low_2", "centre", "limit_high_2", "limit_high_3", "change", "report"),
    *("program_sha256", "decisions"),
)
"""Columns of ``trend.csv``. They are an interface: new columns go to the end."""


def compute_trend(
    history: History,
    *,
    readout: str = READOUT,
    run_control: str | None = None,
    limits: tuple[float | None, float | None] = (None, None),
    change: str | None = None,
    margin: float | None = None,
) -> Trend:
    """Compute both charts of a read-out.

    Parameters
    ----------
    history
        An open history.
    readout
        ``programme`` or ``programme/state``.
    run_control
        Sample that is the control in every run; its rows are points of the assay chart.
    limits
        Lowest and highest fraction of the specification, 0-1.
    change
        First batch after a change of the process; it starts the second group of a comparison.
    margin
        Equivalence margin: ratio of odds that does not matter, above 1; required with ``change``.

    Raises
    ------
    ConfigError
        If limits or margin are out of range.
    InputError
        If the history has no run.
    UnknownNameError
        If no run has the read-out.
    """
    _check_limits(limits)
    if not history.readout_names():
        raise InputError(
            "the history has no run yet. Register one with `scdiff history add RESULT_DIR "
            "--history URL`."
        )
    program, state = find_readout(history, readout)
    points = chart_points(history, program, state, run_control=run_control)
    locked = _read_baselines(history, program, state)
    points, phases = evaluate(points, locked)
    notes = notes_by_run(history.notes(), history.successors())
    signals = find_signals(points, phases, notes, limits=limits)
    compared = compare_at(points, change, margin) if change is not None else None
    return Trend(
        program,
        state,
        points,
        phases,
        signals,
        notes,
        _read_decisions(history),
        limits,
        compared,
        change or "",
    )


def _check_limits(limits: tuple[float | None, float | None]) -> None:
    """Raise ConfigError if limits of a specification are outside 0-1 or in the wrong order."""
    for name, limit in zip(("--lower", "--upper"), limits, strict=True):
        if limit is not None and not 0 <= limit <= 1:
            raise ConfigError(f"{name} {limit}: a limit must be a fraction of cells, 0-1.")
    if None not in limits and limits[0] >= limits[1]:  # type: ignore[operator]
        raise ConfigError(f"--lower {limits[0]} must be below --upper {limits[1]}.")


def _read_baselines(history: History, program: str, state: str) -> list[dict[str, Any]]:
    """Return the locked baselines of a read-out, oldest first."""
    rows = history.baselines()
    chosen = rows[(rows["program"] == program) & (rows["state"] == state)]
    return [{str(name): value for name, value in row.items()} for row in chosen.to_dict("records")]


def _read_decisions(history: History) -> dict[int, list[str]]:
    """Return the decisions on each run: one text per specification, as ``PASS (isct 1)``.

    If a specification was applied again with another decision, its text has all, the last one last.
    """
    found: dict[int, dict[str, list[str]]] = {}
    for row in history.decisions().to_dict("records"):
        version = row["version"] if isinstance(row["version"], str) else ""  # pandas 3 has NaN
        label = f"{row['specification']} {version}".strip()
        given = found.setdefault(int(row["run"]), {}).setdefault(label, [])
        if given[-1:] != [row["decision"]]:
            given.append(str(row["decision"]))
    return {
        run: [f"{', then '.join(given)} ({label})" for label, given in labels.items()]
        for run, labels in found.items()
    }


def compare_at(points: pd.DataFrame, change: str, margin: float | None) -> Comparison:
    """Compare the product batches before and after a change of the process.

    Raises
    ------
    ConfigError
        If the margin is missing, or not above 1.
    InputError
        If there are too few batches before or after the change.
    UnknownNameError
        If the batch is not in the chart.
    """
    if margin is None or not margin > 1:
        raise ConfigError(
            f"--margin {margin}: --change needs an equivalence margin, a ratio of odds above 1, as "
            "in --margin 1.5."
        )
    process = points[(points["chart"] == "process") & (points["kind"] != "none")]
    first = process.loc[process["batch"] == change, "number"]
    if first.empty:
        raise UnknownNameError(
            f"--change {change!r}: the process chart does not have this batch. "
            f"{did_you_mean(change, list(process['batch'])[-10:])}"
        )
    sides = [
        process[process["number"] < first.iloc[0]],
        process[process["number"] >= first.iloc[0]],
    ]
    before, after = (_estimate_mean(side) for side in sides)
    if before is None or after is None:
        sizes = " and ".join(str(len(side)) for side in sides)
        raise InputError(
            f"--change {change!r}: {sizes} batches before and after the change are too few. "
            f"{FEWEST_OF_EACH} of each are needed, and four detected ones if some are not detected."
        )
    return compare_processes(
        before, after, n_before=len(sides[0]), n_after=len(sides[1]), margin=margin
    )


def _estimate_mean(side: pd.DataFrame) -> Baseline | None:
    """Return the mean of batches with its error; None if there are too few batches."""
    import numpy as np

    if (side["kind"] == "bound").any():
        return baseline_of(side)
    if len(side) < FEWEST_OF_EACH:
        return None
    fractions = side["value"].to_numpy(float)
    values = np.log(fractions / (1 - fractions))
    error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return Baseline(
        float(values.mean()), float(np.std(values, ddof=1)), max(error, 1e-9), 0.0, len(values)
    )


def lock_baseline(
    history: History,
    name: str,
    *,
    chart: str = "process",
    readout: str = READOUT,
    run_control: str | None = None,
    until: str | None = None,
    who: str = "",
    reason: str | None = None,
) -> tuple[int, int, Baseline]:
    """Lock the batches of a phase as the baseline of a chart.

    Parameters
    ----------
    history
        An open history.
    name
        Name of the baseline; an existing name gets its next version.
    chart
        ``assay`` or ``process``.
    readout, run_control
        As in :func:`compute_trend`.
    until
        Last batch of the baseline; its phase is locked. The default is the last batch of the
        newest phase.
    who
        Name of the person who locks it.
    reason
        Why there is a new version.

    Returns
    -------
    Number of the entry, version, and the baseline.

    Raises
    ------
    ConfigError
        If the name of the baseline or of the person is missing.
    InputError
        If the phase has fewer than 20 batches with a number, or too few are detected.
    UnknownNameError
        If ``until`` is not in the chart.
    """
    if not name.strip() or not who.strip():
        raise ConfigError(
            "--lock needs a name for the baseline, and --who with the name of the person."
        )
    program, state = find_readout(history, readout)
    part = _select_phase(
        chart_points(history, program, state, run_control=run_control), chart, until
    )
    baseline = baseline_of(part) if len(part) >= FEWEST else None
    if baseline is None:
        raise InputError(
            f"--lock {name!r}: a baseline needs {FEWEST} batches with a number from one phase, and "
            f"{FEWEST_DETECTED} of them must be detected. The phase has {len(part)} batches, of "
            f"which {int((part['kind'] == 'measured').sum())} are detected."
        )
    facts = {
        "name": name,
        "chart": chart,
        "program": program,
        "state": state,
        "sample": str(part["sample"].iloc[0]),
        "who": who,
        "reason": reason,
    }
    numbers = json.dumps([int(number) for number in part["number"]])
    entry, version = history.add_baseline(
        facts | asdict(baseline) | {"phase": part["phase_key"].iloc[0], "runs": numbers}
    )
    return entry.number, version, baseline


def _select_phase(points: pd.DataFrame, chart: str, until: str | None) -> pd.DataFrame:
    """Return the points with a number of the newest phase, or of the phase of a batch up to it."""
    part = points[(points["chart"] == chart) & (points["kind"] != "none")]
    if until is None:
        return part[part["phase"] == part["phase"].max()]
    last = part[part["batch"] == until]
    if last.empty:
        raise UnknownNameError(
            f"--until {until!r}: the {chart} chart does not have this batch. "
            f"{did_you_mean(until, list(part['batch'])[-10:])}"
        )
    return part[
        (part["phase"] == last["phase"].iloc[-1]) & (part["number"] <= last["number"].iloc[-1])
    ]


def write_trend(trend: Trend, out: Path) -> list[Path]:
    """Write the page, the tables, and the file for MultiQC; return their paths.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from scdiff.batches.multiqc import multiqc_content
    from scdiff.batches.trend_page import render_trend
    from scdiff.report.tables import csv_text

    decided = ["; ".join(trend.decisions.get(int(number), [])) for number in trend.points["number"]]
    tables = {
        "trend.csv": trend.points.assign(decisions=decided)[list(TREND_COLUMNS)],
        "signals.csv": trend.signals,
        "baselines.csv": baseline_table(trend.phases),
    }
    texts = {f"tables/{name}": csv_text(frame) for name, frame in tables.items()}
    if trend.comparison is not None:
        import pandas as pd

        texts["tables/comparability.csv"] = csv_text(pd.DataFrame([trend.comparison.row()]))
    texts["scdiff_trend_mqc.json"] = (
        json.dumps(multiqc_content(trend), indent=1, allow_nan=False) + "\n"
    )
    texts["index.html"] = render_trend(trend, out)
    if trend.comparison is None:
        (out / "tables" / "comparability.csv").unlink(missing_ok=True)
    for name, text in texts.items():
        with replace_atomically(out / name) as partial:
            partial.write_text(text, encoding="utf-8")
    return [out / name for name in texts]


def baseline_table(phases: list[Phase]) -> pd.DataFrame:
    """Return a table with the baseline of each phase, on the logit."""
    import pandas as pd

    rows: list[Mapping[str, Any]] = [
        {
            "chart": phase.chart,
            "phase": phase.number,
            "change": phase.change,
            "baseline": phase.name,
            "n_points": phase.n_points,
            "n_baseline": phase.n_baseline,
            **({} if phase.baseline is None else asdict(phase.baseline)),
        }
        for phase in phases
    ]
    names = [
        "chart",
        "phase",
        "change",
        "baseline",
        "n_points",
        "n_baseline",
        *Baseline.__dataclass_fields__,
    ]
    return pd.DataFrame(rows).reindex(columns=names)
