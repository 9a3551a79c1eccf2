"""An interruption is never lost."""

from __future__ import annotations

import contextlib
import signal

import pytest

from scdiff.run.progress import Progress


def swallowed_then_watched() -> None:
    """Lose an interruption in a step, then end the step."""
    with Progress(quiet=True) as progress:
        progress.watch("qc", "started", 0.0)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        progress.watch("qc", "finished", 1.0)


def test_an_interruption_that_a_library_swallowed_comes_up_at_the_next_event() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        swallowed_then_watched()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interruption_is_raised_where_it_falls() -> None:
    with Progress(quiet=True), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
