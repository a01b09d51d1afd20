"""Composing settings with Hydra, and running grids of jobs with its sweeper and launchers."""
