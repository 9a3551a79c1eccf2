"""One module for each version of the tables; a released version never changes."""
