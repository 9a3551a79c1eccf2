"""From paths and a sample sheet to sources: which files hold which sample."""
