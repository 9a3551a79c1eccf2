"""What ``scdiff run`` does: options, steps in order, progress."""
