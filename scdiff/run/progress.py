"""Progress of a run on the terminal: one line per step with its time."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from types import FrameType, TracebackType
from typing import Any, Self

from scdiff.compute.watch import watch_progress

__all__ = ["Progress"]

WORTH_SHOWING = 2.0
"""Seconds from which on a part of a step is worth a rate."""


class Progress:
    """Show each step while it runs, then its time; plain lines where the output is no terminal.

    An interruption (Ctrl-C) that is lost, because it fell into a callback of a compiled library, is raised again at the next event.

    Parameters
    ----------
    quiet
        Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._status: Any = None
        self._step, self._begun, self._part, self._done = "", 0.0, ("", 0), 0
        self._interrupted = False
        self._before: Any = None
        self._handler = logging.StreamHandler()
        self._handler.setFormatter(logging.Formatter("    %(message)s"))
        self._handler.setLevel(logging.ERROR if quiet else logging.INFO)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupt)
        self._watched = watch_progress(self.part)
        self._watched.__enter__()
        logger = logging.getLogger("scdiff")
        logger.addHandler(self._handler)
        logger.setLevel(logging.INFO)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")  # of the libraries; what concerns the user is logged
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        self._watched.__exit__(kind, error, trace)
        self._warnings.__exit__(kind, error, trace)
        logging.getLogger("scdiff").removeHandler(self._handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Remember an interruption, then raise it as always."""
        self._interrupted = True
        signal.default_int_handler(number, frame)

    def watch(self, step: str, event: str, seconds: float) -> None:
        """Take one event of the pipeline, or of a file that is fetched."""
        from rich.markup import escape

        step = escape(step)
        self._stop()
        if self._interrupted:
            raise KeyboardInterrupt
        if event == "started" and not self._console.is_terminal:
            self._console.print(f"  {step} ...")
        elif event == "started":
            self._status = self._console.status(f"{step} ...")
            self._status.start()
            self._step, self._part, self._done = step, ("", 0), 0
        elif event == "resumed":
            self._console.print(f"  {step:<12} done before ({seconds:.1f} s)")
        else:
            self._console.print(f"  {step:<12} {seconds:6.1f} s")

    def part(self, done: int, total: int, what: str) -> None:
        """Take how far a long part of the step is; show its rate and the time that is left once it took two seconds."""
        if self._status is None:
            return
        now = time.monotonic()
        if self._part != (what, total) or done < self._done:
            self._part, self._begun = (what, total), now
        self._done = done
        seconds = now - self._begun
        if seconds > WORTH_SHOWING:
            rate = done / seconds
            self._status.update(
                f"{self._step} ... {done:,} of {total:,} {what}, {rate:,.0f} a second, {(total - done) / rate:,.0f} s left"
            )

    def _stop(self) -> None:
        """Take the running line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
