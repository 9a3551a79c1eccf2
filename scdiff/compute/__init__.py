"""Passes over counts: functions that take arrays and return arrays."""
