"""Quality control over batches: what was measured is kept, watched and judged."""
