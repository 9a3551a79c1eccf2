"""The fractions of a batch: what the calls say about each sample and all.

Read ``step.py`` first.
"""
