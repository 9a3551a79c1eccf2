"""What several steps read from an object in the same way."""
