"""Communication: which signals the cells of a batch can send and receive.

Read ``step.py`` first.
"""
