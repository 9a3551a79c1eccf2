"""Fixtures of the tests of batches."""

from history_fixtures import filled, history, new_url, postgres  # noqa: F401
