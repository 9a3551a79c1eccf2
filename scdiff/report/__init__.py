"""Report: one page, its tables and figures, the result, and files that other tools gather."""

import sys

from scdiff.report.step import CallablePackage, report

__all__ = ["report"]

sys.modules[__name__].__class__ = CallablePackage
