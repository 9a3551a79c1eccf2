"""Run all steps: options, order of the steps, progress, status."""
