"""Loading: from files to a trustworthy AnnData.

Read ``step.py`` first.
"""
