"""Passes over counts: arrays in, arrays out."""
