"""Quality control over batches: release, validation, history and trend."""
