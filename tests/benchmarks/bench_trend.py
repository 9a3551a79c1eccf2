"""Control charts and history over batches: false alarms, delays, writers, page.

Batches are simulated: cells 500 to 20,000, true logits that vary between batches, called cells by
counting. The chart that most
laboratories draw, the p-chart, stands beside ours.

Run: python tests/benchmarks/bench_trend.py [--quick]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "batches"))

from simulated_batches import MAIN, draw, logits, run_of  # noqa: E402

from scdiff.batches import drift  # noqa: E402
from scdiff.batches.baseline import fit_baseline, quantile_score  # noqa: E402
from scdiff.batches.control import evaluate  # noqa: E402
from scdiff.batches.history import Facts, open_history  # noqa: E402
from scdiff.batches.series import chart_points  # noqa: E402
from scdiff.batches.signals import find_signals  # noqa: E402
from scdiff.batches.trend import compute_trend, write_trend  # noqa: E402

QUICK = "--quick" in sys.argv
N_HISTORIES = 200 if QUICK else 500
N_NEW = 150
N_HIDDEN = 30 if QUICK else 100
N_PAGE = 1000 if QUICK else 10_000
PROCESSES = ((0.03, 0.3, 20), (0.03, 0.3, 30), (0.02, 0.15, 20), (0.2, 0.1, 20), (0.01, 0.6, 20))
"""Fraction, spread of the logit between batches, batches of the baseline."""


def baseline_of(
    generator: np.random.Generator, n_batches: int, fraction: float, spread: float
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Fit a baseline to simulated batches."""
    n_cells, n_called = draw(generator, n_batches, fraction=fraction, spread=spread)
    return (
        fit_baseline(logits(n_cells, n_called), n_cells, np.zeros(n_batches, bool)),
        n_cells,
        n_called,
    )


def false_alarms(fraction: float, spread: float, n_batches: int) -> dict[str, Any]:
    """Share of points beyond 3 SD in control, of our chart and of a p-chart; delay of the EWMA."""
    generator = np.random.default_rng(1)
    ours = p_chart = 0
    delays, first = [], []
    for _ in range(N_HISTORIES):
        baseline, n_cells, n_called = baseline_of(generator, n_batches, fraction, spread)
        cells, called = draw(generator, N_NEW, fraction=fraction, spread=spread)
        scores = quantile_score(baseline, called / cells, cells)
        ours += int((np.abs(scores) > 3).sum())
        mean = n_called.sum() / n_cells.sum()
        p_chart += int(
            (np.abs(called / cells - mean) > 3 * np.sqrt(mean * (1 - mean) / cells)).sum()
        )
        error = np.mean(1 / (n_cells * fraction * (1 - fraction)))
        variance = baseline.scale**2 + error
        known = {
            "shared": baseline.centre_error**2 / variance,
            "freedom": 2 * variance**2 / baseline.spread_error**2,
        }
        first.append(drift.ewma(scores[:10], **known).alarms.any())
        cells, called = draw(
            generator, 60, fraction=fraction, spread=spread, shift=1.5 * np.sqrt(spread**2 + error)
        )
        alarms = drift.ewma(quantile_score(baseline, called / cells, cells), **known).alarms
        delays.append(int(alarms.argmax()) + 1 if alarms.any() else 61)
    n_points = N_HISTORIES * N_NEW
    return {
        "fraction, %": 100 * fraction,
        "spread, logit": spread,
        "baseline": n_batches,
        "1-3s in control, % a point": round(100 * ours / n_points, 3),
        "p-chart, % a point": round(100 * p_chart / n_points, 1),
        "EWMA in control, % of ten batches": round(100 * float(np.mean(first)), 2),
        "EWMA, shift of 1.5 SD: median batches": float(np.median(delays)),
        "90 % within": round(float(np.quantile(delays, 0.9)), 1),
    }


def mostly_hidden(hidden: float) -> dict[str, Any]:
    """Histories of thirty batches of which a share is not detected."""
    generator = np.random.default_rng(2)
    any_alarm, n_beyond, shares = [], 0, []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(N_HIDDEN):
            n_cells, n_called = draw(generator, 30, fraction=0.0022, spread=0.6)
            lob = float(np.quantile(n_called / n_cells, hidden))
            history = open_history(f"sqlite:///{folder}/{index}.db", create=True)
            history.add_runs(
                [
                    (run_of(f"B{i}", int(n_cells[i]), int(n_called[i]), lob=lob), Facts())
                    for i in range(30)
                ]
            )
            points, phases = evaluate(chart_points(history, *MAIN))
            signals = find_signals(points, phases, {})
            any_alarm.append(len(signals) > 0)
            n_beyond += signals["batch"].nunique()
            shares.append(float((points["kind"] == "bound").mean()))
    return {
        "not detected, %": round(100 * float(np.mean(shares)), 1),
        "histories": N_HIDDEN,
        "any false alarm, % of histories": round(100 * float(np.mean(any_alarm)), 2),
        "batches with one, %": round(100 * n_beyond / (30 * N_HIDDEN), 3),
    }


def writers(url: str, n_writers: int = 8, n_runs: int = 200) -> dict[str, Any]:
    """Write from several processes at once; verify what is there."""
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER.parent / 'batches')!r}); "
        "from simulated_batches import write_runs; write_runs(*sys.argv[1:3], int(sys.argv[3]))"
    )
    begun = time.perf_counter()
    command = [sys.executable, "-c", code, url]
    started = [
        subprocess.Popen([*command, f"W{index}-", str(n_runs)], stdout=subprocess.DEVNULL)
        for index in range(n_writers)
    ]
    codes = [process.wait() for process in started]
    seconds = time.perf_counter() - begun
    last, faults = open_history(url).verify()
    return {
        "processes": n_writers,
        "rows": last.number,
        "failed": sum(map(bool, codes)),
        "faults": len(faults),
        "seconds": round(seconds, 1),
    }


def page() -> dict[str, Any]:
    """Time of the whole page."""
    generator = np.random.default_rng(3)
    n_cells, n_called = draw(generator, N_PAGE)
    with tempfile.TemporaryDirectory() as folder:
        history = open_history(f"sqlite:///{folder}/b.db", create=True)
        added = timed(
            lambda: history.add_runs(
                [
                    (run_of(f"B{i}", int(n_cells[i]), int(n_called[i])), Facts())
                    for i in range(N_PAGE)
                ]
            )
        )
        drawn = timed(lambda: write_trend(compute_trend(history), Path(folder) / "page"))
        verified = timed(history.verify)
        size = (Path(folder) / "page" / "index.html").stat().st_size / 1e6
    names = ("add, s", "page and tables, s", "page and tables, CPU s", "verify, s", "page, MB")
    return {"batches": N_PAGE} | dict(
        zip(names, (added[0], *drawn, verified[0], round(size, 1)), strict=True)
    )


def timed(act: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the clock, and of the processor."""
    begun, worked = time.perf_counter(), time.process_time()
    act()
    return round(time.perf_counter() - begun, 1), round(time.process_time() - worked, 1)


def table(rows: list[dict[str, Any]]) -> str:
    """Write rows as a table of Markdown."""
    lines = [
        list(rows[0]),
        ["---"] * len(rows[0]),
        *([str(value) for value in row.values()] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure, print and keep the tables."""
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            (
                "In control and after a shift",
                table([false_alarms(*process) for process in PROCESSES]),
            ),
            ("Mostly not detected", table([mostly_hidden(hidden) for hidden in (0.3, 0.7, 0.9)])),
            ("Eight writers at once, SQLite", table([writers(f"sqlite:///{folder}/w.db")])),
            ("Page", table([page()])),
        ]
    text = (
        "# Control charts over batches\n\n"
        "Written by `make bench-trend`; what each column is stands in `bench_trend.py`.\n"
    )
    text += "".join(f"\n## {name}\n\n{body}\n" for name, body in parts)
    print(text)
    if not QUICK:
        (FOLDER / "results" / "trend.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
