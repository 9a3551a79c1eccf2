"""Fixtures of the report."""

from finished import batch, drawn, finished, published  # noqa: F401
