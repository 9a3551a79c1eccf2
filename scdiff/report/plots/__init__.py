"""Plots: pure functions ``(data, ax) -> Axes``; they draw, and leave size, style and saving to the caller."""
