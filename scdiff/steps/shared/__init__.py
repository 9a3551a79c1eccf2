"""Functions that several steps use to read an object in the same way."""
