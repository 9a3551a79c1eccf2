"""Readers: one function per format, from a source to its matrices."""
