"""Trajectories: from which cells the others may come, and how far each cell is.

Read ``step.py`` first.
"""
