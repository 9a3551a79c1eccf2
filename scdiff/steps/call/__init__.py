"""Calls: which cells express the markers, from counts and depth.

Read ``step.py`` first.
"""
