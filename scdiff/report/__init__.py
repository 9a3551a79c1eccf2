"""The report: one page, its tables and figures, the result, and what other tools gather from it."""

from scdiff.report.step import report

__all__ = ["report"]
