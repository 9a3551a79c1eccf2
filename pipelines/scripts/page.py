"""Write the page over many batches: those that did not finish and why, then one row per batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

NOT_FINISHED = "not finished"
"""Verdict of a batch without results."""
WIDTH = 120.0
"""Width of the scale of the intervals, pixels; chosen, not tuned."""


def write_page(path: Path, verdicts: Sequence[dict[str, str]]) -> None:
    """Write the page.

    Parameters
    ----------
    path
        File to write; its links are relative to its folder.
    verdicts
        Rows of ``verdicts.csv``.
    """
    finished = [row for row in verdicts if row["verdict"] != NOT_FINISHED]
    most = max((_parse_number(row["prevalence_high"]) or 0.0 for row in finished), default=0.0)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    text = environment.get_template("batches.html.j2").render(
        finished=[row | {"bar": bar(row, most), "most": _upper_bound(row)} for row in finished],
        missing=[row for row in verdicts if row["verdict"] == NOT_FINISHED],
        counts=_count_verdicts(finished),
        most=percent(str(most)),
        width=WIDTH,
    )
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _count_verdicts(finished: Sequence[dict[str, str]]) -> dict[str, int]:
    """Count the batches of each verdict, the most frequent first."""
    counts = Counter(row["verdict"] for row in finished)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _parse_number(text: str) -> float | None:
    """Return a number of a table; None if the field is empty or NaN."""
    return float(text) if text not in {"", "nan"} else None


def _upper_bound(row: dict[str, str]) -> str:
    """Return the upper bound of the prevalence, as text.

    It is the upper end of the interval, or the limit of blank if that is higher and the verdict is
    ``not detected``.
    """
    ends = (
        [row["prevalence_high"], row["lob"]]
        if row["verdict"] == "not detected"
        else [row["prevalence_high"]]
    )
    return max(ends, key=lambda text: _parse_number(text) or 0.0)


def percent(text: str) -> str:
    """Return a fraction of a table as percent with two digits; a dash if there is no number."""
    fraction = _parse_number(text)
    if fraction is None:
        return "\N{EN DASH}"
    if 0 < fraction < 1e-5:
        return "< 0.001"
    return f"{100 * fraction:.2g}" if fraction < 0.995 else f"{100 * fraction:.4g}"


def bar(row: dict[str, str], most: float) -> dict[str, float]:
    """Return positions, in pixels, of the prevalence, its interval and the detection limit.

    The scale goes from 0 to ``most``. Missing numbers and those above the scale are left out.
    """
    numbers = {
        name: _parse_number(row[name])
        for name in ("prevalence", "prevalence_low", "prevalence_high", "lod")
    }
    return {
        name: round(WIDTH * value / most, 1)
        for name, value in numbers.items()
        if most and value is not None and value <= most
    }
