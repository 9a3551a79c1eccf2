"""The fractions of a batch: how many cells of each sample, and of all samples, are positive.

Read ``step.py`` first, then ``groups.py`` and ``estimate.py``.
"""
