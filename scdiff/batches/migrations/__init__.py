"""Migrations of the tables of the history; :mod:`scdiff.batches.database` runs them."""
