"""What a run directory holds, and reading it."""
