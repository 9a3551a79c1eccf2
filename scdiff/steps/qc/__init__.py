"""Quality control: which cells are kept, and which are doublets.

Read ``step.py`` first.
"""
