"""One module for each version of the tables; a version that was released never changes."""
