"""Progress of a run on the terminal: one line per step with its time."""

from __future__ import annotations

import logging
import warnings
from types import TracebackType
from typing import Any, Self

__all__ = ["Progress"]


class Progress:
    """Show each step while it runs, then its time; plain lines where the output is no terminal.

    Parameters
    ----------
    quiet
        Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._status: Any = None
        self._handler = logging.StreamHandler()
        self._handler.setFormatter(logging.Formatter("    %(message)s"))
        self._handler.setLevel(logging.ERROR if quiet else logging.INFO)

    def __enter__(self) -> Self:
        logger = logging.getLogger("scdiff")
        logger.addHandler(self._handler)
        logger.setLevel(logging.INFO)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")  # of the libraries; what concerns the user is logged
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()
        self._warnings.__exit__(kind, error, trace)
        logging.getLogger("scdiff").removeHandler(self._handler)

    def watch(self, step: str, event: str, seconds: float) -> None:
        """Take one event of the pipeline."""
        self._stop()
        if event == "started" and not self._console.is_terminal:
            self._console.print(f"  {step} ...")
        elif event == "started":
            self._status = self._console.status(f"{step} ...")
            self._status.start()
        elif event == "resumed":
            self._console.print(f"  {step:<12} done before ({seconds:.1f} s)")
        else:
            self._console.print(f"  {step:<12} {seconds:6.1f} s")

    def _stop(self) -> None:
        """Take the running line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
