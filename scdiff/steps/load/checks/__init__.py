"""Checks of a matrix: whether it holds counts, which rows are genes, and what these are called."""
