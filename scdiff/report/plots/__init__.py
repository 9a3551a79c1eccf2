"""Plots: pure functions ``(data, ax) -> Axes``; the caller sets size and style, and saves."""
