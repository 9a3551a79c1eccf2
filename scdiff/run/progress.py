"""Show the progress of a run on the terminal: one line per step with its time."""

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
"""Time after which the rate of a part is shown, seconds. Chosen, not tuned."""


class Progress:
    """Show each step while it runs, then its time; plain lines if the output is not a terminal.

    An interruption (Ctrl-C) is lost if it occurs in a callback of a compiled library. It is then
    raised again at the next event.

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
        warnings.simplefilter("ignore")  # from libraries; messages for the user are logged
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
        """Record an interruption, then raise it as usual."""
        self._interrupted = True
        signal.default_int_handler(number, frame)

    def watch(self, step: str, event: str, seconds: float) -> None:
        """Show one event of the pipeline, or of a file that is downloaded."""
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
        """Show rate and remaining time of a long part of the step, after two seconds."""
        if self._status is None:
            return
        now = time.monotonic()
        if self._part != (what, total) or done < self._done:
            self._part, self._begun = (what, total), now
        self._done = done
        seconds = now - self._begun
        if seconds > WORTH_SHOWING:
            rate = done / seconds
            left = (total - done) / rate
            self._status.update(
                f"{self._step} ... {done:,} of {total:,} {what}, "
                f"{rate:,.0f} per second, {left:,.0f} s left"
            )

    def _stop(self) -> None:
        """Remove the line of the current step."""
        if self._status is not None:
            self._status.stop()
            self._status = None
