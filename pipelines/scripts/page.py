"""The page over many batches: what did not finish and why, then one row per batch with its verdict and interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

NOT_FINISHED = "not finished"
WIDTH = 120.0
"""Pixels of the scale on which the intervals are drawn."""


def write_page(path: Path, verdicts: Sequence[dict[str, str]]) -> None:
    """Write the page.

    Parameters
    ----------
    path
        File to write; links on it start at its folder.
    verdicts
        Rows of ``verdicts.csv``.
    """
    finished = [row for row in verdicts if row["verdict"] != NOT_FINISHED]
    most = max((_number(row["prevalence_high"]) or 0.0 for row in finished), default=0.0)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    text = environment.get_template("batches.html.j2").render(
        finished=[row | {"bar": bar(row, most), "most": _most(row)} for row in finished],
        missing=[row for row in verdicts if row["verdict"] == NOT_FINISHED],
        counts=_counts(finished),
        most=percent(str(most)),
        width=WIDTH,
    )
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _counts(finished: Sequence[dict[str, str]]) -> dict[str, int]:
    """How many batches have each verdict, the most frequent first."""
    verdicts = [row["verdict"] for row in finished]
    return {
        verdict: verdicts.count(verdict)
        for verdict in sorted(
            set(verdicts), key=lambda verdict: (-verdicts.count(verdict), verdict)
        )
    }


def _number(text: str) -> float | None:
    """Read a number of a table; None where there is none."""
    return float(text) if text not in {"", "nan"} else None


def _most(row: dict[str, str]) -> str:
    """Upper end of the interval, or the limit of blank where nothing was detected below it."""
    ends = (
        [row["prevalence_high"], row["lob"]]
        if row["verdict"] == "not detected"
        else [row["prevalence_high"]]
    )
    return max(ends, key=lambda text: _number(text) or 0.0)


def percent(text: str) -> str:
    """Say a fraction of a table as percent with two digits, a dash where there is none."""
    fraction = _number(text)
    if fraction is None:
        return "\N{EN DASH}"
    if 0 < fraction < 1e-5:
        return "< 0.001"
    return f"{100 * fraction:.2g}" if fraction < 0.995 else f"{100 * fraction:.4g}"


def bar(row: dict[str, str], most: float) -> dict[str, float]:
    """Place the prevalence, its interval and the detection limit on a scale from 0 to ``most``; what is missing is left out."""
    numbers = {
        name: _number(row[name])
        for name in ("prevalence", "prevalence_low", "prevalence_high", "lod")
    }
    return {
        name: round(WIDTH * value / most, 1)
        for name, value in numbers.items()
        if most and value is not None and value <= most
    }
