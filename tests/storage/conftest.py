"""Fixtures of the storage: the finished run of the report's tests."""

from finished import finished  # noqa: F401
