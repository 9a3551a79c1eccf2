"""Fixtures of the tests of batches."""

from history_fixtures import filled, history, new_url, postgres  # noqa: F401
from release_fixtures import make_result, spec_file  # noqa: F401
