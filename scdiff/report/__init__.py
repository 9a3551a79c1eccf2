"""Report: one page, its tables and figures, the result, and files that other tools gather."""

from scdiff.report.step import report

__all__ = ["report"]
