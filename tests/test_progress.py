"""An interruption is never lost."""

from __future__ import annotations

import contextlib
import signal

import pytest

from scdiff.progress import Progress


def test_an_interruption_that_a_library_swallowed_comes_up_at_the_next_event() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Progress(quiet=True) as progress:
        progress.watch("qc", "started", 0.0)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        progress.watch("qc", "finished", 1.0)
        pytest.fail("the interruption was lost")
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interruption_is_raised_where_it_falls() -> None:
    with pytest.raises(KeyboardInterrupt), Progress(quiet=True):
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it was not raised")
