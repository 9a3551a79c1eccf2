"""Quality control: which cells stay, and which are doublets.

Read ``step.py`` first.
"""
