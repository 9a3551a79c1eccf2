"""Trajectories: where the cells could come from, and how far each has gone.

Read ``step.py`` first.
"""
