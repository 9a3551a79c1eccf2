"""Whatever writes an object or a file safely."""
