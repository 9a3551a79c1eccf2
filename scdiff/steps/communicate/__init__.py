"""Communication: what the batch could send and receive.

Read ``step.py`` first.
"""
