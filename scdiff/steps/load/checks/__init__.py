"""Checks of a matrix: does it hold counts, which rows are genes, what are their names."""
