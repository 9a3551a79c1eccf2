"""Quality control over batches: release a batch, validate the method, keep the history, watch the trend."""
